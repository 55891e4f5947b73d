package rollover

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/perennial-pki/perennial/tenancy"
)

// twice returns a certificate that was renewed twice: generation 1 expires on day 365, generation 2 on day 665 and
// generation 3, a reissue, on day 670.
func twice(s tenancy.Strategy) Rollover {
	r := renewed(s)
	r.Generations = append(r.Generations, Generation{Number: 3, NotBefore: at(305), NotAfter: at(670)})
	return r
}

func newestOnly(r Rollover) Rollover {
	r.NewestOnly = true
	return r
}

func TestTheDeadlineIsThatOfTheLastGenerationThatTheReceiverIsKnownToAccept(t *testing.T) {
	presents := func(r Rollover, n int) Rollover { return r.moved(n, at(306)) }
	for _, c := range []struct {
		name     string
		rollover Rollover
		want     Risk
		at       bool
	}{
		{"a single renewal", renewed(tenancy.Adaptive), Risk{Wanted: 2, Deadline: at(365), Last: 1, Until: at(365)}, true},
		{"a reissue before the receiver took the first renewal", twice(tenancy.Adaptive).sees(1, Accepted, Traffic, 304),
			Risk{Wanted: 3, Deadline: at(365), Last: 1, Until: at(665)}, true},
		{"nothing is known: the presented one counts", twice(tenancy.Adaptive),
			Risk{Wanted: 3, Deadline: at(365), Last: 1, Until: at(665)}, true},
		{"the receiver took the first renewal", twice(tenancy.Adaptive).sees(1, Accepted, Traffic, 304).
			sees(2, Accepted, Traffic, 305), Risk{Wanted: 3, Deadline: at(665), Last: 2, Until: at(665)}, true},
		{"the receiver replaced the old one", twice(tenancy.Adaptive).sees(2, Accepted, Probe, 305).
			sees(1, Refused, Probe, 305), Risk{Wanted: 3, Deadline: at(665), Last: 2, Until: at(665)}, true},
		{"the presented one is refused, and the others are unknown", twice(tenancy.Adaptive).sees(1, Refused, Traffic, 305),
			Risk{Wanted: 3, Deadline: at(665), Last: 2, Until: at(665)}, true},
		{"the newest is presented, and nothing is known", presents(renewed(tenancy.Manual), 2),
			Risk{Wanted: 2, Deadline: at(365), Last: 1, Until: at(365)}, true},
		{"the newest is refused", renewed(tenancy.Adaptive).sees(2, Refused, Traffic, 305).sees(1, Accepted, Traffic, 305),
			Risk{Wanted: 2, Deadline: at(365), Last: 1, Until: at(365)}, true},
		{"all are refused", renewed(tenancy.Adaptive).sees(2, Refused, Traffic, 305).sees(1, Refused, Traffic, 305),
			Risk{Wanted: 2, Deadline: at(310), Last: 2, Exposed: true, Until: at(365)}, true},
		{"immediate presents the newest", presents(renewed(tenancy.Immediate), 2),
			Risk{Wanted: 2, Deadline: at(306), Last: 2, Exposed: true, Until: at(365)}, true},
		{"immediate waits for the end of the notice", renewed(tenancy.Immediate),
			Risk{Wanted: 2, Deadline: at(365), Last: 1, Until: at(365)}, true},
		{"the newest is accepted", twice(tenancy.Adaptive).sees(3, Accepted, Probe, 306), Risk{}, false},
		{"the middle one is accepted, and the newest is revoked", twice(tenancy.Adaptive).with(3, revoked).
			sees(2, Accepted, Probe, 306), Risk{}, false},
		{"the first one is compromised", twice(tenancy.Adaptive).with(1, revoked),
			Risk{Wanted: 3, Deadline: at(665), Last: 2, Until: at(665)}, true},
		{"the newest accepted one of a receiver that takes the newest only", newestOnly(twice(tenancy.Adaptive).
			with(1, func(g *Generation) { g.NotAfter = at(900) }).sees(1, Accepted, Traffic, 304).sees(2, Accepted, Traffic,
			305)), Risk{Wanted: 3, Deadline: at(665), Last: 2, Until: at(900)}, true},
		{"the only other one is compromised", renewed(tenancy.Adaptive).with(1, revoked).moved(2, at(308)),
			Risk{Wanted: 2, Deadline: at(308), Last: 2, Exposed: true}, true},
		{"the newest is accepted, and the other one is compromised", renewed(tenancy.Adaptive).with(1, revoked).
			sees(2, Accepted, Traffic, 309), Risk{}, false},
		{"all are compromised", renewed(tenancy.Adaptive).with(1, revoked).with(2, revoked).sees(2, Accepted, Traffic, 305),
			Risk{Deadline: at(310), Exposed: true}, true},
		{"the newest is compromised, and the other one has expired", renewed(tenancy.Adaptive).with(2, revoked).
			with(1, func(g *Generation) { g.NotAfter = at(309) }), Risk{Deadline: at(310), Exposed: true}, true},
		{"nothing is issued yet", Rollover{Strategy: tenancy.Adaptive}, Risk{}, false},
	} {
		got, risk := c.rollover.Risk(at(310))
		if risk != c.at || got != c.want {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, risk, c.want)
		}
	}
	if _, risk := renewed(tenancy.Adaptive).Risk(at(365)); risk {
		t.Error("at risk after the old generation has expired")
	}
}

