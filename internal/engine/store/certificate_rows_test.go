package store

import (
	"context"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestCertificatesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		certificate := func(id string, of tenancy.Tenant, generation, n int) tenancy.Certificate {
			c := filled[tenancy.Certificate](n)
			c.ID, c.TenantID, c.Purpose, c.Generation, c.State = id, of.ID, tenancy.ForTenant, generation, tenancy.Active
			c.SuccessorID, c.IssuerID, c.NotAfter = "", "ca", now.AddDate(0, generation, 0)
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c, SealedKey: []byte("key of " + id)}})
			})
			return c
		}
		one, two, other := certificate("c1", a, 1, 100), certificate("c2", a, 2, 200), certificate("c3", b, 1, 300)
		got, err := r.Certificate(ctx, "a", tenancy.ForTenant, 1)
		r.same("a generation", err, got, one)
		got, err = r.Newest(ctx, "a", tenancy.ForTenant)
		r.same("the newest", err, got, two)
		all, err := r.Certificates(ctx, "a", "c1", 10)
		r.same("after the first", err, all, []tenancy.Certificate{two})
		byID, err := r.CertificatesByID(ctx, []string{"c1", "c3"})
		r.same("by ID", err, byID, map[string]tenancy.Certificate{"c1": one, "c3": other})
		of, err := r.InReachOf(ctx, []string{"a", "b"})
		r.same("in reach", err, of, map[string][]tenancy.Certificate{"a": {one, two}, "b": {other}})
		due, err := r.Due(ctx, now, Position{}, End(now.AddDate(0, 1, 0)), 10)
		r.same("due", err, due, []tenancy.Certificate{one, other})
		marks, err := r.DueMarks(ctx, now, now.AddDate(0, 9, 0), 2)
		r.same("marks", err, marks, []Position{{NotAfter: other.NotAfter, ID: "c3"}})
		counts, err := r.CountByValidity(ctx)
		if err != nil || len(counts) != 3 {
			t.Errorf("%d validities, %v", len(counts), err)
		}
		sealed, err := r.SealedKeys(ctx, "c1", 10)
		r.same("sealed keys", err, sealed, []Sealed{{"c2", []byte("key of c2")}, {"c3", []byte("key of c3")}})
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.Reseal(ctx, []Sealed{{"c1", []byte("key of c1")}, {"c3", []byte("stale")}},
				[]Sealed{{"c1", []byte("new")}, {"c3", []byte("new")}})
		})
		key, err := r.SealedKey(ctx, "c1")
		r.same("sealed again", err, string(key), "new")
		key, err = r.SealedKey(ctx, "c3")
		r.same("changed meanwhile", err, string(key), "key of c3")

		one.SuccessorID, one.State = "c2", tenancy.Standby
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Succeed(ctx, []tenancy.Certificate{one}) })
		r.refused("a second successor", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.Succeed(ctx, []tenancy.Certificate{one})
		})
		rolling, err := r.Rolling(ctx, now, "", 10)
		r.same("rolling", err, rolling, []string{"a"})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Activate(ctx, "a", tenancy.ForTenant, 1) })
		one.State = tenancy.Active
		got, err = r.Certificate(ctx, "a", tenancy.ForTenant, 1)
		r.same("activated", err, got, one)
		r.refused("retiring a generation without a successor", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.Retire(ctx, "c2")
		})
		var destroyed int64
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			destroyed, err = tx.DestroyOldKeys(ctx, one.NotAfter.Add(1000))
			return err
		})
		r.same("expired keys", nil, destroyed, int64(1))
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Retire(ctx, "c1") })
		one.State = tenancy.Retired
		got, err = r.Certificate(ctx, "a", tenancy.ForTenant, 1)
		r.same("retired", err, got, one)
		key, err = r.SealedKey(ctx, "c1")
		r.same("its key", err, key, []byte(nil))
		other.State, other.RevokedAt, other.RevokedFor = tenancy.Revoked, now.Add(time.Hour), "lost"
		revoke := func(ctx context.Context, tx *Tx) error { return tx.Revoke(ctx, "c3", "lost", other.RevokedAt) }
		r.write(revoke)
		r.refused("revoking again", tenancy.ErrStale, revoke)
		rolling, err = r.Rolling(ctx, other.NotAfter, "", 10)
		r.same("the newest is revoked", err, rolling, []string{"b"})
		rolling, err = r.Rolling(ctx, now, "b", 10)
		r.same("the next page", err, rolling, []string(nil))
		revoked, err := r.RevokedBy(ctx, "ca", now)
		r.same("revoked", err, revoked, []Revocation{{other.Serial, other.RevokedAt, "lost"}})
		revoked, err = r.RevokedBy(ctx, "ca", other.NotAfter)
		r.same("revoked and expired", err, revoked, []Revocation(nil))
	})
}
