package lifecycle

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// unusedFor is the time after which a key in a token is destroyed if no certificate was stored with it. It exceeds the
	// duration of a tick, because the creation time of its keys is its beginning.
	unusedFor = 6 * time.Hour
	// destroyAgain is the time between two attempts to destroy a key.
	destroyAgain = time.Hour
	// tokenKeyPage is the number of keys that are read at a time.
	tokenKeyPage = 100
)

// A newKey is a private key for a certificate, with its form in the database.
type newKey struct {
	crypto.Signer
	store.Key
}

// newKey creates the key of a certificate: sealed, or in a token. A key in a token is recorded before it is created, so
// that it is destroyed if no certificate gets it, whatever happens in between.
func (e *Engine) newKey(ctx context.Context, id, label string, kind tenancy.KeyType, now time.Time) (k newKey,
	err error) {
	if e.tokenURI == "" {
		if k.Signer, err = e.keys.Take(kind); err != nil {
			return k, fmt.Errorf("create a key: %w", err)
		}
		k.Sealed, err = e.seal.SealKey(k.Signer, rollovers.SealContext(id))
		return k, err
	}
	if err := keyring.MadeInToken(kind); err != nil {
		return k, err
	}
	calling, cancel := context.WithTimeout(ctx, keyring.MakeTime)
	defer cancel()
	if err := e.tokens.Check(calling, e.tokenURI); err != nil { // so that an outage leaves no records
		return k, e.notMade(err)
	}
	uri := keyring.KeyInToken(e.tokenURI, label)
	if err := e.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.AddTokenKey(ctx, uri, now.Add(unusedFor))
	}); err != nil {
		return k, fmt.Errorf("record a key before it is made: %w", err)
	}
	public, err := e.tokens.Make(calling, uri, kind)
	if err != nil {
		return k, e.notMade(err)
	}
	k.Signer, k.URI = keyring.NewTokenSigner(e.tokens, uri, public), uri
	k.PKIX, err = x509.MarshalPKIXPublicKey(public)
	return k, err
}

// notMade returns the error for a token that does not create a key.
func (e *Engine) notMade(err error) error {
	text := "the token " + e.tokenURI + " makes no private key now"
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		return &issuer.Error{Fault: issuer.KeyAway, Text: text, Err: err}
	}
	return fmt.Errorf("%s: %w", text, err)
}

// openKey returns the private key of a request.
func (e *Engine) openKey(q tenancy.Request, key store.Key) (crypto.Signer, error) {
	if key.URI == "" {
		return e.seal.OpenKey(key.Sealed, rollovers.SealContext(q.ID))
	}
	public, err := x509.ParsePKIXPublicKey(key.PKIX)
	if err != nil {
		return nil, fmt.Errorf("the public key of the request %s cannot be read: %w", q.ID, err)
	}
	return keyring.NewTokenSigner(e.tokens, key.URI, public), nil
}

// CheckKeyType returns a [tenancy.ErrInvalid] if no keys of the type can be created.
func (e *Engine) CheckKeyType(kind tenancy.KeyType) error {
	if e.tokenURI == "" || kind == "" {
		return nil
	}
	return keyring.MadeInToken(kind)
}

// DestroyTokenKeys destroys the keys in tokens whose certificates are retired or revoked, and those that no certificate
// got in time. If a key cannot be destroyed, this is logged and retried an hour later.
func (e *Engine) DestroyTokenKeys(ctx context.Context, now time.Time) error {
	if e.tokens == nil {
		return nil
	}
	due, err := e.store.HasTokenKeysDue(ctx, now)
	if err != nil || !due {
		return err
	}
	if err := e.store.InTx(ctx, func(tx *store.Tx) error { return tx.DoomTokenKeys(ctx, now) }); err != nil {
		return err
	}
	failed, away := 0, map[string]bool{} // tokens
	var last error
	for after := ""; ctx.Err() == nil; {
		page, err := e.store.DoomedTokenKeys(ctx, now, after, tokenKeyPage)
		if err != nil {
			return err
		}
		for _, k := range page {
			after = k.URI
			token, _, _ := strings.Cut(k.URI, ";object=")
			if away[token] { // each further call may take as long
				continue
			}
			if err := e.destroyTokenKey(ctx, k, now); err != nil {
				failed, last = failed+1, err
				gone := (*keyring.Away)(nil)
				away[token] = errors.As(err, &gone)
			}
		}
		if len(page) < tokenKeyPage {
			break
		}
	}
	if failed > 0 {
		e.log.WarnContext(ctx, "private keys in tokens are not destroyed yet: this is tried again every hour", "keys", failed,
			"error", last)
	}
	return ctx.Err()
}

// destroySoon destroys the keys of generations that have just been revoked or retired. If that fails, the next tick
// does it.
func (e *Engine) destroySoon(ctx context.Context, now time.Time) {
	if err := e.DestroyTokenKeys(ctx, now); err != nil {
		e.log.WarnContext(ctx, "private keys in tokens are not destroyed yet: the next tick does it", "error", err)
	}
}

// destroyTokenKey destroys one key, or records why that failed.
func (e *Engine) destroyTokenKey(ctx context.Context, k store.TokenKey, now time.Time) error {
	calling, cancel := context.WithTimeout(ctx, keyring.RemoteTime)
	defer cancel()
	failed := e.tokens.Destroy(calling, k.URI)
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		if failed != nil {
			return tx.PostponeTokenKey(ctx, k.URI, failed.Error(), now.Add(destroyAgain))
		}
		if err := tx.RemoveTokenKey(ctx, k.URI); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "tokens", "key.destroyed", "", k.URI, nil))
	})
	if errors.Is(err, tenancy.ErrStale) { // another replica was faster
		err = nil
	}
	return errors.Join(failed, err)
}
