package rollover

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// The exploration visits every state that a roll-over can reach over two renewals. It is harsher than the world:
// evidence may be false, about any generation, of any kind, at any moment, which covers every receiver that changes
// what it accepts, every message that is reported late, twice or never, and every crash between a message and its
// report; the clock may pass any number of ticks unseen; certificates are renewed in time, early or twice, and revoked;
// notice was given in time or not.
//
// Certificates live for 112 days and are renewed when 56 are left, or early when 84 are. Instants are every 28 days,
// and the day before each of them, which is inside the margin of a certificate that expires then.
const (
	lifetime = 112 * aDay
	stride   = 28 * aDay
	strides  = 8
)

func instant(i int) time.Time {
	return epoch.Add(time.Duration((i+1)/2)*stride - time.Duration(i%2)*aDay)
}

// A node is a state of the exploration. It does not contain the receiver, because every set of generations that a
// receiver could accept is checked in every state.
type node struct {
	r       Rollover
	instant int
}

func (n node) now() time.Time { return instant(n.instant) }

// A key identifies a state by everything that decisions depend on. Unusable generations count by their number alone,
// and instants by the times that they are compared with.
type key struct {
	generations       [3]generationKey
	instant, presents int
	// Of the newest one.
	since              time.Duration
	unpresented, quiet bool
}

// A generationKey has no gaps between its fields, so that hashing it is fast.
type generationKey struct {
	notAfter           int64
	notice             time.Duration
	number, verdict    byte // a verdict is its initial
	valid, revoked     bool
	claimed, confirmed bool
	doubted, present   bool
}

func (n node) key() key {
	now, r := n.now(), n.r
	k := key{instant: n.instant, presents: r.Presents}
	newest := r.newest()
	since := newest.PresentedAt
	if r.NeededOldAt.After(since) {
		since = r.NeededOldAt
	}
	k.unpresented, k.since, k.quiet = newest.PresentedAt.IsZero(), min(now.Sub(since), Quiet),
		!newest.VerdictAt.Before(since)
	for i, g := range r.Generations {
		v := generationKey{present: true, number: byte(g.Number)}
		if valid(g, now) {
			v.valid, v.notAfter, v.notice = true, g.NotAfter.Unix(), max(0, g.NoticedUntil.Sub(now))
			v.verdict, v.claimed, v.doubted = (g.Verdict + " ")[0], g.claimed(), g.doubted()
			_, v.confirmed = g.confirmation()
		} else {
			v.revoked = g.Revoked
		}
		k.generations[i] = v
	}
	return k
}

// profiles are the states of the evidence about one generation that decisions tell apart, as [Rollover.Observe] can
// leave them. Each can follow each other one.
var profiles = []func(*Generation, time.Time){
	func(g *Generation, now time.Time) { g.become(Accepted, Accepted, Traffic, now) },
	func(g *Generation, now time.Time) { g.become(Accepted, Unknown, Probe, now) },
	func(g *Generation, now time.Time) { g.become(Refused, Refused, Traffic, now) },
	func(g *Generation, now time.Time) { g.become(Unclear, Refused, Traffic, now) }, // contradictions
	func(g *Generation, now time.Time) { g.become(Unclear, Unclear, Traffic, now) }, // a doubt
	func(g *Generation, now time.Time) { // a claim that a question leaves open
		g.become(Unclear, Unknown, Probe, now)
		g.ClaimedAt, g.ClaimedBy = now, Person
	},
	func(g *Generation, now time.Time) { // a claim after a refusal
		g.become(Refused, Refused, Traffic, now.Add(-time.Hour))
		g.ClaimedAt, g.ClaimedBy = now, Person
	},
}

func (g *Generation) become(v, latest Verdict, by Source, at time.Time) {
	g.Verdict, g.Latest, g.By, g.VerdictAt = v, latest, by, at
	g.ClaimedAt, g.ClaimedBy = time.Time{}, ""
}

