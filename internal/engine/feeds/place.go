package feeds

import (
	"context"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A place stores what was published and claimed for an arrangement at one address.
type place interface {
	// lock returns it, and locks it until the transaction ends. It returns [tenancy.ErrNotFound] if the address is not
	// valid any more.
	lock(ctx context.Context, tx *store.Tx) (tenancy.Feed, error)
	publish(ctx context.Context, tx *store.Tx, f tenancy.Feed) error
	fetched(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error
	installed(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error
}

// ownPlace is the place of an arrangement's own feed.
type ownPlace struct {
	hash string // of the secret
}

func (p ownPlace) lock(ctx context.Context, tx *store.Tx) (tenancy.Feed, error) {
	return tx.LockFeed(ctx, p.hash)
}

func (p ownPlace) publish(ctx context.Context, tx *store.Tx, f tenancy.Feed) error {
	return tx.PublishFeed(ctx, f)
}

func (p ownPlace) fetched(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error {
	return tx.RecordFeedFetch(ctx, arrangementID, r)
}

func (p ownPlace) installed(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error {
	return tx.RecordFeedInstalled(ctx, arrangementID, r)
}

// partyPlace is the place of an arrangement in the feed of a counterparty.
type partyPlace struct {
	hash           string // of the secret
	counterpartyID string
	arrangementID  string
}

func (p partyPlace) lock(ctx context.Context, tx *store.Tx) (tenancy.Feed, error) {
	if _, err := tx.CounterpartyFeedByHash(ctx, p.hash); err != nil {
		return tenancy.Feed{}, err
	}
	return tx.LockFeedEntry(ctx, p.counterpartyID, p.arrangementID)
}

func (p partyPlace) publish(ctx context.Context, tx *store.Tx, f tenancy.Feed) error {
	return tx.PublishFeedEntry(ctx, p.counterpartyID, f)
}

func (p partyPlace) fetched(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error {
	return tx.RecordFeedEntryFetch(ctx, p.counterpartyID, arrangementID, r)
}

func (p partyPlace) installed(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error {
	return tx.RecordFeedEntryInstalled(ctx, p.counterpartyID, arrangementID, r)
}
