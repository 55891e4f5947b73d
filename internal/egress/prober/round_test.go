package prober_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// round stores a round with tests of arrangements.
func (w *rolling) round(host string, arrangementIDs ...string) (id string) {
	w.t.Helper()
	r := tenancy.TestRound{ID: store.NewID(), CreatedBy: "operator olga", CreatedAt: time.Now()}
	var items []tenancy.TestItem
	for _, id := range arrangementIDs {
		items = append(items, tenancy.TestItem{RoundID: r.ID, ArrangementID: id, Host: host, Generation: 2})
	}
	check(w.t, w.engine.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		return tx.CreateTestRound(w.t.Context(), r, items, time.Time{})
	}))
	return r.ID
}

// worked works on a round until it ends, and returns its results with the reason of each that was skipped.
func (w *rolling) worked(id string) (results []string) {
	w.t.Helper()
	for calls := 0; ; calls++ {
		again, err := w.prober.WorkRound(w.t.Context(), id)
		check(w.t, err)
		if again == 0 {
			break
		}
		if calls == 20 {
			w.t.Fatal("the round does not end")
		}
	}
	items, _, err := w.engine.Store.TestItems(w.t.Context(), id, "", store.Page{Limit: 100})
	check(w.t, err)
	for _, i := range items {
		if i.Result == tenancy.TestSkipped {
			i.Result += " " + i.Detail
		}
		results = append(results, i.Result)
	}
	return results
}

func TestARoundAsksEachReceiverAtRiskOnce(t *testing.T) {
	newestOnly := tenancy.Egress{Probe: question.Probe, IdentifiesBy: []tenancy.Identifier{tenancy.ByNewestOnly}}
	for _, c := range []struct {
		name    string
		egress  tenancy.Egress
		accepts []int
		result  string
		verdict rollover.Verdict // that is recorded
		asked   bool
	}{
		{"a receiver that accepts", question, []int{1, 2}, "accepted", rollover.Accepted, true},
		{"a receiver that refuses", question, []int{1}, "refused", rollover.Refused, true},
		{"a receiver that takes only the newest", newestOnly, []int{1}, "skipped newest-only", rollover.Unknown, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: c.egress})
			w.accepts(c.accepts...)
			id := w.round("bank.example", w.arrangement.ID)
			if got := w.worked(id); !slices.Equal(got, []string{c.result}) {
				t.Errorf("the results are %q", got)
			}
			if g, _ := w.standing().Rollover.Generation(2); g.Verdict != c.verdict {
				t.Errorf("recorded %+v", g)
			}
			asked := w.receiver.Asked()
			if (asked > 0) != c.asked {
				t.Errorf("the receiver was asked %d times", asked)
			}
			if w.worked(id); w.receiver.Asked() != asked {
				t.Error("a round that has ended asks again")
			}
			events, err := w.engine.Store.Events(t.Context(), "", 0, 100)
			check(t, err)
			events = slices.DeleteFunc(events, func(e tenancy.Event) bool { return e.Action != "tests.finished" })
			if len(events) != 1 {
				t.Errorf("audit events: %v", events)
			}
		})
	}
}

func TestAReceiverThatIsNoLongerAtRiskIsNotAsked(t *testing.T) {
	w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: question})
	w.accepts(1, 2)
	w.worked(w.round("bank.example", w.arrangement.ID))
	asked := w.receiver.Asked()
	if got := w.worked(w.round("bank.example", w.arrangement.ID)); !slices.Equal(got, []string{"skipped settled"}) {
		t.Errorf("the results are %q", got)
	}
	if w.receiver.Asked() != asked {
		t.Error("the receiver was asked")
	}
}

func TestAGroupHasFewTestsOfOneHost(t *testing.T) {
	w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: question})
	w.accepts(1)
	ids := []string{w.arrangement.ID}
	for i := range 8 {
		a := w.arrangement
		a.ID, a.Name = store.NewID(), fmt.Sprintf("crm-to-erp-%d", i)
		check(t, w.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.CreateArrangements(t.Context(), a) }))
		ids = append(ids, a.ID)
	}
	id := w.round("bank.example", ids...)
	_, err := w.prober.WorkRound(t.Context(), id)
	check(t, err)
	counts, err := w.engine.Store.CountTests(t.Context(), []string{id})
	check(t, err)
	if got := fmt.Sprint(counts[id]); got != fmt.Sprintf("[{%s  5} {%s refused 4}]", id, id) {
		t.Errorf("after one group: %s", got)
	}
}
