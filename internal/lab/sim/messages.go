package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
)

// A fate is the outcome of the messages of an arrangement until the next change.
type fate struct {
	delivered bool
	with      int // the generation that delivers them
	accepted  bool
	byRenewal bool
}

// findings contains the new evidence of a message, for the engine and for a guard.
type findings struct {
	seen []standing.Observation // for the engine
	met  []generation           // for the guard
}

func (f findings) none() bool { return len(f.seen) == 0 && len(f.met) == 0 }

// try simulates a message at now. The gateway tries one generation after the other.
func (w *world) try(a *arrangement) (f fate, found findings, err error) {
	now, r := w.now, a.standing.Rollover
	order := r.Order(now)
	for i, number := range order {
		g := a.tenant.generations[number-1]
		if !g.usable(now) {
			continue
		}
		if a.isNews(g, now) {
			found.met = append(found.met, g)
		}
		if a.accepts(g, now) {
			f.delivered, f.with, order = true, number, order[:i+1]
			break
		}
	}
	for _, g := range a.tenant.generations {
		f.accepted = f.accepted || g.usable(now) && a.accepts(g, now)
	}
	var seen []standing.Observation
	for _, g := range order {
		if !a.tenant.generations[g-1].usable(now) && a.tenant.newest().usable(now) {
			return f, found, fmt.Errorf("invariant 3: tenant %s presents generation %d, which has expired", a.tenant.Name, g)
		}
		// A receiver may refuse all generations for any reason, so this is not evidence.
		if f.delivered {
			o := standing.Observation{Evidence: rollover.Evidence{Generation: g, Verdict: rollover.Refused,
				By: rollover.Traffic, At: now}, Detail: "401 Unauthorized"}
			if g == f.with {
				o.Verdict, o.Detail = rollover.Accepted, "200 OK"
			}
			seen = append(seen, o)
		}
	}
	f.byRenewal = !f.delivered && a.served.usable(now)
	found.seen = news(r, seen)
	return f, found, nil
}

// look determines the fate of the messages from now on. It plans the next message as an event of its own if it shows
// something new.
func (w *world) look(a *arrangement) {
	f, found, _ := w.try(a) // the message itself returns the error
	a.fate = f
	if found.none() && (f.delivered || a.pending > 0) {
		return
	}
	at := a.next(w.now)
	if at.Equal(a.message) {
		return
	}
	a.message = at
	w.schedule(at, sends, func(ctx context.Context) error {
		a.message = time.Time{}
		return w.send(ctx, a)
	})
}

// send sends a message.
func (w *world) send(ctx context.Context, a *arrangement) error {
	w.count(a)
	f, found, err := w.try(a)
	if err != nil {
		return err
	}
	if err := w.meet(a, found.met); err != nil {
		return err
	}
	switch {
	case !f.delivered && a.pending == 0: // the failure alerts the administrator
		w.act(a, plan{at: w.now.Add(idleWaits)})
	case len(found.seen) > 0:
		return w.observe(ctx, a, "gateway", found.seen...)
	}
	w.look(a)
	return nil
}

// meet lets a guard learn from a message. A person is notified of each certificate that it holds, and accepts it.
func (w *world) meet(a *arrangement, met []generation) error {
	for _, g := range met {
		asks, err := a.learn(g, w.now)
		if err != nil {
			return fmt.Errorf("the guard of tenant %s: %w", a.tenant.Name, err)
		}
		if !asks {
			continue
		}
		w.result.Held++
		r := draws(w.config.Seed, a.tenant.number, a.number, g.number)
		if p := w.config.planFor(r, w.now, w.now); !p.idle {
			w.act(a, p)
		}
	}
	return nil
}
