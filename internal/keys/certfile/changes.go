package certfile

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/perennial-pki/perennial/tenancy"
)

// Changes returns what a receiver may notice when a certificate replaces another one. Each chain holds certificates
// (DER): first the one that is compared, then the CAs above it, without the root. The root is taken from the last one's
// issuer. If the issuing CA changes and a chain is incomplete, the root counts as changed too.
func Changes(before, after [][]byte) (c tenancy.Changes, err error) {
	old, err1 := parseChain(before)
	next, err2 := parseChain(after)
	if err := errors.Join(err1, err2); err != nil {
		return c, fmt.Errorf("compare two certificates: %w", err)
	}
	a, b := old[0], next[0]
	c.Key = !bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
	c.Subject = !bytes.Equal(a.RawSubject, b.RawSubject)
	c.SAN = !bytes.Equal(san(a), san(b))
	c.Issuer = !sameIssuer(a, b)
	c.Root = c.Issuer && !sameIssuer(old[len(old)-1], next[len(next)-1])
	return c, nil
}

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("a chain is empty")
	}
	parsed := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		var err error
		if parsed[i], err = ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

// sameIssuer reports whether the same CA with the same key signed both. A CA that states no key identifier is compared
// by its name.
func sameIssuer(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawIssuer, b.RawIssuer) && (len(a.AuthorityKeyId) == 0 || len(b.AuthorityKeyId) == 0 ||
		bytes.Equal(a.AuthorityKeyId, b.AuthorityKeyId))
}

// san returns the value of the extension with the subject alternative names; nil if there is none.
func san(c *x509.Certificate) []byte {
	for _, e := range c.Extensions {
		if e.Id.Equal(subjectAltName) {
			return e.Value
		}
	}
	return nil
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17} // RFC 5280, section 4.2.1.6
