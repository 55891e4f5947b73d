package issuer

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// Checked returns an issuer that accepts only what was requested from i: a client certificate of the requested key that
// names the tenant or keeps its names, can sign a handshake and no certificate, agrees with the report of i, and comes
// from the requested authority if i reports its authority. If i is a [Bundler] without authorities of its own, the
// chain must lead to its bundle. The error is an [*Error] that describes the certificate. The caller decides whether
// the certificate is valid for long enough. The capabilities of i stay reachable with [As].
func Checked(i Issuer) Issuer {
	c := checked{issuer: i, anchors: &anchors{}}
	c.namer, _ = As[Namer](i)
	if _, own := As[Hierarchy](i); !own {
		c.bundler, _ = As[Bundler](i)
	}
	if later, ok := As[Collector](i); ok {
		return checkedCollector{c, later}
	}
	return c
}

type checked struct {
	issuer  Issuer
	namer   Namer   // may be nil
	bundler Bundler // may be nil
	anchors *anchors
}

// Unwrap makes the capabilities of the issuer reachable.
func (c checked) Unwrap() Issuer { return c.issuer }

// Issue implements [Issuer].
func (c checked) Issue(ctx context.Context, r Request) (Issued, error) {
	issued, err := c.issuer.Issue(ctx, r)
	return c.verified(issued, r, err)
}

type checkedCollector struct {
	checked
	later Collector
}

// Collect implements [Collector].
func (c checkedCollector) Collect(ctx context.Context, handle string, r Request) (Issued, error) {
	issued, err := c.later.Collect(ctx, handle, r)
	return c.verified(issued, r, err)
}

func (c checked) verified(issued Issued, r Request, err error) (Issued, error) {
	if err != nil {
		return Issued{}, err
	}
	if err := c.check(issued, r); err != nil {
		if fault, _ := FaultOf(err); fault != "" {
			return Issued{}, err
		}
		return Issued{}, &Error{Fault: Mismatched,
			Text: "the CA answered with a certificate that was not requested; it is discarded", Err: err}
	}
	return issued, nil
}

func (c checked) check(issued Issued, r Request) error {
	leaf, err := x509.ParseCertificate(issued.DER)
	if err != nil {
		return err
	}
	if err := checkUse(leaf, r); err != nil {
		return err
	}
	key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !key.Equal(r.Key.Public()):
		return errors.New("it has another key")
	case !c.names(leaf, r):
		return fmt.Errorf("it names %s instead of the tenant %s", leaf.Subject, r.Tenant)
	case !leaf.NotBefore.Equal(issued.NotBefore) || !leaf.NotAfter.Equal(issued.NotAfter) ||
		certfile.Serial(leaf) != issued.Serial:
		return fmt.Errorf("it has the serial number %s and is valid from %s to %s, which is not what the CA reports",
			certfile.Serial(leaf), leaf.NotBefore, leaf.NotAfter)
	case r.Authority != "" && r.Authority != issued.IssuerID:
		return fmt.Errorf("the authority %s signed it instead of %s", issued.IssuerID, r.Authority)
	case leaf.NotBefore.After(r.At.Add(MaxAhead)):
		return fmt.Errorf("it is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case c.bundler == nil:
		return nil
	}
	return c.anchors.verify(leaf, issued.Chain, c.bundler.Bundle(), r.At)
}

// MaxAhead limits how far the clock of a CA may be ahead of ours. The start of a certificate is rarely in the future,
// because most CAs set it some minutes back.
const MaxAhead = 10 * time.Minute

// checkUse returns an error if a certificate can do more or less than a client certificate, or than the one that it
// replaces.
func checkUse(leaf *x509.Certificate, r Request) error {
	const signs = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch {
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return errors.New("it is not for client authentication")
	case leaf.IsCA, leaf.KeyUsage&signs != 0:
		return errors.New("it can sign certificates")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0: // RFC 8446, section 4.4.2.2
		return errors.New("its key usage has no digitalSignature, so it cannot sign a TLS handshake")
	}
	if len(leaf.ExtKeyUsage) == 1 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	before := certfile.Usages(r.Former)
	for _, usage := range certfile.Usages(leaf.Raw) {
		if usage != certfile.ClientAuth && !slices.Contains(before, usage) {
			return fmt.Errorf("it has the extended key usage %s besides clientAuth, which the previous certificate did not have",
				usage)
		}
	}
	return nil
}

// names reports whether a certificate belongs to the tenant for the purpose: by the names that the issuer announces, or
// by its common name or the subject to keep, and by its URIs or the alternative names to keep.
func (c checked) names(leaf *x509.Certificate, r Request) bool {
	has, err := certfile.NamesOf(leaf.Raw)
	if err != nil {
		return false
	}
	if keeps(leaf, has, r) {
		return true
	}
	if c.namer == nil {
		return false
	}
	announced, err := c.namer.Names(r)
	return err == nil && announced.Equal(has)
}

func keeps(leaf *x509.Certificate, has certfile.Names, r Request) bool {
	kept := cmp.Or(r.Replaces, &certfile.Names{})
	if !bytes.Equal(has.SAN, kept.SAN) {
		for _, u := range leaf.URIs {
			if u.Path != Path(r.Tenant, r.Purpose) {
				return false
			}
		}
	}
	return leaf.Subject.CommonName == r.Tenant || bytes.Equal(has.Subject, kept.Subject)
}

// Path returns the path of the URI (SPIFFE ID) in a tenant's certificate.
func Path(tenant string, purpose tenancy.Purpose) string {
	if purpose == "" || purpose == tenancy.ForTenant {
		return "/tenant/" + tenant
	}
	return "/tenant/" + tenant + "/" + string(purpose)
}
