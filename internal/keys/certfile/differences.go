package certfile

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A Difference is a part of a certificate that receivers check and that should stay the same at a renewal.
type Difference string

// The parts that [Differences] compares. The issuer is the CA by name and key.
const (
	IssuerDiffers  Difference = "issuer"
	SubjectDiffers Difference = "subject"
	SANDiffers     Difference = "subject alternative name"
	UsageDiffers   Difference = "extended key usage"
)

// Differences lists what differs between a certificate and the one that replaces it (DER), besides the key, the serial
// number and the dates. A subject that reads the same (RFC 4514), and usages in another order, are not a difference. It
// parses nothing unless bytes differ, because it runs at every renewal.
func Differences(before, after []byte) (all []Difference, err error) {
	old, err := profileOf(before)
	if err != nil {
		return nil, err
	}
	next, err := profileOf(after)
	if err != nil {
		return nil, err
	}
	if !sameIssuer(old, next) {
		all = append(all, IssuerDiffers)
	}
	if !bytes.Equal(old.Subject, next.Subject) && Name(old.Subject) != Name(next.Subject) {
		all = append(all, SubjectDiffers)
	}
	if !bytes.Equal(old.SAN, next.SAN) {
		all = append(all, SANDiffers)
	}
	if !bytes.Equal(old.usage, next.usage) && !slices.Equal(sortedUsages(old.usage), sortedUsages(next.usage)) {
		all = append(all, UsageDiffers)
	}
	return all, nil
}

// sameIssuer reports whether the same CA with the same key signed both. A CA that states no key identifier is compared
// by its name.
func sameIssuer(a, b profile) bool {
	return bytes.Equal(a.issuer, b.issuer) && (len(a.authorityKey) == 0 || len(b.authorityKey) == 0 ||
		bytes.Equal(a.authorityKey, b.authorityKey))
}

// sortedUsages returns the OIDs in the value of the extension.
func sortedUsages(value []byte) []string {
	usages := oidsOf(value)
	slices.Sort(usages)
	return usages
}

// A profile holds the parts of a certificate that identify it or limit its use. Each is DER, and nil if it is missing.
type profile struct {
	Names
	issuer       []byte // the distinguished name
	key          []byte // the subject public key info
	authorityKey []byte // the authority key identifier (RFC 5280, section 4.2.1.1), without the issuer's serial number
	usage        []byte // the extended key usage (section 4.2.1.12)
}

// profileOf reads a certificate (DER). It reads certificates that crypto/x509 refuses, such as those with a negative
// serial number.
func profileOf(der []byte) (p profile, err error) {
	in := cryptobyte.String(der)
	var cert, tbs, issuer, subject, key, extensions cryptobyte.String
	var extended bool
	versionTag, issuerUIDTag, subjectUIDTag, extensionsTag := cbasn1.Tag(0).ContextSpecific().Constructed(),
		cbasn1.Tag(1).ContextSpecific(), cbasn1.Tag(2).ContextSpecific(), cbasn1.Tag(3).ContextSpecific().Constructed()
	// RFC 5280, section 4.1
	if !in.ReadASN1(&cert, cbasn1.SEQUENCE) ||
		!cert.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(versionTag) ||
		!tbs.SkipASN1(cbasn1.INTEGER) || // serial number
		!tbs.SkipASN1(cbasn1.SEQUENCE) || // signature algorithm
		!tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!tbs.SkipASN1(cbasn1.SEQUENCE) || // validity
		!tbs.ReadASN1Element(&subject, cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&key, cbasn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(issuerUIDTag) ||
		!tbs.SkipOptionalASN1(subjectUIDTag) ||
		!tbs.ReadOptionalASN1(&extensions, &extended, extensionsTag) {
		return p, errUnnamed
	}
	p.issuer, p.Subject, p.key = issuer, subject, key
	if extended && !extensions.ReadASN1(&extensions, cbasn1.SEQUENCE) {
		return p, errUnnamed
	}
	for !extensions.Empty() {
		var extension, oid, value cryptobyte.String
		if !extensions.ReadASN1(&extension, cbasn1.SEQUENCE) ||
			!extension.ReadASN1Element(&oid, cbasn1.OBJECT_IDENTIFIER) ||
			!extension.SkipOptionalASN1(cbasn1.BOOLEAN) ||
			!extension.ReadASN1(&value, cbasn1.OCTET_STRING) {
			return p, errUnnamed
		}
		switch {
		case bytes.Equal(oid, subjectAltNameDER):
			p.SAN = value
		case bytes.Equal(oid, extKeyUsageDER):
			p.usage = value
		case bytes.Equal(oid, authorityKeyDER):
			p.authorityKey = keyIdentifier(value)
		}
	}
	return p, nil
}

// keyIdentifier returns the key identifier in the value of an authority key identifier; nil if it has none.
func keyIdentifier(value cryptobyte.String) []byte {
	var in, id cryptobyte.String
	var found bool
	if !value.ReadASN1(&in, cbasn1.SEQUENCE) ||
		!in.ReadOptionalASN1(&id, &found, cbasn1.Tag(0).ContextSpecific()) || !found {
		return nil
	}
	return id
}

// The encodings of 2.5.29.17, 2.5.29.37 and 2.5.29.35 (RFC 5280, section 4.2.1).
var (
	subjectAltNameDER = []byte{6, 3, 0x55, 0x1d, 0x11}
	extKeyUsageDER    = []byte{6, 3, 0x55, 0x1d, 0x25}
	authorityKeyDER   = []byte{6, 3, 0x55, 0x1d, 0x23}
)
