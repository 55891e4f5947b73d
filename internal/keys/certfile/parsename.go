package certfile

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxName is the maximum length of the text of a name, in bytes.
const maxName = 1000

// errNameForm is returned for text that is not a distinguished name.
var errNameForm = errors.New(`must be a name like CN=acme,OU=Payments,O=Example (RFC 4514), with \ before a comma, a ` +
	`plus sign or a quotation mark in a value`)

// ParseName returns the DER of a distinguished name that is written as [Name] writes it (RFC 4514): the last attribute
// first, with the short names of OpenSSL in any case. Values are texts. An empty text is the empty name.
func ParseName(text string) ([]byte, error) {
	if len(text) > maxName {
		return nil, fmt.Errorf("is longer than %d bytes", maxName)
	}
	if text == "" {
		return []byte{0x30, 0}, nil
	}
	var sets [][]nameValue
	for separator := byte(','); separator != 0; {
		v, next, rest, err := readNameValue(text)
		if err != nil {
			return nil, err
		}
		if separator == ',' {
			sets = append(sets, nil)
		}
		sets[len(sets)-1] = append(sets[len(sets)-1], v)
		separator, text = next, rest
	}
	slices.Reverse(sets)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(name *cryptobyte.Builder) {
		for _, set := range sets {
			addSet(name, set)
		}
	})
	return b.Bytes()
}

// addSet adds a relative name. DER wants the elements of a SET in the order of their encodings (X.690, section 11.6).
func addSet(name *cryptobyte.Builder, set []nameValue) {
	encoded := make([][]byte, len(set))
	for i, v := range set {
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(pair *cryptobyte.Builder) {
			pair.AddASN1ObjectIdentifier(v.oid)
			pair.AddASN1(v.stringType(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(v.text)) })
		})
		encoded[i] = b.BytesOrPanic()
	}
	slices.SortFunc(encoded, bytes.Compare)
	name.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, pair := range encoded {
			b.AddBytes(pair)
		}
	})
}

// A nameValue is an attribute of a name in text.
type nameValue struct {
	name string // of the attribute, as OpenSSL writes it
	oid  asn1.ObjectIdentifier
	text string
}

// stringType returns the type of the attribute's value (RFC 5280, appendix A.1).
func (v nameValue) stringType() cbasn1.Tag {
	switch v.name {
	case "C", "serialNumber", "dnQualifier":
		return cbasn1.PrintableString
	case "DC", "emailAddress", "mail":
		return cbasn1.IA5String
	}
	return cbasn1.UTF8String
}

// readNameValue reads the first attribute of a name. separator is the character behind it; 0 at the end.
func readNameValue(text string) (v nameValue, separator byte, rest string, err error) {
	kind, rest, ok := strings.Cut(text, "=")
	if !ok {
		return v, 0, "", errNameForm
	}
	kind = strings.TrimSpace(kind)
	for oid, name := range attributeNames {
		if strings.EqualFold(name, kind) {
			v.name, v.oid = name, objectIdentifier(oid)
		}
	}
	if v.name == "" {
		return v, 0, "", fmt.Errorf("has an attribute %q, which is not known: use one like CN, O, OU, C, L, ST or DC", kind)
	}
	value, separator, rest, err := readValue(rest)
	switch {
	case err != nil:
		return v, 0, "", err
	case value == "" || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return v, 0, "", fmt.Errorf("has an empty %s, or one with characters that cannot be printed", kind)
	case v.name == "C" && !countryPattern.MatchString(value):
		return v, 0, "", fmt.Errorf("has the country %q: use two letters", value)
	case v.stringType() != cbasn1.UTF8String && !asciiPattern.MatchString(value):
		return v, 0, "", fmt.Errorf("has the %s %q: use ASCII letters, digits and .@-_ only", v.name, value)
	}
	v.text = value
	return v, separator, rest, nil
}

var (
	countryPattern = regexp.MustCompile(`^[A-Za-z]{2}$`)
	asciiPattern   = regexp.MustCompile(`^[A-Za-z0-9.@_-]+$`)
)

// objectIdentifier reads an identifier in dots that is known to be valid.
func objectIdentifier(dots string) (oid asn1.ObjectIdentifier) {
	for arc := range strings.SplitSeq(dots, ".") {
		n, _ := strconv.Atoi(arc)
		oid = append(oid, n)
	}
	return oid
}

// readValue reads a value up to the next separator, and resolves what is escaped.
func readValue(text string) (value string, separator byte, rest string, err error) {
	var b strings.Builder
	spaces := 0 // that end the value, and are not escaped
	text = strings.TrimLeft(text, " ")
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == ',' || c == '+':
			return b.String()[:b.Len()-spaces], c, text[i+1:], nil
		case c == '"' || c == ';' || c == '<' || c == '>' || c == '#' && i == 0:
			return "", 0, "", errNameForm
		case c != '\\':
			b.WriteByte(c)
			if spaces++; c != ' ' {
				spaces = 0
			}
			continue
		case i+1 < len(text) && strings.IndexByte(` "#+,;<=>\`, text[i+1]) >= 0:
			b.WriteByte(text[i+1])
			i++
		case i+2 < len(text):
			octet, err := hex.DecodeString(text[i+1 : i+3])
			if err != nil {
				return "", 0, "", errNameForm
			}
			b.Write(octet)
			i += 2
		default:
			return "", 0, "", errNameForm
		}
		spaces = 0
	}
	return b.String()[:b.Len()-spaces], 0, "", nil
}

var dnsPattern = regexp.MustCompile(`^(?i:(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?)$`)

// ParseSAN returns the value of the extension with subject alternative names that are written as [Names.Text] writes
// them: "DNS:a.example.com, URI:https://a.example.com/, email:a@example.com". It is nil for an empty text.
func ParseSAN(text string) ([]byte, error) {
	switch {
	case text == "":
		return nil, nil
	case len(text) > maxName:
		return nil, fmt.Errorf("is longer than %d bytes", maxName)
	}
	var all []GeneralName
	for one := range strings.SplitSeq(text, ",") {
		n, err := parseGeneralName(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return SANOf(all...)
}

func parseGeneralName(text string) (n GeneralName, err error) {
	kind, value, _ := strings.Cut(text, ":")
	valid := false
	switch strings.ToLower(kind) {
	case "dns":
		n.Kind, valid = DNSName, len(value) < 254 && dnsPattern.MatchString(value)
	case "uri":
		u, err := url.Parse(value)
		n.Kind, valid = URIName, err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "")
	case "email":
		a, err := mail.ParseAddress(value)
		n.Kind, valid = EmailName, err == nil && a.Address == value
	default:
		return n, fmt.Errorf("has %q: use DNS:, URI: or email: before each name", text)
	}
	if n.Value = value; !valid || !isVisible(value) {
		return n, fmt.Errorf("has %q, which is not a valid %s name", text, kind)
	}
	return n, nil
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
