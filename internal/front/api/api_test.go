package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

type outbox struct{ queued []string }

func (o *outbox) Enqueue(_ context.Context, _ *sql.Tx, mails []tenancy.Mail) error {
	if len(mails) == 0 {
		return errors.New("no jobs to insert") // as the job queue answers
	}
	for _, m := range mails {
		o.queued = append(o.queued, m.ID)
	}
	return nil
}

type fixture struct {
	t      *testing.T
	http   *httptest.Server
	store  *store.Store
	engine *enginetest.Installation
	issuer issuer.Issuer
	swish  *testca.CA // that a person asks
	outbox *outbox
	inbox  *inbox   // the endpoints of all webhooks, which answer 500
	asked  []string // counterparties whose questions were queued
	rounds []string // rounds of tests that were queued
	now    time.Time

	webhooks *webhooks.Webhooks
	// workloads issues identity tokens that the API accepts.
	workloads *testenv.TokenIssuer
	tokens    map[string]string // "operator", "acme/alice" ...
}

// EnqueueQuestions implements [QuestionQueue].
func (f *fixture) EnqueueQuestions(_ context.Context, _ *sql.Tx, counterpartyID string) error {
	f.asked = append(f.asked, counterpartyID)
	return nil
}

// EnqueueRound implements [QuestionQueue].
func (f *fixture) EnqueueRound(_ context.Context, _ *sql.Tx, roundID string) error {
	f.rounds = append(f.rounds, roundID)
	return nil
}

var check = testenv.Check

// handler returns the API.
func handler(t *testing.T, c Config) http.Handler {
	t.Helper()
	h, err := New(c)
	check(t, err)
	return h
}

// setUp makes two tenants, acme and globex, each with the key users alice and bob, a receiver and an arrangement, and a
// warning that has gone out.
func setUp(t *testing.T) *fixture {
	t.Helper()
	ctx := t.Context()
	f := &fixture{t: t, outbox: &outbox{}, now: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC), tokens: map[string]string{}}
	f.swish = testca.New(t, "Swish", f.now)
	byHand, err := manual.Open(manual.Config{Roots: f.swish.RootFile(t)}, issuer.Form{TrustDomain: "p.example.com",
		Organization: "P"})
	check(t, err)
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), f.now,
		func(c *lifecycle.Config) {
			c.Outbox = f.outbox
			c.Issuers = issuer.Set{"swish": issuer.Checked(byHand)}
		})
	f.engine, f.store, f.issuer = engine, engine.Store, ca
	now := func() time.Time { return f.now }
	f.workloads = testenv.NewTokenIssuer(t)
	workloads, err := workload.New(workload.Options{Issuers: []string{f.workloads.URL}, Audience: "perennial",
		CA: f.workloads.CAFile}, now)
	check(t, err)
	importer, err := importing.New(f.engine.Engine, f.store, engine.Seal, now)
	check(t, err)
	f.inbox = &inbox{status: http.StatusInternalServerError}
	f.webhooks, err = webhooks.New(webhooks.Config{Store: f.store, Seal: engine.Seal, Queue: withoutJobs{},
		Network: f.inbox, BaseURL: "https://p.example.com", Now: now, Log: engine.Log})
	check(t, err)
	f.store.OnAudit(f.webhooks.Follow)
	f.http = httptest.NewServer(handler(t, Config{Webhooks: f.webhooks, Store: f.store,
		Engine: f.engine.Engine, Issuer: ca, Seal: engine.Seal,
		Importer: importer, Workloads: workloads, Outbox: f.outbox, Questions: f,
		Gateways: func(name string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
		}, Version: "test", Network: &outbound.Network{}, Now: now, Log: engine.Log}))
	t.Cleanup(f.http.Close)
	f.tokens["operator"] = "op-secret"
	check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.CreateToken(ctx, tenancy.Token{ID: store.NewID(), Name: "first", Role: tenancy.RoleOperator,
			CreatedAt: f.now, ExpiresAt: f.now.AddDate(10, 0, 0)}, tenancy.HashSecret("op-secret"))
	}))
	for _, tenant := range []string{"acme", "globex"} {
		f.ok("operator", "POST", "/tenants", 201, `{"name":"`+tenant+`","display_name":"Tenant `+tenant+`"}`)
		at := "/tenants/" + tenant
		for _, user := range []string{"alice", "bob"} {
			f.ok("operator", "POST", at+"/key-users", 201, `{"name":"`+user+`","email":"`+user+`@`+tenant+`.example.com"}`)
			token := f.ok("operator", "POST", "/tokens", 201,
				fmt.Sprintf(`{"name":"t","role":"key-user","tenant":%q,"user":%q,"expires_at":"2026-12-31T00:00:00Z"}`, tenant,
					user))
			f.tokens[tenant+"/"+user] = token["secret"].(string)
		}
		f.ok("operator", "POST", at+"/receivers", 201, `{"name":"erp"}`)
		f.ok("operator", "POST", at+"/arrangements", 201,
			`{"name":"crm-to-erp","receiver":"erp","endpoint":"https://erp.example.com/in"}`)
	}
	f.now = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	_, err = f.engine.Run(ctx, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), f.now)
	check(t, err)
	return f
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// call sends a request to the API; headers are "Name: value".
func (f *fixture) call(who, method, path, body string, headers ...string) answer {
	f.t.Helper()
	public := func(prefix string) bool { return strings.HasPrefix(path, prefix) }
	if !slices.ContainsFunc([]string{"/unsubscribe/", "/pki/", "/rollover/", "/counterparty/", "/feeds/"}, public) {
		path = "/api/v1" + path
	}
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.http.URL+path, strings.NewReader(body))
	check(f.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+f.tokens[who])
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	check(f.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(f.t, err)
	a := answer{res.StatusCode, res.Header, string(data), nil}
	json.Unmarshal(data, &a.body)
	return a
}

