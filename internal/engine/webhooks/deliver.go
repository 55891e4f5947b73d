package webhooks

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

const (
	// giveUpAfter is the time after which a delivery that fails is dead.
	giveUpAfter = 3 * 24 * time.Hour
	// failuresUntilPause is the number of failures in a row after which an endpoint is left alone for a while. Before, a
	// failure may be due to one delivery.
	failuresUntilPause = 3
	// mostPause limits the time for which an endpoint is left alone, also if it asks for more.
	mostPause = time.Hour
	// sliceSize and sliceTime limit the deliveries that a worker makes before others have their turn.
	sliceSize = 1000
	sliceTime = 20 * time.Second
	// claimFor is the time for which a worker has a webhook. It exceeds a slice with its last request.
	claimFor = time.Minute
	// busyPause is the wait for a webhook that another worker has, or for a place of its tenant.
	busyPause = 5 * time.Second
)

// pauses are the times between the attempts at a delivery: 10 attempts in two days. They follow Standard Webhooks.
var pauses = []time.Duration{5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
	5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 18 * time.Hour}

// A Request is one message to an endpoint.
type Request struct {
	URL           string
	ContentType   string
	Authorization string // value of the header; empty for none
	Body          []byte
	Signature     webhook.Signature // empty for the formats of products, which do not verify it
}

// An Answer is the answer of an endpoint. Its body is not of interest.
type Answer struct {
	Status int
	// RetryAfter is the time after which the endpoint asks for the next request; 0 if it does not.
	RetryAfter time.Duration
}

// Deliver works on the deliveries to a webhook that are due, for a limited time. again is the time at which the same
// job has to run again; zero if it is done.
func (w *Webhooks) Deliver(ctx context.Context, webhookID string) (again time.Time, err error) {
	now := w.now()
	var h tenancy.Webhook
	var claimed bool
	err = w.store.InTx(ctx, func(tx *store.Tx) (err error) {
		h, claimed, err = tx.ClaimWebhook(ctx, webhookID, now, now.Add(claimFor))
		return err
	})
	switch {
	case errors.Is(err, tenancy.ErrNotFound): // it was deleted
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case !claimed:
		return now.Add(busyPause), nil
	}
	ending := context.WithoutCancel(ctx) // also then, others need not wait until the claim expires
	leave, ok := w.lanes.enter(h.OwnerID(), w.lanes.hindered(h))
	if !ok {
		return w.release(ending, h, now.Add(busyPause))
	}
	err = w.slice(ctx, &h, now)
	leave()
	if err != nil { // the job queue repeats the job
		return time.Time{}, errors.Join(err, w.abandon(ending, h))
	}
	return w.release(ending, h, w.now())
}

// abandon ends the claim of a webhook whose job failed.
func (w *Webhooks) abandon(ctx context.Context, h tenancy.Webhook) error {
	return w.store.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.ReleaseWebhook(ctx, h.ID, time.Time{})
		return err
	})
}

// release ends the claim of a webhook. It returns the time at which the same job has to run again; zero if it is done.
// earliest is the earliest such time.
func (w *Webhooks) release(ctx context.Context, h tenancy.Webhook, earliest time.Time) (again time.Time, err error) {
	err = w.store.InTx(ctx, func(tx *store.Tx) (err error) {
		again = time.Time{}
		var next time.Time
		if h.Enabled {
			if next, err = tx.NextDelivery(ctx, h.ID); err != nil {
				return err
			}
		}
		if !next.IsZero() {
			next = later(earliest, later(next, h.Health.RetryAt))
		}
		if !next.IsZero() && !next.After(w.now()) { // a new job comes after those of others
			if _, err := tx.ReleaseWebhook(ctx, h.ID, time.Time{}); err != nil {
				return err
			}
			return w.wake(ctx, tx, h.ID, next)
		}
		needsJob, err := tx.ReleaseWebhook(ctx, h.ID, next)
		if needsJob {
			again = next
		}
		return err
	})
	return again, err
}

