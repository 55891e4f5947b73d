package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// atRisk renews the certificates of acme and globex, whose receivers do not accept the new ones yet. The receiver of
// acme has an administrator.
func (f *fixture) atRisk() {
	f.t.Helper()
	for _, tenant := range []string{"acme", "globex"} {
		_, err := f.engine.RenewByHand(f.t.Context(), tenant, tenancy.ForTenant, lifecycle.Reissue, "test", f.now)
		check(f.t, err)
	}
	a := f.call("operator", "GET", "/tenants/acme/receivers/erp", "")
	f.ok("operator", "PUT", "/tenants/acme/receivers/erp", 200,
		`{"name":"erp","contact_name":"Barbara Benz","contact_email":"barbara@bank.example"}`,
		"If-Match: "+a.header.Get("ETag"))
}

func TestAnActionOnManyTenantsIsCountedFirst(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"silent"}`)
	if v := f.ok("operator", "GET", "/worklist/scope", 200, ""); v["tenants"] != 0.0 {
		t.Errorf("without renewals: %v", v)
	}
	f.atRisk()
	for query, want := range map[string]string{
		"":                                       "tenants 2, arrangements 2, hosts 1, contacts 1, idle 0",
		"?filter=at-risk":                        "tenants 2, arrangements 2, hosts 1, contacts 1, idle 0",
		"?filter=unwarned":                       "tenants 0, arrangements 0, hosts 0, contacts 0, idle 0",
		"?host=erp.example.com":                  "tenants 2, arrangements 2, hosts 1, contacts 1, idle 0",
		"?host=other.example.com":                "tenants 0, arrangements 0, hosts 0, contacts 0, idle 0",
		"?q=glob":                                "tenants 1, arrangements 1, hosts 1, contacts 0, idle 0",
		"?tenant=acme&tenant=silent&tenant=none": "tenants 1, arrangements 1, hosts 1, contacts 1, idle 1",
	} {
		v := f.ok("operator", "GET", "/worklist/scope"+query, 200, "")
		if got := fmt.Sprintf("tenants %v, arrangements %v, hosts %v, contacts %v, idle %v", v["tenants"], v["arrangements"],
			v["hosts"], v["contacts"], v["idle"]); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestLinksForManyAdministratorsAreCreatedOnceAndOpenTheirPages(t *testing.T) {
	f := setUp(t)
	f.atRisk()
	create := func() []any {
		return items(f.ok("operator", "POST", "/worklist/links", 201, `{"filter":"at-risk"}`, "Idempotency-Key: k"))
	}
	links := create()
	if len(links) != 2 || fmt.Sprint(create()) != fmt.Sprint(links) {
		t.Fatalf("%v", links)
	}
	for _, item := range links {
		l := item.(map[string]any)
		if l["arrangement"] == "acme/crm-to-erp" && (l["contact"] != "Barbara Benz" || l["email"] != "barbara@bank.example") {
			t.Errorf("the administrator: %v", l)
		}
		url := l["url"].(string)
		f.ok("", "GET", "/links/"+url[strings.LastIndex(url, "/")+1:], 200, "")
	}
	events, err := f.store.Events(t.Context(), "", 0, 1000)
	check(t, err)
	created := slices.DeleteFunc(events, func(e tenancy.Event) bool { return e.Action != "link.created" })
	if len(created) != 2 || created[0].Tenant == created[1].Tenant {
		t.Errorf("audit events: %v", created)
	}
}

func TestARoundOfTestsIsQueuedAndShowsItsResults(t *testing.T) {
	f := setUp(t)
	if a := f.call("operator", "POST", "/test-rounds", `{}`); a.status != 409 && a.status != 422 {
		t.Errorf("nothing to test: %d %s", a.status, a.raw)
	}
	f.atRisk()
	round := f.ok("operator", "POST", "/test-rounds", 201, `{"tenants":["acme"]}`)
	id := round["id"].(string)
	if round["total"] != 1.0 || round["waiting"] != 1.0 || !slices.Equal(f.rounds, []string{id}) {
		t.Errorf("%v, queued are %v", round, f.rounds)
	}
	again := f.ok("operator", "POST", "/test-rounds", 201, `{"host":"erp.example.com"}`)
	if again["total"] != 2.0 || again["waiting"] != 1.0 || again["skipped"] != 1.0 {
		t.Errorf("a receiver is tested twice at a time: %v", again)
	}
	skipped := items(f.ok("operator", "GET", "/test-rounds/"+again["id"].(string)+"/results?result=skipped", 200, ""))
	if v := skipped[0].(map[string]any); len(skipped) != 1 || v["arrangement"] != "acme/crm-to-erp" ||
		v["reason"] != tenancy.SkippedRecent {
		t.Errorf("%v", skipped)
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		tests, _, err := tx.TestItems(t.Context(), id, "", store.Page{Limit: 10})
		check(t, err)
		tests[0].DoneAt, tests[0].Result = f.now, tenancy.TestRefused
		tests[0].Detail = tenancy.Say("%s, and %s with generation %d", tenancy.Say("the connection was closed: %s", "EOF"),
			tenancy.Say("%s", "200 OK"), 1).Stored()
		return tx.EndTest(t.Context(), tests[0])
	}))
	if v := f.ok("operator", "GET", "/test-rounds/"+id, 200, ""); v["refused"] != 1.0 || v["waiting"] != 0.0 {
		t.Errorf("%v", v)
	}
	result := items(f.ok("operator", "GET", "/test-rounds/"+id+"/results", 200, ""))[0].(map[string]any)
	if result["result"] != "refused" || result["generation"] != 2.0 {
		t.Errorf("%v", result)
	}
	for language, want := range map[string]string{"en": "the connection was closed: EOF, and 200 OK with generation 1",
		"de": "die Verbindung wurde geschlossen: EOF, und 200 OK mit Generation 1"} {
		result := items(f.ok("operator", "GET", "/test-rounds/"+id+"/results", 200, "", "Accept-Language: "+language))[0]
		if got := result.(map[string]any)["answer"]; got != want {
			t.Errorf("%s: %v", language, got)
		}
	}
	if all := items(f.ok("operator", "GET", "/test-rounds?limit=1", 200, "")); len(all) != 1 ||
		all[0].(map[string]any)["id"] != again["id"] {
		t.Errorf("%v", all)
	}
	for _, path := range []string{"/test-rounds/none", "/test-rounds/none/results"} {
		if a := f.call("operator", "GET", path, ""); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}
