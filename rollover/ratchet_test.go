package rollover

import (
	"fmt"
	"slices"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// A ratchet is a receiver that accepts a certificate only if it is not older than the last one that it accepted. Being
// asked is a write there. Unlike the other exploration, this one has the receiver in its state, and evidence is true.
type ratchet struct {
	node
	last int // the newest generation that it accepted
}

// answers returns the receiver's answer to a generation, and the receiver after it.
func (n ratchet) answers(number int) (ratchet, Verdict) {
	if g, _ := n.r.Generation(number); number < n.last || !valid(g, n.now()) {
		return n, Refused
	}
	n.last = number
	return n, Accepted
}

// asked returns the state after a question, and the violation of "asking is free".
func (n ratchet) asked(number int) (after ratchet, broken string) {
	after, verdict := n.answers(number)
	if after.last != n.last && after.last > n.r.Presents {
		return after, fmt.Sprintf("asking is free: a question with generation %d locks out generation %d, which messages "+
			"present", number, n.r.Presents)
	}
	after.r = after.r.Observe(Evidence{Generation: number, Verdict: verdict, By: Probe, At: n.now()})
	return after, ""
}

// sent returns the state after a message whose attempts are reported.
func (n ratchet) sent() (after ratchet, broken string) {
	after = n
	for _, number := range n.r.Order(n.now()) {
		var verdict Verdict
		after, verdict = after.answers(number)
		after.r = after.r.Observe(Evidence{Generation: number, Verdict: verdict, By: Traffic, At: n.now()})
		if verdict == Accepted {
			return after, ""
		}
	}
	for _, g := range n.r.Generations {
		if g.Number >= n.last && valid(g, n.now()) {
			return after, fmt.Sprintf("delivery: the receiver accepts generation %d, but only %v are tried", g.Number,
				n.r.Order(n.now()))
		}
	}
	return after, ""
}

func (n ratchet) next() (all []ratchet, broken string) {
	now := n.now()
	step := func(m ratchet, wrong string) {
		all = append(all, m)
		if broken == "" && wrong != "" {
			broken = wrong
		}
	}
	for _, g := range n.r.Generations {
		if n.r.MayAsk(g.Number) {
			step(n.asked(g.Number))
		}
	}
	sent, wrong := n.sent()
	step(sent, wrong)
	step(ratchet{node{n.r, n.instant}, sent.last}, "") // its report is lost
	if r, move := n.r.At(now); move != nil {
		if move.To < move.From && sent.last >= move.From {
			wrong = fmt.Sprintf("never back: generation %d is presented, and %d was accepted", move.To, sent.last)
		}
		step(ratchet{node{r, n.instant}, n.last}, wrong)
	}
	newest := n.r.newest()
	if len(n.r.Generations) < 3 && newest.Number < 4 && newest.NotAfter.Sub(now) <= 56*aDay {
		r := n.r
		r.Generations = append(slices.Clone(r.Generations), Generation{Number: newest.Number + 1, NotBefore: now,
			NotAfter: now.Add(lifetime), NoticedUntil: now.Add(28 * aDay)})
		return append(all, ratchet{node{r, n.instant}, n.last}), broken
	}
	if oldest := n.r.Generations[0]; len(n.r.Generations) > 1 && !valid(oldest, now) {
		r := n.r
		r.Generations = slices.Clone(r.Generations[1:])
		step(ratchet{node{r, n.instant}, n.last}, "")
	}
	if n.instant < 3*strides {
		step(ratchet{node{n.r, n.instant + 1}, n.last}, "")
	}
	return all, broken
}

func TestAReceiverThatTakesTheNewestOnlyIsNeverLockedByAQuestion(t *testing.T) {
	type state struct {
		key
		last int
	}
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		start := ratchet{node{r: Rollover{Strategy: s, NewestOnly: true, Presents: 1, Generations: []Generation{{Number: 1,
			NotBefore: epoch, NotAfter: epoch.Add(lifetime), PresentedAt: epoch}}}}, 1}
		seen := map[state]bool{}
		for frontier := []ratchet{start}; len(frontier) > 0; {
			n := frontier[len(frontier)-1]
			frontier = frontier[:len(frontier)-1]
			after, broken := n.next()
			if broken != "" {
				t.Fatalf("%s: %s\n%+v", s, broken, n)
			}
			for _, m := range after {
				if k := (state{m.key(), m.last}); !seen[k] {
					seen[k] = true
					frontier = append(frontier, m)
				}
			}
		}
		if len(seen) < 50 {
			t.Errorf("%s: only %d states", s, len(seen))
		}
		t.Logf("%s: %d states", s, len(seen))
	}
}

func TestAReceiverThatTookANewerGenerationIsNotSentBack(t *testing.T) {
	newestOnly := renewed(tenancy.Adaptive).sees(1, Accepted, Traffic, 301)
	newestOnly.NewestOnly = true
	if newestOnly.MayAsk(2) || !newestOnly.MayAsk(1) {
		t.Error("a question may present a generation that messages do not present")
	}
	took := newestOnly.sees(2, Accepted, Traffic, 305)
	took, _ = took.At(at(305))
	if g, _ := took.Generation(1); g.Verdict != Refused || g.By != Traffic || !g.VerdictAt.Equal(at(305)) {
		t.Errorf("generation 1 after generation 2 was accepted: %+v", g)
	}
	if _, _, err := took.Choose(1, at(306)); err == nil {
		t.Error("an older generation can be selected")
	}
	if later := took.sees(1, Accepted, Person, 307); later.Generations[0].claimed() && later.Presents != 2 {
		t.Errorf("%+v", later)
	}
	if late := newestOnly.sees(1, Accepted, Traffic, 310).sees(2, Accepted, Traffic, 305); late.verdict(1) != Accepted {
		t.Error("a report that arrives late overrules a newer one")
	}
	other := renewed(tenancy.Adaptive).sees(1, Accepted, Traffic, 301).sees(2, Accepted, Traffic, 305)
	if other.verdict(1) != Accepted || !other.MayAsk(2) {
		t.Error("other receivers are not asked, or counted as locked")
	}
}

