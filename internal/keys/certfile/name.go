package certfile

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An attribute is one attribute of a name (X.501).
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// relativeSET is a relative distinguished name. The suffix tells [asn1.Unmarshal] that it is a SET.
type relativeSET []attribute

// Name returns a distinguished name (DER) in the form of RFC 4514, as OpenSSL prints it with -nameopt RFC2253,-esc_msb:
// the last attribute first, with the short names of OpenSSL, and with non-ASCII characters as they are. It differs from
// that of [pkix.Name.String] in the names of attributes, in their values and in the order within a relative name.
func Name(der []byte) string {
	var rdns []relativeSET
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return "#" + strings.ToUpper(hex.EncodeToString(der)) // it cannot be read
	}
	var b strings.Builder
	for i := len(rdns) - 1; i >= 0; i-- {
		for j := len(rdns[i]) - 1; j >= 0; j-- {
			switch {
			case b.Len() == 0:
			case j == len(rdns[i])-1:
				b.WriteByte(',')
			default:
				b.WriteByte('+')
			}
			b.WriteString(rdns[i][j].String())
		}
	}
	return b.String()
}

// String returns an attribute as TYPE=VALUE. The value of an unknown type, or one that is not a text, is in
// hexadecimal.
func (a attribute) String() string {
	name, known := attributeNames[a.Type.String()]
	if !known {
		name = a.Type.String()
	}
	text, isText := textOf(a.Value)
	if !known || !isText {
		return name + "=#" + strings.ToUpper(hex.EncodeToString(a.Value.FullBytes))
	}
	return name + "=" + escaped(text)
}

// textOf returns the text of a value in UTF-8. ok is false if the value is not of a type that holds text.
func textOf(v asn1.RawValue) (text string, ok bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	const visible, universal = 26, 28
	switch v.Tag {
	case asn1.TagUTF8String:
		return string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagNumericString, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, visible,
		asn1.TagUTCTime, asn1.TagGeneralizedTime: // one byte per character, read as Latin-1
		runes := make([]rune, len(v.Bytes))
		for i, c := range v.Bytes {
			runes[i] = rune(c)
		}
		return string(runes), true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 > 0 {
			return "", false
		}
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = uint16(v.Bytes[2*i])<<8 | uint16(v.Bytes[2*i+1])
		}
		return string(utf16.Decode(units)), true
	case universal:
		if len(v.Bytes)%4 > 0 {
			return "", false
		}
		var runes []rune
		for i := 0; i < len(v.Bytes); i += 4 {
			runes = append(runes, rune(v.Bytes[i])<<24|rune(v.Bytes[i+1])<<16|rune(v.Bytes[i+2])<<8|rune(v.Bytes[i+3]))
		}
		return string(runes), true
	}
	return "", false
}

// escaped escapes a value (RFC 4514, section 2.4). Control characters are written as \XX.
func escaped(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, c == '#' && i == 0, c == ' ' && (i == 0 || i == len(text)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// attributeNames holds the short names of OpenSSL for the attributes of subjects and issuers.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
	"2.5.4.15": "businessCategory", "2.5.4.16": "postalAddress", "2.5.4.17": "postalCode", "2.5.4.18": "postOfficeBox",
	"2.5.4.20": "telephoneNumber", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials",
	"2.5.4.44": "generationQualifier", "2.5.4.45": "x500UniqueIdentifier", "2.5.4.46": "dnQualifier",
	"2.5.4.65": "pseudonym", "2.5.4.72": "role", "2.5.4.97": "organizationIdentifier",
	"1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName",
	"1.2.840.113549.1.9.8":       "unstructuredAddress",
	"0.9.2342.19200300.100.1.1":  "UID",
	"0.9.2342.19200300.100.1.3":  "mail",
	"0.9.2342.19200300.100.1.25": "DC",
	"1.3.6.1.4.1.311.60.2.1.1":   "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
	"1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}
