package service

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/tenancy"
)

// keyCheck is a known text that is sealed in the database, so that a wrong key is detected at the start and not on the
// first of the month.
const keyCheck = "key_check"

// keyring opens the key-encryption keys, and creates them for a new database.
func (d *Database) keyring(ctx context.Context, s *store.Store, log *slog.Logger) (*keyring.Keyring, error) {
	sealed, err := s.Setting(ctx, keyCheck)
	if err != nil {
		return nil, err
	}
	keys, err := patiently(ctx, log, d.openKeys)
	if errors.Is(err, keyring.ErrNoKeyFile) && sealed == "" {
		if keys, err = keyring.Create(d.KeyFile, kms.Open); errors.Is(err, fs.ErrExist) { // another replica has created it
			keys, err = patiently(ctx, log, d.openKeys)
		}
	} else if errors.Is(err, keyring.ErrNoKeyFile) {
		return nil, fmt.Errorf("%w, and the database is sealed with one: restore it from its backup", err)
	}
	if err != nil {
		return nil, err
	}
	if sealed == "" {
		if sealed, err = claimKeyCheck(ctx, s, keys); err != nil {
			return nil, err
		}
	}
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err == nil {
		_, err = keys.Open(data, keyCheck)
	}
	if err != nil {
		return nil, errors.New("the database was sealed with another key: use the key file that belongs to it (replicas " +
			"share one)")
	}
	return keys, nil
}

func (d *Database) openKeys(ctx context.Context) (*keyring.Keyring, error) {
	if d.Key != "" {
		return keyring.FromEnvironment(ctx, d.Key, kms.Open)
	}
	return keyring.Open(ctx, d.KeyFile, kms.Open)
}

const (
	// kmsPatience limits the time that a start waits for the service that wraps the key-encryption keys. It is below the
	// 90 seconds that systemd allows a start by default.
	kmsPatience = time.Minute
	// kmsPause is the time between two attempts.
	kmsPause = 3 * time.Second
)

// patiently opens the keys. While the service that wraps them is unavailable, it tries again.
func patiently(ctx context.Context, log *slog.Logger,
	open func(context.Context) (*keyring.Keyring, error)) (*keyring.Keyring, error) {
	waiting, end := context.WithTimeout(ctx, kmsPatience)
	defer end()
	for warned := false; ; warned = true {
		keys, err := open(waiting)
		away := (*keyring.Away)(nil)
		if err == nil || !errors.As(err, &away) {
			return keys, err
		}
		if !warned {
			log.WarnContext(ctx, "the key-encryption keys cannot be unwrapped yet: trying again", "error", err,
				"for", kmsPatience.String())
		}
		select {
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, fmt.Errorf("%w (tried for %s; start again when the key management service answers; running services "+
				"do not need it)", err, kmsPatience)
		case <-time.After(kmsPause):
		}
	}
}

// claimKeyCheck writes the check of a new database, and returns the one in force: another replica may be faster.
func claimKeyCheck(ctx context.Context, s *store.Store, keys *keyring.Keyring) (sealed string, err error) {
	made, err := sealKeyCheck(keys)
	if err != nil {
		return "", err
	}
	err = s.InTx(ctx, func(tx *store.Tx) (err error) {
		sealed, err = tx.SetOnce(ctx, keyCheck, made)
		return err
	})
	return sealed, err
}

func sealKeyCheck(keys *keyring.Keyring) (string, error) {
	sealed, err := keys.Seal([]byte(keyCheck), keyCheck)
	return base64.StdEncoding.EncodeToString(sealed), err
}

// errNotServed means that a database has no keys yet.
var errNotServed = errors.New("the database has not been set up by a service: start perennial serve first")

// servedKeys opens the key-encryption keys of a database that a service has set up.
func (d *Database) servedKeys(ctx context.Context, s *store.Store,
	log *slog.Logger) (*keyring.Keyring, error) {
	sealed, err := s.Setting(ctx, keyCheck)
	if err != nil {
		return nil, err
	}
	if sealed == "" {
		return nil, errNotServed
	}
	return d.keyring(ctx, s, log)
}

// Rotated is the result of [RotateKeys].
type Rotated struct {
	// Resealed is the number of private keys that were sealed with the new key.
	Resealed int
	// Keys is the number of key-encryption keys in the key file.
	Keys int
}

// RotateKeys adds a key-encryption key and seals every private key with it. It calls progress with the number of
// private keys so far, from time to time. It is safe to repeat: a rotation that was interrupted is finished by the next
// one, which adds another key.
func RotateKeys(ctx context.Context, d Database, now time.Time, log *slog.Logger,
	progress func(n int)) (r Rotated, err error) {
	s, err := openExisting(ctx, d.URL, store.OpenExclusive)
	if err != nil {
		return r, err
	}
	defer s.Close()
	keys, err := d.keyring(ctx, s, log)
	if err != nil {
		return r, err
	}
	if err := keys.Rotate(ctx); err != nil {
		return r, err
	}
	if r.Resealed, err = lifecycle.Reseal(ctx, s, keys, progress); err != nil {
		return r, fmt.Errorf("after %d keys: %w (the old key still opens the rest: run this again)", r.Resealed, err)
	}
	if err := webhooks.Reseal(ctx, s, keys); err != nil {
		return r, fmt.Errorf("%w (the old key still opens the rest: run this again)", err)
	}
	sealed, err := sealKeyCheck(keys)
	if err != nil {
		return r, err
	}
	r.Keys = keys.Keys()
	return r, s.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.SetSetting(ctx, keyCheck, sealed); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "key.rotated", "", d.KeyFile,
			map[string]any{"resealed": r.Resealed}))
	})
}

// MoveKeys wraps the key-encryption keys with the key of a URI, or writes them to the key file in cleartext if the URI
// is empty. A service may use them at the same time. Nothing is sealed again.
func MoveKeys(ctx context.Context, d Database, uri string, now time.Time, log *slog.Logger) error {
	s, keys, err := d.openServed(ctx, log)
	if err != nil {
		return err
	}
	defer s.Close()
	from := keys.WrappedBy()
	if err := keys.Move(ctx, uri); err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "key.moved", "", d.KeyFile,
			map[string]any{"from": place(from), "to": place(uri)}))
	})
}

// InFile stands for a keyset in cleartext, in place of the URI of the key that wraps it.
const InFile = "file"

func place(uri string) string {
	if uri == "" {
		return InFile
	}
	return uri
}

// keysRefresh is the interval at which a running service checks the key file.
const keysRefresh = time.Minute

// keepKeys reads the key file again when it has changed, until ctx is done. So a replica without credentials for the
// new wrapping key is detected before its next start.
func keepKeys(ctx context.Context, keys *keyring.Keyring, log *slog.Logger) {
	due := time.NewTicker(keysRefresh)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		changed, err := keys.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.WarnContext(ctx, "the changed key file cannot be used: this service continues with the keys that it has, but "+
				"its next start would fail", "error", err)
		case changed:
			log.InfoContext(ctx, "the key file was read again", "wrapped_by", place(keys.WrappedBy()))
		}
	}
}
