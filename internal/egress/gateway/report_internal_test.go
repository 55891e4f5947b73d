package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Successes at the first attempt share an entry from the sixth of a second on. Everything else has an entry of its own.
func TestTheSixthSuccessOfASecondCountsTheFurtherOnes(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	g := &Gateway{now: func() time.Time { return now }}
	to := &route{series: seriesOf("acme/crm"), standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "crm"}}}
	send := func(n, status, attempts int) {
		for range n {
			m := newMessage(g, to, "POST", "/orders")
			m.status, m.attempts = status, attempts
			g.record(m, "/orders")
		}
	}
	expect := func(when string, want ...int) {
		t.Helper()
		var got []int
		for _, e := range g.journal.entries {
			got = append(got, e.Count)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the entries count %v, want %v", when, got, want)
		}
	}
	send(20, 200, 1)
	expect("20 successes", 1, 1, 1, 1, 1, 15)
	send(2, 401, 1)
	send(2, 200, 2)
	expect("refusals and second attempts", 1, 1, 1, 1, 1, 15, 1, 1, 1, 1)
	send(1, 200, 1)
	expect("one more success", 1, 1, 1, 1, 1, 16, 1, 1, 1, 1)
	now = now.Add(time.Second)
	send(7, 204, 1)
	expect("the next second", 1, 1, 1, 1, 1, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2)
}
