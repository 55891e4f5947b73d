package rollover

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const aDay = 24 * time.Hour

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(days float64) time.Time { return epoch.Add(time.Duration(days * float64(aDay))) }

// renewed is an arrangement that presents generation 1 when generation 2 was made on day 300 of 365.
func renewed(s tenancy.Strategy) Rollover {
	return Rollover{Strategy: s, Presents: 1, Generations: []Generation{
		{Number: 1, NotBefore: at(0), NotAfter: at(365), PresentedAt: at(0)},
		{Number: 2, NotBefore: at(300), NotAfter: at(665), NoticedUntil: at(300)},
	}}
}

func (r Rollover) sees(number int, v Verdict, by Source, day float64) Rollover {
	return r.Observe(Evidence{Generation: number, Verdict: v, By: by, At: at(day)})
}

func TestEachStrategyMovesOnWhatItListensTo(t *testing.T) {
	for _, c := range []struct {
		strategy                       tenancy.Strategy
		unheard, traffic, probe, words int // what is presented after each
	}{
		{tenancy.Immediate, 2, 2, 2, 2},
		{tenancy.Confirmed, 1, 1, 2, 2},
		{tenancy.Adaptive, 1, 2, 2, 2},
		{tenancy.Manual, 1, 1, 1, 1},
	} {
		presents := func(r Rollover) int { r, _ = r.At(at(310)); return r.Presents }
		r := renewed(c.strategy)
		if got := presents(r); got != c.unheard {
			t.Errorf("%s: presents %d though nothing is known", c.strategy, got)
		}
		for source, want := range map[Source]int{Traffic: c.traffic, Probe: c.probe, Person: c.words} {
			if got := presents(r.sees(2, Accepted, source, 305)); got != want {
				t.Errorf("%s: presents %d after %s, want %d", c.strategy, got, source, want)
			}
		}
		if got := presents(r.sees(1, Accepted, Traffic, 305).sees(2, Refused, Probe, 306)); c.strategy != tenancy.Immediate &&
			got != 1 {
			t.Errorf("%s: presents %d although the receiver refuses it", c.strategy, got)
		}
		if r, _ := r.At(at(362.5)); r.Presents != 2 {
			t.Errorf("%s: held on generation 1 until it expires", c.strategy)
		}
	}
}

func TestOnlyImmediateTriesNothingElse(t *testing.T) {
	for _, s := range []tenancy.Strategy{tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		if got := renewed(s).Order(at(310)); !slices.Equal(got, []int{1, 2}) || !renewed(s).Open(at(310)) {
			t.Errorf("%s: %v", s, got)
		}
	}
	r, _ := renewed(tenancy.Immediate).At(at(310))
	if got := r.Order(at(310)); !slices.Equal(got, []int{2}) || r.Open(at(310)) {
		t.Errorf("immediate: %v", got)
	}
	if got := renewed(tenancy.Adaptive).Order(at(366)); !slices.Equal(got, []int{2}) {
		t.Errorf("an expired generation is named: %v", got)
	}
	if got := renewed(tenancy.Adaptive).Order(at(700)); !slices.Equal(got, []int{2}) {
		t.Errorf("with nothing usable: %v, want the newest", got)
	}
}

func TestARefusedGenerationIsTriedLastWhateverTheStrategyPresents(t *testing.T) {
	r := renewed(tenancy.Manual).sees(1, Refused, Traffic, 310).sees(2, Accepted, Traffic, 310)
	if got := r.Order(at(311)); !slices.Equal(got, []int{2, 1}) || r.Presents != 1 {
		t.Errorf("tries %v, presents %d", got, r.Presents)
	}
}

func TestAReceiverThatGoesBackIsFollowedAndSettlesLater(t *testing.T) {
	r := renewed(tenancy.Adaptive)
	states := []struct {
		day  float64
		step func(Rollover) Rollover
		want State
	}{
		{301, func(r Rollover) Rollover { return r }, Announced},
		{302, func(r Rollover) Rollover { return r.sees(2, Refused, Probe, 302) }, RefusedBy},
		{303, func(r Rollover) Rollover { return r.sees(1, Refused, Traffic, 303).sees(2, Accepted, Traffic, 303) }, CutOver},
		{304, func(r Rollover) Rollover {
			return r.sees(2, Refused, Traffic, 304).sees(1, Accepted, Traffic, 304)
		}, Regressed},
		// traffic weighs more for a day
		{305, func(r Rollover) Rollover { return r.sees(2, Accepted, Probe, 304.5) }, Regressed},
		{306, func(r Rollover) Rollover { return r.sees(2, Accepted, Probe, 306) }, CutOver},
		{307, func(r Rollover) Rollover { return r.sees(2, Accepted, Traffic, 307) }, CutOver},
		{333, func(r Rollover) Rollover { return r }, CutOver},
		{335, func(r Rollover) Rollover { return r }, Settled},
	}
	for _, s := range states {
		r, _ = s.step(r).At(at(s.day))
		if got := r.State(at(s.day)); got != s.want {
			t.Fatalf("day %v: %s, want %s\n%+v", s.day, got, s.want, r)
		}
	}
	if got := renewed(tenancy.Confirmed).sees(2, Accepted, Traffic, 303).State(at(304)); got != Trusted {
		t.Errorf("accepted and not presented: %s", got)
	}
}

