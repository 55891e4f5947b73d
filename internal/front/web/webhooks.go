package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// hookPath returns the path of the webhooks of the page's tenant or counterparty or of the installation, or of
// something below them. The API and the pages use the same paths.
func (v *view) hookPath(parts ...string) string {
	if name := v.partyName(); name != "" {
		return client.CounterpartyWebhooksPath(name, parts...)
	}
	return client.WebhooksPath(v.tenantName(), parts...)
}

// hookObject returns the object of a webhook in the audit log.
func (v *view) hookObject(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(v.hookPath(name), "/"), "tenants/")
}

// partyName returns the name of the counterparty that a page for operators is about; empty if it is about none.
func (v *view) partyName() string { return v.r.PathValue("counterparty") }

// hookCrumbs returns the pages above those of a webhook, with their paths.
func (v *view) hookCrumbs() []string {
	if name := v.partyName(); name != "" {
		return []string{v.T("Counterparties"), "/counterparties", name, partyAt(name), v.T("Webhooks"), v.hookPath()}
	}
	return []string{v.T("Webhooks"), v.hookPath()}
}

func (c *console) webhooks(v *view) error {
	list, err := paged[client.Webhook](c, v, v.listPath(v.hookPath()))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Webhooks"), webhooksPage(v, list))
}

func (c *console) webhook(v *view) error {
	name := v.r.PathValue("webhook")
	h, etag, err := client.GetVersion[client.Webhook](v.caller(), c.api, v.hookPath(name))
	if err != nil {
		return refused(err)
	}
	deliveries, err := paged[client.WebhookDelivery](c, v, v.listPath(v.hookPath(name, "deliveries"), "state"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, name, webhookPage(v, h, etag, deliveries))
}

func (c *console) createWebhook(v *view) error {
	f := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	body := client.Webhook{Name: f("name"), Format: f("format"), URL: f("url"), RoutingKey: f("routing_key"),
		Template: f("template"), Authorization: f("authorization"), Types: v.r.PostForm["type"]}
	made, err := post[client.Webhook](c, v, v.hookPath(), body)
	if err != nil {
		return err
	}
	if made.Secret == "" { // the product identifies the webhook by its URL
		return c.done(v, v.hookPath(made.Name), v.T("%s has been created.", made.Name))
	}
	return c.showOnce(v, once{Page: v.hookPath(made.Name), Kind: onceWebhook, Text: made.Secret})
}

// changeWebhook changes the endpoint and the events of a webhook. Fields with secrets that are left empty stay as they
// are. The API refuses to send the credentials of one host to another.
func (c *console) changeWebhook(v *view) error {
	name := v.r.PathValue("webhook")
	h, err := get[client.Webhook](c, v, v.hookPath(name))
	if err != nil {
		return err
	}
	f := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	body := client.Webhook{Name: h.Name, Format: h.Format, Disabled: h.Disabled, URL: f("url"),
		RoutingKey: f("routing_key"), Template: f("template"), Authorization: f("authorization"),
		Types: v.r.PostForm["type"]}
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: v.hookPath(name), Body: body,
		IfMatch: v.r.PostFormValue("etag")}); err != nil {
		return err
	}
	return c.done(v, v.hookPath(name), v.T("Saved. Send a test to the endpoint."))
}

func (c *console) rotateWebhook(v *view) error {
	name := v.r.PathValue("webhook")
	made, err := post[client.Webhook](c, v, v.hookPath(name, "rotate"), client.WebhookRotation{})
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: v.hookPath(name), Kind: onceWebhook, Text: made.Secret})
}

func (c *console) testWebhook(v *view) error {
	name := v.r.PathValue("webhook")
	t, err := post[client.WebhookTest](c, v, v.hookPath(name, "test"), nil)
	if err != nil {
		return err
	}
	if !t.Accepted {
		return c.done(v, v.hookPath(name), v.T("The endpoint did not accept the test: %s", t.Error))
	}
	return c.done(v, v.hookPath(name), v.T("The endpoint accepted the test."))
}

// switchWebhook stops a webhook, or starts it again.
func (c *console) switchWebhook(v *view) error {
	name := v.r.PathValue("webhook")
	stop := v.r.PostFormValue("stop") == "yes"
	err := change(c, v, v.hookPath(name), func(h *client.Webhook) {
		*h = client.Webhook{Name: h.Name, Format: h.Format, Types: h.Types, Template: h.Template, Disabled: stop}
	})
	if err != nil {
		return err
	}
	return c.done(v, v.hookPath(name), v.T("Saved."))
}

func (c *console) replayDelivery(v *view) error {
	name := v.r.PathValue("webhook")
	path := v.hookPath(name, "deliveries", v.r.PathValue("delivery"), "replay")
	if _, err := post[client.WebhookDelivery](c, v, path, nil); err != nil {
		return err
	}
	return c.done(v, v.hookPath(name), v.T("The event is delivered again."))
}

