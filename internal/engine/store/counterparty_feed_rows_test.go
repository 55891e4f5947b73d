package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestFeedsOfCounterpartiesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.party("bank", "bank.example")
		r.party("post", "post.example")
		bank := tenancy.CounterpartyFeed{CounterpartyID: "bank", CreatedBy: "alice", CreatedAt: now}
		r.write(func(ctx context.Context, tx *Tx) error {
			post := tenancy.CounterpartyFeed{CounterpartyID: "post", CreatedBy: "alice", CreatedAt: now}
			return errors.Join(tx.CreateCounterpartyFeed(ctx, bank, "hash"), tx.CreateCounterpartyFeed(ctx, post, "other"))
		})
		got, err := r.CounterpartyFeed(ctx, "bank")
		r.same("a new feed", err, got, bank)
		r.refused("a second feed", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateCounterpartyFeed(ctx, bank, "another")
		})

		bank.Sequence, bank.Digest = 7, "digest"
		bank.FetchedAt, bank.FetchedBy = now.Add(time.Hour), "first"
		bank.InstalledAt, bank.InstalledBy = now.Add(2*time.Hour), "third"
		var first, again bool
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			if err := tx.PublishCounterpartyIndex(ctx, bank); err != nil {
				return err
			}
			if first, err = tx.RecordCounterpartyFetch(ctx, "bank", "first", now, bank.FetchedAt); err != nil {
				return err
			}
			again, err = tx.RecordCounterpartyFetch(ctx, "bank", "soon", now, bank.FetchedAt.Add(time.Minute))
			return errors.Join(err, tx.RecordCounterpartyInstalled(ctx, "bank", "third", now, bank.InstalledAt),
				tx.RecordCounterpartyInstalled(ctx, "bank", "soon", now, bank.InstalledAt.Add(time.Minute)))
		})
		r.same("the first fetches", nil, []bool{first, again}, []bool{true, false})
		got, err = r.CounterpartyFeedByHash(ctx, "hash")
		r.same("a feed in use", err, got, bank)
		silent, err := r.SilentCounterpartyFeeds(ctx, bank.FetchedAt.Add(time.Second))
		r.same("silent feeds", err, silent, []tenancy.CounterpartyFeed{bank})
		silent, err = r.SilentCounterpartyFeeds(ctx, bank.FetchedAt)
		r.same("no silent feed", err, silent, []tenancy.CounterpartyFeed(nil))

		bank.CreatedBy, bank.CreatedAt = "bob", now.Add(3*time.Hour)
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			if err := tx.ReplaceCounterpartyFeedSecret(ctx, "bank", "new", "bob", bank.CreatedAt); err != nil {
				return err
			}
			got, err = tx.LockCounterpartyFeed(ctx, "new")
			return err
		})
		r.same("with another secret", nil, got, bank)
		r.refused("the former secret", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			_, err := tx.LockCounterpartyFeed(ctx, "hash")
			return err
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteCounterpartyFeed(ctx, "bank") })
		r.refused("a feed that was deleted", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteCounterpartyFeed(ctx, "bank")
		})
		r.refused("its secret", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			return tx.ReplaceCounterpartyFeedSecret(ctx, "bank", "x", "bob", now)
		})
	})
}

func TestEntriesOfACounterpartysFeedReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		r.party("bank", "bank.example")
		r.sends(a, "x", "https://bank.example/")
		r.sends(a, "y", "https://other.example/")
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.LinkReceivers(ctx, "bank", "bank.example")
			return errors.Join(err, tx.CreateCounterpartyFeed(ctx, tenancy.CounterpartyFeed{CounterpartyID: "bank",
				CreatedBy: "alice", CreatedAt: now}, "hash"))
		})
		linked, err := r.LinkedArrangements(ctx, "bank", []string{"x", "y", "z"})
		r.same("linked arrangements", err, linked, []string{"x"})

		entry := tenancy.Feed{ArrangementID: "x"}
		var got tenancy.Feed
		lock := func(ctx context.Context, tx *Tx) (err error) {
			got, err = tx.LockFeedEntry(ctx, "bank", "x")
			return err
		}
		r.write(lock)
		r.same("a new entry", nil, got, entry)
		followed, err := r.InCounterpartyFeed(ctx, "x")
		r.same("before it was fetched", err, followed, false)
		entry.Sequence, entry.Digest = 7, "digest"
		entry.Fetched, entry.Installed = filled[tenancy.FeedReport](600), filled[tenancy.FeedReport](700)
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.PublishFeedEntry(ctx, "bank", entry), tx.RecordFeedEntryFetch(ctx, "bank", "x",
				entry.Fetched), tx.RecordFeedEntryInstalled(ctx, "bank", "x", entry.Installed))
		})
		r.write(lock)
		r.same("an entry in use", nil, got, entry)
		followed, err = r.InCounterpartyFeed(ctx, "x")
		r.same("after it was fetched", err, followed, true)
		found, err := r.FeedEntries(ctx, "bank", []string{"x", "y"})
		r.same("entries by ID", err, found, map[string]tenancy.Feed{"x": entry})

		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteCounterpartyFeed(ctx, "bank") })
		found, err = r.FeedEntries(ctx, "bank", []string{"x"})
		r.same("entries of a feed that was deleted", err, found, map[string]tenancy.Feed{})
	})
}
