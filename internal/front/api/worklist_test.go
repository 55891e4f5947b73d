package api

import (
	"slices"
	"testing"
)

// work returns the work list, by tenant.
func (f *fixture) work(query string) (names []string, all map[string]map[string]any) {
	f.t.Helper()
	all = map[string]map[string]any{}
	for _, item := range items(f.ok("operator", "GET", "/worklist"+query, 200, "")) {
		v := item.(map[string]any)
		names = append(names, v["tenant"].(string))
		all[v["tenant"].(string)] = v
	}
	return names, all
}

func TestTheWorkListStatesWhatIsToBeDoneForEachTenant(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"silent","display_name":"Silent House"}`)
	names, all := f.work("")
	if !slices.Equal(names, []string{"acme", "globex", "silent"}) {
		t.Fatalf("%q", names)
	}
	if v := all["silent"]; v["key_users"] != 0.0 || v["arrangements"] != 0.0 || v["next_action"] == nil {
		t.Errorf("a tenant without people: %v", v)
	}
	if v := all["acme"]; v["key_users"] == 0.0 || v["state"] == nil || v["not_after"] == nil || v["next_at"] == nil {
		t.Errorf("acme: %v", v)
	}
	for query, want := range map[string][]string{"?filter=unwarned": {"silent"}, "?q=house": {"silent"},
		"?q=acme": {"acme"}, "?filter=at-risk": nil, "?q=nothing": nil, "?limit=1": {"acme"}} {
		if got, _ := f.work(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	counts := f.ok("operator", "GET", "/worklist/counts", 200, "")
	if counts["all"] != 3.0 || counts["unwarned"] != 1.0 || counts["at_risk"] != 0.0 {
		t.Errorf("counts: %v", counts)
	}
	if a := f.call("operator", "GET", "/worklist?filter=at-risk&cursor=x", ""); a.status != 422 {
		t.Errorf("an invalid cursor: %d", a.status)
	}
}
