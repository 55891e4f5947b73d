package tenancy

import (
	"slices"
	"strings"
)

// Identifier names a property that a receiver compares to identify a certificate.
type Identifier string

// A receiver that identifies by several of them accepts a certificate only if all of them match.
const (
	ByCertificate   Identifier = "certificate"    // the fingerprint of the whole certificate (pin)
	ByIssuerSerial  Identifier = "issuer-serial"  // the issuer and the serial number
	ByKey           Identifier = "key"            // the public key (SPKI pin)
	BySubjectIssuer Identifier = "subject-issuer" // the subject and the issuer
	BySubject       Identifier = "subject"        // the subject alone, of a trusted CA
	BySAN           Identifier = "san"            // the subject alternative name, of a trusted CA
	ByCA            Identifier = "ca"             // any certificate of a trusted CA
	// ByNewestOnly is subject and issuer, and an issue date not earlier than that of the last accepted certificate. Such a
	// receiver refuses every older certificate for good after it has accepted a newer one.
	ByNewestOnly Identifier = "newest-only"
)

// Identifiers lists all identifiers.
func Identifiers() []Identifier {
	return []Identifier{ByCertificate, ByIssuerSerial, ByKey, BySubjectIssuer, BySubject, BySAN, ByCA, ByNewestOnly}
}

// checkIdentifiers returns an [ErrInvalid] about a field if an identifier is unknown or given twice.
func checkIdentifiers(field string, all []Identifier) error {
	for i, id := range all {
		if !slices.Contains(Identifiers(), id) {
			return Invalid(field, "unknown identifier %q: use %s", id, joined(Identifiers()))
		}
		if slices.Contains(all[:i], id) {
			return Invalid(field, "contains %s twice", id)
		}
	}
	return nil
}

func joined(all []Identifier) string {
	names := make([]string, len(all))
	for i, id := range all {
		names[i] = string(id)
	}
	return strings.Join(names, ", ")
}

// TakesNewestOnly reports whether the receiver is declared to refuse every older certificate after it has accepted a
// newer one. Asking it with a certificate is a write, and going back is impossible.
func (e Egress) TakesNewestOnly() bool { return slices.Contains(e.IdentifiesBy, ByNewestOnly) }

// Changes are the differences between two certificates of a tenant that a receiver may notice. The serial number and
// the dates always differ.
type Changes struct {
	Key     bool `json:"key" doc:"The public key."`
	Subject bool `json:"subject"`
	SAN     bool `json:"san" doc:"The subject alternative name."`
	Issuer  bool `json:"issuer" doc:"The name or the key of the issuing CA."`
	Root    bool `json:"root" doc:"The root above the issuing CA."`
}

// Survival states whether a receiver that accepts one certificate also accepts the next one.
type Survival string

// Unclear depends on something that is not known: how the receiver identifies, or which CAs it trusts.
const (
	Survives Survival = "survives"
	Fails    Survival = "fails"
	Unclear  Survival = "unclear"
)

// Survival returns whether a receiver that identifies by all of the given identifiers accepts a certificate with these
// changes, without any change at the receiver. Without an identifier, the answer is unclear.
func (c Changes) Survival(by []Identifier) Survival {
	if len(by) == 0 {
		return Unclear
	}
	result := Survives
	for _, id := range by {
		switch c.survival(id) {
		case Fails:
			return Fails
		case Unclear:
			result = Unclear
		case Survives:
		}
	}
	return result
}

func (c Changes) survival(id Identifier) Survival {
	newCA := c.Issuer || c.Root
	trusted := Survives
	if newCA {
		trusted = Unclear // the receiver may trust the new CA already, or the root above both
	}
	switch id {
	case ByCertificate, ByIssuerSerial:
		return Fails
	case ByKey:
		return unless(c.Key, Survives)
	case BySubjectIssuer, ByNewestOnly:
		return unless(c.Subject || newCA, Survives)
	case BySubject:
		return unless(c.Subject, trusted)
	case BySAN:
		return unless(c.SAN, trusted)
	case ByCA:
		return unless(c.Root, trusted)
	}
	return Unclear
}

// unless returns otherwise if the change does not apply.
func unless(changed bool, otherwise Survival) Survival {
	if changed {
		return Fails
	}
	return otherwise
}