func TestEveryStrategyKeepsTheNoticeUnlessItMustSwitch(t *testing.T) {
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		r := renewed(s).with(2, func(g *Generation) { g.NoticedUntil = at(328) }).sees(2, Accepted, Person, 301)
		if r, move := r.At(at(310)); move != nil {
			t.Errorf("%s: presents %d before the notice has passed", s, r.Presents)
		}
		if _, _, err := r.Choose(2, at(310)); !errors.Is(err, tenancy.ErrRefused) {
			t.Errorf("%s: chosen before the notice has passed (%v)", s, err)
		}
		revoked, move := r.with(1, func(g *Generation) { g.Revoked = true }).At(at(310))
		if revoked.Presents != 2 || !move.Forced {
			t.Errorf("%s: a revoked generation is not left at once: %+v", s, move)
		}
	}
}

// The notice gives the administrators time. One whose receiver accepts only the new generation does not need it.
func TestTheNoticeHoldsNothingBackThatMessagesNeed(t *testing.T) {
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		noticed := renewed(s).with(2, func(g *Generation) { g.NoticedUntil = at(328) })
		needs := noticed.sees(1, Refused, Traffic, 302).sees(2, Accepted, Probe, 303)
		r, move := needs.At(at(310))
		if moves := s == tenancy.Confirmed || s == tenancy.Adaptive; (move != nil) != moves || (r.Presents == 2) != moves ||
			moves && move.Why != "the receiver refuses generation 1, and a probe shows that it accepts generation 2" {
			t.Errorf("%s: presents %d, %+v", s, r.Presents, move)
		}
		if r, _, err := needs.Choose(2, at(310)); err != nil || r.Presents != 2 {
			t.Errorf("%s: a person cannot choose it: %v", s, err)
		}
		for what, without := range map[string]Rollover{
			"the old one is accepted": noticed.sees(1, Accepted, Traffic, 302).sees(2, Accepted, Probe, 303),
			"both are refused":        noticed.sees(1, Refused, Traffic, 302).sees(2, Refused, Probe, 303),
			"the new one is unknown":  noticed.sees(1, Refused, Traffic, 302),
			"the old one is reported": needs.sees(1, Accepted, Person, 304),
		} {
			if _, _, err := without.Choose(2, at(310)); !errors.Is(err, tenancy.ErrRefused) {
				t.Errorf("%s, %s: it is chosen before the notice has passed", s, what)
			}
			if r, move := without.At(at(310)); move != nil {
				t.Errorf("%s, %s: presents %d", s, what, r.Presents)
			}
		}
	}
}

func TestAPersonChoosesWithinTheRules(t *testing.T) {
	r, move, err := renewed(tenancy.Manual).Choose(2, at(310))
	if err != nil || r.Presents != 2 || move.From != 1 {
		t.Fatalf("%+v %+v %v", r, move, err)
	}
	if back, _, err := r.Choose(1, at(320)); err != nil || back.Presents != 1 {
		t.Errorf("back: %+v %v", back, err)
	}
	for _, bad := range []struct {
		number int
		day    float64
	}{{3, 310}, {1, 363}, {1, 400}} {
		if _, _, err := r.Choose(bad.number, at(bad.day)); !errors.Is(err, tenancy.ErrRefused) {
			t.Errorf("generation %d on day %v: %v", bad.number, bad.day, err)
		}
	}
}

func TestEvidenceThatArrivesLateChangesNothing(t *testing.T) {
	r := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 310)
	if late := r.sees(2, Refused, Traffic, 309); late.verdict(2) != Accepted {
		t.Error("older evidence won")
	}
	if got := r.sees(7, Accepted, Traffic, 311); len(got.Generations) != 2 {
		t.Error("a generation appeared from nowhere")
	}
	proved := renewed(tenancy.Confirmed).sees(2, Accepted, Probe, 305).sees(2, Accepted, Traffic, 306)
	if proved, _ = proved.At(at(307)); proved.Presents != 2 {
		t.Error("traffic took away what a probe had proved")
	}
}

func TestARolloverThatIsProvedSettlesWhenItsQuietTimeEnds(t *testing.T) {
	r := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305)
	if until := r.QuietUntil(); !until.IsZero() {
		t.Errorf("before the cut-over the quiet time ends on %s", until)
	}
	r, _ = r.At(at(306))
	r = r.sees(2, Accepted, Traffic, 307)
	until := r.QuietUntil()
	if !until.Equal(at(306).Add(Quiet)) {
		t.Errorf("the quiet time ends on %s", until)
	}
	if before, then := r.State(until.Add(-time.Second)), r.State(until); before != CutOver || then != Settled {
		t.Errorf("%s before its end, and %s then", before, then)
	}
}
