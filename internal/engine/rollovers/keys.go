package rollovers

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// SealContext returns the context that the private key of a certificate is sealed with.
func SealContext(certificateID string) string { return "certificate/" + certificateID }

// PrivateKey opens the private key of a certificate, or returns the signer of a key in a token. It returns
// [tenancy.ErrNotFound] if the key was destroyed.
func (o *Rollovers) PrivateKey(ctx context.Context, c tenancy.Certificate) (crypto.Signer, error) {
	key, err := o.key(ctx, c)
	if err == nil && key == nil {
		err = tenancy.Errorf(tenancy.ErrNotFound, "the private key of generation %d was destroyed", c.Generation)
	}
	return key, err
}

// key opens the private key of a certificate. The key is nil if it was destroyed.
func (o *Rollovers) key(ctx context.Context, c tenancy.Certificate) (crypto.Signer, error) {
	stored, err := o.store.KeyOf(ctx, c.ID)
	switch {
	case err != nil:
		return nil, err
	case stored.URI != "":
		leaf, err := x509.ParseCertificate(c.DER)
		if err != nil {
			return nil, fmt.Errorf("the certificate of generation %d cannot be read: %w", c.Generation, err)
		}
		return &keyInToken{keyring.NewTokenSigner(o.tokens, stored.URI, leaf.PublicKey), stored.URI, o.log}, nil
	case len(stored.Sealed) == 0:
		return nil, nil
	}
	return o.seal.OpenKey(stored.Sealed, SealContext(c.ID))
}

// A keyInToken is a private key that a token never releases. It implements [crypto.Signer] for TLS handshakes.
type keyInToken struct {
	signer *keyring.TokenSigner
	uri    string
	log    *slog.Logger
}

// Public implements [crypto.Signer].
func (k *keyInToken) Public() crypto.PublicKey { return k.signer.Public() }

// Sign implements [crypto.Signer]. The error is a [standing.ErrNoSignature], because crypto/tls keeps only its text.
func (k *keyInToken) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.signer.Sign(random, digest, opts)
	if err != nil {
		k.log.Warn("the token did not sign a TLS handshake", "key", k.uri, "error", err)
		return nil, standing.ErrNoSignature
	}
	return signature, nil
}

// Presentable returns a certificate with its chain and private key, for a TLS handshake. It returns
// [tenancy.ErrNotFound] if the key was destroyed.
func (o *Rollovers) Presentable(ctx context.Context, c tenancy.Certificate) (p tls.Certificate, err error) {
	key, err := o.PrivateKey(ctx, c)
	if err != nil {
		return p, err
	}
	return o.presentable(ctx, c, key)
}

func (o *Rollovers) presentable(ctx context.Context, c tenancy.Certificate, key crypto.Signer) (p tls.Certificate,
	err error) {
	p = tls.Certificate{Certificate: [][]byte{c.DER}, PrivateKey: key}
	if c.IssuerID == "" { // it was imported without a chain
		return p, nil
	}
	chain, err := o.store.Chain(ctx, c.IssuerID) // another replica may have just created it
	if err != nil {
		return p, fmt.Errorf("the authority that issued generation %d: %w", c.Generation, err)
	}
	p.Certificate = append(p.Certificate, chain...)
	return p, nil
}

// Identities opens the generations of an arrangement that can be presented. A generation whose key has been destroyed
// in the meantime is left out.
func (o *Rollovers) Identities(ctx context.Context, s standing.Standing) (all []standing.Identity, err error) {
	for _, c := range s.Certificates {
		key, err := o.key(ctx, c)
		if err != nil {
			return nil, err
		}
		if key == nil {
			continue
		}
		presentable, err := o.presentable(ctx, c, key)
		if err != nil {
			return nil, err
		}
		_, stays := key.(*keyInToken)
		all = append(all, standing.Identity{Generation: c.Generation, Certificate: presentable, KeyStays: stays})
	}
	return all, nil
}
