package service

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// actor is the actor in audit events of commands that work on the database itself.
const actor = "command line"

// keyCheck is a known text that is sealed in the database, so that a wrong key shows at the start and not on the first
// of the month.
const keyCheck = "key_check"

// keyring opens the key-encryption keys, and creates them for a new database.
func (d *Database) keyring(ctx context.Context, s *store.Store) (*keyring.Keyring, error) {
	sealed, err := s.Setting(ctx, keyCheck)
	if err != nil {
		return nil, err
	}
	var keys *keyring.Keyring
	if d.Key != "" {
		keys, err = keyring.FromEnvironment(d.Key)
	} else if keys, err = keyring.Open(d.KeyFile); errors.Is(err, keyring.ErrNoKeyFile) && sealed == "" {
		if keys, err = keyring.Create(d.KeyFile); errors.Is(err, fs.ErrExist) { // another replica has created it
			keys, err = keyring.Open(d.KeyFile)
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

// openExisting opens a database that a service created. A SQLite file that does not exist is an error, instead of a new
// and empty database. open is [store.Open] or [store.OpenExclusive].
func openExisting(ctx context.Context, url string,
	open func(context.Context, string) (*store.Store, error)) (*store.Store, error) {
	if err := store.CheckExists(url); err != nil {
		return nil, err
	}
	return open(ctx, url)
}

// openServed opens a database that a service has set up, with its keys. The caller closes it.
func (d *Database) openServed(ctx context.Context) (_ *store.Store, _ *keyring.Keyring, err error) {
	s, err := openExisting(ctx, d.URL, store.Open)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	sealed, err := s.Setting(ctx, keyCheck)
	if err != nil {
		return nil, nil, err
	}
	if sealed == "" {
		return nil, nil, errors.New("the database has not been set up by a service: start perennial serve first")
	}
	keys, err := d.keyring(ctx, s)
	return s, keys, err
}

// OpenControl opens the database of a running service for a gateway beside it. The caller calls Release when the
// gateway has ended.
func OpenControl(ctx context.Context, d Database, now func() time.Time, log *slog.Logger) (_ serve.Service,
	err error) {
	var none serve.Service
	s, keys, err := d.openServed(ctx)
	if err != nil {
		return none, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	r, err := rollovers.New(s, keys, log)
	if err != nil {
		return none, err
	}
	go s.Listen(ctx, d.URL, log)
	return serve.Service{Control: inprocess.Control{Rollovers: r, Now: now}, Address: d.URL, Release: s.Close}, nil
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
func RotateKeys(ctx context.Context, d Database, now time.Time, progress func(n int)) (r Rotated, err error) {
	s, err := openExisting(ctx, d.URL, store.OpenExclusive)
	if err != nil {
		return r, err
	}
	defer s.Close()
	keys, err := d.keyring(ctx, s)
	if err != nil {
		return r, err
	}
	if err := keys.Rotate(); err != nil {
		return r, err
	}
	if r.Resealed, err = lifecycle.Reseal(ctx, s, keys, progress); err != nil {
		return r, fmt.Errorf("after %d keys: %w (the old key still opens the rest: run this again)", r.Resealed, err)
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

// VerifyAudit recomputes the hash chain of the audit log. If head is not empty, an entry must have that hash. It
// returns the head of the chain.
func VerifyAudit(ctx context.Context, database, head string) (tenancy.Chain, error) {
	s, err := openExisting(ctx, database, store.Open)
	if err != nil {
		return tenancy.Chain{}, err
	}
	defer s.Close()
	chain, err := s.VerifyEvents(ctx)
	if err != nil || head == "" {
		return chain, err
	}
	found, err := s.HasEvent(ctx, head)
	if err == nil && !found {
		err = fmt.Errorf("audit log: no entry has the hash %s: the log was rewritten", head)
	}
	return chain, err
}

// Backup copies a SQLite database, which a service may use at the same time, to a new file, and verifies the audit log
// of the copy. It returns the head of its chain.
func Backup(ctx context.Context, database, file string) (head tenancy.Chain, err error) {
	s, err := openExisting(ctx, database, store.Open)
	if err != nil {
		return head, err
	}
	defer s.Close()
	if err := s.Backup(ctx, file); err != nil {
		return head, fmt.Errorf("back up %s: %w", store.Masked(database), err)
	}
	if head, err = VerifyAudit(ctx, "sqlite:"+file, ""); err != nil {
		return head, fmt.Errorf("the copy at %s: %w", file, err)
	}
	return head, nil
}

// Migrate moves everything from a SQLite database to an empty PostgreSQL database, or nothing. It calls moved for each
// table, and returns the number of rows. The SQLite database stays as it is.
func Migrate(ctx context.Context, source, target string, now time.Time, moved func(store.Moved)) (rows int, err error) {
	from, err := openExisting(ctx, source, store.OpenExclusive) // refuses a file that a service has open
	if err != nil {
		return 0, err
	}
	defer from.Close()
	to, err := store.Open(ctx, target)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	if err := jobs.Migrate(ctx, to, slog.New(slog.DiscardHandler)); err != nil {
		return 0, err
	}
	err = from.Move(ctx, to, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "database.moved", "", "database", map[string]any{"rows": rows}))
	}, func(m store.Moved) {
		rows += m.Rows
		moved(m)
	})
	if err != nil {
		return rows, fmt.Errorf("move %s to %s: %w", source, store.Masked(target), err)
	}
	return rows, nil
}
