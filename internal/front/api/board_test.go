package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
)

// renew has the certificates of both tenants renewed, and the receiver of one refuse the new one.
func (f *fixture) renew() {
	f.t.Helper()
	f.now = time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)
	_, err := f.engine.Run(f.t.Context(), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), f.now)
	check(f.t, err)
	acme, err := f.store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	a, err := f.store.Arrangement(f.t.Context(), acme.ID, "crm-to-erp")
	check(f.t, err)
	_, err = f.engine.Observe(f.t.Context(), a.ID, "gateway", []standing.Observation{{Evidence: rollover.Evidence{
		Generation: 2, Verdict: rollover.Refused, By: rollover.Probe, At: f.now}, Detail: "401 Unauthorized"}}, f.now)
	check(f.t, err)
}

// columns returns the columns of a board that are not empty, such as "refused 1 acme/crm-to-erp".
func columns(board map[string]any) (all []string) {
	for _, s := range board["states"].([]any) {
		state := s.(map[string]any)
		text := fmt.Sprint(state["state"], " ", state["count"])
		for _, r := range state["first"].([]any) {
			text += fmt.Sprint(" ", r.(map[string]any)["arrangement"])
		}
		if state["count"] != 0.0 {
			all = append(all, text)
		}
	}
	return all
}

func TestTheBoardCountsRollOversByStateAndDaysLeft(t *testing.T) {
	f := setUp(t)
	if got := columns(f.ok("operator", "GET", "/rollovers/board", 200, "")); !slices.Equal(got, []string{"settled 2"}) {
		t.Errorf("before a renewal: %q", got)
	}
	f.renew()
	board := f.ok("operator", "GET", "/rollovers/board", 200, "")
	if got := columns(board); !slices.Equal(got, []string{"announced 1 globex/crm-to-erp", "refused 1 acme/crm-to-erp"}) {
		t.Errorf("the fleet: %q", got)
	}
	left := map[string]float64{}
	for _, l := range board["left"].([]any) {
		left[l.(map[string]any)["left"].(string)] = l.(map[string]any)["count"].(float64)
	}
	if len(left) != 6 || left["60"] != 2 || board["hosts"] != 1.0 || board["as_of"] != "2026-12-02T00:00:00Z" {
		t.Errorf("days left: %v of %v", left, board)
	}
	own := f.ok("acme/alice", "GET", "/tenants/acme/rollovers/board", 200, "")
	if got := columns(own); !slices.Equal(got, []string{"refused 1 acme/crm-to-erp"}) {
		t.Errorf("a tenant: %q", got)
	}
}

