package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// feeding stores an arrangement of a tenant.
func (r rows) feeding(of tenancy.Tenant, id string, n int) tenancy.Arrangement {
	r.t.Helper()
	to := filled[tenancy.Receiver](n)
	to.ID, to.TenantID, to.Version = "to "+id, of.ID, 1
	a := filled[tenancy.Arrangement](n + 50)
	a.ID, a.TenantID, a.ReceiverID, a.Version = id, of.ID, to.ID, 1
	r.write(func(ctx context.Context, tx *Tx) error {
		if err := tx.CreateReceivers(ctx, to); err != nil {
			return err
		}
		return tx.CreateArrangements(ctx, a)
	})
	return a
}

func TestFeedsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		feed := func(of tenancy.Tenant, id string, n int) tenancy.Feed {
			r.feeding(of, id, n)
			f := tenancy.Feed{ArrangementID: id, CreatedBy: "alice", CreatedAt: now.Add(time.Duration(n) * time.Second)}
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateFeed(ctx, f, "hash of "+id) })
			return f
		}
		x, y, z := feed(a, "x", 300), feed(a, "y", 400), feed(b, "z", 500)
		got, err := r.Feed(ctx, "x")
		r.same("a new feed", err, got, x)
		r.refused("a second feed", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateFeed(ctx, x, "another hash")
		})

		x.Sequence, x.Digest = 7, "digest"
		x.Fetched, x.Installed = filled[tenancy.FeedReport](600), filled[tenancy.FeedReport](700)
		y.Fetched, z.Fetched = filled[tenancy.FeedReport](800), filled[tenancy.FeedReport](900)
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.PublishFeed(ctx, x), tx.RecordFeedFetch(ctx, "x", x.Fetched),
				tx.RecordFeedInstalled(ctx, "x", x.Installed), tx.RecordFeedFetch(ctx, "y", y.Fetched),
				tx.RecordFeedFetch(ctx, "z", z.Fetched))
		})
		got, err = r.FeedByHash(ctx, "hash of x")
		r.same("a feed in use", err, got, x)
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			got, err = tx.LockFeed(ctx, "hash of x")
			return err
		})
		r.same("a locked feed", nil, got, x)

		silent, err := r.SilentFeeds(ctx, "", z.Fetched.At.Add(time.Second), "", 10)
		r.same("silent feeds", err, silent, []tenancy.Feed{x, y, z})
		silent, err = r.SilentFeeds(ctx, "a", z.Fetched.At.Add(time.Second), "x", 10)
		r.same("those of a tenant after the first", err, silent, []tenancy.Feed{y})
		silent, err = r.SilentFeeds(ctx, "", y.Fetched.At, "", 1)
		r.same("those that were not fetched since", err, silent, []tenancy.Feed{x})
		n, err := r.CountSilentFeeds(ctx, z.Fetched.At)
		r.same("their number", err, n, 2)

		x.CreatedBy, x.CreatedAt = "bob", now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.ReplaceFeedSecret(ctx, "x", "new hash", x.CreatedBy, x.CreatedAt)
		})
		got, err = r.FeedByHash(ctx, "new hash")
		r.same("a feed with a new address", err, got, x)
		r.refused("the old address", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			_, err := tx.FeedByHash(ctx, "hash of x")
			return err
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteFeed(ctx, "y") })
		for what, fn := range map[string]func(context.Context, *Tx) error{
			"reading":   func(ctx context.Context, tx *Tx) error { _, err := tx.Feed(ctx, "y"); return err },
			"deleting":  func(ctx context.Context, tx *Tx) error { return tx.DeleteFeed(ctx, "y") },
			"replacing": func(ctx context.Context, tx *Tx) error { return tx.ReplaceFeedSecret(ctx, "y", "h", "", now) },
		} {
			r.refused(what+" a feed that is deleted", tenancy.ErrNotFound, fn)
		}
	})
}

func TestAFeedIsDeletedWithItsArrangement(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		of := r.feeding(a, "x", 300)
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.CreateFeed(ctx, tenancy.Feed{ArrangementID: "x", CreatedAt: now}, "hash")
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteArrangement(ctx, of) })
		r.refused("a feed without its arrangement", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			_, err := tx.FeedByHash(ctx, "hash")
			return err
		})
	})
}

// Thousands of retired generations must not push out of a feed what the receiver needs.
func TestPublishedGenerationsBeginWithThoseInUse(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		add := func(of tenancy.Tenant, id string, generation int, state tenancy.State, until time.Time) tenancy.Certificate {
			c := filled[tenancy.Certificate](100 * generation)
			c.ID, c.TenantID, c.Purpose, c.Generation, c.State, c.NotAfter = id, of.ID, tenancy.ForTenant, generation, state,
				until
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c}})
			})
			return c
		}
		later := now.AddDate(0, 1, 0)
		add(a, "expired", 1, tenancy.Active, now)
		presented := add(a, "presented", 2, tenancy.Active, later)
		retired := add(a, "retired", 3, tenancy.Retired, later)
		add(a, "revoked", 4, tenancy.Revoked, later)
		older := add(a, "older", 5, tenancy.Standby, later)
		newest := add(a, "newest", 6, tenancy.Standby, later)
		add(b, "other", 7, tenancy.Active, later)
		for limit, want := range map[int][]tenancy.Certificate{
			10: {presented, retired, older, newest},
			3:  {presented, older, newest},
			2:  {presented, newest},
			1:  {presented},
		} {
			got, err := r.Published(ctx, a.ID, tenancy.ForTenant, 2, now, limit)
			r.same("at most so many", err, got, want)
		}
	})
}
