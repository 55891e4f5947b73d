package store

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

const authorityColumns = "id, kind, parent_id, der, above, sealed_key, key_uri, crl, not_before, not_after, " +
	"position, signs_from, revoked_at, revoked_for"

func scanAuthority(s row) (a tenancy.Authority, err error) {
	err = s.Scan(&a.ID, &a.Kind, &a.ParentID, &a.DER, &a.Above, &a.SealedKey, &a.KeyURI, &a.CRL,
		instant{&a.NotBefore}, instant{&a.NotAfter}, &a.Position, instant{&a.SignsFrom}, instant{&a.RevokedAt}, &a.RevokedFor)
	for _, b := range []*[]byte{&a.Above, &a.SealedKey, &a.CRL} { // the engines differ in what they return for no bytes
		if len(*b) == 0 {
			*b = nil
		}
	}
	return a, err
}

// Authorities lists the authorities of the local CA, oldest first.
func (r Reader) Authorities(ctx context.Context) ([]tenancy.Authority, error) {
	return list(ctx, r, scanAuthority, "SELECT "+authorityColumns+" FROM authorities ORDER BY kind DESC, position")
}

// Chain returns the certificates (DER) of an authority and of those above it, without the root.
func (r Reader) Chain(ctx context.Context, id string) ([][]byte, error) {
	joined, err := one(ctx, r, "authority "+id, scanJoined, "SELECT der, above FROM authorities WHERE id = ? UNION ALL "+
		"SELECT der, '' FROM foreign_issuers WHERE id = ?", id, id)
	if err != nil {
		return nil, err
	}
	return certfile.SplitChain(joined)
}

// scanJoined reads a chain from two columns.
func scanJoined(s row) ([]byte, error) {
	var first, above []byte
	err := s.Scan(&first, &above)
	return append(first, above...), err
}

// TrustChain is [Reader.Chain] with the root of the local CA at its end, so that a receiver can verify a certificate
// with it alone. The root of an imported certificate is not known.
func (r Reader) TrustChain(ctx context.Context, id string) ([][]byte, error) {
	chain, err := r.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	roots, err := list(ctx, r, scanOne[[]byte], "SELECT root.der FROM authorities a JOIN authorities root ON root.id = "+
		"a.parent_id WHERE a.id = ?", id)
	return append(chain, roots...), err
}

// KnownChain is [Reader.Chain], and empty for an issuer that is not stored, or none. A certificate that was imported
// without a chain has none.
func (r Reader) KnownChain(ctx context.Context, id string) ([][]byte, error) {
	if id == "" {
		return nil, nil
	}
	chain, err := r.Chain(ctx, id)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, nil // the certificate itself names its issuer
	}
	return chain, err
}

// Chains holds what [Reader.KnownChain] returned, by the ID of the issuer. Most certificates have the same issuers, so
// several comparisons that share it read each chain once.
type Chains map[string][][]byte

// Of returns a certificate with the CAs above it, without the root.
func (known Chains) Of(ctx context.Context, r Reader, c tenancy.Certificate) (chain [][]byte, err error) {
	above, found := known[c.IssuerID]
	if !found {
		if above, err = r.KnownChain(ctx, c.IssuerID); err != nil {
			return nil, err
		}
		known[c.IssuerID] = above
	}
	return append([][]byte{c.DER}, above...), nil
}

// Changes returns what a receiver may notice when a certificate replaces another one.
func (r Reader) Changes(ctx context.Context, known Chains, before, after tenancy.Certificate) (tenancy.Changes, error) {
	chains := make([][][]byte, 2)
	for i, c := range []tenancy.Certificate{before, after} {
		var err error
		if chains[i], err = known.Of(ctx, r, c); err != nil {
			return tenancy.Changes{}, err
		}
	}
	return certfile.Changes(chains[0], chains[1])
}

// AddAuthority stores a new authority. It returns [tenancy.ErrConflict] if its position is taken.
func (s *Store) AddAuthority(ctx context.Context, a tenancy.Authority) error {
	return s.InTx(ctx, func(t *Tx) error { return t.addAuthority(ctx, a) })
}

func (t *Tx) addAuthority(ctx context.Context, a tenancy.Authority) error {
	_, err := t.exec(ctx, "INSERT INTO authorities ("+authorityColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "+
		"?)", a.ID, a.Kind, a.ParentID, a.DER, bytesOf(a.Above), bytesOf(a.SealedKey), a.KeyURI, bytesOf(a.CRL),
		micros(a.NotBefore), micros(a.NotAfter), a.Position, micros(a.SignsFrom), micros(a.RevokedAt), a.RevokedFor)
	return err
}

// bytesOf returns a value for a column that is not null.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SignFrom makes an announced authority sign from an instant on, earlier than announced. It returns [tenancy.ErrStale]
// if the authority already signs at that time.
func (t *Tx) SignFrom(ctx context.Context, id string, at time.Time) error {
	n, err := t.exec(ctx, "UPDATE authorities SET signs_from = ? WHERE id = ? AND signs_from > ?", micros(at), id,
		micros(at))
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrStale, "this authority already signs at that time")
	}
	return err
}

// RevokeAuthority marks an authority as revoked. It returns [tenancy.ErrStale] if it is already.
func (t *Tx) RevokeAuthority(ctx context.Context, id, reason string, now time.Time) error {
	return t.execOne(ctx, "UPDATE authorities SET revoked_at = ?, revoked_for = ? WHERE id = ? AND revoked_at = 0",
		micros(now), reason, id)
}

// RemoveAuthorityKey removes the key of a root, and keeps its last revocation list. It returns [tenancy.ErrStale] if
// the key is not stored.
func (t *Tx) RemoveAuthorityKey(ctx context.Context, id string, crl []byte) error {
	return t.execOne(ctx, "UPDATE authorities SET sealed_key = ?, crl = ? WHERE id = ? AND kind = ? AND "+
		"LENGTH(sealed_key) > 0", []byte{}, crl, id, tenancy.RootAuthority)
}

// RestoreAuthorityKey stores the key of a root again that was taken offline. It returns [tenancy.ErrStale] if the key
// of the root is stored, or never was.
func (t *Tx) RestoreAuthorityKey(ctx context.Context, id string, sealed []byte) error {
	return t.execOne(ctx, "UPDATE authorities SET sealed_key = ?, crl = ? WHERE id = ? AND LENGTH(sealed_key) = 0 AND "+
		"LENGTH(crl) > 0", sealed, []byte{}, id)
}

// ResealAuthority replaces the sealed key of an authority.
func (t *Tx) ResealAuthority(ctx context.Context, id string, sealed []byte) error {
	return t.execOne(ctx, "UPDATE authorities SET sealed_key = ? WHERE id = ?", sealed, id)
}
