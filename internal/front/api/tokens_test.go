package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// token creates a token and stores its secret under its name. It returns the token's ID.
func (f *fixture) token(who, name, fields string) string {
	f.t.Helper()
	t := f.ok(who, "POST", "/tokens", 201, fmt.Sprintf(`{"name":%q,%s}`, name, fields))
	f.tokens[name] = t["secret"].(string)
	return t["id"].(string)
}

// names returns the names of a list in an answer.
func names(list any) string {
	var all []string
	for _, v := range list.([]any) {
		all = append(all, v.(map[string]any)["name"].(string))
	}
	return strings.Join(all, " ")
}

func TestRevokingATokenEndsWhatItCreatedIfThatIsWanted(t *testing.T) {
	f := setUp(t)
	leaked := f.token("operator", "leaked", `"role":"operator"`)
	child := f.token("leaked", "child", `"role":"operator"`)
	f.token("child", "grandchild", `"role":"sender","tenant":"acme"`)
	f.token("operator", "innocent", `"role":"operator"`)
	ended := f.token("leaked", "ended", `"role":"operator"`)
	f.token("ended", "of-ended", `"role":"operator"`)
	f.ok("operator", "DELETE", "/tokens/"+ended, 204, "")
	account := func(name, token string) {
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.CreateAccount(t.Context(), tenancy.Account{ID: store.NewID(), Name: name, Role: tenancy.RoleOperator,
				Origin: "token " + token, CreatedAt: f.now})
		}))
	}
	account("eve", leaked)
	account("mallory", child)
	account("olga", "another")

	created := f.ok("operator", "GET", "/tokens/"+leaked+"/created", 200, "")
	if names(created["accounts"]) != "eve mallory" || names(created["tokens"]) != "child grandchild of-ended" {
		t.Errorf("created: %v", created)
	}
	f.ok("operator", "DELETE", "/tokens/"+leaked, 204, "")
	if a := f.call("child", "GET", "/overview", ""); a.status != 200 {
		t.Errorf("what was created ends although nothing was said: %d", a.status)
	}
	f.ok("operator", "DELETE", "/tokens/"+leaked+"?created=end", 204, "") // although it is revoked already
	for name, want := range map[string]int{"leaked": 401, "child": 401, "grandchild": 401, "of-ended": 401,
		"innocent": 200} {
		if a := f.call(name, "GET", "/overview", ""); a.status != want {
			t.Errorf("the token %s: %d, want %d", name, a.status, want)
		}
	}
	accounts, _, err := f.store.Accounts(t.Context(), store.Page{Limit: 10, Sort: "name"})
	check(t, err)
	if len(accounts) != 1 || accounts[0].Name != "olga" {
		t.Errorf("left are %+v", accounts)
	}
	created = f.ok("operator", "GET", "/tokens/"+leaked+"/created", 200, "")
	if names(created["accounts"])+names(created["tokens"]) != "" {
		t.Errorf("still valid: %v", created)
	}
	actions := map[string]int{}
	events, err := f.store.Events(t.Context(), "", 0, 500)
	check(t, err)
	for _, e := range events {
		actions[e.Action]++
	}
	if actions["token.revoked"] != 5 || actions["account.deleted"] != 2 {
		t.Errorf("the audit log has %v", actions)
	}
}

