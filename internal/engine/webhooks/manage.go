package webhooks

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// Settings holds the properties of a webhook that people set.
type Settings struct {
	Name   string
	Format webhook.Format
	// Types are the types of the events that it gets; empty for all that it can get.
	Types    []string
	Template string // of a ticket; empty for the default one
	Enabled  bool
	// The credentials are not shown again. An empty one keeps its value when a webhook is changed.
	URL           string
	RoutingKey    string
	Authorization string
	ServerCA      string
}

const (
	// DefaultOverlap is the time for which the former secret signs as well after a rotation.
	DefaultOverlap = 24 * time.Hour
	// MostOverlap is the longest such time.
	MostOverlap = 7 * 24 * time.Hour
	// mostFormer limits the former secrets that sign together.
	mostFormer = 4
)

// Create stores a webhook of an owner. secret verifies its requests, and is not shown again; it is empty for the
// formats of products. The error is [tenancy.ErrInvalid], or [tenancy.ErrConflict] if the name is taken.
func (w *Webhooks) Create(ctx context.Context, o Owner, in Settings, actor string,
	now time.Time) (h tenancy.Webhook, secret string, err error) {
	h = tenancy.Webhook{ID: store.NewID(), TenantID: o.tenant.ID, Tenant: o.tenant.Name,
		CounterpartyID: o.counterparty.ID, Counterparty: o.counterparty.Name, Name: in.Name, Format: string(in.Format),
		CreatedBy: actor, CreatedAt: now, Version: 1}
	target := tenancy.WebhookTarget{Secret: newSecret()}
	if err := apply(&h, &target, in); err != nil {
		return h, "", err
	}
	if h.Sealed, err = w.sealed(h.ID, target); err != nil {
		return h, "", err
	}
	most, whose := o.most()
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.CountWebhooks(ctx, o.ID())
		if err != nil {
			return err
		}
		if n >= most {
			return tenancy.Errorf(tenancy.ErrRefused, "%s has %d webhooks, which is the maximum: delete one first", whose, n)
		}
		if err := tx.CreateWebhook(ctx, h); err != nil {
			if errors.Is(err, tenancy.ErrConflict) {
				return tenancy.Errorf(tenancy.ErrConflict, "%s already has a webhook %s: choose another name", whose, h.Name)
			}
			return err
		}
		return tx.Audit(ctx, w.event(now, actor, "webhook.created", h))
	})
	if !signs(in.Format) {
		return h, "", err
	}
	return h, target.Secret, err
}

func (w *Webhooks) event(now time.Time, actor, action string, h tenancy.Webhook) tenancy.Event {
	return tenancy.NewEvent(now, actor, action, h.Tenant, title(h), map[string]any{"format": h.Format, "host": h.Host,
		"types": h.Types, "enabled": h.Enabled})
}

// newSecret returns a new secret in its text form.
func newSecret() string {
	key := make([]byte, webhook.SecretSize)
	rand.Read(key) // it never fails
	s, err := webhook.NewSecret(key)
	if err != nil {
		panic(err) // the size is constant
	}
	return s.Text()
}

// apply sets what people set, and checks it.
func apply(h *tenancy.Webhook, target *tenancy.WebhookTarget, in Settings) error {
	if err := tenancy.CheckName("name", in.Name); err != nil {
		return err
	}
	former := *target
	for _, secret := range []struct {
		to   *string
		text string
	}{{&target.URL, in.URL}, {&target.RoutingKey, in.RoutingKey}, {&target.Authorization, in.Authorization},
		{&target.ServerCA, in.ServerCA}} {
		if text := strings.TrimSpace(secret.text); text != "" {
			*secret.to = text
		}
	}
	if err := checkFormat(in, target); err != nil {
		return err
	}
	if err := target.Check(); err != nil {
		return err
	}
	if err := checkTypes(in, *h); err != nil {
		return err
	}
	u, err := url.Parse(target.URL)
	if err != nil {
		return tenancy.Invalid("url", "is not an https URL")
	}
	if err := checkMoved(in, former, u); err != nil {
		return err
	}
	h.Host, h.Types, h.Template, h.Enabled = u.Host, in.Types, in.Template, in.Enabled
	if h.Types == nil {
		h.Types = []string{}
	}
	return nil
}

