package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Server hands mails to one mail server.
type Server struct {
	host      string
	port      int
	options   []gomail.Option
	from      mail.Address
	templates *Templates
	timeout   time.Duration // for every step of a conversation with the server
}

// NewServer returns the server of a URL: smtp://USER:PASSWORD@HOST:PORT requires STARTTLS, smtps:// uses TLS from the
// start, and ?tls=none uses neither, on loopback only. roots are the CAs to verify the server's certificate with; nil
// stands for those of the system.
func NewServer(rawURL, from string, templates *Templates, roots *tls.Config) (*Server, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Path != "" && u.Path != "/" {
		// The error does not contain the URL, because that has a password.
		return nil, errors.New("the mail server: write smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the start")
	}
	sender, err := parseSender(from)
	if err != nil {
		return nil, fmt.Errorf("the sender of mails: %w", err)
	}
	s := &Server{host: u.Hostname(), from: sender, templates: templates, timeout: 20 * time.Second}
	if roots != nil {
		config := roots.Clone()
		config.ServerName = s.host
		s.options = append(s.options, gomail.WithTLSConfig(config))
	}
	port := 587
	switch mode := u.Query().Get("tls"); {
	case u.Scheme == "smtps" && mode == "":
		port = 465
		s.options = append(s.options, gomail.WithSSL())
	case mode == "none":
		if ip := net.ParseIP(s.host); s.host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("mail server %s: tls=none is for a server on this machine only", s.host)
		}
		port = 25
		s.options = append(s.options, gomail.WithTLSPolicy(gomail.NoTLS))
	case mode == "" || mode == "required":
		s.options = append(s.options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		return nil, fmt.Errorf("mail server %s: tls=%s is not allowed: use required or none", s.host, mode)
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("mail server %s: port %q is not a number", s.host, p)
		}
	}
	s.port = port
	s.options = append(s.options, gomail.WithPort(port))
	if name := u.User.Username(); name != "" {
		password, _ := u.User.Password()
		auth := gomail.SMTPAuthAutoDiscover
		if u.Query().Get("tls") == "none" {
			auth = gomail.SMTPAuthPlainNoEnc
		}
		s.options = append(s.options, gomail.WithSMTPAuth(auth), gomail.WithUsername(name), gomail.WithPassword(password))
	}
	return s, nil
}

// An Addressed is a letter with the kind of its notice.
type Addressed struct {
	Kind tenancy.NoticeKind
	Letter
}

// maxLost limits the connections in a row that a server ends before it accepts a mail. The letters behind them wait for
// the next conversation.
const maxLost = 5

// Send hands all letters to the server. It calls answered for each letter as soon as the answer is known: nil if the
// server accepted the letter, and otherwise an error, which is a [*Refusal] if the server sent a reply. If answered
// returns an error, Send returns that error and sends no more letters, because letters whose answers cannot be stored
// would be sent again.
//
// If the server ends the connection, Send connects again for the next letter. Letters remain without an answer if the
// server refuses the sender, cannot be reached again, or has ended too many connections.
func (s *Server) Send(ctx context.Context, letters []Addressed, answered func(i int, answer error) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout+time.Duration(len(letters))*5*time.Second)
	defer cancel()
	c := &conversation{server: s}
	defer c.close()
	first := c.connect(ctx)
	for i, l := range letters {
		answer := first
		if first == nil {
			if c.client == nil && (c.lost >= maxLost || c.connect(ctx) != nil) {
				return nil
			}
			answer = c.send(ctx, l)
		}
		if err := answered(i, answer); err != nil {
			return err
		}
		if faultOf(answer).Session {
			return nil
		}
	}
	return nil
}

// A conversation sends letters through one connection after the other.
type conversation struct {
	server *Server
	client *smtp.Client // nil if there is no connection
	used   bool         // a letter was sent through the connection
	lost   int          // connections that ended since the last letter that was accepted
}

func (c *conversation) close() {
	if c.client != nil {
		c.client.Quit()
		c.drop()
	}
}

// drop ends a connection that can no longer be used.
func (c *conversation) drop() {
	c.client.Close()
	c.client = nil
}

func (c *conversation) connect(ctx context.Context) error {
	s := c.server
	dialer, err := gomail.NewClient(s.host, append(s.options[:len(s.options):len(s.options)],
		gomail.WithTimeout(s.timeout))...)
	if err == nil {
		c.client, err = dialer.DialToSMTPClientWithContext(ctx)
	}
	if err != nil {
		c.client = nil
		return s.refusal(atSession, err)
	}
	c.used = false
	return nil
}

// send sends one letter.
func (c *conversation) send(ctx context.Context, l Addressed) error {
	recipient, err := mailbox(l.Address)
	if err != nil {
		return &Refusal{Fault: OfRecipient, Final: true, Reply: &serverError{err, err}}
	}
	m, err := c.server.templates.compose(l.Kind, l.Letter, c.server.from)
	if err != nil {
		return fmt.Errorf("write the mail: %w", err)
	}
	return c.deliver(ctx, m, recipient)
}

// deliver hands a message to the server, through a new connection if the server has ended the one before.
func (c *conversation) deliver(ctx context.Context, m *gomail.Msg, recipient string) error {
	var written bytes.Buffer
	if _, err := m.WriteTo(&written); err != nil {
		return fmt.Errorf("write the mail: %w", err)
	}
	content := written.Bytes()
	at, err := c.hand(content, recipient)
	if ended(err) && at == atSession && c.used { // many servers end a connection after some mails
		c.drop()
		if err := c.connect(ctx); err != nil {
			return err
		}
		at, err = c.hand(content, recipient)
	}
	c.used = true
	switch {
	case err == nil:
		c.lost = 0
		return nil
	case ended(err):
		c.drop()
		c.lost++
	case c.client.Reset() != nil:
		c.drop()
	}
	return c.server.refusal(at, err)
}

