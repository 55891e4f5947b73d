package rollover

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func revoked(g *Generation) { g.Revoked = true }

// retired removes generation 1 from the roll-over, as its retirement does.
func retired(r Rollover) Rollover {
	r.Generations = slices.Clone(r.Generations[1:])
	return r
}

func TestAMoveNamesItsReason(t *testing.T) {
	for _, c := range []struct {
		rollover Rollover
		day      float64
		forced   bool
		want     string
	}{
		{renewed(tenancy.Immediate), 310, false, "generation 2 exists, and the strategy is immediate"},
		{renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305), 310, false,
			"traffic shows that the receiver accepts generation 2"},
		{renewed(tenancy.Adaptive).sees(2, Accepted, Probe, 305), 310, false,
			"a probe shows that the receiver accepts generation 2"},
		{renewed(tenancy.Confirmed).sees(2, Accepted, Probe, 305), 310, false,
			"a probe shows that the receiver accepts generation 2"},
		{renewed(tenancy.Confirmed).sees(2, Accepted, Person, 305), 310, false,
			"a person reports that the receiver accepts generation 2"},
		{renewed(tenancy.Manual).with(1, revoked), 310, true, "generation 1 was revoked"},
		{renewed(tenancy.Manual), 365, false, "generation 1 expired on 2027-01-01"},
		{renewed(tenancy.Manual), 362, false, "generation 1 expires on 2027-01-01"},
		{retired(renewed(tenancy.Manual)), 310, false, "generation 1 is no longer in use"},
	} {
		r, move := c.rollover.At(at(c.day))
		if move == nil || move.From != 1 || move.To != 2 || move.Why != c.want || move.Forced != c.forced || r.Presents != 2 {
			t.Errorf("%s, day %v: %+v, want %q", c.rollover.Strategy, c.day, move, c.want)
			continue
		}
		if g, _ := r.Generation(2); !g.PresentedAt.Equal(at(c.day)) {
			t.Errorf("%s: presented at %s", c.want, g.PresentedAt)
		}
		if g, known := c.rollover.Generation(2); !known || !g.PresentedAt.IsZero() || c.rollover.Presents != 1 {
			t.Errorf("%s: the roll-over before the move was changed in place", c.want)
		}
	}
	cutOver, _ := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305).At(at(306))
	r, move := cutOver.sees(1, Accepted, Traffic, 307).sees(2, Refused, Traffic, 307).At(at(308))
	want := "the receiver refuses generation 2, and traffic shows that it accepts generation 1"
	if move == nil || move.Why != want || r.Presents != 1 {
		t.Errorf("%+v, want %q", move, want)
	}
}

func TestAChoiceThatIsRefusedNamesItsReason(t *testing.T) {
	noticed := renewed(tenancy.Manual).with(2, func(g *Generation) { g.NoticedUntil = at(328) })
	cutOver, _, err := renewed(tenancy.Manual).Choose(2, at(310))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rollover Rollover
		number   int
		day      float64
		want     string // of the error; empty if the generation is presented
	}{
		{renewed(tenancy.Manual), 3, 310, "generation 3 does not exist or is retired: usable generations: 1, 2"},
		{renewed(tenancy.Manual).with(1, revoked), 3, 310, "is retired: usable generations: 2"},
		{renewed(tenancy.Manual).with(2, revoked), 2, 310, "generation 2 is expired or revoked"},
		{cutOver, 1, 365, "generation 1 is expired or revoked"},
		{cutOver, 1, 362, "generation 1 expires on 2027-01-01, too soon to go back to it; it is tried anyway if the " +
			"receiver refuses generation 2"},
		{cutOver, 1, 361.9, ""},
		{noticed, 2, 327.9, "the key users were notified of generation 2 too recently: it can be presented from " +
			"2026-11-25 00:00 UTC on; it is tried anyway if the receiver refuses generation 1"},
		{noticed, 2, 328, ""},
		{noticed.with(1, revoked), 2, 310, ""}, // need overrides the notice
		{noticed.with(1, func(g *Generation) { g.NotAfter = at(312) }), 2, 310, ""},
		{cutOver.with(2, func(g *Generation) { g.NoticedUntil = at(328) }).with(2, revoked), 1, 311, ""},
	} {
		r, move, err := c.rollover.Choose(c.number, at(c.day))
		if c.want == "" {
			if err != nil || move == nil || move.From != c.rollover.Presents || move.To != c.number || move.Forced ||
				r.Presents != c.number || move.Why != "selected by a person" {
				t.Errorf("generation %d on day %v: %+v, %v", c.number, c.day, move, err)
			}
			continue
		}
		if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), c.want) || move != nil {
			t.Errorf("generation %d on day %v: %v, want %q", c.number, c.day, err, c.want)
		}
		if r.Presents != c.rollover.Presents {
			t.Errorf("generation %d on day %v: refused and presented", c.number, c.day)
		}
	}
	// The presented generation can be chosen in any state, which changes nothing.
	for day, r := range map[float64]Rollover{310: renewed(tenancy.Manual), 364: renewed(tenancy.Manual),
		311: cutOver.with(2, func(g *Generation) { g.NoticedUntil = at(328) }),
		312: renewed(tenancy.Manual).with(1, revoked)} {
		same, move, err := r.Choose(r.Presents, at(day))
		if err != nil || move != nil || same.Presents != r.Presents || len(same.Generations) != 2 {
			t.Errorf("day %v: %+v, %v", day, move, err)
		}
	}
}