// checkMoved refuses to send credentials to a host for which they were not set. Otherwise, whoever may change a webhook
// could read them at a server of their own.
func checkMoved(in Settings, former tenancy.WebhookTarget, to *url.URL) error {
	from, err := url.Parse(former.URL)
	if err != nil || former.URL == "" || sameServer(from, to) {
		return nil
	}
	missing := ""
	switch {
	case former.Authorization != "" && strings.TrimSpace(in.Authorization) == "":
		missing = "authorization"
	case former.RoutingKey != "" && strings.TrimSpace(in.RoutingKey) == "":
		missing = "routing_key"
	default:
		return nil
	}
	return tenancy.Invalid(missing, "was set for %s: set it again for another host, or create another webhook", from.Host)
}

func sameServer(a, b *url.URL) bool {
	port := func(u *url.URL) string { return cmp.Or(u.Port(), "443") }
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// checkFormat checks what belongs to one format only.
func checkFormat(in Settings, target *tenancy.WebhookTarget) error {
	switch in.Format {
	case webhook.CloudEvents, webhook.Slack, webhook.Teams, webhook.Ticket:
		if target.RoutingKey != "" {
			return tenancy.Invalid("routing_key", "belongs to the format pagerduty only")
		}
	case webhook.PagerDuty:
		if target.URL == "" {
			target.URL = webhook.PagerDutyURL
		}
		if target.RoutingKey == "" {
			return tenancy.Invalid("routing_key", "is missing: PagerDuty shows it as the integration key of the service")
		}
	default:
		return tenancy.Invalid("format", "unknown format %q: use one of %s", in.Format, join(webhook.Formats()))
	}
	if in.Format != webhook.Ticket {
		if in.Template != "" {
			return tenancy.Invalid("template", "belongs to the format ticket only")
		}
		return nil
	}
	if _, err := webhook.ParseTemplate(in.Template); err != nil {
		return tenancy.Invalid("template", "%v", err)
	}
	return nil
}

func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}

// checkTypes refuses types that a webhook can never get.
func checkTypes(in Settings, h tenancy.Webhook) error {
	seen := map[string]bool{}
	for _, name := range in.Types {
		d, ok := webhook.DefinitionOf(webhook.Type(name))
		switch {
		case !ok:
			return tenancy.Invalid("types", "unknown type %q: docs/webhooks.md lists the types of events", name)
		case h.TenantID != "" && !d.InTenant:
			return tenancy.Invalid("types", "%s is an event of the installation: only its own webhooks can have it", name)
		case h.CounterpartyID != "" && !d.OfCounterparty():
			return tenancy.Invalid("types", "%s is not about an arrangement: a webhook of a counterparty cannot have it", name)
		case !in.Format.Takes(d.Type):
			return tenancy.Invalid("types", "%s neither opens nor resolves a problem, so %s cannot have it", name, in.Format)
		case seen[name]:
			return tenancy.Invalid("types", "%s is listed twice", name)
		}
		seen[name] = true
	}
	return nil
}

// sealContext returns the context in which the target of a webhook is sealed.
func sealContext(id string) string { return "webhook/" + id }

func (w *Webhooks) sealed(id string, target tenancy.WebhookTarget) ([]byte, error) {
	plain, err := json.Marshal(target)
	if err != nil {
		return nil, err
	}
	sealed, err := w.seal.Seal(plain, sealContext(id))
	if err != nil {
		return nil, fmt.Errorf("seal the credentials of a webhook: %w", err)
	}
	return sealed, nil
}

// target opens what a webhook keeps secret.
func (w *Webhooks) target(h tenancy.Webhook) (t tenancy.WebhookTarget, err error) {
	plain, err := w.seal.Open(h.Sealed, sealContext(h.ID))
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	if err != nil {
		return t, fmt.Errorf("open the credentials of the webhook %s: %w", title(h), err)
	}
	return t, nil
}

