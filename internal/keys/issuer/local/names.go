package local

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// The organizational units of the subjects that this CA makes.
const (
	tenantUnit = "Tenants"
	mUserUnit  = "M-users"
)

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17} // RFC 5280, section 4.2.1.6

// Names implements [issuer.Namer]. A certificate keeps the names of the one that it replaces, byte for byte, because
// receivers map them. This CA does not certify a subject that is reserved for another tenant or an authority, or
// alternative names outside its trust domain, which no receiver would accept from it. The names of its own form replace
// them.
func (ca *CA) Names(r issuer.Request) (certfile.Names, error) {
	own, err := ca.ownNames(r)
	if err != nil || r.Replaces == nil || r.Replaces.Equal(own) {
		return own, err
	}
	kept := *r.Replaces
	switch sanKept := ca.maySAN(kept, r); {
	case !ca.maySubject(kept, own), isEmptyName(kept.Subject) && (!sanKept || len(kept.SAN) == 0):
		return own, nil
	case !sanKept:
		kept.SAN = own.SAN
	}
	return kept, nil
}

// ownNames returns the names that this CA gives a tenant. They are the same in every generation.
func (ca *CA) ownNames(r issuer.Request) (n certfile.Names, err error) {
	subject := pkix.Name{Organization: []string{ca.config.Organization}, OrganizationalUnit: []string{tenantUnit},
		CommonName: r.Tenant}
	if r.Purpose == tenancy.ForMUser {
		subject.OrganizationalUnit = []string{mUserUnit}
	}
	if n.Subject, err = asn1.Marshal(subject.ToRDNSequence()); err != nil {
		return n, err
	}
	n.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.URIName, Value: ca.spiffeID(r)})
	return n, err
}

func (ca *CA) spiffeID(r issuer.Request) string {
	return "spiffe://" + ca.config.TrustDomain + issuer.Path(r.Tenant, r.Purpose)
}

// isEmptyName reports whether a subject has no attributes. The alternative names of such a certificate are critical
// (RFC 5280, section 4.1.2.6).
func isEmptyName(subject []byte) bool { return bytes.Equal(subject, []byte{0x30, 0}) }

// maySubject reports whether a subject that is to be kept can be mistaken neither for that of an authority nor for one
// that this CA gives, or gave under another organization, to another tenant.
func (ca *CA) maySubject(kept, own certfile.Names) bool {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(kept.Subject, &rdns); err != nil || len(rest) > 0 {
		return false // a certificate with it would not be valid
	}
	has, ok := kept.Attributes()
	want, _ := own.Attributes()
	if !ok {
		return false
	}
	organizations := map[string]bool{certfile.Fold(ca.config.Organization): true}
	for _, a := range ca.authorities() {
		names := certfile.Names{Subject: a.cert.RawSubject}
		attributes, _ := names.Attributes()
		if slices.Equal(attributes, has) {
			return false
		}
		for _, o := range valuesOf(attributes, "O") {
			organizations[o] = true
		}
	}
	isO := func(a certfile.Attribute) bool { return a.Type == "O" }
	if slices.Equal(slices.DeleteFunc(slices.Clone(has), isO), slices.DeleteFunc(want, isO)) {
		return true // the tenant's own, perhaps under an earlier organization
	}
	units := valuesOf(has, "OU")
	return !slices.Contains(units, certfile.Fold(tenantUnit)) && !slices.Contains(units, certfile.Fold(mUserUnit)) &&
		(len(units) > 0 || !slices.ContainsFunc(valuesOf(has, "O"), func(o string) bool { return organizations[o] }))
}

func valuesOf(attributes []certfile.Attribute, name string) (values []string) {
	for _, a := range attributes {
		if a.Type == name {
			values = append(values, a.Value)
		}
	}
	return values
}

func (ca *CA) authorities() []*authority {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	return slices.Concat(ca.roots, ca.issuing)
}

// maySAN reports whether alternative names that are to be kept are within the constraints of the issuing CAs.
func (ca *CA) maySAN(kept certfile.Names, r issuer.Request) bool {
	all, err := kept.Alternatives()
	if err != nil {
		return false
	}
	domain := strings.ToLower(ca.config.TrustDomain)
	return !slices.ContainsFunc(all, func(n certfile.GeneralName) bool {
		value := strings.ToLower(n.Value)
		switch n.Kind {
		case certfile.DNSName:
			return value != domain && !strings.HasSuffix(value, "."+domain)
		case certfile.EmailName:
			_, host, _ := strings.Cut(value, "@")
			return host != domain
		case certfile.URIName:
			return n.Value != ca.spiffeID(r)
		}
		return true
	})
}
