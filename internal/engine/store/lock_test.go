package store

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnotherReplicaWaitsForALock(t *testing.T) {
	url := migrated.Postgres(t)
	one, err := Open(t.Context(), url)
	must(t, err)
	defer one.Close()
	other, err := Open(t.Context(), url)
	must(t, err)
	defer other.Close()
	tenant, _ := acme(t, one, "acme", now)
	must(t, write(t, one, func(ctx context.Context, tx *Tx) error {
		for _, id := range []string{"x", "y"} {
			a := tenancy.Arrangement{ID: id, TenantID: tenant.ID, Name: id}
			if _, err := tenanttest.Arrangement(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	}))
	type step = func(ctx context.Context, tx *Tx) error
	parked := func(tenantID string) step {
		return func(ctx context.Context, tx *Tx) error { _, err := tx.LockParked(ctx, tenantID); return err }
	}
	arrangement := func(id string) step {
		return func(ctx context.Context, tx *Tx) error { _, err := tx.LockArrangement(ctx, id); return err }
	}
	names := func(ctx context.Context, tx *Tx) error { return tx.LockNames(ctx) }
	impatient := func(lock step) error { // it fails if it would have to wait
		return write(t, other, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "SET LOCAL lock_timeout = '100ms'"); err != nil {
				return err
			}
			return lock(ctx, tx)
		})
	}
	for name, c := range map[string]struct{ lock, another step }{
		"the parked messages of a tenant": {parked("a"), parked("b")}, "an arrangement": {arrangement("x"), arrangement("y")},
		"kept names": {names, parked("a")},
	} {
		must(t, write(t, one, func(ctx context.Context, tx *Tx) error {
			if err := c.lock(ctx, tx); err != nil {
				return err
			}
			var waits *pgconn.PgError
			if err := impatient(c.lock); !errors.As(err, &waits) || waits.Code != "55P03" { // lock_not_available
				t.Errorf("%s: another replica does not wait: %v", name, err)
			}
			if err := impatient(c.another); err != nil {
				t.Errorf("%s: a replica waits for another lock: %v", name, err)
			}
			return nil
		}))
		if err := impatient(c.lock); err != nil {
			t.Errorf("%s: the lock outlives its transaction: %v", name, err)
		}
	}
}
