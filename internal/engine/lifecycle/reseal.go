package lifecycle

import (
	"context"
	"errors"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// Reseal seals again, in pages, every private key and parked message that is not sealed with the newest key-encryption
// key. It returns how many private keys it has re-sealed. It can be stopped at any point, and continues when it is
// called again. progress is called after each page with the number of keys re-sealed so far.
func Reseal(ctx context.Context, s *store.Store, keys *keyring.Keyring, progress func(n int)) (n int,
	err error) {
	reseal := func(sealed []byte, context string) ([]byte, error) {
		secret, err := keys.Open(sealed, context)
		if err != nil {
			return nil, err
		}
		return keys.Seal(secret, context)
	}
	if n, err = resealAuthorities(ctx, s, keys, reseal); err != nil {
		return n, err
	}
	for _, table := range []keyed{{s.SealedKeys, (*store.Tx).Reseal}, {s.SealedRequestKeys, (*store.Tx).ResealRequests}} {
		for after, more := "", true; more; {
			var fresh int
			if after, fresh, err = table.reseal(ctx, s, keys, after, reseal); err != nil {
				return n, err
			}
			if more = after != ""; more {
				n += fresh
				progress(n)
			}
		}
	}
	did, err := feeds.Reseal(ctx, s, keys)
	if err != nil {
		return n, err
	}
	if did {
		n++
	}
	if err := links.Reseal(ctx, s, keys); err != nil {
		return n, err
	}
	return n, rollovers.ResealParked(ctx, s, keys)
}

// resealAuthorities seals the keys of the local CA again, including those whose certificates are requested.
func resealAuthorities(ctx context.Context, s *store.Store, keys *keyring.Keyring,
	reseal func(sealed []byte, context string) ([]byte, error)) (n int, err error) {
	again := func(sealed []byte, context string, write func(tx *store.Tx, sealed []byte) error) error {
		if len(sealed) == 0 || keys.Current(sealed) { // the key of a root may be elsewhere
			return nil
		}
		fresh, err := reseal(sealed, context)
		if err != nil {
			return err
		}
		if err = s.InTx(ctx, func(tx *store.Tx) error { return write(tx, fresh) }); err == nil {
			n++
		}
		return err
	}
	authorities, err1 := s.Authorities(ctx)
	requests, err2 := s.AuthorityRequests(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	for _, a := range authorities {
		if err := again(a.SealedKey, a.SealContext(), func(tx *store.Tx, sealed []byte) error {
			return tx.ResealAuthority(ctx, a.ID, sealed)
		}); err != nil {
			return n, err
		}
	}
	for _, r := range requests {
		if err := again(r.SealedKey, r.SealContext(), func(tx *store.Tx, sealed []byte) error {
			return tx.ResealAuthorityRequest(ctx, r.ID, sealed)
		}); err != nil {
			return n, err
		}
	}
	return n, nil
}

// keyed is a table with private keys of certificates.
type keyed struct {
	list  func(ctx context.Context, after string, limit int) ([]store.Sealed, error)
	write func(tx *store.Tx, ctx context.Context, before, after []store.Sealed) error
}

// reseal seals the keys of the next page again. last is the ID of its last row; empty if there was none.
func (k keyed) reseal(ctx context.Context, s *store.Store, keys *keyring.Keyring, after string,
	seal func(sealed []byte, context string) ([]byte, error)) (last string, n int, err error) {
	page, err := k.list(ctx, after, pageSize)
	if err != nil || len(page) == 0 {
		return "", 0, err
	}
	var before, fresh []store.Sealed
	for _, old := range page {
		if keys.Current(old.Key) {
			continue
		}
		sealed, err := seal(old.Key, rollovers.SealContext(old.ID))
		if err != nil {
			return "", 0, err
		}
		before, fresh = append(before, old), append(fresh, store.Sealed{ID: old.ID, Key: sealed})
	}
	err = s.InTx(ctx, func(tx *store.Tx) error { return k.write(tx, ctx, before, fresh) })
	return page[len(page)-1].ID, len(fresh), err
}