// Change stores other settings of a webhook, except its name and its format. version is that which the caller read. The
// error is [tenancy.ErrStale] if it was changed in the meantime.
func (w *Webhooks) Change(ctx context.Context, o Owner, in Settings, version int64, actor string,
	now time.Time) (h tenancy.Webhook, err error) {
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		if h, err = tx.Webhook(ctx, o.ID(), in.Name); err != nil {
			return err
		}
		if in.Format != webhook.Format(h.Format) {
			return tenancy.Invalid("format", "cannot be changed: create another webhook")
		}
		target, err := w.target(h)
		if err != nil {
			return err
		}
		if err := apply(&h, &target, in); err != nil {
			return err
		}
		if h.Sealed, err = w.sealed(h.ID, target); err != nil {
			return err
		}
		if err := tx.Audit(ctx, w.event(now, actor, "webhook.changed", h)); err != nil { // first, see [Webhooks.retry]
			return err
		}
		h.Version = version
		if err := tx.UpdateWebhook(ctx, h); err != nil {
			return err
		}
		h.Version, h.Health.RetryAt = version+1, time.Time{}
		return w.retry(ctx, tx, h.ID, now)
	})
	return h, err
}

// retry makes the queued deliveries to a webhook due, because a person expects its endpoint to work. The caller has
// written its audit event before, because [Webhooks.Follow] also locks the audit log before a webhook.
func (w *Webhooks) retry(ctx context.Context, tx *store.Tx, id string, now time.Time) error {
	if err := tx.RetryWebhook(ctx, id, now); err != nil {
		return err
	}
	return w.wake(ctx, tx, id, now)
}

// Rotate gives a webhook another secret, which is not shown again. The former one signs as well for the overlap.
// Without an overlap, only the new one signs. The error is [tenancy.ErrRefused] if too many secrets sign already.
func (w *Webhooks) Rotate(ctx context.Context, o Owner, name string, overlap time.Duration, actor string,
	now time.Time) (h tenancy.Webhook, secret string, err error) {
	if overlap < 0 || overlap > MostOverlap {
		return h, "", tenancy.Invalid("overlap", "must be between 0 and %d days", int(MostOverlap.Hours()/24))
	}
	secret = newSecret()
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		if h, err = tx.Webhook(ctx, o.ID(), name); err != nil {
			return err
		}
		if !signs(webhook.Format(h.Format)) {
			return tenancy.Errorf(tenancy.ErrRefused, "the webhook %s has no secret of its own: change its URL or its routing "+
				"key instead", h.Name)
		}
		target, err := w.target(h)
		if err != nil {
			return err
		}
		target.Former = signing(target.Former, now)
		switch {
		case overlap == 0:
			target.Former = nil
		case len(target.Former) >= mostFormer:
			return tenancy.Errorf(tenancy.ErrRefused, "the webhook %s has %d former secrets that still sign: wait for the end "+
				"of their overlap, or end all of them by a rotation with an overlap of 0", h.Name, len(target.Former))
		default:
			target.Former = append(target.Former, tenancy.FormerSecret{Secret: target.Secret, Until: now.Add(overlap)})
		}
		target.Secret = secret
		if h.Sealed, err = w.sealed(h.ID, target); err != nil {
			return err
		}
		if err := tx.Audit(ctx, w.event(now, actor, "webhook.rotated", h)); err != nil { // first, see [Webhooks.retry]
			return err
		}
		err = tx.UpdateWebhook(ctx, h)
		h.Version++
		return err
	})
	return h, secret, err
}

// Delete deletes a webhook with its deliveries. version is that which the caller read.
func (w *Webhooks) Delete(ctx context.Context, o Owner, name string, version int64, actor string,
	now time.Time) error {
	return w.store.InTx(ctx, func(tx *store.Tx) error {
		h, err := tx.Webhook(ctx, o.ID(), name)
		if err != nil {
			return err
		}
		if err := tx.Audit(ctx, w.event(now, actor, "webhook.deleted", h)); err != nil { // first, see [Webhooks.retry]
			return err
		}
		h.Version = version
		return tx.DeleteWebhook(ctx, h)
	})
}

