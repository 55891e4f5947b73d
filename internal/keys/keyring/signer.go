package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Signatory is a private key that a key management service or a token holds and never releases. It signs with ECDSA
// or, for an RSA key, with PKCS #1 v1.5.
type Signatory interface {
	// Key returns the public key, and the URI that names it from now on: a URI may name a key that is replaced later. The
	// error is an [Away] if another attempt may succeed.
	Key(ctx context.Context) (uri string, public crypto.PublicKey, err error)
	// Sign signs a digest with the key whose public half is given. An ECDSA signature is in ASN.1. The error is an [Away]
	// if another attempt may succeed.
	Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte, error)
}

// Signatories returns the Signatory that a URI names, without calling it. The URI contains no secret, and an error does
// not quote a URI that does.
type Signatories func(uri string) (Signatory, error)

// NamedKey calls a Signatory for its public key. The error is an [Away] if another attempt may succeed.
func NamedKey(ctx context.Context, s Signatory) (uri string, public crypto.PublicKey, err error) {
	ctx, cancel := context.WithTimeout(ctx, RemoteTime)
	defer cancel()
	if uri, public, err = s.Key(ctx); err != nil {
		return "", nil, err
	}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return "", nil, fmt.Errorf("its curve %s is not supported: use P-256, P-384 or P-521", k.Params().Name)
		}
	case *rsa.PublicKey:
		if k.Size() < 256 || k.Size() > 512 {
			return "", nil, fmt.Errorf("it is an RSA key of %d bits: use 2048 to 4096", k.N.BitLen())
		}
	default:
		return "", nil, errors.New("it is neither an ECDSA nor an RSA key: use one of them")
	}
	return uri, public, nil
}

// A Signer signs with the key of a Signatory. Each signature is one call, and is verified to detect a service that
// signs with another key. It implements [crypto.Signer].
type Signer struct {
	signatory Signatory
	public    crypto.PublicKey
}

// NewSigner returns the signer of a public key. It makes no call.
func NewSigner(s Signatory, public crypto.PublicKey) *Signer { return &Signer{s, public} }

// Public implements [crypto.Signer].
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign implements [crypto.Signer]. The service has its own source of random numbers. The error is an [Away] if another
// attempt may succeed.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	if _, pss := opts.(*rsa.PSSOptions); pss || hash.Size() != len(digest) {
		return nil, errors.New("a remote key signs digests, and an RSA key with PKCS #1 v1.5 only")
	}
	ctx, cancel := context.WithTimeout(context.Background(), RemoteTime)
	defer cancel()
	signature, err := s.signatory.Sign(ctx, s.public, digest, hash)
	if err != nil {
		return nil, err
	}
	if !verifies(s.public, digest, signature, hash) {
		return nil, errors.New("the remote key is not that of the certificate: check whether the key was replaced")
	}
	return signature, nil
}

// verifies reports whether a signature of a digest was made with the key whose public half is given.
func verifies(public crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) bool {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(k, opts.HashFunc(), digest, signature, pss) == nil
		}
		return rsa.VerifyPKCS1v15(k, opts.HashFunc(), digest, signature) == nil
	}
	return false
}
