package jobs

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	// askPriority is the lowest of River: ticks, parts of runs and imports go first, because the page of a counterparty
	// needs no account.
	askPriority = 4
	// askPause is the time between two groups of questions of a counterparty, so that its systems answer messages in
	// between.
	askPause = 250 * time.Millisecond
	// askSlice is the time after which a job lets others have its worker. River schedules what was put off every five
	// seconds only, so one group for each turn would ask 3,000 receivers in half an hour.
	askSlice = 20 * time.Second
)

type askArgs struct {
	CounterpartyID string `json:"counterparty_id"`
}

func (askArgs) Kind() string { return "ask_counterparty" }

type askWorker struct {
	river.WorkerDefaults[askArgs]
	config *Config
}

// Timeout is half the lease. A question that was not answered until then is asked again.
func (w *askWorker) Timeout(*river.Job[askArgs]) time.Duration { return w.config.Lease / 2 }

func (w *askWorker) Work(ctx context.Context, job *river.Job[askArgs]) error {
	if w.config.Asker == nil {
		return errors.New("this service tests nothing for counterparties")
	}
	start := w.config.Now()
	for {
		more, err := w.config.Asker.AskCounterparty(ctx, job.Args.CounterpartyID)
		if err != nil || !more {
			return err
		}
		if w.config.Now().Sub(start) >= askSlice {
			return river.JobSnooze(askPause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askPause):
		}
	}
}

// mostResumed limits the counterparties whose questions one tick resumes.
const mostResumed = 100

// resumeQuestions queues the questions of counterparties that have waited for a while, because their job may be lost. If
// it is not, the two jobs share the questions.
func (w *tickWorker) resumeQuestions(ctx context.Context) error {
	ids, err := w.config.Store.LeftQuestions(ctx, w.config.Now().Add(-store.JobLostAfter), mostResumed)
	if err != nil || len(ids) == 0 {
		return err
	}
	return w.config.Store.InTx(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := enqueueQuestions(ctx, w.client, tx.SQL(), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// EnqueueQuestions queues the questions of a counterparty that wait, in the transaction.
func (j *Jobs) EnqueueQuestions(ctx context.Context, tx *sql.Tx, counterpartyID string) error {
	return enqueueQuestions(ctx, j.client, tx, counterpartyID)
}

func enqueueQuestions(ctx context.Context, client *river.Client[*sql.Tx], tx *sql.Tx, counterpartyID string) error {
	_, err := client.InsertTx(ctx, tx, askArgs{counterpartyID}, &river.InsertOpts{Priority: askPriority})
	return err
}
