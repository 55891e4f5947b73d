package web_test

import (
	"strings"
	"testing"
)

func TestTheBoardGroupsRollOversByStateReceiverAndDaysLeft(t *testing.T) {
	c := open(t)
	olga, alice := c.signIn("olga"), c.signIn("alice")
	for _, page := range []struct {
		who, path string
		has       []string
		hasNot    string
	}{
		{"olga", "/rollovers", []string{`id="lane-refused"`, "acme/crm-to-bank", "401 Unauthorized (test)", "20 days left",
			`id="lane-settled"`, "seen in messages"}, "Show all"},
		{"olga", "/rollovers?by=receiver", []string{`href="/rollovers?host=`, "Counterparty", `&amp;state=refused"`},
			"No roll-over"},
		{"olga", "/rollovers?by=days", []string{`href="/rollovers?left=30"`, "15 to 30 days left", "Days left"},
			`href="/rollovers?left=7"`},
		{"olga", "/rollovers?state=refused", []string{"Only: Refused.", "acme/crm-to-bank"}, "crm-to-erp"},
		{"olga", "/rollovers?left=7", []string{"No roll-over fits this filter."}, "crm-to-bank"},
		{"olga", "/rollovers?by=unknown", []string{`id="lane-refused"`}, "Only:"},
		{"alice", "/tenants/acme/rollovers", []string{`id="lane-refused"`, ">crm-to-bank<", ">crm-to-erp<"}, "globex"},
		{"alice", "/tenants/acme/rollovers?by=receiver", []string{`href="/tenants/acme/rollovers?host=`}, "Counterparty<"},
		{"alice", "/tenants/acme/rollovers?by=list", []string{"crm-to-bank", "crm-to-erp", "crm-to-shop"}, "Only:"},
		{"alice", "/tenants/acme/rollovers?state=settled", []string{"Only: Settled.", "crm-to-erp"}, "crm-to-bank"},
	} {
		client := olga
		if page.who == "alice" {
			client = alice
		}
		status, body := c.get(client, page.path)
		if status != 200 || strings.Contains(body, page.hasNot) || len(body) > 100<<10 {
			t.Errorf("%s: %d, %d bytes, or it contains %q", page.path, status, len(body), page.hasNot)
		}
		for _, want := range page.has {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not contain %q", page.path, want)
			}
		}
	}
	if status, _ := c.get(olga, "/rollovers?state=unknown"); status != 422 {
		t.Errorf("an unknown state: %d", status)
	}
}

func TestTheOverviewOfATenantShowsMarksWithTheirLegend(t *testing.T) {
	c := open(t)
	_, page := c.get(c.signIn("alice"), "/tenants/acme")
	table, legend, _ := strings.Cut(page, "</tbody>")
	for _, mark := range []string{`class="mark messages"`, `class="mark refused"`} {
		if !strings.Contains(table, mark) {
			t.Errorf("no arrangement has %s", mark)
		}
	}
	if !strings.Contains(legend, "said by a person") || strings.Count(legend, `class="mark `) != 4 {
		t.Error("the four marks are not explained")
	}
}
