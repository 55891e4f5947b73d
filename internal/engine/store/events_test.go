package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheAuditLogShowsEveryKindOfTampering(t *testing.T) {
	for name, c := range map[string]struct{ sql, want string }{
		"untouched": {"SELECT 1", ""},
		"changed":   {"UPDATE events SET detail = 'x' WHERE seq = 3", "entry 3: was changed after it was written"},
		"missing":   {"DELETE FROM events WHERE seq = 3", "entry 3: missing (the next one is 4)"},
		"cut off": {"DELETE FROM events WHERE seq > 4", "entry 5: missing: the log ends at 4, but 7 entries were " +
			"written"},
		"reordered": {"UPDATE events SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4); UPDATE " +
			"events SET seq = -seq WHERE seq < 0", "entry 3: does not follow the previous entry"},
		"time set back":   {"UPDATE events SET at = at - 1 WHERE seq = 7", "entry 7: was changed"},
		"head set back":   {"UPDATE event_head SET seq = 6", "entry 6: is not the last entry that was written"},
		"all but emptied": {"DELETE FROM events", "entry 1: missing: the log ends at 0"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *Store) {
				for i := range 4 { // several transactions, of one and of two events
					must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
						events := []tenancy.Event{{At: now, Actor: "run", Action: "a", Tenant: "acme", Object: fmt.Sprint(i),
							Detail: `{"ü":"'"}`}}
						if i > 0 {
							events = append(events, tenancy.Event{At: now, Actor: "run", Action: "b"})
						}
						return tx.Audit(ctx, events...)
					}))
				}
				for _, statement := range strings.Split(c.sql, ";") {
					if _, err := s.DB().ExecContext(t.Context(), statement); err != nil {
						t.Fatal(err)
					}
				}
				chain, err := s.VerifyEvents(t.Context())
				if c.want == "" {
					must(t, err)
					if chain.Seq != 7 {
						t.Errorf("got %d entries", chain.Seq)
					}
					return
				}
				var broken *tenancy.ChainError
				if !errors.As(err, &broken) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}

func TestASearchFindsEveryEntryWhateverPartOfTheLogItReads(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			var events []tenancy.Event
			for i := range 40 {
				tenant := []string{"acme", "globex"}[i%2]
				events = append(events, tenancy.Event{At: now, Actor: "operator Olga", Action: "x.done", Tenant: tenant,
					Object: fmt.Sprintf("%s/%d%%_", tenant, i/10), Detail: "{}"})
			}
			return tx.Audit(ctx, events...)
		}))
		for _, c := range []struct {
			tenant string
			texts  []string
			want   int
		}{{"", nil, 40}, {"acme", nil, 20}, {"", []string{"OLGA"}, 40}, {"globex", []string{"GLOBEX/3%_"}, 5},
			{"", []string{"/2%"}, 10}, {"", []string{"3_%"}, 0}, {"", []string{"/2%", "x/1%"}, 15},
			{"acme", []string{"/2%", "/1%"}, 10}, {"nobody", nil, 0}} {
			before, last, got := int64(0), int64(1<<60), 0
			for pages := 0; ; pages++ {
				found, next, err := s.searchEvents(t.Context(), EventChoice{Tenant: c.tenant, Texts: c.texts}, before, 3, 7)
				must(t, err)
				for _, e := range found {
					if e.Seq >= last || c.tenant != "" && e.Tenant != c.tenant {
						t.Errorf("%q in %q: entry %d of %s after %d", c.texts, c.tenant, e.Seq, e.Tenant, last)
					}
					last = e.Seq
					got++
				}
				if before = next; next == 0 || pages > 100 {
					break
				}
			}
			if got != c.want {
				t.Errorf("%q in %q: %d entries, want %d", c.texts, c.tenant, got, c.want)
			}
		}
	})
}

