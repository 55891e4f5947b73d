package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// pageSize is the number of certificates in one transaction. It is large enough to make commits cheap, and small enough
// that a crash loses little work and the audit log is not locked for long.
const pageSize = 500

// Tick executes every run date that is due at now and not in the ledger, the earliest first, and resumes runs that left
// certificates. Then it updates the roll-overs, announces the next issuing CA, publishes the head of the audit log,
// warns about expiring tokens, collects the answers to requests, renews the certificates of revoked authorities,
// destroys keys in PKCS#11 tokens, and reports silent feeds. Call it often: it costs a few small queries if nothing is
// due.
func (e *Engine) Tick(ctx context.Context, now time.Time) error {
	unfinished, err := e.store.UnfinishedRuns(ctx)
	if err != nil {
		return err
	}
	failures := []error{e.refresh(ctx, now)}
	running, cancel := forRuns(ctx)
	defer cancel()
	for i := 0; i < len(unfinished) && running.Err() == nil; i++ {
		if _, err := e.Run(running, unfinished[i].RunDate, now); err != nil {
			failures = append(failures, err)
		}
	}
	due, err := e.NextRun(ctx, now)
	if err != nil {
		return err
	}
	for ; !due.After(now) && running.Err() == nil; due = e.policy.Schedule.Next(due) {
		if _, err := e.Run(running, due, now); err != nil {
			failures = append(failures, err)
		}
	}
	// Some of the last may take as long as a run of the whole fleet.
	return errors.Join(append(failures, e.Roll(ctx, now), e.Announce(ctx, now), e.PublishHead(ctx, now),
		e.WarnOfTokens(ctx, now), e.BeginCredentials(ctx, now), e.Collect(ctx, now), e.RenewRevoked(ctx, now),
		e.FollowHints(ctx, now), e.DestroyTokenKeys(ctx, now), e.ReportSilentFeeds(ctx, now),
		e.TellCounterparties(ctx, now))...)
}

// errRunTime interrupts a run that a slow CA prolongs.
var errRunTime = errors.New("the run takes longer than its share of a tick, and the next tick continues it")

// forRuns returns the context for the runs of a tick. They get three quarters of its time, so that a tick completes its
// other work even while a slow CA needs many hours.
func forRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	by, limited := ctx.Deadline()
	if !limited {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, time.Until(by)/4*3, errRunTime)
}

// NextRun returns the earliest run date of the schedule that is not in the ledger. It is in the past if a run was
// missed. The first call records now as the beginning of the installation, and no run date before it is due.
func (e *Engine) NextRun(ctx context.Context, now time.Time) (time.Time, error) {
	installed, err := e.store.InstalledAt(ctx, now)
	if err != nil {
		return time.Time{}, err
	}
	last, err := e.lastScheduled(ctx, installed)
	if err != nil {
		return time.Time{}, err
	}
	return e.policy.Schedule.Next(last), nil
}

// lastScheduled returns the latest run date in the ledger that is on the schedule, or the beginning of the
// installation. A run that was started manually for another date does not replace the scheduled runs before it. If no
// run is on the schedule, the schedule was changed, and it begins after the latest run.
func (e *Engine) lastScheduled(ctx context.Context, installed time.Time) (time.Time, error) {
	runs, err := e.store.Runs(ctx, time.Time{}, 100)
	if err != nil {
		return installed, err
	}
	last := installed
	for i, r := range runs {
		if r.RunDate.Before(installed) {
			break
		}
		if i == 0 {
			last = r.RunDate
		}
		if e.policy.Schedule.Latest(r.RunDate).Equal(r.RunDate) {
			return r.RunDate, nil
		}
	}
	return last, nil
}

