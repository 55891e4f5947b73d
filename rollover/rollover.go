// Package rollover decides which generation of the tenant certificate an arrangement presents, which other generations
// the gateway tries if the receiver refuses it, and when the arrangement cuts over to the next generation.
//
// It guarantees for every strategy but immediate: if the receiver accepts a usable generation, [Rollover.Order] returns
// it, whatever was observed before, in any order, and however much of it was lost. It guarantees for all strategies: an
// expired or revoked generation is never returned while a usable one exists. No generation is presented before its
// notice has passed, unless the previous one is revoked, about to expire, or refused by a receiver that accepts the new
// one. No arrangement stays on a generation that is about to expire. The tests explore every reachable state. The
// package reads no clock and does no I/O. Values are never changed in place: each step returns a new one.
package rollover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// longestMargin is the time before its expiry at which an arrangement leaves a generation at the latest: a weekend
	// and a day, so that a problem after the cut-over can be fixed on a working day. For short-lived certificates, it is
	// a tenth of the lifetime.
	longestMargin = 3 * 24 * time.Hour
	// Quiet is the time for which a receiver must have accepted the new generation, without needing the old one, before
	// the roll-over is settled. It is long enough for a monthly job of the receiver to have run, and for a restored
	// backup to have been noticed.
	Quiet = 28 * 24 * time.Hour
)

// A Generation is a generation of the tenant certificate with its verdict at one receiver.
type Generation struct {
	Number    int
	NotBefore time.Time
	NotAfter  time.Time
	Revoked   bool
	// NoticedUntil is the end of the key users' notice. Until then, the generation is presented only if it is needed.
	NoticedUntil time.Time
	// PresentedAt is the time of the last cut-over to the generation; zero if there was none.
	PresentedAt time.Time

	// Verdict is the latest that By, the strongest kind of evidence so far, proves.
	Verdict   Verdict
	VerdictAt time.Time
	By        Source
	// ClaimedAt is the time of the latest evidence of acceptance that is too weak to be the verdict, and ClaimedBy is its
	// source; zero if there is none.
	ClaimedAt time.Time
	ClaimedBy Source
	// Latest is the verdict of the latest message alone, and TurnedAt is the last time at which two messages contradicted
	// each other.
	Latest   Verdict
	TurnedAt time.Time
}

// usable reports whether a generation can authenticate at now.
func (g Generation) usable(now time.Time) bool { return !g.Revoked && now.Before(g.NotAfter) }

// ending reports whether a generation is about to expire, so that the arrangement must leave it.
func (g Generation) ending(now time.Time) bool { return !now.Before(g.LeaveAt()) }

// needs reports whether messages need another generation instead of this one, because the receiver refuses this one and
// accepts that one.
func (g Generation) needs(other Generation) bool {
	return g.Verdict == Refused && !g.claimed() && other.Verdict == Accepted
}

// LeaveAt returns the latest time at which an arrangement leaves the generation.
func (g Generation) LeaveAt() time.Time {
	return g.NotAfter.Add(-min(longestMargin, g.NotAfter.Sub(g.NotBefore)/10))
}

// A Rollover is the state of one arrangement between the generations that are not retired.
type Rollover struct {
	Strategy tenancy.Strategy
	// Presents is the number of the generation that the arrangement presents.
	Presents int
	// NeededOldAt is the last time at which a message was delivered with an older generation after the newest was
	// refused; zero if never.
	NeededOldAt time.Time
	// UnaskedAt is the time at which the receiver delivered a message without asking for a certificate; zero if it asks
	// for one, or if that is unknown.
	UnaskedAt time.Time
	// NewestOnly is set for a receiver that accepts a certificate only if it was issued after the last one that it
	// accepted. Presenting a generation to it locks out every older one.
	NewestOnly bool
	// Generations are those that are not retired, the oldest first.
	Generations []Generation
}

// State is a step of a roll-over, for display.
type State string

