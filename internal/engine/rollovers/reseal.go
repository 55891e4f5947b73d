package rollovers

import (
	"bytes"
	"context"
	"errors"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// resealPage is the number of parked messages, or chunks, that are read at once.
const resealPage = 16

// ResealParked seals the stored parts of parked messages again that are not sealed with the newest key-encryption key.
// It can be stopped at any point, and continues when it is called again.
func ResealParked(ctx context.Context, s *store.Store, keys *keyring.Keyring) error {
	for after := ""; ; {
		page, err := s.SealedParked(ctx, after, resealPage)
		if err != nil {
			return err
		}
		for _, old := range page {
			after = old.ID
			fresh := old
			if fresh.Request, err = resealed(keys, old.Request, parkedContext(old.ID, old.Chunks)); err != nil {
				return err
			}
			if fresh.Digest, err = resealed(keys, old.Digest, digestContext(old.ID)); err != nil {
				return err
			}
			if !bytes.Equal(fresh.Request, old.Request) || !bytes.Equal(fresh.Digest, old.Digest) {
				if err := s.InTx(ctx, func(tx *store.Tx) error { return tx.ResealParked(ctx, fresh) }); err != nil {
					return err
				}
			}
			for n := range old.Chunks {
				if err := resealChunk(ctx, s, keys, old.ID, tenancy.ParkedPart{N: n, Last: n == old.Chunks-1}); err != nil {
					return err
				}
			}
		}
		if len(page) < resealPage {
			return nil
		}
	}
}

func resealChunk(ctx context.Context, s *store.Store, keys *keyring.Keyring, id string, part tenancy.ParkedPart) error {
	old, err := s.ParkedChunk(ctx, id, part.N)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil // the message has ended
	} else if err != nil {
		return err
	}
	if keys.Current(old) {
		return nil
	}
	fresh, err := resealed(keys, old, chunkContext(id, part))
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *store.Tx) error { return tx.ResealParkedChunk(ctx, id, part.N, fresh) })
}

// resealed seals a secret with the newest key. What is missing stays missing.
func resealed(keys *keyring.Keyring, sealed []byte, context string) ([]byte, error) {
	if len(sealed) == 0 || keys.Current(sealed) {
		return sealed, nil
	}
	secret, err := keys.Open(sealed, context)
	if err != nil {
		return nil, err
	}
	return keys.Seal(secret, context)
}
