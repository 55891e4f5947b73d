package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheRoutesThatWereUsedLeastRecentlyAreDroppedFirst(t *testing.T) {
	rs := &routes{known: map[address]*route{}, stale: map[address]*route{}}
	begin := time.Unix(1_800_000_000, 0)
	for i := range 100 {
		rs.known[address{"acme", fmt.Sprint(i)}] = &route{usedAt: begin.Add(time.Duration(i) * time.Second)}
	}
	rs.dropOldest(10)
	if len(rs.known) != 90 || rs.known[address{"acme", "9"}] != nil || rs.known[address{"acme", "10"}] == nil {
		t.Errorf("%d are left", len(rs.known))
	}
}

// A change may be read before the control has stored what this gateway has just observed.
func TestARouteThatIsReadAgainKeepsWhatThisGatewayObserved(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	g := func(number int) rollover.Generation {
		return rollover.Generation{Number: number, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0)}
	}
	stored := standing.Standing{Arrangement: tenancy.Arrangement{Endpoint: "https://127.0.0.1:1/"},
		Rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 1,
			Generations: []rollover.Generation{g(1), g(2)}}}
	network, to := &outbound.Network{}, address{"acme", "bank"}
	before, err := newRoute(network, to, stored, nil, nil)
	testenv.Check(t, err)
	if order := before.rollover.Order(now); order[0] != 1 {
		t.Fatalf("the order is %v", order)
	}
	for generation, verdict := range map[int]rollover.Verdict{1: rollover.Refused, 2: rollover.Accepted} {
		before.rollover = before.rollover.Observe(rollover.Evidence{Generation: generation, Verdict: verdict,
			By: rollover.Traffic, At: now})
	}
	again, err := newRoute(network, to, stored, nil, before)
	testenv.Check(t, err)
	if order := again.rollover.Order(now); order[0] != 2 {
		t.Errorf("what was observed is lost: the order is %v", order)
	}
	later := stored
	later.Rollover = stored.Rollover.Observe(rollover.Evidence{Generation: 1, Verdict: rollover.Accepted,
		By: rollover.Probe, At: now.Add(time.Hour)})
	newer, err := newRoute(network, to, later, nil, before)
	testenv.Check(t, err)
	if g, _ := newer.rollover.Generation(1); g.Verdict != rollover.Accepted {
		t.Errorf("an older observation replaced %+v", g)
	}
	elsewhere := stored
	elsewhere.Arrangement.Endpoint = "https://127.0.0.1:2/"
	other, err := newRoute(network, to, elsewhere, nil, before)
	testenv.Check(t, err)
	if g, _ := other.rollover.Generation(1); g.Verdict != rollover.Unknown {
		t.Errorf("the verdict of another receiver was kept: %+v", g)
	}
}
