package demo

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	gomail "github.com/wneessen/go-mail"
)

// mailboxes is a real SMTP server on loopback that keeps its mails.
type mailboxes struct {
	url string

	mu   sync.Mutex
	took []received // in the order of their arrival
}

type received struct {
	to, subject string
	attachments map[string][]byte
}

func startMailboxes() (*mailboxes, func(), error) {
	m := &mailboxes{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s := smtp.NewServer(m)
	s.Domain, s.ReadTimeout, s.WriteTimeout, s.EnableSMTPUTF8 = "localhost", 10*time.Second, 10*time.Second, true
	go s.Serve(l)
	m.url = "smtp://" + l.Addr().String() + "?tls=none"
	return m, func() { s.Close() }, nil
}

// NewSession implements [smtp.Backend].
func (m *mailboxes) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &session{m: m}, nil
}

// since returns the mails that arrived after the first n, in their order.
func (m *mailboxes) since(n int) []received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]received(nil), m.took[n:]...)
}

// latest returns the last mail to an address, or the zero value.
func (m *mailboxes) latest(to string) (last received) {
	for _, r := range m.since(0) {
		if r.to == to {
			last = r
		}
	}
	return last
}

type session struct {
	m  *mailboxes
	to []string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	msg, err := gomail.EMLToMsgFromReader(r)
	if err != nil {
		return err
	}
	mail := received{attachments: map[string][]byte{}}
	if subjects := msg.GetGenHeader(gomail.HeaderSubject); len(subjects) > 0 {
		mail.subject = subjects[0]
	}
	for _, a := range msg.GetAttachments() {
		var content bytes.Buffer
		if _, err := a.Writer(&content); err != nil {
			return err
		}
		mail.attachments[a.Name] = content.Bytes()
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, to := range s.to {
		mail.to = to
		s.m.took = append(s.m.took, mail)
	}
	return nil
}

func (s *session) Reset() { s.to = nil }

func (s *session) Logout() error { return nil }
