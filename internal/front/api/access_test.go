package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// Every endpoint is called with every role and without a token. The If-Match never holds, so that nothing is deleted
// that a later request needs.
func TestAnEndpointIsCalledByItsRolesAndByNoOther(t *testing.T) {
	f := setUp(t)
	task := items(f.ok("operator", "GET", "/tenants/acme/tasks", 200, ""))[0].(map[string]any)["id"].(string)
	fill := placeholders(task)
	f.tokens["sender"] = f.ok("operator", "POST", "/tokens", 201,
		`{"name":"s","role":"sender","tenant":"acme"}`)["secret"].(string)
	f.tokens["gateway"] = f.ok("operator", "POST", "/tokens", 201, `{"name":"g","role":"gateway"}`)["secret"].(string)
	callers := map[string]tenancy.Role{"operator": tenancy.RoleOperator, "acme/alice": tenancy.RoleKeyUser,
		"sender": tenancy.RoleSender, "gateway": tenancy.RoleGateway, "": ""}
	endpoints := routes("test", http.NewServeMux(), nil).endpoints
	if len(endpoints) < 60 {
		t.Fatalf("only %d endpoints are registered", len(endpoints))
	}
	allowed, refused := 0, 0
	for _, e := range endpoints {
		path := strings.ReplaceAll(fill.Replace(e.path), "{tenant}", "acme")
		if strings.HasSuffix(path, "/mail-check") {
			path += "?user=alice"
		}
		for who, role := range callers {
			want := e.access == public
			for _, r := range e.access.roles() {
				want = want || r == role
			}
			got := f.call(who, e.method, path, bodies[e.method+" "+e.path], `If-Match: "999"`)
			switch may := got.status != http.StatusUnauthorized && got.status != http.StatusForbidden; {
			case want && !may, !want && may:
				t.Errorf("%s %s by %q: %d %s", e.method, e.path, who, got.status, got.raw)
			case !want && who == "" && got.status != http.StatusUnauthorized:
				t.Errorf("%s %s without a token: %d", e.method, e.path, got.status)
			case want:
				allowed++
			default:
				refused++
			}
		}
	}
	t.Logf("%d calls allowed, %d refused", allowed, refused)
}

func TestAnEndpointCannotBeRegisteredWithoutAccessThatFitsItsPath(t *testing.T) {
	for _, e := range []endpoint{
		{path: "/runs"},
		{path: "/runs", access: members},
		{path: "/runs", access: public},
		{path: "/links/{secret}", access: operators},
	} {
		if e.valid() {
			t.Errorf("%s can be registered with access %d", e.path, e.access)
		}
	}
}

// The one exception within an endpoint: a key user may renew, and only operators may give a reason.
func TestAReasonForARenewalNeedsAnOperator(t *testing.T) {
	f := setUp(t)
	const path = "/tenants/acme/certificates/tenant/renew"
	for _, reason := range []string{"lost", "compromised", "reissue"} {
		if a := f.call("acme/alice", "POST", path, `{"reason":"`+reason+`"}`); a.status != http.StatusForbidden {
			t.Errorf("%s by a key user: %d %s", reason, a.status, a.raw)
		}
	}
	if a := f.call("operator", "POST", path, `{"reason":"reissue"}`); a.status != http.StatusCreated {
		t.Errorf("by an operator: %d %s", a.status, a.raw)
	}
}
