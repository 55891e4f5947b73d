package issuer

import (
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// The organizational units in the subjects of a [Form].
const (
	TenantUnit = "Tenants"
	MUserUnit  = "M-users"
)

// A Form is the form of the names that an installation gives its tenants.
type Form struct {
	TrustDomain  string // of the URIs (SPIFFE IDs)
	Organization string // the O of subjects
}

// Names returns the names of a tenant's first certificate. They depend only on the tenant and the purpose, so they are
// the same in every generation.
func (f Form) Names(r Request) (n certfile.Names, err error) {
	unit := TenantUnit
	if r.Purpose == tenancy.ForMUser {
		unit = MUserUnit
	}
	n.Subject, err = certfile.SubjectOf(certfile.SubjectPart{Type: certfile.Organization, Value: f.Organization},
		certfile.SubjectPart{Type: certfile.OrganizationalUnit, Value: unit},
		certfile.SubjectPart{Type: certfile.CommonName, Value: r.Tenant})
	if err != nil {
		return n, err
	}
	n.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.URIName, Value: f.URI(r)})
	return n, err
}

// Requested returns the names to request from a foreign CA: those of the certificate that is replaced, byte for byte,
// or those of the form.
func (f Form) Requested(r Request) (certfile.Names, error) {
	if r.Replaces != nil {
		return *r.Replaces, nil
	}
	return f.Names(r)
}

// URI returns the SPIFFE ID of a tenant's certificate.
func (f Form) URI(r Request) string { return "spiffe://" + f.TrustDomain + Path(r.Tenant, r.Purpose) }
