package web_test

import (
	"strings"
	"testing"
)

func TestAnArrangementIsOneStoryWithOneNextStepAndItsDangersAtTheEnd(t *testing.T) {
	c := open(t)
	_, page := c.get(c.signIn("alice"), "/tenants/acme/arrangements/crm-to-bank")
	at := 0
	for _, part := range []string{`<strong>20 days</strong>`, "<dt>Host</dt>", "Barbara Benz", "<b>Announced</b>",
		"<b>Trusted</b>", "Refused: 401 Unauthorized (test)", "<b>Cut over</b>", "<b>Settled</b>", "seen in messages",
		"seen in a test", "said by a person", "Next step: administrator of the receiver (Barbara Benz)", "Also possible:",
		"both valid: ", "Generation 1", "Generation 2", "SHA-256", "Messages of the last 24 hours",
		"failed (below the line)", "Show as a table", "Latest messages", "Links for the receiver", "Settings",
		`class="danger-zone"`} {
		i := strings.Index(page[at:], part)
		if i < 0 {
			t.Fatalf("%q is missing, or it is too early", part)
		}
		at += i
	}
	if _, next, _ := strings.Cut(page, `<section class="next"`); true {
		next, _, _ = strings.Cut(next, "</section>")
		if n := strings.Count(next, "<button") + strings.Count(next, `class="button`); n != 1 {
			t.Errorf("the next step has %d buttons: %s", n, next)
		}
	}
	if n := strings.Count(page, `class="main"`); n != 1 {
		t.Errorf("the page has %d main buttons", n)
	}
	if len(page) > 100<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

func TestAnHourOfTheChartLeadsToItsMessages(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	_, page := c.get(alice, "/tenants/acme/arrangements/crm-to-erp")
	const of = "/tenants/acme/arrangements/crm-to-erp/messages?from="
	_, cursor, found := strings.Cut(page, of)
	cursor, _, _ = strings.Cut(cursor, `"`)
	if !found {
		t.Fatal("no hour leads to its messages")
	}
	if status, list := c.get(alice, of+cursor); status != 200 || !strings.Contains(list, "/cr/") {
		t.Errorf("the list of an hour: %d", status)
	}
}
