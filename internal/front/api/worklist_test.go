package api

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
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

// pages follows the cursors of the work list from page to page. It returns the tenants and the positions.
func (f *fixture) pages(query string) (names []string) {
	f.t.Helper()
	for cursor := ""; ; {
		page := f.ok("operator", "GET", "/worklist?limit=1"+query+"&cursor="+cursor, 200, "")
		if first := page["first"].(float64); len(items(page)) > 0 && int(first) != len(names)+1 {
			f.t.Errorf("%s: the page after %q begins at %v", query, names, first)
		}
		for _, item := range items(page) {
			names = append(names, item.(map[string]any)["tenant"].(string))
		}
		next, more := page["next"]
		if !more {
			if total := page["total"].(float64); int(total) != len(names) {
				f.t.Errorf("%s: %v in total, listed are %q", query, total, names)
			}
			return names
		}
		cursor = next.(string)
	}
}

func TestTheWorkListIsPagedInEachOrderWithThePositionOfThePage(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"aaa"}`)
	f.ok("operator", "POST", "/tenants", 201, `{"name":"bbb"}`)
	created := []string{"acme", "globex", "aaa", "bbb"}
	byName := []string{"aaa", "acme", "bbb", "globex"}
	for query, want := range map[string][]string{"": created, "&sort=created": created, "&sort=name": byName,
		"&sort=not-after": created, "&sort=deadline": created, "&filter=unwarned": {"aaa", "bbb"},
		"&filter=unwarned&sort=-name": {"bbb", "aaa"}, "&filter=unwarned&sort=not-after": {"aaa", "bbb"},
		"&filter=unwarned&sort=-not-after": {"bbb", "aaa"}, "&filter=at-risk": nil} {
		if got := f.pages(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if strings.Contains(query, "filter") || !strings.Contains(query, "sort") || strings.Contains(query, "deadline") {
			continue
		}
		slices.Reverse(want)
		if got := f.pages(strings.Replace(query, "sort=", "sort=-", 1)); !slices.Equal(got, want) {
			t.Errorf("%s downwards: %q, want %q", query, got, want)
		}
		slices.Reverse(want)
	}
	for query, want := range map[string][]string{"?tenant=bbb&tenant=acme&tenant=none": {"bbb", "acme"},
		"?tenant=bbb&tenant=acme&sort=name": {"acme", "bbb"}, "?tenant=bbb&tenant=acme&filter=unwarned": {"bbb"},
		"?tenant=acme&filter=at-risk": nil, "?q=b&sort=-name": {"bbb"}} {
		if got, _ := f.work(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"?sort=age", "?sort=-deadline", "?filter=unwarned&sort=deadline",
		"?filter=at-risk&sort=not-after", "?cursor=!", "?sort=not-after&cursor=eyJpIjoiYSIsImsiOiJhIn0"} {
		if a := f.call("operator", "GET", "/worklist"+query, ""); a.status != 422 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

func TestPlacesBehindACursorAreInBothDirections(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var risk []standing.Standing
	for i, name := range []string{"c", "a", "b", "d", "a"} { // d and b have the same deadline, a has two
		risk = append(risk, late(name, "bank.example", []int{3, 9, 5, 5, 1}[i], rollover.Refused, now))
	}
	var orders workOrders
	for sort, want := range map[string]string{client.WorkByDeadline: "acbd", client.WorkByName: "abcd"} {
		all, deadlines := orders.read(risk, now, now, sort)
		if len(deadlines) != 4 {
			t.Errorf("%d tenants", len(deadlines))
		}
		for _, descending := range []bool{false, true} {
			expected, got := []byte(want), []byte{}
			if descending {
				slices.Reverse(expected)
			}
			for c := (cursor{}); ; {
				part := after(all, c, descending, 1)
				if len(part) == 0 {
					break
				}
				got = append(got, part[0].tenant.Name...)
				c = cursor{Key: part[0].key, ID: part[0].id, Count: len(got)}
			}
			if string(got) != string(expected) {
				t.Errorf("%s, descending %v: %s, want %s", sort, descending, got, expected)
			}
		}
	}
}

// A reader of one order looks up tenants while another one is sorted for the first time. The race detector, or the
// runtime, reports a map that is still written.
func TestWhatAReaderOfTheWorkListHasIsNotChanged(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	risk := []standing.Standing{late("a", "bank.example", 3, rollover.Refused, now)}
	var orders workOrders
	_, deadlines := orders.read(risk, now, now, client.WorkByAge)
	var reading sync.WaitGroup
	reading.Go(func() {
		for range 100 {
			if _, late := deadlines[risk[0].Tenant.ID]; !late {
				t.Error("a tenant at risk has no deadline")
			}
		}
	})
	for _, sort := range []string{client.WorkByName, client.WorkByDeadline} {
		orders.read(risk, now, now, sort)
	}
	reading.Wait()
}