func TestALongLivedGenerationIsLeftThreeDaysBeforeItsExpiryAndAShortLivedOneATenth(t *testing.T) {
	for lifetime, margin := range map[time.Duration]time.Duration{365 * aDay: 3 * aDay, 30 * aDay: 3 * aDay,
		20 * aDay: 2 * aDay, 10 * time.Hour: time.Hour} {
		g := Generation{Number: 1, NotBefore: at(0), NotAfter: at(0).Add(lifetime)}
		leave := at(0).Add(lifetime - margin)
		if got := g.LeaveAt(); !got.Equal(leave) {
			t.Errorf("a lifetime of %s: left %s before its expiry, want %s", lifetime, g.NotAfter.Sub(got), margin)
		}
		if g.ending(leave.Add(-1)) || !g.ending(leave) {
			t.Errorf("a lifetime of %s: the bound is not %s", lifetime, leave)
		}
	}
}

func TestANeedForTheOldGenerationIsRecordedOnlyIfTheNewestIsRefused(t *testing.T) {
	cutOver, _ := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305).At(at(305))
	refused := cutOver.sees(2, Refused, Traffic, 310)
	for _, c := range []struct {
		name     string
		rollover Rollover
		want     time.Time
	}{
		{"the old one is accepted", refused.sees(1, Accepted, Traffic, 311), at(311)},
		{"the old one is refused", refused.sees(1, Refused, Traffic, 311), time.Time{}},
		{"a probe finds that the old one is accepted", refused.sees(1, Accepted, Probe, 311), time.Time{}},
		{"a person reports it", refused.sees(1, Accepted, Person, 311), time.Time{}},
		{"the newest is accepted", refused.sees(2, Accepted, Traffic, 311), time.Time{}},
		{"the old one is accepted, and the newest too", cutOver.sees(1, Accepted, Traffic, 311), time.Time{}},
		{"the old one is accepted, and nothing is known of the newest",
			renewed(tenancy.Adaptive).sees(1, Accepted, Traffic, 311), time.Time{}},
	} {
		if got := c.rollover.NeededOldAt; !got.Equal(c.want) {
			t.Errorf("%s: the old one was needed at %s, want %s", c.name, got, c.want)
		}
	}
}

func TestARollOverSettlesAfterFourQuietWeeks(t *testing.T) {
	cutOver, _ := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305).At(at(306))
	needed := cutOver.sees(2, Refused, Traffic, 310).sees(1, Accepted, Traffic, 310)
	for _, c := range []struct {
		name     string
		rollover Rollover
		settles  float64 // the day
	}{
		{"accepted after the cut-over", cutOver.sees(2, Accepted, Traffic, 307), 306 + 28},
		{"accepted at the cut-over", cutOver.sees(2, Accepted, Traffic, 306), 306 + 28},
		{"accepted before the cut-over only", cutOver, 365}, // the old one expires
		{"the old one was needed", needed.sees(2, Accepted, Traffic, 312), 310 + 28},
		{"the old one was needed, and the new one is not accepted", needed, 365},
	} {
		settled, before := at(c.settles), at(c.settles).Add(-1)
		if got := c.rollover.State(before); got == Settled {
			t.Errorf("%s: settled before day %v", c.name, c.settles)
		}
		if got := c.rollover.State(settled); got != Settled {
			t.Errorf("%s: %s on day %v", c.name, got, c.settles)
		}
	}
}

func TestAWeakerKindOfEvidenceNeverOverrulesAStrongerOne(t *testing.T) {
	refused := renewed(tenancy.Adaptive).sees(2, Refused, Traffic, 310)
	for _, c := range []struct {
		name     string
		rollover Rollover
		want     Verdict
	}{
		{"a probe within a day", refused.sees(2, Accepted, Probe, 310.99), Refused},
		{"a probe after a day", refused.sees(2, Accepted, Probe, 311), Unclear},
		{"two probes that contradict each other", refused.sees(2, Accepted, Probe, 311).sees(2, Refused, Probe, 312),
			Refused},
		{"a person", refused.sees(2, Accepted, Person, 320), Refused},
		{"traffic within a day", refused.sees(2, Accepted, Traffic, 310.5), Accepted},
		{"a probe after a refused probe", renewed(tenancy.Adaptive).sees(2, Refused, Probe, 310).sees(2, Accepted, Probe,
			310.5), Accepted},
		{"a refused probe within a day", renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 310).sees(2, Refused, Probe,
			310.5), Accepted},
		{"a refused probe after a day", renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 310).sees(2, Refused, Probe,
			311), Unclear},
		{"a question that proves nothing", renewed(tenancy.Adaptive).sees(2, Accepted, Probe, 310).sees(2, Unclear, Probe,
			315), Accepted},
		{"at the same instant", refused.sees(2, Accepted, Traffic, 310), Accepted},
	} {
		if got := c.rollover.verdict(2); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := refused.verdict(1); got != Unknown {
		t.Errorf("generation 1 is %q after evidence about generation 2", got)
	}
}

