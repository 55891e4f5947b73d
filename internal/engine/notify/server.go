package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/perennial-pki/perennial/tenancy"
)

// ErrRejected is returned for a mail that the server will never accept, so that another try is useless.
var ErrRejected = errors.New("rejected permanently")

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
// start, and ?tls=none uses neither, on loopback only. roots are the CAs that the server's certificate is verified
// with; nil stands for those of the system.
func NewServer(rawURL, from string, templates *Templates, roots *tls.Config) (*Server, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Path != "" && u.Path != "/" {
		// The error does not contain the URL, because that has a password.
		return nil, errors.New("the mail server: write smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the start")
	}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("the sender of mails, %q, is not a valid address: %w", from, err)
	}
	s := &Server{host: u.Hostname(), from: *sender, templates: templates, timeout: 20 * time.Second}
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

// Send hands all letters to the server in one conversation. It calls answered for each letter as soon as the answer is
// known: nil if the server accepted the letter, [ErrRejected] if it never will, another error if it may later. If
// answered returns an error, Send returns that error and sends no more letters, because letters whose answers cannot be
// stored would be sent again.
func (s *Server) Send(ctx context.Context, letters []Addressed, answered func(i int, answer error) error) error {
	client, err := gomail.NewClient(s.host, append(s.options[:len(s.options):len(s.options)],
		gomail.WithTimeout(s.timeout))...)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, s.timeout+time.Duration(len(letters))*5*time.Second)
		defer cancel()
		err = client.DialWithContext(ctx)
		defer client.Close()
	}
	for i, l := range letters {
		answer := err
		if err != nil {
			answer = fmt.Errorf("mail server %s: %w", s.host, err)
		} else if m, err := s.templates.compose(l.Kind, l.Letter, s.from); err != nil {
			answer = fmt.Errorf("write the mail: %w", err)
		} else if err := client.Send(m); !m.IsDelivered() {
			answer = s.answer(m, err)
		}
		if err := answered(i, answer); err != nil {
			return err
		}
	}
	return nil
}

// answer returns why a message was not accepted. Only refusals of this recipient or this content are final. An answer
// such as "authentication required" is about the configuration, which an operator can fix.
func (s *Server) answer(m *gomail.Msg, err error) error {
	var refused *gomail.SendError
	if !errors.As(m.SendError(), &refused) {
		return fmt.Errorf("mail server %s: the connection ended before the mail was sent: %w", s.host, err)
	}
	final := refused.Reason == gomail.ErrSMTPRcptTo || refused.Reason == gomail.ErrSMTPData ||
		refused.Reason == gomail.ErrSMTPDataClose
	if code := refused.ErrorCode(); final && code >= 500 && code <= 599 {
		return fmt.Errorf("mail server %s: %w: %w", s.host, ErrRejected, refused)
	}
	return fmt.Errorf("mail server %s: %w", s.host, refused)
}

// ParseSender reads a sender's address and returns its domain.
func ParseSender(from string) (domain string, err error) {
	a, err := mail.ParseAddress(from)
	if err != nil {
		return "", fmt.Errorf("%q is not a valid address: use one such as Perennial <perennial@example.com>", from)
	}
	return a.Address[strings.LastIndex(a.Address, "@")+1:], nil
}
