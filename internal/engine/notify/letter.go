// Package notify composes the mails about certificates, hands them to a mail server, and stores its answers.
//
// It promises that the subject is the notice's, to the letter, and that the same mail always has the same Message-ID,
// so that duplicates can be recognised. The new certificate is attached, never a key. A server's refusal is final only
// if another attempt is useless, for example because the address does not exist. A crash repeats at most one mail of
// each conversation. It cannot promise that a mail arrives once: a server that accepts a mail and fails before it
// confirms this is sent the mail again.
package notify

import (
	"bytes"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	texttemplate "text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/perennial-pki/perennial/tenancy"
)

//go:embed templates
var builtIn embed.FS

// A Letter holds the content of a mail about one notice to one recipient.
type Letter struct {
	MessageID string // without angle brackets
	Subject   string
	Date      time.Time
	Name      string
	Address   string

	Tenant       string // name
	TenantTitle  string // display name
	Certificate  string // "Tenant Certificate" or "M-user Certificate"
	ITContact    bool   // the recipient is an IT contact, not a key user
	Designated   bool   // the IT contact listed first
	Differences  string // what differs, in a mail about that; else empty
	Reason       string // of a renewal by hand or for a revoked CA, as in the audit log; else empty
	Old          Details
	New          *Details // nil in a warning
	Authority    *Details // the new issuing CA if one is announced, else nil
	NewRoot      *Details // its root if that is new too, else nil
	RenewalOn    time.Time
	Arrangements []Affected
	// Changes lists the differences that receivers may notice besides the serial number and the dates, if ChangesKnown is
	// set. In a warning, they follow from the CA's plans.
	Changes      tenancy.Changes
	ChangesKnown bool
	// ForeignIssuer is set if the old certificate was issued by another CA than those of this service.
	ForeignIssuer bool
	NewCAs        []Details // the certificates of a new issuing CA, and of a new root; empty if the CA stays
	ServiceURL    string    // the address of the tasks; may be empty
	// Unsubscribe is the page that asks whether to stop mails, and OneClick the link that stops them at once (RFC 8058).
	// Both are empty for IT contacts.
	Unsubscribe, OneClick string
	Confirm               string   // the link that stops mails, if that is asked for
	Undo                  string   // the link that undoes it, if mails were stopped
	Issuer                string   // the CA that a person asks, in a mail about a request
	RequestPage           string   // the page of that request; may be empty
	Head                  string   // of the audit log, in a mail to the hosting team
	Tokens                []string // that end, in a mail to the hosting team; a line each

	Watched *WatchFacts // nil unless the mail is about a certificate that belongs to others
}

// Revoked reports whether the old certificate was revoked with its renewal.
func (l Letter) Revoked() bool {
	return l.Reason == "lost" || l.Reason == "compromised" || l.Reason == "authority-revoked"
}

// RevokedBecause completes "is revoked, because ...".
func (l Letter) RevokedBecause() string {
	switch l.Reason {
	case "lost":
		return "its key was lost"
	case "authority-revoked":
		return "the CA that issued it was revoked"
	}
	return "its key may be in the wrong hands"
}

// AtOnce reports whether the new certificate is in use as soon as it exists, because no arrangement presents it.
func (l Letter) AtOnce() bool { return len(l.Arrangements) == 0 }

// Open returns the arrangements whose receiver may need a change and has not been proved to accept the new certificate.
func (l Letter) Open() (open []Affected) {
	for _, a := range l.Arrangements {
		if !a.Accepts && !a.Unaffected && !a.Unasked {
			open = append(open, a)
		}
	}
	return open
}

// Exposed returns the arrangements that get only the new certificate, while their receiver is not known to accept it.
func (l Letter) Exposed() (exposed []Affected) {
	for _, a := range l.Arrangements {
		if a.Exposed {
			exposed = append(exposed, a)
		}
	}
	return exposed
}

// Deadline returns the earliest deadline of the arrangements; zero if there is none.
func (l Letter) Deadline() (first time.Time) {
	for _, a := range l.Arrangements {
		if !a.Deadline.IsZero() && (first.IsZero() || a.Deadline.Before(first)) {
			first = a.Deadline
		}
	}
	return first
}

// Details describe a certificate to a receiver's administrator.
type Details struct {
	Generation  int
	Subject     string
	Issuer      string
	Serial      string
	Fingerprint string
	NotBefore   time.Time
	NotAfter    time.Time
	DER         []byte
}

// DetailsOf returns the details of a certificate.
func DetailsOf(c tenancy.Certificate) Details {
	return Details{Generation: c.Generation, Subject: c.Subject, Issuer: issuerName(c.DER), Serial: c.Serial,
		Fingerprint: c.Fingerprint, NotBefore: c.NotBefore, NotAfter: c.NotAfter, DER: c.DER}
}

// An Affected arrangement presents the certificate.
type Affected struct {
	Arrangement string
	Scenario    string
	Receiver    string
	Endpoint    string
	Contact     string // the receiver's administrator; may be empty
	// Switched is true if the arrangement already presents the new certificate.
	Switched bool
	// Immediate is true if it presents the new certificate as soon as it exists, and no other.
	Immediate bool
	// Page is the address of its page; empty without an address of the service.
	Page string
	// Checks names what the receiver compares; empty if that is not known.
	Checks string
	// Unaffected is true if the receiver compares nothing that changes, and MustChange if it compares something that
	// does. Both are false if that is not known.
	Unaffected, MustChange bool
	// DependsOnCA is true if the receiver needs a change only because the CA changes.
	DependsOnCA bool
	// Accepts and Refuses are proved for the new certificate. Answer is the receiver's.
	Accepts, Refuses bool
	Answer           string
	AnsweredAt       time.Time
	// Unasked is true if the receiver delivers messages without asking for a certificate.
	Unasked bool
	// Claimed is true if a person reports the new certificate as installed, without a proof.
	Claimed bool
	// Exposed is true if messages already depend on the new certificate.
	Exposed bool
	// Deadline is the expiry of the last certificate that the receiver is known to accept; zero if none is needed.
	Deadline time.Time
	// Advice states what is known about the receiver, and the next step there.
	Advice string
}

