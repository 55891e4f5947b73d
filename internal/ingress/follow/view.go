package follow

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// A View is a document at an instant: the certificates that a receiver accepts now. Templates read it. Its texts have
// no control characters and no line breaks, whatever the document contains.
type View struct {
	// Tenant and Arrangement name the sender. In the feed of a counterparty, Tenant is the name of the counterparty, and
	// Arrangement is empty.
	Tenant, Arrangement string
	Sequence            uint64
	// Certificates are those to accept, in the order of their generations. There is at least one. In the feed of a
	// counterparty, they are ordered by tenant and arrangement first, and each is there once.
	Certificates []Certificate
	// CAs are the CAs above them, and those of Certificates that signed themselves.
	CAs []Certificate
}

// A Certificate has the values of a certificate in the forms that products compare.
type Certificate struct {
	// Tenant and Arrangement name the sender; both are empty for a CA.
	Tenant, Arrangement string

	Generation int        // 0 for a CA
	State      feed.State // empty for a CA
	// RemoveAfter is the time from which the certificate is not written any more; nil if that is not known.
	RemoveAfter *time.Time

	SHA256, SHA1             string // of the whole certificate, in lowercase hexadecimal
	SHA256Colons, SHA1Colons string // the same as OpenSSL prints them: AA:BB:...
	// PEMSHA1 is the SHA-1 of the certificate as PEM, with the last line break. Apache can compute it.
	PEMSHA1               string
	Serial, SerialDecimal string // hexadecimal and decimal
	Subject, Issuer       string // RFC 4514
	NotBefore, NotAfter   time.Time
	PEM                   string // with the last line break
	Base64                string // DER, in one line

	parsed *x509.Certificate
}

// errNothingLeft means that a document has no certificate to accept any more.
var errNothingLeft = errors.New("every certificate of the feed has expired or was to be removed: the last good state " +
	"is kept; check the clock of this machine, then ask the sender")

// NewView returns what a document asks to accept at an instant. Certificates that have expired, or whose time to be
// removed has come, are left out.
func NewView(d feed.Document, now time.Time) (v View, err error) {
	v = View{Tenant: oneLine(d.Tenant), Arrangement: oneLine(d.Arrangement), Sequence: d.Sequence}
	if v.Certificates, err = certificatesOf(d, now); err != nil {
		return View{}, err
	}
	if v.CAs, err = authoritiesOf(v.Certificates, d.CAs, now); err != nil {
		return View{}, err
	}
	return v, nil
}

// certificatesOf returns the certificates of a document to accept at an instant. There is at least one.
func certificatesOf(d feed.Document, now time.Time) (all []Certificate, err error) {
	for _, c := range d.Certificates {
		parsed, err := c.Parsed()
		if err != nil {
			return nil, fmt.Errorf("generation %d of the feed: %w", c.Generation, err)
		}
		if now.After(parsed.NotAfter) || c.RemoveAfter != nil && now.After(*c.RemoveAfter) {
			continue
		}
		values := valuesOf(parsed)
		values.Tenant, values.Arrangement = oneLine(d.Tenant), oneLine(d.Arrangement)
		values.Generation, values.State, values.RemoveAfter = c.Generation, c.State, c.RemoveAfter
		all = append(all, values)
	}
	if len(all) == 0 {
		return nil, errNothingLeft
	}
	return all, nil
}

// authoritiesOf returns the CAs above certificates, and those of the certificates that signed themselves. Each is there
// once, and valid at now.
func authoritiesOf(certificates []Certificate, cas [][]byte, now time.Time) (all []Certificate, err error) {
	var parsed []*x509.Certificate
	for _, der := range cas {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a CA of the feed: %w", err)
		}
		parsed = append(parsed, ca)
	}
	parsed = above(certificates, parsed)
	for _, c := range certificates {
		if signedItself(c.parsed) {
			parsed = append(parsed, c.parsed)
		}
	}
	seen := map[string]bool{}
	for _, c := range parsed {
		if !now.After(c.NotAfter) && !seen[string(c.Raw)] {
			all = append(all, valuesOf(c))
		}
		seen[string(c.Raw)] = true
	}
	return all, nil
}

// above returns the CAs that have issued one of the certificates, or a CA above it. The sender chooses the others, and
// a receiver would trust them for all of its partners.
func above(certificates []Certificate, cas []*x509.Certificate) (all []*x509.Certificate) {
	var issued []*x509.Certificate
	for _, c := range certificates {
		issued = append(issued, c.parsed)
	}
	left := slices.Clone(cas)
	for len(issued) > 0 {
		c := issued[0]
		issued = issued[1:]
		left = slices.DeleteFunc(left, func(ca *x509.Certificate) bool {
			if !ca.IsCA || !bytes.Equal(ca.RawSubject, c.RawIssuer) || c.CheckSignatureFrom(ca) != nil {
				return false
			}
			all, issued = append(all, ca), append(issued, ca)
			return true
		})
	}
	return all
}

// signedItself reports whether a certificate is its own CA. Equal names are not enough: the certificate of another CA
// would be trusted as one.
func signedItself(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func valuesOf(c *x509.Certificate) Certificate {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	sha256, sha1 := certfile.Fingerprint(c.Raw), certfile.SHA1(c.Raw)
	return Certificate{SHA256: sha256, SHA1: sha1, SHA256Colons: colons(sha256), SHA1Colons: colons(sha1),
		PEMSHA1: certfile.SHA1(text), Serial: certfile.Serial(c), SerialDecimal: c.SerialNumber.String(),
		Subject: oneLine(certfile.Name(c.RawSubject)), Issuer: oneLine(certfile.Name(c.RawIssuer)),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), PEM: string(text),
		Base64: base64.StdEncoding.EncodeToString(c.Raw), parsed: c}
}

// colons returns hexadecimal digits in upper case with a colon after each octet.
func colons(digits string) string {
	var b strings.Builder
	for i := 0; i+1 < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(digits[i : i+2]))
	}
	return b.String()
}

// oneLine escapes the characters that a program could take for the end of a line, and those that hide or reorder text,
// as \XX for each octet (RFC 4514, section 2.4). [certfile.Name] has escaped the ASCII ones.
func oneLine(text string) string {
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		if unicode.IsPrint(r) && !(r == utf8.RuneError && size == 1) {
			b.WriteString(text[i : i+size])
			continue
		}
		for _, octet := range []byte(text[i : i+size]) {
			fmt.Fprintf(&b, `\%02X`, octet)
		}
	}
	return b.String()
}

// plain returns a text for a comment: every character but letters, digits and a few harmless marks becomes an
// underscore.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(" .-_", r) {
			return r
		}
		return '_'
	}, text)
}
