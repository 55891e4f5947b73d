package jobs

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	// askQueue is that of webhooks, whose workers wait for other systems as well. The page of a counterparty needs no
	// account, so ticks and imports must not wait for systems that do not answer. A queue of its own would cost an idle
	// service 27 allocations a second.
	askQueue = webhookQueue
	// mostAsked is the number of counterparties that a process asks together. Most workers are left to webhooks.
	mostAsked = 2
	// askPause is the time between two groups of questions of a counterparty, so that its systems answer messages in
	// between.
	askPause = 250 * time.Millisecond
	// sliceTime is the time after which a job that tests receivers lets others have its worker. River schedules what was
	// put off every five seconds only, so one group for each turn would ask 3,000 receivers in half an hour.
	sliceTime = 20 * time.Second
)

type askArgs struct {
	CounterpartyID string `json:"counterparty_id"`
}

func (askArgs) Kind() string { return "ask_counterparty" }

type askWorker struct {
	river.WorkerDefaults[askArgs]
	config *Config
	asking asking
}

// asking lets one job at a time ask for a counterparty in this process. Each request of its page queues a job, so that
// those of one page would take all workers otherwise.
type asking struct {
	mu sync.Mutex // guards running
	// running has the counterparties for which a job asks. The value is true if another job came in the meantime.
	running map[string]bool
}

// A turn is the answer to a job that wants to ask.
type turn int

const (
	mine   turn = iota
	others      // another job asks for the same counterparty, and asks again at its end
	later       // jobs of other counterparties have all places
)

// begin reports whether the caller may ask for a counterparty.
func (a *asking) begin(counterpartyID string) turn {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, running := a.running[counterpartyID]; running {
		a.running[counterpartyID] = true
		return others
	}
	if len(a.running) >= mostAsked {
		return later
	}
	if a.running == nil {
		a.running = map[string]bool{}
	}
	a.running[counterpartyID] = false
	return mine
}

// end lets the next job ask. It reports false, and does nothing, if another job came since the caller began or since
// the last call: the caller must ask again then.
func (a *asking) end(counterpartyID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[counterpartyID] {
		a.running[counterpartyID] = false
		return false
	}
	delete(a.running, counterpartyID)
	return true
}

// leave lets the next job ask, although questions may be left. The caller comes again.
func (a *asking) leave(counterpartyID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.running, counterpartyID)
}

// Timeout is half the lease. A question that was not answered until then is asked again.
func (w *askWorker) Timeout(*river.Job[askArgs]) time.Duration { return w.config.Lease / 2 }

func (w *askWorker) Work(ctx context.Context, job *river.Job[askArgs]) error {
	if w.config.Asker == nil {
		return errors.New("this service tests nothing for counterparties")
	}
	id := job.Args.CounterpartyID
	switch w.asking.begin(id) {
	case others:
		return nil
	case later:
		return river.JobSnooze(askPause)
	}
	start := w.config.Now()
	for {
		more, err := w.config.Asker.AskCounterparty(ctx, id)
		if err == nil && !more && w.asking.end(id) {
			return nil
		}
		if err == nil && w.config.Now().Sub(start) >= sliceTime {
			err = river.JobSnooze(askPause)
		}
		if err == nil {
			err = pause(ctx, askPause)
		}
		if err != nil {
			w.asking.leave(id)
			return err
		}
	}
}

// pause waits until the next group of tests.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// mostResumed limits the counterparties whose questions one tick resumes.
const mostResumed = 100

// resumeQuestions queues the questions of counterparties that have waited for a while, because their job may be lost.
// If it is not, the two jobs share the questions.
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
	_, err := client.InsertTx(ctx, tx, askArgs{counterpartyID}, &river.InsertOpts{Queue: askQueue})
	return err
}
