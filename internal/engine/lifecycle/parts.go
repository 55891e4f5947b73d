package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// DefaultPart is the number of certificates in a part of a run. A part takes some seconds, so replicas share a run
	// evenly, and little work is repeated if one of them dies.
	DefaultPart = 5000
	// DefaultPartLease limits how long a worker may hold a part before another worker can claim it.
	DefaultPartLease = 10 * time.Minute
)

// A PartQueue hands the parts of a run to the replicas.
type PartQueue interface {
	// Enqueue queues a call of [Engine.RunPart] for each of the parts, not before its BeginsAt. A zero BeginsAt is at
	// once. The calls are made after the transaction.
	Enqueue(ctx context.Context, tx *sql.Tx, parts []store.Part) error
}

// A NotYetError is returned for a part that cannot be claimed yet, because it begins later or another worker holds it.
type NotYetError struct {
	RunDate time.Time
	Part    int
	At      time.Time
}

// Until returns the instant from which the part can be claimed.
func (e *NotYetError) Until() time.Time { return e.At }

func (e *NotYetError) Error() string {
	return fmt.Sprintf("part %d of run %s cannot be claimed before %s", e.Part, runDateText(e.RunDate),
		e.At.UTC().Format(time.RFC3339))
}

// split divides a run into parts, at least one. Without a queue, no other replica can share the work, and the run has
// one part.
func (e *Engine) split(ctx context.Context, tx *store.Tx, runDate, until time.Time) (parts []store.Part, err error) {
	var marks []store.Position
	if e.parts != nil {
		if marks, err = tx.DueMarks(ctx, runDate, until, e.partSize); err != nil {
			return nil, err
		}
	}
	marks = append(marks, store.End(until))
	var after store.Position
	for i, mark := range marks {
		p := store.Part{RunDate: runDate, Number: i + 1, After: after, Until: mark}
		if i > 0 && e.policy.Spread > 0 {
			p.BeginsAt = runDate.Add(e.policy.Spread / time.Duration(len(marks)) * time.Duration(i))
		}
		parts = append(parts, p)
		after = mark
	}
	return parts, nil
}

// resume continues the parts of a run that no worker holds. The parts of a divided run are queued. A run of one part,
// or one without a queue, is worked on here, and queued for the end of its lease if another worker holds it.
func (e *Engine) resume(ctx context.Context, left []store.Part, now time.Time) error {
	var free, queue []store.Part
	for _, p := range left {
		at := p.FreeAt(now, e.partLease)
		switch {
		case at.IsZero() && (p.Whole() || e.parts == nil):
			free = append(free, p)
		case at.IsZero():
			queue = append(queue, p)
		case p.Whole() && e.parts != nil: // it has no job that would be tried again if its worker died
			p.BeginsAt = at
			queue = append(queue, p)
		}
	}
	if len(queue) > 0 {
		err := e.store.InTx(ctx, func(tx *store.Tx) error { return e.parts.Enqueue(ctx, tx.SQL(), queue) })
		if err != nil {
			return err
		}
	}
	var failures []error
	for _, p := range free {
		err := e.work(ctx, p.RunDate, p.Number, now)
		if held := (*NotYetError)(nil); !errors.As(err, &held) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// RunPart does one part of a run. It does nothing if the part is done. The error counts the certificates that are left
// for the next attempt, or is a [NotYetError]. The last part finishes the run.
func (e *Engine) RunPart(ctx context.Context, runDate time.Time, number int, now time.Time) error {
	if err := e.refresh(ctx, now); err != nil {
		return err
	}
	return e.work(ctx, runDate, number, now)
}

// work does one part of a run, as [Engine.RunPart] does.
func (e *Engine) work(ctx context.Context, runDate time.Time, number int, now time.Time) error {
	var p store.Part
	err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		p, err = tx.ClaimPart(ctx, runDate, number, now, e.partLease)
		return err
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return e.notYet(ctx, runDate, number, now)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	w := &attempt{engine: e, runDate: runDate, now: now, elapsed: e.stopwatch(), part: p}
	failed, why, err := w.renewDue(ctx)
	p = w.part
	if err != nil && ctx.Err() != nil { // whatever was being done then
		err = context.Cause(ctx)
	}
	if err != nil {
		why = err
	} else if failed > 0 {
		err = fmt.Errorf("%d certificates could not be renewed and will be retried; the last error was: %w", failed,
			why)
	}
	if err != nil {
		// Also after the context has ended: the next tick need not wait until the claim expires.
		release := context.WithoutCancel(ctx)
		err = errors.Join(err, e.store.InTx(release, func(tx *store.Tx) error {
			// A part that was interrupted, because the service stops or the time is over, has not failed.
			if err := tx.ReleasePart(release, p, failed, why.Error()); err != nil || ctx.Err() != nil {
				return err
			}
			return recordFailure(release, tx, runDate, failed, why, now)
		}))
		return fmt.Errorf("%s: %w", p, err)
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		last, err := tx.DonePart(ctx, p)
		if err != nil || !last {
			return err
		}
		return e.finish(ctx, tx, runDate, now)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	run, err := e.store.Run(ctx, runDate)
	if err == nil && !run.FinishedAt.IsZero() {
		e.log.InfoContext(ctx, "run", "run_date", runDateText(runDate), "warned", run.Warned, "renewed", run.Renewed, "late",
			run.Late)
	}
	return err
}

// recordFailure stores in the audit log that a run failed. A run that fails at every tick has one event a day.
func recordFailure(ctx context.Context, tx *store.Tx, runDate time.Time, failed int, why error, now time.Time) error {
	subject := runDateText(runDate) + "/" + now.UTC().Format(time.DateOnly)
	first, err := tx.Claim(ctx, store.ClaimRunFailed, subject, now)
	if err != nil || !first {
		return err
	}
	return tx.Audit(ctx, tenancy.NewEvent(now, actor(runDate), "run.failed", "", runDateText(runDate),
		map[string]any{"failed": failed, "error": why.Error()}))
}

// notYet returns a [NotYetError] for a part that could not be claimed, or nil if the part is done.
func (e *Engine) notYet(ctx context.Context, runDate time.Time, number int, now time.Time) error {
	p, err := e.store.Part(ctx, runDate, number)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	return &NotYetError{runDate, number, p.FreeAt(now, e.partLease)}
}
