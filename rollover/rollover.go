// Package rollover decides which generation of the tenant certificate an arrangement presents, which ones the gateway
// tries when the receiver refuses it, and what moves the arrangement on to the next generation.
//
// It promises, for every strategy but immediate: as long as the receiver accepts one usable generation, it is among
// those that [Rollover.Order] names, whatever was observed before, in whatever order, and however much of it got lost;
// and for all strategies: an expired or revoked generation is never named while a usable one exists, no generation is
// presented before its notice has passed unless the one before it is revoked or about to expire, and nothing keeps an
// arrangement on a generation that is about to expire. The tests explore every reachable state for this. The package
// reads no clock and does no I/O. Values are never changed in place: each step returns a new one.
package rollover

import (
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// longestMargin is how long before its expiry a generation is left at the latest: a weekend and a day, so that what
	// the switch shows can still be mended on a working day. Short-lived certificates have a tenth of their lifetime
	// instead.
	longestMargin = 3 * 24 * time.Hour
	// Quiet is how long a receiver must have taken the new generation, without needing the old one, until the roll-over is
	// settled: long enough for a monthly job on its side to have run, and for a restored backup to have shown itself.
	Quiet = 28 * 24 * time.Hour
	// Reconsider is how long a refusal of real traffic outweighs an accepted probe: a receiver may take the probe's GET
	// and refuse the messages' POST, and must not be switched to and fro with every probe.
	Reconsider = 24 * time.Hour
)

// Verdict is what a receiver last said to a generation.
type Verdict string

// Nothing is known until somebody asks.
const (
	Unknown  Verdict = ""
	Accepted Verdict = "accepted"
	Refused  Verdict = "refused"
)

// Source is who found out.
type Source string

// Traffic are the tenant's own messages; a person is the receiver's administrator, or the tenant's, who says
// "installed".
const (
	Traffic Source = "traffic"
	Probe   Source = "probe"
	Person  Source = "person"
)

// A Generation is what is known of one generation of the tenant certificate at one receiver.
type Generation struct {
	Number    int
	NotBefore time.Time
	NotAfter  time.Time
	Revoked   bool
	// NoticedUntil is when the key users' notice ends: before, nothing is presented without need.
	NoticedUntil time.Time
	// PresentedAt is when the arrangement was last cut over to it; zero if never.
	PresentedAt time.Time

	Verdict   Verdict
	VerdictAt time.Time
	By        Source
}

// usable says whether a generation can authenticate at now.
func (g Generation) usable(now time.Time) bool { return !g.Revoked && now.Before(g.NotAfter) }

// ending says whether a generation is about to expire: the arrangement must leave it.
func (g Generation) ending(now time.Time) bool { return !now.Before(g.LeaveAt()) }

// LeaveAt is when an arrangement leaves the generation at the latest.
func (g Generation) LeaveAt() time.Time {
	return g.NotAfter.Add(-min(longestMargin, g.NotAfter.Sub(g.NotBefore)/10))
}

// A Rollover is where one arrangement stands between the generations that are not retired.
type Rollover struct {
	Strategy tenancy.Strategy
	// Presents is the number of the generation that the arrangement presents.
	Presents int
	// NeededOldAt is when a message last got through with an older generation after the newest was refused; zero if never.
	NeededOldAt time.Time
	// Generations are those that are not retired, the oldest first.
	Generations []Generation
}

// State is where a roll-over is, for people.
type State string

// The way of a roll-over. Refused and regressed are part of it: a receiver that does not know the new generation yet,
// and one that went back to the old one.
const (
	Announced State = "announced" // the newest generation exists, and the receiver has not been heard about it
	Trusted   State = "trusted"   // the receiver accepts it: a person, a probe or traffic says so
	CutOver   State = "cut-over"  // it is presented, and the old one stays within reach
	Settled   State = "settled"   // the old one is not needed any more
	RefusedBy State = "refused"   // the receiver refuses it
	Regressed State = "regressed" // it was presented before, and the receiver went back
)

func (r Rollover) newest() Generation { return r.Generations[len(r.Generations)-1] }

// Generation finds a generation by number.
func (r Rollover) Generation(number int) (g Generation, known bool) {
	if i := r.index(number); i >= 0 {
		return r.Generations[i], true
	}
	return g, false
}

func (r Rollover) index(number int) int {
	return slices.IndexFunc(r.Generations, func(g Generation) bool { return g.Number == number })
}

// with is the roll-over with a change to one generation.
func (r Rollover) with(number int, change func(*Generation)) Rollover {
	r.Generations = slices.Clone(r.Generations)
	change(&r.Generations[r.index(number)])
	return r
}

// usable are the generations that can authenticate at now, the newest first.
func (r Rollover) usable(now time.Time) (numbers []int) {
	for _, g := range slices.Backward(r.Generations) {
		if g.usable(now) {
			numbers = append(numbers, g.Number)
		}
	}
	return numbers
}

