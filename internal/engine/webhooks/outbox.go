package webhooks

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// Follow stores the deliveries that audit events cause, in their transaction, see [store.Store.OnAudit]. It executes no
// statement for events that are of no type.
func (w *Webhooks) Follow(ctx context.Context, tx *store.Tx, events []tenancy.Event) error {
	var all []webhook.Event
	tenants := []string{""}
	var now time.Time
	for _, e := range events {
		translated, err := w.translate(e)
		if err != nil { // nothing may fail because of a webhook
			w.log.ErrorContext(ctx, "an audit event is not sent to webhooks, because it cannot be read", "action", e.Action,
				"object", e.Object, "error", err)
			continue
		}
		if len(translated) == 0 {
			continue
		}
		all = append(all, translated...)
		if now = e.At; !slices.Contains(tenants, e.Tenant) {
			tenants = append(tenants, e.Tenant)
		}
	}
	if len(all) == 0 {
		return nil
	}
	listening, err := tx.ListeningWebhooks(ctx, tenants)
	if err != nil || len(listening) == 0 {
		return err
	}
	var hooks []tenancy.Webhook
	for _, tenant := range tenants {
		hooks = append(hooks, listening[tenant]...)
	}
	linked, err := linksFor(ctx, tx, hooks, tenants)
	if err != nil {
		return err
	}
	return w.enqueue(ctx, tx, hooks, linked, all, now)
}

// enqueue stores the deliveries of events to webhooks, and queues the work on them.
func (w *Webhooks) enqueue(ctx context.Context, tx *store.Tx, hooks []tenancy.Webhook, linked links,
	events []webhook.Event, now time.Time) error {
	payloads := make([][]byte, len(events))
	for i, e := range events {
		payload, err := json.Marshal(e)
		if err != nil {
			w.log.ErrorContext(ctx, "an event is not sent to webhooks, because it has no form in JSON", "type", e.Type,
				"subject", e.Subject, "error", err)
			continue
		}
		payloads[i] = payload
	}
	ids := make([]string, len(hooks))
	for i, h := range hooks {
		ids[i] = h.ID
	}
	queued, err := tx.CountQueued(ctx, ids)
	if err != nil {
		return err
	}
	var deliveries []tenancy.WebhookDelivery
	for _, h := range hooks {
		room, dropped, added := queueOf(h)-queued[h.ID], 0, 0
		for i, e := range events {
			switch {
			case payloads[i] == nil || !listens(h, linked, e):
			case added >= room:
				dropped++
			default:
				added++
				deliveries = append(deliveries, deliveryOf(h, e, payloads[i]))
			}
		}
		if dropped > 0 {
			if err := tx.DropEvents(ctx, h.ID, dropped); err != nil {
				return err
			}
		}
		if added > 0 {
			if err := w.wake(ctx, tx, h.ID, later(now, h.Health.RetryAt)); err != nil {
				return err
			}
		}
	}
	return tx.AddDeliveries(ctx, deliveries)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func queueOf(h tenancy.Webhook) int {
	switch {
	case h.TenantID != "":
		return queueOfTenant
	case h.CounterpartyID != "":
		return queueOfCounterparty
	}
	return queueOfInstallation
}

// listens reports whether a webhook gets an event. A tenant's webhook gets only events of that tenant, and that of a
// counterparty only those of arrangements that are linked to it now.
func listens(h tenancy.Webhook, linked links, e webhook.Event) bool {
	d, ok := webhook.DefinitionOf(e.Type)
	switch {
	case !ok, h.TenantID != "" && (!d.InTenant || e.Common().Tenant != h.Tenant),
		h.CounterpartyID != "" && !linked.reach(h.CounterpartyID, e):
		return false
	}
	if len(h.Types) > 0 && !slices.Contains(h.Types, string(e.Type)) {
		return false
	}
	return webhook.Format(h.Format).Takes(e.Type)
}

func deliveryOf(h tenancy.Webhook, e webhook.Event, payload []byte) tenancy.WebhookDelivery {
	return tenancy.WebhookDelivery{ID: store.NewID(), WebhookID: h.ID, TenantID: h.OwnerID(), EventID: e.ID,
		Type: string(e.Type), Subject: e.Subject, Payload: payload, State: tenancy.WebhookQueued, NextAt: e.Time,
		CreatedAt: e.Time, QueuedAt: e.Time}
}
