package feeds

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/tenancy"
)

// CreateParty creates the feed of a counterparty. It returns [tenancy.ErrConflict] if the counterparty has one.
func (f *Feeds) CreateParty(ctx context.Context, c tenancy.Counterparty, actor string, now time.Time) (Address, error) {
	event := tenancy.NewEvent(now, actor, "counterparty.feed-created", "", c.Name, nil)
	return f.address(ctx, event, func(tx *store.Tx, hash string) error {
		err := tx.CreateCounterpartyFeed(ctx, tenancy.CounterpartyFeed{CounterpartyID: c.ID, CreatedBy: actor,
			CreatedAt: now}, hash)
		if errors.Is(err, tenancy.ErrConflict) {
			err = tenancy.Errorf(tenancy.ErrConflict, "the counterparty %s has a feed already: give it a new address if the "+
				"present one is lost", c.Name)
		}
		return err
	})
}

// ReaddressParty gives the feed of a counterparty a new address. The former one ends at once.
func (f *Feeds) ReaddressParty(ctx context.Context, c tenancy.Counterparty, actor string,
	now time.Time) (Address, error) {
	event := tenancy.NewEvent(now, actor, "counterparty.feed-readdressed", "", c.Name, nil)
	return f.address(ctx, event, func(tx *store.Tx, hash string) error {
		return tx.ReplaceCounterpartyFeedSecret(ctx, c.ID, hash, actor, now)
	})
}

// RevokeParty ends the feed of a counterparty. Arrangements that were followed through it still wait for followers
// before they present a new generation, because the receiver may have another way to the certificates.
func (f *Feeds) RevokeParty(ctx context.Context, c tenancy.Counterparty, actor string, now time.Time) error {
	return f.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteCounterpartyFeed(ctx, c.ID); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "counterparty.feed-revoked", "", c.Name, nil))
	})
}

// party finds the feed of a counterparty at an address. It returns [tenancy.ErrNotFound] if the address is not valid.
func (f *Feeds) party(ctx context.Context, a Address) (row tenancy.CounterpartyFeed, c tenancy.Counterparty, s signer,
	err error) {
	if s, err = f.knownSigner(ctx); err != nil {
		return row, c, s, err
	}
	if s.key == nil || a.Thumbprint != s.thumbprint {
		return row, c, s, errFeed
	}
	if row, err = f.store.CounterpartyFeedByHash(ctx, tenancy.HashSecret(a.Secret)); err != nil {
		return row, c, s, unknown(err)
	}
	found, err := f.store.CounterpartiesByID(ctx, []string{row.CounterpartyID})
	if err != nil {
		return row, c, s, err
	}
	c, known := found[row.CounterpartyID]
	if !known {
		return row, c, s, errFeed
	}
	return row, c, s, nil
}

// Counterparty returns the counterparty whose feed has an address. It returns [tenancy.ErrNotFound] if the address is
// not valid.
func (f *Feeds) Counterparty(ctx context.Context, a Address) (tenancy.Counterparty, error) {
	_, c, _, err := f.party(ctx, a)
	return c, err
}