// Order says which generations to try at now, the first one first. Immediate tries what it presents and nothing else.
// The others begin with what they present, unless the receiver is known to refuse it and to accept another one, and go
// on with every other usable generation, the newest first. Where nothing is usable any more, the newest that is not
// revoked is named: some receivers do not look at the date, and the others say why.
func (r Rollover) Order(now time.Time) []int {
	order := r.usable(now)
	if len(order) == 0 {
		for _, g := range slices.Backward(r.Generations) {
			if !g.Revoked {
				return []int{g.Number}
			}
		}
		return nil
	}
	first := r.first(now, order)
	if r.Strategy == tenancy.Immediate {
		return []int{first}
	}
	i := slices.Index(order, first)
	return append([]int{first}, slices.Delete(order, i, i+1)...)
}

// first is the generation to begin with, among the usable ones.
func (r Rollover) first(now time.Time, usable []int) int {
	presented, known := r.Generation(r.Presents)
	if !known || !presented.usable(now) {
		return r.best(usable)
	}
	if presented.Verdict == Refused && r.Strategy != tenancy.Immediate {
		if best := r.best(usable); r.verdict(best) == Accepted {
			return best
		}
	}
	return presented.Number
}

func (r Rollover) verdict(number int) Verdict {
	g, _ := r.Generation(number)
	return g.Verdict
}

// best is the one of the given generations, newest first, that promises most: known as accepted, else not known as
// refused.
func (r Rollover) best(numbers []int) int {
	for _, wanted := range []Verdict{Accepted, Unknown} {
		for _, n := range numbers {
			if r.verdict(n) == wanted {
				return n
			}
		}
	}
	return numbers[0]
}

// Open says whether a refused message has another generation to be tried with: then its body is kept.
func (r Rollover) Open(now time.Time) bool { return len(r.Order(now)) > 1 }

// Evidence is what somebody found out about one generation at the receiver.
type Evidence struct {
	Generation int
	Verdict    Verdict
	By         Source
	At         time.Time
}

// Observe takes evidence in. What is older than what is known is left out, so evidence may arrive late, twice, or in
// any order; evidence about a generation that is not known (any more) is left out too. It moves nothing by itself:
// [Rollover.At] does.
func (r Rollover) Observe(e Evidence) Rollover {
	known, ok := r.Generation(e.Generation)
	if !ok || e.At.Before(known.VerdictAt) {
		return r
	}
	if e.By == Probe && e.Verdict == Accepted && known.Verdict == Refused && known.By == Traffic &&
		e.At.Sub(known.VerdictAt) < Reconsider {
		return r
	}
	r = r.with(e.Generation, func(g *Generation) {
		// Traffic that agrees with a probe or a person does not take away what was proved by them.
		if g.Verdict != e.Verdict || e.By != Traffic {
			g.By = e.By
		}
		g.Verdict, g.VerdictAt = e.Verdict, e.At
	})
	if e.Verdict == Accepted && e.By == Traffic && e.Generation != r.newest().Number && r.newest().Verdict == Refused {
		r.NeededOldAt = e.At
	}
	return r
}

// A Move is a change of what an arrangement presents.
type Move struct {
	From, To int
	Why      string
	// Forced: the generation before was revoked. This is the one move that may break delivery.
	Forced bool
}

// At brings the roll-over to now: it leaves what is not usable any more or is about to expire, and cuts over where the
// strategy and the evidence say so. The move is nil where nothing changes.
func (r Rollover) At(now time.Time) (Rollover, *Move) {
	to, why := r.destination(now)
	if to == r.Presents {
		return r, nil
	}
	presented, _ := r.Generation(r.Presents)
	return r.moved(to, now), &Move{From: r.Presents, To: to, Why: why, Forced: presented.Revoked}
}

func (r Rollover) moved(to int, now time.Time) Rollover {
	r = r.with(to, func(g *Generation) { g.PresentedAt = now })
	r.Presents = to
	return r
}

func (r Rollover) destination(now time.Time) (to int, why string) {
	usable := r.usable(now)
	if len(usable) == 0 {
		return r.Presents, ""
	}
	// What is about to expire itself is no place to go to, unless there is nothing else.
	lasting := slices.DeleteFunc(slices.Clone(usable), func(n int) bool { return r.ending(n, now) })
	if len(lasting) == 0 {
		lasting = usable[:1]
	}
	presented, known := r.Generation(r.Presents)
	switch {
	case !known:
		why = fmt.Sprintf("generation %d is not in use any more", r.Presents)
	case presented.Revoked:
		why = fmt.Sprintf("generation %d was revoked", presented.Number)
	case !presented.usable(now):
		why = fmt.Sprintf("generation %d expired on %s", presented.Number, day(presented.NotAfter))
	case presented.ending(now) && presented.Number != usable[0]:
		why = fmt.Sprintf("generation %d expires on %s", presented.Number, day(presented.NotAfter))
	default:
		return r.onward(presented, lasting, now)
	}
	instead, _ := r.Generation(r.best(lasting))
	to, _ = r.onward(instead, lasting, now)
	return to, why
}

