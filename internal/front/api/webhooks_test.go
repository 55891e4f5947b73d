package api

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// withoutJobs is the queue of webhooks on which nothing works.
type withoutJobs struct{}

func (withoutJobs) EnqueueWebhook(context.Context, *sql.Tx, string, time.Time) error { return nil }

// An inbox is the network and all endpoints.
type inbox struct {
	status int
	got    []webhooks.Request
}

func (i *inbox) Open(string, string) (webhooks.Poster, error) { return i, nil }

func (i *inbox) Close() {}

func (i *inbox) Post(_ context.Context, r webhooks.Request) (webhooks.Answer, error) {
	i.got = append(i.got, r)
	return webhooks.Answer{Status: i.status}, nil
}

func TestWhyAnEndpointFailsIsSaidInTheLanguageOfTheReader(t *testing.T) {
	f := setUp(t)
	const at = "/tenants/acme/webhooks"
	f.ok("acme/alice", "POST", at, 201, `{"name":"crm","format":"cloudevents","url":"https://x.example.com/S3CRET"}`)
	f.inbox.status = http.StatusServiceUnavailable
	for language, want := range map[string]string{"en": "the endpoint answers 503 Service Unavailable",
		"de": "Der Endpunkt antwortet mit 503 Service Unavailable"} {
		header := "Accept-Language: " + language
		if a := f.ok("acme/alice", "POST", at+"/crm/test", 200, "", header); a["error"] != want {
			t.Errorf("a test in %s: %v", language, a["error"])
		}
		acme, err := f.store.Tenant(t.Context(), "acme")
		check(t, err)
		h, err := f.store.Webhook(t.Context(), acme.ID, "crm")
		check(t, err)
		h.Health.LastError = tenancy.Stored(tenancy.Failure("the endpoint answers %d %s", 503, "Service Unavailable"))
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SetWebhookHealth(t.Context(), h.ID, h.Health)
		}))
		if a := f.ok("acme/alice", "GET", at+"/crm", 200, "", header); a["last_error"] != want {
			t.Errorf("stored, in %s: %v", language, a["last_error"])
		}
	}
}

func TestAWebhookIsCreatedTestedChangedAndDeleted(t *testing.T) {
	f := setUp(t)
	f.inbox.status = http.StatusNoContent
	for who, at := range map[string]string{"operator": "/webhooks", "acme/alice": "/tenants/acme/webhooks"} {
		made := f.ok(who, "POST", at, 201, `{"name":"crm","format":"cloudevents","url":"https://x.example.com/S3CRET",`+
			`"authorization":"Bearer S3CRET"}`)
		secret, err := webhook.ParseSecret(made["secret"].(string))
		check(t, err)
		read := f.call(who, "GET", at+"/crm", "")
		if strings.Contains(read.raw, "S3CRET") || strings.Contains(read.raw, "whsec_") ||
			!strings.Contains(read.raw, `"host":"x.example.com"`) {
			t.Errorf("%s: %s", at, read.raw)
		}
		if a := f.ok(who, "POST", at+"/crm/test", 200, ""); a["accepted"] != true || a["status"] != 204. {
			t.Errorf("%s: a test: %v", at, a)
		}
		last := f.inbox.got[len(f.inbox.got)-1]
		if err := webhook.Verify(last.Signature, last.Body, secret, f.now); err != nil || last.URL !=
			"https://x.example.com/S3CRET" {
			t.Errorf("%v, %s", err, last.URL)
		}
		if a := f.ok(who, "POST", at+"/crm/rotate", 200, `{"overlap_hours":1}`); a["secret"] == made["secret"] {
			t.Error("the secret is the same after a rotation")
		}
		tag := f.call(who, "GET", at+"/crm", "").header.Get("ETag")
		changed := f.call(who, "PUT", at+"/crm", `{"name":"crm","format":"cloudevents","types":["rollover.refused"],`+
			`"disabled":true}`, "If-Match: "+tag)
		if changed.status != 200 || !strings.Contains(changed.raw, `"disabled":true`) {
			t.Errorf("%s: %d %s", at, changed.status, changed.raw)
		}
		if n := len(items(f.ok(who, "GET", at, 200, ""))); n != 1 {
			t.Errorf("%s has %d webhooks", at, n)
		}
		if a := f.call(who, "DELETE", at+"/crm", "", "If-Match: "+changed.header.Get("ETag")); a.status != 204 {
			t.Errorf("%s: %d %s", at, a.status, a.raw)
		}
	}
	for body, want := range map[string]string{
		`{"name":"x","format":"cloudevents","url":"http://x.example.com"}`:                            "body.url",
		`{"name":"x","format":"slack","url":"https://x.example.com","types":["run.failed"]}`:          "body.types",
		`{"name":"x","format":"ticket","url":"https://x.example.com","template":"{\"a\":\"{{b}}\"}"}`: "body.template",
		`{"name":"x","format":"fax","url":"https://x.example.com"}`:                                   "body.format",
	} {
		if a := f.call("acme/alice", "POST", "/tenants/acme/webhooks", body); a.status != 422 ||
			!strings.Contains(a.raw, want) {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.raw, want)
		}
	}
}

