package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const deliveryColumns = "id, webhook_id, tenant_id, event_id, type, subject, payload, state, attempts, next_at, " +
	"status, last_error, created_at, queued_at, ended_at"

var insertDeliveries = bulkInsert("webhook_deliveries", "id text", "webhook_id text", "tenant_id text", "event_id text",
	"type text", "subject text", "payload bytea", "state text", "attempts bigint", "next_at bigint", "status bigint",
	"last_error text", "created_at bigint", "queued_at bigint", "ended_at bigint")

func scanDelivery(s row) (d tenancy.WebhookDelivery, err error) {
	err = s.Scan(&d.ID, &d.WebhookID, &d.TenantID, &d.EventID, &d.Type, &d.Subject, &d.Payload, &d.State, &d.Attempts,
		instant{&d.NextAt}, &d.Status, &d.LastError, instant{&d.CreatedAt}, instant{&d.QueuedAt}, instant{&d.EndedAt})
	return d, err
}

// AddDeliveries stores deliveries to webhooks.
func (t *Tx) AddDeliveries(ctx context.Context, all []tenancy.WebhookDelivery) error {
	_, err := insertDeliveries.write(ctx, t, len(all), func(i int) []any {
		d := &all[i]
		return []any{d.ID, d.WebhookID, d.TenantID, d.EventID, d.Type, d.Subject, d.Payload, string(d.State),
			int64(d.Attempts), micros(d.NextAt), int64(d.Status), storable(d.LastError), micros(d.CreatedAt),
			micros(d.QueuedAt), micros(d.EndedAt)}
	})
	return err
}

// WebhookDelivery finds a delivery to a webhook.
func (r Reader) WebhookDelivery(ctx context.Context, webhookID, id string) (tenancy.WebhookDelivery, error) {
	return one(ctx, r, "such delivery to this webhook", scanDelivery, "SELECT "+deliveryColumns+" FROM "+
		"webhook_deliveries WHERE webhook_id = ? AND id = ?", webhookID, id)
}

var deliveryListing = listing[tenancy.WebhookDelivery]{
	query: "SELECT " + deliveryColumns + " FROM webhook_deliveries WHERE ",
	scan:  scanDelivery,
	id:    "id", idOf: func(d tenancy.WebhookDelivery) string { return d.ID },
	texts: []string{"type", "subject", "event_id"},
	ids:   "SELECT id FROM webhook_deliveries WHERE ",
}

// WebhookDeliveries returns a page of the deliveries to a webhook. A state limits it. A text is looked for in the type,
// the subject and the ID of the event.
func (r Reader) WebhookDeliveries(ctx context.Context, webhookID string, state tenancy.WebhookState,
	p Page) ([]tenancy.WebhookDelivery, Place, error) {
	part := selection{"webhook_id = ?", []any{webhookID}}
	if state != "" {
		part.and("state = ?", string(state))
	}
	return deliveryListing.read(ctx, r, p, part.condition, part.args...)
}

// DueDeliveries lists the deliveries to a webhook that are due, those that have waited longest first.
func (r Reader) DueDeliveries(ctx context.Context, webhookID string, now time.Time,
	limit int) ([]tenancy.WebhookDelivery, error) {
	return list(ctx, r, scanDelivery, "SELECT "+deliveryColumns+" FROM webhook_deliveries WHERE webhook_id = ? AND state "+
		"= ? AND next_at <= ? ORDER BY next_at, id LIMIT ?", webhookID, string(tenancy.WebhookQueued), micros(now), limit)
}

// NextDelivery returns the time of the next attempt at a delivery to a webhook; zero if none is queued.
func (r Reader) NextDelivery(ctx context.Context, webhookID string) (time.Time, error) {
	return one(ctx, r, "time", func(s row) (at time.Time, err error) {
		err = s.Scan(instant{&at})
		return at, err
	}, "SELECT COALESCE(MIN(next_at), 0) FROM webhook_deliveries WHERE webhook_id = ? AND state = ?", webhookID,
		string(tenancy.WebhookQueued))
}

// CountQueued counts the deliveries to webhooks that are queued, by the ID of the webhook. It reads none that are dead:
// it runs in the transactions of renewals, and an endpoint that is broken for a month can leave a million of those.
func (r Reader) CountQueued(ctx context.Context, webhookIDs []string) (map[string]int, error) {
	type count struct {
		webhookID string
		queued    int
	}
	groups, err := groupBy(ctx, r, func(s row) (c count, err error) {
		err = s.Scan(&c.webhookID, &c.queued)
		return c, err
	}, func(c count) string { return c.webhookID }, "SELECT webhook_id, COUNT(*) FROM webhook_deliveries WHERE state = "+
		"'queued' AND webhook_id ", webhookIDs, " GROUP BY webhook_id")
	counts := make(map[string]int, len(groups))
	for id, group := range groups {
		counts[id] = group[0].queued
	}
	return counts, err
}

// A DeliveryCount is the number of deliveries to one webhook.
type DeliveryCount struct {
	webhookID    string
	Queued, Dead int
}