func TestARotatedTokenIsValidBesideItsSuccessorForAWhile(t *testing.T) {
	f := setUp(t)
	id := f.token("operator", "old", `"role":"operator","expires_at":"2026-12-02T00:00:00Z"`)
	f.now = f.now.Add(24 * time.Hour)
	next := f.ok("operator", "POST", "/tokens/"+id+"/rotate", 201, `{"overlap_seconds":3600}`)
	f.tokens["new"] = next["secret"].(string)
	if next["name"] != "old" || next["role"] != "operator" || next["expires_at"] != "2026-12-03T00:00:00Z" {
		t.Errorf("the successor is %v", next)
	}
	f.now = f.now.Add(time.Hour - time.Second)
	for _, name := range []string{"old", "new"} {
		if a := f.call(name, "GET", "/overview", ""); a.status != 200 {
			t.Errorf("the %s token within the overlap: %d %s", name, a.status, a.raw)
		}
	}
	f.now = f.now.Add(time.Second)
	if a := f.call("old", "GET", "/overview", ""); a.status != http.StatusUnauthorized {
		t.Errorf("the old token after the overlap: %d", a.status)
	}
	if a := f.call("new", "GET", "/overview", ""); a.status != 200 {
		t.Errorf("the new token after the overlap: %d %s", a.status, a.raw)
	}
	if a := f.call("operator", "POST", "/tokens/"+id+"/rotate", `{}`); a.status != http.StatusConflict {
		t.Errorf("a token that has ended is rotated: %d %s", a.status, a.raw)
	}
	for _, c := range []struct{ name, body, want string }{
		{"soon", `{}`, "2026-11-03T02:00:00Z"}, {"late", `{}`, "2026-11-10T01:00:00Z"},
	} {
		expires := map[string]string{"soon": c.want, "late": "2027-01-01T00:00:00Z"}[c.name]
		id := f.token("operator", c.name, `"role":"sender","tenant":"acme","expires_at":"`+expires+`"`)
		f.ok("operator", "POST", "/tokens/"+id+"/rotate", 201, c.body)
		old, err := f.store.Token(t.Context(), id)
		check(t, err)
		if got := old.ExpiresAt.UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("%s ends at %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTokensOfSendersAndGatewaysThatExpireNeedAttention(t *testing.T) {
	f := setUp(t)
	day := func(n int) string { return f.now.AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	f.token("operator", "later", `"role":"sender","tenant":"acme","expires_at":"`+day(31)+`"`)
	f.token("operator", "person", `"role":"operator","expires_at":"`+day(5)+`"`)
	f.token("operator", "shop", `"role":"sender","tenant":"acme","expires_at":"`+day(20)+`"`)
	dmz := f.token("operator", "dmz", `"role":"gateway","expires_at":"`+day(3)+`"`)
	revoked := f.token("operator", "gone", `"role":"gateway","expires_at":"`+day(2)+`"`)
	f.ok("operator", "DELETE", "/tokens/"+revoked, 204, "")
	want := func(when string, n float64, first any) {
		t.Helper()
		o := f.ok("operator", "GET", "/overview", 200, "")
		if o["tokens_expiring"] != n || o["tokens_expire_from"] != first {
			t.Errorf("%s: %v from %v, want %v from %v", when, o["tokens_expiring"], o["tokens_expire_from"], n, first)
		}
	}
	want("at first", 2, day(3))
	metrics := strings.Join(f.scrape("perennial_token"), "\n") + "\n"
	for _, line := range []string{`perennial_tokens_expiring{role="gateway"} 1`,
		`perennial_tokens_expiring{role="sender"} 1`,
		fmt.Sprintf(`perennial_token_expiry_seconds{role="gateway"} %v`, float64(f.now.AddDate(0, 0, 3).Unix()))} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	f.ok("operator", "POST", "/tokens/"+dmz+"/rotate", 201, `{}`)
	want("after the rotation", 2, day(3)) // the successor lives as long as the old one was meant to live: 3 days
	shop := day(20)
	f.now = f.now.AddDate(0, 0, 4)
	want("when the gateway's has ended", 3, f.now.AddDate(0, 0, -1).UTC().Format(time.RFC3339)) // and one is 27 days away
	f.now = f.now.AddDate(0, 0, 12)
	want("long after", 2, shop) // no successor was created, but the gateway's ended more than a week ago
}

func TestAWorkloadIsBoundToOneTokenAndActsWithItsIdentity(t *testing.T) {
	f := setUp(t)
	const eu = "system:serviceaccount:perennial:gateway-eu"
	bound := fmt.Sprintf(`{"name":"gateway-eu","role":"gateway","workload":{"subject":%q}}`, eu)
	created := f.ok("operator", "POST", "/tokens", 201, bound)
	if created["secret"] != nil || created["workload"].(map[string]any)["issuer"] != f.workloads.URL {
		t.Errorf("%v", created)
	}
	for name, body := range map[string]string{
		"twice":          bound,
		"an operator":    `{"name":"x","role":"operator","workload":{"subject":"s"}}`,
		"an expiry":      `{"name":"x","role":"gateway","workload":{"subject":"s"},"expires_at":"2026-12-01T00:00:00Z"}`,
		"no subject":     `{"name":"x","role":"gateway","workload":{"subject":""}}`,
		"another scheme": `{"name":"x","role":"gateway","workload":{"subject":"s","issuer":"http://x.example.com"}}`,
	} {
		if a := f.call("operator", "POST", "/tokens", body); a.status != 409 && a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	gateway := func(token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", f.http.URL+control.Path+"x", nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		check(t, err)
		return res.StatusCode, string(body)
	}
	token := f.workloads.Token(t, eu, f.now)
	if status, body := gateway(token); status != 200 || body != "gateway-eu" {
		t.Errorf("the workload: %d %s", status, body)
	}
	for name, c := range map[string]struct {
		token, want string
		status      int
	}{
		"an unknown workload": {f.workloads.Token(t, "system:serviceaccount:x:y", f.now), "no token is bound", 401},
		"the stored form":     {tenancy.WorkloadHash(f.workloads.URL, eu), "this token is unknown", 401},
		"an expired one":      {f.workloads.Token(t, eu, f.now.Add(-2*time.Hour)), "not valid", 401},
	} {
		if status, body := gateway(c.token); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	f.now = f.now.AddDate(0, 0, 1)
	f.workloads.Down.Store(true)
	f.workloads.KeyID, f.workloads.Key = "new", testenv.NewKey(t)
	if status, body := gateway(f.workloads.Token(t, eu, f.now)); status != 503 {
		t.Errorf("while the issuer is down: %d %s", status, body)
	}
	id := created["id"].(string)
	if a := f.call("operator", "POST", "/tokens/"+id+"/rotate", "{}"); a.status != 403 && a.status != 409 ||
		!strings.Contains(a.raw, "nothing to rotate") {
		t.Errorf("it is rotated: %d %s", a.status, a.raw)
	}
	f.ok("operator", "DELETE", "/tokens/"+id, 204, "")
	f.ok("operator", "POST", "/tokens", 201, bound) // bound again
}