// hand sends the SMTP commands for one mail. It returns the stage in which the server refused it.
func (c *conversation) hand(content []byte, recipient string) (at stage, err error) {
	if err := c.client.UpdateDeadline(c.server.timeout); err != nil {
		return atSession, err
	}
	if pipelining, _ := c.client.Extension("PIPELINING"); pipelining {
		return c.pipeline(content, recipient)
	}
	c.client.SkipSMTPUTF8(true) // no address needs it (RFC 6531, section 3.4), see [mailbox]
	if err := c.client.Mail("<" + c.server.from.Address + ">"); err != nil {
		return atSession, err
	}
	if err := c.client.Rcpt("<" + recipient + ">"); err != nil {
		return atRecipient, err
	}
	w, err := c.client.Data()
	if err != nil {
		return atContent, err
	}
	if _, err := w.Write(content); err != nil {
		return atContent, cut(err)
	}
	return atContent, w.Close()
}

// pipeline is hand for a server that takes the commands at once (RFC 2920).
func (c *conversation) pipeline(content []byte, recipient string) (at stage, err error) {
	text := c.client.Text
	if strings.ContainsAny(c.server.from.Address+recipient, "\r\n") {
		return atRecipient, errors.New("an address has a line break")
	}
	body := ""
	if eight, _ := c.client.Extension("8BITMIME"); eight {
		body = " BODY=8BITMIME"
	}
	fmt.Fprintf(text.W, "MAIL FROM:<%s>%s\r\nRCPT TO:<%s>\r\nDATA\r\n", c.server.from.Address, body, recipient)
	if err := text.W.Flush(); err != nil {
		return atSession, err
	}
	for _, step := range []struct {
		at     stage
		expect int
	}{{atSession, 250}, {atRecipient, 25}, {atContent, 354}} {
		_, _, failed := text.ReadResponse(step.expect)
		switch {
		case err == nil && failed != nil:
			at, err = step.at, failed
		case err != nil && failed == nil && step.at == atContent:
			// The server takes a mail without a sender or recipient. It must be an empty one (RFC 2920, section 3.1).
			if sent := text.PrintfLine("."); sent != nil {
				return at, sent
			}
			if _, _, refused := text.ReadResponse(250); ended(refused) {
				return at, refused
			}
		}
		if ended(failed) {
			return at, err
		}
	}
	if err != nil {
		return at, err
	}
	if err := writeContent(text, content); err != nil {
		return atContent, cut(err)
	}
	_, _, err = text.ReadResponse(250)
	return atContent, err
}

// writeContent writes the content of a mail, with its lines as SMTP requires (RFC 5321, section 4.5.2). The writer of
// package textproto looks at each byte, which took a sixth of the time of a mail.
func writeContent(text *textproto.Conn, content []byte) error {
	crlf, lf := []byte("\r\n"), []byte("\n")
	if bytes.HasPrefix(content, []byte(".")) || bytes.Contains(content, []byte("\n.")) ||
		!bytes.HasSuffix(content, crlf) || bytes.Count(content, crlf) != bytes.Count(content, lf) {
		w := text.DotWriter()
		if _, err := w.Write(content); err != nil {
			return err
		}
		return w.Close()
	}
	if _, err := text.W.Write(append(content[:len(content):len(content)], ".\r\n"...)); err != nil {
		return err
	}
	return text.W.Flush()
}

// cut returns the error of a mail that was not written to its end. The server must not mistake the written part for the
// whole mail, so the connection can no longer be used.
func cut(err error) error {
	return fmt.Errorf("the connection ended before the mail was sent: %w", noReply{err})
}

// noReply hides the reply that an error may contain.
type noReply struct{ error }

// mailbox returns an address as it is written in SMTP without SMTPUTF8: the domain in A-labels (RFC 5891).
func mailbox(address string) (string, error) {
	at := strings.LastIndex(address, "@")
	local, domain := address[:max(at, 0)], address[at+1:]
	foreign := func(r rune) bool { return r >= utf8.RuneSelf }
	if strings.ContainsFunc(local, foreign) {
		return "", tenancy.Failure("the part of %s before the @ has letters other than ASCII, which many mail servers "+
			"refuse (SMTPUTF8, RFC 6531): change the address", address)
	}
	if strings.ContainsFunc(domain, foreign) {
		var err error
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", tenancy.Failure("the domain of %s is not valid: change the address", address)
		}
	}
	return local + "@" + domain, nil
}

// ParseSender reads a sender's address and returns its domain, in A-labels.
func ParseSender(from string) (domain string, err error) {
	a, err := parseSender(from)
	if err != nil {
		return "", err
	}
	return a.Address[strings.LastIndex(a.Address, "@")+1:], nil
}

// parseSender reads a sender's address, and writes its domain in A-labels.
func parseSender(from string) (mail.Address, error) {
	a, err := mail.ParseAddress(from)
	if err != nil {
		return mail.Address{}, fmt.Errorf("%q is not a valid address: use one such as Perennial <perennial@example.com>",
			from)
	}
	a.Address, err = mailbox(a.Address)
	return *a, err
}
