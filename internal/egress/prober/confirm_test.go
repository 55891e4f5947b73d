package prober_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A person who reports a generation as installed is contradicted only by a receiver that was proved to refuse it.
func TestAClaimIsRecordedUnlessTheReceiverContradictsIt(t *testing.T) {
	for _, c := range []struct {
		name         string
		egress       tenancy.Egress
		accepts      []int
		newestOnly   bool
		asked        int // questions that the receiver got
		contradicted bool
		claimed      bool // the claim is recorded
	}{
		{"the receiver refuses it", question, []int{1}, false, 2, true, false},
		{"the receiver accepts it", question, []int{1, 2}, false, 3, false, true},
		{"the receiver refuses both alike", question, nil, false, 2, false, true},
		{"no question is configured", tenancy.Egress{}, []int{1}, false, 0, false, true},
		{"the receiver must not be asked with it", question, []int{1}, true, 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: c.egress})
			w.accepts(c.accepts...)
			if c.newestOnly {
				_, err := w.engine.LearnNewestOnly(t.Context(), w.arrangement.ID, "test", time.Now())
				check(t, err)
				w.arrangement, err = w.engine.Store.ArrangementByID(t.Context(), w.arrangement.ID)
				check(t, err)
			}
			claim, after, err := w.prober.Confirm(t.Context(), w.standing(), 2, "eve", "installed today")
			check(t, err)
			if claim.Contradicted != c.contradicted || (claim.Detail.String() == "401 Unauthorized") != c.contradicted {
				t.Errorf("contradicted %v: %q", claim.Contradicted, claim.Detail)
			}
			if (len(claim.Answers.Results) == 2) != (c.asked > 0) || w.receiver.Asked() != c.asked {
				t.Errorf("%d answers, %d questions, want %d", len(claim.Answers.Results), w.receiver.Asked(), c.asked)
			}
			stored := w.standing()
			if after.Arrangement.ID != w.arrangement.ID {
				t.Errorf("returned the state of %+v", after.Arrangement)
			}
			for _, s := range []standing.Standing{after, stored} {
				if g, _ := s.Rollover.Generation(2); (g.ClaimedBy == rollover.Person) != c.claimed {
					t.Errorf("the claim is recorded as %+v", g)
				}
				if g, _ := s.Rollover.Generation(1); g.ClaimedBy == rollover.Person {
					t.Error("a claim is recorded of the other generation")
				}
			}
		})
	}
}

func TestAClaimThatCannotBeCheckedOrRecordedIsAnError(t *testing.T) {
	for _, egress := range []tenancy.Egress{question, {}} {
		w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Egress: egress})
		w.accepts(1, 2)
		s := w.standing()
		confirm := func() error {
			_, _, err := w.prober.Confirm(t.Context(), s, 2, "eve", "installed")
			return err
		}
		testenv.FailsWithout(t, w.engine.Store.DB(), []string{"certificates", "evidence"}, confirm)
		testenv.FailsIfReadOnly(t, w.engine.Store.DB(), []string{"evidence", "events"}, confirm)
		check(t, confirm())
		testenv.FailsWithout(t, w.engine.Store.DB(), []string{"certificates", "evidence"}, func() error {
			_, _, err := w.prober.Probe(t.Context(), s, "test")
			return err
		})
	}
	w := newRolling(t, receiver.Options{}, tenancy.Arrangement{Egress: question})
	s := w.standing()
	s.Arrangement.Endpoint = "https://%zz/"
	if _, _, err := w.prober.Confirm(t.Context(), s, 2, "eve", "installed"); err == nil {
		t.Error("a claim about an endpoint that is not a URL is recorded")
	}
	if g, _ := w.standing().Rollover.Generation(2); g.ClaimedBy != rollover.Source("") {
		t.Errorf("recorded %+v", g)
	}
}

// An arrangement none of whose generations can be presented has nothing to ask with, which is not a fault.
func TestAnArrangementWithoutAKeyProvesNothing(t *testing.T) {
	w := newRolling(t, receiver.Options{}, tenancy.Arrangement{Egress: question})
	_, err := w.engine.Store.DB().ExecContext(t.Context(), "UPDATE certificates SET sealed_key = NULL")
	check(t, err)
	s := w.standing()
	answers, after, err := w.prober.Probe(t.Context(), s, "test")
	check(t, err)
	if len(answers.Results) != 0 || after.Arrangement.ID != s.Arrangement.ID || len(after.Rollover.Generations) != 2 {
		t.Errorf("%d answers, and the state %+v", len(answers.Results), after)
	}
}

// What a question shows of the receiver itself is stored before the verdicts.
func TestAReceiverThatTakesTheNewestOnlyIsRemembered(t *testing.T) {
	w := newRolling(t, receiver.Options{}, tenancy.Arrangement{Egress: question})
	s := w.standing()
	answers := outbound.Answers{NewestOnly: true, Results: []outbound.Result{{Generation: 1, Verdict: rollover.Accepted,
		Reading: outbound.Reading{Detail: "200 OK"}}}}
	record := func() error {
		_, err := w.prober.Record(t.Context(), s, "test", answers, time.Now())
		return err
	}
	testenv.FailsIfReadOnly(t, w.engine.Store.DB(), []string{"UPDATE ON arrangements"}, record)
	check(t, record())
	a, err := w.engine.Store.ArrangementByID(t.Context(), w.arrangement.ID)
	check(t, err)
	g, _ := w.standing().Rollover.Generation(1)
	if a.Learned.NewestOnlyAt.IsZero() || g.Verdict != rollover.Accepted {
		t.Errorf("learned %+v, and generation 1 is %q", a.Learned, g.Verdict)
	}
}

func TestWithoutAnAnnouncedCANoReceiverIsAskedAboutOne(t *testing.T) {
	w := newRolling(t, receiver.Options{}, tenancy.Arrangement{Egress: question})
	check(t, w.prober.ProbeAnnounced(t.Context()))
	if w.receiver.Asked() != 0 {
		t.Errorf("%d receivers were asked", w.receiver.Asked())
	}
}
