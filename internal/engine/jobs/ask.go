package jobs

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/riverqueue/river"
)

const (
	// askPriority is the lowest of River: ticks, parts of runs and imports go first, because the page of a counterparty
	// needs no account.
	askPriority = 4
	// askPause is the time between two groups of questions of a counterparty.
	askPause = time.Second
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
	more, err := w.config.Asker.AskCounterparty(ctx, job.Args.CounterpartyID)
	if err == nil && more {
		return river.JobSnooze(askPause)
	}
	return err
}

// EnqueueQuestions queues the questions of a counterparty that wait, in the transaction.
func (j *Jobs) EnqueueQuestions(ctx context.Context, tx *sql.Tx, counterpartyID string) error {
	_, err := j.client.InsertTx(ctx, tx, askArgs{counterpartyID}, &river.InsertOpts{Priority: askPriority})
	return err
}
