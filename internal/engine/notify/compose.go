package notify

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"fmt"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Platform describes the sender of mails to their readers.
type Platform struct {
	Name        string // such as "Acme Cloud"; empty for Perennial
	HelpAddress string // for questions and replies; may be empty
	HelpPhone   string // may be empty
	Imprint     string // below every mail; may be empty
	// Preferences are those of readers without their own.
	tenancy.Preferences
}

// defaultPlatform is the name of a platform that is not configured.
const defaultPlatform = "Perennial"

// DialString returns the telephone number for help in a "tel" URI (RFC 3966); empty if it is not a single number.
func (p Platform) DialString() string {
	phone := strings.ReplaceAll(p.HelpPhone, "(0)", "") // it is dialled inside the country only
	if strings.Trim(phone, "+0123456789 -./()\u00a0") != "" || strings.LastIndex(phone, "+") > 0 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '+' {
			return r
		}
		return -1
	}, phone)
}

// sender returns the name of the sender.
func (p Platform) sender(language string) string {
	if language == tenancy.German {
		return cmp.Or(p.Name, defaultPlatform) + " Zertifikate"
	}
	return cmp.Or(p.Name, defaultPlatform) + " certificates"
}

// compose returns the message (RFC 5322). It has a text and an HTML part and the new certificate attached, and is
// marked as sent by a machine.
func (t *Templates) compose(kind tenancy.NoticeKind, l Letter, from mail.Address) (*gomail.Msg, error) {
	text, html, err := t.render(kind, l)
	if err != nil {
		return nil, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	from.Name = cmp.Or(from.Name, l.Platform.sender(l.Language))
	m.FromMailAddress(&from)
	if l.Platform.HelpAddress != "" {
		if err := m.ReplyTo(l.Platform.HelpAddress); err != nil {
			return nil, err
		}
	}
	recipient, err := mailbox(l.Address)
	if err != nil {
		return nil, err
	}
	m.ToMailAddress(&mail.Address{Name: l.FullName(), Address: recipient})
	m.Subject(l.Subject)
	m.SetDateWithValue(l.Date)
	m.SetMessageIDWithValue(l.MessageID)
	if l.Thread != "" { // RFC 5322, section 3.6.4
		m.SetGenHeaderPreformatted(gomail.HeaderInReplyTo, "<"+l.Thread+">")
		m.SetGenHeaderPreformatted(gomail.HeaderReferences, "<"+l.Thread+">")
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated")         // RFC 3834, section 5
	if _, found := t.pairs[kind]; !found && l.Language != "" { // the language of a pair is not known
		m.SetGenHeader(gomail.HeaderContentLang, l.Language)
	}
	if l.OneClick != "" { // RFC 8058, section 3.1
		m.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, "<"+l.OneClick+">")
		m.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	for _, file := range l.attachments() {
		m.AttachReadSeeker(file.name, bytes.NewReader(file.content), gomail.WithFileContentType("application/x-pem-file"))
	}
	return m, nil
}

// An attachment is a PEM file. Other forms of certificates are not attached, because Outlook blocks them.
type attachment struct {
	name    string
	content []byte
}

// attachments returns the new certificate in one file, and the certificates of a new CA in another one.
func (l Letter) attachments() (files []attachment) {
	switch {
	case l.Administered != nil && l.Administered.Party != nil:
		if of := l.Administered.Party.files; len(of) > 0 {
			files = append(files, fileOf("new-certificates", of...))
		}
	case l.New == nil:
	case l.Watched != nil:
		files = append(files, fileOf(l.Watched.Name, *l.New))
	default:
		files = append(files, fileOf(fmt.Sprintf("%s-%s-generation-%d", l.Tenant, cmp.Or(l.Purpose, tenancy.ForTenant),
			l.New.Generation), *l.New))
	}
	authorities := l.NewCAs
	if l.Authority != nil {
		authorities = append(authorities[:len(authorities):len(authorities)], *l.Authority)
	}
	if l.NewRoot != nil {
		authorities = append(authorities[:len(authorities):len(authorities)], *l.NewRoot)
	}
	if len(authorities) > 0 {
		files = append(files, fileOf("new-ca", authorities...))
	}
	return files
}

// fileOf returns a file that is named after what it contains: the expiry and the first digits of the fingerprint
// distinguish it from every other one in a folder of downloads.
func fileOf(name string, all ...Details) attachment {
	first := all[0]
	if !first.NotAfter.IsZero() {
		name += "-until-" + first.NotAfter.UTC().Format(time.DateOnly)
	}
	if len(first.Fingerprint) >= shownDigits {
		name += "-" + first.Fingerprint[:shownDigits]
	}
	var content strings.Builder
	for _, c := range all {
		content.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER}))
	}
	return attachment{name + ".pem", []byte(content.String())}
}

// shownDigits is the number of digits of a fingerprint in the name of a file.
const shownDigits = 8