// Run executes a run date, or resumes it if an earlier attempt left certificates. It does nothing if the run is
// finished. A run that has several parts is handed to the replicas, and Run returns at once. Otherwise, the error
// counts the certificates that are left for the next attempt. The others are done.
//
// Decisions are made for the run date, whenever it is executed. After downtime, a run does not warn about a renewal
// whose own run date has passed too, because that run follows at once.
func (e *Engine) Run(ctx context.Context, runDate, now time.Time) (tenancy.Run, error) {
	runDate = runDate.UTC()
	if runDate.After(now) {
		return tenancy.Run{}, tenancy.Errorf(tenancy.ErrRefused, "the run date %s is in the future",
			runDate.Format(time.RFC3339))
	}
	if err := e.refresh(ctx, now); err != nil {
		return tenancy.Run{}, err
	}
	handedOut, err := e.begin(ctx, runDate, now)
	if err != nil {
		return tenancy.Run{RunDate: runDate}, fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	run, err := e.store.Run(ctx, runDate)
	if err != nil || handedOut || !run.FinishedAt.IsZero() {
		return run, err
	}
	left, err := e.store.Parts(ctx, runDate)
	if err != nil {
		return run, err
	}
	failed := e.resume(ctx, left, now)
	if failed != nil && ctx.Err() != nil {
		return run, failed
	}
	if run, err = e.store.Run(ctx, runDate); err != nil {
		return run, errors.Join(failed, err)
	}
	return run, failed
}

// refresh reads the authorities that other replicas created. If the next one cannot be created, only [Engine.Announce]
// returns the error, so that it stops no renewal.
func (e *Engine) refresh(ctx context.Context, now time.Time) error {
	if e.authorities == nil {
		return nil
	}
	return issuer.Refreshed(ctx, e.authorities, now)
}

// begin enters a run in the ledger with its parts, unless it is there already. handedOut reports whether the parts are
// queued for all replicas.
func (e *Engine) begin(ctx context.Context, runDate, now time.Time) (handedOut bool, err error) {
	until, err := e.DueUntil(ctx, runDate)
	if err != nil {
		return false, err
	}
	var taken bool // by another replica, which added the parts
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		handedOut, taken = false, false
		started, err := tx.StartRun(ctx, tenancy.Run{RunDate: runDate, Policy: e.policy.Name, StartedAt: now})
		if err != nil {
			return err
		}
		if !started {
			// A run that an earlier release began and did not finish has no parts.
			if whole, err := tx.LacksParts(ctx, runDate); err != nil || !whole {
				return err
			}
		} else if err := tx.Audit(ctx, tenancy.NewEvent(now, actor(runDate), "run.started", "", runDateText(runDate),
			map[string]any{"policy": e.policy.Name})); err != nil {
			return err
		}
		parts, err := e.split(ctx, tx, runDate, until)
		if err != nil {
			return err
		}
		if err := tx.AddParts(ctx, parts); err != nil {
			taken = errors.Is(err, tenancy.ErrConflict)
			return err
		}
		if len(parts) == 1 || e.parts == nil {
			return nil
		}
		handedOut = true
		return e.parts.Enqueue(ctx, tx.SQL(), parts)
	})
	if taken {
		return false, nil
	}
	return handedOut, err
}

// finish records that a run has processed every certificate.
func (e *Engine) finish(ctx context.Context, tx *store.Tx, runDate, now time.Time) error {
	if _, err := tx.DestroyOldKeys(ctx, now); err != nil {
		return err
	}
	if err := tx.FinishRun(ctx, runDate, now); err != nil {
		return err
	}
	return tx.Audit(ctx, tenancy.NewEvent(now, actor(runDate), "run.finished", "", runDateText(runDate), nil))
}

// DueUntil returns the latest expiry that a run has to consider, for the run and for its forecast.
func (e *Engine) DueUntil(ctx context.Context, runDate time.Time) (time.Time, error) {
	longest, err := e.store.LongestValidity(ctx, e.policy.Validity)
	return runDate.Add(e.policy.Horizon(longest)), err
}

func actor(runDate time.Time) string { return "run " + runDateText(runDate) }

// A page holds some of the certificates of a run, with all data to process them.
type page struct {
	from       store.Position
	certs      []tenancy.Certificate
	people     map[string]audience
	actions    []policy.Action
	paced      bool // its renewals have been waited for
	successors []*store.SealedCertificate
	failed     int
	lastErr    error
	err        error // the page could not be read
}

// pageTime limits the time for requesting the certificates of a page before those that were issued are stored. So the
// certificates of a slow CA are not lost if the worker dies, and the claim of the part can be prolonged.
const pageTime = 30 * time.Second

// An attempt is one pass of a run over the certificates of a part.
type attempt struct {
	engine       *Engine
	runDate, now time.Time            // of its beginning
	elapsed      func() time.Duration // since then
	part         store.Part           // only commit uses and changes its ClaimedUntil
	outages      outages
}

// at returns the present time, in whole minutes since the beginning. A short attempt uses one time for all its work,
// and a long one does not compare its certificates with a time long ago.
func (w *attempt) at() time.Time { return w.now.Add(w.elapsed().Truncate(time.Minute)) }