// ok is call, with the status that is wanted.
func (f *fixture) ok(who, method, path string, want int, body string, headers ...string) map[string]any {
	f.t.Helper()
	a := f.call(who, method, path, body, headers...)
	if a.status != want {
		f.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, want, a.raw)
	}
	return a.body
}

func items(v map[string]any) []any { return v["items"].([]any) }

// bodies are valid requests for every endpoint that takes one.
var bodies = map[string]string{
	"POST /tokens/{token}/rotate":                      `{}`,
	"POST /links/{secret}/administrator/stop":          `{}`,
	"POST /deliveries/bounces":                         `{"message":"Subject: x"}`,
	"POST /tenants/{tenant}/credentials":               `{"name":"x"}`,
	"PUT /tenants/{tenant}/credentials/{credential}":   `{"name":"tenant","key_type":"p384"}`,
	"POST /tenants/{tenant}/requests/{request}/answer": `{"certificate":"eA=="}`,
	"PUT /tenants/{tenant}":                            `{"display_name":"x","key_type":"p256"}`,
	"POST /tenants/{tenant}/key-users":                 `{"name":"eve","email":"e@x.example"}`,
	"PUT /tenants/{tenant}/key-users/{user}":           `{"email":"e@x.example"}`,
	"PUT /tenants/{tenant}/it-contacts":                `[]`,
	"POST /tenants/{tenant}/receivers":                 `{"name":"x"}`,
	"PUT /tenants/{tenant}/receivers/{receiver}":       `{"name":"erp"}`,
	"POST /tenants/{tenant}/arrangements": `{"name":"x","receiver":"erp",` +
		`"endpoint":"https://x"}`,
	"POST /tenants/{tenant}/arrangements/trial": `{"name":"x","receiver":"erp",` +
		`"endpoint":"https://x"}`,
	"POST /imports": `{}`, "POST /imports/{import}/apply": `{}`,
	"PUT /tenants/{tenant}/arrangements/{arrangement}": `{"name":"crm-to-erp","receiver":"erp",` +
		`"endpoint":"https://x"}`,
	"PUT /tenants/{tenant}/tasks/{task}": `{"state":"completed"}`,
	"PUT /scope/default":                 `{"answer":"yes"}`, "POST /scope/answers": `{"answer":"no"}`,
	"POST /tenants/{tenant}/scope":                                       `{"name":"x"}`,
	"PUT /tenants/{tenant}/scope/{project}/{question}":                   `{"answer":"yes"}`,
	"POST /tenants/{tenant}/certificates/{purpose}/renew":                `{}`,
	"POST /tenants/{tenant}/certificates/{purpose}/{generation}/revoke":  `{"reason":"lost"}`,
	"POST /tenants/{tenant}/arrangements/{arrangement}/rollover/choose":  `{"generation":1}`,
	"POST /tenants/{tenant}/arrangements/{arrangement}/rollover/confirm": `{"generation":1}`,
	"POST /tenants/{tenant}/arrangements/{arrangement}/authority":        `{}`,
	"POST /authorities/{authority}/revoke":                               `{"reason":"compromised"}`,
	"POST /authorities/{authority}/export":                               `{"passphrase":"a long passphrase"}`,
	"POST /authorities/{authority}/remove-key":                           `{"proof":"eA=="}`,
	"POST /authorities/request":                                          `{}`,
	"POST /authorities/import":                                           `{"file":"x","passphrase":"x"}`,
	"POST /authorities/install":                                          `{"chain":"eA=="}`,
	"POST /guard/certificates/{fingerprint}/decision":                    `{"partner":"x","standing":"accepted"}`,
	"POST /tenants/{tenant}/watched":                                     `{"name":"x"}`,
	"PUT /tenants/{tenant}/watched/{watched}":                            `{"name":"x"}`,
	"POST /tenants/{tenant}/watched/{watched}/certificates":              `{"certificate":"eA=="}`,
	"POST /tenants/{tenant}/watched/{watched}/links":                     `{"system":"x"}`,
	"POST /webhooks":                                                `{"name":"x","format":"slack"}`,
	"PUT /webhooks/{webhook}":                                       `{"name":"x","format":"slack"}`,
	"POST /webhooks/{webhook}/rotate":                               `{}`,
	"POST /tenants/{tenant}/webhooks":                               `{"name":"x","format":"slack"}`,
	"PUT /tenants/{tenant}/webhooks/{webhook}":                      `{"name":"x","format":"slack"}`,
	"POST /tenants/{tenant}/webhooks/{webhook}/rotate":              `{}`,
	"POST /counterparties":                                          `{"name":"x"}`,
	"POST /worklist/links":                                          `{}`,
	"POST /test-rounds":                                             `{}`,
	"PUT /counterparties/{counterparty}":                            `{"name":"x"}`,
	"POST /counterparties/{counterparty}/unlink":                    `{"tenant":"acme","receiver":"erp"}`,
	"POST /counterparties/{counterparty}/contacts":                  `{"name":"x","email":"x@x.example"}`,
	"POST /counterparty-proposals/{host}/accept":                    `{}`,
	"POST /counterparties/{counterparty}/webhooks":                  `{"name":"x","format":"slack"}`,
	"PUT /counterparties/{counterparty}/webhooks/{webhook}":         `{"name":"x","format":"slack"}`,
	"POST /counterparties/{counterparty}/webhooks/{webhook}/rotate": `{}`,
	"POST /links/{secret}/counterparty/test":                        `{}`,
	"PUT /links/{secret}/counterparty/product":                      `{"product":"nginx"}`,
	"POST /links/{secret}/counterparty/contacts":                    `{"name":"x","email":"x@x.example"}`,
	"POST /authorities":                                             `{}`, "POST /tenants": `{"name":"x"}`,
	"POST /runs": `{"run_date":"2026-10-01T00:00:00Z"}`, "POST /tokens": `{"name":"x","role":"operator"}`,
}

