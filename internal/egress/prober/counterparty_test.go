package prober_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// want stores a question of the page of a counterparty.
func (w *rolling) want(claimed bool, arrangementIDs ...string) {
	w.t.Helper()
	check(w.t, w.engine.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		var questions []tenancy.CounterpartyQuestion
		for _, id := range arrangementIDs {
			questions = append(questions, tenancy.CounterpartyQuestion{ArrangementID: id, CounterpartyID: "bank",
				Generation: 2, Claimed: claimed, WantedAt: time.Now().UTC().Truncate(time.Microsecond)})
		}
		_, err := tx.WantQuestions(w.t.Context(), questions, time.Now().Add(time.Hour))
		return err
	}))
}

// answered returns the question of the arrangement.
func (w *rolling) answered() tenancy.CounterpartyQuestion {
	w.t.Helper()
	all, err := w.engine.Store.QuestionsOf(w.t.Context(), []string{w.arrangement.ID})
	check(w.t, err)
	return all[w.arrangement.ID]
}

// The page of a counterparty can claim, and only the receiver proves.
func TestWhatACounterpartyReportsIsTestedAndIsNeverProof(t *testing.T) {
	for _, c := range []struct {
		name            string
		egress          tenancy.Egress
		accepts         []int
		claims          bool
		result          string
		verdict         rollover.Verdict // that is recorded
		claimIsRecorded bool
	}{
		{"a test that the receiver passes", question, []int{1, 2}, false, "accepted", rollover.Accepted, false},
		{"a test that it fails", question, []int{1}, false, "refused", rollover.Refused, false},
		{"a report that it confirms", question, []int{1, 2}, true, "accepted", rollover.Accepted, true},
		{"a report that it contradicts", question, []int{1}, true, "refused", rollover.Refused, false},
		{"a report without a question", tenancy.Egress{}, []int{1}, true, "", rollover.Unknown, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: c.egress})
			w.accepts(c.accepts...)
			w.want(c.claims, w.arrangement.ID)
			more, err := w.prober.AskCounterparty(t.Context(), "bank")
			if err != nil || more {
				t.Fatalf("more %v, %v", more, err)
			}
			if q := w.answered(); q.DoneAt.IsZero() || q.Result != c.result {
				t.Errorf("the result is %+v", q)
			}
			g, _ := w.standing().Rollover.Generation(2)
			if g.Verdict != c.verdict || !g.ClaimedAt.IsZero() != c.claimIsRecorded {
				t.Errorf("recorded %+v", g)
			}
			asked := w.receiver.Asked()
			if _, err := w.prober.AskCounterparty(t.Context(), "bank"); err != nil || w.receiver.Asked() != asked {
				t.Errorf("it is asked again: %v", err)
			}
		})
	}
}

// A tenant's receivers can belong to several counterparties, and its audit log names the one.
func TestTheEvidenceThatACounterpartyAskedForNamesIt(t *testing.T) {
	w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: question})
	check(t, w.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateCounterparty(t.Context(), tenancy.Counterparty{ID: "bank", Name: "house-bank"})
	}))
	w.accepts(1)
	w.want(false, w.arrangement.ID)
	_, err := w.prober.AskCounterparty(t.Context(), "bank")
	check(t, err)
	events, err := w.engine.Store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
		return e.Action == "arrangement.refused" && e.Actor == "counterparty house-bank"
	}) {
		t.Errorf("recorded %+v", events)
	}
}
