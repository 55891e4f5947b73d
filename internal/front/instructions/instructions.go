// Package instructions describes how the administrator of a receiving system installs a new certificate, for each
// product.
//
// It promises that the real fingerprint, serial number and subject are filled in, quoted for the language of the
// product, and that the text calls nothing unchanged that changes with this renewal. The instructions for nginx,
// HAProxy, Apache and Caddy are tested by running them, with names of every kind. Those for other products follow the
// vendors' documentation.
package instructions

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Certificate is one generation.
type Certificate struct {
	Tenant     string // name, for the names of files
	Generation int
	Subject    string // RFC 4514, with non-ASCII characters as they are
	Serial     string // hexadecimal
	SHA256     string // hexadecimal
	SHA1       string // hexadecimal
}

// file returns the name under which the page for a receiver's administrator offers the certificate.
func (c Certificate) file(extension string) string {
	return fmt.Sprintf("%s-generation-%d%s", c.Tenant, c.Generation, extension)
}

// A Renewal is a new certificate, the one that it replaces, and the changes.
type Renewal struct {
	New     Certificate
	Old     *Certificate // nil if it is not known, or if it is revoked
	Changes tenancy.Changes
	// Revoked is set if the receiver may know earlier certificates that are revoked.
	Revoked bool
}

// An Instruction describes the installation in one product.
type Instruction struct {
	Product string
	// Identifies lists the properties that the product compares if it is configured like this.
	Identifies []tenancy.Identifier
	How        string
	// Notes describe the other changes of this renewal.
	Notes []string
	// Snippets are alternatives for the product's configuration. The first compares the properties in Identifies. The
	// second, if there is one, compares the subject. It is left out if a revoked certificate has the same one.
	Snippets []string
}

// Products lists the products with the properties that they compare by default.
func Products() []Instruction {
	all := For(Renewal{})
	for i := range all {
		all[i] = Instruction{Product: all[i].Product, Identifies: all[i].Identifies}
	}
	return all
}

// IdentifiesOf returns the identifiers that a product compares by default. found is false for an unknown product.
func IdentifiesOf(product string) (by []tenancy.Identifier, found bool) {
	for _, p := range Products() {
		if p.Product == product {
			return p.Identifies, true
		}
	}
	return nil, false
}

// For returns the instructions for a renewal.
func For(r Renewal) []Instruction {
	all := make([]Instruction, len(products))
	for i, p := range products {
		all[i] = Instruction{Product: p.name, Identifies: p.identifies, How: p.how, Notes: notes(r),
			Snippets: p.snippets(r)}
		changed := p.otherwise != "" && r.Changes.Survival(p.identifies) != tenancy.Survives
		switch {
		case changed && r.Revoked:
			all[i].How = cmp.Or(p.otherwiseRevoked, p.otherwise)
		case changed:
			all[i].How = p.otherwise
		case p.revoked != "" && r.Revoked:
			all[i].How, all[i].Snippets = p.revoked, all[i].Snippets[:1] // a subject does not tell them apart
		}
		if r.Revoked && (slices.Contains(p.identifies, tenancy.BySubject) || slices.Contains(p.identifies, tenancy.ByCA)) {
			all[i].Notes = append(all[i].Notes, revocationList)
		}
	}
	return all
}

// The notes of a renewal that changes more than the certificate.
const (
	newCA = "The issuing CA changes with this renewal. Compare the SHA-256 fingerprints of its certificates with those " +
		"that a contact whom you already knew gives you by phone. Then add the certificates to the CAs that your system " +
		"trusts, and keep the old ones."
	newCAOfRevoked = "The issuing CA changes with this renewal. Compare the SHA-256 fingerprints of its certificates " +
		"with those that a contact whom you already knew gives you by phone. Then add the certificates to the CAs that " +
		"your system trusts. If the old CA is revoked, remove its certificate."
	revocationList = "A rule that compares only the subject or the CA accepts a revoked certificate until your system " +
		"reads the revocation list of the CA."
	newSubject = "The subject changes with this renewal. If a rule compares it, add the new subject to the rule and " +
		"keep the old one."
	newSubjectOfRevoked = "The subject changes with this renewal. If a rule compares it, add the new subject to the " +
		"rule, and remove the old one if only revoked certificates have it."
	newSAN = "The subject alternative name changes with this renewal. If a rule compares it, add the new name to the " +
		"rule and keep the old one."
	newSANOfRevoked = "The subject alternative name changes with this renewal. If a rule compares it, add the new name " +
		"to the rule, and remove the old one if only revoked certificates have it."
)

func notes(r Renewal) (all []string) {
	ca, subject, san := newCA, newSubject, newSAN
	if r.Revoked {
		ca, subject, san = newCAOfRevoked, newSubjectOfRevoked, newSANOfRevoked
	}
	if r.Changes.Issuer || r.Changes.Root {
		all = append(all, ca)
	}
	if r.Changes.Subject {
		all = append(all, subject)
	}
	if r.Changes.SAN {
		all = append(all, san)
	}
	return all
}
