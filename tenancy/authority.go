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
	ID       string
	Kind     AuthorityKind
	Position int    // 1, 2, 3 ... within its kind
	ParentID string // the root above; empty for a root
	DER      []byte
	// Above holds the certificates (DER, joined) between an issuing authority and its root, first its issuer.
	Above     []byte
	SealedKey []byte // empty for a root whose key is elsewhere, and if there is a KeyURI
	// KeyURI names the key of an issuing authority in a key management service or a token; empty for a sealed one.
	KeyURI string
	// CRL is the last revocation list (DER) of a root whose key was taken offline.
	CRL       []byte
	NotBefore time.Time
	NotAfter  time.Time
	// SignsFrom is the time at which an issuing authority begins to sign. Until then, it is announced. Zero: it signs from
	// its creation on.
	SignsFrom time.Time
	// RevokedAt and RevokedFor are the time and the reason of the revocation; zero and empty if it is not revoked.
	RevokedAt  time.Time
	RevokedFor string
}

// SealContext returns the context that the authority's private key is sealed for.
func (a Authority) SealContext() string { return "authority/" + a.ID }

// An AuthorityRequest asks a root whose key is elsewhere for the certificate of an issuing authority.
type AuthorityRequest struct {
	ID        string // becomes the ID of the authority
	Position  int    // the next one at the time of the request
	CSR       []byte // PKCS#10, DER
	SealedKey []byte // empty if there is a KeyURI
	KeyURI    string // as that of the authority
	CreatedAt time.Time
}

// SealContext returns the context that the private key is sealed for. It is that of the authority.
func (r AuthorityRequest) SealContext() string { return Authority{ID: r.ID}.SealContext() }

// Trust is the verdict of a receiver on certificates of an announced authority.
type Trust string

// The verdict is unknown until the receiver has been asked. A receiver that accepts single certificates does not depend
// on the authority, so it trusts the new authority as much as the previous one.
const (
	TrustUnknown Trust = ""
	Trusted      Trust = "trusted"
	Untrusted    Trust = "untrusted"
)
