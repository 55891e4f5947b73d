package sim

import (
	"container/heap"
	"context"
	"crypto"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// runTakes is the time from a run date to its renewals. Certificates are backdated by five minutes, so that they are
// valid from five minutes after the run date on, as in the audit of the published rules.
const runTakes = 10 * time.Minute

// A world is one shard of the fleet at one instant.
type world struct {
	config   Config
	store    *store.Store
	engine   *lifecycle.Engine
	feeds    *feeds.Feeds
	registry *registry
	key      crypto.Signer // of all certificates, because nothing is signed with it
	postbox  *postbox
	tenants  []*tenant
	byName   map[string]*tenant
	queue    queue
	seq      int
	now, end time.Time
	months   []time.Time // the end of each
	result   *Result
	// notice is the minimum time from the notice of a new generation to its first use; zero if the policy does not promise
	// one.
	notice time.Duration
	checks checks
}

// An event is a planned action.
type event struct {
	at   time.Time
	kind int // at the same instant, lower kinds come first
	seq  int
	do   func(context.Context) error
}

const (
	expires = iota
	runs
	rolls
	acts
	fetches
	tells
	sends
)

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	if q[i].kind != q[j].kind {
		return q[i].kind < q[j].kind
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(v any)   { *q = append(*q, v.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// schedule plans an action, unless the simulation ends before it.
func (w *world) schedule(at time.Time, kind int, do func(context.Context) error) {
	if at.Before(w.end) {
		w.seq++
		heap.Push(&w.queue, event{at, kind, w.seq, do})
	}
}

func newWorld(c Config, notice time.Duration, when checks) *world {
	w := &world{config: c, notice: notice, checks: when, now: c.Start, end: c.Start.AddDate(c.Years, 0, 0),
		byName: map[string]*tenant{}, result: newResult(c)}
	for m := range 12 * c.Years {
		w.months = append(w.months, c.Start.AddDate(0, m+1, 0))
	}
	return w
}

// live simulates n tenants, numbered from first on.
func (w *world) live(ctx context.Context, first, n int) (*Result, error) {
	err := w.open(ctx)
	if w.store != nil {
		defer w.store.Close()
	}
	if err == nil {
		err = w.found(ctx, first, n)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range w.tenants {
		w.byName[t.Name] = t
		w.expire(t, t.newest())
		if err := errors.Join(w.publish(ctx, t), w.read(ctx, t)); err != nil {
			return nil, err
		}
		if w.checks == everyHour {
			w.rollHourly(t, w.now)
		}
	}
	w.planRun(w.config.Policy.Schedule.Next(w.config.Start))
	running := ctx
	ctx = context.WithoutCancel(ctx) // for a context that can be cancelled, the driver starts a goroutine per statement
	for len(w.queue) > 0 && running.Err() == nil {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		if err := e.do(ctx); err != nil {
			return nil, fmt.Errorf("at %s: %w", w.now.Format(time.RFC3339), err)
		}
	}
	if running.Err() != nil {
		return nil, context.Cause(running)
	}
	w.now = w.end
	for _, t := range w.tenants {
		for _, a := range t.arrangements {
			w.count(a)
		}
	}
	return w.result, w.close(ctx)
}

// planRun plans a run, which plans the next one.
func (w *world) planRun(runDate time.Time) {
	w.schedule(runDate.Add(runTakes), runs, func(ctx context.Context) error {
		if _, err := w.engine.Run(ctx, runDate, w.now); err != nil {
			return err
		}
		for _, name := range w.registry.drain() {
			if err := w.renewed(ctx, w.byName[name]); err != nil {
				return err
			}
		}
		w.planRun(w.config.Policy.Schedule.Next(runDate))
		return nil
	})
}

// renewed handles a new generation of a tenant: the gateway reads it, and the administrators of the receivers plan
// their reactions.
func (w *world) renewed(ctx context.Context, t *tenant) error {
	certs, err := w.store.Certificates(ctx, t.ID, "", math.MaxInt32)
	if err != nil {
		return err
	}
	last := len(t.generations)
	if len(certs) != last+1 {
		return fmt.Errorf("invariant 4: tenant %s has %d generations after one renewal of %d", t.Name, len(certs), last)
	}
	for _, c := range certs {
		if c.Generation == last {
			noticed := w.now
			if !c.WarnedAt.IsZero() {
				noticed = c.WarnedAt
				w.result.WarnedRenewals++
			}
			if err := w.checkForecast(t, c); err != nil {
				return err
			}
			if !c.NotAfter.After(w.now) {
				return fmt.Errorf("invariant 7: tenant %s: generation %d expired unrenewed", t.Name, last)
			}
			t.generations = append(t.generations, generation{number: last + 1, noticedAt: noticed})
		}
	}
	for _, c := range certs {
		if c.Generation == last+1 {
			t.generations[last].notAfter = c.NotAfter
			if err := t.generations[last].read(w.config, c.DER); err != nil {
				return err
			}
		}
	}
	w.result.Renewals++
	newest := t.newest()
	w.expire(t, newest)
	w.measure(t, t.generations[last-1].notAfter.Add(-beforeExpiry))
	for _, a := range t.arrangements {
		w.count(a)
		if a.fate.delivered {
			a.served = t.generations[a.fate.with-1]
		}
		r := draws(w.config.Seed, t.number, a.number, newest.number)
		switch p := w.config.planFor(r, newest.noticedAt, w.now); {
		case a.kind == pinned && !p.idle:
			w.act(a, p)
		case a.kind == follows:
			w.follow(a)
		}
	}
	return w.read(ctx, t)
}

// checkForecast checks that a certificate was renewed when its forecast promised it, and that a warning came before,
// unless the forecast promised none. Only under a policy with renewals without a warning, or for a certificate that was
// inside the renewal window at the start, may a forecast have no warning.
func (w *world) checkForecast(t *tenant, c tenancy.Certificate) error {
	from := w.config.Start.Add(1) // a run at the start itself was before the fleet
	if c.Generation > 1 {
		from = c.CreatedAt
	}
	f := w.config.Policy.Forecast(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, from)
	promised := f.Last().At
	switch {
	case !w.now.Equal(promised.Add(runTakes)):
		return fmt.Errorf("invariant 2: tenant %s: generation %d was to be renewed at %s", t.Name, c.Generation,
			promised.Format(time.RFC3339))
	case !f.Surprise && c.WarnedAt.IsZero():
		return fmt.Errorf("invariant 2: tenant %s: generation %d is renewed without a warning", t.Name, c.Generation)
	case f.Surprise && c.Generation > 1 && w.notice > 0:
		return fmt.Errorf("invariant 2: tenant %s: the policy %s warns of every renewal, but not of that of generation %d",
			t.Name, w.config.Policy.Name, c.Generation)
	}
	return nil
}

// act plans an action of the receiver's administrator: the installation of the generation that is the newest at the
// time, or the decision about those that a guard holds.
func (w *world) act(a *arrangement, p plan) {
	a.pending++
	w.schedule(p.at, acts, func(context.Context) error {
		w.count(a)
		a.pending--
		newest := a.tenant.newest()
		if err := a.receiver.act(a.tenant.generations); err != nil {
			return fmt.Errorf("the guard of tenant %s: %w", a.tenant.Name, err)
		}
		w.look(a)
		if p.confirms && a.kind == pinned {
			w.schedule(w.now.Add(p.confirmIn), tells, func(ctx context.Context) error {
				return w.observe(ctx, a, "administrator", standing.Observation{Evidence: rollover.Evidence{
					Generation: newest.number, Verdict: rollover.Accepted, By: rollover.Person, At: w.now}})
			})
		}
		return nil
	})
}

// expire plans the effects of an expiry.
func (w *world) expire(t *tenant, g generation) {
	w.schedule(g.notAfter, expires, func(context.Context) error {
		inUse := false
		for _, a := range t.arrangements {
			w.count(a)
			inUse = inUse || a.standing.Rollover.Presents == g.number
			w.look(a)
		}
		if inUse {
			w.result.ExpiredInUse++
		}
		return nil
	})
}

// beforeExpiry is the time before the expiry of the old certificate at which it is measured which receivers are ready.
const beforeExpiry = 30 * policy.Day

// measure plans to count the receivers with a person to install the newest generation, and those that are ready. If the
// certificate is renewed later than that, nothing is counted.
func (w *world) measure(t *tenant, at time.Time) {
	newest := t.newest()
	if !at.After(w.now) {
		return
	}
	w.schedule(at, tells, func(context.Context) error {
		for _, a := range t.arrangements {
			if a.kind != pinned {
				continue
			}
			w.result.AtThirtyDays++
			if a.receiver.accepts(newest, w.now) {
				w.result.ReadyAtThirtyDays++
			}
		}
		return nil
	})
}

// read reads the state of the arrangements of a tenant, as gateways do when they are notified of a change.
func (w *world) read(ctx context.Context, t *tenant) error {
	arrangements, err := w.store.ArrangementsOf(ctx, []string{t.ID})
	if err != nil {
		return err
	}
	all, err := w.engine.Standings(ctx, w.store.Reader, t.Tenant, arrangements[t.ID])
	if err != nil {
		return err
	}
	return w.update(t, all...)
}

// observe reports evidence to the engine.
func (w *world) observe(ctx context.Context, a *arrangement, actor string, seen ...standing.Observation) error {
	s, err := w.engine.Observe(ctx, a.id, actor, seen, w.now)
	if err != nil {
		return err
	}
	return w.update(a.tenant, s)
}

// update replaces the gateway's copy of the state of arrangements.
func (w *world) update(t *tenant, standings ...standing.Standing) error {
	for _, s := range standings {
		for _, a := range t.arrangements {
			if a.id != s.Arrangement.ID {
				continue
			}
			w.count(a)
			if from := a.standing.Rollover.Presents; from != 0 && from != s.Rollover.Presents {
				w.result.CutOvers++
				if err := w.checkNotice(a, from, s.Rollover.Presents); err != nil {
					return err
				}
			}
			a.standing = s
			w.look(a)
		}
	}
	all := make([]standing.Standing, len(t.arrangements))
	for i, a := range t.arrangements {
		all[i] = a.standing
	}
	if next := lifecycle.NextRoll(all, w.now); !next.IsZero() {
		w.roll(t, tick(next))
	}
	return nil
}

// checkNotice checks that a new generation is not presented before its notice has passed, if the policy warns about
// every renewal. A receiver that accepts the new one only, does not need the notice.
func (w *world) checkNotice(a *arrangement, from, to int) error {
	left, _ := a.standing.Rollover.Generation(from)
	noticed := a.tenant.generations[to-1].noticedAt
	needed := !a.accepts(a.tenant.generations[from-1], w.now) && a.accepts(a.tenant.generations[to-1], w.now)
	if to > from && w.now.Sub(noticed) < w.notice && w.now.Before(left.LeaveAt()) && !needed {
		return fmt.Errorf("invariant 2: tenant %s presents generation %d only %s after its first notice", a.tenant.Name, to,
			policy.FormatDuration(w.now.Sub(noticed)))
	}
	return nil
}

// tick returns the full hour at or after t. The service checks its roll-overs once an hour.
func tick(t time.Time) time.Time {
	if hour := t.Truncate(time.Hour); hour.Before(t) {
		return hour.Add(time.Hour)
	}
	return t
}

// roll plans a check of a tenant's roll-overs at the given hour, in place of an earlier plan.
func (w *world) roll(t *tenant, at time.Time) {
	if !at.After(w.now) { // this hour's check is over
		at = tick(w.now.Add(1))
	}
	if at.Equal(t.rollAt) {
		return
	}
	t.rollAt = at
	w.schedule(at, rolls, func(ctx context.Context) error {
		if !t.rollAt.Equal(w.now) {
			return nil
		}
		t.rollAt = time.Time{}
		return w.rollNow(ctx, t)
	})
}

func (w *world) rollNow(ctx context.Context, t *tenant) error {
	all, err := w.engine.RollTenant(ctx, t.Tenant, w.now)
	if err != nil {
		return err
	}
	return w.update(t, all...)
}

// rollHourly checks a tenant's roll-overs at every hour while one is open, as the service does.
func (w *world) rollHourly(t *tenant, from time.Time) {
	w.schedule(tick(from.Add(1)), rolls, func(ctx context.Context) error {
		w.rollHourly(t, w.now)
		if len(t.arrangements[0].standing.Rollover.Generations) < 2 {
			return nil
		}
		return w.rollNow(ctx, t)
	})
}

// close counts tasks and mails, and checks them against the notices.
func (w *world) close(ctx context.Context) error {
	notices, tasks, err := w.store.CountNotices(ctx)
	if err != nil {
		return err
	}
	toAdministrators, mailed, err := w.store.CountAdministratorMails(ctx)
	if err != nil {
		return err
	}
	notices, w.result.AdministratorMails = notices-toAdministrators, mailed
	if w.result.Tasks = tasks; tasks != keyUsers*notices {
		return fmt.Errorf("invariant 5: %d tasks for %d notices to %d key users each", tasks, notices, keyUsers)
	}
	if w.result.Mails = w.postbox.mails - mailed; w.result.Mails != subscribers*notices {
		return fmt.Errorf("invariant 5: %d mails for %d notices to %d subscribers each", w.result.Mails, notices, subscribers)
	}
	if _, err := w.store.VerifyEvents(ctx); err != nil {
		return fmt.Errorf("invariant 8: %w", err)
	}
	return nil
}

// count counts the messages of an arrangement up to now.
func (w *world) count(a *arrangement) {
	from, to := a.sentBefore(a.since), a.sentBefore(w.now)
	n := to - from
	w.result.Messages += n
	if !a.fate.delivered && w.now.After(a.since) {
		w.result.Failed += n
		w.result.outage += w.now.Sub(a.since).Milliseconds()
		if a.fate.accepted {
			w.result.FailedWhileAccepted += n
		}
		if a.fate.byRenewal {
			w.result.FailedByRenewal += n
		}
		for m := range w.months {
			if upTo := a.sentBefore(w.months[m]); upTo > from {
				part := min(upTo, to) - from
				w.result.FailedByMonth[m] += part
				from += part
			}
		}
	}
	a.since = w.now
}
