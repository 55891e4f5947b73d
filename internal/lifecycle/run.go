package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// pageSize is how many certificates one transaction deals with: large enough that commits cost little, small enough that a
// crash loses little work and the audit log is not locked for long.
const pageSize = 500

// Tick executes every run date that is due at now and not in the ledger, the earliest first, and takes up runs that did not
// deal with every certificate. Call it often: where nothing is due it costs two small queries.
func (e *Engine) Tick(ctx context.Context, now time.Time) error {
	installed, err := e.Store.InstalledAt(ctx, now)
	if err != nil {
		return err
	}
	unfinished, err := e.Store.UnfinishedRuns(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, r := range unfinished {
		if _, err := e.Run(ctx, r.RunDate, now); err != nil {
			failures = append(failures, err)
		}
	}
	last := installed
	switch latest, err := e.Store.LatestRun(ctx); {
	case err == nil && latest.RunDate.After(last):
		last = latest.RunDate
	case err != nil && !errors.Is(err, tenancy.ErrNotFound):
		return err
	}
	for due := e.Policy.Schedule.Next(last); !due.After(now); due = e.Policy.Schedule.Next(due) {
		if _, err := e.Run(ctx, due, now); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Run executes a run date, or takes up where an earlier try of it ended; once it is finished, it does nothing more. The
// error says how many certificates are left for the next try; the others are done.
//
// Decisions are made for the run date, whenever it is executed. After downtime, warnings are left out where the run that
// they announce is in the past already: it follows at once.
func (e *Engine) Run(ctx context.Context, runDate, now time.Time) (tenancy.Run, error) {
	runDate = runDate.UTC()
	if runDate.After(now) {
		return tenancy.Run{}, tenancy.Errorf(tenancy.ErrRefused, "the run date %s is in the future", runDate.Format(time.RFC3339))
	}
	if e.Refresh != nil {
		if err := e.Refresh(ctx, now); err != nil {
			return tenancy.Run{}, err
		}
	}
	run := tenancy.Run{RunDate: runDate, Policy: e.Policy.Name, StartedAt: now}
	err := e.Store.InTx(ctx, func(tx *store.Tx) error {
		started, err := tx.StartRun(ctx, run)
		if err != nil || !started {
			return err
		}
		return tx.Audit(ctx, Event(now, actor(runDate), "run.started", "", runDateText(runDate), map[string]any{"policy": e.Policy.Name}))
	})
	if err != nil {
		return run, fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	if run, err = e.Store.Run(ctx, runDate); err != nil || !run.FinishedAt.IsZero() {
		return run, err
	}
	failed, lastErr, err := e.walk(ctx, runDate, now)
	if err != nil {
		return run, fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	err = e.Store.InTx(ctx, func(tx *store.Tx) error {
		if failed > 0 {
			return tx.EndRun(ctx, runDate, time.Time{}, failed, lastErr.Error())
		}
		if _, err := tx.DestroyExpiredKeys(ctx, now); err != nil {
			return err
		}
		if err := tx.EndRun(ctx, runDate, now, 0, ""); err != nil {
			return err
		}
		return tx.Audit(ctx, Event(now, actor(runDate), "run.finished", "", runDateText(runDate), nil))
	})
	if err != nil {
		return run, fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	if run, err = e.Store.Run(ctx, runDate); err != nil {
		return run, err
	}
	e.Log.InfoContext(ctx, "run", "run_date", runDateText(runDate), "warned", run.Warned, "renewed", run.Renewed, "late", run.Late, "failed", failed)
	if failed > 0 {
		return run, fmt.Errorf("run %s: %d certificates could not be renewed and will be tried again, the last one because: %w", runDateText(runDate), failed, lastErr)
	}
	return run, nil
}

func actor(runDate time.Time) string { return "run " + runDateText(runDate) }

// A page is some of the certificates that a run looks at, and all that is needed to deal with them.
type page struct {
	afterNotAfter time.Time // where it begins
	afterID       string
	certs         []tenancy.Certificate
	people        map[string]people
	actions       []policy.Action
	successors    []*store.SealedCertificate
	failed        int
	lastErr       error
	err           error // the page could not be read
}

// walk deals with every certificate that may be due: while one page is written, the next one's keys and certificates are
// made.
func (e *Engine) walk(ctx context.Context, runDate, now time.Time) (failed int, lastErr, err error) {
	lifetime, err := e.Store.LongestLifetime(ctx)
	if err != nil {
		return 0, nil, err
	}
	until := runDate.Add(e.Policy.Horizon(max(lifetime, e.Policy.Validity)))
	ctx, cancel := context.WithCancel(ctx)
	pages := make(chan *page) // not buffered: one is prepared while one is written
	defer func() {
		cancel()
		for range pages { // until the reader has ended
		}
	}()
	go func() {
		defer close(pages)
		p := &page{}
		for {
			p = e.prepare(ctx, runDate, now, until, p.afterNotAfter, p.afterID)
			select {
			case pages <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil || len(p.certs) < pageSize {
				return
			}
			last := p.certs[len(p.certs)-1]
			p = &page{afterNotAfter: last.NotAfter, afterID: last.ID}
		}
	}()
	for p := range pages {
		if p.err != nil {
			return failed, lastErr, p.err
		}
		// A conflict means that somebody else dealt with one of these certificates meanwhile: read the page again.
		for try := 1; ; try++ {
			if err = e.writePage(ctx, p, runDate, now); !errors.Is(err, tenancy.ErrConflict) || try == 5 {
				break
			}
			if p = e.prepare(ctx, runDate, now, until, p.afterNotAfter, p.afterID); p.err != nil {
				return failed, lastErr, p.err
			}
		}
		if err != nil {
			return failed, lastErr, err
		}
		if p.failed > 0 {
			failed, lastErr = failed+p.failed, p.lastErr
		}
	}
	return failed, lastErr, ctx.Err()
}

// prepare reads a page, decides, and makes the successors, on all cores.
func (e *Engine) prepare(ctx context.Context, runDate, now, until, afterNotAfter time.Time, afterID string) *page {
	p := &page{afterNotAfter: afterNotAfter, afterID: afterID}
	if p.certs, p.err = e.Store.Due(ctx, runDate, until, afterNotAfter, afterID, pageSize); p.err != nil || len(p.certs) == 0 {
		return p
	}
	if p.people, p.err = e.people(ctx, e.Store.Reader, p.certs); p.err != nil {
		return p
	}
	p.actions = make([]policy.Action, len(p.certs))
	p.successors = make([]*store.SealedCertificate, len(p.certs))
	errs := make([]error, len(p.certs))
	work := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range work {
				next, err := e.issue(ctx, p.people[p.certs[i].TenantID].tenant, p.certs[i].Purpose, p.certs[i].Generation+1, now)
				p.successors[i], errs[i] = &next, err
			}
		})
	}
	announcesThePast := !e.Policy.Schedule.Next(runDate).After(now)
	for i, c := range p.certs {
		a := e.Policy.Decide(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, runDate)
		if a == policy.Warn && (announcesThePast || e.Policy.WarnOnce && !c.WarnedAt.IsZero()) {
			a = policy.Wait
		}
		p.actions[i] = a
		if a == policy.Renew || a == policy.Expired {
			work <- i
		}
	}
	close(work)
	workers.Wait()
	for i, err := range errs {
		if err != nil {
			p.successors[i] = nil
			p.failed++
			p.lastErr = fmt.Errorf("%s of %s: %w", p.certs[i].Purpose.Noun(), p.people[p.certs[i].TenantID].tenant.Name, err)
		}
	}
	return p
}

// writePage stores what was prepared, as one transaction.
func (e *Engine) writePage(ctx context.Context, p *page, runDate, now time.Time) error {
	var b batch
	why := cause{actor: actor(runDate), runDate: runDate}
	for i, c := range p.certs {
		switch p.actions[i] {
		case policy.Warn:
			e.warn(&b, p.people[c.TenantID], c, why, now)
		case policy.Renew, policy.Expired:
			if p.successors[i] != nil {
				e.replace(&b, p.people[c.TenantID], c, *p.successors[i], why, now)
			}
		}
	}
	if len(b.notices) == 0 {
		return nil
	}
	return e.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := e.write(ctx, tx, &b); err != nil {
			return err
		}
		return tx.CountRun(ctx, runDate, b.warns, b.renew, b.late)
	})
}
