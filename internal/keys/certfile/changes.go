package certfile

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-pki/perennial/tenancy"
)

// Changes returns what a receiver may notice when a certificate replaces another one. Each chain holds certificates
// (DER): first the one that is compared, then the CAs above it, without the root. The root is taken from the last one's
// issuer. If the issuing CA changes and a chain is incomplete, the root counts as changed too.
func Changes(before, after [][]byte) (c tenancy.Changes, err error) {
	old, err1 := profilesOf(before)
	next, err2 := profilesOf(after)
	if err := errors.Join(err1, err2); err != nil {
		return c, fmt.Errorf("compare two certificates: %w", err)
	}
	a, b := old[0], next[0]
	c.Key = !bytes.Equal(a.key, b.key)
	c.Subject = !bytes.Equal(a.Subject, b.Subject)
	c.SAN = !bytes.Equal(a.SAN, b.SAN)
	c.Issuer = !sameIssuer(a, b)
	c.Root = c.Issuer && !sameIssuer(old[len(old)-1], next[len(next)-1])
	return c, nil
}

// profilesOf reads a chain. It does not parse whole certificates, because every mail about a renewal compares two.
func profilesOf(chain [][]byte) ([]profile, error) {
	if len(chain) == 0 {
		return nil, errEmptyChain
	}
	profiles := make([]profile, len(chain))
	for i, der := range chain {
		var err error
		if profiles[i], err = profileOf(der); err != nil {
			return nil, err
		}
	}
	return profiles, nil
}

// Foreseen returns what a receiver may notice when a certificate is replaced by one that has a new key and the given
// names. The chains hold certificates (DER): before as for [Changes], and above the CAs of the new one from the issuing
// CA to the root.
func Foreseen(before [][]byte, names Names, above [][]byte) (c tenancy.Changes, err error) {
	old, err1 := parseChain(before)
	authorities, err2 := parseChain(above)
	if err := errors.Join(err1, err2); err != nil {
		return c, fmt.Errorf("compare a certificate with the next one: %w", err)
	}
	has, err := NamesOf(old[0].Raw)
	if err != nil {
		return c, err
	}
	c = tenancy.Changes{Key: true, Subject: !bytes.Equal(has.Subject, names.Subject),
		SAN:    !bytes.Equal(has.SAN, names.SAN),
		Issuer: !IsIssuer(authorities[0], old[0])}
	c.Root = c.Issuer && !IsIssuer(authorities[len(authorities)-1], old[len(old)-1])
	return c, nil
}

// IsIssuer reports whether a CA signed a certificate, by its name and its key. A certificate that states no key
// identifier is compared by the name.
func IsIssuer(ca, c *x509.Certificate) bool {
	return bytes.Equal(ca.RawSubject, c.RawIssuer) && (len(ca.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 ||
		bytes.Equal(ca.SubjectKeyId, c.AuthorityKeyId))
}

// IssuesAnother reports whether a CA is the issuer of another one of some certificates.
func IssuesAnother(ca *x509.Certificate, all []*x509.Certificate) bool {
	return ca.IsCA && slices.ContainsFunc(all, func(c *x509.Certificate) bool {
		return !bytes.Equal(c.Raw, ca.Raw) && IsIssuer(ca, c)
	})
}

var errEmptyChain = errors.New("a chain is empty")

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errEmptyChain
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
