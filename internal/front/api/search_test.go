package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// busy gives most lists a row: two tenants at risk with one receiver, mails, webhook deliveries, messages, links, tests
// and an import.
func (f *fixture) busy() (page, round, imported string) {
	f.t.Helper()
	f.ok("operator", "POST", "/tenants/acme/webhooks", 201,
		`{"name":"crm","format":"cloudevents","url":"https://x.example.com"}`)
	f.allowed()
	f.feed()
	f.tick("2026-12-01")
	f.now = f.now.AddDate(0, 0, 1)
	page = f.bank()
	f.ok("acme/alice", "POST", "/tenants/acme/arrangements/crm-to-erp/rollover/links", 201, "")
	round = f.ok("operator", "POST", "/test-rounds", 201, `{}`)["id"].(string)
	imported = f.ok("operator", "POST", "/imports", 201, fmt.Sprintf(
		`{"tenants":"name\nhooli\ninitech\n","certificates":[{"name":"hooli.pem","data":%q}]}`,
		foreign(f.t, "my300001", f.now.AddDate(0, -1, 0))))["id"].(string)
	a := f.arrangement()
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error {
		var sent []tenancy.Message
		for _, status := range []int{200, 499, 503} {
			sent = append(sent, tenancy.Message{ID: store.NewID(), ArrangementID: a.ID, At: f.now, Method: "POST",
				Path: fmt.Sprint("/in/", status), Status: status, Attempts: 1, Count: 1, Outcome: "ended"})
		}
		if err := tx.AddMessages(f.t.Context(), sent); err != nil {
			return err
		}
		_, err := tx.Park(f.t.Context(), tenancy.Parked{ID: store.NewID(), ArrangementID: a.ID, TenantID: a.TenantID,
			IdempotencyKey: "k", Digest: []byte("d"), Method: "POST", Path: "/in/parked", State: tenancy.ParkedWaiting,
			NextAt: f.now, CreatedAt: f.now}, []byte("sealed"))
		return err
	}))
	return page, round, imported
}

func TestTheListsOfARenewalAreSearched(t *testing.T) {
	f := setUp(t)
	page, round, imported := f.busy()
	const both, acme, globex = "acme/crm-to-erp globex/crm-to-erp", "acme/crm-to-erp", "globex/crm-to-erp"
	const own, hook, log = "/tenants/acme", "/tenants/acme/webhooks/crm/deliveries", "/tenants/acme/arrangements/" +
		"crm-to-erp/messages"
	certificate := f.ok("operator", "GET", own+"/certificates/tenant/2", 200, "")
	fingerprint := certificate["fingerprint_sha256"].(string)
	plan, results := "/imports/"+imported+"/plan", "/test-rounds/"+round+"/results"
	for _, c := range []struct{ path, field, want string }{
		{"/rollovers", "arrangement", both},
		{"/rollovers?q=GLOB", "arrangement", globex},
		{"/rollovers?q=tenant", "arrangement", globex}, // a word of the display name
		{"/rollovers?q=m-to-e", "arrangement", both},
		{"/rollovers?q=erp.example", "arrangement", both},
		{"/rollovers?q=Acme/crm", "arrangement", acme},
		{"/rollovers?q=none/crm", "arrangement", ""},
		{"/rollovers?q=erp&host=other.example.com", "arrangement", ""},
		{"/rollovers/hosts?q=ERP", "host", "erp.example.com"},
		{own + "/rollovers/hosts?q=x.example", "host", ""},
		{"/at-risk?q=tenant+globex", "arrangement", globex},
		{"/at-risk?q=acme/", "arrangement", acme},
		{own + "/at-risk?q=CRM", "arrangement", acme},
		{own + "/at-risk?q=acme", "arrangement", ""},
		{"/counterparties/bank/lines?q=TENANT+glo", "key", "globex/tenant"},
		{"/counterparties/bank/lines?q=acme", "key", "acme/tenant"},
		{"/counterparties/bank/lines?q=.com/IN", "key", "acme/tenant globex/tenant"},
		{"/counterparties/bank/lines?q=" + url.QueryEscape(strings.ToUpper(colons(fingerprint))), "key", "acme/tenant"},
		{"/counterparties/bank/lines?state=done", "key", ""},
		{"/counterparties/bank/lines?state=needed&q=globex", "key", "globex/tenant"},
		{page + "/lines?q=globex", "key", "globex/tenant"},
		{page + "/lines?q=crm-to-erp", "key", ""}, // is not on the page
		{"/deliveries?q=EVE@bank", "name", "Eve"},
		{own + "/deliveries?q=eve&state=queued&sort=-created", "name", "Eve"},
		{own + "/deliveries?q=eve&state=dead", "name", ""},
		{hook + "?q=CERTIFICATE.renewed", "subject", "acme/m-user/2 acme/tenant/2"},
		{hook + "?q=CERTIFICATE.renewed&state=dead", "subject", ""},
		{log, "path", "/in/503 /in/499 /in/200"},
		{log + "?failed=true", "path", "/in/503"},
		{log + "?q=IN/2", "path", "/in/200"},
		{log + "?q=499&failed=true", "path", ""},
		{own + "/arrangements/crm-to-erp/rollover/links?q=ALICE&sort=-created", "generation", "2"},
		{"/parked?q=acme/crm", "path", "/in/parked"},
		{"/parked?q=in/x", "path", ""},
		{"/parked/usage?q=CM", "tenant", "acme"},
		{"/parked/usage?q=globex", "tenant", ""},
		{plan + "?q=HOOLI.pem", "tenant", "hooli"},
		{plan + "?q=tech", "tenant", "initech"},
		{results + "?q=globex", "arrangement", globex},
		{results + "?q=erp.example&result=waiting", "arrangement", both},
		{"/test-rounds?q=first", "total", "2"},
		{"/test-rounds?q=alice", "total", ""},
		{"/runs?sort=date", "run_date", "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z"},
	} {
		for _, limit := range []int{1, 500} {
			if got := f.listed("operator", c.path, c.field, limit); got != c.want {
				t.Errorf("%s in pages of %d: %q, want %q", c.path, limit, got, c.want)
			}
		}
	}
}