// Templates holds the texts of the mails: one text file and one HTML file for each kind of notice. They share the
// built-in templates "changes" and "genuine".
type Templates struct {
	text map[tenancy.NoticeKind]*texttemplate.Template
	html map[tenancy.NoticeKind]*htmltemplate.Template
}

var noticeKinds = []tenancy.NoticeKind{tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.NewAuthority,
	tenancy.ByHand, tenancy.Differs, tenancy.StopAsked, tenancy.MailsStopped, tenancy.AuditHead, tenancy.TokensEnd,
	tenancy.AuthorityAwaited, tenancy.WatchExpected, tenancy.WatchRenewed, tenancy.WatchAlarmed}

// LoadTemplates reads the templates in a folder. For "" it returns the built-in ones.
func LoadTemplates(dir string) (*Templates, error) {
	// A folder may be older than a kind of notice. Then the built-in template is used.
	from := func(name string) (fs.FS, string) {
		if dir == "" {
			return builtIn, "templates/" + name
		}
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) &&
			!strings.HasPrefix(name, string(tenancy.Expiring)) && !strings.HasPrefix(name, string(tenancy.Renewed)) {
			return builtIn, "templates/" + name
		}
		return os.DirFS(dir), name
	}
	t := &Templates{map[tenancy.NoticeKind]*texttemplate.Template{}, map[tenancy.NoticeKind]*htmltemplate.Template{}}
	funcs := map[string]any{"day": func(at time.Time) string { return at.UTC().Format("2 January 2006, 15:04 MST") }}
	for _, kind := range noticeKinds {
		plain, rich := string(kind)+".txt", string(kind)+".html"
		shared := texttemplate.Must(texttemplate.New(plain).Funcs(funcs).ParseFS(builtIn, "templates/changes.txt",
			"templates/genuine.txt"))
		sharedHTML := htmltemplate.Must(htmltemplate.New(rich).Funcs(funcs).ParseFS(builtIn, "templates/changes.html",
			"templates/genuine.html"))
		var err error
		if t.text[kind], err = shared.ParseFS(from(plain)); err != nil {
			return nil, fmt.Errorf("mail templates: %w", err)
		}
		if t.html[kind], err = sharedHTML.ParseFS(from(rich)); err != nil {
			return nil, fmt.Errorf("mail templates: %w", err)
		}
		// Report a misspelt name now, not on the first of the month.
		sample := Letter{New: &Details{}, Authority: &Details{}, NewRoot: &Details{}, Arrangements: []Affected{{}},
			NewCAs: []Details{{}}, Watched: &WatchFacts{Systems: []SystemAdvice{{}}}}
		if _, _, err := t.render(kind, sample); err != nil {
			return nil, fmt.Errorf("mail templates: %w", err)
		}
	}
	return t, nil
}

func (t *Templates) render(kind tenancy.NoticeKind, l Letter) (text, html string, err error) {
	var plain, rich bytes.Buffer
	if err := t.text[kind].Execute(&plain, l); err != nil {
		return "", "", err
	}
	if err := t.html[kind].Execute(&rich, l); err != nil {
		return "", "", err
	}
	return plain.String(), rich.String(), nil
}

// compose returns the message (RFC 5322). It has a text and an HTML part and the new certificate attached, and is
// marked as sent by a machine.
func (t *Templates) compose(kind tenancy.NoticeKind, l Letter, from mail.Address) (*gomail.Msg, error) {
	text, html, err := t.render(kind, l)
	if err != nil {
		return nil, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&from)
	recipient, err := mailbox(l.Address)
	if err != nil {
		return nil, err
	}
	m.ToMailAddress(&mail.Address{Name: l.Name, Address: recipient})
	m.Subject(l.Subject)
	m.SetDateWithValue(l.Date)
	m.SetMessageIDWithValue(l.MessageID)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834, section 5
	if l.OneClick != "" {                              // RFC 8058, section 3.1
		m.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, "<"+l.OneClick+">")
		m.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	attach := func(name string, c *Details) {
		armoured := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER})
		m.AttachReadSeeker(name+".pem", bytes.NewReader(armoured), gomail.WithFileContentType("application/x-pem-file"))
		m.AttachReadSeeker(name+".cer", bytes.NewReader(c.DER), gomail.WithFileContentType("application/pkix-cert"))
	}
	switch {
	case l.New == nil:
	case l.Watched != nil:
		attach(l.Watched.Name, l.New)
	default:
		attach(fmt.Sprintf("%s-generation-%d", l.Tenant, l.New.Generation), l.New)
	}
	for i := range l.NewCAs {
		attach(fmt.Sprintf("new-ca-%d", i+1), &l.NewCAs[i])
	}
	if l.Authority != nil {
		attach("issuing-ca", l.Authority)
	}
	if l.NewRoot != nil {
		attach("root-ca", l.NewRoot)
	}
	return m, nil
}
