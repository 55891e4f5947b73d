package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// OneWebhook holds the path parameter of a webhook.
type OneWebhook struct {
	Webhook string `path:"webhook" maxLength:"63" doc:"Name of the webhook."`
}

// OneWebhookDelivery holds the path parameters of a delivery to a webhook.
type OneWebhookDelivery struct {
	OneWebhook
	Delivery string `path:"delivery" maxLength:"36"`
}

// OfState holds the parameters of a page of deliveries.
type OfState struct {
	Paged
	Query string               `query:"q" maxLength:"200" doc:"Only deliveries of an event whose type, subject or ID contains this text, in upper or lower case. A page then covers a limited part of the list, so it may be empty and still have a next page."`
	State tenancy.WebhookState `query:"state" enum:"queued,delivered,dead" doc:"Only deliveries of this state."`
	Sort  string               `query:"sort" enum:"created,-created" default:"-created" doc:"Order: the earliest or the latest first."`
}

// hookOwner names the owner of webhooks: a tenant or a counterparty, or the installation if both are empty.
type hookOwner struct{ tenant, counterparty string }

// path returns the path of the owner's webhooks, or of something below them.
func (o hookOwner) path(parts ...string) string {
	if o.counterparty != "" {
		return client.CounterpartyWebhooksPath(o.counterparty, parts...)
	}
	return client.WebhooksPath(o.tenant, parts...)
}

// hooksOf returns the webhooks of a tenant; of the installation if it is empty.
func hooksOf(tenant string) hookOwner { return hookOwner{tenant: tenant} }

// hooksOfParty returns the webhooks of a counterparty.
func hooksOfParty(in OneCounterparty) hookOwner { return hookOwner{counterparty: in.Name} }

// registerOwned registers an endpoint for the webhooks of each owner: the installation, a tenant, and a counterparty.
// The summary has %s after the word webhook.
func registerOwned[I, J, K, O any](r *router, e endpoint, whole func(*server, context.Context, *I) (*O, error),
	ofTenant func(*server, context.Context, *J) (*O, error),
	ofCounterparty func(*server, context.Context, *K) (*O, error)) {
	path, summary := e.path, e.summary
	e.path, e.summary, e.access = "/webhooks"+path, fmt.Sprintf(summary, " of the installation"), operators
	register(r, e, whole)
	e.path, e.summary, e.access = "/tenants/{tenant}/webhooks"+path, fmt.Sprintf(summary, " of a tenant"), members
	register(r, e, ofTenant)
	e.path, e.summary = "/counterparties/{counterparty}/webhooks"+path, fmt.Sprintf(summary, " of a counterparty")
	e.access = operators
	register(r, e, ofCounterparty)
}

// WebhookPage holds the parameters of a page of webhooks.
type WebhookPage struct {
	Searched
	Sort string `query:"sort" enum:"created,-created,name,-name,host,-host" doc:"Order: by creation, by name, or by the host of the endpoint. A minus sign reverses it."`
}

func registerWebhooks(r *router) {
	registerOwned(r, endpoint{method: http.MethodGet, summary: "List the webhooks%s"},
		func(s *server, ctx context.Context, in *WebhookPage) (*List[client.Webhook], error) {
			return s.listWebhooks(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			WebhookPage
		}) (*List[client.Webhook], error) {
			return s.listWebhooks(ctx, hooksOf(in.Tenant), in.WebhookPage)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			WebhookPage
		}) (*List[client.Webhook], error) {
			return s.listWebhooks(ctx, hooksOfParty(in.OneCounterparty), in.WebhookPage)
		})
	registerOwned(r, endpoint{method: http.MethodPost, status: http.StatusCreated, summary: "Create a webhook%s"},
		func(s *server, ctx context.Context, in *struct{ Body client.Webhook }) (*Created[client.Webhook], error) {
			return s.createWebhook(ctx, hooksOf(""), in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			Body client.Webhook
		}) (*Created[client.Webhook], error) {
			return s.createWebhook(ctx, hooksOf(in.Tenant), in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			Body client.Webhook
		}) (*Created[client.Webhook], error) {
			return s.createWebhook(ctx, hooksOfParty(in.OneCounterparty), in.Body)
		})
	registerOneWebhook(r)
}