// The steps of a roll-over. A receiver that does not accept the new generation yet is refused, and one that went back
// to the old generation is regressed. Both are normal.
const (
	// Announced: the newest generation exists, and its verdict is unknown; or it was revoked, and the next one is awaited.
	Announced State = "announced"
	Claimed   State = "claimed"   // a person reports that the receiver accepts it, and nothing proves it
	Trusted   State = "trusted"   // a probe or a message proves that the receiver accepts it
	CutOver   State = "cut-over"  // it is presented, and the old one is still available
	Settled   State = "settled"   // the old one is no longer needed
	RefusedBy State = "refused"   // the receiver refuses it
	Regressed State = "regressed" // it was presented before, and the receiver no longer accepts it
)

func (r Rollover) newest() Generation { return r.Generations[len(r.Generations)-1] }

// Generation finds a generation by number.
func (r Rollover) Generation(number int) (g Generation, known bool) {
	if i := r.index(number); i >= 0 {
		return r.Generations[i], true
	}
	return g, false
}

// Usable lists the numbers of the generations that are neither expired nor revoked, such as "1, 2".
func (r Rollover) Usable(now time.Time) string {
	var all []string
	for _, number := range slices.Backward(r.usable(now)) {
		all = append(all, strconv.Itoa(number))
	}
	return strings.Join(all, ", ")
}

func (r Rollover) index(number int) int {
	return slices.IndexFunc(r.Generations, func(g Generation) bool { return g.Number == number })
}

// with returns the roll-over with a change to one generation.
func (r Rollover) with(number int, change func(*Generation)) Rollover {
	r.Generations = slices.Clone(r.Generations)
	change(&r.Generations[r.index(number)])
	return r
}

// usable returns the generations that can authenticate at now, the newest first.
func (r Rollover) usable(now time.Time) (numbers []int) {
	for _, g := range slices.Backward(r.Generations) {
		if g.usable(now) {
			numbers = append(numbers, g.Number)
		}
	}
	return numbers
}

// Order returns the generations to try at now, in this order. The strategy immediate tries only the generation that it
// presents. The others begin with the presented generation, unless the receiver is known to refuse it and to accept
// another one. They continue with every other usable generation, the newest first. If no generation is usable, Order
// returns the newest that is not revoked, because some receivers ignore the date, and the others report the reason.
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

// first returns the usable generation to begin with.
func (r Rollover) first(now time.Time, usable []int) int {
	presented, known := r.Generation(r.Presents)
	if !known || !presented.usable(now) {
		return r.best(usable)
	}
	if presented.leans(Refused) && r.Strategy != tenancy.Immediate && !presented.claimed() {
		for _, wanted := range []func(Generation) bool{
			func(g Generation) bool { return g.Verdict == Accepted },
			func(g Generation) bool { return g.leans(Accepted) }, // messages contradict each other: follow the latest
		} {
			if i := slices.IndexFunc(usable, func(n int) bool {
				g, _ := r.Generation(n)
				return wanted(g)
			}); i >= 0 {
				return usable[i]
			}
		}
	}
	return presented.Number
}

func (r Rollover) verdict(number int) Verdict {
	g, _ := r.Generation(number)
	return g.Verdict
}

// best returns the first of the given generations that is accepted; else the first that is unclear or unknown; else the
// first.
func (r Rollover) best(numbers []int) int {
	for _, wanted := range []Verdict{Accepted, Unclear, Unknown} {
		for _, n := range numbers {
			if r.verdict(n) == wanted {
				return n
			}
		}
	}
	return numbers[0]
}

// Overlap limits the time after a cut-over during which messages may still use open connections with the previous
// generation. A receiver of 100,000 arrangements gets their new connections within it, at fifty a second.
const Overlap = time.Hour

// Interim returns the older generation whose open connections may carry messages at now although [Rollover.Order]
// begins with the presented one, so that not every arrangement of a receiver opens new connections at the moment of its
// cut-over. ok is false if there is none. The generation is usable, and the latest evidence is that the receiver
// accepts it, or that it asks for no certificate. There is none with the strategy immediate, and none for a receiver
// that accepts the newest generation only.
func (r Rollover) Interim(now time.Time) (generation int, ok bool) {
	presented, known := r.Generation(r.Presents)
	since := now.Sub(presented.PresentedAt)
	if !known || since < 0 || since >= Overlap || !presented.usable(now) || presented.leans(Refused) ||
		r.Strategy == tenancy.Immediate || r.NewestOnly {
		return 0, false
	}
	for _, g := range slices.Backward(r.Generations) {
		accepted := g.Verdict == Accepted || g.Verdict == Unknown && !r.UnaskedAt.IsZero()
		if g.Number < presented.Number && g.usable(now) && accepted {
			return g.Number, true
		}
	}
	return 0, false
}