// onward is where the strategy goes from a generation that could be presented.
func (r Rollover) onward(presented Generation, lasting []int, now time.Time) (to int, why string) {
	for _, n := range lasting {
		if n == presented.Number {
			break
		}
		g, _ := r.Generation(n)
		if now.Before(g.NoticedUntil) {
			continue
		}
		switch r.Strategy {
		case tenancy.Immediate:
			return n, fmt.Sprintf("generation %d exists, and the strategy is immediate", n)
		case tenancy.Confirmed:
			if g.Verdict == Accepted && g.By != Traffic {
				return n, fmt.Sprintf("a %s says that the receiver accepts generation %d", g.By, n)
			}
		case tenancy.Adaptive:
			if g.Verdict == Accepted {
				return n, fmt.Sprintf("%s shows that the receiver accepts generation %d", shows[g.By], n)
			}
		}
	}
	return r.back(presented, lasting)
}

// back is where an adaptive arrangement goes from what the receiver refuses: to what it is known to accept.
func (r Rollover) back(presented Generation, lasting []int) (to int, why string) {
	if r.Strategy == tenancy.Adaptive && presented.Verdict == Refused {
		for _, n := range lasting {
			if n < presented.Number && r.verdict(n) == Accepted {
				return n, fmt.Sprintf("the receiver refuses generation %d and accepts generation %d", presented.Number, n)
			}
		}
	}
	return presented.Number, ""
}

var shows = map[Source]string{Traffic: "traffic", Probe: "a probe", Person: "a person's word"}

func (r Rollover) ending(number int, now time.Time) bool {
	g, _ := r.Generation(number)
	return g.ending(now)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// Choose cuts over because a person says so: the way of the strategy manual, open to all. [tenancy.ErrRefused] where
// the generation cannot be presented now.
func (r Rollover) Choose(number int, now time.Time) (Rollover, *Move, error) {
	g, known := r.Generation(number)
	presented, _ := r.Generation(r.Presents)
	switch {
	case !known:
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d does not exist or is retired", number)
	case number == r.Presents:
		return r, nil, nil
	case !g.usable(now):
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d is expired or revoked", number)
	case number < r.Presents && g.ending(now):
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d expires on %s, too soon to go back to it; it is "+
			"tried anyway where the receiver refuses generation %d", number, day(g.NotAfter), r.Presents)
	case number > r.Presents && now.Before(g.NoticedUntil) && presented.usable(now) && !presented.ending(now):
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "the key users were told of generation %d too recently: it can "+
			"be presented from %s on; it is tried anyway where the receiver refuses generation %d", number,
			g.NoticedUntil.UTC().Format("2006-01-02 15:04 MST"), r.Presents)
	}
	return r.moved(number, now), &Move{From: r.Presents, To: number, Why: "a person chose it"}, nil
}

// State says where the roll-over is at now.
func (r Rollover) State(now time.Time) State {
	newest := r.newest()
	old := slices.ContainsFunc(r.Generations[:len(r.Generations)-1], func(g Generation) bool { return g.usable(now) })
	switch {
	case r.Presents == newest.Number && (!old || r.quiet(now)):
		return Settled
	case r.Presents == newest.Number && newest.Verdict != Refused:
		return CutOver
	case newest.Verdict == Refused && !newest.PresentedAt.IsZero():
		return Regressed
	case newest.Verdict == Refused:
		return RefusedBy
	case newest.Verdict == Accepted:
		return Trusted
	default:
		return Announced
	}
}

// quiet says whether the receiver has taken the newest generation long enough without needing an older one.
func (r Rollover) quiet(now time.Time) bool {
	newest, since := r.newest(), r.quietSince()
	return newest.Verdict == Accepted && !newest.VerdictAt.Before(since) && now.Sub(since) >= Quiet
}

func (r Rollover) quietSince() time.Time {
	if since := r.newest().PresentedAt; !r.NeededOldAt.After(since) {
		return since
	}
	return r.NeededOldAt
}

// Next is the earliest instant after now at which [Rollover.At], [Rollover.Order] or [Rollover.State] may say something
// else although nobody found out anything: what reaches no such instant need not be looked at. Zero where there is
// none.
func (r Rollover) Next(now time.Time) (next time.Time) {
	instants := []time.Time{r.quietSince().Add(Quiet)}
	for _, g := range r.Generations {
		instants = append(instants, g.NoticedUntil, g.LeaveAt(), g.NotAfter)
	}
	for _, t := range instants {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}