func registerOneWebhook(r *router) {
	const one = "/{webhook}"
	registerOwned(r, endpoint{method: http.MethodGet, path: one, summary: "Get a webhook%s"},
		func(s *server, ctx context.Context, in *OneWebhook) (*Entity[client.Webhook], error) {
			return s.getWebhook(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
		}) (*Entity[client.Webhook], error) {
			return s.getWebhook(ctx, hooksOf(in.Tenant), in.OneWebhook)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
		}) (*Entity[client.Webhook], error) {
			return s.getWebhook(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook)
		})
	registerOwned(r, endpoint{method: http.MethodPut, path: one, summary: "Change a webhook%s"},
		func(s *server, ctx context.Context, in *struct {
			OneWebhook
			Guarded
			Body client.Webhook
		}) (*Entity[client.Webhook], error) {
			return s.changeWebhook(ctx, hooksOf(""), in.OneWebhook, in.Guarded, in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
			Guarded
			Body client.Webhook
		}) (*Entity[client.Webhook], error) {
			return s.changeWebhook(ctx, hooksOf(in.Tenant), in.OneWebhook, in.Guarded, in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
			Guarded
			Body client.Webhook
		}) (*Entity[client.Webhook], error) {
			return s.changeWebhook(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook, in.Guarded, in.Body)
		})
	registerOwned(r, endpoint{method: http.MethodDelete, path: one, status: http.StatusNoContent,
		summary: "Delete a webhook%s with its deliveries"},
		func(s *server, ctx context.Context, in *struct {
			OneWebhook
			Guarded
		}) (*struct{}, error) {
			return s.deleteWebhook(ctx, hooksOf(""), in.OneWebhook, in.Guarded)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
			Guarded
		}) (*struct{}, error) {
			return s.deleteWebhook(ctx, hooksOf(in.Tenant), in.OneWebhook, in.Guarded)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
			Guarded
		}) (*struct{}, error) {
			return s.deleteWebhook(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook, in.Guarded)
		})
}

func registerWebhookActions(r *router) {
	registerOwned(r, endpoint{method: http.MethodPost, path: "/{webhook}/rotate",
		summary: "Give a webhook%s another secret, which is shown only once. The former one signs as well for a while"},
		func(s *server, ctx context.Context, in *struct {
			OneWebhook
			Body client.WebhookRotation
		}) (*Entity[client.Webhook], error) {
			return s.rotateWebhook(ctx, hooksOf(""), in.OneWebhook, in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
			Body client.WebhookRotation
		}) (*Entity[client.Webhook], error) {
			return s.rotateWebhook(ctx, hooksOf(in.Tenant), in.OneWebhook, in.Body)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
			Body client.WebhookRotation
		}) (*Entity[client.Webhook], error) {
			return s.rotateWebhook(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook, in.Body)
		})
	registerOwned(r, endpoint{method: http.MethodPost, path: "/{webhook}/test",
		summary: "Send a test event to a webhook%s, once and now"},
		func(s *server, ctx context.Context, in *OneWebhook) (*Entity[client.WebhookTest], error) {
			return s.testWebhook(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
		}) (*Entity[client.WebhookTest], error) {
			return s.testWebhook(ctx, hooksOf(in.Tenant), in.OneWebhook)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
		}) (*Entity[client.WebhookTest], error) {
			return s.testWebhook(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook)
		})
	registerOwned(r, endpoint{method: http.MethodPost, path: "/{webhook}/replay",
		summary: "Queue the dead deliveries to a webhook%s again, up to 10,000"},
		func(s *server, ctx context.Context, in *OneWebhook) (*Entity[client.WebhookReplay], error) {
			return s.replayDead(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
		}) (*Entity[client.WebhookReplay], error) {
			return s.replayDead(ctx, hooksOf(in.Tenant), in.OneWebhook)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
		}) (*Entity[client.WebhookReplay], error) {
			return s.replayDead(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook)
		})
}

