package acceptance

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

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// The explorations have instants every four weeks. Certificates live for 112 days, and are renewed when at most 56 are
// left. They span two renewals of each certificate.
const (
	lifetime = 112 * policy.Day
	stride   = 28 * policy.Day
	renewAt  = 56 * policy.Day
	instants = 12
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func instant(i int) time.Time { return epoch.Add(time.Duration(i) * stride) }

// issued returns the genuine certificate that is issued at an instant.
func issued(i int) Known {
	return Known{Fingerprint: Fingerprint{byte(i + 1)}, NotBefore: instant(i), NotAfter: instant(i).Add(lifetime),
		subject: "acme", key: strength{bits: 256}}
}

// numbers returns the instants at which known certificates were issued.
func numbers(known []Known) (all []int) {
	for _, k := range known {
		all = append(all, int(k.Fingerprint[0])-1)
	}
	return all
}

func newPartner(rule Rule, known ...Known) *partner {
	return &partner{Partner: Partner{Name: "acme", Rule: rule, Known: known, Window: policy.Span{Fixed: renewAt}}}
}

func (p *partner) knows(c Known) bool {
	return slices.ContainsFunc(p.Known, func(k Known) bool { return k.Fingerprint == c.Fingerprint })
}

// judged decides about a certificate whose chain verifies.
func (p *partner) judged(c Known, now time.Time) Decision {
	if p.knows(c) {
		return p.judge(candidate{Known: c}, forKnown, Pinned, now)
	}
	return p.judge(candidate{Known: c}, grounds[p.Rule], accepted[p.Rule], now)
}

// expected is the rule successor in other words: the code for a certificate that was issued at an instant.
func expected(known []int, issued, now int) Code {
	const window, life = int(renewAt / stride), int(lifetime / stride)
	within := func(before, c int) bool { return c >= before+life-window && c <= before+life }
	newest := slices.Max(known)
	switch {
	case issued > now:
		return NotYetValid
	case now > issued+life:
		return Expired
	case slices.Contains(known, issued):
		return Pinned
	case issued < newest:
		return Older
	case within(newest, issued):
		return IsSuccessor
	}
	for _, before := range known {
		if before != newest && within(before, newest) && within(before, issued) {
			return SecondSuccessor
		}
	}
	return OutsideWindow
}

// brokenRule returns the rule that a decision breaks; empty if there is none.
func brokenRule(p *partner, c, now int) string {
	known, d := numbers(p.Known), p.judged(issued(c), instant(now))
	want := expected(known, c, now)
	if accepts := want == Pinned || want == IsSuccessor; d.Code != want || (d.Outcome == Accept) != accepts {
		return fmt.Sprintf("guarded: certificate %d beside %v at %d: %+v, want %s", c, known, now, d, want)
	}
	return ""
}

// exploreRule presents every certificate at every instant, in every order. It returns the number of states, and the
// first broken rule.
func exploreRule(rule Rule) (states int, broken string) {
	type state struct {
		known string
		now   int
	}
	seen := map[state]bool{}
	var visit func(p *partner, now int)
	visit = func(p *partner, now int) {
		s := state{fmt.Sprint(numbers(p.Known)), now}
		if seen[s] || broken != "" {
			return
		}
		seen[s] = true
		for c := range instants {
			if broken == "" {
				broken = brokenRule(p, c, now)
			}
			if !p.knows(issued(c)) && p.judged(issued(c), instant(now)).Outcome == Accept {
				visit(newPartner(rule, append(slices.Clone(p.Known), issued(c))...), now)
			}
		}
		if now+1 < instants {
			visit(p, now+1)
		}
	}
	visit(newPartner(rule, issued(0)), 0)
	return len(seen), broken
}

func TestTheRuleSuccessorHoldsInEveryReachableState(t *testing.T) {
	states, broken := exploreRule(Successor)
	if broken != "" {
		t.Error(broken)
	}
	if states < 50 {
		t.Errorf("only %d states", states)
	}
	t.Logf("%d states", states)
}

// A pair is a sender and a receiver, each with its state machine.
type pair struct {
	sender   rollover.Rollover
	receiver *partner
	now      int
	sent     bool // a message was sent since the last step
	feed     bool // the receiver knows each generation from its issue on
}

func (p pair) key() string {
	return fmt.Sprintf("%+v %v %d %t", p.sender, numbers(p.receiver.Known), p.now, p.sent)
}

// generation returns the certificate of a generation as the receiver sees it.
func (p pair) generation(number int) Known {
	g, _ := p.sender.Generation(number)
	return issued(int(g.NotBefore.Sub(epoch) / stride))
}

// message sends a message as the gateway does. lost is true if the receiver accepts no generation that is tried.
func (p pair) message() (after pair, lost bool) {
	now := instant(p.now)
	for _, number := range p.sender.Order(now) {
		c := p.generation(number)
		evidence := rollover.Evidence{Generation: number, By: rollover.Traffic, At: now, Verdict: rollover.Refused}
		accepted := p.receiver.judged(c, now).Outcome == Accept
		if accepted {
			evidence.Verdict = rollover.Accepted
			if !p.receiver.knows(c) {
				p.receiver = newPartner(p.receiver.Rule, append(slices.Clone(p.receiver.Known), c)...)
			}
		}
		p.sender = p.sender.Observe(evidence)
		if accepted {
			p.sent = true
			return p, false
		}
	}
	p.sent = true
	return p, true
}

// next returns what can happen. Time passes after a message, so that the receiver sees each generation that is used.
func (p pair) next() (all []pair) {
	now, newest := instant(p.now), p.sender.Generations[len(p.sender.Generations)-1]
	with := func(r rollover.Rollover) {
		n := pair{r, p.receiver, p.now, false, p.feed}
		if last := r.Generations[len(r.Generations)-1]; p.feed && last.Number > newest.Number {
			n.receiver = newPartner(p.receiver.Rule, append(slices.Clone(p.receiver.Known), n.generation(last.Number))...)
		}
		all = append(all, n)
	}
	left := newest.NotAfter.Sub(now)
	if left <= renewAt && newest.Number < 3 {
		for _, notice := range []time.Duration{0, stride} {
			r := p.sender
			r.Generations = append(slices.Clone(r.Generations), rollover.Generation{Number: newest.Number + 1, NotBefore: now,
				NotAfter: now.Add(lifetime), NoticedUntil: now.Add(notice)})
			with(r)
			if r.Strategy == tenancy.Immediate {
				r.Presents = newest.Number + 1
				with(r)
			}
		}
	}
	if r, move := p.sender.At(now); move != nil {
		with(r)
	}
	for _, g := range p.sender.Generations {
		if r, move, err := p.sender.Choose(g.Number, now); err == nil && move != nil {
			with(r)
		}
	}
	if len(p.sender.Generations) > 1 && p.sender.State(now) == rollover.Settled {
		r := p.sender
		r.Generations = r.Generations[1:]
		with(r)
	}
	if !p.sent {
		m, _ := p.message()
		all = append(all, m)
	} else if _, due := p.sender.At(now); due == nil && left > stride && p.now+1 < instants {
		all = append(all, pair{p.sender, p.receiver, p.now + 1, false, p.feed})
	}
	return all
}

// explore visits every history of a sender and a receiver. It returns the state in which a message is lost, if any.
func explore(start pair) (lost string, third bool, states int) {
	seen, frontier := map[string]bool{start.key(): true}, []pair{start}
	for len(frontier) > 0 {
		p := frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		if _, failed := p.message(); failed {
			return p.key(), third, len(seen)
		}
		third = third || p.sender.Presents == 3
		for _, n := range p.next() {
			if k := n.key(); !seen[k] {
				seen[k] = true
				frontier = append(frontier, n)
			}
		}
	}
	return "", third, len(seen)
}

func together(rule Rule, strategy tenancy.Strategy, feed bool) pair {
	return pair{sender: rollover.Rollover{Strategy: strategy, Presents: 1, Generations: []rollover.Generation{{
		Number: 1, NotBefore: epoch, NotAfter: epoch.Add(lifetime), PresentedAt: epoch}}},
		receiver: newPartner(rule, issued(0)), feed: feed}
}

func TestNoMessageFailsWhateverTheSendersStrategyIfTheReceiverAcceptsSuccessors(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		feed bool
	}{{Successor, false}, {Authority, false}, {Pin, true}, {Successor, true}} {
		for _, strategy := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
			t.Run(fmt.Sprintf("%s, feed %t, %s", c.rule, c.feed, strategy), func(t *testing.T) {
				t.Parallel()
				lost, third, states := explore(together(c.rule, strategy, c.feed))
				if lost != "" {
					t.Fatalf("delivery: a message is lost: %s", lost)
				}
				if !third {
					t.Error("no history reached the third generation")
				}
				t.Logf("%d states", states)
			})
		}
	}
	if lost, _, _ := explore(together(Pin, tenancy.Immediate, false)); lost == "" {
		t.Error("a receiver that pins, without a feed, loses no message with the strategy immediate")
	}
}