// ReadEntries returns what is published for arrangements in the feed of a counterparty, by their IDs. Those that are
// not linked to the counterparty, or that have no certificate to publish at the moment, are left out. It returns
// [tenancy.ErrNotFound] if the address is not valid.
func (f *Feeds) ReadEntries(ctx context.Context, a Address, ids []string, now time.Time) ([]Publication, error) {
	_, c, s, err := f.party(ctx, a)
	if err != nil {
		return nil, err
	}
	done, err := f.turn(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	entries, err := f.entries(ctx, a, c, s, ids)
	if err != nil {
		return nil, err
	}
	all := entries[:0]
	for _, p := range entries {
		before := p.Feed.Sequence
		err := f.publish(ctx, &p, feed.EntrySecret(a.Secret, p.Feed.ArrangementID), now)
		switch {
		case err == nil:
			all = append(all, p)
			if before > 0 && p.Feed.Sequence != before { // an index that is kept may not name this document
				f.indexes.Delete(c.ID)
			}
		case errors.Is(err, tenancy.ErrRefused), errors.Is(err, tenancy.ErrNotFound): // there is nothing to publish
		default:
			return nil, err
		}
	}
	return all, nil
}

// turn waits until no other request reads many entries of a counterparty. A request reads up to 500 documents, so
// whoever has found the address of a feed could otherwise load the database with a few of them. done ends the turn.
func (f *Feeds) turn(ctx context.Context, counterpartyID string) (done func(), err error) {
	f.mu.Lock()
	busy := f.turns[counterpartyID]
	if busy == nil {
		busy = make(chan struct{}, 1)
		f.turns[counterpartyID] = busy
	}
	f.mu.Unlock()
	select {
	case busy <- struct{}{}:
		return func() { <-busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ReadEntry is [Feeds.ReadEntries] for one arrangement. It returns [tenancy.ErrNotFound] if the arrangement is not
// linked to the counterparty, and [tenancy.ErrRefused] if it has no certificate to publish at the moment.
func (f *Feeds) ReadEntry(ctx context.Context, a Address, id string, now time.Time) (p Publication, err error) {
	_, c, s, err := f.party(ctx, a)
	if err != nil {
		return p, err
	}
	entries, err := f.entries(ctx, a, c, s, []string{id})
	if err != nil {
		return p, err
	}
	if len(entries) == 0 {
		return p, errFeed
	}
	p = entries[0]
	err = f.publish(ctx, &p, feed.EntrySecret(a.Secret, id), now)
	return p, err
}

// entries returns those of some arrangements that are linked to a counterparty, without their documents.
func (f *Feeds) entries(ctx context.Context, a Address, c tenancy.Counterparty, s signer,
	ids []string) (all []Publication, err error) {
	// The caller is not known, and PostgreSQL does not take every text.
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !feed.ValidID(id) })
	linked, err1 := f.store.LinkedArrangements(ctx, c.ID, ids)
	known, err2 := f.store.FeedEntries(ctx, c.ID, linked)
	for _, id := range linked {
		p := Publication{Feed: known[id], signer: s, actor: PartyActor(c),
			place: partyPlace{tenancy.HashSecret(a.Secret), c.ID, id}}
		p.Feed.ArrangementID = id
		all = append(all, p)
	}
	return all, errors.Join(err1, err2)
}

// PartyActor names the feed of a counterparty in the audit log.
func PartyActor(c tenancy.Counterparty) string { return "feed of the counterparty " + c.Name }

// RecordIndexFetch records that the index of a counterparty's feed was fetched. The first fetch is an audit event. It
// writes nothing if a fetch was recorded within the last hour.
func (f *Feeds) RecordIndexFetch(ctx context.Context, p PartyIndex, program string, now time.Time) error {
	if now.Sub(p.Feed.FetchedAt) < recordEvery {
		return nil
	}
	return f.store.InTx(ctx, func(tx *store.Tx) error {
		first, err := tx.RecordCounterpartyFetch(ctx, p.Feed.CounterpartyID, Program(program), now.Add(-recordEvery), now)
		if err != nil || !first {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, p.Actor(), "counterparty.feed-fetched", "", p.Party.Name,
			map[string]any{"entries": p.Index.Entries, "program": Program(program)}))
	})
}

// RecordReport records that a follower of a counterparty's feed has reported what it installed, and returns the
// counterparty. It limits its writes as [Feeds.RecordIndexFetch] does.
func (f *Feeds) RecordReport(ctx context.Context, a Address, program string, now time.Time) (tenancy.Counterparty,
	error) {
	row, c, _, err := f.party(ctx, a)
	if err != nil || now.Sub(row.InstalledAt) < recordEvery {
		return c, err
	}
	return c, f.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.RecordCounterpartyInstalled(ctx, c.ID, Program(program), now.Add(-recordEvery), now)
	})
}