func TestTheCertificatesOfAFutureRunAreSearchedByTheirTenant(t *testing.T) {
	f := setUp(t)
	const run = "/forecast/2026-12-01T00:00:00Z"
	for query, want := range map[string]string{"?q=TENANT+glo": "globex globex", "?q=acme&action=renew": "acme acme",
		"?action=warn": "", "?q=xyzzy": ""} {
		for _, limit := range []int{1, 500} {
			if got := f.listed("operator", run+query, "tenant", limit); got != want {
				t.Errorf("%s in pages of %d: %q, want %q", query, limit, got, want)
			}
		}
	}
}

func TestAShortNumberIsNotSearchedInOtherNotations(t *testing.T) {
	for _, text := range []string{"12", "tenant-12", "AB:CD", "1234567", ""} {
		if got := notations(text); len(got) > 0 {
			t.Errorf("%q is also searched as %q", text, got)
		}
	}
	if got := notations("0xAB:CD:EF:01"); !slices.Contains(got, "abcdef01") {
		t.Errorf("a number with colons is searched as %q", got)
	}
}

// pagedLists returns the paths of the paged lists that the API describes, with the names of their parameters.
func pagedLists(t *testing.T) map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../docs/openapi.json")
	check(t, err)
	var description struct {
		Paths map[string]struct {
			Get *struct{ Parameters []struct{ Name string } }
		}
	}
	check(t, json.Unmarshal(text, &description))
	lists := map[string]map[string]bool{}
	for path, operations := range description.Paths {
		if operations.Get == nil {
			continue
		}
		has := map[string]bool{}
		for _, p := range operations.Get.Parameters {
			has[p.Name] = true
		}
		if has["cursor"] {
			lists[strings.TrimPrefix(path, prefix)] = has
		}
	}
	if len(lists) < 40 {
		t.Fatalf("only %d paged lists are described", len(lists))
	}
	return lists
}

func TestEveryPagedListHasASearch(t *testing.T) {
	for path, has := range pagedLists(t) {
		if !has["q"] {
			t.Errorf("%s has no parameter q: embed Searched, Begun or Grown (cursor.go)", path)
		}
	}
}

func TestASearchForAnUnknownTextFindsNothingInAnyList(t *testing.T) {
	f := setUp(t)
	page, round, imported := f.busy()
	fill := strings.NewReplacer("{tenant}", "acme", "{arrangement}", "crm-to-erp", "{counterparty}", "bank", "{webhook}",
		"crm", "{round}", round, "{import}", imported, "/links/{secret}/counterparty", page, "{run_date}",
		"2027-09-01T00:00:00Z", "{authority}", f.authority())
	filled := 0
	for path := range pagedLists(t) {
		at := fill.Replace(path)
		a := f.call("operator", "GET", at, "")
		if a.status != 200 {
			continue // a path with something that the fixture has not
		}
		if len(items(a.body)) > 0 {
			filled++
		}
		if found := f.listed("operator", at+"?q=xyzzy", "id", 500); found != "" {
			t.Errorf("%s finds %q", at, found)
		}
	}
	if filled < 25 {
		t.Errorf("only %d lists have rows", filled)
	}
}

// authority returns the ID of an authority.
func (f *fixture) authority() string {
	f.t.Helper()
	return items(f.ok("operator", "GET", "/authorities", 200, ""))[0].(map[string]any)["id"].(string)
}
