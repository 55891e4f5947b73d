package notify

import (
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strconv"
)

// A Fault is the cause of a mail server's refusal.
type Fault string

// The faults.
const (
	// OfRecipient is about this recipient or this mail. Other mails are not affected.
	OfRecipient Fault = "recipient"
	// OfServer is temporary: the server is busy, a mailbox is full, the connection ended.
	OfServer Fault = "server"
	// Ours is about this installation: its password, its sender's address, its IP address. No mail gets through until an
	// operator has fixed it.
	Ours Fault = "ours"
)

// A Refusal is the answer of a mail server that did not accept a mail.
type Refusal struct {
	Fault Fault
	// Final means that another attempt is useless. It is true only for the fault of a recipient.
	Final bool
	// Session means that the server refused the session or the sender, before a recipient was named.
	Session bool
	// Reply is the server's reply.
	Reply error
}

func (r *Refusal) Error() string { return r.Reply.Error() }

// Unwrap returns the reply.
func (r *Refusal) Unwrap() error { return r.Reply }

// faultOf returns the fault that an error names. An error without a reply, such as a connection that ended, is
// temporary.
func faultOf(err error) Refusal {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		return *r
	}
	return Refusal{Fault: OfServer, Reply: err}
}

// A stage is the part of a conversation in which the server answered.
type stage int

const (
	atSession   stage = iota // greeting, EHLO, AUTH, MAIL
	atRecipient              // RCPT
	atContent                // DATA and the mail itself
)

// A reading is the meaning of a reply of class 5. A reply of class 4 is never final.
type reading struct {
	fault Fault
	final bool
}

var (
	gone    = reading{OfRecipient, true}  // there is no such recipient, or it never takes such a mail
	perhaps = reading{OfRecipient, false} // about this recipient, and it may change
	passes  = reading{OfServer, false}
	ours    = reading{Ours, false}
)

// byStatus reads enhanced status codes (RFC 3463, and the registry of RFC 5248) without their class. "1.*" stands for
// those of subject 1 that are not listed. What is not listed at all is read by its basic code.
var byStatus = map[string]reading{
	"1.*":  gone, // the address of the recipient
	"1.0":  perhaps,
	"1.4":  perhaps, // ambiguous
	"1.5":  passes,  // valid
	"1.7":  ours,    // the syntax of the sender's address
	"1.8":  ours,    // the domain of the sender's address
	"1.9":  passes,
	"2.*":  perhaps, // the mailbox
	"2.1":  gone,    // disabled
	"2.2":  passes,  // full
	"2.3":  gone,    // takes only shorter mails
	"3.*":  passes,  // the server of the recipient
	"3.3":  gone,    // it lacks a feature that the mail needs
	"3.4":  gone,    // the mail is too big
	"4.*":  passes,  // the network
	"4.1":  perhaps, // no answer from the recipient's host
	"4.4":  gone,    // the domain has no mail server
	"5.*":  ours,    // the protocol
	"5.0":  perhaps, // some servers use it for an unknown mailbox
	"5.3":  passes,  // too many recipients
	"6.*":  gone,    // the content
	"6.0":  perhaps,
	"7.*":  ours, // security and policy: relaying, block lists, SPF, DKIM, DMARC
	"7.2":  gone, // the recipient is a list that this sender cannot write to
	"7.17": gone, // the mailbox has another owner (RFC 7293)
	"7.18": gone, // the domain has another owner
}

// byCode reads basic codes (RFC 5321, section 4.2.3) that stand alone or with a status that is not listed.
var byCode = map[int]reading{
	550: gone,    // no such mailbox
	551: gone,    // not local
	552: passes,  // over quota
	553: ours,    // the name of a mailbox is not allowed: the sender's, or one that is not relayed to
	554: ours,    // transaction failed: relaying or a block list
	556: gone,    // the domain does not take mails (RFC 7504)
	521: passes,  // the host does not take mails (RFC 7504)
	523: gone,    // too big
	530: ours,    // authentication required
	534: ours,    // the kind of authentication is too weak
	535: ours,    // user name or password
	538: ours,    // authentication needs TLS
	541: perhaps, // refused by a filter
	571: ours,    // delivery not authorized
}

var enhanced = regexp.MustCompile(`^([245])\.(\d{1,3})\.(\d{1,3})(?: |$)`)

// readReply returns the meaning of a reply of a mail server.
func readReply(at stage, reply *textproto.Error) (r Refusal) {
	defer func() { r.Session, r.Reply = at == atSession && r.Fault == Ours, reply }()
	if reply.Code < 500 {
		return Refusal{Fault: OfServer}
	}
	meaning, known := byCode[reply.Code]
	if !known {
		meaning = ours // 500 to 504, 555: a command that the server does not accept
	}
	if m := enhanced.FindStringSubmatch(reply.Msg); m != nil {
		for _, status := range []string{m[2] + "." + m[3], m[2] + ".*"} {
			if read, ok := byStatus[status]; ok {
				meaning = read
				break
			}
		}
	}
	if at == atSession && meaning.fault == OfRecipient { // no recipient was named yet
		meaning = ours
	}
	return Refusal{Fault: meaning.fault, Final: meaning.final}
}

// refusal returns the error for a mail that a server did not accept. err is the server's reply, or the reason why there
// is none.
func (s *Server) refusal(at stage, err error) error {
	reply := (*textproto.Error)(nil)
	if !errors.As(err, &reply) {
		return &serverError{fmt.Errorf("mail server %s: %w", s.host, err), unanswered(err)}
	}
	r := readReply(at, reply)
	r.Reply = &serverError{fmt.Errorf("mail server %s: %s %s", s.host, strconv.Itoa(reply.Code), reply.Msg),
		s.replied(r, reply)}
	return &r
}

// ended reports whether the connection ended with an error: the server sent no reply, or announced that it closes the
// channel (421).
func ended(err error) bool {
	reply := (*textproto.Error)(nil)
	return err != nil && (!errors.As(err, &reply) || reply.Code == 421)
}
