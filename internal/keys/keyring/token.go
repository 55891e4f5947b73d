package keyring

import (
	"context"
	"crypto"
	"errors"
	"io"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Tokens are the PKCS#11 tokens that create private keys and never release them. A URI without an object names a token,
// and one with an object names a key in it, see [KeyInToken]. It is safe for concurrent use. Each error is an [Away] if
// another attempt may succeed.
type Tokens interface {
	// Check returns an error unless the token can be used now.
	Check(ctx context.Context, token string) error
	// Make creates a key pair, and labels it with the object of the URI. There must be none with this label.
	Make(ctx context.Context, uri string, kind tenancy.KeyType) (crypto.PublicKey, error)
	// Sign signs a digest with the key whose public half is given: with ECDSA, in ASN.1, or with PKCS #1 v1.5 or PSS.
	Sign(ctx context.Context, uri string, public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	// Destroy destroys every key with the label. It returns nil if there is none.
	Destroy(ctx context.Context, uri string) error
}

// KeyInToken returns the URI of the key with a label in a token (RFC 7512). The label is an ID, so it needs no escapes.
func KeyInToken(token, label string) string { return token + ";object=" + label }

// MadeInToken returns a [tenancy.ErrInvalid] if a token cannot create keys of the type.
func MadeInToken(kind tenancy.KeyType) error {
	if kind == tenancy.Ed25519 {
		return tenancy.Invalid("key_type", "the keys of the tenants are made in a PKCS#11 token, and %s keys are not "+
			"supported there: use p256, p384, p521, rsa2048, rsa3072 or rsa4096", kind)
	}
	return kind.Check()
}

const (
	// SignTime limits the time that a TLS handshake waits for a signature.
	SignTime = 5 * time.Second
	// MakeTime limits the time for creating a key. A small token takes a minute for RSA with 4096 bits.
	MakeTime = 2 * time.Minute
)

// A TokenSigner signs with a key in a token. Each signature is verified, so a receiver never gets a signature by
// another key. It implements [crypto.Signer].
type TokenSigner struct {
	tokens Tokens
	uri    string
	public crypto.PublicKey
}

// NewTokenSigner returns the signer of a key. It makes no call.
func NewTokenSigner(t Tokens, uri string, public crypto.PublicKey) *TokenSigner {
	return &TokenSigner{t, uri, public}
}

// Public implements [crypto.Signer].
func (s *TokenSigner) Public() crypto.PublicKey { return s.public }

// Sign implements [crypto.Signer]. The token has its own source of random numbers. The error is an [Away] if another
// attempt may succeed.
func (s *TokenSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	if hash == 0 || hash.Size() != len(digest) {
		return nil, errors.New("a key in a token signs digests only")
	}
	if s.tokens == nil {
		return nil, errors.New("the key is in a PKCS#11 token, and none is configured here")
	}
	ctx, cancel := context.WithTimeout(context.Background(), SignTime)
	defer cancel()
	signature, err := s.tokens.Sign(ctx, s.uri, s.public, digest, opts)
	if err != nil {
		return nil, err
	}
	if !verifies(s.public, digest, signature, opts) {
		return nil, errors.New("the token signed with another key than that of the certificate: check whether the key " +
			s.uri + " was replaced")
	}
	return signature, nil
}
