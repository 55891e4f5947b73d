package local

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"unicode"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// Names implements [issuer.Namer]. A certificate keeps the names of the one that it replaces, byte for byte, because
// receivers map them. This CA does not certify a subject that is reserved for another tenant or an authority, or
// alternative names outside its trust domain, which no receiver would accept from it. The names of its own form replace
// them.
func (ca *CA) Names(r issuer.Request) (certfile.Names, error) {
	own, err := ca.form().Names(r)
	if err != nil || r.Replaces == nil || r.Replaces.Equal(own) {
		return own, err
	}
	kept := *r.Replaces
	switch sanKept := ca.maySAN(kept, r); {
	case !ca.maySubject(kept, own), !kept.HasSubject() && (!sanKept || len(kept.SAN) == 0):
		return own, nil
	case !sanKept:
		kept.SAN = own.SAN
	}
	return kept, nil
}

// form is the form of the names that this CA gives a tenant.
func (ca *CA) form() issuer.Form {
	return issuer.Form{TrustDomain: ca.config.TrustDomain, Organization: ca.config.Organization}
}

// maySubject reports whether a subject may be kept: it must not be mistaken for that of an authority, or for one that
// this CA gives another tenant, or gave it under another organization.
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
	return !slices.Contains(units, certfile.Fold(issuer.TenantUnit)) &&
		!slices.Contains(units, certfile.Fold(issuer.MUserUnit)) &&
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
		if strings.ContainsFunc(value, unicode.IsControl) {
			return true // programs would read it in different ways
		}
		switch n.Kind {
		case certfile.DNSName:
			return value != domain && !strings.HasSuffix(value, "."+domain)
		case certfile.EmailName:
			_, host, _ := strings.Cut(value, "@")
			return host != domain
		case certfile.URIName:
			return n.Value != ca.form().URI(r)
		}
		return true
	})
}
