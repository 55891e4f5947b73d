// Package lookout reads the sources of watched certificates: folders, https URLs, and TLS servers.
//
// It promises that a source is reached under the same rules as a receiver: no address is dialled that the operator has
// not allowed. What it reads is bounded in size and in time, and no tenant's sources delay those of another tenant. A
// server's certificate is not verified, because it is observed and never trusted.
package lookout

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// atOnce is the number of certificates that are worked on together.
	atOnce = 8
	// budget limits the time in which a tick reads sources. The next tick continues.
	budget = 5 * time.Minute
	// mostDue limits the certificates of a tick.
	mostDue = 1000
)

// Actor is the name of the lookout in the audit log.
const Actor = "watch"

// A Lookout reads sources.
type Lookout struct {
	store    *store.Store
	watching *watching.Watching
	network  *outbound.Network
	now      func() time.Time
	log      *slog.Logger
	roots    *x509.CertPool // that verify the servers of URLs; nil for the system's
}

// New returns a lookout.
func New(s *store.Store, w *watching.Watching, n *outbound.Network, now func() time.Time, log *slog.Logger) *Lookout {
	return &Lookout{store: s, watching: w, network: n, now: now, log: log}
}

// Watch works on all certificates that are due: it reads their sources, and notifies key users of stages that are
// reached. Certificates that are left are due at the next call.
func (l *Lookout) Watch(ctx context.Context) error {
	due, err := l.store.DueWatched(ctx, l.now(), mostDue)
	if err != nil || len(due) == 0 {
		return err
	}
	tenants, newest, err := l.read(ctx, due)
	if err != nil {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	queue := make(chan tenancy.Watched)
	var group sync.WaitGroup
	var mu sync.Mutex // guards failures
	var failures []error
	for range min(atOnce, len(due)) {
		group.Go(func() {
			for v := range queue {
				if err := l.work(ctx, reading, tenants[v.TenantID], v, newest[v.ID]); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, v := range due {
		select {
		case queue <- v:
			continue
		case <-reading.Done():
		}
		break
	}
	close(queue)
	group.Wait()
	if ctx.Err() == nil && errors.Is(reading.Err(), context.DeadlineExceeded) {
		l.log.WarnContext(ctx, "some sources of watched certificates are left for the next tick", "due", len(due))
	}
	return errors.Join(failures...)
}

func (l *Lookout) read(ctx context.Context, due []tenancy.Watched) (tenants map[string]tenancy.Tenant,
	newest map[string]tenancy.WatchedCertificate, err error) {
	var tenantIDs, ids []string
	for _, v := range due {
		tenantIDs, ids = append(tenantIDs, v.TenantID), append(ids, v.ID)
	}
	tenants, err1 := l.store.TenantsByID(ctx, tenantIDs)
	newest, err2 := l.store.NewestWatched(ctx, ids)
	return tenants, newest, errors.Join(err1, err2)
}

// work reads the source of a certificate if that is due, or else notifies of its stage. reading is the context of the
// look only, so that a look that was done in time is also recorded.
func (l *Lookout) work(ctx, reading context.Context, t tenancy.Tenant, v tenancy.Watched,
	newest tenancy.WatchedCertificate) error {
	if newest.ID == "" || t.ID == "" { // it was removed in the meantime
		return nil
	}
	if !watching.Looks(v, newest, l.now()) {
		return l.watching.Advance(ctx, t, v, l.now())
	}
	chain, err := l.Read(reading, t.Name, v.Source, newest.DER)
	switch {
	case err != nil && reading.Err() != nil:
		return nil // it is still due
	case err != nil:
		return l.watching.Missed(ctx, t, v, err, l.now())
	}
	_, err = l.watching.Seen(ctx, t, v.Name, chain, watching.Witness{By: Actor, Looked: true}, l.now())
	if errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrStale) || errors.Is(err, tenancy.ErrConflict) {
		return nil // it was removed or changed in the meantime
	}
	if errors.Is(err, tenancy.ErrInvalid) {
		return l.watching.Missed(ctx, t, v, err, l.now())
	}
	return err
}

// Look reads the source of a certificate now. The error states why it cannot be read, and is also recorded.
func (l *Lookout) Look(ctx context.Context, t tenancy.Tenant, v tenancy.Watched, actor string) (s watching.Sighting,
	err error) {
	if v.Source.Kind == "" {
		return s, tenancy.Errorf(tenancy.ErrRefused, "the certificate %s has no source: upload the new one, or change it to "+
			"have one", v.Name)
	}
	newest, err := l.store.NewestWatched(ctx, []string{v.ID})
	if err != nil {
		return s, err
	}
	chain, err := l.Read(ctx, t.Name, v.Source, newest[v.ID].DER)
	if err != nil {
		if recorded := l.watching.Missed(ctx, t, v, err, l.now()); recorded != nil {
			return s, recorded
		}
		return s, tenancy.Errorf(tenancy.ErrRefused, "the source %s of the certificate %s cannot be read: %v",
			v.Source.Public().Address, v.Name, err)
	}
	return l.watching.Seen(ctx, t, v.Name, chain, watching.Witness{By: actor, Looked: true}, l.now())
}
