package feeds

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// keySetting holds the sealed seed of the key that signs every feed of the installation, in base64. Its thumbprint is
// part of each address, so the key is created once and stays.
const keySetting = "feed_key"

// keyContext is the context in which the seed is sealed.
const keyContext = "feed key"

// A signer is the key that signs feeds, with its thumbprint.
type signer struct {
	key        ed25519.PrivateKey
	thumbprint string
}

// knownSigner returns the key of the installation; the zero value if no feed was ever created.
func (f *Feeds) knownSigner(ctx context.Context) (signer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.signer.key != nil {
		return f.signer, nil
	}
	stored, err := f.store.Setting(ctx, keySetting)
	if err != nil || stored == "" {
		return signer{}, err
	}
	f.signer, err = f.open(stored)
	return f.signer, err
}

// ensureSigner is knownSigner, but creates the key if there is none. If replicas do so at once, the first one decides.
func (f *Feeds) ensureSigner(ctx context.Context) (signer, error) {
	if known, err := f.knownSigner(ctx); err != nil || known.key != nil {
		return known, err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // it never fails
	sealed, err := f.seal.Seal(seed, keyContext)
	if err != nil {
		return signer{}, fmt.Errorf("seal the key of the feeds: %w", err)
	}
	if err := f.store.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.SetOnce(ctx, keySetting, base64.StdEncoding.EncodeToString(sealed))
		return err
	}); err != nil {
		return signer{}, err
	}
	return f.knownSigner(ctx)
}

func (f *Feeds) open(stored string) (s signer, err error) {
	sealed, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return s, errors.New("the key of the feeds in the database is damaged: restore the database from its backup")
	}
	seed, err := f.seal.Open(sealed, keyContext)
	if err != nil {
		return s, fmt.Errorf("open the key of the feeds: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		return s, errors.New("the key of the feeds in the database has the wrong size: restore the database from its backup")
	}
	key := ed25519.NewKeyFromSeed(seed)
	thumbprint, err := feed.Thumbprint(key.Public().(ed25519.PublicKey))
	if err != nil {
		return s, err
	}
	return signer{key, thumbprint}, nil
}

// Reseal seals the key of the feeds again if it is not sealed with the newest key-encryption key. It reports whether it
// did.
func Reseal(ctx context.Context, s *store.Store, keys *keyring.Keyring) (did bool, err error) {
	stored, err := s.Setting(ctx, keySetting)
	if err != nil || stored == "" {
		return false, err
	}
	sealed, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return false, errors.New("the key of the feeds in the database is damaged: restore the database from its backup")
	}
	if keys.Current(sealed) {
		return false, nil
	}
	seed, err := keys.Open(sealed, keyContext)
	if err != nil {
		return false, fmt.Errorf("open the key of the feeds: %w", err)
	}
	if sealed, err = keys.Seal(seed, keyContext); err != nil {
		return false, err
	}
	err = s.InTx(ctx, func(tx *store.Tx) error {
		return tx.SetSetting(ctx, keySetting, base64.StdEncoding.EncodeToString(sealed))
	})
	return err == nil, err
}
