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

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// Checked returns an issuer that accepts only what was requested from i: a client certificate of the requested key that
// names the tenant or keeps its names, agrees with what i reports of it, and comes from the requested authority as far
// as i reports. The error describes the certificate. Whether the certificate is valid for long enough is the caller's
// decision. The capabilities of i stay reachable with [As].
func Checked(i Issuer) Issuer {
	if later, ok := As[Collector](i); ok {
		return checkedCollector{checked{i}, later}
	}
	return checked{i}
}

type checked struct{ issuer Issuer }

// Unwrap makes the capabilities of the issuer reachable.
func (c checked) Unwrap() Issuer { return c.issuer }

// Issue implements [Issuer].
func (c checked) Issue(ctx context.Context, r Request) (Issued, error) {
	issued, err := c.issuer.Issue(ctx, r)
	return verified(issued, r, err)
}

type checkedCollector struct {
	checked
	later Collector
}

// Collect implements [Collector].
func (c checkedCollector) Collect(ctx context.Context, handle string, r Request) (Issued, error) {
	issued, err := c.later.Collect(ctx, handle, r)
	return verified(issued, r, err)
}

func verified(issued Issued, r Request, err error) (Issued, error) {
	if err != nil {
		return Issued{}, err
	}
	if err := check(issued, r); err != nil {
		return Issued{}, fmt.Errorf("the CA answered with a certificate that was not requested; it is discarded: %w", err)
	}
	return issued, nil
}

func check(issued Issued, r Request) error {
	leaf, err := x509.ParseCertificate(issued.DER)
	if err != nil {
		return err
	}
	key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !key.Equal(r.Key.Public()):
		return errors.New("it has another key")
	case !names(leaf, r):
		return fmt.Errorf("it names %s instead of the tenant %s", leaf.Subject, r.Tenant)
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return errors.New("it is not for client authentication")
	case !leaf.NotBefore.Equal(issued.NotBefore) || !leaf.NotAfter.Equal(issued.NotAfter) ||
		certfile.Serial(leaf) != issued.Serial:
		return fmt.Errorf("it has the serial number %s and is valid from %s to %s, which is not what the CA reports",
			certfile.Serial(leaf), leaf.NotBefore, leaf.NotAfter)
	case r.Authority != "" && r.Authority != issued.IssuerID:
		return fmt.Errorf("the authority %s signed it instead of %s", issued.IssuerID, r.Authority)
	}
	return nil
}

// names reports whether a certificate belongs to the tenant for the purpose: by its common name or the subject that is
// to be kept, and by its URIs or the alternative names that are to be kept.
func names(leaf *x509.Certificate, r Request) bool {
	has, err := certfile.NamesOf(leaf.Raw)
	if err != nil {
		return false
	}
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
	if purpose == tenancy.ForMUser {
		return "/tenant/" + tenant + "/m-user"
	}
	return "/tenant/" + tenant
}