// renewDue processes every certificate of the part that may be due. It is a pipeline: while one page is written, the
// keys and certificates of the next page are created, and the page after that is read.
func (w *attempt) renewDue(ctx context.Context) (failed int, lastErr, err error) {
	ctx, cancel := context.WithCancel(ctx)
	read, ready := make(chan *page), make(chan *page)
	defer func() {
		cancel()
		for range ready { // until both stages have ended
		}
	}()
	go w.readAll(ctx, w.part.After, read)
	go func() {
		defer close(ready)
		for p := range read {
			for p != nil && ctx.Err() == nil {
				var rest *page
				if p.err == nil {
					rest = w.prepare(ctx, p)
				}
				select {
				case ready <- p:
				case <-ctx.Done():
				}
				p = rest
			}
		}
	}()
	for p := range ready {
		if p.err != nil {
			return failed, lastErr, p.err
		}
		n, why, err := w.commit(ctx, p)
		if n > 0 {
			failed, lastErr = failed+n, why
		}
		if err != nil {
			return failed, lastErr, err
		}
	}
	return failed, lastErr, context.Cause(ctx)
}

// readAll reads page after page.
func (w *attempt) readAll(ctx context.Context, from store.Position, read chan<- *page) {
	defer close(read)
	for {
		p := w.read(ctx, from)
		select {
		case read <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil || len(p.certs) < pageSize {
			return
		}
		last := p.certs[len(p.certs)-1]
		from = store.Position{NotAfter: last.NotAfter, ID: last.ID}
	}
}

func (w *attempt) read(ctx context.Context, from store.Position) *page {
	p := &page{from: from}
	p.certs, p.err = w.engine.store.Due(ctx, w.runDate, from, w.part.Until, pageSize)
	if p.err == nil {
		p.people, p.err = w.engine.audiences(ctx, w.engine.store.Reader, p.certs)
	}
	return p
}

// mostConflicts limits how often a page is prepared again.
const mostConflicts = 4

// commit stores a page. A conflict means that another worker has processed one of its certificates in the meantime.
// Then the remaining ones are read and prepared again.
func (w *attempt) commit(ctx context.Context, p *page) (failed int, lastErr, err error) {
	var rest *page // of what was prepared again
	for conflicts := 0; ; {
		err := w.tryCommit(ctx, p)
		switch {
		case errors.Is(err, tenancy.ErrConflict) && conflicts < mostConflicts:
			conflicts++
			if p = w.readAgain(ctx, p, rest); p.err != nil {
				return failed, lastErr, p.err
			}
		case err != nil:
			return failed, lastErr, err
		default:
			if p.failed > 0 {
				failed, lastErr = failed+p.failed, p.lastErr
			}
			if rest == nil {
				return failed, lastErr, nil
			}
			p = rest
		}
		rest = w.prepare(ctx, p)
	}
}

// readAgain reads the certificates of a page and its rest that still need something, except those that the page left to
// another one.
func (w *attempt) readAgain(ctx context.Context, p, rest *page) *page {
	wanted := map[string]bool{}
	var last tenancy.Certificate
	for _, one := range []*page{p, rest} {
		for i := 0; one != nil && i < len(one.certs); i++ {
			c := one.certs[i]
			if one.actions[i] == policy.Wait {
				continue
			}
			wanted[c.ID] = true
			if c.NotAfter.After(last.NotAfter) || c.NotAfter.Equal(last.NotAfter) && c.ID > last.ID {
				last = c
			}
		}
	}
	until := store.Position{NotAfter: last.NotAfter, ID: last.ID}
	again := &page{from: p.from}
	// There may be new certificates in between.
	if again.certs, again.err = w.engine.store.Due(ctx, w.runDate, p.from, until, 2*pageSize); again.err == nil {
		again.certs = slices.DeleteFunc(again.certs, func(c tenancy.Certificate) bool { return !wanted[c.ID] })
	}
	if again.err == nil {
		again.people, again.err = w.engine.audiences(ctx, w.engine.store.Reader, again.certs)
	}
	return again
}

// prepare decides what to do with each certificate, and issues the successors. No issuer waits for another one. The
// certificates for which there was no time are returned as a separate page.
func (w *attempt) prepare(ctx context.Context, p *page) (rest *page) {
	var renew []int
	if p.actions == nil {
		renew = w.decide(p)
	} else { // it is the rest of a page
		for i := range p.certs {
			renew = append(renew, i)
		}
	}
	p.successors = make([]*store.SealedCertificate, len(p.certs))
	errs := make([]error, len(p.certs))
	if !p.paced && w.engine.pace != nil && len(renew) > 0 {
		if err := w.engine.pace(ctx, len(renew)); err != nil {
			for _, i := range renew {
				errs[i] = err
			}
			renew = nil
		}
	}
	began := w.elapsed()
	tried := make([]bool, len(p.certs))
	var issuers sync.WaitGroup
	for name, due := range w.byIssuer(p, renew) {
		issuers.Go(func() {
			each(len(due), w.engine.parallel(name), func(n int) {
				if i := due[n]; n == 0 || w.elapsed()-began < pageTime {
					tried[i] = true
					p.successors[i], errs[i] = w.successor(ctx, name, p, p.certs[i])
				}
			})
		})
	}
	issuers.Wait()
	for _, i := range renew {
		if tried[i] {
			continue
		}
		if rest == nil {
			rest = &page{from: p.from, people: p.people, paced: true}
		}
		rest.certs, rest.actions = append(rest.certs, p.certs[i]), append(rest.actions, p.actions[i])
		p.actions[i] = policy.Wait
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		p.successors[i] = nil
		if later := (*issuer.RequestedError)(nil); !errors.As(err, &later) {
			p.failed++
			p.lastErr = fmt.Errorf("%s of %s: %w", p.certs[i].Purpose.Noun(), p.people[p.certs[i].TenantID].Tenant.Name, err)
		}
	}
	return rest
}

// decide sets the action for each certificate, and returns those to be renewed.
func (w *attempt) decide(p *page) (renew []int) {
	p.actions = make([]policy.Action, len(p.certs))
	announcesThePast := !w.engine.policy.Schedule.Next(w.runDate).After(w.now)
	for i, c := range p.certs {
		a := w.engine.policy.Decide(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, w.runDate)
		if a == policy.Warn && (announcesThePast || w.engine.policy.WarnOnce && !c.WarnedAt.IsZero()) {
			a = policy.Wait
		}
		p.actions[i] = a
		if a == policy.Renew || a == policy.Expired {
			renew = append(renew, i)
		}
	}
	return renew
}

// byIssuer groups certificates of a page, given by their index, by the issuer that renews them. The order in a group is
// random: certificates on which a CA fails must not keep the same others from being tried (see [outages]).
func (w *attempt) byIssuer(p *page, certs []int) map[string][]int {
	groups := map[string][]int{}
	for _, n := range rand.Perm(len(certs)) {
		c := p.certs[certs[n]]
		name := w.engine.resolved(p.people[c.TenantID].owner().credential(c.Purpose).Issuer)
		groups[name] = append(groups[name], certs[n])
	}
	return groups
}

// successor issues the successor of a certificate of a page, unless its issuer has failed too often.
func (w *attempt) successor(ctx context.Context, issuer string, p *page, old tenancy.Certificate) (
	*store.SealedCertificate, error) {
	if err := w.outages.of(issuer); err != nil {
		return nil, err
	}
	why := cause{actor: actor(w.runDate), runDate: w.runDate}
	c, err := w.engine.successor(ctx, p.people[old.TenantID].owner(), old, why, w.at())
	w.outages.note(issuer, err)
	return &c, err
}

// tryCommit stores what was prepared, in one transaction.
func (w *attempt) tryCommit(ctx context.Context, p *page) error {
	e := w.engine
	b := batchFor(len(p.certs))
	b.runDate = w.runDate
	why, now := cause{actor: actor(w.runDate), runDate: w.runDate}, w.at()
	for i, c := range p.certs {
		switch p.actions[i] {
		case policy.Warn:
			e.warn(b, p.people[c.TenantID], c, why, now)
		case policy.Renew, policy.Expired:
			if p.successors[i] != nil {
				if err := e.replace(b, p.people[c.TenantID], c, *p.successors[i], why, now); err != nil {
					return err
				}
			}
		}
	}
	if len(b.notices) == 0 {
		return nil
	}
	until := w.part.ClaimedUntil
	if now.After(w.now) {
		until = now.Add(e.partLease)
	}
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		if !until.Equal(w.part.ClaimedUntil) {
			if err := tx.HoldPart(ctx, w.part, until); err != nil {
				return err
			}
		}
		if err := e.write(ctx, tx, b, now); err != nil {
			return err
		}
		return tx.CountRun(ctx, w.runDate, b.warns, b.renew, b.late)
	})
	if err == nil {
		w.part.ClaimedUntil = until
		b.log(ctx, e)
	}
	return err
}
