// Package issuer is what Perennial asks of a certificate authority. Its kinds are packages below it.
package issuer

import (
	"context"
	"crypto"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// An Issuer issues client certificates. It is safe for concurrent use.
type Issuer interface {
	// Issue signs a certificate for the request. It does not remember it: a request that is repeated gets another one.
	Issue(ctx context.Context, r Request) (Issued, error)
}

// A Request asks for one certificate. The key signs where the authority wants proof of possession; it never leaves.
type Request struct {
	Tenant   string // name
	Purpose  tenancy.Purpose
	Key      crypto.Signer
	At       time.Time     // now
	Validity time.Duration // from the certificate's notBefore on
	// Authority is the ID of the one that shall sign, for a probe; empty for the one whose turn it is.
	Authority string
}

// An Issued certificate.
type Issued struct {
	DER       []byte
	Serial    string // lowercase hexadecimal
	Subject   string // RFC 4514
	NotBefore time.Time
	NotAfter  time.Time
	IssuerID  string // the authority that signed
}