// Of two nodes, one accepts only generation 1 and the other one only generation 2. Messages reach one after the other.
func TestMessagesThatContradictEachOtherMakeAVerdictUnclear(t *testing.T) {
	minutes := func(n int) float64 { return 305 + float64(n)/24/60 }
	r := renewed(tenancy.Adaptive).sees(1, Accepted, Traffic, 305)
	moves := 0
	for i := 1; i <= 20; i++ {
		for _, tried := range r.Order(at(minutes(i))) {
			if tried == i%2+1 {
				r = r.sees(tried, Accepted, Traffic, minutes(i))
				break
			}
			r = r.sees(tried, Refused, Traffic, minutes(i))
		}
		var move *Move
		if r, move = r.At(at(minutes(i))); move != nil {
			moves++
		}
	}
	if r.verdict(1) != Unclear || r.verdict(2) != Unclear || moves > 3 {
		t.Errorf("after 20 messages: generation 1 is %q, 2 is %q, and the arrangement moved %d times", r.verdict(1),
			r.verdict(2), moves)
	}
	if order := r.Order(at(minutes(21))); r.Generations[order[0]-1].Latest != Accepted {
		t.Errorf("messages begin with generation %d, which was refused last", order[0])
	}
	n := r.Presents // the one that meets both nodes
	latest := r.Generations[n-1].Latest
	for name, c := range map[string]struct {
		rollover Rollover
		want     Verdict
	}{
		"a message within an hour":         {r.sees(n, latest, Traffic, minutes(75)), Unclear},
		"a message after an hour":          {r.sees(n, latest, Traffic, minutes(81)), latest},
		"an accepted probe within an hour": {r.sees(n, Accepted, Probe, minutes(75)), Unclear},
		"a refused probe within an hour":   {r.sees(n, Refused, Probe, minutes(75)), Unclear},
	} {
		if got := c.rollover.verdict(n); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAClaimIsTriedAndProvesNothing(t *testing.T) {
	claimed := renewed(tenancy.Adaptive).sees(1, Accepted, Traffic, 301).sees(2, Accepted, Person, 305)
	if got, state := claimed.verdict(2), claimed.State(at(306)); got != Unknown || state != Claimed {
		t.Errorf("a claim is %q, %s", got, state)
	}
	r, move := claimed.At(at(305))
	if move == nil || r.Presents != 2 || move.Why != "a person reports that the receiver accepts generation 2" {
		t.Fatalf("a claim is not tried: %+v", move)
	}
	for verdict, why := range map[Verdict]string{
		Refused: "the receiver refuses generation 2, and traffic shows that it accepts generation 1",
		Unclear: "the receiver's answers leave open whether it accepts generation 2, and traffic shows that it accepts " +
			"generation 1"} {
		back, move := r.sees(2, verdict, Traffic, 306).At(at(306))
		if move == nil || back.Presents != 1 || move.Why != why {
			t.Errorf("%s: %+v, want %q", verdict, move, why)
		}
		if _, again := back.At(at(340)); again != nil {
			t.Errorf("%s: the same claim is tried twice: %+v", verdict, again)
		}
		if again, _ := back.sees(2, Accepted, Person, 310).At(at(310)); again.Presents != 2 {
			t.Errorf("%s: a new claim is not tried", verdict)
		}
	}
	if same, _ := r.sees(2, Unclear, Probe, 306).At(at(306)); same.Presents != 2 {
		t.Error("a question that proves nothing ends a claim")
	}
	if back, _ := r.sees(2, Refused, Probe, 306).At(at(306)); back.Presents != 1 {
		t.Error("a claim outweighs a question that proves a refusal")
	}
}

func TestAReceiverThatAsksForNoCertificateSettles(t *testing.T) {
	unasked := Evidence{Generation: 1, By: Traffic, At: at(302), Unasked: true}
	r, move := renewed(tenancy.Adaptive).Observe(unasked).At(at(303))
	if move == nil || r.Presents != 2 || move.Why != "generation 2 exists, and the receiver asks for no certificate" {
		t.Fatalf("%+v", move)
	}
	if r.verdict(1) != Unknown {
		t.Errorf("a message without a certificate proves %q", r.verdict(1))
	}
	if got := r.State(at(303).Add(Quiet)); got != Settled {
		t.Errorf("after four weeks: %s", got)
	}
	if asked := r.sees(2, Refused, Traffic, 310); !asked.UnaskedAt.IsZero() || asked.State(at(303).Add(Quiet)) == Settled {
		t.Error("a refusal leaves the receiver as one that asks for no certificate")
	}
	if same := r.sees(2, Accepted, Person, 310).sees(2, Unclear, Probe, 311); same.UnaskedAt.IsZero() {
		t.Error("a claim or a question that proves nothing makes the receiver one that asks for a certificate")
	}
	if late := r.Observe(Evidence{Generation: 1, Unasked: true, At: at(301)}); !late.UnaskedAt.Equal(at(302)) {
		t.Errorf("late evidence changes the time to %s", late.UnaskedAt)
	}
	if manual, move := renewed(tenancy.Manual).Observe(unasked).At(at(303)); move != nil {
		t.Errorf("manual moves to %d", manual.Presents)
	}
}