// next calls visit with each state that one step leads to. The generations of such a state are overwritten by the next
// one. It calls moved for each step that presents another generation.
func (n node) next(visit func(node), moved func(before node, after Rollover, m *Move)) {
	now := n.now()
	add := func(r Rollover) { visit(node{r, n.instant}) }
	scratch := make([]Generation, 0, 4)
	with := func(r Rollover, more ...Generation) Rollover {
		r.Generations = append(append(scratch[:0], n.r.Generations...), more...)
		return r
	}
	newest := n.r.newest()
	age := now.Sub(newest.NotBefore)
	mustRenew := newest.NotAfter.Sub(now) <= 56*aDay
	if len(n.r.Generations) < 3 && newest.Number < 3 && (mustRenew || age == stride) {
		for _, notice := range []time.Duration{0, 28 * aDay} {
			r := with(n.r, Generation{Number: newest.Number + 1, NotBefore: now, NotAfter: now.Add(lifetime),
				NoticedUntil: now.Add(notice)})
			add(r)
			r.Generations[len(r.Generations)-2].Revoked = true // lost or compromised: revoked with its renewal
			add(r)
		}
	}
	if r, move := n.r.At(now); move != nil {
		moved(n, r, move)
		add(r)
	}
	for i, g := range n.r.Generations {
		if r, move, err := n.r.Choose(g.Number, now); err == nil && move != nil {
			moved(n, r, move)
			add(r)
		}
		for _, evidence := range profiles {
			r := with(n.r)
			evidence(&r.Generations[i], now)
			add(r)
			if g.Number != newest.Number && r.verdict(g.Number) == Accepted && newest.Verdict == Refused {
				r.NeededOldAt = now
				add(r)
			}
		}
	}
	if len(n.r.Generations) > 1 {
		oldest := n.r.Generations[0]
		if n.r.State(now) == Settled || !valid(oldest, now) { // retired
			r := n.r
			r.Generations = r.Generations[1:]
			add(r)
		}
	}
	if n.instant < 2*strides && (!mustRenew || newest.Number == 3) {
		visit(node{n.r, n.instant + 1})
	}
}

// valid and aboutToExpire are independent of the code under test.
func valid(g Generation, now time.Time) bool { return now.Before(g.NotAfter) && !g.Revoked }

func aboutToExpire(g Generation, now time.Time) bool { return g.NotAfter.Sub(now) <= 3*aDay }

// broken returns the invariant that does not hold in a state, or "".
func (n node) broken() string {
	now, order := n.now(), n.r.Order(n.now())
	var usable []int
	for _, g := range n.r.Generations {
		if valid(g, now) {
			usable = append(usable, g.Number)
		}
	}
	if len(usable) == 0 {
		return ""
	}
	// 1. Delivery: every generation that the receiver may accept is tried.
	for _, accepted := range usable {
		if n.r.Strategy != tenancy.Immediate && !slices.Contains(order, accepted) {
			return fmt.Sprintf("delivery: the receiver accepts only generation %d, but %v are tried", accepted, order)
		}
	}
	// 3. Never expired, never revoked.
	for _, tried := range order {
		if !slices.Contains(usable, tried) {
			return fmt.Sprintf("never expired: generation %d is tried, but %v are usable", tried, usable)
		}
	}
	r, _ := n.r.At(now)
	presented, _ := r.Generation(r.Presents)
	if !slices.Contains(usable, r.Presents) || aboutToExpire(presented, now) && r.Presents != usable[len(usable)-1] {
		return fmt.Sprintf("never expired: generation %d is presented, but %v are usable", r.Presents, usable)
	}
	if again, move := r.At(now); move != nil {
		return fmt.Sprintf("moved twice in one instant: to %d and to %d", r.Presents, again.Presents)
	}
	return ""
}

// surprising returns the violation of invariant 2 by a move, or "". A move violates it by presenting a generation
// before its notice has passed, although the previous one could stay: it is valid and lasts, and the receiver does not
// refuse it while it accepts the new one.
func surprising(before node, m *Move) string {
	now := before.now()
	from, _ := before.r.Generation(m.From)
	to, _ := before.r.Generation(m.To)
	needed := from.Verdict == Refused && to.Verdict == Accepted
	if m.To > m.From && now.Before(to.NoticedUntil) && valid(from, now) && !aboutToExpire(from, now) && !needed {
		return fmt.Sprintf("no surprise: generation %d is presented on %s (%s), but the notice ends on %s", m.To, day(now),
			m.Why, day(to.NoticedUntil))
	}
	return ""
}

