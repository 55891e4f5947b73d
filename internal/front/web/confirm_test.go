package web_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// question sends a form that asks first, checks its page, and returns the fields with which the page confirms it.
func (c *console) question(client *http.Client, path string, form []string, wants ...string) []string {
	c.t.Helper()
	status, page := c.post(client, path, form...)
	_, ask, ok := strings.Cut(page, `<section class="ask`)
	ask, _, _ = strings.Cut(ask, "</section>")
	if status != 200 || !ok {
		c.t.Fatalf("%s does not ask: %d\n%s", path, status, page)
	}
	for _, want := range append(wants, `<a class="button" href="/`, `action="`+path+`"`) {
		if !strings.Contains(html.UnescapeString(ask), want) {
			c.t.Errorf("%s does not state %q:\n%s", path, want, ask)
		}
	}
	var fields []string
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(ask,
		-1) {
		fields = append(fields, m[1], html.UnescapeString(m[2]))
	}
	return fields
}

func TestDestructiveActionsAskAndStateTheConsequenceInFigures(t *testing.T) {
	c := open(t)
	olga, alice := c.signIn("olga"), c.signIn("alice")
	_, page := c.get(olga, "/accounts")
	account := regexp.MustCompile(`/accounts/[0-9a-f-]{36}/delete`).FindString(page)
	_, page = c.post(olga, "/tokens", "name", "crm <prod>", "role", "sender", "tenant", "acme")
	token := regexp.MustCompile(`/tokens/[0-9a-f-]{36}/revoke`).FindString(page)
	_, _, imported := c.hand(olga, "tenants", importedTenants)
	c.newFeed(alice, "/feed")
	c.newLink()
	_, page = c.get(alice, bankPage)
	link := regexp.MustCompile(bankPage + `/links/[0-9a-f-]{36}/revoke`).FindString(page)
	c.newBank(olga)
	c.post(olga, bankSheet+"/contacts", "name", "Ada", "email", "ada@bank.example")
	_, page = c.get(olga, bankSheet)
	contact := regexp.MustCompile(bankSheet + `/contacts/[0-9a-f-]{36}/remove`).FindString(page)
	c.newWebhook(alice, "/tenants/acme/webhooks", "crm")
	const acme = "/tenants/acme"
	for _, a := range []struct {
		by    *http.Client
		path  string
		form  []string
		wants []string
		still string // page that shows that nothing was done
		text  string
	}{
		{olga, account, nil, []string{"Delete the account alice?", "Signed in: 2 browsers", "cannot be undone"}, "/accounts",
			">alice<"},
		{olga, token, nil, []string{"Revoke the token crm <prod>?", "It was never used.", "Senders of acme: 36 messages in " +
			"the last 30 days"}, "/tokens", `/revoke"`},
		{olga, imported + "/apply", nil, []string{"Import 1 tenant?", "First renewals: 2 certificates", "You can undo it"},
			imported, "Start import"},
		{alice, acme + "/people/bob/remove", nil, []string{"Remove the key user bob?", "not completed: 4 tasks"},
			acme + "/people", "bob@acme"},
		{alice, bankPage + "/delete", nil, []string{"Delete the arrangement crm-to-bank?", "12 messages in the last 30 days"},
			bankPage, "crm-to-bank"},
		{alice, bankPage + "/feed/revoke", nil, []string{"was never fetched"}, bankPage, "Revoke feed"},
		{alice, bankPage + "/feed/address", nil, []string{"new address?"}, bankPage, "Revoke feed"},
		{alice, link, nil, []string{"Revoke the link?", "Created by key user acme/alice"}, bankPage, link},
		{alice, acme + "/watched/acme-c4c/remove", nil, []string{"Stop watching acme-c4c?", "history of 2 certificates"},
			acme + "/watched", "acme-c4c"},
		{olga, acme + "/certificates/tenant/renew", []string{"reason", "compromised"},
			[]string{"Revoke and replace the compromised Tenant Certificate?", "Affected: 3 arrangements", "36 messages"},
			acme + "/certificates", "In use"},
		{olga, acme + "/certificates/tenant/1/revoke", []string{"reason", "compromised"},
			[]string{"Generation 1 is compromised: revoke it?", "Affected: 1 arrangement."}, acme + "/certificates", "In use"},
		{olga, bankSheet + "/link", nil, []string{"End the present address of the page for House Bank?", "never visited",
			"The addresses of its contacts end too."}, bankSheet, "Revoke address"},
		{olga, bankSheet + "/link/revoke", nil, []string{"End the present address"}, bankSheet, "Revoke address"},
		{olga, contact, nil, []string{"Remove the contact Ada?", "Contacts that remain: 0."}, bankSheet, "ada@bank.example"},
		{olga, "/counterparty-proposals/pay.bank.example/dismiss", nil, []string{"Dismiss pay.bank.example?"},
			"/counterparties", "House Bank"},
		{alice, acme + "/webhooks/crm/delete", nil, []string{"Delete the webhook crm?", "0 queued, 0 given up"},
			acme + "/webhooks", "crm"},
		{olga, "/guard/certificates/" + c.held + "/decision", []string{"partner", "acme-c4c", "standing", "declined"},
			[]string{"Refuse the certificate of acme-c4c?", "Other certificates of the partner that are accepted: 2.",
				"You can accept it again"}, "/guard", "Needs your decision"},
	} {
		fields := c.question(a.by, a.path, a.form, a.wants...)
		if got := strings.Join(fields, " "); got != strings.Join(append(a.form, "sure", "yes"), " ") && len(a.form) < 3 {
			t.Errorf("%s repeats the fields %q", a.path, fields)
		}
		if _, page := c.get(a.by, a.still); !strings.Contains(page, a.text) {
			t.Errorf("%s was done without a confirmation:\n%s", a.path, page)
		}
	}
}