// Open reports whether a refused message can be tried with another generation. The gateway keeps its body in that case.
func (r Rollover) Open(now time.Time) bool { return len(r.Order(now)) > 1 }

// A Move is a change of the generation that an arrangement presents.
type Move struct {
	From, To int
	Why      string
	// Forced is set if the previous generation was revoked. Only such a move may break delivery.
	Forced bool
}

// At advances the roll-over to now. It leaves a generation that is no longer usable or is about to expire, and cuts
// over if the strategy and the evidence allow it. The move is nil if nothing changes.
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
	// A generation that is about to expire is not a destination, unless there is no other.
	lasting := slices.DeleteFunc(slices.Clone(usable), func(n int) bool { return r.ending(n, now) })
	if len(lasting) == 0 {
		lasting = usable[:1]
	}
	presented, known := r.Generation(r.Presents)
	switch {
	case !known:
		why = fmt.Sprintf("generation %d is no longer in use", r.Presents)
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

// onward returns the next generation according to the strategy, from one that could be presented.
func (r Rollover) onward(presented Generation, lasting []int, now time.Time) (to int, why string) {
	for _, n := range lasting {
		if n == presented.Number {
			break
		}
		g, _ := r.Generation(n)
		if now.Before(g.NoticedUntil) && !(r.followsEvidence() && presented.needs(g)) {
			continue
		}
		switch r.Strategy {
		case tenancy.Immediate:
			return n, fmt.Sprintf("generation %d exists, and the strategy is immediate", n)
		case tenancy.Confirmed:
			if by, ok := g.confirmation(); ok {
				return n, accepts(presented, g, by, now)
			}
		case tenancy.Adaptive:
			if by, ok := g.acceptance(); ok {
				return n, accepts(presented, g, by, now)
			}
			if !r.UnaskedAt.IsZero() {
				return n, fmt.Sprintf("generation %d exists, and the receiver asks for no certificate", n)
			}
		}
	}
	return r.back(presented, lasting)
}

// accepts is the reason for a cut-over to a generation that the receiver accepts. Before the end of its notice, the
// other part of the reason is that the receiver refuses the presented one.
func accepts(presented, g Generation, by Source, now time.Time) string {
	if now.Before(g.NoticedUntil) {
		why := fmt.Sprintf("the receiver refuses generation %d", presented.Number)
		return fmt.Sprintf("%s, and %s that it accepts generation %d", why, findings[by], g.Number)
	}
	return fmt.Sprintf("%s that the receiver accepts generation %d", findings[by], g.Number)
}

// followsEvidence reports whether it depends on evidence about a newer generation whether it is presented.
func (r Rollover) followsEvidence() bool {
	return r.Strategy == tenancy.Confirmed || r.Strategy == tenancy.Adaptive && r.UnaskedAt.IsZero()
}

// back returns the older generation that an arrangement returns to if the receiver refuses the presented one, or if its
// answers leave open whether it accepts it. A person moves a manual one.
func (r Rollover) back(presented Generation, lasting []int) (to int, why string) {
	why = fmt.Sprintf("the receiver refuses generation %d", presented.Number)
	switch {
	case r.Strategy != tenancy.Adaptive && r.Strategy != tenancy.Confirmed, presented.claimed(), !r.UnaskedAt.IsZero():
		return presented.Number, ""
	case presented.doubted():
		why = fmt.Sprintf("the receiver's answers leave open whether it accepts generation %d", presented.Number)
	case presented.Verdict != Refused:
		return presented.Number, ""
	}
	for _, n := range lasting {
		older, _ := r.Generation(n)
		if by, ok := older.acceptance(); ok && n < presented.Number {
			return n, fmt.Sprintf("%s, and %s that it accepts generation %d", why, findings[by], n)
		}
	}
	return presented.Number, ""
}

var findings = map[Source]string{Traffic: "traffic shows", Probe: "a probe shows", Person: "a person reports"}

func (r Rollover) ending(number int, now time.Time) bool {
	g, _ := r.Generation(number)
	return g.ending(now)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// Choose cuts over to the generation that a person selected. Every strategy allows it, and manual needs it. The error
// is [tenancy.ErrRefused] if the generation cannot be presented now.
func (r Rollover) Choose(number int, now time.Time) (Rollover, *Move, error) {
	g, known := r.Generation(number)
	presented, _ := r.Generation(r.Presents)
	usable := r.Usable(now)
	switch {
	case !known && usable == "":
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d does not exist or is retired", number)
	case !known:
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d does not exist or is retired: usable "+
			"generations: %s", number, usable)
	case number == r.Presents:
		return r, nil, nil
	case !g.usable(now):
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d is expired or revoked", number)
	case number < r.Presents && r.NewestOnly && presented.Verdict == Accepted:
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "the receiver accepted generation %d, and accepts nothing older "+
			"than what it accepted last", r.Presents)
	case number < r.Presents && g.ending(now):
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d expires on %s, too soon to go back to it; it is "+
			"tried anyway if the receiver refuses generation %d", number, day(g.NotAfter), r.Presents)
	case number > r.Presents && now.Before(g.NoticedUntil) && presented.usable(now) && !presented.ending(now) &&
		!presented.needs(g):
		from := g.NoticedUntil.UTC().Format("2006-01-02 15:04 MST")
		if r.Strategy == tenancy.Immediate {
			return r, nil, tenancy.Errorf(tenancy.ErrRefused, "the key users were notified of generation %d too recently: it "+
				"can be presented from %s on. With the strategy adaptive, it is tried earlier if the receiver refuses "+
				"generation %d", number, from, r.Presents)
		}
		return r, nil, tenancy.Errorf(tenancy.ErrRefused, "the key users were notified of generation %d too recently: it "+
			"can be presented from %s on; it is tried anyway if the receiver refuses generation %d", number, from, r.Presents)
	}
	return r.moved(number, now), &Move{From: r.Presents, To: number, Why: "selected by a person"}, nil
}

