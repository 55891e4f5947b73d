package jobs

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	webhookQueue = "webhook"
	// webhookWorkers is the number of webhooks that a process works on together, see package webhooks. Most of the time, a
	// worker waits for an answer.
	webhookWorkers = 12
	// webhookTries is the number of attempts at a job that fails, which take six minutes. After that, a tick resumes the
	// work. If an endpoint fails, the job does not.
	webhookTries = 5
	// webhookTimeout exceeds the time that one job works on a webhook.
	webhookTimeout = 45 * time.Second
)

// Webhooks delivers to webhooks, as package webhooks does.
type Webhooks interface {
	// Deliver works on a webhook. again is the time at which the same job has to run again; zero if it is done.
	Deliver(ctx context.Context, webhookID string) (again time.Time, err error)
	// Prune runs at every tick.
	Prune(ctx context.Context, now time.Time) error
}

type webhookArgs struct {
	ID string `json:"id"`
}

func (webhookArgs) Kind() string { return "deliver_webhook" }

type webhookWorker struct {
	river.WorkerDefaults[webhookArgs]
	config *Config
}

// Timeout is at most half the lease, so that a running job is never considered lost.
func (w *webhookWorker) Timeout(*river.Job[webhookArgs]) time.Duration {
	return min(w.config.Lease/2, webhookTimeout)
}

func (w *webhookWorker) Work(ctx context.Context, job *river.Job[webhookArgs]) error {
	if w.config.Webhooks == nil {
		return errors.New("this service has no webhooks")
	}
	again, err := w.config.Webhooks.Deliver(ctx, job.Args.ID)
	if err != nil || again.IsZero() {
		return err
	}
	return river.JobSnooze(max(again.Sub(w.config.Now()), 0)) // this does not count as an attempt
}

// A WebhookQueue queues the work on webhooks.
type WebhookQueue struct{ client *river.Client[*sql.Tx] }

// NewWebhookQueue returns a queue on a migrated database.
func NewWebhookQueue(s *store.Store, log *slog.Logger) (*WebhookQueue, error) {
	client, err := inserting(s, log)
	return &WebhookQueue{client}, err
}

// EnqueueWebhook queues the work on a webhook, in the transaction: at a time, or at once if that is zero. A job with a
// time waits for River's scheduler, also if the time is past.
func (q *WebhookQueue) EnqueueWebhook(ctx context.Context, tx *sql.Tx, webhookID string, at time.Time) error {
	_, err := q.client.InsertTx(ctx, tx, webhookArgs{webhookID},
		&river.InsertOpts{Queue: webhookQueue, ScheduledAt: at, MaxAttempts: webhookTries})
	return err
}
