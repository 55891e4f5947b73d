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
	// DefaultPart is how many certificates a part of a run has: some seconds of work, so that replicas share it evenly,
	// and that little is done again where one of them dies.
	DefaultPart = 5000
	// DefaultPartLease is how long a part is somebody's who does not say that it is done.
	DefaultPartLease = 10 * time.Minute
)

// Spread hands out parts of a run.
type Spread interface {
	// Enqueue lets somebody call [Engine.RunPart] for each of the parts, from its BeginsAt on (zero: at once), after the
	// transaction.
	Enqueue(ctx context.Context, tx *sql.Tx, parts []store.Part) error
}

// A NotYetError says that a part of a run cannot be done before an instant: it begins then, or who works on it must
// have said by then that it is done.
type NotYetError struct {
	RunDate time.Time
	Part    int
	At      time.Time
}

func (e *NotYetError) Error() string {
	return fmt.Sprintf("part %d of run %s is somebody's, or begins, at %s", e.Part, runDateText(e.RunDate),
		e.At.UTC().Format(time.RFC3339))
}

// split cuts a run into parts: none where it is little work that need not wait.
func (e *Engine) split(ctx context.Context, tx *store.Tx, runDate, until time.Time) (parts []store.Part, err error) {
	if e.spread == nil {
		return nil, nil
	}
	marks, err := tx.DueMarks(ctx, runDate, until, e.partSize)
	if err != nil || len(marks) == 0 && e.policy.Spread == 0 {
		return nil, err
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

// resume lets the parts of a run that nobody works on be done: those that somebody died over, or that failed.
func (e *Engine) resume(ctx context.Context, parts []store.Part, now time.Time) error {
	var left []store.Part
	for _, p := range parts {
		if p.FreeAt(now, e.partLease).IsZero() {
			left = append(left, p)
		}
	}
	if e.spread != nil && len(left) > 0 {
		return e.store.InTx(ctx, func(tx *store.Tx) error { return e.spread.Enqueue(ctx, tx.SQL(), left) })
	}
	var failures []error
	for _, p := range left {
		err := e.RunPart(ctx, p.RunDate, p.Number, now)
		if taken := (*NotYetError)(nil); !errors.As(err, &taken) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// RunPart does one part of a run, and nothing where it is done. The error says how many certificates are left for the
// next try, or is a [NotYetError]. With the last part the run is finished.
func (e *Engine) RunPart(ctx context.Context, runDate time.Time, number int, now time.Time) error {
	if e.authorities != nil {
		if err := e.authorities.Refresh(ctx, now); err != nil {
			return err
		}
	}
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
	failed, lastErr, err := e.walk(ctx, runDate, now, p.After, p.Until)
	if err != nil || failed > 0 {
		why := err
		if why == nil {
			why = lastErr
		}
		// Also where the context has ended: the next tick need not wait for the claim to run out.
		release := e.store.InTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			return tx.ReleasePart(context.WithoutCancel(ctx), p, failed, why.Error())
		})
		return errors.Join(fmt.Errorf("run %s, part %d: %d certificates could not be renewed and will be tried again: %w",
			runDateText(runDate), number, failed, why), release)
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		last, err := tx.DonePart(ctx, p)
		if err != nil || !last {
			return err
		}
		return e.finish(ctx, tx, runDate, now)
	})
	if err != nil {
		return fmt.Errorf("run %s: %w", runDateText(runDate), err)
	}
	run, err := e.store.Run(ctx, runDate)
	if err == nil && !run.FinishedAt.IsZero() {
		e.log.InfoContext(ctx, "run", "run_date", runDateText(runDate), "warned", run.Warned, "renewed", run.Renewed, "late",
			run.Late)
	}
	return err
}

// notYet says when a part that was not to be had can be; nil where it is done.
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
