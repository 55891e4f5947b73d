package issuer

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// Checked asks an issuer and takes nothing but what was asked for: a client certificate of the requested key that names
// the tenant, and is what the issuer says of it. The error says what it is instead. Whether it is valid for long enough
// is for who asked to say.
func Checked(i Issuer) Issuer { return checked{i} }

type checked struct{ Issuer }

// Issue implements [Issuer].
func (c checked) Issue(ctx context.Context, r Request) (Issued, error) {
	issued, err := c.Issuer.Issue(ctx, r)
	if err != nil {
		return issued, err
	}
	if err := check(issued, r); err != nil {
		return Issued{}, fmt.Errorf("the CA answered with a certificate that was not asked for, and which is not taken: %w",
			err)
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
		return errors.New("it is of another key")
	case !names(leaf, r):
		return fmt.Errorf("it names %s, and not the tenant %s", leaf.Subject, r.Tenant)
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return errors.New("it is not for client authentication")
	case !leaf.NotBefore.Equal(issued.NotBefore) || !leaf.NotAfter.Equal(issued.NotAfter) ||
		certfile.Serial(leaf) != issued.Serial:
		return fmt.Errorf("it has the serial number %s and is valid from %s to %s, which is not what the CA says",
			certfile.Serial(leaf), leaf.NotBefore, leaf.NotAfter)
	}
	return nil
}

// names says whether a certificate is the tenant's for the purpose: by its common name, and by its URI where it has
// one.
func names(leaf *x509.Certificate, r Request) bool {
	for _, u := range leaf.URIs {
		if u.Path != Path(r.Tenant, r.Purpose) {
			return false
		}
	}
	return leaf.Subject.CommonName == r.Tenant
}

// Path is that of the URI (SPIFFE ID) in a tenant's certificate.
func Path(tenant string, purpose tenancy.Purpose) string {
	if purpose == tenancy.ForMUser {
		return "/tenant/" + tenant + "/m-user"
	}
	return "/tenant/" + tenant
}
