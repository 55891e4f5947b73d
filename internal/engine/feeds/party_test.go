package feeds_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	check(w.t, w.Store.InTx(w.t.Context(), func(tx *store.Tx) error { return fn(w.t.Context(), tx) }))
}

// bank creates the counterparty behind the receiver of the arrangement, with a feed.
func (w *world) bank() (tenancy.Counterparty, feeds.Address) {
	w.t.Helper()
	bank := tenancy.Counterparty{ID: "bank", Name: "bank", DisplayName: "House Bank", CreatedAt: start, Version: 1}
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.CreateCounterparty(ctx, bank) })
	w.link(w.arrangement)
	address, err := w.feeds.CreateParty(w.t.Context(), bank, "alice", start)
	check(w.t, err)
	return bank, address
}

// link links the receiver of an arrangement with the bank.
func (w *world) link(a tenancy.Arrangement) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		receivers, err := tx.ReceiversOf(ctx, []string{a.TenantID})
		if err != nil {
			return err
		}
		for _, r := range receivers[a.TenantID] {
			if r.ID == a.ReceiverID {
				r.CounterpartyID = "bank"
				return tx.UpdateReceiver(ctx, r)
			}
		}
		return fmt.Errorf("the arrangement %s has no receiver", a.Name)
	})
}

// index returns the entries of the bank's feed, and its sequence number.
func (w *world) index(f *feeds.Feeds, a feeds.Address, now time.Time) (entries []feed.Entry, sequence uint64) {
	w.t.Helper()
	p, err := f.ReadIndex(w.t.Context(), a, now)
	check(w.t, err)
	signed, err := p.Sign()
	check(w.t, err)
	i, err := feed.VerifyIndex(signed, a.Secret, a.Thumbprint)
	check(w.t, err)
	for n, page := range p.Pages {
		part, err := feed.ReadPage(page, i.Pages[n])
		check(w.t, err)
		entries = append(entries, part...)
	}
	if len(entries) != i.Entries {
		w.t.Errorf("%d entries, and the index states %d", len(entries), i.Entries)
	}
	return entries, i.Sequence
}

// The index is read in bulk, and a document for itself. A follower accepts a document only if both agree.
func TestTheIndexNamesTheDocumentOfEachArrangementThroughRenewals(t *testing.T) {
	each(t, func(w *world) {
		_, address := w.bank()
		globex := w.Tenant(t, "globex", start)
		other := w.Arrangement(t, tenancy.Arrangement{TenantID: globex.ID, CreatedAt: start, Strategy: tenancy.Immediate})
		w.link(other)
		var last []feed.Entry
		sequence, changes := uint64(0), 0
		for now := start; now.Before(start.AddDate(2, 2, 0)); now = now.AddDate(0, 0, 9) {
			check(t, w.Tick(t.Context(), now))
			entries, s := w.index(w.feeds, address, now)
			if slices.Equal(entries, last) != (s == sequence) || s < sequence {
				t.Errorf("the sequence goes from %d to %d: %v, %v", sequence, s, last, entries)
			}
			if !slices.Equal(entries, last) {
				changes++
			}
			last, sequence = entries, s
			documents, err := w.feeds.ReadEntries(t.Context(), address, []string{w.arrangement.ID, other.ID}, now)
			check(t, err)
			if len(documents) != 2 || len(entries) != 2 {
				t.Fatalf("%d documents and %d entries", len(documents), len(entries))
			}
			for _, p := range documents {
				signed, err := p.Sign(p.Document)
				check(t, err)
				d, err := feed.Verify(signed, feed.EntrySecret(address.Secret, p.Feed.ArrangementID), address.Thumbprint)
				check(t, err)
				digest, err := d.Digest()
				check(t, err)
				want := feed.Entry{ID: p.Feed.ArrangementID, Tenant: d.Tenant, Arrangement: d.Arrangement, Digest: digest}
				if !slices.Contains(entries, want) {
					t.Errorf("%s: the document is %+v (%s), and the index has %+v", now, want, lists(d), entries)
				}
			}
			w.accepts(w.standing().Certificates[len(w.standing().Certificates)-1].Generation, now)
		}
		if changes < 8 {
			t.Errorf("only %d changes were checked", changes)
		}
	})
}

func TestAFeedOfACounterpartyHasTheArrangementsThatAreLinkedNow(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	_, address := w.bank()
	globex := w.Tenant(t, "globex", start)
	other := w.Arrangement(t, tenancy.Arrangement{TenantID: globex.ID, CreatedAt: start})
	if _, err := w.feeds.ReadEntry(t.Context(), address, other.ID, start); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("an arrangement with another receiver: %v", err)
	}
	if entries, _ := w.index(w.feeds, address, start); len(entries) != 1 || entries[0].ID != w.arrangement.ID {
		t.Errorf("the index has %+v", entries)
	}
	w.link(other)
	if entries, _ := w.index(w.feeds, address, start); len(entries) != 2 {
		t.Errorf("after the link, the index has %+v", entries)
	}
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.UnlinkReceiver(ctx, other.ReceiverID) })
	if entries, _ := w.index(w.feeds, address, start); len(entries) != 1 {
		t.Errorf("after its end, the index has %+v", entries)
	}
	all, err := w.feeds.ReadEntries(t.Context(), address, []string{other.ID, "nothing"}, start)
	if err != nil || len(all) != 0 {
		t.Errorf("after its end: %d documents, %v", len(all), err)
	}
	// An index without entries would empty the file of a follower, so it is not published.
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.UnlinkReceiver(ctx, w.arrangement.ReceiverID) })
	if _, err := w.feeds.ReadIndex(t.Context(), address, start); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("without a link: %v", err)
	}
}

