package issuer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

var nameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30} // RFC 5280, section 4.2.1.10

// anchors verifies chains up to a bundle. A chain that many certificates have is verified once, because a root is slow
// to verify with.
type anchors struct {
	mu     sync.Mutex // guards what follows
	bundle []byte
	roots  *x509.CertPool
	known  map[[sha256.Size]byte]verifiedChain
}

// A verifiedChain leads to the bundle in a period.
type verifiedChain struct {
	issuing  *x509.CertPool // its first certificate
	from, to time.Time
}

// maxKnown bounds the memory of [anchors].
const maxKnown = 64

// verify returns an error unless the leaf is valid at an instant for client authentication below the bundle (PEM).
func (a *anchors) verify(leaf *x509.Certificate, chain [][]byte, bundle []byte, at time.Time) error {
	if at.Before(leaf.NotBefore) {
		at = leaf.NotBefore // the clock of the CA is ahead
	}
	options := x509.VerifyOptions{CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	sum := sha256.Sum256(certfile.JoinChain(chain))
	a.mu.Lock()
	if a.roots == nil || !bytes.Equal(a.bundle, bundle) {
		a.bundle, a.roots, a.known = bundle, x509.NewCertPool(), map[[sha256.Size]byte]verifiedChain{}
		a.roots.AppendCertsFromPEM(bundle)
	}
	roots, found := a.roots, a.known[sum]
	a.mu.Unlock()
	if found.issuing != nil && !at.Before(found.from) && at.Before(found.to) {
		options.Roots = found.issuing
		_, err := leaf.Verify(options)
		return err
	}
	above, err := parsed(chain)
	if err != nil {
		return err
	}
	options.Roots, options.Intermediates = roots, x509.NewCertPool()
	for _, c := range above {
		options.Intermediates.AddCert(c)
	}
	lines, err := leaf.Verify(options)
	if err != nil {
		return unverified(err, leaf, above, at)
	}
	if len(above) > 0 && bytes.Equal(lines[0][1].Raw, above[0].Raw) {
		a.remember(sum, lines[0][1:], bundle)
	}
	return nil
}

// remember keeps a verified chain of authorities, from the issuing one to the root, unless one above the issuing one
// constrains the names of each certificate.
func (a *anchors) remember(sum [sha256.Size]byte, line []*x509.Certificate, bundle []byte) {
	v := verifiedChain{issuing: x509.NewCertPool(), from: line[0].NotBefore, to: line[0].NotAfter}
	v.issuing.AddCert(line[0])
	for _, c := range line[1:] {
		for _, e := range c.Extensions {
			if e.Id.Equal(nameConstraints) {
				return
			}
		}
		v.from, v.to = latest(v.from, c.NotBefore), earliest(v.to, c.NotAfter)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) < maxKnown && bytes.Equal(a.bundle, bundle) {
		a.known[sum] = v
	}
}

func latest(a, b time.Time) time.Time   { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }
func earliest(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }

func parsed(chain [][]byte) (all []*x509.Certificate, err error) {
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("its chain cannot be read: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// unverified describes why a chain does not lead to the bundle.
func unverified(err error, leaf *x509.Certificate, above []*x509.Certificate, at time.Time) error {
	for _, c := range above {
		if at.After(c.NotAfter) {
			return Failed(Expired, "the CA signed with %s, whose certificate expired at %s", certfile.Name(c.RawSubject),
				c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		top := slices.Concat([]*x509.Certificate{leaf}, above)[len(above)]
		return fmt.Errorf("its chain does not lead to a configured root: it ends below %s", certfile.Name(top.RawIssuer))
	}
	return fmt.Errorf("its chain is not valid: %w", err)
}
