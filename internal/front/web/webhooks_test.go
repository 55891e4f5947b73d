package web_test

import (
	"context"
	"database/sql"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// EnqueueWebhook implements [webhooks.Queue]. Nothing works on it.
func (c *console) EnqueueWebhook(context.Context, *sql.Tx, string, time.Time) error { return nil }

// newWebhook creates a webhook in the console, and returns its page.
func (c *console) newWebhook(client *http.Client, at, name string) string {
	c.t.Helper()
	status, page := c.post(client, at, "name", name, "format", "cloudevents", "url", "https://127.0.0.1:1/T0KEN",
		"type", "rollover.refused")
	if status == 409 { // a test may visit every page twice
		return at + "/" + name
	}
	if status != 200 || !strings.Contains(page, "whsec_") {
		c.t.Fatalf("create a webhook: %d %s", status, page)
	}
	return page
}

var etagField = regexp.MustCompile(`name="etag" value="([^"]*)"`)

// version returns the version in the form of a page.
func (c *console) version(page string) string {
	c.t.Helper()
	found := etagField.FindStringSubmatch(page)
	if found == nil {
		c.t.Fatal("the page has no form with a version")
	}
	return html.UnescapeString(found[1])
}

func TestAPersonCreatesTestsAndDeletesAWebhook(t *testing.T) {
	c := open(t)
	for who, at := range map[string]string{"olga": "/webhooks", "alice": "/tenants/acme/webhooks"} {
		client := c.signIn(who)
		made := c.newWebhook(client, at, "crm")
		for _, text := range []string{"Secret for the endpoint, shown only once:", "127.0.0.1:1",
			"Receiver refuses a certificate", "No event yet."} {
			if !strings.Contains(made, text) {
				t.Errorf("%s: the page of a new webhook lacks %q", who, text)
			}
		}
		_, page := c.get(client, at+"/crm")
		if strings.Contains(page, "whsec_") || strings.Contains(page, "T0KEN") {
			t.Errorf("%s: the page shows a secret again", who)
		}
		if _, page := c.post(client, at+"/crm/test"); !strings.Contains(page, "The endpoint did not accept the test:") ||
			!strings.Contains(page, "connection refused") {
			t.Errorf("%s: a test of an endpoint that is not there: %s", who, page)
		}
		if _, page := c.post(client, at+"/crm/rotate"); !strings.Contains(page, "whsec_") {
			t.Errorf("%s: no new secret", who)
		}
		if _, page := c.post(client, at+"/crm/switch", "stop", "yes"); !strings.Contains(page, "Sends no events") {
			t.Errorf("%s: it is not stopped", who)
		}
		if _, page := c.post(client, at+"/crm/switch"); !strings.Contains(page, "No event yet") {
			t.Errorf("%s: it is not started", who)
		}
		if status, page := c.post(client, at, "name", "crm", "format", "slack", "url", "https://x.example.com"); status !=
			409 || !strings.Contains(page, "already has a webhook crm") {
			t.Errorf("%s: a taken name: %d", who, status)
		}
		if _, page := c.post(client, at+"/crm/delete", "sure", "yes"); !strings.Contains(page,
			"The webhook crm has been deleted.") {
			t.Errorf("%s: it is not deleted", who)
		}
	}
	if status, _ := c.get(c.signIn("alice"), "/tenants/initech/webhooks"); status != 404 {
		t.Errorf("the webhooks of another tenant: %d", status)
	}
}

// The webhook of a counterparty has the name of one of the installation.
func TestTheWebhookOfACounterpartyIsChangedOnItsOwnPage(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	c.post(olga, "/counterparties", "name", "bank", "display_name", "Bank", "hosts", "bank.example")
	for _, at := range []string{"/webhooks", "/counterparties/bank/webhooks"} {
		c.newWebhook(olga, at, "crm")
		_, page := c.get(olga, at+"/crm")
		status, page := c.post(olga, at+"/crm", "etag", c.version(page), "url", "http://plain.example.com/")
		if status != 422 || !strings.Contains(page, `action="`+at+`/crm"`) ||
			!strings.Contains(page, "http://plain.example.com/") {
			t.Errorf("%s: a refused change does not show the form again: %d", at, status)
		}
		log := "/log?own=true&amp;object=" + url.QueryEscape(strings.TrimPrefix(at+"/crm", "/"))
		if !strings.Contains(page, log) {
			t.Errorf("%s: the page does not lead to its entries %s", at, log)
		}
	}
}

func TestAWebhookIsMovedInTheConsoleWithoutItsCredentials(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const at, one = "/tenants/acme/webhooks", "/tenants/acme/webhooks/crm"
	c.post(alice, at, "name", "crm", "format", "cloudevents", "url", "https://a.example.com/x", "authorization",
		"Bearer T0KEN", "type", "rollover.refused")
	_, page := c.get(alice, one)
	if !strings.Contains(page, `value="rollover.refused" checked`) || strings.Contains(page, "T0KEN") {
		t.Error("the form does not show the events, or shows a credential")
	}
	first := c.version(page)
	if _, page := c.post(alice, one, "etag", first, "type", "rollover.accepted"); !strings.Contains(page, "Saved.") ||
		!strings.Contains(page, `value="rollover.accepted" checked`) ||
		strings.Contains(page, `value="rollover.refused" checked`) {
		t.Error("the events are not changed")
	}
	if status, _ := c.post(alice, one, "etag", first, "type", "rollover.accepted"); status != 412 {
		t.Errorf("a change on top of one that was not seen: %d", status)
	}
	_, page = c.get(alice, one)
	moved := []string{"etag", c.version(page), "type", "rollover.refused", "url", "https://b.example.com/y"}
	if status, page := c.post(alice, one, moved...); status != 422 ||
		!strings.Contains(page, "was set for a.example.com: set it again for another host") {
		t.Errorf("the credentials of one host are sent to another: %d", status)
	}
	if status, page := c.post(alice, one, append(moved, "authorization", "Bearer OTHER")...); status != 200 ||
		!strings.Contains(page, "b.example.com") || strings.Contains(page, "OTHER") {
		t.Errorf("it is not moved, or shows its credential: %d", status)
	}
	if status, _ := c.post(alice, "/tenants/globex/webhooks/crm", moved...); status != 404 {
		t.Errorf("a webhook of another tenant: %d", status)
	}
}

func TestADeadEventIsDeliveredAgainFromTheConsole(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const at = "/tenants/acme/webhooks"
	c.newWebhook(alice, at, "crm")
	acme, err := c.engine.Store.Tenant(t.Context(), "acme")
	check(t, err)
	h, err := c.engine.Store.Webhook(t.Context(), acme.ID, "crm")
	check(t, err)
	check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Audit(t.Context(), tenancy.NewEvent(c.now(), "gateway", "arrangement.refused", "acme",
			"acme/crm-to-bank", map[string]any{"generation": 2}))
	}))
	due, _, err := c.engine.Store.WebhookDeliveries(t.Context(), h.ID, "", store.Page{Limit: 10, Sort: "-created"})
	check(t, err)
	dead := due[0]
	dead.State, dead.EndedAt, dead.Attempts, dead.LastError = tenancy.WebhookDead, c.now(), 10, "no answer"
	check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.RecordDelivery(t.Context(), dead) }))
	_, page := c.get(alice, at+"/crm")
	for _, text := range []string{"Given up", "no answer", "Deliver again what was given up (1)", "acme/crm-to-bank"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	form := regexp.MustCompile(`action="(/tenants/acme/webhooks/crm/deliveries/[-0-9a-f]{36}/replay)"`)
	found := form.FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page has no button to deliver it again")
	}
	if _, page := c.post(alice, found[1]); !strings.Contains(page, "The event is delivered again.") ||
		!strings.Contains(page, "In the queue") && !strings.Contains(page, "Queued") {
		t.Error("it is not queued again")
	}
	if _, page := c.post(alice, at+"/crm/replay"); !strings.Contains(page, "Events that are delivered again: 0") {
		t.Error("nothing is left to deliver again")
	}
	server := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is not trusted
	defer server.Close()
	c.post(alice, at, "name", "other", "format", "slack", "url", server.URL)
	if _, page := c.post(alice, at+"/other/test"); !strings.Contains(page, "certificate") {
		t.Error("an endpoint with an untrusted certificate is accepted")
	}
}
