package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/tenancy"
)

// actor is the actor in audit events of commands that work on the database itself.
const actor = "command line"

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
func (d *Database) openServed(ctx context.Context, log *slog.Logger) (_ *store.Store, _ *keyring.Keyring, err error) {
	s, err := openExisting(ctx, d.URL, store.Open)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	keys, err := d.servedKeys(ctx, s, log)
	return s, keys, err
}

// OpenControl opens the database of a running service for a gateway that uses it. The caller calls Release when the
// gateway has ended.
func OpenControl(ctx context.Context, d Database, quota Quota, now func() time.Time,
	log *slog.Logger) (_ serve.Service, err error) {
	var none serve.Service
	s, keys, err := d.openServed(ctx, log)
	if err != nil {
		return none, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	r, err := rollovers.New(s, keys, kms.Tokens(), log)
	if err != nil {
		return none, err
	}
	go s.Listen(ctx, d.URL, log)
	go keepKeys(ctx, keys, log)
	return serve.Service{Control: inprocess.Control{Rollovers: r, Now: now, Quota: tenancy.ParkedQuota(quota)},
		Address: d.URL, Release: s.Close, Outage: outage(s)}, nil
}

// ReadHeads returns the heads of the audit log that an argument names: a head, the hash of one, or a file that contains
// heads, such as the one that a service appends to, a log or a mail. A hash alone has no number.
func ReadHeads(argument string) ([]tenancy.Chain, error) {
	if hash, err := hex.DecodeString(argument); err == nil && len(hash) == sha256.Size {
		return []tenancy.Chain{{Hash: hash}}, nil
	}
	if heads := tenancy.ParseHeads(argument); len(heads) > 0 {
		return heads, nil
	}
	data, err := os.ReadFile(argument)
	if err != nil {
		return nil, fmt.Errorf("--head: it is neither a head such as 1234:HASH nor a file that can be read: %w", err)
	}
	heads := tenancy.ParseHeads(string(data))
	if len(heads) == 0 {
		return nil, fmt.Errorf("--head: there is no head in %s: a head is the number of an entry and its hash, such as "+
			"1234:HASH", argument)
	}
	return heads, nil
}

// VerifyAudit recomputes the hash chain of the audit log, and compares it with heads that were kept outside the
// database. It returns the head of the chain.
func VerifyAudit(ctx context.Context, database string, heads ...tenancy.Chain) (tenancy.Chain, error) {
	s, err := openExisting(ctx, database, store.Open)
	if err != nil {
		return tenancy.Chain{}, err
	}
	defer s.Close()
	chain, err := s.VerifyEvents(ctx)
	if err != nil {
		return chain, err
	}
	return chain, s.VerifyHeads(ctx, heads)
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
	if head, err = VerifyAudit(ctx, "sqlite:"+file); err != nil {
		return head, fmt.Errorf("the copy at %s: %w", file, err)
	}
	return head, nil
}

// Restored is the result of [Restore].
type Restored struct {
	// Head is the end of the backup's audit log.
	Head tenancy.Chain
	// Replaced is the path of the database that was replaced; empty if there was none.
	Replaced string
}

// Restore replaces a SQLite database with a backup, which stays as it is. The backup must be undamaged, have an
// unbroken audit log and be sealed with the keys of d. The database that is replaced is kept.
func Restore(ctx context.Context, d Database, backup string, now time.Time, log *slog.Logger) (r Restored, err error) {
	path, ok := strings.CutPrefix(d.URL, "sqlite:")
	if !ok {
		return r, errors.New("PostgreSQL has its own tool for this: psql")
	}
	r.Replaced, err = store.Restore(ctx, backup, path, now, func(s *store.Store) error {
		if _, err := d.servedKeys(ctx, s, log); errors.Is(err, errNotServed) {
			return errors.New("it is not a backup of a database that a service has set up")
		} else if err != nil {
			return err
		}
		var err error
		if r.Head, err = s.VerifyEvents(ctx); err != nil {
			return err
		}
		return s.InTx(ctx, func(tx *store.Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, actor, "database.restored", "", "database",
				map[string]any{"backup": filepath.Base(backup), "events": r.Head.Seq}))
		})
	})
	if err != nil {
		return Restored{}, fmt.Errorf("restore %s: %w", path, err)
	}
	return r, nil
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