func TestTheBestGenerationIsAnAcceptedOneElseAnUnknownOne(t *testing.T) {
	third := renewed(tenancy.Manual)
	third.Generations = append(third.Generations, Generation{Number: 3, NotBefore: at(300), NotAfter: at(665)})
	third = third.with(1, revoked)
	for _, c := range []struct {
		name     string
		rollover Rollover
		want     int
	}{
		{"nothing is known", third, 3},
		{"the newest is refused", third.sees(3, Refused, Probe, 305), 2},
		{"an older one is accepted", third.sees(2, Accepted, Probe, 305), 2},
		{"both are accepted", third.sees(2, Accepted, Probe, 305).sees(3, Accepted, Probe, 305), 3},
		{"both are refused", third.sees(2, Refused, Probe, 305).sees(3, Refused, Probe, 305), 3},
	} {
		if r, _ := c.rollover.At(at(310)); r.Presents != c.want {
			t.Errorf("%s: presents %d, want %d", c.name, r.Presents, c.want)
		}
		if got := c.rollover.Order(at(310)); len(got) != 2 || got[0] != c.want {
			t.Errorf("%s: tries %v, want %d first", c.name, got, c.want)
		}
	}
}

func TestARefusedGenerationIsPresentedIfNoOtherIsAccepted(t *testing.T) {
	r := renewed(tenancy.Adaptive).sees(1, Refused, Traffic, 305)
	if got := r.Order(at(310)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("tries %v", got)
	}
	if r, move := r.At(at(310)); move != nil {
		t.Errorf("presents %d", r.Presents)
	}
	// The strategy immediate stays with what it presents, also if another one is accepted.
	immediate, _ := renewed(tenancy.Immediate).At(at(301))
	immediate = immediate.sees(2, Refused, Traffic, 305).sees(1, Accepted, Probe, 305)
	if got := immediate.Order(at(310)); !slices.Equal(got, []int{2}) {
		t.Errorf("immediate tries %v", got)
	}
	if got := renewed(tenancy.Adaptive).with(1, revoked).with(2, revoked).Order(at(310)); got != nil {
		t.Errorf("everything is revoked, and %v are tried", got)
	}
	if got := renewed(tenancy.Adaptive).with(2, revoked).Order(at(700)); !slices.Equal(got, []int{1}) {
		t.Errorf("one is revoked, the other one has expired, and %v are tried", got)
	}
	if _, move := renewed(tenancy.Adaptive).At(at(700)); move != nil {
		t.Errorf("everything has expired: %+v", move)
	}
}

// Nothing changes without evidence before the instant that Next returns. Every instant at which something does change
// is found by a walk in steps of an hour.
func TestNothingChangesBeforeTheNextInstant(t *testing.T) {
	cutOver, _ := renewed(tenancy.Adaptive).sees(2, Accepted, Traffic, 305).At(at(306))
	checked := 0
	for name, start := range map[string]Rollover{
		"renewed":  renewed(tenancy.Immediate).with(2, func(g *Generation) { g.NoticedUntil = at(328) }),
		"cut over": cutOver.sees(2, Accepted, Traffic, 307),
		"manual":   renewed(tenancy.Manual),
	} {
		r, now := start, at(307)
		for next := r.Next(now); !next.IsZero(); next = r.Next(now) {
			if !next.After(now) {
				t.Fatalf("%s: the next instant after %s is %s", name, now, next)
			}
			for hour := now; hour.Before(next); hour = hour.Add(time.Hour) {
				same, move := r.At(hour)
				if hour != now && (move != nil || same.State(hour) != r.State(now) || !slices.Equal(r.Order(hour), r.Order(now))) {
					t.Fatalf("%s: something changes at %s, and the next instant is %s", name, hour, next)
				}
				r = same
			}
			now = next
			r, _ = r.At(now)
			checked++
		}
		if now.Before(at(665)) {
			t.Errorf("%s: no instant after %s, and generation 2 expires at %s", name, now, at(665))
		}
	}
	if checked < 9 {
		t.Errorf("%d instants were checked", checked)
	}
	if got := renewed(tenancy.Manual).Next(at(307)); !got.Equal(at(362)) {
		t.Errorf("the next instant is %s, want the margin of generation 1", got)
	}
	if got := cutOver.Next(at(307)); !got.Equal(at(306 + 28)) {
		t.Errorf("the next instant is %s, want four weeks after the cut-over", got)
	}
}

func TestAnUnknownGenerationIsNotFound(t *testing.T) {
	if g, known := renewed(tenancy.Manual).Generation(3); known || g.Number != 0 {
		t.Errorf("%+v, %v", g, known)
	}
	if g, known := renewed(tenancy.Manual).Generation(2); !known || g.Number != 2 {
		t.Errorf("%+v, %v", g, known)
	}
}
