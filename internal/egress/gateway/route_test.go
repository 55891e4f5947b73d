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

// Connections and what they taught are kept as long as they belong to the same receiver and certificate.
func TestARouteThatIsReadAgainSharesWhatHasNotChanged(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	network, to := &outbound.Network{}, address{"acme", "bank"}
	settings := func(endpoint string, e tenancy.Egress, ids ...string) (s standing.Standing, all []standing.Identity) {
		s.Arrangement = tenancy.Arrangement{Endpoint: endpoint, Egress: e, Authentication: tenancy.ClientCertificate}
		for i, id := range ids {
			s.Certificates = append(s.Certificates, tenancy.Certificate{ID: id, Generation: i + 1})
			all = append(all, standing.Identity{Generation: i + 1})
		}
		return s, all
	}
	s, ids := settings("https://bank.example.com/", tenancy.Egress{}, "c1", "c2")
	before, err := newRoute(network, to, s, ids, nil)
	testenv.Check(t, err)
	before.accepted[1], before.changedAt, before.noContinueUntil = now, now.Add(1), now.Add(2)
	before.refused.add("POST /", now)
	before.kinds.Add(outbound.Kind{Status: 202})
	for _, c := range []struct {
		name     string
		endpoint string
		egress   tenancy.Egress
		ids      []string
		shared   []bool // connections, by generation
		refused  bool   // the refusals are remembered
		learned  bool   // the kinds of answers are
	}{
		{"nothing changed", "https://bank.example.com/", tenancy.Egress{}, []string{"c1", "c2"}, []bool{true, true}, true,
			true},
		{"a generation is new", "https://bank.example.com/", tenancy.Egress{}, []string{"c1", "c2", "c3"},
			[]bool{true, true, false}, false, true},
		{"a generation was replaced", "https://bank.example.com/", tenancy.Egress{}, []string{"c1", "c9"},
			[]bool{true, false}, false, true},
		{"a setting changed", "https://bank.example.com/", tenancy.Egress{TimeoutSeconds: 7}, []string{"c1", "c2"},
			[]bool{false, false}, false, true},
		{"the receiver changed", "https://other.example.com/", tenancy.Egress{}, []string{"c1", "c2"}, []bool{false, false},
			false, false},
	} {
		s, ids := settings(c.endpoint, c.egress, c.ids...)
		r, err := newRoute(network, to, s, ids, before)
		testenv.Check(t, err)
		for i, want := range c.shared {
			if got := r.identities[i+1] == before.identities[i+1]; got != want {
				t.Errorf("%s: generation %d shares its connections: %v", c.name, i+1, got)
			}
		}
		if (len(r.refused) == 1) != c.refused || (len(r.kinds.All()) == 1) != c.learned {
			t.Errorf("%s: %d refusals and %d kinds of answers are kept", c.name, len(r.refused), len(r.kinds.All()))
		}
		if !r.accepted[1].Equal(now) || !r.changedAt.Equal(before.changedAt) ||
			!r.noContinueUntil.Equal(before.noContinueUntil) {
			t.Errorf("%s: accepted %v, changed at %v, not asked before a body until %v", c.name, r.accepted, r.changedAt,
				r.noContinueUntil)
		}
		before.late.Store(true)
		r, err = newRoute(network, to, s, ids, before)
		testenv.Check(t, err)
		if before.late.Store(false); r.late.Load() != c.learned {
			t.Errorf("%s: asks late: %v", c.name, r.late.Load())
		}
	}
	s.Arrangement.Endpoint = "https://%zz/"
	if r, err := newRoute(network, to, s, ids, before); err == nil || r != nil {
		t.Error("a route to an endpoint that is not a URL")
	}
}