// A mutant is the rule with one condition removed. The exploration must find a broken rule in each.
func TestTheExplorationNoticesAMissingCondition(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package for each mutant")
	}
	source, err := os.ReadFile("rules.go")
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("rules.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, condition := range map[string]string{
		"accepts a second successor":           "\t\t{SecondSuccessor, Hold, isSecond},\n",
		"accepts outside the window":           "\t\t{OutsideWindow, Hold, isOutside},\n",
		"accepts what was issued before":       "\t\t{Older, Refuse, isOlder},\n",
		"accepts a known one after its expiry": "var forKnown = []ground{\n\t{Expired, Refuse, isExpired},\n",
		"accepts a successor after its expiry": "var forAll = []ground{\n\t{Expired, Refuse, isExpired},\n",
		"accepts a successor before its start": "var forAll = []ground{\n\t{Expired, Refuse, isExpired},\n" +
			"\t{NotYetValid, Refuse, isNotYetValid},\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(string(source), condition) != 1 {
				t.Fatalf("the package does not contain the condition %q exactly once: update this table", condition)
			}
			without := ""
			if begin, _, ok := strings.Cut(condition, "{\n"); ok {
				without = begin + "{\n"
			}
			dir := t.TempDir()
			changed, overlay := filepath.Join(dir, "rules.go"), filepath.Join(dir, "overlay.json")
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{
				changed: []byte(strings.Replace(string(source), condition, without, 1)), overlay: replace} {
				if err := os.WriteFile(file, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run",
				"^TestTheRuleSuccessorHoldsInEveryReachableState$", ".").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "guarded:") {
				t.Errorf("the exploration found no broken rule (%v):\n%s", err, out)
			}
		})
	}
}