// placeholders fills the parameters of a path other than the tenant.
func placeholders(task string) *strings.Replacer {
	return strings.NewReplacer("{user}", "alice", "{receiver}", "erp", "{arrangement}", "crm-to-erp", "{purpose}",
		"tenant", "{generation}", "1", "{task}", task,
		"{project}", "First%20Implementation", "{question}", tenancy.MailForTasks, "{run_date}", "2026-11-01T00:00:00Z",
		"{delivery}", "x", "{token}", "x", "{link}", "x", "{authority}", "x", "{import}", "x",
		"{credential}", "tenant", "{request}", "x", "{watched}", "x", "{fingerprint}", "x", "{webhook}", "x",
		"{counterparty}", "x", "{contact}", "x", "{host}", "x.example")
}

// Every operation in the API's description is called without a token, with the token of another tenant, and with one
// that is not an operator's.
func TestNoTenantCanSeeOrGuessDataOfAnotherTenant(t *testing.T) {
	f := setUp(t)
	task := items(f.ok("operator", "GET", "/tenants/acme/tasks", 200, ""))[0].(map[string]any)["id"].(string)
	spec, err := OpenAPI("test")
	check(t, err)
	var api struct {
		Paths map[string]map[string]struct {
			RequestBody any `json:"requestBody"`
		}
	}
	check(t, json.Unmarshal(spec, &api))
	fill := placeholders(task)
	seen := 0
	for path, methods := range api.Paths {
		path = strings.TrimPrefix(path, "/api/v1")
		for method, op := range methods {
			method = strings.ToUpper(method)
			body := bodies[method+" "+path]
			if op.RequestBody != nil && body == "" {
				t.Fatalf("%s %s has no body in this test", method, path)
			}
			query := ""
			switch {
			case strings.HasSuffix(path, "mail-check"):
				query = "?user=alice"
			case strings.HasSuffix(path, "/find"):
				query = "?q=alice"
			}
			at := fill.Replace(path) + query
			seen++
			if strings.HasPrefix(path, "/links/") { // the secret stands for a token
				continue
			}
			if a := f.call("", method, strings.ReplaceAll(at, "{tenant}", "acme"), body, `If-Match: "1"`); a.status != 401 {
				t.Errorf("%s %s without a token: %d", method, path, a.status)
			}
			if !strings.Contains(path, "{tenant}") {
				if a := f.call("globex/alice", method, at, body, `If-Match: "1"`); a.status != 403 {
					t.Errorf("%s %s by a key user: %d %s", method, path, a.status, a.raw)
				}
				continue
			}
			there := f.call("globex/alice", method, strings.ReplaceAll(at, "{tenant}", "acme"), body, `If-Match: "1"`)
			nowhere := f.call("globex/alice", method, strings.ReplaceAll(at, "{tenant}", "unknown"), body, `If-Match: "1"`)
			// What only operators may do is refused before anything is looked up.
			if there.status != 404 && there.status != 403 || strings.ReplaceAll(there.raw, "acme", "unknown") != nowhere.raw {
				t.Errorf("%s %s of another tenant: %d %s; of an unknown one: %d %s", method, path, there.status,
					there.raw, nowhere.status, nowhere.raw)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d operations", seen)
	}
	// A task of another tenant cannot be reached through the own tenant either.
	if a := f.call("globex/alice", "GET", "/tenants/globex/tasks/"+task, ""); a.status != 404 {
		t.Errorf("a task of another tenant through the own tenant: %d", a.status)
	}
	for _, e := range items(f.ok("globex/alice", "GET", "/tenants/globex/events", 200, "")) {
		if e.(map[string]any)["tenant"] != "globex" {
			t.Errorf("an event of another tenant: %v", e)
		}
	}
}

func TestChangesNeedTheETagOfWhatWasRead(t *testing.T) {
	f := setUp(t)
	path := "/tenants/acme/receivers/erp"
	read := f.call("acme/alice", "GET", path, "")
	tag := read.header.Get("ETag")
	if a := f.call("acme/alice", "PUT", path, `{"name":"erp","display_name":"ERP"}`); a.status != 428 ||
		!strings.Contains(a.raw, "send If-Match") {
		t.Errorf("without: %d %s", a.status, a.raw)
	}
	changed := f.call("acme/alice", "PUT", path,
		`{"name":"erp","created_at":"2026-01-15T00:00:00Z","display_name":"ERP","contact_email":"eve@erp.example.com"}`,
		"If-Match: "+tag)
	if changed.status != 200 || changed.body["display_name"] != "ERP" || changed.header.Get("ETag") == tag {
		t.Errorf("with: %d %s", changed.status, changed.raw)
	}
	for _, stale := range []string{tag, `"x"`, "*"} {
		if a := f.call("acme/alice", "PUT", path, `{"name":"erp","display_name":"mine"}`,
			"If-Match: "+stale); a.status != 412 {
			t.Errorf("If-Match %s: %d %s", stale, a.status, a.raw)
		}
	}
	if a := f.call("acme/alice", "DELETE", path, "", "If-Match: "+changed.header.Get("ETag")); a.status != 409 ||
		!strings.Contains(a.raw, "is used by an arrangement") {
		t.Errorf("in use: %d %s", a.status, a.raw)
	}
	f.ok("acme/alice", "DELETE", "/tenants/acme/arrangements/crm-to-erp", 204, "", `If-Match: "1"`)
	f.ok("acme/alice", "DELETE", path, 204, "", "If-Match: "+changed.header.Get("ETag"))
	f.ok("acme/alice", "GET", path, 404, "")
}

func TestARepeatedCreationGetsTheFirstAnswer(t *testing.T) {
	f := setUp(t)
	body := `{"name":"crm2","receiver":"erp","endpoint":"https://erp.example.com"}`
	first := f.call("acme/alice", "POST", "/tenants/acme/arrangements", body, "Idempotency-Key: k1")
	again := f.call("acme/alice", "POST", "/tenants/acme/arrangements", body, "Idempotency-Key: k1")
	if first.status != 201 || again.status != 201 || first.raw != again.raw ||
		again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("first %d %s, again %d %s", first.status, first.raw, again.status, again.raw)
	}
	if a := f.call("acme/alice", "POST", "/tenants/acme/arrangements", body); a.status != 409 ||
		!strings.Contains(a.raw, "arrangement crm2 already exists") {
		t.Errorf("without the key: %d %s", a.status, a.raw)
	}
	if a := f.call("acme/alice", "POST", "/tenants/acme/arrangements", strings.Replace(body, "crm2", "crm3", 1),
		"Idempotency-Key: k1"); a.status != 422 {
		t.Errorf("another request under the key: %d", a.status)
	}
	secret := f.ok("operator", "POST", "/tokens", 201, `{"name":"x","role":"operator"}`,
		"Idempotency-Key: k2")["secret"].(string)
	if again := f.ok("operator", "POST", "/tokens", 201, `{"name":"x","role":"operator"}`,
		"Idempotency-Key: k2"); again["secret"] != secret {
		t.Errorf("the repetition has another token: %v", again)
	}
	var leaked int
	check(t, f.store.DB().QueryRow("SELECT COUNT(*) FROM idempotency_keys WHERE instr(body, ?) > 0", secret).Scan(&leaked))
	if leaked > 0 {
		t.Error("a token's secret is readable at rest")
	}
	if a := f.call("globex/alice", "POST", "/tenants/globex/arrangements", body, "Idempotency-Key: k1"); a.status != 201 ||
		a.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("the same key of another tenant: %d %s", a.status, a.raw)
	}
	f.now = f.now.Add(25 * time.Hour)
	if a := f.call("acme/alice", "POST", "/tenants/acme/arrangements", body, "Idempotency-Key: k1"); a.status != 409 {
		t.Errorf("the key is still stored a day later: %d", a.status)
	}
}