func registerWebhookDeliveries(r *router) {
	const all, one = "/{webhook}/deliveries", "/{webhook}/deliveries/{delivery}"
	registerOwned(r, endpoint{method: http.MethodGet, path: all,
		summary: "List the deliveries to a webhook%s, the latest first"},
		func(s *server, ctx context.Context, in *struct {
			OneWebhook
			OfState
		}) (*List[client.WebhookDelivery], error) {
			return s.listWebhookDeliveries(ctx, hooksOf(""), in.OneWebhook, in.OfState)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhook
			OfState
		}) (*List[client.WebhookDelivery], error) {
			return s.listWebhookDeliveries(ctx, hooksOf(in.Tenant), in.OneWebhook, in.OfState)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhook
			OfState
		}) (*List[client.WebhookDelivery], error) {
			return s.listWebhookDeliveries(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhook, in.OfState)
		})
	registerOwned(r, endpoint{method: http.MethodGet, path: one, summary: "Get a delivery to a webhook%s with its event"},
		func(s *server, ctx context.Context, in *OneWebhookDelivery) (*Entity[client.WebhookDelivery], error) {
			return s.getWebhookDelivery(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhookDelivery
		}) (*Entity[client.WebhookDelivery], error) {
			return s.getWebhookDelivery(ctx, hooksOf(in.Tenant), in.OneWebhookDelivery)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhookDelivery
		}) (*Entity[client.WebhookDelivery], error) {
			return s.getWebhookDelivery(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhookDelivery)
		})
	registerOwned(r, endpoint{method: http.MethodPost, path: one + "/replay",
		summary: "Queue a delivery to a webhook%s again, with the same event ID"},
		func(s *server, ctx context.Context, in *OneWebhookDelivery) (*Entity[client.WebhookDelivery], error) {
			return s.replayWebhookDelivery(ctx, hooksOf(""), *in)
		}, func(s *server, ctx context.Context, in *struct {
			InTenant
			OneWebhookDelivery
		}) (*Entity[client.WebhookDelivery], error) {
			return s.replayWebhookDelivery(ctx, hooksOf(in.Tenant), in.OneWebhookDelivery)
		}, func(s *server, ctx context.Context, in *struct {
			OneCounterparty
			OneWebhookDelivery
		}) (*Entity[client.WebhookDelivery], error) {
			return s.replayWebhookDelivery(ctx, hooksOfParty(in.OneCounterparty), in.OneWebhookDelivery)
		})
}

// webhookOwner returns the owner whose webhooks a request is about.
func (s *server) webhookOwner(ctx context.Context, of hookOwner) (o webhooks.Owner, err error) {
	switch {
	case of.tenant != "":
		t, err := s.tenant(ctx, of.tenant)
		if err != nil {
			return o, err
		}
		o = webhooks.OfTenant(t)
	case of.counterparty != "":
		c, err := s.store.Counterparty(ctx, of.counterparty)
		if err != nil {
			return o, err
		}
		o = webhooks.OfCounterparty(c)
	}
	if s.webhooks == nil {
		return o, tenancy.Errorf(tenancy.ErrRefused, "this service has no webhooks")
	}
	return o, nil
}

func (s *server) webhook(ctx context.Context, of hookOwner, in OneWebhook) (h tenancy.Webhook, err error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return h, err
	}
	return s.store.Webhook(ctx, o.ID(), in.Webhook)
}

func viewWebhook(ctx context.Context, h tenancy.Webhook, n store.DeliveryCount) client.Webhook {
	return client.Webhook{Name: h.Name, Format: h.Format, Types: h.Types, Template: h.Template, Disabled: !h.Enabled,
		Host: h.Host, CreatedBy: h.CreatedBy, CreatedAt: h.CreatedAt, Queued: n.Queued, Dead: n.Dead,
		Dropped: h.Health.Dropped, DeliveredAt: h.Health.DeliveredAt, FailingSince: h.Health.FailingSince,
		LastError: said(ctx, h.Health.LastError), RetryAt: h.Health.RetryAt}
}

func (s *server) showWebhook(ctx context.Context, h tenancy.Webhook) (client.Webhook, error) {
	counts, err := s.store.CountDeliveries(ctx, []string{h.ID})
	return viewWebhook(ctx, h, counts[h.ID]), err
}

