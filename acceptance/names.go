package acceptance

import (
	"crypto/x509"
	encodingasn1 "encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// nameKey returns a text that two distinguished names (DER) share if, and only if, they are the same. Values of the
// types PrintableString and UTF8String are compared without regard to their type, to case and to repeated spaces (RFC
// 5280, section 7.1). Every other difference counts, so that a name that looks alike is another one. The key of the
// empty name is empty.
func nameKey(der []byte) string {
	var key strings.Builder
	var name cryptobyte.String
	if in := cryptobyte.String(der); !in.ReadASN1(&name, asn1.SEQUENCE) || !in.Empty() {
		return fmt.Sprintf("unreadable %x", der)
	}
	for !name.Empty() {
		keys, ok := attributes(&name)
		if !ok {
			return fmt.Sprintf("unreadable %x", der)
		}
		slices.Sort(keys) // the order within a set has no meaning
		fmt.Fprintf(&key, "%s;", strings.Join(keys, "+"))
	}
	return key.String()
}

// attributes reads a set of attributes. An attribute with anything beside its type and its value is not one.
func attributes(name *cryptobyte.String) (keys []string, ok bool) {
	var set cryptobyte.String
	if !name.ReadASN1(&set, asn1.SET) {
		return nil, false
	}
	for !set.Empty() {
		var attribute, value cryptobyte.String
		var kind encodingasn1.ObjectIdentifier
		var tag asn1.Tag
		if !set.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&kind) ||
			!attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
			return nil, false
		}
		keys = append(keys, fmt.Sprintf("%s=%q", kind, compared(tag, value)))
	}
	return keys, true
}

// compared returns a value in the form in which it is compared.
func compared(tag asn1.Tag, value []byte) string {
	if (tag == asn1.PrintableString || tag == asn1.UTF8String) && utf8.Valid(value) {
		return "text " + folded(string(value))
	}
	return fmt.Sprintf("%d %x", tag, value)
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

// The tags of alternative names (RFC 5280, section 4.2.1.6).
var (
	mailTag = asn1.Tag(1).ContextSpecific()
	dnsTag  = asn1.Tag(2).ContextSpecific()
	uriTag  = asn1.Tag(6).ContextSpecific()
)

// identities returns the alternative names of a certificate: the URIs, and the DNS names and addresses of mail. They
// are compared as they are written: a URL that was parsed has lost some differences.
func identities(c *x509.Certificate) (uris, others string) {
	var us, os []string
	for _, e := range c.Extensions {
		if !e.Id.Equal(encodingasn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		in := cryptobyte.String(e.Value)
		var names, value cryptobyte.String
		var tag asn1.Tag
		for ok := in.ReadASN1(&names, asn1.SEQUENCE); ok && names.ReadAnyASN1(&value, &tag); {
			switch tag {
			case uriTag:
				us = append(us, fmt.Sprintf("%q", string(value)))
			case dnsTag:
				os = append(os, fmt.Sprintf("dns %q", asciiLower(string(value))))
			case mailTag:
				os = append(os, fmt.Sprintf("mail %q", string(value)))
			}
		}
	}
	joined := func(all []string) string {
		slices.Sort(all)
		return strings.Join(slices.Compact(all), " ")
	}
	return joined(us), joined(os)
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
