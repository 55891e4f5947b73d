package notify

import (
	"context"
	"net/mail"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// A Text is a mail of plain text to one address, without a notice of a tenant.
type Text struct {
	Address   string
	Subject   string
	Body      string
	Language  string // of the text; may be empty
	MessageID string // without angle brackets; the same when the mail is sent again
	Date      time.Time
}

// SendText hands a mail to the server. The error is a [*Refusal] if the server sent a reply.
func (s *Server) SendText(ctx context.Context, t Text) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	recipient, err := mailbox(t.Address)
	if err != nil {
		return &Refusal{Fault: OfRecipient, Final: true, Reply: err}
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&s.from)
	m.ToMailAddress(&mail.Address{Address: recipient})
	m.Subject(t.Subject)
	m.SetDateWithValue(t.Date)
	m.SetMessageIDWithValue(t.MessageID)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834, section 5
	if t.Language != "" {
		m.SetGenHeader(gomail.HeaderContentLang, t.Language)
	}
	m.SetBodyString(gomail.TypeTextPlain, t.Body)
	c := &conversation{server: s}
	if err := c.connect(ctx); err != nil {
		return err
	}
	defer c.close()
	return c.deliver(ctx, m, recipient)
}
