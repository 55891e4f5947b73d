package tenancy

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names go into URLs, host names, certificates and file names: the characters of a DNS label (RFC 1123, section 2.1).
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

var userNamePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$`)

// CheckName accepts what can be a DNS label: 1 to 63 of a-z, 0-9 and "-", not at the ends.
func CheckName(field, s string) error {
	if !namePattern.MatchString(s) {
		return Invalid(field, "%s is not allowed: use 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
			shown(s))
	}
	return nil
}

// CheckUserName accepts what [CheckName] does, and "." "_" "@" inside.
func CheckUserName(field, s string) error {
	if !userNamePattern.MatchString(s) {
		return Invalid(field, "%s is not allowed: use 1 to 63 of a-z, 0-9 and . _ @ -, beginning and ending with a letter "+
			"or digit", shown(s))
	}
	return nil
}

// maxText bounds what people type, in characters.
const maxText = 200

// CheckText accepts 1 to 200 printable characters of any script. Control characters, line breaks, and the invisible
// characters that turn the direction of text are refused: they could forge a line of a mail or of a log.
func CheckText(field, s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return Invalid(field, "must not be empty")
	case !utf8.ValidString(s):
		return Invalid(field, "is not valid UTF-8")
	case utf8.RuneCountInString(s) > maxText:
		return Invalid(field, "is longer than %d characters", maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\u200d' }):
		return Invalid(field, "%s has characters that cannot be printed: leave out control characters and line breaks",
			shown(s))
	}
	return nil
}

// maxNote bounds a task's note, in bytes.
const maxNote = 4000

// CheckNote accepts text of several lines; it may be empty.
func CheckNote(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return Invalid(field, "is not valid UTF-8")
	case len(s) > maxNote:
		return Invalid(field, "is longer than %d bytes", maxNote)
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\u200d'
	}):
		return Invalid(field, "has characters that cannot be printed")
	}
	return nil
}

// CheckEmail accepts one plain address (RFC 5321, section 4.1.2) of at most 254 bytes, without a display name.
func CheckEmail(field, s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || !unicode.IsPrint(r)
	}) {
		return Invalid(field, "%s is no e-mail address: write one such as alice@example.com", shown(s))
	}
	return nil
}

func checkEndpoint(s string, auth Authentication) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 2000 || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return Invalid("endpoint", "%s is no absolute URL: write one such as https://erp.example.com/orders", shown(s))
	case u.User != nil:
		return Invalid("endpoint", "must not carry a user name or password")
	case u.Fragment != "" || u.RawQuery != "":
		return Invalid("endpoint", "must not carry a query or a fragment")
	case u.Scheme == "http" && auth == ClientCertificate:
		return Invalid("endpoint", "a client certificate needs https")
	}
	return nil
}

// shown quotes a value for a message, shortened.
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