func TestAnArrangementThatCannotSendIsTheMostUrgent(t *testing.T) {
	late, later, stopped := Risk{Wanted: 2, Deadline: at(1)}, Risk{Wanted: 2, Deadline: at(2)}, Risk{Deadline: at(3)}
	got := []Risk{later, late, stopped}
	if slices.SortFunc(got, Risk.Compare); !slices.Equal(got, []Risk{stopped, late, later}) {
		t.Errorf("%+v", got)
	}
}

func TestDaysAreRoundedUp(t *testing.T) {
	r := Risk{Deadline: at(365)}
	for left, want := range map[time.Duration]int{0: 0, time.Nanosecond: 1, aDay - 1: 1, aDay: 1, aDay + 1: 2,
		30*aDay - time.Hour: 30, 30 * aDay: 30, -aDay: 0} {
		if got := r.Days(at(365).Add(-left)); got != want {
			t.Errorf("%s before the deadline: %d days, want %d", left, got, want)
		}
	}
}

// Several renewals in a row, reissues and compromises between them, and evidence in any order: the deadline never lies
// after the point from which every usable generation but the wanted one is unknown or refused, and an arrangement is at
// risk until the newest generation is accepted.
func TestTheRiskOfDrawnHistories(t *testing.T) {
	checked, risky := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		strategy := rapid.SampledFrom([]tenancy.Strategy{tenancy.Adaptive, tenancy.Confirmed, tenancy.Manual,
			tenancy.Immediate}).Draw(t, "strategy")
		r := Rollover{Strategy: strategy, Presents: 1, Generations: []Generation{{Number: 1, NotBefore: at(0),
			NotAfter: at(365), PresentedAt: at(0)}}}
		day := 0.0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			day += float64(rapid.IntRange(1, 60).Draw(t, "days"))
			now := at(day)
			switch step := rapid.SampledFrom([]string{"renew", "reissue", "compromise", "evidence", "evidence",
				"retire"}).Draw(t, "step"); step {
			case "renew", "reissue", "compromise":
				newest := r.newest()
				r.Generations = append(slices.Clone(r.Generations), Generation{Number: newest.Number + 1, NotBefore: now,
					NotAfter: at(day + 365)})
				if step == "compromise" {
					r = r.with(newest.Number, revoked)
				}
			case "evidence":
				g := rapid.SampledFrom(r.Generations).Draw(t, "generation")
				r = r.Observe(Evidence{Generation: g.Number, At: now,
					Verdict: rapid.SampledFrom([]Verdict{Accepted, Refused}).Draw(t, "verdict"),
					By:      rapid.SampledFrom([]Source{Traffic, Probe}).Draw(t, "source")})
			case "retire":
				if len(r.Generations) > 1 && !now.Before(r.Generations[0].NotAfter) {
					r.Generations = slices.Clone(r.Generations[1:])
				}
			}
			r, _ = r.At(now)
			checked++
			if checkRisk(t, r, now) {
				risky++
			}
		}
	})
	if checked < 200 || risky < 50 {
		t.Errorf("%d states were checked, %d of them at risk", checked, risky)
	}
}

// checkRisk compares a risk with its definition, written independently.
func checkRisk(t *rapid.T, r Rollover, now time.Time) bool {
	var all []Generation // usable, the oldest first
	for _, g := range r.Generations {
		if valid(g, now) {
			all = append(all, g)
		}
	}
	got, at := r.Risk(now)
	known := slices.ContainsFunc(r.Generations, func(g Generation) bool {
		return len(all) > 0 && g.Number < all[len(all)-1].Number && g.NotAfter.After(now)
	})
	if want := known && all[len(all)-1].Verdict != Accepted; at != want {
		t.Fatalf("at risk is %v, want %v: %+v", at, want, r)
	}
	if !at {
		return false
	}
	newest, older := all[len(all)-1], all[:len(all)-1]
	if got.Wanted != newest.Number {
		t.Fatalf("generation %d is wanted, want %d", got.Wanted, newest.Number)
	}
	var accepted, possible time.Time
	for _, g := range older {
		if g.Verdict == Accepted && g.NotAfter.After(accepted) {
			accepted = g.NotAfter
		}
		if g.Verdict != Refused && g.NotAfter.After(possible) {
			possible = g.NotAfter
		}
	}
	alone := r.Strategy == tenancy.Immediate && r.Presents == newest.Number
	switch presented, _ := r.Generation(r.Presents); {
	case alone || possible.IsZero():
		if !got.Exposed || got.Deadline.After(now) || got.Left(now) != 0 {
			t.Fatalf("messages depend on generation %d, and the deadline is %s", newest.Number, got.Deadline)
		}
	case got.Exposed:
		t.Fatalf("an older generation may be accepted, and the arrangement is exposed: %+v", r)
	case !accepted.IsZero() && !got.Deadline.Equal(accepted):
		t.Fatalf("the deadline is %s, and the last accepted generation expires on %s", got.Deadline, accepted)
	case accepted.IsZero() && presented.Number < newest.Number && valid(presented, now) && presented.Verdict != Refused:
		if !got.Deadline.Equal(presented.NotAfter) {
			t.Fatalf("the deadline is %s, and the presented generation expires on %s", got.Deadline, presented.NotAfter)
		}
	case accepted.IsZero() && !got.Deadline.Equal(possible):
		t.Fatalf("the deadline is %s, and the last possible generation expires on %s", got.Deadline, possible)
	}
	return true
}