func TestDeliveriesAreListedReadAndReplayed(t *testing.T) {
	f := setUp(t)
	const at = "/tenants/acme/webhooks"
	f.ok("acme/alice", "POST", at, 201, `{"name":"crm","format":"slack","url":"https://x.example.com"}`)
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	h, err := f.store.Webhook(t.Context(), acme.ID, "crm")
	check(t, err)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Audit(t.Context(), tenancy.NewEvent(f.now, "gateway", "arrangement.refused", "acme", "acme/crm-to-erp",
			map[string]any{"generation": 2}))
	}))
	list := items(f.ok("acme/alice", "GET", at+"/crm/deliveries?state=queued", 200, ""))
	if len(list) != 1 {
		t.Fatalf("%v", list)
	}
	one := at + "/crm/deliveries/" + list[0].(map[string]any)["id"].(string)
	var d client.WebhookDelivery
	check(t, json.Unmarshal([]byte(f.call("acme/alice", "GET", one, "").raw), &d))
	e, err := webhook.Parse(d.Event)
	if err != nil || e.Type != webhook.RolloverRefused || e.ID != d.EventID {
		t.Errorf("%v, %+v", err, d)
	}
	if a := f.call("acme/alice", "POST", one+"/replay", ""); a.status != 409 {
		t.Errorf("a queued one is replayed: %d %s", a.status, a.raw)
	}
	for range 30 {
		if _, err := f.webhooks.Deliver(t.Context(), h.ID); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(24 * time.Hour)
	}
	if a := f.ok("acme/alice", "GET", at+"/crm", 200, ""); a["dead"] != 1. || !strings.Contains(a["last_error"].(string),
		"500") {
		t.Errorf("%v", a)
	}
	if got := f.scrape("perennial_webhook_deliveries"); len(got) != 2 ||
		got[0] != `perennial_webhook_deliveries{state="dead"} 1` {
		t.Errorf("%v", got)
	}
	if a := f.ok("acme/alice", "POST", at+"/crm/replay", 200, ""); a["deliveries"] != 1. {
		t.Errorf("%v", a)
	}
	f.inbox.status = 200
	if _, err := f.webhooks.Deliver(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	if a := f.ok("acme/alice", "POST", one+"/replay", 200, ""); a["state"] != "queued" || a["event_id"] != d.EventID {
		t.Errorf("%v", a)
	}
}

func TestTheDescriptionOfTheAPIHasASchemaForEachEvent(t *testing.T) {
	spec, err := OpenAPI("test")
	check(t, err)
	var api struct {
		Webhooks map[string]struct {
			Post struct {
				RequestBody struct {
					Content map[string]struct {
						Schema struct {
							Properties map[string]struct {
								Ref string `json:"$ref"`
							}
						}
					}
				} `json:"requestBody"`
			}
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
			}
		}
	}
	check(t, json.Unmarshal(spec, &api))
	for _, d := range webhook.Definitions() {
		ref := api.Webhooks[string(d.Type)].Post.RequestBody.Content["application/cloudevents+json"].
			Schema.Properties["data"].Ref
		schema := api.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		if schema.Properties["summary"] == nil {
			t.Errorf("%s has the schema %q with %v", d.Type, ref, schema.Properties)
		}
	}
}