func TestEveryPageOfTheAuditLogIsVerified(t *testing.T) {
	s := lite(t)
	before, err := s.EventHead(t.Context())
	must(t, err)
	const more = 2500 // three pages
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		events := make([]tenancy.Event, more)
		for i := range events {
			events[i] = tenancy.NewEvent(now, "olga", "x.done", "acme", fmt.Sprint("o", i), nil)
		}
		return tx.Audit(ctx, events...)
	}))
	chain, err := s.VerifyEvents(t.Context())
	if err != nil || chain.Seq != before.Seq+more {
		t.Errorf("verified up to %d of %d: %v", chain.Seq, before.Seq+more, err)
	}
	_, err = s.writer.ExecContext(t.Context(), "UPDATE events SET object = 'other' WHERE seq = ?", chain.Seq-1)
	must(t, err)
	broken := (*tenancy.ChainError)(nil)
	if _, err := s.VerifyEvents(t.Context()); !errors.As(err, &broken) || broken.Seq != chain.Seq-1 {
		t.Errorf("a change on the last page: %v", err)
	}
}

func TestEntriesOfAnObjectAndOfAnActorAreFound(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "olga", "x.done", "acme", "acme/erp", nil),
				tenancy.NewEvent(now, "anna", "x.done", "acme", "acme/erp", nil),
				tenancy.NewEvent(now, "olga", "x.done", "acme", "acme/erp2", nil),
				tenancy.NewEvent(now, "olga", "x.done", "", "bank", nil),
				tenancy.NewEvent(now, "olga", "x.done", "bank", "bank", nil))
		}))
		for _, c := range []struct {
			EventChoice
			want int
		}{{EventChoice{Object: "acme/erp"}, 2}, {EventChoice{Actor: "olga"}, 4},
			{EventChoice{Actor: "olga", Object: "acme/erp"}, 1}, {EventChoice{Own: true, Object: "bank"}, 1},
			{EventChoice{Tenant: "bank", Object: "bank"}, 1}, {EventChoice{Tenant: "bank", Object: "acme/erp"}, 0},
			{EventChoice{Actor: "olga", Texts: []string{"ERP2", "bank"}}, 3}, {EventChoice{Actor: "o"}, 0}} {
			found, _, err := s.SearchEvents(t.Context(), c.EventChoice, 0, 10)
			must(t, err)
			if len(found) != c.want {
				t.Errorf("%+v finds %d entries, want %d", c.EventChoice, len(found), c.want)
			}
		}
	})
}

// Entries of others may be all that come before.
func TestASearchThatReachedTheFirstEntryOfATenantHasNoNextPage(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			var events []tenancy.Event
			for _, tenant := range []string{"globex", "globex", "acme", "globex", "acme", "acme"} {
				events = append(events, tenancy.NewEvent(now, "olga", "x.done", tenant, "o", nil))
			}
			return tx.Audit(ctx, events...)
		}))
		for limit, want := range map[int]int64{1: 6, 2: 5, 3: 0, 4: 0} {
			found, next, err := s.searchEvents(t.Context(), EventChoice{Tenant: "acme"}, 0, limit, 10)
			must(t, err)
			if next != want || len(found) != min(limit, 3) {
				t.Errorf("a page of %d has %d entries and continues before %d, want %d", limit, len(found), next, want)
			}
		}
		for window, want := range map[int]int64{5: 2, 6: 0, 7: 0} { // the first entry of the log is left, or none
			found, next, err := s.searchEvents(t.Context(), EventChoice{}, 0, 10, window)
			must(t, err)
			if next != want || len(found) != min(window, 6) {
				t.Errorf("of %d entries, %d are found, and it continues before %d, want %d", window, len(found), next, want)
			}
		}
	})
}

// rewrite changes an entry and recomputes the chain behind it, as someone with full control of the database can.
func rewrite(t *testing.T, s *Store, seq int64, change func(e *tenancy.Event)) {
	t.Helper()
	events, err := s.Events(t.Context(), "", 0, 1000)
	must(t, err)
	prev := []byte{}
	exec := func(query string, args ...any) {
		must(t, s.InTx(t.Context(), func(tx *Tx) error {
			_, err := tx.exec(t.Context(), query, args...)
			return err
		}))
	}
	for _, e := range events {
		if e.Seq == seq {
			change(&e)
		}
		e.Prev = prev
		e.Hash = e.Sum()
		prev = e.Hash
		exec("UPDATE events SET actor = ?, detail = ?, prev = ?, hash = ? WHERE seq = ?", e.Actor, e.Detail, e.Prev, e.Hash,
			e.Seq)
	}
	exec("UPDATE event_head SET hash = ?", prev)
}

