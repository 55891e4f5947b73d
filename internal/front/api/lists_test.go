package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// listed reads a list page by page, and returns a field of its items.
func (f *fixture) listed(who, path, field string, limit int) string {
	f.t.Helper()
	var all []string
	for cursor := ""; len(all) < 1000; {
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		page := f.ok(who, "GET", fmt.Sprintf("%s%slimit=%d&cursor=%s", path, join, limit, url.QueryEscape(cursor)), 200, "")
		for _, item := range items(page) {
			all = append(all, fmt.Sprint(item.(map[string]any)[field]))
		}
		next, more := page["next"]
		if !more {
			return strings.Join(all, " ")
		}
		cursor = next.(string)
	}
	f.t.Fatalf("%s has no end", path)
	return ""
}

func TestListsAreSearchedAndSorted(t *testing.T) {
	f := setUp(t)
	const acme = "/tenants/acme"
	f.ok("operator", "POST", acme+"/key-users", 201,
		`{"name":"aaron","email":"zoe@acme.example.com","display_name":"Zoë"}`)
	f.ok("operator", "POST", acme+"/receivers", 201, `{"name":"bank","display_name":"House Bank"}`)
	f.ok("operator", "POST", acme+"/arrangements", 201,
		`{"name":"a-payments","receiver":"bank","endpoint":"https://pay.example.org/in"}`)
	for _, name := range []string{"slow", "fast"} {
		f.ok("operator", "POST", acme+"/webhooks", 201,
			`{"name":"`+name+`","format":"cloudevents","url":"https://`+name+`.example.com/x"}`)
	}
	own := f.ok("operator", "GET", acme+"/certificates/tenant/1", 200, "")
	serial := own["serial"].(string)
	f.token("operator", "Gate", `"role":"gateway","expires_at":"2027-01-01T00:00:00Z"`)
	for _, name := range []string{"bank", "Authority"} {
		f.ok("operator", "POST", "/counterparties", 201,
			fmt.Sprintf(`{"name":%q,"display_name":%q,"hosts":["%s.example.net"]}`, strings.ToLower(name), name, name))
	}
	for _, c := range []struct{ path, field, want string }{
		{acme + "/key-users", "name", "alice bob aaron"},
		{acme + "/key-users?sort=-created", "name", "aaron bob alice"},
		{acme + "/key-users?sort=name", "name", "aaron alice bob"},
		{acme + "/key-users?sort=-name&q=ACME", "name", "bob alice aaron"},
		{acme + "/key-users?q=zo%C3%AB", "name", "aaron"},
		{acme + "/key-users?q=nobody", "name", ""},
		{acme + "/arrangements?sort=name", "name", "a-payments crm-to-erp"},
		{acme + "/arrangements?receiver=erp", "name", "crm-to-erp"},
		{acme + "/arrangements?q=PAY.example", "name", "a-payments"},
		{acme + "/receivers?q=house", "name", "bank"},
		{acme + "/receivers?sort=-name", "name", "erp bank"},
		{acme + "/administrators?q=house", "receiver", "bank"},
		{acme + "/rollovers?q=pay", "arrangement", "acme/a-payments"},
		{acme + "/tasks?q=bob&sort=-created", "user", "bob"},
		{acme + "/webhooks?sort=name", "name", "fast slow"},
		{acme + "/webhooks?sort=-host&q=example.com", "name", "slow fast"},
		{acme + "/watched?sort=name&q=x", "name", ""},
		{"/tokens?q=gate", "name", "Gate"},
		{"/tokens?q=ate", "name", ""},
		{"/tokens?tenant=acme&sort=name", "user", "alice bob"},
		{"/tokens?sort=-expires", "name", "first Gate t t t t"},
		{"/counterparties", "name", "authority bank"},
		{"/counterparties?sort=-name&q=A", "name", "bank authority"},
		{"/counterparties?name=auth", "name", "authority"},
		{"/accounts?sort=-created", "name", ""},
		{"/imports?state=checked&sort=created&q=x", "id", ""},
		{"/authorities?stage=revoked", "id", ""},
		{"/authorities?q=nothing", "id", ""},
		{"/events?q=a-payments", "object", "acme/a-payments"},
		{"/events?object=acme/a-payments", "object", "acme/a-payments"},
		{"/events?own=true&object=bank", "action", "counterparty.created"},
		{acme + "/events?object=acme/bob", "action", "key-user.created"},
		{acme + "/certificates?q=" + serial, "purpose", "tenant"},
		{acme + "/certificates?q=" + url.QueryEscape(strings.ToUpper(colons(serial))), "purpose", "tenant"},
		{acme + "/certificates?q=" + url.QueryEscape(colons(own["fingerprint_sha256"].(string))), "purpose", "tenant"},
		{acme + "/certificates?sort=-not-after&purpose=tenant&state=active", "purpose", "tenant"},
		{acme + "/certificates?state=retired", "purpose", ""},
		{"/tenants?q=ACM", "name", "acme"},
		{"/tenants?q=cme", "name", ""},
		{"/tenants?sort=-name", "name", "globex acme"},
		{"/runs?q=sap", "policy", ""},
		{"/runs?sort=date", "run_date", "2026-11-01T00:00:00Z"},
		{"/runs?q=PEREN", "run_date", "2026-11-01T00:00:00Z"},
		{"/deliveries?q=zoe@", "subject", ""},
		{"/counterparty-proposals?q=ERP.ex", "host", "erp.example.com"},
		{"/counterparty-proposals?q=bank", "host", ""},
	} {
		for _, limit := range []int{1, 500} {
			if got := f.listed("operator", c.path, c.field, limit); got != c.want {
				t.Errorf("%s in pages of %d: %q, want %q", c.path, limit, got, c.want)
			}
		}
	}
	byActor := acme + "/events?actor=" + url.QueryEscape("operator token first")
	if f.listed("acme/alice", byActor, "actor", 500) == "" {
		t.Error("no entry of an actor is found")
	}
}

func TestACursorOfAnotherOrderIsRefused(t *testing.T) {
	f := setUp(t)
	next := f.ok("operator", "GET", "/tenants/acme/key-users?sort=name&limit=1", 200, "")["next"].(string)
	for path, want := range map[string]int{
		"/tenants/acme/key-users?sort=name&cursor=" + next:  200,
		"/tenants/acme/key-users?sort=-name&cursor=" + next: 422,
		"/tenants/acme/arrangements?sort=name&cursor=x":     422,
		"/tenants/acme/key-users?sort=email":                422,
		"/tokens?sort=expires&cursor=" + next:               422,
		"/tokens?tenant=nobody":                             404,
		"/tenants/acme/arrangements?receiver=nobody":        404,
		"/runs?cursor=x":                                    422,
	} {
		if a := f.call("operator", "GET", path, ""); a.status != want {
			t.Errorf("%s: %d, want %d: %s", path, a.status, want, a.raw)
		}
	}
}

// colons separates the bytes of a hexadecimal number.
func colons(digits string) string {
	var bytes []string
	for i := 0; i < len(digits); i += 2 {
		bytes = append(bytes, digits[i:i+2])
	}
	return strings.Join(bytes, ":")
}
