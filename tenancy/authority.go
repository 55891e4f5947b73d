package tenancy

import "time"

// AuthorityKind is the place of an authority in its hierarchy.
type AuthorityKind string

// The root signs issuing authorities, and they sign tenants' certificates.
const (
	RootAuthority    AuthorityKind = "root"
	IssuingAuthority AuthorityKind = "issuing"
)

// An Authority is one certificate authority of the local CA, its private key sealed.
type Authority struct {
	ID        string
	Kind      AuthorityKind
	Position  int    // 1, 2, 3 ... among those of its kind
	ParentID  string // empty for a root
	DER       []byte
	SealedKey []byte
	NotBefore time.Time
	NotAfter  time.Time
	// SignsFrom is when an issuing authority begins to sign: before, it is announced. Zero: from its beginning on.
	SignsFrom time.Time
}

// SealContext returns the context that the authority's private key is sealed for.
func (a Authority) SealContext() string { return "authority/" + a.ID }

// Trust is whether a receiver accepts certificates of an authority that was announced.
type Trust string

// Nothing is known until somebody asks. A receiver that looks at the very certificate is no obstacle for an authority:
// it is trusted as much as the one before.
const (
	TrustUnknown Trust = ""
	Trusted      Trust = "trusted"
	Untrusted    Trust = "untrusted"
)
