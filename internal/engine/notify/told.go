package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"syscall"

	"github.com/perennial-pki/perennial/internal/redact"
	"github.com/perennial-pki/perennial/tenancy"
)

// A serverError is the failure of a conversation with the mail server of this installation. Its text is for operators.
type serverError struct {
	error       // with the name of the server
	told  error // for tenants, who need not know where the server is
}

func (e *serverError) Unwrap() error { return e.error }

// toldOf returns what tenants read about a mail that was not sent. The log has the whole reason.
func toldOf(answer error) error {
	if e := (*serverError)(nil); errors.As(answer, &e) {
		return e.told
	}
	return tenancy.Failure("the mail could not be sent: the log of the service states the reason")
}

// dies marks a mail as dead.
func (r *round) dies(ctx context.Context, m *tenancy.Mail, reason error) tenancy.Event {
	told := toldOf(reason)
	m.Attempts++
	m.State, m.LastError = tenancy.MailDead, tenancy.Stored(told)
	r.dead++
	r.d.log.ErrorContext(ctx, "mail is dead: an operator can requeue it", "mail", m.ID, "tenant", r.tenants[m.TenantID],
		"error", reason)
	return tenancy.NewEvent(r.now, "mail", "mail.dead", r.tenants[m.TenantID], m.ID,
		map[string]any{"message_id": m.MessageID, "attempts": m.Attempts, "error": told.Error()})
}

// replied returns what tenants read about a reply of the mail server.
func (s *Server) replied(r Refusal, reply *textproto.Error) error {
	if r.Session {
		return tenancy.Failure("the mail server does not accept mails of this installation (%d): an operator must fix this",
			reply.Code)
	}
	text := reply.Msg
	if strings.Contains(s.host, ".") { // others may be a word
		text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(s.host)).ReplaceAllString(text, "(mail server)")
	}
	return tenancy.Failure("the mail server refused the mail: %d %s", reply.Code, redact.Addresses(text))
}

// unanswered returns what tenants read about a conversation that ended without a reply.
func unanswered(err error) error {
	var name *net.DNSError
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	var network net.Error
	switch {
	case errors.As(err, &name):
		return tenancy.Failure("the name of the mail server could not be resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return tenancy.Failure("the mail server is not running (connection refused)")
	case errors.As(err, &unverified), errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &record):
		return tenancy.Failure("no TLS connection to the mail server was possible")
	case errors.As(err, &network) && network.Timeout():
		return tenancy.Failure("the mail server did not answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return tenancy.Failure("the mail server closed the connection")
	}
	return tenancy.Failure("the connection to the mail server failed")
}
