package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const partyFeedColumns = "counterparty_id, created_by, created_at, sequence, digest, fetched_at, fetched_by, " +
	"installed_at, installed_by"

func scanPartyFeed(s row) (f tenancy.CounterpartyFeed, err error) {
	err = s.Scan(&f.CounterpartyID, &f.CreatedBy, instant{&f.CreatedAt}, &f.Sequence, &f.Digest, instant{&f.FetchedAt},
		&f.FetchedBy, instant{&f.InstalledAt}, &f.InstalledBy)
	return f, err
}

// CreateCounterpartyFeed stores the feed of a counterparty with the hash of its secret. It returns
// [tenancy.ErrConflict] if the counterparty has one already.
func (t *Tx) CreateCounterpartyFeed(ctx context.Context, f tenancy.CounterpartyFeed, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO counterparty_feeds ("+partyFeedColumns+", hash) VALUES (?, ?, ?, 0, '', 0, '', 0, "+
		"'', ?)", f.CounterpartyID, f.CreatedBy, micros(f.CreatedAt), hash)
	return err
}

// CounterpartyFeed returns the feed of a counterparty. It returns [tenancy.ErrNotFound] if there is none.
func (r Reader) CounterpartyFeed(ctx context.Context, counterpartyID string) (tenancy.CounterpartyFeed, error) {
	return one(ctx, r, "feed of this counterparty", scanPartyFeed, "SELECT "+partyFeedColumns+
		" FROM counterparty_feeds WHERE counterparty_id = ?", counterpartyID)
}

// CounterpartyFeedByHash finds the feed of a counterparty by the hash of its secret.
func (r Reader) CounterpartyFeedByHash(ctx context.Context, hash string) (tenancy.CounterpartyFeed, error) {
	return one(ctx, r, "such feed", scanPartyFeed, "SELECT "+partyFeedColumns+" FROM counterparty_feeds WHERE hash = ?",
		hash)
}

// LockCounterpartyFeed finds the feed of a counterparty by the hash of its secret, and locks it until the transaction
// ends.
func (t *Tx) LockCounterpartyFeed(ctx context.Context, hash string) (tenancy.CounterpartyFeed, error) {
	query := "SELECT " + partyFeedColumns + " FROM counterparty_feeds WHERE hash = ?" + t.forUpdate()
	return one(ctx, t.Reader, "such feed", scanPartyFeed, query, hash)
}

// ReplaceCounterpartyFeedSecret gives the feed of a counterparty another secret. The former one is not valid any more.
// It returns [tenancy.ErrNotFound] if there is no feed.
func (t *Tx) ReplaceCounterpartyFeedSecret(ctx context.Context, counterpartyID, hash, by string, now time.Time) error {
	n, err := t.exec(ctx, "UPDATE counterparty_feeds SET hash = ?, created_by = ?, created_at = ? WHERE "+
		"counterparty_id = ?", hash, by, micros(now), counterpartyID)
	return foundPartyFeed(n, err)
}

// DeleteCounterpartyFeed deletes the feed of a counterparty with what is known of its entries. It returns
// [tenancy.ErrNotFound] if there is none.
func (t *Tx) DeleteCounterpartyFeed(ctx context.Context, counterpartyID string) error {
	n, err := t.exec(ctx, "DELETE FROM counterparty_feeds WHERE counterparty_id = ?", counterpartyID)
	return foundPartyFeed(n, err)
}

func foundPartyFeed(changed int64, err error) error {
	if err == nil && changed == 0 {
		err = tenancy.Errorf(tenancy.ErrNotFound, "the counterparty has no feed: create it first")
	}
	return err
}

// PublishCounterpartyIndex stores the sequence number and the digest of the index that a feed publishes from now on.
func (t *Tx) PublishCounterpartyIndex(ctx context.Context, f tenancy.CounterpartyFeed) error {
	return t.execOne(ctx, "UPDATE counterparty_feeds SET sequence = ?, digest = ? WHERE counterparty_id = ?", f.Sequence,
		f.Digest, f.CounterpartyID)
}

// RecordCounterpartyFetch stores the latest request for the index of a feed, unless one was stored since the instant
// before. It reports whether it is the first one.
func (t *Tx) RecordCounterpartyFetch(ctx context.Context, counterpartyID, program string, before,
	now time.Time) (first bool, err error) {
	f, err := t.CounterpartyFeed(ctx, counterpartyID)
	if err != nil {
		return false, err
	}
	stored, err := t.exec(ctx, "UPDATE counterparty_feeds SET fetched_at = ?, fetched_by = ? WHERE counterparty_id = ? "+
		"AND fetched_at <= ?", micros(now), storable(program), counterpartyID, micros(before))
	return stored > 0 && f.FetchedAt.IsZero(), err // another transaction may have stored one since f was read
}

// RecordCounterpartyInstalled stores the latest report of a follower, unless one was stored since the instant before.
func (t *Tx) RecordCounterpartyInstalled(ctx context.Context, counterpartyID, program string, before,
	now time.Time) error {
	_, err := t.exec(ctx, "UPDATE counterparty_feeds SET installed_at = ?, installed_by = ? WHERE counterparty_id = ? "+
		"AND installed_at <= ?", micros(now), storable(program), counterpartyID, micros(before))
	return err
}

// SilentCounterpartyFeeds lists the feeds of counterparties that were fetched before, and last before an instant.
func (r Reader) SilentCounterpartyFeeds(ctx context.Context, before time.Time) ([]tenancy.CounterpartyFeed, error) {
	return list(ctx, r, scanPartyFeed, "SELECT "+partyFeedColumns+" FROM counterparty_feeds WHERE fetched_at > 0 AND "+
		"fetched_at < ? ORDER BY counterparty_id", micros(before))
}
