package store

import (
	"context"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestWatchedCertificatesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		first, second, other := filled[tenancy.Watched](300), filled[tenancy.Watched](400), filled[tenancy.Watched](500)
		first.ID, second.ID, other.ID = "w1", "w2", "w3"
		first.TenantID, second.TenantID, other.TenantID = a.ID, a.ID, b.ID
		second.DueAt, other.DueAt = first.DueAt.Add(-time.Hour), first.DueAt.Add(time.Hour)
		c1, c2 := filled[tenancy.WatchedCertificate](600), filled[tenancy.WatchedCertificate](700)
		c1.WatchedID, c2.WatchedID, c1.TenantID, c2.TenantID = "w1", "w1", a.ID, a.ID
		c1.Position, c2.Position = 2, 1
		r.write(func(ctx context.Context, tx *Tx) error {
			for _, w := range []tenancy.Watched{first, second, other} {
				if err := tx.CreateWatched(ctx, w); err != nil {
					return err
				}
			}
			if err := tx.AddWatchedCertificate(ctx, c1); err != nil {
				return err
			}
			return tx.AddWatchedCertificate(ctx, c2)
		})
		got, err := r.Watched(ctx, a.ID, first.Name)
		r.same("by name", err, got, first)
		if _, err := r.Watched(ctx, b.ID, first.Name); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("of another tenant: %v", err)
		}
		byID, err := r.WatchedByID(ctx, []string{"w2", "x"})
		r.same("by ID", err, byID, map[string]tenancy.Watched{"w2": second})
		all, _, err := r.WatchedOf(ctx, a.ID, Page{Limit: 10})
		r.same("all", err, all, []tenancy.Watched{first, second})
		all, _, err = r.WatchedOf(ctx, a.ID, Page{After: Place{ID: "w1"}, Limit: 10})
		r.same("after the first", err, all, []tenancy.Watched{second})
		overdue := second
		overdue.Noticed, overdue.FailingSince = tenancy.WatchOverdue, time.Time{}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateWatched(ctx, overdue) })
		late, expired, unread, err := r.CountWatchedProblems(ctx)
		r.same("problems", err, []int{late, expired, unread}, []int{1, 0, 2})
		second.Version++
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateWatched(ctx, second) })
		second.Version++
		n, err := r.CountWatched(ctx, a.ID)
		r.same("number", err, n, 2)
		all, err = r.DueWatched(ctx, other.DueAt, 10)
		r.same("due, one of each tenant first", err, all, []tenancy.Watched{second, other, first})
		all, err = r.DueWatched(ctx, first.DueAt, 10)
		r.same("due", err, all, []tenancy.Watched{second, first})
		all, err = r.DueWatched(ctx, first.DueAt.Add(-time.Microsecond), 10)
		r.same("due before", err, all, []tenancy.Watched{second})
		third := filled[tenancy.Watched](550)
		third.ID, third.TenantID, third.DueAt = "w4", b.ID, time.Time{}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateWatched(ctx, third) })
		all, err = r.DueWatched(ctx, first.DueAt.AddDate(9, 0, 0), 2)
		r.same("the first that are due, without one that never is", err, all, []tenancy.Watched{second, other})
		seen, err := r.WatchedCertificates(ctx, []string{"w1", "w2"})
		r.same("seen", err, seen, map[string][]tenancy.WatchedCertificate{"w1": {c2, c1}})

		c1.Adopted = false
		c3 := c1
		c3.ID, c3.WatchedID = "c3", "w2"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddWatchedCertificate(ctx, c3) })
		seen, err = r.WatchedCertificates(ctx, []string{"w2"})
		r.same("not adopted", err, seen, map[string][]tenancy.WatchedCertificate{"w2": {c3}})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AdoptWatchedCertificate(ctx, "c3") })
		c3.Adopted = true
		seen, err = r.WatchedCertificates(ctx, []string{"w2"})
		r.same("adopted", err, seen, map[string][]tenancy.WatchedCertificate{"w2": {c3}})

		again := filled[tenancy.WatchedCertificate](800)
		again.WatchedID, again.Fingerprint = "w1", c1.Fingerprint
		r.refused("the same certificate", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.AddWatchedCertificate(ctx, again)
		})
		taken := filled[tenancy.Watched](900)
		taken.TenantID, taken.Name = a.ID, first.Name
		r.refused("the same name", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateWatched(ctx, taken)
		})

		earlier, same, stranger := c3, c3, c3 // c3 is the newest of w2
		earlier.ID, earlier.Fingerprint, earlier.Position = "c4", "earlier", 98
		earlier.NotBefore = c3.NotBefore.Add(-time.Hour)
		same.ID, same.Fingerprint, same.Position = "c5", "same", 99
		stranger.ID, stranger.Fingerprint, stranger.Position, stranger.Adopted = "c6", "stranger", 100, false
		stranger.NotBefore = c3.NotBefore.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			for _, c := range []tenancy.WatchedCertificate{earlier, same, stranger} {
				if err := tx.AddWatchedCertificate(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
		newest, err := r.NewestWatched(ctx, []string{"w1", "w2", "w3"})
		r.same("newest", err, newest, map[string]tenancy.WatchedCertificate{"w1": c2, "w2": same})

		used, unused := filled[tenancy.WatchLink](1100), filled[tenancy.WatchLink](1200)
		used.ID, unused.ID, used.WatchedID, unused.WatchedID, used.CertificateID, unused.CertificateID = "l1", "l2", "w1",
			"w1", c1.ID, c2.ID
		used.RevokedAt, unused.RevokedAt, unused.UsedAt = time.Time{}, time.Time{}, time.Time{}
		unused.ExpiresAt = now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.CreateWatchLink(ctx, used, "hash 1"); err != nil {
				return err
			}
			return tx.CreateWatchLink(ctx, unused, "hash 2")
		})
		link, err := r.WatchLinkByHash(ctx, "hash 1")
		r.same("a link", err, link, used)
		links, _, err := r.WatchLinks(ctx, "w1", Page{Limit: 10})
		r.same("links", err, links, []tenancy.WatchLink{used, unused})
		links, _, err = r.WatchLinks(ctx, "w1", Page{After: Place{ID: "l1"}, Limit: 10})
		r.same("links after the first", err, links, []tenancy.WatchLink{unused})
		installed, err := r.WatchInstalled(ctx, c1.ID)
		r.same("installed", err, installed, map[string]time.Time{used.System: used.UsedAt})
		installed, err = r.WatchInstalled(ctx, c2.ID)
		r.same("not installed", err, installed, map[string]time.Time{})
		use := func(when string, at time.Time, want bool) {
			var used bool
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				used, err = tx.UseWatchLink(ctx, "l2", at.Add(-time.Minute), at)
				return err
			})
			r.same(when, nil, used, want)
		}
		use("the first report", now, true)
		use("a second report", now.Add(30*time.Second), false)
		use("after the expiry", unused.ExpiresAt, false)
		installed, err = r.WatchInstalled(ctx, c2.ID)
		r.same("installed now", err, installed, map[string]time.Time{unused.System: now})
		valid, err := r.CountWatchLinks(ctx, c2.ID, now)
		r.same("valid links", err, valid, 1)
		valid, err = r.CountWatchLinks(ctx, c2.ID, unused.ExpiresAt)
		r.same("valid links after the expiry", err, valid, 0)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RevokeWatchLink(ctx, "w1", "l2", now) })
		use("after the revocation", now.Add(30*time.Minute), false)
		installed, err = r.WatchInstalled(ctx, c2.ID)
		r.same("installed by a revoked link", err, installed, map[string]time.Time{})
		valid, err = r.CountWatchLinks(ctx, c2.ID, now)
		r.same("valid links after the revocation", err, valid, 0)
		r.refused("a second revocation", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			return tx.RevokeWatchLink(ctx, "w1", "l2", now)
		})

		r.write(func(ctx context.Context, tx *Tx) error { return tx.DropWatchedCertificate(ctx, c2.ID) })
		seen, err = r.WatchedCertificates(ctx, []string{"w1"})
		c1.Adopted = true
		r.same("one dropped", err, seen, map[string][]tenancy.WatchedCertificate{"w1": {c1}})
		links, _, err = r.WatchLinks(ctx, "w1", Page{Limit: 10})
		r.same("its links dropped", err, links, []tenancy.WatchLink{used})

		changed := filled[tenancy.Watched](1000)
		changed.ID, changed.TenantID, changed.Name, changed.CreatedAt = "w1", a.ID, first.Name, first.CreatedAt
		changed.Version = first.Version
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateWatched(ctx, changed) })
		r.refused("a stale change", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.UpdateWatched(ctx, changed)
		})
		changed.Version++
		got, err = r.Watched(ctx, a.ID, first.Name)
		r.same("changed", err, got, changed)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteWatched(ctx, changed) })
		all, _, err = r.WatchedOf(ctx, a.ID, Page{Limit: 10})
		r.same("one deleted", err, all, []tenancy.Watched{second})
		links, _, err = r.WatchLinks(ctx, "w1", Page{Limit: 10})
		r.same("its links", err, links, []tenancy.WatchLink(nil))
		seen, err = r.WatchedCertificates(ctx, []string{"w1"})
		r.same("its history", err, seen, map[string][]tenancy.WatchedCertificate{})
	})
}
