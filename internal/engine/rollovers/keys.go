package rollovers

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// SealContext returns the context that the private key of a certificate is sealed with.
func SealContext(certificateID string) string { return "certificate/" + certificateID }

// PrivateKey opens the private key of a certificate. It returns [tenancy.ErrNotFound] if the key was destroyed.
func (o *Rollovers) PrivateKey(ctx context.Context, c tenancy.Certificate) (crypto.Signer, error) {
	key, err := o.key(ctx, c)
	if err == nil && key == nil {
		err = tenancy.Errorf(tenancy.ErrNotFound, "the private key of generation %d was destroyed", c.Generation)
	}
	return key, err
}

// key opens the private key of a certificate. The key is nil if it was destroyed.
func (o *Rollovers) key(ctx context.Context, c tenancy.Certificate) (crypto.Signer, error) {
	sealed, err := o.store.SealedKey(ctx, c.ID)
	if err != nil || len(sealed) == 0 {
		return nil, err
	}
	return o.seal.OpenKey(sealed, SealContext(c.ID))
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

// Identities opens the generations of an arrangement that can be presented. A generation whose key was destroyed
// meanwhile is left out.
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
		all = append(all, standing.Identity{Generation: c.Generation, Certificate: presentable})
	}
	return all, nil
}
