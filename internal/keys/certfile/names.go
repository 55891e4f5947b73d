package certfile

import (
	"bytes"
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Names identify the owner of a certificate to receivers that look at more than the certificate itself. Both are DER.
type Names struct {
	Subject []byte // the distinguished name
	SAN     []byte // the value of the extension; nil if the certificate has none
}

// NamesOf returns the names of a certificate (DER). It reads certificates that crypto/x509 refuses, such as those with
// a negative serial number.
func NamesOf(der []byte) (Names, error) {
	p, err := profileOf(der)
	return p.Names, err
}

// IssuerOf returns the name of the issuer of a certificate (DER), as [Name] does.
func IssuerOf(der []byte) (string, error) {
	p, err := profileOf(der)
	if err != nil {
		return "", err
	}
	return Name(p.issuer), nil
}

var errUnnamed = errors.New("the names in the certificate cannot be read")

// Equal reports whether two names are the same, byte for byte.
func (n Names) Equal(o Names) bool {
	return bytes.Equal(n.Subject, o.Subject) && bytes.Equal(n.SAN, o.SAN)
}

// HasSubject reports whether the subject has an attribute.
func (n Names) HasSubject() bool { return !bytes.Equal(n.Subject, []byte{0x30, 0}) }

// SANExtension returns the alternative names as an extension. It is critical if the subject is empty (RFC 5280, section
// 4.1.2.6).
func (n Names) SANExtension() pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: n.SAN, Critical: !n.HasSubject()}
}

// A GeneralName is one subject alternative name (RFC 5280, section 4.2.1.6).
type GeneralName struct {
	Kind  NameKind
	Value string // as it is encoded
}

// NameKind is the tag of a general name.
type NameKind uint8

// The kinds of names that a receiver can map to a sender.
const (
	EmailName NameKind = 1
	DNSName   NameKind = 2
	URIName   NameKind = 6
)

// kindNames holds the prefixes that OpenSSL prints.
var kindNames = map[NameKind]string{EmailName: "email", DNSName: "DNS", URIName: "URI"}

// Alternatives lists the subject alternative names.
func (n Names) Alternatives() (all []GeneralName, err error) {
	in := cryptobyte.String(n.SAN)
	if in.Empty() {
		return nil, nil
	}
	var names cryptobyte.String
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errUnnamed
	}
	for !names.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&value, &tag) {
			return nil, errUnnamed
		}
		all = append(all, GeneralName{NameKind(tag & 0x1f), string(value)})
	}
	return all, nil
}

// SANOf encodes subject alternative names as the value of the extension.
func SANOf(all ...GeneralName) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(names *cryptobyte.Builder) {
		for _, n := range all {
			names.AddASN1(cbasn1.Tag(n.Kind).ContextSpecific(), func(v *cryptobyte.Builder) { v.AddBytes([]byte(n.Value)) })
		}
	})
	return b.Bytes()
}

// A SubjectPart is an attribute of a subject: the last number of its type, which is below 2.5.4 (X.520), and its text.
type SubjectPart struct {
	Type  byte
	Value string
}

// The types of the attributes of subjects.
const (
	CommonName         = 3
	Organization       = 10
	OrganizationalUnit = 11
)

// SubjectOf returns a subject (DER) with one attribute for each relative distinguished name, in the form of
// [pkix.Name]: a PrintableString, or a UTF8String if that cannot hold the text.
func SubjectOf(all ...SubjectPart) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(name *cryptobyte.Builder) {
		for _, part := range all {
			if !utf8.ValidString(part.Value) {
				name.SetError(fmt.Errorf("%q is not valid UTF-8", part.Value))
			}
			tag := cbasn1.PrintableString
			if strings.ContainsFunc(part.Value, notPrintable) {
				tag = cbasn1.UTF8String
			}
			name.AddASN1(cbasn1.SET, func(set *cryptobyte.Builder) {
				set.AddASN1(cbasn1.SEQUENCE, func(attribute *cryptobyte.Builder) {
					attribute.AddBytes([]byte{byte(cbasn1.OBJECT_IDENTIFIER), 3, 0x55, 4, part.Type})
					attribute.AddASN1(tag, func(v *cryptobyte.Builder) { v.AddBytes([]byte(part.Value)) })
				})
			})
		}
	})
	return b.Bytes()
}

// notPrintable reports whether a PrintableString cannot hold a character (ITU-T X.680, section 41.4).
func notPrintable(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune(" '()+,-./:=?", r)
}

// Text returns the names for people: the subject in the form of RFC 4514 and the alternative names, comma-separated.
func (n Names) Text() (subject, san string) {
	all, err := n.Alternatives()
	if err != nil {
		return Name(n.Subject), "unreadable"
	}
	texts := make([]string, len(all))
	for i, a := range all {
		kind, known := kindNames[a.Kind]
		if !known {
			texts[i] = "other"
			continue
		}
		texts[i] = kind + ":" + a.Value
	}
	return Name(n.Subject), strings.Join(texts, ", ")
}

// An Attribute is an attribute of a subject, in the form in which attributes are compared: by case-folded text without
// differences in spaces, in the composition of characters or in their width (RFC 5280, section 7.1; RFC 4518).
type Attribute struct {
	Type  string // short name as OpenSSL has it, or the OID
	Value string
}

// Attributes lists the attributes of the subject, sorted. ok is false if the subject cannot be read, or if a value is
// not a text or has control characters, so that programs would read it in different ways.
func (n Names) Attributes() (all []Attribute, ok bool) {
	var rdns []relativeSET
	if rest, err := asn1.Unmarshal(n.Subject, &rdns); err != nil || len(rest) > 0 {
		return nil, false
	}
	for _, rdn := range rdns {
		for _, a := range rdn {
			name, known := attributeNames[a.Type.String()]
			if !known {
				name = a.Type.String()
			}
			text, isText := textOf(a.Value)
			if !isText || strings.ContainsFunc(text, unicode.IsControl) {
				return nil, false
			}
			all = append(all, Attribute{name, Fold(text)})
		}
	}
	slices.SortFunc(all, func(a, b Attribute) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Value, b.Value))
	})
	return all, true
}

// Fold returns a text in the form in which names are compared.
func Fold(text string) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) { // such as a space of width 0
			return -1
		}
		return r
	}, norm.NFKC.String(text))
	return cases.Fold().String(strings.Join(strings.Fields(visible), " "))
}

// Claims returns a text for each name by which a receiver could tell two owners apart. Names that receivers take for
// the same have the same text, whatever the order of their attributes.
func (n Names) Claims() (claims []string) {
	if attributes, ok := n.Attributes(); ok && len(attributes) > 0 {
		text := make([]string, len(attributes))
		for i, a := range attributes {
			text[i] = a.Type + "=" + strings.NewReplacer("\\", "\\\\", ",", "\\,").Replace(a.Value)
		}
		claims = append(claims, "subject:"+strings.Join(text, ","))
	}
	all, err := n.Alternatives()
	if err != nil {
		return claims
	}
	for _, a := range all {
		if kind, known := kindNames[a.Kind]; known {
			claims = append(claims, strings.ToLower(kind)+":"+Fold(a.Value))
		}
	}
	return claims
}
