package jobs

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/riverqueue/river"
)

// A Tester tests the receivers of a round, a few at a time. It returns the time after which it must be called again; 0
// at the end of the round. An error with a time concerns single tests.
type Tester interface {
	WorkRound(ctx context.Context, id string) (again time.Duration, err error)
}

type roundArgs struct {
	RoundID string `json:"round_id"`
}

func (roundArgs) Kind() string { return "test_round" }

type roundWorker struct {
	river.WorkerDefaults[roundArgs]
	config *Config
}

// Timeout is half the lease. A test that had no result until then is asked again.
func (w *roundWorker) Timeout(*river.Job[roundArgs]) time.Duration { return w.config.Lease / 2 }

// Work works on a round for a slice, and then gives its worker to other jobs.
func (w *roundWorker) Work(ctx context.Context, job *river.Job[roundArgs]) error {
	if w.config.Tester == nil {
		return errors.New("this service tests no receivers")
	}
	for start := w.config.Now(); ; {
		again, err := w.config.Tester.WorkRound(ctx, job.Args.RoundID)
		if again == 0 {
			return err
		}
		if err != nil {
			w.config.Log.WarnContext(ctx, "some tests of a round failed and are skipped", "round", job.Args.RoundID, "error",
				err)
		}
		if w.config.Now().Sub(start) >= sliceTime {
			return river.JobSnooze(again)
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
	}
}

// EnqueueRound queues a round of tests, in the transaction.
func (j *Jobs) EnqueueRound(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := j.client.InsertTx(ctx, tx, roundArgs{id}, &river.InsertOpts{Queue: askQueue})
	return err
}
