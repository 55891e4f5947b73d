// Package watching notifies key users of the renewal of certificates that belong to others: partners that call their
// systems, and servers that they call.
//
// It promises that key users have one notice before an expected renewal, one when the new certificate is seen, and one
// when it is late or not the expected one. Each is one transaction with its tasks, its mails and its audit event,
// whatever the number of replicas. Nothing here renews a certificate or has a private key.
//
// It cannot see a renewal that is neither reported nor shown by a source. It then reports the renewal as overdue. A
// forecast is as good as the rules of the owner that were given. Time is an argument.
package watching

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// Notifier notifies the key users of a tenant, as [lifecycle.Engine.NotifyKeyUsers] does.
type Notifier interface {
	NotifyKeyUsers(ctx context.Context, tx *store.Tx, t tenancy.Tenant, n tenancy.Notice, event tenancy.Event,
		now time.Time) error
}

// Watching watches certificates. It is safe for concurrent use, even by several replicas.
type Watching struct {
	store *store.Store
	users Notifier
	log   *slog.Logger
}

// New returns a value that watches the certificates in a store.
func New(s *store.Store, users Notifier, log *slog.Logger) *Watching {
	return &Watching{store: s, users: users, log: log}
}

// Add begins to watch a certificate. chain has the certificate, and the CAs above it as far as they are known. If its
// renewal is expected soon or is late, key users are notified at once. If v.LookedAt is zero, its source is read at the
// next tick. The error is [tenancy.ErrInvalid], or [tenancy.ErrConflict] if the tenant watches a certificate of this
// name.
func (w *Watching) Add(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, chain [][]byte, actor string,
	now time.Time) (added tenancy.Watched, err error) {
	if err := check(v); err != nil {
		return v, err
	}
	first, err := sighted(chain, actor, now)
	if err != nil {
		return v, tenancy.Invalid("certificate", "%v", err)
	}
	v.ID, v.TenantID, v.CreatedAt, v.Version, v.Noticed = store.NewID(), t.ID, now, 1, ""
	first.ID, first.TenantID, first.WatchedID, first.Position, first.Adopted = store.NewID(), t.ID, v.ID, 1, true
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.CountWatched(ctx, t.ID)
		if err != nil {
			return err
		}
		if n >= tenancy.MostWatched {
			return tenancy.Errorf(tenancy.ErrRefused, "%s watches %d certificates, which is the maximum: remove one first",
				t.Name, n)
		}
		if err := tx.CreateWatched(ctx, v); err != nil {
			if errors.Is(err, tenancy.ErrConflict) {
				return tenancy.Errorf(tenancy.ErrConflict, "%s already watches a certificate %s: upload the new one there, or "+
					"choose another name", t.Name, v.Name)
			}
			return err
		}
		if err := tx.AddWatchedCertificate(ctx, first); err != nil {
			return err
		}
		err = tx.Audit(ctx, event(now, actor, "watched.added", t, v, map[string]any{
			"fingerprint_sha256": first.Fingerprint, "not_after": first.NotAfter, "source": v.Source.Public()}))
		if err != nil {
			return err
		}
		added = v // a transaction that is repeated begins with the same value
		return w.settle(ctx, tx, t, &added, first, now)
	})
	return added, err
}

// Change stores other settings of a watched certificate, except its name. After a change of the owner's rules, key
// users are notified of the new dates. v has the version that the caller read. The error is [tenancy.ErrStale] if it
// was changed in the meantime.
func (w *Watching) Change(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, actor string,
	now time.Time) (changed tenancy.Watched, err error) {
	if err := check(v); err != nil {
		return v, err
	}
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		stored, err := tx.Watched(ctx, t.ID, v.Name)
		if err != nil {
			return err
		}
		_, newest, err := read(ctx, tx.Reader, stored)
		if err != nil {
			return err
		}
		if stored.Policy != v.Policy || stored.Window != v.Window {
			stored.Noticed = ""
		}
		if stored.Source != v.Source {
			stored.LookedAt, stored.FailingSince, stored.LookError = time.Time{}, time.Time{}, ""
		}
		stored.Owner, stored.Policy, stored.Window, stored.Source, stored.Systems, stored.Version = v.Owner, v.Policy,
			v.Window, v.Source, v.Systems, v.Version
		err = tx.Audit(ctx, event(now, actor, "watched.changed", t, v, map[string]any{"source": v.Source.Public(),
			"owner": v.Owner}))
		if err != nil {
			return err
		}
		changed = stored
		return w.settle(ctx, tx, t, &changed, newest, now)
	})
	return changed, err
}

// Remove ends watching a certificate, and deletes its history. Notices, tasks and mails remain.
func (w *Watching) Remove(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, actor string,
	now time.Time) error {
	return w.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteWatched(ctx, v); err != nil {
			return err
		}
		return tx.Audit(ctx, event(now, actor, "watched.removed", t, v, nil))
	})
}