func TestInvalidInputGetsAProblemThatNamesTheError(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct {
		name, method, path, body, header string
		status                           int
		want                             string
	}{
		{"invalid JSON", "POST", "/tenants", `{"name":`, "", 400, "unexpected end of JSON"},
		{"unknown field", "POST", "/tenants", `{"name":"x","colour":"red"}`, "", 422, "unexpected property"},
		{"wrong content type", "POST", "/tenants", `<name>x</name>`, "Content-Type: text/xml", 415, ""},
		{"10 MB", "POST", "/tenants", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, "", 413, ""},
		{"10 MB with a key", "POST", "/tenants", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, "Idempotency-Key: big",
			413, ""},
		{"duplicate", "POST", "/tenants", `{"name":"acme"}`, "", 409, "a tenant acme already exists"},
		{"name in capitals", "POST", "/tenants", `{"name":"Acme"}`, "", 422, `body.name`},
		{"control characters", "POST", "/tenants", `{"name":"x","display_name":"a\u0000b\u001b[31m"}`, "", 422,
			"cannot be printed"},
		{"direction override", "POST", "/tenants", `{"name":"x","display_name":"\u202egnp.exe"}`, "", 422,
			"cannot be printed"},
		{"key type", "POST", "/tenants", `{"name":"x","key_type":"dsa"}`, "", 422, "expected value to be one of"},
		{"address", "POST", "/tenants/acme/key-users", `{"name":"eve","email":"eve@x.example\nBcc: a@b.example"}`, "", 422,
			"invalid e-mail address"},
		{"no such receiver", "POST", "/tenants/acme/arrangements", `{"name":"x","receiver":"none","endpoint":"https://x"}`,
			"", 422, "there is no receiver none: create it first"},
		{"plain HTTP with certificate", "POST", "/tenants/acme/arrangements",
			`{"name":"x","receiver":"erp","endpoint":"http://x"}`, "", 422, "must be an https URL for a client certificate"},
		{"strategy of later", "POST", "/tenants/acme/arrangements",
			`{"name":"x","receiver":"erp","endpoint":"https://x","strategy":"psychic"}`, "", 422, "expected value to be one of"},
		{"no run date", "POST", "/runs", `{"run_date":"2026-10-03T00:00:00Z"}`, "", 422, "is not a run date of the policy " +
			"perennial: the run dates before and after it are 2026-10-01T00:00:00Z and 2026-11-01T00:00:00Z"},
		{"future run", "POST", "/runs", `{"run_date":"2030-01-01T00:00:00Z"}`, "", 409, "is in the future"},
		{"invalid time", "POST", "/runs", `{"run_date":"tomorrow"}`, "", 422, "date-time"},
		{"generation", "GET", "/tenants/acme/certificates/tenant/99", "", "", 404, "there is no " +
			"generation 99 of the credential tenant: the newest one is generation 1"},
		{"huge generation", "GET", "/tenants/acme/certificates/tenant/99999999999999999999", "", "", 422, "invalid"},
		{"limit", "GET", "/tenants?limit=100000", "", "", 422, "expected number <= 500"},
		{"token without a user", "POST", "/tokens", `{"name":"x","role":"key-user","tenant":"acme"}`, "", 422,
			"needs a tenant and a user"},
		{"eternal token", "POST", "/tokens", `{"name":"x","role":"operator","expires_at":"2099-01-01T00:00:00Z"}`, "", 422,
			"at most one year"},
		{"no such path", "GET", "/nothing", "", "", 404, "unknown operation"},
	} {
		var headers []string
		if c.header != "" {
			headers = append(headers, c.header)
		}
		a := f.call("operator", c.method, c.path, c.body, headers...)
		if a.status != c.status || !strings.Contains(a.raw, c.want) ||
			a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %s", c.name, a.status, a.header.Get("Content-Type"), a.raw[:min(300, len(a.raw))])
		}
	}
	if got := len(items(f.ok("operator", "GET", "/tenants", 200, ""))); got != 2 {
		t.Errorf("%d tenants after all that", got)
	}
}