// slice makes deliveries until none is due, the endpoint has to be left alone, or others have their turn. h has the
// present health afterwards.
func (w *Webhooks) slice(ctx context.Context, h *tenancy.Webhook, start time.Time) error {
	if !h.Enabled || h.Health.RetryAt.After(start) {
		return nil
	}
	due, err := w.store.DueDeliveries(ctx, h.ID, start, sliceSize)
	if err == nil {
		due, err = w.stillLinked(ctx, *h, due)
	}
	if err != nil || len(due) == 0 {
		return err
	}
	target, err := w.target(*h)
	if err != nil {
		return err
	}
	poster, err := w.network.Open(h.Tenant, target.ServerCA)
	if err != nil {
		return fmt.Errorf("webhook %s: %w", title(*h), err)
	}
	defer poster.Close()
	hindered := w.lanes.hindered(*h)
	for _, d := range due {
		now := w.now()
		if now.Sub(start) > sliceTime || h.Health.RetryAt.After(now) || !h.Enabled {
			return nil
		}
		if err := w.deliver(ctx, poster, target, h, d, now); err != nil {
			return err
		}
		if slow := w.lanes.took(h.ID, w.now().Sub(now)); slow && !hindered {
			return nil // the next job takes one of the places for such endpoints
		}
	}
	return nil
}

// deliver makes one attempt and stores its outcome.
func (w *Webhooks) deliver(ctx context.Context, poster Poster, target tenancy.WebhookTarget, h *tenancy.Webhook,
	d tenancy.WebhookDelivery, now time.Time) error {
	answer, failure := w.post(ctx, poster, target, *h, d.Payload, now)
	if ctx.Err() != nil && failure != nil { // the service stops
		return ctx.Err()
	}
	health := h.Health
	d.Attempts++
	d.Status = answer.Status
	if failure == nil {
		health = tenancy.WebhookHealth{DeliveredAt: now, Dropped: health.Dropped}
		d.State, d.LastError, d.EndedAt = tenancy.WebhookDelivered, "", now
	} else {
		d, health = failed(d, health, answer, failure, now)
	}
	gone := answer.Status == http.StatusGone
	err := w.store.InTx(ctx, func(tx *store.Tx) error {
		if gone { // first, see [Webhooks.retry]
			if err := tx.Audit(ctx, tenancy.NewEvent(now, "webhooks", "webhook.disabled", h.Tenant, title(*h),
				map[string]any{"status": answer.Status})); err != nil {
				return err
			}
			if err := tx.DisableWebhook(ctx, h.ID); err != nil {
				return err
			}
		}
		if err := tx.RecordDelivery(ctx, d); err != nil {
			return err
		}
		return tx.SetWebhookHealth(ctx, h.ID, health)
	})
	if err != nil {
		return err
	}
	h.Health, h.Enabled = health, h.Enabled && !gone
	if d.State == tenancy.WebhookDead {
		w.log.WarnContext(ctx, "a delivery to a webhook is dead: replay it when the endpoint works", "webhook", title(*h),
			"delivery", d.ID, "type", d.Type, "attempts", d.Attempts, "error", tenancy.ReadText(d.LastError))
	}
	return nil
}

// failed returns a delivery and the health of its webhook after an attempt that failed at now.
func failed(d tenancy.WebhookDelivery, h tenancy.WebhookHealth, answer Answer, failure error,
	now time.Time) (tenancy.WebhookDelivery, tenancy.WebhookHealth) {
	h.Failures++
	h.LastError = tenancy.Stored(failure)
	d.LastError = h.LastError
	if h.FailingSince.IsZero() {
		h.FailingSince = now
	}
	asked := min(answer.RetryAfter, mostPause)
	unavailable := answer.Status == 0 || answer.Status == http.StatusTooManyRequests ||
		answer.Status == http.StatusServiceUnavailable
	if unavailable || h.Failures >= failuresUntilPause {
		pause := min(pauseAfter(h.Failures), mostPause)
		h.RetryAt = now.Add(max(asked, jittered(pause, d.WebhookID, h.Failures)))
	}
	if d.Attempts > len(pauses) || now.Sub(d.QueuedAt) >= giveUpAfter || answer.Status == http.StatusGone {
		d.State, d.EndedAt = tenancy.WebhookDead, now
		return d, h
	}
	d.NextAt = now.Add(max(asked, jittered(pauseAfter(d.Attempts), d.ID, d.Attempts)))
	return d, h
}

