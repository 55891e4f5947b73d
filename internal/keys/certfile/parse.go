package certfile

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perennial-pki/perennial/tenancy"
)

const sequenceTag = 0x30

// first returns the first ASN.1 element of data, if only white space follows it. Otherwise it returns data.
func first(data []byte) []byte {
	var one asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &one); err == nil && len(bytes.Trim(rest, " \t\r\n\x00")) == 0 {
		return one.FullBytes
	}
	return data
}

// ParseCertificate is [x509.ParseCertificate] for certificates as old CAs made them: a PrintableString may contain any
// ASCII character, for example "_" or "@" (X.680 allows neither). What is returned has the bytes of der.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	lenient := bytes.Clone(der)
	if !relaxNames(lenient) {
		return nil, err
	}
	c, again := x509.ParseCertificate(lenient)
	if again != nil {
		return nil, err
	}
	original := func(part []byte) []byte { // parts of a parsed certificate share its memory
		at := cap(c.Raw) - cap(part)
		return der[at : at+len(part)]
	}
	c.RawTBSCertificate, c.RawSubject = original(c.RawTBSCertificate), original(c.RawSubject)
	c.RawIssuer, c.RawSubjectPublicKeyInfo = original(c.RawIssuer), original(c.RawSubjectPublicKeyInfo)
	c.Raw = bytes.Clone(der)
	return c, nil
}

// relaxNames makes each PrintableString of the issuer and the subject a UTF8String of the same length, in place. It
// reports whether there was one.
func relaxNames(der []byte) bool {
	in := cryptobyte.String(der)
	var cert, tbs, issuer, subject cryptobyte.String
	if !in.ReadASN1(&cert, casn1.SEQUENCE) || !cert.ReadASN1(&tbs, casn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(casn1.Tag(0).Constructed().ContextSpecific()) || // version
		!tbs.SkipASN1(casn1.INTEGER) || !tbs.SkipASN1(casn1.SEQUENCE) || // serial number, signature algorithm
		!tbs.ReadASN1(&issuer, casn1.SEQUENCE) || !tbs.SkipASN1(casn1.SEQUENCE) || // validity
		!tbs.ReadASN1(&subject, casn1.SEQUENCE) {
		return false
	}
	inIssuer, inSubject := relaxName(issuer), relaxName(subject)
	return inIssuer || inSubject
}

func relaxName(name cryptobyte.String) (changed bool) {
	for !name.Empty() {
		var set, pair cryptobyte.String
		if !name.ReadASN1(&set, casn1.SET) {
			return changed
		}
		for !set.Empty() {
			if !set.ReadASN1(&pair, casn1.SEQUENCE) || !pair.SkipASN1(casn1.OBJECT_IDENTIFIER) || len(pair) == 0 {
				return changed
			}
			if pair[0] == byte(casn1.PrintableString) && isASCII(pair) {
				pair[0], changed = byte(casn1.UTF8String), true
			}
		}
	}
	return changed
}

func isASCII(b []byte) bool {
	for _, c := range b[1:] {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// errTrusted is returned for a TRUSTED CERTIFICATE that does not begin with a certificate.
var errTrusted = tenancy.Failure("it does not begin with a certificate")

// parseTrusted parses a certificate with the trust settings of OpenSSL behind it.
func parseTrusted(data []byte) (*x509.Certificate, error) {
	var one asn1.RawValue
	if _, err := asn1.Unmarshal(data, &one); err != nil {
		return nil, errTrusted
	}
	return ParseCertificate(one.FullBytes)
}