// CountDeliveries counts the deliveries to webhooks that are queued or dead, by the ID of the webhook.
func (r Reader) CountDeliveries(ctx context.Context, webhookIDs []string) (map[string]DeliveryCount, error) {
	groups, err := groupBy(ctx, r, func(s row) (c DeliveryCount, err error) {
		err = s.Scan(&c.webhookID, &c.Queued, &c.Dead)
		return c, err
	}, func(c DeliveryCount) string { return c.webhookID }, "SELECT webhook_id, COUNT(CASE WHEN state = 'queued' THEN 1 "+
		"END), COUNT(CASE WHEN state = 'dead' THEN 1 END) FROM webhook_deliveries WHERE state IN ('queued', 'dead') AND "+
		"webhook_id ", webhookIDs, " GROUP BY webhook_id")
	counts := make(map[string]DeliveryCount, len(groups))
	for id, group := range groups {
		counts[id] = group[0]
	}
	return counts, err
}

// DeliveryTotals are the numbers of deliveries to all webhooks.
type DeliveryTotals struct {
	Queued, Dead int
	Oldest       time.Time // the queued one that has waited longest; zero if none is queued
}

// TotalDeliveries counts the deliveries to all webhooks that are queued or dead.
func (r Reader) TotalDeliveries(ctx context.Context) (DeliveryTotals, error) {
	return one(ctx, r, "count", func(s row) (d DeliveryTotals, err error) {
		err = s.Scan(&d.Queued, &d.Dead, instant{&d.Oldest})
		return d, err
	}, "SELECT COUNT(CASE WHEN state = 'queued' THEN 1 END), COUNT(CASE WHEN state = 'dead' THEN 1 END), "+
		"COALESCE(MIN(CASE WHEN state = 'queued' THEN queued_at END), 0) FROM webhook_deliveries WHERE state IN "+
		"('queued', 'dead')")
}

// RecordDelivery stores the outcome of an attempt. A delivery that was deleted in the meantime stays deleted.
func (t *Tx) RecordDelivery(ctx context.Context, d tenancy.WebhookDelivery) error {
	_, err := t.exec(ctx, "UPDATE webhook_deliveries SET state = ?, attempts = ?, next_at = ?, status = ?, "+
		"last_error = ?, ended_at = ? WHERE id = ?", string(d.State), d.Attempts, micros(d.NextAt), d.Status,
		storable(d.LastError), micros(d.EndedAt), d.ID)
	return err
}

// Replay queues a delivery again that has ended. The error is [tenancy.ErrStale] if it has not.
func (t *Tx) Replay(ctx context.Context, webhookID, id string, now time.Time) error {
	return t.execOne(ctx, replay+"id = ? AND ended_at > 0", string(tenancy.WebhookQueued), micros(now), micros(now),
		webhookID, id)
}

// ReplayDead queues up to limit dead deliveries to a webhook again, the earliest first. It returns their number.
func (t *Tx) ReplayDead(ctx context.Context, webhookID string, limit int, now time.Time) (int, error) {
	n, err := t.exec(ctx, replay+"id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = ? AND state = ? ORDER BY "+
		"id LIMIT ?)", string(tenancy.WebhookQueued), micros(now), micros(now), webhookID, webhookID,
		string(tenancy.WebhookDead), limit)
	return int(n), err
}

const replay = "UPDATE webhook_deliveries SET state = ?, attempts = 0, next_at = ?, queued_at = ?, ended_at = 0 " +
	"WHERE webhook_id = ? AND "

// ExpireDeliveries gives up the deliveries that have been queued since before a time, if an attempt at them has failed,
// or if their webhook is disabled or has failed that often. It returns their number.
func (t *Tx) ExpireDeliveries(ctx context.Context, before time.Time, failures int, why string,
	now time.Time) (int64, error) {
	return t.exec(ctx, "UPDATE webhook_deliveries SET state = ?, ended_at = ?, last_error = CASE WHEN last_error = '' "+
		"THEN ? ELSE last_error END WHERE state = ? AND queued_at < ? AND (attempts > 0 OR webhook_id IN (SELECT id FROM "+
		"webhooks WHERE enabled = 0 OR failures >= ?))", string(tenancy.WebhookDead), micros(now), why,
		string(tenancy.WebhookQueued), micros(before), failures)
}

// ForgetDeliveries deletes up to limit deliveries of a state that ended before a time. It returns their number.
func (t *Tx) ForgetDeliveries(ctx context.Context, state tenancy.WebhookState, before time.Time,
	limit int) (int64, error) {
	return t.exec(ctx, "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE state = ? "+
		"AND ended_at < ? LIMIT ?)", string(state), micros(before), limit)
}

// hurryWebhook makes the queued deliveries to a webhook due.
func (t *Tx) hurryWebhook(ctx context.Context, webhookID string, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE webhook_deliveries SET next_at = ? WHERE webhook_id = ? AND state = ? AND next_at > ?",
		micros(now), webhookID, string(tenancy.WebhookQueued), micros(now))
	return err
}

// DeleteDeliveries deletes deliveries by ID.
func (t *Tx) DeleteDeliveries(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	in, args := t.among(ids)
	_, err := t.exec(ctx, "DELETE FROM webhook_deliveries WHERE id "+in, args...)
	return err
}

func (t *Tx) deleteDeliveries(ctx context.Context, webhookID string) error {
	_, err := t.exec(ctx, "DELETE FROM webhook_deliveries WHERE webhook_id = ?", webhookID)
	return err
}

func (t *Tx) deleteDeliveriesOf(ctx context.Context, ownerID string) error {
	_, err := t.exec(ctx, "DELETE FROM webhook_deliveries WHERE tenant_id = ?", ownerID)
	return err
}