// pauseAfter returns the pause after a number of failures, from 1.
func pauseAfter(failures int) time.Duration { return pauses[min(failures, len(pauses))-1] }

// jittered lengthens a pause by up to a fifth, so that what failed together is not tried again together. The same
// subject and attempt always give the same pause.
func jittered(pause time.Duration, subject string, attempt int) time.Duration {
	h := fnv.New32a()
	fmt.Fprint(h, subject, "/", attempt)
	return pause + pause/5*time.Duration(h.Sum32()%1000)/1000
}

// post sends an event. The failure states what happened, for the owner of the webhook.
func (w *Webhooks) post(ctx context.Context, poster Poster, target tenancy.WebhookTarget, h tenancy.Webhook,
	payload []byte, now time.Time) (answer Answer, failure error) {
	e, err := webhook.Parse(payload)
	if err != nil {
		return answer, err
	}
	format := webhook.Format(h.Format)
	m, err := webhook.Rendering{Format: format, RoutingKey: target.RoutingKey, Template: h.Template}.Render(e)
	if err != nil {
		return answer, err
	}
	r := Request{URL: target.URL, ContentType: m.ContentType, Authorization: target.Authorization, Body: m.Body}
	if signs(format) {
		secrets, err := secretsOf(target, now)
		if err != nil {
			return answer, err
		}
		r.Signature = webhook.Sign(e.ID, now, m.Body, secrets...)
	}
	answer, err = poster.Post(ctx, r)
	switch {
	case err != nil:
		return Answer{}, err
	case answer.Status/100 == 2:
		return answer, nil
	case answer.Status == http.StatusGone:
		return answer, tenancy.Failure("the endpoint answers 410 Gone, so the webhook was disabled")
	case answer.Status/100 == 3:
		return answer, tenancy.Failure("the endpoint redirects (%d), which is not followed: set the URL to which it "+
			"leads", answer.Status)
	}
	return answer, tenancy.Failure("the endpoint answers %d %s", answer.Status, http.StatusText(answer.Status))
}

// signs reports whether requests of a format are signed. The products of the other formats identify a webhook by its
// URL or its routing key.
func signs(f webhook.Format) bool { return f == webhook.CloudEvents || f == webhook.Ticket }

// secretsOf returns the secrets that sign at now: the present one, and former ones for a while.
func secretsOf(t tenancy.WebhookTarget, now time.Time) ([]webhook.Secret, error) {
	texts := []string{t.Secret}
	for _, f := range signing(t.Former, now) {
		texts = append(texts, f.Secret)
	}
	secrets := make([]webhook.Secret, len(texts))
	for i, text := range texts {
		var err error
		if secrets[i], err = webhook.ParseSecret(text); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

// signing returns the former secrets that sign at now.
func signing(all []tenancy.FormerSecret, now time.Time) []tenancy.FormerSecret {
	return slices.DeleteFunc(slices.Clone(all), func(f tenancy.FormerSecret) bool { return !now.Before(f.Until) })
}

// title returns the object of a webhook in the audit log and in errors.
func title(h tenancy.Webhook) string {
	switch {
	case h.Tenant != "":
		return h.Tenant + "/webhooks/" + h.Name
	case h.Counterparty != "":
		return "counterparties/" + h.Counterparty + "/webhooks/" + h.Name
	}
	return "webhooks/" + h.Name
}
