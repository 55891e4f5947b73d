package api

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// late returns an arrangement whose receiver accepts generation 1, which expires after some days.
func late(tenant, host string, days int, v rollover.Verdict, now time.Time) standing.Standing {
	generations := []rollover.Generation{
		{Number: 1, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.Add(time.Duration(days) * policy.Day),
			Verdict: rollover.Accepted, VerdictAt: now.AddDate(0, -1, 0), By: rollover.Traffic},
		{Number: 2, NotBefore: now.AddDate(0, 0, -20), NotAfter: now.AddDate(1, 0, 0), Verdict: v, VerdictAt: now,
			By: rollover.Probe},
	}
	return standing.Standing{Tenant: tenancy.Tenant{ID: tenant, Name: tenant},
		Arrangement: tenancy.Arrangement{Endpoint: "https://" + host + "/orders"},
		Rollover:    rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 1, Generations: generations}}
}

func TestReceiversAtRiskAreGroupedByTheirHostTheMostUrgentFirst(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	all := byHost([]standing.Standing{late("a", "bank.example.com", 20, rollover.Unknown, now),
		late("b", "bank.example.com", 15, rollover.Unknown, now), late("b", "bank.example.com", 25, rollover.Unknown, now),
		late("c", "erp.example.com", 3, rollover.Refused, now), late("d", "slow.example.com", 10, rollover.Unknown, now),
	}, now)
	want := []client.Attention{
		{Host: "erp.example.com", Count: 1, Tenants: 1, Refused: 1, Urgent: true, Deadline: now.Add(3 * policy.Day)},
		{Host: "slow.example.com", Count: 1, Tenants: 1, Deadline: now.Add(10 * policy.Day)},
		{Host: "bank.example.com", Count: 3, Tenants: 2, Deadline: now.Add(15 * policy.Day)},
	}
	if len(all) != len(want) {
		t.Fatalf("%+v", all)
	}
	for i, w := range want {
		w.Cause, w.Turn = client.AttentionReceivers, "receiver"
		if all[i] != w {
			t.Errorf("%d: %+v, want %+v", i, all[i], w)
		}
	}
	for i, want := range []string{"erp.example.com refuses the new certificate",
		"slow.example.com is not known to accept the new certificate",
		"bank.example.com: 2 tenants wait for the same administrator"} {
		if got := hostTitle(all[i]).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhatNeedsAttentionIsListedInTheLanguageOfTheCaller(t *testing.T) {
	f := setUp(t)
	before := items(f.ok("operator", "GET", "/attention", 200, ""))
	f.ok("operator", "POST", "/tenants", 201, `{"name":"silent"}`)
	for language, want := range map[string]string{
		"en": "tenants without a key user, so that no person is warned: 1",
		"de": "Mandanten ohne Key-User, so dass keine Person gewarnt wird: 1"} {
		all := items(f.ok("operator", "GET", "/attention", 200, "", "Accept-Language: "+language))
		last := all[len(all)-1].(map[string]any)
		if len(all) != len(before)+1 || last["title"] != want || last["cause"] != client.AttentionUnwarned {
			t.Errorf("%s: %v", language, all)
		}
	}
}
