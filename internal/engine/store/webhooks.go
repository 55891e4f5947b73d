package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const webhookColumns = "id, tenant_id, tenant, name, format, host, types, template, enabled, sealed, created_by, " +
	"created_at, failures, failing_since, retry_at, last_error, delivered_at, dropped, version, " +
	"counterparty_id, counterparty"

func scanWebhook(s row) (w tenancy.Webhook, err error) {
	var enabled int64
	h := &w.Health
	err = s.Scan(&w.ID, &w.TenantID, &w.Tenant, &w.Name, &w.Format, &w.Host, document{&w.Types}, &w.Template, &enabled,
		&w.Sealed, &w.CreatedBy, instant{&w.CreatedAt}, &h.Failures, instant{&h.FailingSince}, instant{&h.RetryAt},
		&h.LastError, instant{&h.DeliveredAt}, &h.Dropped, &w.Version, &w.CounterpartyID, &w.Counterparty)
	w.Enabled = enabled != 0
	if w.TenantID == w.CounterpartyID { // the owner of a counterparty's webhook is stored as its tenant
		w.TenantID = ""
	}
	return w, err
}

// Webhook finds a webhook of a tenant or a counterparty by name; of the installation if the owner's ID is empty.
func (r Reader) Webhook(ctx context.Context, ownerID, name string) (tenancy.Webhook, error) {
	return one(ctx, r, "webhook "+name, scanWebhook,
		"SELECT "+webhookColumns+" FROM webhooks WHERE tenant_id = ? AND name = ?", ownerID, name)
}

var webhookListing = listing[tenancy.Webhook]{
	query: "SELECT " + webhookColumns + " FROM webhooks WHERE ",
	scan:  scanWebhook,
	id:    "id", idOf: func(h tenancy.Webhook) string { return h.ID },
	// An owner has few webhooks, so that other orders need no index.
	orders: map[string]order[tenancy.Webhook]{
		"name": {column: "name", key: func(h tenancy.Webhook) string { return h.Name }},
		"host": {column: "host", key: func(h tenancy.Webhook) string { return h.Host }},
	},
	texts: []string{"name", "host"},
}

// Webhooks returns a page of the webhooks of a tenant or a counterparty; of the installation if the owner's ID is
// empty. They are in the order of creation, of their names, or of the hosts of their endpoints. A text is looked for in
// name and host.
func (r Reader) Webhooks(ctx context.Context, ownerID string, p Page) ([]tenancy.Webhook, Place, error) {
	return webhookListing.read(ctx, r, p, "tenant_id = ?", ownerID)
}

// AllWebhooks lists the webhooks of the installation, of every tenant and of every counterparty.
func (r Reader) AllWebhooks(ctx context.Context, after string, limit int) ([]tenancy.Webhook, error) {
	return list(ctx, r, scanWebhook, "SELECT "+webhookColumns+" FROM webhooks WHERE id > ? ORDER BY id LIMIT ?", after,
		limit)
}

// CountWebhooks counts the webhooks of a tenant or a counterparty; those of the installation if the owner's ID is
// empty.
func (r Reader) CountWebhooks(ctx context.Context, ownerID string) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM webhooks WHERE tenant_id = ?", ownerID)
}

// ListeningWebhooks reads the enabled webhooks of the tenants with these names, by name. The empty name stands for the
// installation and for all counterparties.
func (r Reader) ListeningWebhooks(ctx context.Context, tenants []string) (map[string][]tenancy.Webhook, error) {
	return groupBy(ctx, r, scanWebhook, func(w tenancy.Webhook) string { return w.Tenant },
		"SELECT "+webhookColumns+" FROM webhooks WHERE enabled = 1 AND tenant ", tenants, " ORDER BY id")
}

// deleteWebhooksOf deletes the webhooks of a counterparty with their deliveries.
func (t *Tx) deleteWebhooksOf(ctx context.Context, counterpartyID string) error {
	if err := t.deleteDeliveriesOf(ctx, counterpartyID); err != nil {
		return err
	}
	_, err := t.exec(ctx, "DELETE FROM webhooks WHERE counterparty_id = ?", counterpartyID)
	return err
}

// CreateWebhook stores a webhook. It returns [tenancy.ErrConflict] if the name is taken.
func (t *Tx) CreateWebhook(ctx context.Context, w tenancy.Webhook) error {
	h := w.Health
	_, err := t.exec(ctx, "INSERT INTO webhooks ("+webhookColumns+", job_at, later_at, claimed_until) VALUES (?, ?, ?, "+
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)", w.ID, w.OwnerID(), w.Tenant, w.Name, w.Format,
		w.Host,
		document{w.Types}, w.Template, bit(w.Enabled), w.Sealed, w.CreatedBy, micros(w.CreatedAt), h.Failures,
		micros(h.FailingSince), micros(h.RetryAt), storable(h.LastError), micros(h.DeliveredAt), h.Dropped, w.Version,
		w.CounterpartyID, w.Counterparty)
	return err
}

// UpdateWebhook stores a change of what people set. It returns [tenancy.ErrStale] if another change was faster.
func (t *Tx) UpdateWebhook(ctx context.Context, w tenancy.Webhook) error {
	return t.execOne(ctx, "UPDATE webhooks SET host = ?, types = ?, template = ?, enabled = ?, sealed = ?, version = "+
		"version + 1 WHERE id = ? AND version = ?", w.Host, document{w.Types}, w.Template, bit(w.Enabled), w.Sealed, w.ID,
		w.Version)
}