// explore visits every reachable state. It returns their number, and the first broken invariant, or "".
func explore(r Rollover) (states int, broken string) {
	r.Presents = 1
	r.Generations = []Generation{{Number: 1, NotBefore: epoch, NotAfter: epoch.Add(lifetime), PresentedAt: epoch}}
	start := node{r: r}
	seen := map[key]bool{start.key(): true}
	frontier := []node{start}
	for len(frontier) > 0 && broken == "" {
		n := frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		if broken = n.broken(); broken != "" {
			return len(seen), fmt.Sprintf("%s\n%+v", broken, n)
		}
		n.next(func(m node) {
			if k := m.key(); !seen[k] {
				seen[k] = true
				m.r.Generations = slices.Clone(m.r.Generations)
				frontier = append(frontier, m)
			}
		}, func(before node, _ Rollover, move *Move) {
			if wrong := surprising(before, move); wrong != "" {
				broken = fmt.Sprintf("%s\n%+v", wrong, before)
			}
		})
	}
	return len(seen), broken
}

func TestInvariantsHoldInEveryReachableState(t *testing.T) {
	for name, r := range map[string]Rollover{
		"immediate": {Strategy: tenancy.Immediate}, "confirmed": {Strategy: tenancy.Confirmed},
		"adaptive": {Strategy: tenancy.Adaptive}, "manual": {Strategy: tenancy.Manual},
		"a receiver that asks for no certificate": {Strategy: tenancy.Adaptive, UnaskedAt: epoch},
		"a receiver that takes the newest only":   {Strategy: tenancy.Adaptive, NewestOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, broken := explore(r)
			if broken != "" {
				t.Error(broken)
			}
			t.Logf("%d states", states)
		})
	}
}

// A mutant is the state machine with one condition removed. The exploration must find a broken invariant in each.
func TestTheExplorationNoticesAMissingCondition(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package for each mutant")
	}
	const everywhere, newestOnly = "TestInvariantsHoldInEveryReachableState",
		"TestAReceiverThatTakesTheNewestOnlyIsNeverLockedByAQuestion"
	for _, mutant := range []struct{ name, condition, without, broken, noticedBy string }{
		{"tries expired generations", "return !g.Revoked && now.Before(g.NotAfter)", "return !g.Revoked", "never expired",
			everywhere},
		{"tries revoked generations", "return !g.Revoked && now.Before(g.NotAfter)", "return now.Before(g.NotAfter)",
			"never expired", everywhere},
		{"never falls back", "if r.Strategy == tenancy.Immediate {\n\t\treturn []int{first}",
			"if true {\n\t\treturn []int{first}", "delivery", everywhere},
		{"forgets the margin", "case presented.ending(now) && ", "case false && ", "never expired", everywhere},
		{"forgets the notice", "if now.Before(g.NoticedUntil) && !", "if false && !", "no surprise", everywhere},
		{"asks a receiver that takes the newest only", "return !r.NewestOnly || number <= r.Presents", "return true",
			"asking is free", newestOnly},
	} {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			name, source := sourceOf(t, mutant.condition)
			path, err := filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(source, mutant.condition) != 1 {
				t.Fatalf("the package does not contain the condition %q exactly once: update this table", mutant.condition)
			}
			dir := t.TempDir()
			changed, overlay := filepath.Join(dir, name), filepath.Join(dir, "overlay.json")
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{changed: []byte(strings.Replace(source, mutant.condition,
				mutant.without, 1)), overlay: replace} {
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run", "^"+mutant.noticedBy+"$/^adaptive$",
				".").CombinedOutput()
			if err == nil || !strings.Contains(string(out), mutant.broken+":") {
				t.Errorf("the exploration found no broken invariant (%v):\n%s", err, out)
			}
		})
	}
}

// sourceOf returns the file of the package that contains a condition.
func sourceOf(t *testing.T, condition string) (name, source string) {
	for _, name := range []string{"rollover.go", "evidence.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), condition) {
			return name, string(source)
		}
	}
	return "", ""
}
