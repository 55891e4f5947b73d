package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const partyEntryColumns = "counterparty_id, arrangement_id, sequence, digest, fetched_at, fetched_sequence, " +
	"fetched_generation, fetched_by, installed_at, installed_sequence, installed_generation, installed_by"

// scanPartyEntry reads an entry without the address, which belongs to the feed of the counterparty.
func scanPartyEntry(s row) (f tenancy.Feed, err error) {
	var counterpartyID string
	err = s.Scan(&counterpartyID, &f.ArrangementID, &f.Sequence, &f.Digest, instant{&f.Fetched.At}, &f.Fetched.Sequence,
		&f.Fetched.Generation, &f.Fetched.Program, instant{&f.Installed.At}, &f.Installed.Sequence,
		&f.Installed.Generation, &f.Installed.Program)
	return f, err
}

// FeedEntries reads what was published and claimed for arrangements in the feed of a counterparty, by arrangement ID.
// An arrangement whose document was never read is left out.
func (r Reader) FeedEntries(ctx context.Context, counterpartyID string,
	arrangementIDs []string) (map[string]tenancy.Feed, error) {
	found := map[string]tenancy.Feed{}
	if len(arrangementIDs) == 0 {
		return found, nil
	}
	in, args := r.among(arrangementIDs)
	err := forEach(ctx, r, scanPartyEntry, func(f tenancy.Feed) { found[f.ArrangementID] = f }, "SELECT "+
		partyEntryColumns+" FROM counterparty_feed_entries WHERE counterparty_id = ? AND arrangement_id "+in,
		append([]any{counterpartyID}, args...)...)
	return found, err
}

// LockFeedEntry returns the entry of an arrangement in the feed of a counterparty, and locks it until the transaction
// ends. It is created if there is none.
func (t *Tx) LockFeedEntry(ctx context.Context, counterpartyID, arrangementID string) (tenancy.Feed, error) {
	if _, err := t.exec(ctx, "INSERT INTO counterparty_feed_entries ("+partyEntryColumns+") VALUES (?, ?, 0, '', 0, 0, "+
		"0, '', 0, 0, 0, '') ON CONFLICT DO NOTHING", counterpartyID, arrangementID); err != nil {
		return tenancy.Feed{}, err
	}
	query := "SELECT " + partyEntryColumns + " FROM counterparty_feed_entries WHERE counterparty_id = ? AND " +
		"arrangement_id = ?" + t.forUpdate()
	return one(ctx, t.Reader, "such feed", scanPartyEntry, query, counterpartyID, arrangementID)
}

// PublishFeedEntry stores the sequence number and the digest of the document that an entry publishes from now on.
func (t *Tx) PublishFeedEntry(ctx context.Context, counterpartyID string, f tenancy.Feed) error {
	return t.execOne(ctx, "UPDATE counterparty_feed_entries SET sequence = ?, digest = ? WHERE counterparty_id = ? AND "+
		"arrangement_id = ?", f.Sequence, f.Digest, counterpartyID, f.ArrangementID)
}

// RecordFeedEntryFetch stores the latest request for the document of an entry.
func (t *Tx) RecordFeedEntryFetch(ctx context.Context, counterpartyID, arrangementID string,
	r tenancy.FeedReport) error {
	return t.execOne(ctx, "UPDATE counterparty_feed_entries SET fetched_at = ?, fetched_sequence = ?, "+
		"fetched_generation = ?, fetched_by = ? WHERE counterparty_id = ? AND arrangement_id = ?", micros(r.At), r.Sequence,
		r.Generation, storable(r.Program), counterpartyID, arrangementID)
}

// RecordFeedEntryInstalled stores the latest report that a follower has installed the certificates of an entry.
func (t *Tx) RecordFeedEntryInstalled(ctx context.Context, counterpartyID, arrangementID string,
	r tenancy.FeedReport) error {
	return t.execOne(ctx, "UPDATE counterparty_feed_entries SET installed_at = ?, installed_sequence = ?, "+
		"installed_generation = ?, installed_by = ? WHERE counterparty_id = ? AND arrangement_id = ?", micros(r.At),
		r.Sequence, r.Generation, storable(r.Program), counterpartyID, arrangementID)
}

// InCounterpartyFeed reports whether the document of an arrangement was ever fetched from the feed of a counterparty.
func (r Reader) InCounterpartyFeed(ctx context.Context, arrangementID string) (bool, error) {
	n, err := one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM counterparty_feed_entries WHERE "+
		"arrangement_id = ? AND fetched_at > 0", arrangementID)
	return n > 0, err
}
