package tenancy

import "time"

// AuthorityKind is the place of an authority in its hierarchy.
type AuthorityKind string

// The root signs issuing authorities, and they sign tenants' certificates.
const (
	RootAuthority    AuthorityKind = "root"
	IssuingAuthority AuthorityKind = "issuing"
)

// An Authority is a certificate authority of the local CA, with its sealed private key.
type Authority struct {
	ID        string
	Kind      AuthorityKind
	Position  int    // 1, 2, 3 ... within its kind
	ParentID  string // empty for a root
	DER       []byte
	SealedKey []byte
	NotBefore time.Time
	NotAfter  time.Time
	// SignsFrom is the time at which an issuing authority begins to sign. Before, it is announced. Zero: it signs from its
	// creation on.
	SignsFrom time.Time
	// RevokedAt and RevokedFor are the time and the reason of the revocation; zero and empty if it is not revoked.
	RevokedAt  time.Time
	RevokedFor string
}

// SealContext returns the context that the authority's private key is sealed for.
func (a Authority) SealContext() string { return "authority/" + a.ID }

// Trust is the verdict of a receiver on certificates of an announced authority.
type Trust string

// The verdict is unknown until the receiver has been asked. A receiver that accepts single certificates does not depend
// on the authority, so that it trusts the new authority as much as the previous one.
const (
	TrustUnknown Trust = ""
	Trusted      Trust = "trusted"
	Untrusted    Trust = "untrusted"
)