// ResealWebhook stores the target of a webhook, sealed again. It reports whether the target was still the former one.
func (t *Tx) ResealWebhook(ctx context.Context, id string, before, after []byte) (bool, error) {
	n, err := t.exec(ctx, "UPDATE webhooks SET sealed = ? WHERE id = ? AND sealed = ?", after, id, before)
	return n > 0, err
}

// DeleteWebhook deletes a webhook with its deliveries. It returns [tenancy.ErrStale] if a change was faster.
func (t *Tx) DeleteWebhook(ctx context.Context, w tenancy.Webhook) error {
	if err := t.deleteDeliveries(ctx, w.ID); err != nil {
		return err
	}
	return t.execOne(ctx, "DELETE FROM webhooks WHERE id = ? AND version = ?", w.ID, w.Version)
}

// SetWebhookHealth stores the outcome of a request. Dropped events are counted by [Tx.DropEvents].
func (t *Tx) SetWebhookHealth(ctx context.Context, id string, h tenancy.WebhookHealth) error {
	_, err := t.exec(ctx, "UPDATE webhooks SET failures = ?, failing_since = ?, retry_at = ?, last_error = ?, "+
		"delivered_at = ? WHERE id = ?", h.Failures, micros(h.FailingSince), micros(h.RetryAt), storable(h.LastError),
		micros(h.DeliveredAt), id)
	return err
}

// DisableWebhook stops a webhook whose endpoint is gone.
func (t *Tx) DisableWebhook(ctx context.Context, id string) error {
	_, err := t.exec(ctx, "UPDATE webhooks SET enabled = 0, version = version + 1 WHERE id = ?", id)
	return err
}

// RetryWebhook makes the queued deliveries to a webhook due at now, also if its endpoint was to be left alone.
func (t *Tx) RetryWebhook(ctx context.Context, id string, now time.Time) error {
	if _, err := t.exec(ctx, "UPDATE webhooks SET retry_at = 0 WHERE id = ?", id); err != nil {
		return err
	}
	return t.hurryWebhook(ctx, id, now)
}

// DropEvents counts events that found the queue of a webhook full.
func (t *Tx) DropEvents(ctx context.Context, id string, n int) error {
	_, err := t.exec(ctx, "UPDATE webhooks SET dropped = dropped + ? WHERE id = ?", n, id)
	return err
}

// JobLostAfter is the time after which a job that has not run counts as lost. Another one takes its place.
const JobLostAfter = 10 * time.Minute

// WakeWebhook records that a webhook has to be worked on at a time. It reports whether that needs a job: there is none
// yet that is as early.
func (t *Tx) WakeWebhook(ctx context.Context, id string, at time.Time) (needsJob bool, err error) {
	n, err := t.exec(ctx, "UPDATE webhooks SET job_at = ? WHERE id = ? AND (job_at = 0 OR job_at > ? OR job_at < ?)",
		micros(at), id, micros(at), micros(at.Add(-JobLostAfter)))
	return n > 0, err
}

// ClaimWebhook gives a webhook to one worker until a time. It reports false if another worker has it. The error is
// [tenancy.ErrNotFound] if it was deleted.
func (t *Tx) ClaimWebhook(ctx context.Context, id string, now, until time.Time) (w tenancy.Webhook, ok bool,
	err error) {
	n, err := t.exec(ctx, "UPDATE webhooks SET claimed_until = ?, job_at = CASE WHEN job_at <= ? THEN 0 ELSE job_at END, "+
		"later_at = CASE WHEN later_at <= ? THEN 0 ELSE later_at END WHERE id = ? AND claimed_until <= ?", micros(until),
		micros(now), micros(now), id, micros(now))
	if err != nil {
		return w, false, err
	}
	w, err = one(ctx, t.Reader, "webhook with this ID", scanWebhook,
		"SELECT "+webhookColumns+" FROM webhooks WHERE id = ?", id)
	return w, n > 0, err
}

// ReleaseWebhook ends the claim of a worker. next is the time at which the webhook has to be worked on again; zero for
// none. It reports whether that needs a job: there is none yet that is as early.
func (t *Tx) ReleaseWebhook(ctx context.Context, id string, next time.Time) (needsJob bool, err error) {
	if !next.IsZero() {
		n, err := t.exec(ctx, "UPDATE webhooks SET later_at = ? WHERE id = ? AND (later_at = 0 OR later_at > ?)",
			micros(next), id, micros(next))
		if err != nil {
			return false, err
		}
		needsJob = n > 0
	}
	_, err = t.exec(ctx, "UPDATE webhooks SET claimed_until = 0 WHERE id = ?", id)
	return needsJob, err
}

// IdleWebhooks lists the IDs of enabled webhooks that have had a due delivery since before a time, and whose jobs were
// lost.
func (r Reader) IdleWebhooks(ctx context.Context, before time.Time, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT id FROM webhooks WHERE enabled = 1 AND claimed_until <= ? AND retry_at "+
		"<= ? AND EXISTS (SELECT 1 FROM webhook_deliveries WHERE webhook_id = webhooks.id AND state = ? AND next_at <= ?) "+
		"ORDER BY id LIMIT ?", micros(before), micros(before), string(tenancy.WebhookQueued), micros(before), limit)
}