// Test sends an event to a webhook once, now. The failure states why the endpoint did not accept it; nil if it did. The
// error is [tenancy.ErrRefused] if too many tests of the tenant run already: otherwise, a tenant could send requests to
// any server as fast as it asks for tests.
func (w *Webhooks) Test(ctx context.Context, o Owner, name, actor string, now time.Time) (answer Answer,
	failure, err error) {
	h, err := w.store.Webhook(ctx, o.ID(), name)
	if err != nil {
		return answer, nil, err
	}
	leave, ok := w.tests.enter(h.OwnerID(), false)
	if !ok {
		return answer, nil, tenancy.Errorf(tenancy.ErrRefused, "%d tests run at the moment: wait until one of them ends",
			ofTenant)
	}
	defer leave()
	target, err := w.target(h)
	if err != nil {
		return answer, nil, err
	}
	page := facts{base: w.base}.link("webhooks")
	switch {
	case h.Tenant != "":
		page = facts{base: w.base}.link("tenants", h.Tenant, "webhooks")
	case h.Counterparty != "":
		page = facts{base: w.base}.link("counterparties", h.Counterparty, "webhooks")
	}
	// It resolves a problem that was never opened, so that a test of alerting calls nobody.
	payload, err := json.Marshal(webhook.Event{ID: store.NewID(), Source: w.base, Type: webhook.Test, Subject: title(h),
		Time: now, Data: &webhook.TestData{Webhook: h.Name, Common: webhook.Common{Tenant: h.Tenant, Severity: webhook.Info,
			Link: page, Summary: "This is a test of the webhook " + h.Name, Problem: "test:" + title(h), Resolved: true}}})
	if err != nil {
		return answer, nil, err
	}
	poster, err := w.network.Open(h.Tenant, target.ServerCA)
	if err != nil {
		return answer, nil, err
	}
	defer poster.Close()
	answer, failure = w.post(ctx, poster, target, h, payload, now)
	outcome := "delivered"
	if failure != nil {
		outcome = failure.Error()
	}
	return answer, failure, w.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "webhook.tested", h.Tenant, title(h),
			map[string]any{"outcome": outcome}))
	})
}

// Replay queues a delivery again that has ended, with the same event ID. The error is [tenancy.ErrRefused] if it is
// still queued.
func (w *Webhooks) Replay(ctx context.Context, o Owner, name, deliveryID, actor string,
	now time.Time) (d tenancy.WebhookDelivery, err error) {
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		h, err := tx.Webhook(ctx, o.ID(), name)
		if err != nil {
			return err
		}
		if d, err = tx.WebhookDelivery(ctx, h.ID, deliveryID); err != nil {
			return err
		}
		if d.State == tenancy.WebhookQueued {
			return tenancy.Errorf(tenancy.ErrRefused, "this delivery is still queued: its next attempt is at %s",
				d.NextAt.UTC().Format("2006-01-02 15:04 MST"))
		}
		if err := w.recordReplay(ctx, tx, h, 1, actor, now); err != nil {
			return err
		}
		if err := tx.Replay(ctx, h.ID, deliveryID, now); err != nil {
			return err
		}
		if d, err = tx.WebhookDelivery(ctx, h.ID, deliveryID); err != nil {
			return err
		}
		return w.retry(ctx, tx, h.ID, now)
	})
	return d, err
}

// mostReplayed limits the deliveries that one call replays.
const mostReplayed = 10_000

// ReplayDead queues the dead deliveries to a webhook again, up to 10,000, the earliest first. It returns their number.
func (w *Webhooks) ReplayDead(ctx context.Context, o Owner, name, actor string, now time.Time) (n int,
	err error) {
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		h, err := tx.Webhook(ctx, o.ID(), name)
		if err != nil {
			return err
		}
		counts, err := tx.CountDeliveries(ctx, []string{h.ID})
		if err != nil || counts[h.ID].Dead == 0 {
			return err
		}
		if err := w.recordReplay(ctx, tx, h, min(counts[h.ID].Dead, mostReplayed), actor, now); err != nil {
			return err
		}
		if n, err = tx.ReplayDead(ctx, h.ID, mostReplayed, now); err != nil {
			return err
		}
		return w.retry(ctx, tx, h.ID, now)
	})
	return n, err
}

func (w *Webhooks) recordReplay(ctx context.Context, tx *store.Tx, h tenancy.Webhook, n int, actor string,
	now time.Time) error {
	return tx.Audit(ctx, tenancy.NewEvent(now, actor, "webhook.replayed", h.Tenant, title(h),
		map[string]any{"deliveries": n}))
}