func TestListsArePaged(t *testing.T) {
	f := setUp(t)
	for i := range 5 {
		f.ok("acme/alice", "POST", "/tenants/acme/receivers", 201, fmt.Sprintf(`{"name":"r%d"}`, i))
	}
	var names []string
	cursor := ""
	for pages := 1; ; pages++ {
		page := f.ok("acme/alice", "GET", "/tenants/acme/receivers?limit=2&cursor="+cursor, 200, "")
		for _, r := range items(page) {
			names = append(names, r.(map[string]any)["name"].(string))
		}
		next, more := page["next"].(string)
		if !more {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		cursor = next
	}
	if got := strings.Join(names, " "); got != "erp r0 r1 r2 r3 r4" {
		t.Errorf("got %s", got)
	}
}

func TestRenewIsRefusedWithTheReasonAndOnlyOperatorsGiveOne(t *testing.T) {
	f := setUp(t)
	f.now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	path := "/tenants/acme/certificates/tenant/renew"
	if a := f.call("acme/alice", "POST", path, `{}`); a.status != 409 ||
		!strings.Contains(a.raw, "Renew is possible from 2026-10-13 23:55 UTC on") {
		t.Errorf("much validity left: %d %s", a.status, a.raw)
	}
	if a := f.call("acme/alice", "POST", path, `{"reason":"lost"}`); a.status != 403 {
		t.Errorf("a key user's reason: %d %s", a.status, a.raw)
	}
	c := f.ok("operator", "POST", path, 201, `{"reason":"compromised"}`)
	if c["generation"] != 2.0 || c["state"] != "active" || fmt.Sprint(c["revoked_generations"]) != "[1]" ||
		fmt.Sprint(c["exposed_arrangements"]) != "[acme/crm-to-erp]" {
		t.Errorf("got %v", c)
	}
	old := f.ok("acme/alice", "GET", "/tenants/acme/certificates/tenant/1", 200, "")
	if old["state"] != "revoked" || old["revoked_for"] != "compromised" {
		t.Errorf("old: %v", old)
	}
	if a := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp", 200, ""); a["generation"] != 2.0 {
		t.Errorf("the arrangement still presents %v", a["generation"])
	}
	issuing := items(f.ok("operator", "GET", "/authorities", 200, ""))[1].(map[string]any)["id"].(string)
	res := f.call("", "GET", "/pki/"+issuing+".crl", "")
	crl, err := x509.ParseRevocationList([]byte(res.raw))
	if err != nil || len(crl.RevokedCertificateEntries) != 1 {
		t.Errorf("the revocation list: %v, %v", crl, err)
	}
	f.now = time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)
	f.tokens["acme/alice"] = f.ok("operator", "POST", "/tokens", 201,
		`{"name":"t","role":"key-user","tenant":"acme","user":"alice"}`)["secret"].(string)
	if c := f.ok("acme/alice", "POST", path, 201, `{}`); c["generation"] != 3.0 {
		t.Errorf("little validity left: %v", c)
	}
}