func (s *server) listWebhooks(ctx context.Context, of hookOwner, in WebhookPage) (*List[client.Webhook], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Webhooks(ctx, o.ID(), page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, h := range rows {
		ids[i] = h.ID
	}
	counts, err := s.store.CountDeliveries(ctx, ids)
	return listed(rows, next, in.Sort, func(h tenancy.Webhook) client.Webhook {
		return viewWebhook(ctx, h, counts[h.ID])
	}), err
}

func webhookSettings(in client.Webhook) webhooks.Settings {
	return webhooks.Settings{Name: in.Name, Format: webhook.Format(in.Format), Types: in.Types, Template: in.Template,
		Enabled: !in.Disabled, URL: in.URL, RoutingKey: in.RoutingKey, Authorization: in.Authorization,
		ServerCA: in.ServerCA}
}

func (s *server) createWebhook(ctx context.Context, of hookOwner, in client.Webhook) (*Created[client.Webhook],
	error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	h, secret, err := s.webhooks.Create(ctx, o, webhookSettings(in), actor(ctx), s.now())
	view := viewWebhook(ctx, h, store.DeliveryCount{})
	view.Secret = secret
	return &Created[client.Webhook]{ETag: etag(h.Version), Body: view,
		Location: prefix + of.path(h.Name)}, err
}

func (s *server) getWebhook(ctx context.Context, of hookOwner, in OneWebhook) (*Entity[client.Webhook], error) {
	h, err := s.webhook(ctx, of, in)
	if err != nil {
		return nil, err
	}
	view, err := s.showWebhook(ctx, h)
	return &Entity[client.Webhook]{etag(h.Version), view}, err
}

func (s *server) changeWebhook(ctx context.Context, of hookOwner, one OneWebhook, g Guarded,
	in client.Webhook) (*Entity[client.Webhook], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	if err := sameName(in.Name, one.Webhook); err != nil {
		return nil, err
	}
	in.Name = one.Webhook
	version, err := g.version()
	if err != nil {
		return nil, err
	}
	h, err := s.webhooks.Change(ctx, o, webhookSettings(in), version, actor(ctx), s.now())
	if err != nil {
		return nil, err
	}
	view, err := s.showWebhook(ctx, h)
	return &Entity[client.Webhook]{etag(h.Version), view}, err
}

func (s *server) deleteWebhook(ctx context.Context, of hookOwner, one OneWebhook, g Guarded) (*struct{}, error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	version, err := g.version()
	if err != nil {
		return nil, err
	}
	return nil, s.webhooks.Delete(ctx, o, one.Webhook, version, actor(ctx), s.now())
}

func (s *server) rotateWebhook(ctx context.Context, of hookOwner, one OneWebhook,
	in client.WebhookRotation) (*Entity[client.Webhook], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	overlap := webhooks.DefaultOverlap
	if in.OverlapHours != nil {
		overlap = time.Duration(*in.OverlapHours) * time.Hour
	}
	h, secret, err := s.webhooks.Rotate(ctx, o, one.Webhook, overlap, actor(ctx), s.now())
	if err != nil {
		return nil, err
	}
	view, err := s.showWebhook(ctx, h)
	view.Secret = secret
	return &Entity[client.Webhook]{etag(h.Version), view}, err
}

func (s *server) testWebhook(ctx context.Context, of hookOwner, one OneWebhook) (*Entity[client.WebhookTest], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	answer, failure, err := s.webhooks.Test(ctx, o, one.Webhook, actor(ctx), s.now())
	out := client.WebhookTest{Accepted: failure == nil, Status: answer.Status}
	if failure != nil {
		out.Error = words.Error(words.Of(ctx), failure)
	}
	return &Entity[client.WebhookTest]{Body: out}, err
}

// said returns a stored text in the language of the reader.
func said(ctx context.Context, stored string) string { return words.Say(ctx, tenancy.ReadText(stored)) }

func viewWebhookDelivery(ctx context.Context, d tenancy.WebhookDelivery) client.WebhookDelivery {
	v := client.WebhookDelivery{ID: d.ID, EventID: d.EventID, Type: d.Type, Subject: d.Subject, State: d.State,
		Attempts: d.Attempts, Status: d.Status, LastError: said(ctx, d.LastError), CreatedAt: d.CreatedAt,
		EndedAt: d.EndedAt}
	if d.State == tenancy.WebhookQueued {
		v.NextAt = d.NextAt
	}
	return v
}

func (s *server) listWebhookDeliveries(ctx context.Context, of hookOwner, one OneWebhook,
	in OfState) (*List[client.WebhookDelivery], error) {
	h, err := s.webhook(ctx, of, one)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.WebhookDeliveries(ctx, h.ID, in.State, page)
	return listed(rows, next, in.Sort, func(d tenancy.WebhookDelivery) client.WebhookDelivery {
		return viewWebhookDelivery(ctx, d)
	}), err
}

func (s *server) getWebhookDelivery(ctx context.Context, of hookOwner,
	in OneWebhookDelivery) (*Entity[client.WebhookDelivery], error) {
	h, err := s.webhook(ctx, of, in.OneWebhook)
	if err != nil {
		return nil, err
	}
	d, err := s.store.WebhookDelivery(ctx, h.ID, in.Delivery)
	view := viewWebhookDelivery(ctx, d)
	view.Event = d.Payload
	return &Entity[client.WebhookDelivery]{Body: view}, err
}

func (s *server) replayWebhookDelivery(ctx context.Context, of hookOwner,
	in OneWebhookDelivery) (*Entity[client.WebhookDelivery], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	d, err := s.webhooks.Replay(ctx, o, in.Webhook, in.Delivery, actor(ctx), s.now())
	return &Entity[client.WebhookDelivery]{Body: viewWebhookDelivery(ctx, d)}, err
}

func (s *server) replayDead(ctx context.Context, of hookOwner, one OneWebhook) (*Entity[client.WebhookReplay], error) {
	o, err := s.webhookOwner(ctx, of)
	if err != nil {
		return nil, err
	}
	n, err := s.webhooks.ReplayDead(ctx, o, one.Webhook, actor(ctx), s.now())
	return &Entity[client.WebhookReplay]{Body: client.WebhookReplay{Deliveries: n}}, err
}
