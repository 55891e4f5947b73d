package tenancy

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Names are used in URLs, host names, certificates and file names, so they have the characters of a DNS label (RFC
// 1123, section 2.1).
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

var userNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$`)

// CheckName accepts a DNS label: 1 to 63 of a-z, 0-9 and "-", without "-" at the ends.
func CheckName(field, s string) error {
	if !namePattern.MatchString(s) {
		return Invalid(field, "invalid name %s: use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends",
			shown(s))
	}
	return nil
}

// CheckUserName accepts the same as [CheckName], and also "." "_" "@" inside.
func CheckUserName(field, s string) error {
	if !userNamePattern.MatchString(s) {
		return Invalid(field, "invalid name %s: use 1 to 63 of a-z, 0-9 and . _ @ -, with a letter or digit at both "+
			"ends", shown(s))
	}
	return nil
}

// maxText is the maximum length of a text, in characters.
const maxText = 200

// CheckText accepts 1 to 200 printable characters of any script. It refuses control characters, line breaks, and
// invisible characters that change the direction of text, because they could forge a line of a mail or of a log.
func CheckText(field, s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return Invalid(field, "must not be empty")
	case !utf8.ValidString(s):
		return Invalid(field, "is not valid UTF-8")
	case utf8.RuneCountInString(s) > maxText:
		return Invalid(field, "is longer than %d characters", maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\u200d' }):
		return Invalid(field, "%s contains characters that cannot be printed: remove control characters and line breaks",
			shown(s))
	}
	return nil
}

// maxNote is the maximum length of a task's note, in bytes.
const maxNote = 4000

// CheckNote accepts text of several lines. It may be empty.
func CheckNote(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return Invalid(field, "is not valid UTF-8")
	case len(s) > maxNote:
		return Invalid(field, "is longer than %d bytes", maxNote)
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\u200d'
	}):
		return Invalid(field, "contains characters that cannot be printed: remove control characters")
	}
	return nil
}

// CheckEmail accepts one plain address (RFC 5321, section 4.1.2) of at most 254 bytes, without a display name.
func CheckEmail(field, s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || !unicode.IsPrint(r)
	}) {
		return Invalid(field, "invalid e-mail address %s: use one such as alice@example.com", shown(s))
	}
	at := strings.LastIndex(s, "@")
	if !ascii(s[:at]) {
		return Invalid(field, "the part of %s before the @ has letters other than ASCII. Mails to it would need SMTPUTF8 "+
			"(RFC 6531) at every mail server on the way: use an address of ASCII letters", shown(s))
	}
	if domain := s[at+1:]; !ascii(domain) {
		if _, err := idna.Lookup.ToASCII(domain); err != nil {
			return Invalid(field, "invalid domain in the e-mail address %s: it has no form for DNS (RFC 5891)", shown(s))
		}
	}
	return nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func checkEndpoint(s string, auth Authentication) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 2000 || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return Invalid("endpoint", "%s is not an absolute URL: use one such as https://erp.example.com/orders", shown(s))
	case u.User != nil:
		return Invalid("endpoint", "must not contain a user name or password")
	case u.Fragment != "" || u.RawQuery != "":
		return Invalid("endpoint", "must not contain a query or a fragment")
	case u.Scheme == "http" && auth == ClientCertificate:
		return Invalid("endpoint", "must be an https URL for a client certificate")
	}
	return nil
}

// shown returns a value for a message, quoted and shortened.
func shown(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return "\"" + strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s) + "\""
}