func TestOneGenerationIsRevokedByAnOperator(t *testing.T) {
	f := setUp(t)
	f.now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	const path = "/tenants/acme/certificates/tenant/"
	if a := f.call("acme/alice", "POST", path+"2/revoke", `{"reason":"compromised"}`); a.status != 403 {
		t.Errorf("a key user revokes: %d %s", a.status, a.raw)
	}
	for body, want := range map[string]int{`{"reason":"reissue"}`: 422, `{}`: 422} {
		if a := f.call("operator", "POST", path+"2/revoke", body); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.raw)
		}
	}
	if c := f.ok("operator", "POST", path+"2/revoke", 200, `{"reason":"compromised"}`); c["generation"] != 3.0 ||
		fmt.Sprint(c["revoked_generations"]) != "[2]" || c["exposed_arrangements"] != nil {
		t.Errorf("the newest is %v", c)
	}
	known := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover", 200, "")["generations"].([]any)
	for i, want := range []string{"active", "revoked", "standby"} {
		c := f.ok("acme/alice", "GET", path+strconv.Itoa(i+1), 200, "")
		if c["state"] != want {
			t.Errorf("generation %d is %v, want %s", i+1, c["state"], want)
		}
		if g := known[i].(map[string]any); g["fingerprint_sha256"] != c["fingerprint_sha256"] {
			t.Errorf("generation %d has the fingerprint %v in the roll-over", i+1, g["fingerprint_sha256"])
		}
	}
	if a := f.call("operator", "POST", path+"2/revoke", `{"reason":"lost"}`); a.status != 409 ||
		!strings.Contains(a.raw, "was already revoked on 2026-06-01 00:00 UTC") {
		t.Errorf("again: %d %s", a.status, a.raw)
	}
}

func TestACertificateDownloadsInEveryFormAndWithoutItsKey(t *testing.T) {
	f := setUp(t)
	want := f.ok("acme/alice", "GET", "/tenants/acme/certificates/tenant/1", 200, "")["fingerprint_sha256"]
	for format, extension := range map[string]string{"pem": ".pem", "der": ".cer", "pkcs7": ".p7b"} {
		a := f.call("acme/alice", "GET", "/tenants/acme/certificates/tenant/1/download?format="+format, "")
		certs, err := certfile.Parse([]byte(a.raw), "")
		if err != nil || certfile.Fingerprint(certs[0].Raw) != want {
			t.Errorf("%s: %v", format, err)
		}
		if a.header.Get("Content-Disposition") != `attachment; filename="acme-tenant-generation-1`+extension+`"` {
			t.Errorf("%s: %s", format, a.header.Get("Content-Disposition"))
		}
		if strings.Contains(a.raw, "PRIVATE") {
			t.Errorf("%s holds a private key", format)
		}
	}
	if a := f.call("", "GET", "/pki/ca.pem", ""); strings.Count(a.raw, "BEGIN CERTIFICATE") != 2 {
		t.Errorf("the CA's certificates: %s", a.raw)
	}
}

func TestOnlyTheOwnTaskIsCompleted(t *testing.T) {
	f := setUp(t)
	all := items(f.ok("acme/alice", "GET", "/tenants/acme/tasks", 200, ""))
	mine := items(f.ok("acme/alice", "GET", "/tenants/acme/tasks?user=alice&state=open", 200, ""))
	if len(all) != 2 || len(mine) != 1 {
		t.Fatalf("%d tasks, %d of alice", len(all), len(mine))
	}
	task := mine[0].(map[string]any)
	path := "/tenants/acme/tasks/" + task["id"].(string)
	if task["subject"] != "Tenant Certificate is going to expire soon" || task["due_at"] != "2026-12-01T00:00:00Z" {
		t.Errorf("task %v", task)
	}
	if task["arrangement"] != "crm-to-erp" || f.ok("acme/alice", "GET", path, 200, "")["arrangement"] != "crm-to-erp" {
		t.Errorf("the task about the only arrangement is about %v", task["arrangement"])
	}
	if a := f.call("acme/bob", "PUT", path, `{"state":"completed"}`, `If-Match: "1"`); a.status != 409 ||
		!strings.Contains(a.raw, "only alice can change this") {
		t.Errorf("by bob: %d %s", a.status, a.raw)
	}
	f.ok("acme/alice", "PUT", path, 200, `{"state":"in-process"}`, `If-Match: "1"`)
	done := f.ok("acme/alice", "PUT", path, 200, `{"state":"completed","note":"told Eve"}`, `If-Match: "2"`)
	if done["completed_at"] != "2026-11-02T00:00:00Z" || done["note"] != "told Eve" {
		t.Errorf("got %v", done)
	}
	if open := items(f.ok("acme/bob", "GET", "/tenants/acme/tasks?state=open", 200, "")); len(open) != 1 {
		t.Errorf("bob's task: %v", open)
	}
}