func TestRollOversAreListedByStateHostAndDaysLeft(t *testing.T) {
	f := setUp(t)
	f.renew()
	names := func(path string) string {
		var all []string
		for _, item := range items(f.ok("operator", "GET", path, 200, "")) {
			all = append(all, item.(map[string]any)["arrangement"].(string))
		}
		return strings.Join(all, " ")
	}
	const acme, globex = "acme/crm-to-erp", "globex/crm-to-erp"
	for path, want := range map[string]string{"/rollovers": acme + " " + globex, "/rollovers?state=refused": acme,
		"/rollovers?state=trusted": "", "/rollovers?host=erp.example.com&left=60": acme + " " + globex,
		"/rollovers?host=erp.example.com&state=announced": globex, "/rollovers?left=7": "",
		"/rollovers?host=other.example.com": "", "/rollovers?limit=1": acme, "/rollovers?limit=1&cursor=1": globex,
		"/rollovers?cursor=9": "", "/tenants/acme/rollovers?state=refused": acme,
		"/tenants/acme/rollovers?state=settled": "", "/tenants/acme/rollovers": acme} {
		if got := names(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if page := f.ok("operator", "GET", "/rollovers?limit=1", 200, ""); page["next"] != "1" {
		t.Errorf("the next page: %v", page["next"])
	}
	if page := f.ok("operator", "GET", "/rollovers?limit=1&cursor=1", 200, ""); page["next"] != nil {
		t.Errorf("after the last page: %v", page["next"])
	}
	for _, query := range []string{"?cursor=x", "?cursor=-1", "?state=settled", "?state=x", "?left=8"} {
		if a := f.call("operator", "GET", "/rollovers"+query, ""); a.status != 422 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

// What is to be done for a roll-over does not depend on where it is read.
func TestEveryAnswerAboutARollOverHasTheSameNextStep(t *testing.T) {
	f := setUp(t)
	f.renew()
	globex := f.ok("operator", "GET", "/tenants/globex/arrangements/crm-to-erp", 200, "")
	egress, ok := globex["egress"].(map[string]any)
	if !ok {
		egress = map[string]any{}
	}
	egress["identifies_by"] = []string{"subject"}
	globex["egress"] = egress
	body, err := json.Marshal(map[string]any{"name": "crm-to-erp", "receiver": globex["receiver"],
		"endpoint": globex["endpoint"], "authentication": globex["authentication"], "strategy": globex["strategy"],
		"egress": egress})
	check(t, err)
	f.ok("operator", "PUT", "/tenants/globex/arrangements/crm-to-erp", 200, string(body), `If-Match: "1"`)
	reasons := map[any]any{}
	for _, name := range []string{"acme", "globex"} {
		of := "/tenants/" + name
		want := f.ok("operator", "GET", of+"/arrangements/crm-to-erp/rollover", 200, "")["next"].(map[string]any)
		reasons[name] = want["reason"]
		read := func(answer map[string]any) {
			t.Helper()
			if got, _ := answer["next"].(map[string]any); !maps.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		for _, path := range []string{"/rollovers?q=" + name + "/", "/at-risk?q=" + name + "/", of + "/rollovers",
			of + "/at-risk"} {
			all := items(f.ok("operator", "GET", path, 200, ""))
			if len(all) != 1 {
				t.Fatalf("%s: %v", path, all)
			}
			read(all[0].(map[string]any))
		}
		read(f.ok("operator", "POST", of+"/arrangements/crm-to-erp/rollover/choose", 200, `{"generation":1}`))
	}
	if reasons["acme"] != "refused" || reasons["globex"] != "survives" {
		t.Errorf("the reasons are %v", reasons)
	}
}

func TestRollOversAreCountedByHostWithItsCounterparty(t *testing.T) {
	f := setUp(t)
	f.renew()
	f.ok("operator", "POST", "/counterparties", 201, `{"name":"erp","display_name":"ERP House","hosts":[".example.com"]}`)
	hosts := items(f.ok("operator", "GET", "/rollovers/hosts", 200, ""))
	if len(hosts) != 1 {
		t.Fatalf("%v", hosts)
	}
	h := hosts[0].(map[string]any)
	states := h["states"].(map[string]any)
	if h["host"] != "erp.example.com" || h["counterparty"] != "erp" || h["counterparty_name"] != "ERP House" ||
		h["tenants"] != 2.0 || h["count"] != 2.0 || h["at_risk"] != 2.0 || h["deadline"] != "2027-01-14T23:55:00Z" ||
		states["refused"] != 1.0 || states["announced"] != 1.0 {
		t.Errorf("%v", h)
	}
	own := items(f.ok("acme/alice", "GET", "/tenants/acme/rollovers/hosts", 200, ""))
	if h := own[0].(map[string]any); len(own) != 1 || h["count"] != 1.0 || h["counterparty"] != nil {
		t.Errorf("a key user reads %v", own)
	}
}

func TestDaysLeftAreCountedUpToAndIncludingTheirBound(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]string{-time.Hour: "now", 0: "now", time.Second: "7", 7 * policy.Day: "7",
		7*policy.Day + 1: "14", 30 * policy.Day: "30", 60*policy.Day + 1: "more", 400 * policy.Day: "more"} {
		if got := leftOf(rollover.Risk{Deadline: now.Add(left)}, now); got != want {
			t.Errorf("%s: %s, want %s", left, got, want)
		}
	}
	if got := leftOf(rollover.Risk{Deadline: now.Add(policy.Day), Exposed: true}, now); got != "now" {
		t.Errorf("messages depend on it already: %s", got)
	}
}

func TestHostsWithTheEarliestDeadlineComeFirst(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	day := func(d int) time.Time { return now.AddDate(0, 0, d) }
	hosts := hostsOf([]boardRollover{{tenant: "a", host: "calm", column: rollover.CutOver},
		{tenant: "a", host: "bank", deadline: day(20)}, {tenant: "b", host: "bank", deadline: day(9)},
		{tenant: "b", host: "bank"}, {tenant: "b", host: "erp", deadline: day(3)}, {tenant: "c", host: "busy"},
		{tenant: "d", host: "busy"}})
	var got []string
	for _, h := range hosts {
		got = append(got, fmt.Sprint(h.Host, " ", h.Tenants, " ", h.Count, " ", h.AtRisk))
	}
	if want := []string{"erp 1 1 1", "bank 2 3 2", "busy 2 2 0", "calm 1 1 0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !hosts[1].Deadline.Equal(day(9)) {
		t.Errorf("the deadline of bank is %s", hosts[1].Deadline)
	}
}

// After a revocation no older generation is usable, so that the roll-over itself is over. The receiver is at risk.
func TestARollOverAtRiskIsNeverCountedAsSettled(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	s := late("a", "bank", 20, rollover.Unknown, now)
	s.Rollover.Generations[0].Revoked, s.Rollover.Presents = true, 2
	if r := boardRolloverOf(s, now); r.column != rollover.CutOver || r.left != "now" {
		t.Errorf("%+v", r)
	}
}

func BenchmarkBoardOfAMillionRollOvers(b *testing.B) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	all := make([]boardRollover, 1_000_000)
	for i := range all {
		all[i] = boardRollover{tenant: fmt.Sprint(i / 3), arrangement: fmt.Sprint(i), host: fmt.Sprint("host-", i%20_000),
			column: boardStates[i%6]}
		if i%2 == 0 {
			all[i].deadline, all[i].left = now.Add(time.Duration(i%1000)*time.Hour), "30"
		}
	}
	var hosts []client.RolloverHost
	b.Run("survey", func(b *testing.B) {
		for range b.N {
			hosts = hostsOf(all)
			slices.SortStableFunc(all, soonest)
		}
	})
	b.Run("counts", func(b *testing.B) {
		for range b.N {
			countBoard(openRollovers{all: all, hosts: hosts}, now)
		}
	})
}
