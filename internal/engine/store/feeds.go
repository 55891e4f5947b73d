package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const feedColumns = "arrangement_id, created_by, created_at, sequence, digest, fetched_at, fetched_sequence, " +
	"fetched_generation, fetched_by, installed_at, installed_sequence, installed_generation, installed_by"

func scanFeed(s row) (f tenancy.Feed, err error) {
	err = s.Scan(&f.ArrangementID, &f.CreatedBy, instant{&f.CreatedAt}, &f.Sequence, &f.Digest,
		instant{&f.Fetched.At}, &f.Fetched.Sequence, &f.Fetched.Generation, &f.Fetched.Program,
		instant{&f.Installed.At}, &f.Installed.Sequence, &f.Installed.Generation, &f.Installed.Program)
	return f, err
}

// CreateFeed stores the feed of an arrangement with the hash of its secret. It returns [tenancy.ErrConflict] if the
// arrangement has one already.
func (t *Tx) CreateFeed(ctx context.Context, f tenancy.Feed, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO feeds ("+feedColumns+", hash) VALUES (?, ?, ?, 0, '', 0, 0, 0, '', 0, 0, 0, '', ?)",
		f.ArrangementID, f.CreatedBy, micros(f.CreatedAt), hash)
	return err
}

// Feed returns the feed of an arrangement. It returns [tenancy.ErrNotFound] if there is none.
func (r Reader) Feed(ctx context.Context, arrangementID string) (tenancy.Feed, error) {
	return one(ctx, r, "feed of this arrangement", scanFeed, "SELECT "+feedColumns+" FROM feeds WHERE arrangement_id = ?",
		arrangementID)
}

// FeedByHash finds a feed by the hash of its secret.
func (r Reader) FeedByHash(ctx context.Context, hash string) (tenancy.Feed, error) {
	return one(ctx, r, "such feed", scanFeed, "SELECT "+feedColumns+" FROM feeds WHERE hash = ?", hash)
}

// LockFeed finds a feed by the hash of its secret, and locks it until the transaction ends.
func (t *Tx) LockFeed(ctx context.Context, hash string) (tenancy.Feed, error) {
	query := "SELECT " + feedColumns + " FROM feeds WHERE hash = ?" + t.forUpdate()
	return one(ctx, t.Reader, "such feed", scanFeed, query, hash)
}

// ReplaceFeedSecret gives the feed of an arrangement another secret. The former one is not valid any more. It returns
// [tenancy.ErrNotFound] if there is no feed.
func (t *Tx) ReplaceFeedSecret(ctx context.Context, arrangementID, hash, by string, now time.Time) error {
	n, err := t.exec(ctx, "UPDATE feeds SET hash = ?, created_by = ?, created_at = ? WHERE arrangement_id = ?", hash, by,
		micros(now), arrangementID)
	return foundFeed(n, err)
}

// DeleteFeed deletes the feed of an arrangement. It returns [tenancy.ErrNotFound] if there is none.
func (t *Tx) DeleteFeed(ctx context.Context, arrangementID string) error {
	n, err := t.exec(ctx, "DELETE FROM feeds WHERE arrangement_id = ?", arrangementID)
	return foundFeed(n, err)
}

func foundFeed(changed int64, err error) error {
	if err == nil && changed == 0 {
		err = tenancy.Errorf(tenancy.ErrNotFound, "the arrangement has no feed: create it first")
	}
	return err
}

// PublishFeed stores the sequence number and the digest of the content that a feed publishes from now on.
func (t *Tx) PublishFeed(ctx context.Context, f tenancy.Feed) error {
	return t.execOne(ctx, "UPDATE feeds SET sequence = ?, digest = ? WHERE arrangement_id = ?", f.Sequence, f.Digest,
		f.ArrangementID)
}

// RecordFeedFetch stores the latest request for the content of a feed.
func (t *Tx) RecordFeedFetch(ctx context.Context, arrangementID string, r tenancy.FeedReport) error {
	return t.execOne(ctx, "UPDATE feeds SET fetched_at = ?, fetched_sequence = ?, fetched_generation = ?, fetched_by = ? "+
		"WHERE arrangement_id = ?", micros(r.At), r.Sequence, r.Generation, storable(r.Program), arrangementID)
}

// RecordFeedInstalled stores the latest report that a follower of a feed has installed its certificates.
func (t *Tx) RecordFeedInstalled(ctx context.Context, arrangementID string, r tenancy.FeedReport) error {
	return t.execOne(ctx, "UPDATE feeds SET installed_at = ?, installed_sequence = ?, installed_generation = ?, "+
		"installed_by = ? WHERE arrangement_id = ?", micros(r.At), r.Sequence, r.Generation, storable(r.Program),
		arrangementID)
}

// SilentFeeds lists the feeds that were fetched before, and last before an instant, by the ID of their arrangement
// after one of them. A tenant's ID limits the list to the tenant; without one, it has the feeds of all tenants.
func (r Reader) SilentFeeds(ctx context.Context, tenantID string, before time.Time, after string,
	limit int) ([]tenancy.Feed, error) {
	feeds, _, err := r.SearchSilentFeeds(ctx, tenantID, before, Page{After: Place{ID: after}, Limit: limit})
	return feeds, err
}

var silentListing = listing[tenancy.Feed]{
	query: "SELECT " + feedColumns + " FROM feeds WHERE ",
	scan:  scanFeed,
	id:    "arrangement_id", idOf: func(f tenancy.Feed) string { return f.ArrangementID },
	texts: []string{arrangementName("feeds.arrangement_id")},
	ids:   "SELECT arrangement_id FROM feeds WHERE ",
}

// SearchSilentFeeds returns a page of [Reader.SilentFeeds]. A text is looked for in the name of the arrangement.
func (r Reader) SearchSilentFeeds(ctx context.Context, tenantID string, before time.Time,
	p Page) ([]tenancy.Feed, Place, error) {
	part := selection{"fetched_at > 0 AND fetched_at < ?", []any{micros(before)}}
	if tenantID != "" {
		part.and("arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)", tenantID)
	}
	return silentListing.read(ctx, r, p, part.condition, part.args...)
}

// CountSilentFeeds counts the feeds that [Reader.SilentFeeds] lists for all tenants.
func (r Reader) CountSilentFeeds(ctx context.Context, before time.Time) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM feeds WHERE fetched_at > 0 AND fetched_at < ?",
		micros(before))
}
