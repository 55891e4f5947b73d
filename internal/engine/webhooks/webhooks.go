// Package webhooks sends events to endpoints that operators and key users choose.
//
// The audit log is the one source of events: an event of a webhook is the public form of an audit event, see the table
// in events.go. It promises that a delivery is stored in the transaction that stores the audit event, so that no event
// is lost or invented. A delivery is sent at least once, with the same event ID at every attempt. The order of
// deliveries is not promised. It is tried again for up to three days, and is dead after that until a person replays it.
//
// No tenant's endpoint delays the deliveries of another tenant: a tenant has few workers at once, endpoints that fail
// or are slow have few together, and the pauses between attempts grow. Everything is bounded: webhooks, queued
// deliveries (events beyond that are dropped and counted), the time of a request, and how long deliveries are kept.
package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// MostOfTenant, MostOfCounterparty and MostOfInstallation limit the webhooks of one owner.
	MostOfTenant, MostOfCounterparty, MostOfInstallation = 10, 10, 20
	// queueOfTenant, queueOfCounterparty and queueOfInstallation limit the queued deliveries to one webhook. A run over a
	// large fleet causes an event of the installation for each renewal, and of a counterparty for each of its tenants.
	queueOfTenant, queueOfCounterparty, queueOfInstallation = 1000, 20_000, 100_000
	// deliveredKept and deadKept are the retention times of deliveries that have ended.
	deliveredKept, deadKept = 7 * 24 * time.Hour, 30 * 24 * time.Hour
)

// A Sealer encrypts data for a context, with which alone it can be decrypted.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// A Queue queues the work on a webhook, in the transaction: at a time, or at once if that is zero.
type Queue interface {
	EnqueueWebhook(ctx context.Context, tx *sql.Tx, webhookID string, at time.Time) error
}

// A Network opens connections to the endpoints of a tenant; of the installation if the name is empty. serverCA verifies
// them (PEM); empty for the CAs of the system.
type Network interface {
	Open(tenant, serverCA string) (Poster, error)
}

// A Poster sends requests to one endpoint.
type Poster interface {
	// Post sends a request. The error neither contains the URL nor quotes the endpoint.
	Post(ctx context.Context, r Request) (Answer, error)
	Close()
}

// Config holds what webhooks depend on. All fields are required.
type Config struct {
	Store   *store.Store
	Seal    Sealer
	Queue   Queue
	Network Network
	// BaseURL is the address of the service. It is the source of events, and the beginning of links.
	BaseURL string
	Now     func() time.Time
	Log     *slog.Logger
}

// Webhooks manages webhooks and delivers to them. It is safe for concurrent use, even by several replicas.
type Webhooks struct {
	store   *store.Store
	seal    Sealer
	queue   Queue
	network Network
	base    string
	now     func() time.Time
	log     *slog.Logger
	lanes   lanes
	tests   lanes // of tests by hand
}

// New returns webhooks. The error names a dependency that is missing. Their events are those of [Webhooks.Follow].
func New(c Config) (*Webhooks, error) {
	switch {
	case c.Store == nil || c.Seal == nil || c.Queue == nil || c.Network == nil:
		return nil, errors.New("webhooks need a Store, a Seal, a Queue and a Network")
	case c.BaseURL == "" || c.Now == nil || c.Log == nil:
		return nil, errors.New("webhooks need a BaseURL, a clock and a Log")
	}
	return &Webhooks{store: c.Store, seal: c.Seal, queue: c.Queue, network: c.Network, base: c.BaseURL, now: c.Now,
		log: c.Log}, nil
}

// wake queues the work on a webhook, unless it is queued already.
func (w *Webhooks) wake(ctx context.Context, tx *store.Tx, id string, at time.Time) error {
	needsJob, err := tx.WakeWebhook(ctx, id, at)
	if err != nil || !needsJob {
		return err
	}
	if !at.After(w.now()) {
		at = time.Time{}
	}
	return w.queue.EnqueueWebhook(ctx, tx.SQL(), id, at)
}

// prunePage limits the deliveries that one transaction deletes.
const prunePage = 5000

// Prune gives up deliveries whose time is over, deletes those that ended long ago, and resumes work whose job was lost.
// Call it with every tick.
func (w *Webhooks) Prune(ctx context.Context, now time.Time) error {
	return errors.Join(w.expire(ctx, now), w.forget(ctx, tenancy.WebhookDelivered, now.Add(-deliveredKept)),
		w.forget(ctx, tenancy.WebhookDead, now.Add(-deadKept)), w.resume(ctx, now))
}

func (w *Webhooks) expire(ctx context.Context, now time.Time) error {
	var expired int64
	err := w.store.InTx(ctx, func(tx *store.Tx) (err error) {
		expired, err = tx.ExpireDeliveries(ctx, now.Add(-giveUpAfter), failuresUntilPause,
			"the webhook was disabled, or its endpoint did not work, for three days", now)
		return err
	})
	if err == nil && expired > 0 {
		w.log.WarnContext(ctx, "deliveries to webhooks were given up: replay them when the endpoints work again",
			"deliveries", expired)
	}
	return err
}

func (w *Webhooks) forget(ctx context.Context, state tenancy.WebhookState, before time.Time) error {
	for {
		var n int64
		err := w.store.InTx(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.ForgetDeliveries(ctx, state, before, prunePage)
			return err
		})
		if err != nil || n < prunePage {
			return err
		}
	}
}

// mostResumed limits the webhooks that one tick resumes.
const mostResumed = 1000

// resume queues the work on webhooks with deliveries that have been due for a while.
func (w *Webhooks) resume(ctx context.Context, now time.Time) error {
	ids, err := w.store.IdleWebhooks(ctx, now.Add(-store.JobLostAfter), mostResumed)
	if err != nil || len(ids) == 0 {
		return err
	}
	return w.store.InTx(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := w.wake(ctx, tx, id, now); err != nil {
				return err
			}
		}
		return nil
	})
}
