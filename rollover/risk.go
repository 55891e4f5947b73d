package rollover

import (
	"slices"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Risk is a renewal that the receiver has not been proved to follow. Reminders, lists, links, pages and calendars all
// use it, so that they name the same receivers and the same deadline.
type Risk struct {
	// Wanted is the generation that the receiver must accept; zero if every usable one was revoked, see [Risk.Stopped].
	Wanted int
	// Deadline is the instant from which messages fail unless the receiver accepts the wanted generation. It is the
	// expiry of the last generation that the receiver is known to accept. If none is known to be accepted, it is the
	// expiry of the presented generation, or of the last older one that is not known to be refused.
	Deadline time.Time
	// Last is the generation whose expiry is the deadline.
	Last int
	// Exposed is set if messages already depend on the wanted generation, because no older one is tried or accepted. Then
	// the deadline is not in the future.
	Exposed bool
	// Until is the expiry of the last older generation that is usable. After that, going back is impossible. It is zero
	// if there is none.
	Until time.Time
}

// Stopped reports whether no message can be sent before the CA issues another generation.
func (r Risk) Stopped() bool { return r.Wanted == 0 }

// Compare orders risks: those of arrangements that cannot send come first, then those with the earliest deadline.
func (r Risk) Compare(other Risk) int {
	switch {
	case r.Stopped() == other.Stopped():
		return r.Deadline.Compare(other.Deadline)
	case r.Stopped():
		return -1
	}
	return 1
}

// Left returns the time until the deadline, or zero after it.
func (r Risk) Left(now time.Time) time.Duration { return max(0, r.Deadline.Sub(now)) }

// Days returns the days of 24 h until the deadline, rounded up: 30 means that at most 30 days are left.
func (r Risk) Days(now time.Time) int {
	return int((r.Left(now) + oneDay - 1) / oneDay)
}

const oneDay = 24 * time.Hour

// Risk returns whether the arrangement is at risk at now: the receiver has not been proved to accept the newest usable
// generation, while an older one has not expired, whether it is usable or revoked. A claim is not a proof. It is also
// at risk if the newest generation was revoked and no other one is usable.
func (r Rollover) Risk(now time.Time) (risk Risk, at bool) {
	usable := r.usable(now)
	if len(usable) == 0 && len(r.Generations) > 0 && r.newest().Revoked {
		return Risk{Deadline: now, Exposed: true}, true
	}
	if len(usable) == 0 || r.Proved(usable[0]) || !slices.ContainsFunc(r.Generations, func(g Generation) bool {
		return g.Number < usable[0] && now.Before(g.NotAfter)
	}) {
		return risk, false
	}
	risk.Wanted = usable[0]
	older := usable[1:]
	for _, n := range older {
		if g, _ := r.Generation(n); g.NotAfter.After(risk.Until) {
			risk.Until = g.NotAfter
		}
	}
	last, found := r.lastKnown(older)
	if !found || r.Strategy == tenancy.Immediate && r.Presents == risk.Wanted {
		wanted, _ := r.Generation(risk.Wanted)
		risk.Exposed, risk.Last = true, risk.Wanted
		if risk.Deadline = wanted.PresentedAt; risk.Deadline.IsZero() || risk.Deadline.After(now) {
			risk.Deadline = now
		}
		return risk, true
	}
	risk.Last, risk.Deadline = last.Number, last.NotAfter
	return risk, true
}

// Proved reports whether a generation needs nothing more from the receiver: it is proved to accept the generation, or
// to ask for no certificate. No other code decides this.
func (r Rollover) Proved(number int) bool {
	return r.verdict(number) == Accepted || !r.UnaskedAt.IsZero()
}

// lastKnown returns the older generation that messages can rely on for longest. It is not found if the receiver is
// known to refuse all of them.
func (r Rollover) lastKnown(older []int) (last Generation, found bool) {
	latest := func(fits func(Generation) bool) {
		for _, n := range older {
			if g, _ := r.Generation(n); fits(g) && (!found || g.NotAfter.After(last.NotAfter)) {
				last, found = g, true
			}
		}
	}
	accepted := func(g Generation) bool { return g.Verdict == Accepted }
	if r.NewestOnly { // it has locked out all but the newest one that it accepted
		if i := slices.IndexFunc(older, func(n int) bool { return r.verdict(n) == Accepted }); i >= 0 {
			accepted = func(g Generation) bool { return g.Number == older[i] }
		}
	}
	latest(accepted)
	if !found {
		latest(func(g Generation) bool { return g.Number == r.Presents && g.Verdict != Refused })
	}
	if !found {
		latest(func(g Generation) bool { return g.Verdict != Refused })
	}
	return last, found
}