func TestMailCheckExplainsWhyThereWasNoMail(t *testing.T) {
	f := setUp(t)
	verdict := func(user string) (gets bool, failing []string) {
		v := f.ok("acme/alice", "GET", "/tenants/acme/mail-check?user="+user, 200, "")
		for _, c := range v["conditions"].([]any) {
			if c := c.(map[string]any); c["holds"] == false {
				failing = append(failing, c["fix"].(string))
			}
		}
		return v["gets_mail"].(bool), failing
	}
	if gets, failing := verdict("alice"); gets || len(failing) != 2 ||
		!strings.Contains(failing[0], "Communication and Information Exchange > Business Process Management > Business "+
			"Task Management > send e-mail for the task") {
		t.Errorf("at first: %v %q", gets, failing)
	}
	f.ok("acme/alice", "PUT", "/tenants/acme/scope/First%20Implementation/send-email-for-task", 200, `{"answer":"yes"}`)
	if a := f.call("acme/bob", "PUT", "/tenants/acme/key-users/alice/subscription", ""); a.status != 409 {
		t.Errorf("bob subscribes alice: %d", a.status)
	}
	f.ok("acme/alice", "PUT", "/tenants/acme/key-users/alice/subscription", 200, "")
	if gets, failing := verdict("alice"); !gets {
		t.Errorf("after both: %q", failing)
	}
	if gets, failing := verdict("mallory"); gets || len(failing) != 2 ||
		failing[0] != "Make the person a key user of the tenant." {
		t.Errorf("a stranger: %v %q", gets, failing)
	}
	scope := items(f.ok("acme/bob", "GET", "/tenants/acme/scope", 200,
		""))[0].(map[string]any)["questions"].([]any)[0].(map[string]any)
	if scope["answer"] != "yes" || scope["answered_by"] != "key user acme/alice" {
		t.Errorf("scope %v", scope)
	}
}

func TestTokensExpireAreRevokedAndNeverShownAgain(t *testing.T) {
	f := setUp(t)
	created := f.ok("operator", "POST", "/tokens", 201, `{"name":"ci","role":"sender","tenant":"acme"}`)
	f.tokens["sender"] = created["secret"].(string)
	if !regexp.MustCompile(`^perennial_[A-Z2-7]{26}$`).MatchString(f.tokens["sender"]) ||
		created["expires_at"] != "2027-01-31T00:00:00Z" {
		t.Errorf("got %v", created)
	}
	if a := f.call("operator", "GET", "/tokens", ""); strings.Contains(a.raw, f.tokens["sender"]) ||
		strings.Contains(a.raw, tenancy.HashSecret(f.tokens["sender"])) {
		t.Error("the list shows a secret")
	}
	if a := f.call("sender", "GET", "/tenants/acme", ""); a.status != 403 {
		t.Errorf("a sender at the API: %d", a.status)
	}
	f.now = f.now.AddDate(0, 3, 0)
	if a := f.call("sender", "GET", "/tenants/acme", ""); a.status != 401 ||
		!strings.Contains(a.raw, "expired on 2027-01-31 00:00 UTC") {
		t.Errorf("expired: %d %s", a.status, a.raw)
	}
	id := f.ok("operator", "POST", "/tokens", 201, `{"name":"x","role":"operator"}`)
	f.tokens["x"] = id["secret"].(string)
	f.ok("x", "GET", "/tenants", 200, "")
	f.ok("operator", "DELETE", "/tokens/"+id["id"].(string), 204, "")
	if a := f.call("x", "GET", "/tenants", ""); a.status != 401 || !strings.Contains(a.raw, "was revoked on") {
		t.Errorf("revoked: %d %s", a.status, a.raw)
	}
}

func TestADeadMailIsQueuedAgainByAnOperator(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "PUT", "/tenants/acme/it-contacts", 200,
		`[{"name":"Ina","email":"ina@acme.example.com"},{"name":"Ivo","email":"ivo@acme.example.com"}]`, `If-Match: "0"`)
	if a := f.call("operator", "PUT", "/tenants/acme/it-contacts", `[]`, `If-Match: "0"`); a.status != 412 {
		t.Errorf("contacts that were changed meanwhile: %d", a.status)
	}
	_, err := f.engine.Run(t.Context(), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), f.now)
	check(t, err)
	queued, err := f.store.Mails(t.Context(), "", tenancy.MailQueued, "", 10)
	check(t, err)
	if len(queued) != 2 {
		t.Fatalf("%d queued", len(queued))
	}
	queued[0].State, queued[0].LastError = tenancy.MailDead, "no such user"
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateMail(t.Context(), queued[0]) }))
	dead := items(f.ok("operator", "GET", "/deliveries?state=dead", 200, ""))
	if len(dead) != 1 || dead[0].(map[string]any)["last_error"] != "no such user" ||
		dead[0].(map[string]any)["tenant"] != "acme" {
		t.Fatalf("dead: %v", dead)
	}
	path := "/deliveries/" + queued[0].ID + "/requeue"
	before := len(f.outbox.queued)
	if d := f.ok("operator", "POST", path, 200, ""); d["state"] != "queued" || len(f.outbox.queued) != before+1 {
		t.Errorf("got %v", d)
	}
	if a := f.call("operator", "POST", path, ""); a.status != 409 {
		t.Errorf("requeued again: %d", a.status)
	}
}