// The chain shows a change only as long as its head is the one that was written. A log that was rewritten with its head
// fits itself, and does not fit a head that left before.
func TestALogThatWasRewrittenConsistentlyIsNoticedByAHeadThatWasKeptElsewhere(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		var heads []tenancy.Chain
		keep := func() {
			head, err := s.EventHead(t.Context())
			must(t, err)
			heads = append(heads, head)
		}
		for i := range 6 {
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
				return tx.Audit(ctx, tenancy.Event{At: now, Actor: "alice", Action: "a", Object: fmt.Sprint(i), Detail: "{}"})
			}))
			keep()
		}
		verified := func() error {
			t.Helper()
			_, err := s.VerifyEvents(t.Context())
			must(t, err)
			return s.VerifyHeads(t.Context(), heads)
		}
		must(t, verified())
		rewrite(t, s, 4, func(e *tenancy.Event) { e.Actor = "bob" })
		var broken *tenancy.ChainError
		if err := verified(); !errors.As(err, &broken) || broken.Seq != 4 ||
			!strings.Contains(err.Error(), "the log was rewritten") {
			t.Errorf("entry 4 was rewritten: %v", err)
		}
		must(t, s.VerifyHeads(t.Context(), heads[:3])) // from before the change
		if err := s.VerifyHeads(t.Context(), []tenancy.Chain{{Hash: heads[5].Hash}}); err == nil ||
			!strings.Contains(err.Error(), "the log was rewritten") {
			t.Errorf("by the hash alone: %v", err)
		}
		rewrite(t, s, 4, func(e *tenancy.Event) { e.Actor = "alice" })
		must(t, verified())
		for _, query := range []string{"DELETE FROM events WHERE seq > 4",
			"UPDATE event_head SET seq = 4, hash = (SELECT hash FROM events WHERE seq = 4)"} {
			_, err := s.DB().ExecContext(t.Context(), query)
			must(t, err)
		}
		if err := verified(); !errors.As(err, &broken) || broken.Seq != 5 || !strings.Contains(err.Error(), "missing") {
			t.Errorf("the end was cut off: %v", err)
		}
	})
}

// Entries that are added after the head was read are not considered.
func TestALogThatGrowsWhileItIsVerifiedIsIntact(t *testing.T) {
	s := lite(t)
	add := func() error {
		return write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "test", "c", "", "", nil))
		})
	}
	before, err := s.EventHead(t.Context())
	must(t, err)
	s.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "SELECT "+eventColumns) {
			s.BeforeStatements(nil)
			return add()
		}
		return nil
	})
	verified, err := s.VerifyEvents(t.Context())
	if err != nil || verified.Seq != before.Seq || !bytes.Equal(verified.Hash, before.Hash) {
		t.Errorf("%+v, %v, want %+v", verified, err, before)
	}
	if after, err := s.EventHead(t.Context()); err != nil || after.Seq != before.Seq+1 {
		t.Errorf("%+v, %v", after, err)
	}
}

// Details are JSON, in which some characters are escaped.
func TestASearchFindsTheTextThatADetailHas(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "olga", "receiver.created", "acme", "acme/erp",
				map[string]any{"display_name": `Müller & Söhne "Nord" <EU> C:\x 100%`}))
		}))
		for text, want := range map[string]int{"Müller & söhne": 1, `"NORD" <eu>`: 1, `c:\x`: 1, "100%": 1, "& x": 0,
			`\x 1_`: 0} {
			found, _, err := s.SearchEvents(t.Context(), EventChoice{Texts: []string{text}}, 0, 10)
			if err != nil || len(found) != want {
				t.Errorf("%q: %d entries, want %d, %v", text, len(found), want, err)
			}
		}
	})
}
