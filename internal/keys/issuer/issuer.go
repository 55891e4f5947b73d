// Package issuer defines the interface between Perennial and a certificate authority. Implementations are packages
// below it.
//
// An [Issuer] has one method. Everything else is an optional capability with a small interface of its own: [Collector],
// [Hierarchy], [Namer], [Announcer], [Subordinate], [Exporter], [Revoker], [CRLSigner], [Hinter], [Bundler],
// [ServerCertifier]. Callers ask for a capability with [As] and do without it if the issuer lacks it. An issuer reports
// the failure of a CA as an [*Error].
package issuer

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// An Issuer issues client certificates. It is safe for concurrent use.
type Issuer interface {
	// Issue signs a certificate for the request. It does not remember the request: repeating it issues another
	// certificate. A CA that answers later returns a [*RequestedError] and is a [Collector].
	Issue(ctx context.Context, r Request) (Issued, error)
}

// A Request asks for one certificate.
type Request struct {
	Tenant  string // name
	Purpose tenancy.Purpose
	// Key is the private key of the certificate. It signs if the CA wants proof of possession, and is never sent.
	Key crypto.Signer
	// Replaces holds the names of the certificate that this one replaces; nil for the first one. Receivers may have
	// mapped them, so an issuer keeps them as far as it may certify them.
	Replaces *certfile.Names
	// Former is the certificate that this one replaces (DER); nil for the first one. Its successor may have the extended
	// key usages that it has, besides client authentication.
	Former   []byte
	At       time.Time     // now
	Validity time.Duration // from the certificate's notBefore on
	// Authority is the ID of the authority that must sign, for a probe. Empty: the one that signs now. Only an issuer
	// with a [Hierarchy] gets requests with an authority.
	Authority string
}

// Issued is a certificate with its chain.
type Issued struct {
	DER []byte
	// Chain holds the certificates (DER) of the authorities above the certificate: first its issuer, without the root.
	Chain     [][]byte
	Serial    string // lowercase hexadecimal
	Subject   string // RFC 4514
	NotBefore time.Time
	NotAfter  time.Time
	// IssuerID is the authority of the issuer's [Hierarchy] that signed; empty if it has none.
	IssuerID string
}

// A RequestedError is returned by Issue if the CA has accepted the request and will answer later, for example after a
// person has approved it.
type RequestedError struct {
	Handle string    // identifies the request at the CA; not a secret
	AskAt  time.Time // when asking again makes sense; zero if unknown
}

func (e *RequestedError) Error() string {
	if e.AskAt.IsZero() {
		return fmt.Sprintf("the CA accepted request %s and will answer later", e.Handle)
	}
	return fmt.Sprintf("the CA accepted request %s and will answer later: ask again after %s", e.Handle,
		e.AskAt.UTC().Format(time.RFC3339))
}

// As returns the issuer as a T, usually a capability. It looks through wrappers: an issuer that wraps another one has a
// method Unwrap() Issuer.
func As[T any](i Issuer) (capability T, ok bool) {
	for i != nil {
		if capability, ok = i.(T); ok {
			return capability, true
		}
		wrapper, isWrapper := i.(interface{ Unwrap() Issuer })
		if !isWrapper {
			break
		}
		i = wrapper.Unwrap()
	}
	return capability, false
}