func TestAnAnswerForAllTenantsKeepsTheirOwn(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "PUT", "/tenants/acme/scope/First%20Implementation/send-email-for-task", 200, `{"answer":"no"}`)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"hooli"}`)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"initech"}`)
	answer := func(tenant string) any {
		project := items(f.ok("operator", "GET", "/tenants/"+tenant+"/scope", 200, ""))[0].(map[string]any)
		return project["questions"].([]any)[0].(map[string]any)["answer"]
	}
	open := f.ok("operator", "POST", "/scope/answers", 200, `{"answer":"yes"}`)["tenants"].(float64)
	if open < 2 || answer("acme") != "no" || answer("hooli") != "yes" || answer("initech") != "yes" {
		t.Errorf("%v tenants: acme %v, hooli %v, initech %v", open, answer("acme"), answer("hooli"), answer("initech"))
	}
	if again := f.ok("operator", "POST", "/scope/answers", 200, `{"answer":"no"}`)["tenants"]; again != 0. {
		t.Errorf("%v tenants were answered for twice", again)
	}
	f.ok("operator", "PUT", "/scope/default", 200, `{"answer":"yes"}`)
	if d := f.ok("operator", "GET", "/scope/default", 200, ""); d["answer"] != "yes" {
		t.Errorf("%v", d)
	}
	f.ok("operator", "POST", "/tenants", 201, `{"name":"globex2"}`)
	if answer("globex2") != "yes" {
		t.Errorf("a new tenant begins with %v", answer("globex2"))
	}
	f.ok("operator", "PUT", "/scope/default", 422, `{"answer":"maybe"}`)
	if _, err := f.store.VerifyEvents(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAllDeadMailsAreQueuedAgainAtOnce(t *testing.T) {
	f := setUp(t)
	check(t, jobs.Migrate(t.Context(), f.store, slog.New(slog.DiscardHandler)))
	f.ok("operator", "PUT", "/tenants/acme/it-contacts", 200,
		`[{"name":"Ina","email":"ina@acme.example.com"},{"name":"Ivo","email":"ivo@acme.example.com"}]`, `If-Match: "0"`)
	_, err := f.engine.Run(t.Context(), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), f.now)
	check(t, err)
	hold := tenancy.MailHold{Since: f.now, RetryAt: f.now.Add(time.Hour), Reason: "535 5.7.8 login failed"}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err1 := tx.SQL().ExecContext(t.Context(), "UPDATE mails SET state = 'dead'")
		_, err2 := tx.HoldMails(t.Context(), hold)
		return errors.Join(err1, err2)
	}))
	if held, _ := f.ok("operator", "GET", "/overview", 200, "")["mails_held"].(map[string]any); held["reason"] !=
		hold.Reason {
		t.Errorf("the overview shows %v", held)
	}
	if !slices.Contains(f.scrape("perennial_mails_held"), "perennial_mails_held 1") {
		t.Error("the metric is not 1")
	}
	accepted := func() (holds any) {
		t.Helper()
		for _, c := range f.ok("operator", "GET", "/tenants/acme/mail-check?user=alice", 200, "")["conditions"].([]any) {
			if c := c.(map[string]any); c["condition"] == "the mail server accepts mails of this installation" {
				holds = c["holds"]
			}
		}
		return holds
	}
	if accepted() != false {
		t.Error("the mail check does not show that mails are held")
	}
	before := len(f.outbox.queued)
	if r := f.ok("operator", "POST", "/deliveries/requeue", 200, ""); r["mails"] != 2. ||
		len(f.outbox.queued) != before+2 {
		t.Errorf("%v", r)
	}
	if got, err := f.store.MailHold(t.Context()); err != nil || got.RetryAt.After(f.now) || got.Reason != hold.Reason {
		t.Errorf("a mail is not tried at once: %+v, %v", got, err)
	}
	if r := f.ok("operator", "POST", "/deliveries/requeue", 200, ""); r["mails"] != 0. {
		t.Errorf("%v", r)
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.ReleaseMails(t.Context()) }))
	if o := f.ok("operator", "GET", "/overview", 200, ""); o["mails_held"] != nil {
		t.Errorf("the overview shows %v", o["mails_held"])
	}
	if !slices.Contains(f.scrape("perennial_mails_held"), "perennial_mails_held 0") || accepted() != true {
		t.Error("mails are still held")
	}
}

func TestTheFleetForecastCountsWhatTheRunsWillDo(t *testing.T) {
	f := setUp(t)
	runs := f.ok("operator", "GET", "/forecast", 200, "")["runs"].([]any)
	if len(runs) != 1 || runs[0].(map[string]any)["run_date"] != "2026-12-01T00:00:00Z" ||
		runs[0].(map[string]any)["renew"] != 4.0 {
		t.Errorf("got %v", runs)
	}
	own := f.ok("acme/alice", "GET", "/tenants/acme/forecast", 200, "")["certificates"].([]any)[0].(map[string]any)
	if own["surprise"] != false {
		t.Errorf("a surprise in spite of the warning in November: %v", own)
	}
	run := f.ok("operator", "POST", "/runs", 200, `{"run_date":"2026-11-01T00:00:00Z"}`)
	if run["warned"] != 4.0 {
		t.Errorf("a run date again: %v", run)
	}
	if r := f.ok("operator", "GET", "/runs/2026-11-01T00:00:00Z", 200, ""); r["warned"] != 4.0 {
		t.Errorf("got %v", r)
	}
}

func TestHealthNeedsNoToken(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct{ path, want string }{
		{"/healthz", "ok"}, {"/readyz", "ready"},
		{"/openapi.json", `"openapi":"3.1.0"`},
	} {
		path, want := c.path, c.want
		res, err := http.Get(f.http.URL + path)
		check(t, err)
		data, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || !bytes.Contains(data, []byte(want)) {
			t.Errorf("%s: %d %s", path, res.StatusCode, data[:min(len(data), 500)])
		}
	}
	check(t, errors.Join(f.store.Close()))
	res, err := http.Get(f.http.URL + "/readyz")
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("ready without a database: %d", res.StatusCode)
	}
}