// An arrangement without a certificate to publish stays in the index, so that a follower keeps what it has.
func TestAnArrangementWithoutAValidCertificateStaysInTheIndex(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	_, address := w.bank()
	later := start.AddDate(3, 0, 0)
	if entries, _ := w.index(w.feeds, address, later); len(entries) != 1 || entries[0].Digest != "" {
		t.Errorf("the index has %+v", entries)
	}
	if _, err := w.feeds.ReadEntry(t.Context(), address, w.arrangement.ID, later); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("its document: %v", err)
	}
}

func TestAnAddressOfACounterpartysFeedThatIsNotValidReadsNothing(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	bank, first := w.bank()
	second, err := w.feeds.ReaddressParty(t.Context(), bank, "alice", start)
	check(t, err)
	wrong := second
	wrong.Thumbprint = "wrong"
	gone := func(a feeds.Address) {
		t.Helper()
		_, err1 := w.feeds.ReadIndex(t.Context(), a, start)
		_, err2 := w.feeds.ReadEntry(t.Context(), a, w.arrangement.ID, start)
		_, err3 := w.feeds.ReadEntries(t.Context(), a, []string{w.arrangement.ID}, start)
		_, err4 := w.feeds.RecordReport(t.Context(), a, "x", start)
		_, err5 := w.feeds.Read(t.Context(), a, start)
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		}
	}
	gone(first)
	gone(wrong)
	if _, err := w.feeds.CreateParty(t.Context(), bank, "alice", start); !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("a second feed: %v", err)
	}
	check(t, w.feeds.RevokeParty(t.Context(), bank, "alice", start))
	gone(second)
	if err := w.feeds.RevokeParty(t.Context(), bank, "alice", start); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
}

// Two replicas with different views publish one sequence, and none of them publishes older content again.
func TestReplicasPublishOneIndex(t *testing.T) {
	each(t, func(w *world) {
		_, address := w.bank()
		other := w.replica(storetest.Open(t, w.url))
		_, first := w.index(w.feeds, address, start)
		w.renew("reissue", start)
		_, second := w.index(other, address, start)
		entries, same := w.index(w.feeds, address, start)
		if second <= first || same != second {
			t.Errorf("the sequence is %d, then %d and %d", first, second, same)
		}
		if again, last := w.index(other, address, start); last != same || !slices.Equal(again, entries) {
			t.Errorf("the other replica publishes %d", last)
		}
	})
}

// A fetch through the feed of a counterparty counts for the arrangement. The end of its own feed does not undo that.
func TestAFetchThroughACounterpartysFeedIsAClaimOfTheArrangement(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	_, address := w.bank()
	w.create(start)
	p, err := w.feeds.ReadEntry(t.Context(), address, w.arrangement.ID, start)
	check(t, err)
	for range 3 {
		check(t, w.feeds.RecordFetch(t.Context(), p, "follower", start))
		check(t, w.feeds.RecordInstalled(t.Context(), p, tenancy.FeedReport{At: start, Program: "follower"}, []int{1}))
	}
	for _, action := range []string{"feed.fetched", "feed.installed"} {
		if events := w.events(action); len(events) != 1 || events[0].Actor != "feed of the counterparty bank" {
			t.Errorf("%s: %+v", action, events)
		}
	}
	check(t, w.feeds.Revoke(t.Context(), w.acme, w.arrangement, "alice", start))
	if w.standing().Arrangement.Learned.FollowedAt.IsZero() {
		t.Error("the arrangement is not known to be followed any more")
	}
}

// A large index is read once for all requests of a round.
func TestALargeIndexIsReadOnceInFifteenSeconds(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	_, address := w.bank()
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return enginetest.Fill(ctx, tx, w.acme, "bank", 3000, start)
	})
	entries, first := w.index(w.feeds, address, start)
	if len(entries) != 3001 {
		t.Fatalf("%d entries", len(entries))
	}
	statements := 0
	w.Store.BeforeStatements(func(string) error { statements++; return nil })
	w.renew("reissue", start)
	statements = 0
	if _, kept := w.index(w.feeds, address, start.Add(14*time.Second)); kept != first || statements > 5 {
		t.Errorf("after 14 s: sequence %d, %d statements", kept, statements)
	}
	if _, later := w.index(w.feeds, address, start.Add(15*time.Second)); later == first {
		t.Error("after 15 s, the renewal is not in the index")
	}
}