func TestAnActionThatIsConfirmedIsDone(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	path := "/guard/certificates/" + c.held + "/decision"
	fields := c.question(olga, path, []string{"partner", "acme-c4c", "standing", "declined"})
	if status, page := c.post(olga, path, fields...); status != 200 || !strings.Contains(page, "is refused from now on") {
		t.Errorf("%d\n%s", status, page)
	}
	path = "/tenants/acme/certificates/tenant/renew"
	fields = c.question(olga, path, []string{"reason", "lost"})
	if status, page := c.post(olga, path, fields...); status != 200 || !strings.Contains(page, "Generation 3 has been "+
		"issued.") {
		t.Errorf("%d\n%s", status, page)
	}
	c.question(olga, "/tenants/acme/certificates/m-user/1/revoke", []string{"reason", "lost"}, "Generation 1 is lost",
		"No arrangement presents it")
	path = "/tenants/acme/certificates/tenant/3/revoke"
	fields = c.question(olga, path, []string{"reason", "compromised"})
	if status, page := c.post(olga, path, fields...); status != 200 || !strings.Contains(page, "Generation 3 has been "+
		"revoked. The newest one is generation 4.") {
		t.Errorf("%d\n%s", status, page)
	}
}

func TestWhatDestroysNothingDoesNotAsk(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	if _, page := c.post(olga, "/tenants/acme/certificates/tenant/renew", "reason", "reissue"); !strings.Contains(page,
		"has been issued.") {
		t.Errorf("a reissue:\n%s", page)
	}
	if _, page := c.post(olga, "/guard/certificates/"+c.held+"/decision", "partner", "acme-c4c", "standing",
		"accepted"); !strings.Contains(page, "is accepted from now on") {
		t.Errorf("an acceptance:\n%s", page)
	}
	for _, path := range []string{"/tokens/x/revoke", "/accounts/x/delete", "/imports/x/apply",
		"/tenants/acme/people/zoe/remove", "/tenants/acme/watched/x/remove",
		"/counterparties/x/link", bankSheet + "/contacts/x/remove", "/webhooks/x/delete"} {
		if status, page := c.post(olga, path); status != 404 {
			t.Errorf("%s asks about what does not exist: %d\n%s", path, status, page)
		}
	}
}