// abandoned reports whether an older generation was revoked and has not expired. The receiver may still accept it only.
func (r Rollover) abandoned(now time.Time) bool {
	return slices.ContainsFunc(r.Generations[:len(r.Generations)-1], func(g Generation) bool {
		return g.Revoked && now.Before(g.NotAfter)
	})
}

// State returns the step of the roll-over at now.
func (r Rollover) State(now time.Time) State {
	newest := r.newest()
	if newest.Revoked {
		return Announced
	}
	old := slices.ContainsFunc(r.Generations[:len(r.Generations)-1], func(g Generation) bool { return g.usable(now) })
	switch {
	case r.Presents == newest.Number && !old && newest.Verdict != Accepted && r.abandoned(now):
		return CutOver
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
	case newest.claimed():
		return Claimed
	default:
		return Announced
	}
}

// quiet reports whether the receiver has accepted the newest generation long enough without needing an older one.
func (r Rollover) quiet(now time.Time) bool {
	newest, since := r.newest(), r.quietSince()
	proved := newest.Verdict == Accepted && !newest.VerdictAt.Before(since) || !r.UnaskedAt.IsZero()
	return proved && now.Sub(since) >= Quiet
}

// QuietUntil returns the earliest instant at which the roll-over can be settled while an older generation is still
// usable: the receiver must accept the newest generation until then, without needing an older one. It is zero unless
// the newest generation is presented.
func (r Rollover) QuietUntil() time.Time {
	if since := r.quietSince(); r.Presents == r.newest().Number && !since.IsZero() {
		return since.Add(Quiet)
	}
	return time.Time{}
}

func (r Rollover) quietSince() time.Time {
	if since := r.newest().PresentedAt; !r.NeededOldAt.After(since) {
		return since
	}
	return r.NeededOldAt
}

// Next returns the earliest instant after now at which [Rollover.At], [Rollover.Order] or [Rollover.State] may return
// something else without new evidence. Until then, the roll-over need not be looked at. It is zero if there is no such
// instant.
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