func (c *console) replayDead(v *view) error {
	name := v.r.PathValue("webhook")
	n, err := post[client.WebhookReplay](c, v, v.hookPath(name, "replay"), nil)
	if err != nil {
		return err
	}
	return c.done(v, v.hookPath(name), v.T("Events that are delivered again: %d", n.Deliveries))
}

func (c *console) deleteWebhook(v *view) error {
	name := v.r.PathValue("webhook")
	if err := c.api.DeleteCurrent(v.caller(), v.hookPath(name)); err != nil {
		return refused(err)
	}
	return c.done(v, v.hookPath(), v.T("The webhook %s has been deleted.", name))
}

// hookFormat returns the name of a format for people.
func (v *view) hookFormat(f string) string {
	switch webhook.Format(f) {
	case webhook.Slack:
		return "Slack"
	case webhook.Teams:
		return "Microsoft Teams"
	case webhook.PagerDuty:
		return "PagerDuty"
	case webhook.Ticket:
		return v.T("Ticket (JSON)")
	}
	return v.T("Program (CloudEvents)")
}

// hookState returns whether the endpoint of a webhook works.
func (v *view) hookState(h client.Webhook) stateOf {
	switch {
	case h.Disabled:
		return stateOf{"off", v.T("Sends no events")}
	case h.LastError != "":
		return stateOf{"bad", v.T("Does not accept events")}
	case h.DeliveredAt.IsZero():
		return stateOf{"wait", v.T("No event yet")}
	}
	return stateOf{"good", v.T("Accepts events")}
}

func (v *view) deliveryState(s tenancy.WebhookState) stateOf {
	switch s {
	case tenancy.WebhookDelivered:
		return stateOf{"good", v.T("Accepted")}
	case tenancy.WebhookDead:
		return stateOf{"bad", v.T("Given up")}
	}
	return stateOf{"wait", v.T("Queued")}
}

// hookTypes lists the types of events that a webhook of the page can have.
func (v *view) hookTypes() []webhook.Type {
	var types []webhook.Type
	for _, d := range webhook.Definitions() {
		if v.partyName() != "" && !d.OfCounterparty() {
			continue
		}
		if d.Type != webhook.Test && (d.InTenant || v.tenantName() == "") {
			types = append(types, d.Type)
		}
	}
	return types
}

// hookEvents names the events that a webhook gets.
func (v *view) hookEvents(h client.Webhook) string {
	if len(h.Types) == 0 {
		return v.T("all")
	}
	names := make([]string, len(h.Types))
	for i, t := range h.Types {
		names[i] = v.eventName(webhook.Type(t))
	}
	return strings.Join(names, ", ")
}

// eventName returns the name of a type of events for people.
func (v *view) eventName(t webhook.Type) string {
	names := map[webhook.Type]string{
		webhook.CertificateExpiring: v.T("Certificate will be renewed"),
		webhook.CertificateRenewed:  v.T("Certificate renewed"),
		webhook.CertificateRevoked:  v.T("Certificate revoked"),
		webhook.CertificateRetired:  v.T("Certificate retired"),
		webhook.RolloverAccepted:    v.T("Receiver accepts a certificate"),
		webhook.RolloverRefused:     v.T("Receiver refuses a certificate"),
		webhook.RolloverCutOver:     v.T("Arrangement presents another certificate"),
		webhook.RolloverAtRisk:      v.T("Receiver at risk (reminder)"),
		webhook.WatchedExpiring:     v.T("Watched certificate will be renewed"),
		webhook.WatchedOverdue:      v.T("Watched certificate overdue"),
		webhook.WatchedExpired:      v.T("Watched certificate expired"),
		webhook.WatchedUnreadable:   v.T("Watched certificate cannot be read"),
		webhook.WatchedSeen:         v.T("Watched certificate renewed"),
		webhook.FeedSilent:          v.T("Feed is silent"),
		webhook.AuthorityAnnounced:  v.T("New CA announced"),
		webhook.AuthorityRevoked:    v.T("CA revoked"),
		webhook.RunFinished:         v.T("Run finished"),
		webhook.RunFailed:           v.T("Run failed"),
		webhook.MailHeld:            v.T("Mails stopped"),
		webhook.MailReleased:        v.T("Mails sent again"),
		webhook.TokenExpiring:       v.T("Token expires"),
		webhook.GuardHeld:           v.T("Guard holds a certificate"),
		webhook.GuardAccepted:       v.T("Guard accepts a certificate"),
		webhook.GuardDeclined:       v.T("Certificate declined at the guard"),
	}
	if name, ok := names[t]; ok {
		return name
	}
	return string(t)
}

// hasSecret reports whether requests of a format are signed with a secret.
func hasSecret(h client.Webhook) bool {
	return slices.Contains([]webhook.Format{webhook.CloudEvents, webhook.Ticket}, webhook.Format(h.Format))
}