// Advance notifies the key users if the renewal of a certificate has reached another stage by now, and determines when
// it is due next. It does nothing if another replica was faster.
func (w *Watching) Advance(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, now time.Time) error {
	advanced := v
	err := w.store.InTx(ctx, func(tx *store.Tx) error {
		_, newest, err := read(ctx, tx.Reader, v)
		if err != nil {
			return err
		}
		advanced = v
		return w.settle(ctx, tx, t, &advanced, newest, now)
	})
	if isSlower(err) {
		return nil
	}
	if err == nil {
		w.logAlarm(ctx, t, v, advanced)
	}
	return err
}

// logAlarm logs that a renewal has become late, or that a certificate has expired.
func (w *Watching) logAlarm(ctx context.Context, t tenancy.Tenant, before, after tenancy.Watched) {
	if after.Noticed != before.Noticed && after.Noticed != tenancy.WatchWarned {
		w.log.WarnContext(ctx, "the owner of a watched certificate has not renewed it as expected", "tenant", t.Name,
			"watched", after.Name, "problem", string(after.Noticed))
	}
}

// isSlower reports whether a change failed because another replica has made one in the meantime.
func isSlower(err error) bool {
	return errors.Is(err, tenancy.ErrStale) || errors.Is(err, tenancy.ErrConflict)
}

// read returns the certificates that were seen of a watched one, and the newest adopted one.
func read(ctx context.Context, r store.Reader, v tenancy.Watched) (seen []tenancy.WatchedCertificate,
	newest tenancy.WatchedCertificate, err error) {
	all, err := r.WatchedCertificates(ctx, []string{v.ID})
	if err != nil {
		return nil, newest, err
	}
	seen = all[v.ID]
	newest, found := Newest(seen)
	if !found { // it was removed in the meantime
		return nil, newest, tenancy.Errorf(tenancy.ErrStale, "the watched certificate %s was removed in the meantime", v.Name)
	}
	return seen, newest, nil
}

// Newest returns the adopted certificate that was issued last.
func Newest(seen []tenancy.WatchedCertificate) (newest tenancy.WatchedCertificate, found bool) {
	for _, c := range seen {
		if c.Adopted && (!found || !c.NotBefore.Before(newest.NotBefore)) {
			newest, found = c, true
		}
	}
	return newest, found
}

// Before returns the adopted certificate that a newer one has replaced: of those issued earlier, the last.
func Before(seen []tenancy.WatchedCertificate, newest tenancy.WatchedCertificate) (before tenancy.WatchedCertificate,
	found bool) {
	return Newest(slices.DeleteFunc(slices.Clone(seen), func(c tenancy.WatchedCertificate) bool {
		return !c.NotBefore.Before(newest.NotBefore)
	}))
}

const (
	// mostAbove limits the stored CAs above a certificate.
	mostAbove = 4
	// mostBytes limits the size of a certificate. Those with thousands of names are larger.
	mostBytes = 16 << 10
	// mostSeen limits the history of a watched certificate.
	mostSeen = 25
	// mostAlarms is the number of unexpected certificates in 24 hours after which further ones cause no notice, unless a
	// person or a guard has confirmed them. They are still logged. A server that shows another one at every look causes no
	// more notices until it stops.
	mostAlarms = 3
)

// sighted describes a certificate that was seen. It has no ID yet.
func sighted(chain [][]byte, by string, now time.Time) (c tenancy.WatchedCertificate, err error) {
	if len(chain) == 0 {
		return c, errors.New("there is no certificate")
	}
	leaf, err := certfile.ParseCertificate(chain[0])
	if err != nil {
		return c, err
	}
	for _, der := range chain[:min(len(chain), 1+mostAbove)] {
		if len(der) > mostBytes {
			return c, fmt.Errorf("a certificate is larger than %d KiB", mostBytes>>10)
		}
	}
	if !leaf.NotBefore.Before(leaf.NotAfter) {
		return c, errors.New("the certificate is never valid")
	}
	above := chain[1:min(len(chain), 1+mostAbove)]
	return tenancy.WatchedCertificate{Fingerprint: certfile.Fingerprint(leaf.Raw), DER: leaf.Raw,
		Chain: append([]byte{}, certfile.JoinChain(above)...), NotBefore: leaf.NotBefore.UTC(),
		NotAfter: leaf.NotAfter.UTC(), SeenAt: now, SeenBy: by}, nil
}

// chainOf returns a certificate with the CAs above it, as far as they were seen.
func chainOf(c tenancy.WatchedCertificate) ([][]byte, error) {
	above, err := certfile.SplitChain(c.Chain)
	return slices.Concat([][]byte{c.DER}, above), err
}

func event(now time.Time, actor, action string, t tenancy.Tenant, v tenancy.Watched, detail any) tenancy.Event {
	return tenancy.NewEvent(now, actor, action, t.Name, fmt.Sprintf("%s/watched/%s", t.Name, v.Name), detail)
}
