package acceptance

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A namePart is an attribute of a distinguished name.
type namePart struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// nameKey returns a text that two distinguished names (DER) share if, and only if, they are the same. Values of the
// types PrintableString and UTF8String are compared without regard to their type, to case and to repeated spaces (RFC
// 5280, section 7.1). Every other difference counts, so that a name that looks alike is another one. The key of the
// empty name is empty.
func nameKey(der []byte) string {
	var sets []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &sets); err != nil || len(rest) > 0 {
		return fmt.Sprintf("unreadable %x", der)
	}
	var key strings.Builder
	for _, set := range sets {
		parts, err := partsOf(set)
		if err != nil {
			return fmt.Sprintf("unreadable %x", der)
		}
		keys := make([]string, len(parts))
		for i, p := range parts {
			keys[i] = fmt.Sprintf("%s=%q", p.Type, p.value())
		}
		slices.Sort(keys) // the order within a set has no meaning
		fmt.Fprintf(&key, "%s;", strings.Join(keys, "+"))
	}
	return key.String()
}

func partsOf(set asn1.RawValue) (parts []namePart, err error) {
	for rest := set.Bytes; len(rest) > 0; {
		var p namePart
		if rest, err = asn1.Unmarshal(rest, &p); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// value returns the value in the form in which it is compared.
func (p namePart) value() string {
	v := p.Value
	if v.Class == asn1.ClassUniversal && utf8.Valid(v.Bytes) {
		switch v.Tag {
		case asn1.TagPrintableString, asn1.TagUTF8String:
			return "text " + folded(string(v.Bytes))
		}
	}
	return fmt.Sprintf("%d %d %x", v.Class, v.Tag, v.Bytes)
}

// folded removes differences in case and in spaces. It keeps a letter whose lower-case form belongs to another letter,
// such as the Kelvin sign.
func folded(text string) string {
	text = strings.Map(func(r rune) rune {
		if lower := unicode.ToLower(r); unicode.ToUpper(lower) == r {
			return lower
		}
		return r
	}, text)
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
	return strings.Join(words, " ")
}

// identities returns the alternative names of a certificate: the URIs, and the DNS names and addresses of mail.
func identities(c *x509.Certificate) (uris, others string) {
	var all []string
	for _, u := range c.URIs {
		all = append(all, fmt.Sprintf("%q", u.String()))
	}
	slices.Sort(all)
	uris = strings.Join(slices.Compact(all), " ")
	all = nil
	for _, d := range c.DNSNames {
		all = append(all, fmt.Sprintf("dns %q", asciiLower(d)))
	}
	for _, m := range c.EmailAddresses {
		all = append(all, fmt.Sprintf("mail %q", m))
	}
	slices.Sort(all)
	return uris, strings.Join(slices.Compact(all), " ")
}

// asciiLower leaves letters outside ASCII, some of which have a lower-case form in ASCII.
func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
