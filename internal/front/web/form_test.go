package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestReloadingAfterACreationCreatesNothingAndShowsNoSecret(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	secret := regexp.MustCompile(`perennial_[A-Z2-7]{26}|/rollover/[A-Z2-7]{26}|/watched/[A-Z2-7]{26}|/feeds/[\w-]{43}|` +
		`/calendar/[A-Z2-7]{26}|/counterparty/[A-Z2-7]{26}|whsec_`)
	c.newBank(olga)
	c.post(olga, bankSheet+"/contacts", "name", "Ada", "email", "ada@bank.example")
	_, page := c.get(olga, bankSheet)
	own := regexp.MustCompile(bankSheet + `/contacts/[0-9a-f-]{36}/link`).FindString(page)
	for _, a := range []struct {
		by   *http.Client
		path string
		form []string
		page string
	}{
		{olga, "/tokens", []string{"name", "x", "role", "operator"}, "/tokens"},
		{alice, bankPage + "/link", nil, bankPage},
		{alice, bankPage + "/feed", nil, bankPage},
		{alice, bankPage + "/feed/address", []string{"sure", "yes"}, bankPage},
		{alice, "/account/calendar", nil, "/account"},
		{alice, "/tenants/acme/watched/acme-c4c/links", []string{"system", "erp"}, "/tenants/acme/watched/acme-c4c"},
		{alice, "/tenants/acme/people/bob/invite", nil, "/tenants/acme/people"},
		{olga, bankSheet + "/link", []string{"sure", "yes"}, bankSheet},
		{olga, own, nil, bankSheet},
		{olga, "/webhooks", []string{"name", "crm", "format", "cloudevents", "url", "https://x.example.com"},
			"/webhooks/crm"},
		{alice, "/tenants/acme/webhooks", []string{"name", "crm", "format", "ticket", "url", "https://x.example.com"},
			"/tenants/acme/webhooks/crm"},
		{olga, "/webhooks/crm/rotate", nil, "/webhooks/crm"},
	} {
		form := url.Values{}
		for i := 0; i+1 < len(a.form); i += 2 {
			form.Set(a.form[i], a.form[i+1])
		}
		res, err := a.by.PostForm(c.url+a.path, form)
		check(t, err)
		_, page := c.read(res)
		if at := res.Request; at.Method != http.MethodGet || at.URL.Path != a.page {
			t.Errorf("%s answers with %s %s, which a reload repeats", a.path, at.Method, at.URL.Path)
		}
		if !secret.MatchString(page) {
			t.Errorf("%s shows no secret", a.path)
		}
		if _, page := c.get(a.by, a.page); secret.MatchString(page) {
			t.Errorf("%s shows the secret again", a.page)
		}
	}
}

func TestARefusedFormKeepsWhatWasTypedAndMarksItsFields(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	party := c.newBank(olga)
	_, sheet := c.get(olga, bankSheet)
	for _, f := range []struct {
		by     *http.Client
		path   string
		form   []string
		field  string // that is marked
		secret string
	}{
		{olga, "/tenants", []string{"name", "Not A Name", "display_name", "Kept <b> GmbH", "key_type", "p384"}, "name", ""},
		{olga, "/tokens", []string{"name", "Kept <b> GmbH", "role", "sender", "tenant", ""}, "role", ""},
		{olga, "/tokens", []string{"name", "Kept <b> GmbH", "role", "sender", "tenant", "nobody"}, "tenant", ""},
		{olga, "/tokens", []string{"name", "Kept <b> GmbH", "role", "key-user", "tenant", "acme", "user", "zoe"}, "user", ""},
		{alice, "/tenants/acme/people", []string{"name", "Kept <b> GmbH", "email", "x@example.com"}, "name", ""},
		{alice, "/tenants/acme/contacts", []string{"contacts", "Kept <b> GmbH"}, "contacts", ""},
		{alice, "/tenants/acme/arrangements", []string{"name", "x", "receiver", "erp", "endpoint", "ftp://x", "scenario",
			"Kept <b> GmbH", "strategy", "manual"}, "endpoint", ""},
		{alice, "/tenants/acme/arrangements", []string{"name", "x", "receiver", "erp", "endpoint", "https://x", "scenario",
			"Kept <b> GmbH", "refusal_rules", "status=200"}, "refusal_rules", ""},
		{alice, "/account", []string{"zone", "Kept <b> GmbH"}, "zone", ""},
		{olga, "/counterparties", []string{"name", "Not A Name", "display_name", "Kept <b> GmbH"}, "name", ""},
		{olga, bankSheet, []string{"etag", value(t, sheet, "etag"), "display_name", "Kept <b> GmbH", "hosts", "no host!"},
			"hosts", ""},
		{olga, bankSheet + "/contacts", []string{"name", "Kept <b> GmbH", "email", "nobody"}, "email", ""},
		{olga, bankSheet + "/contacts", []string{"name", "Kept <b> GmbH", "email", "a@b.example", "zone", "x"}, "zone", ""},
		{jar(t), party + "/contacts", []string{"name", "Kept <b> GmbH", "email", "nobody"}, "email", ""},
		{olga, "/webhooks", []string{"name", "x", "format", "ticket", "url", "ftp://x", "template",
			`{"a": "Kept <b> GmbH"}`}, "url", ""},
		{alice, "/tenants/acme/webhooks", []string{"name", "x", "format", "pagerduty", "url", "https://x.example.com",
			"routing_key", "", "authorization", "a secret", "template", "Kept <b> GmbH"}, "", "a secret"},
		{alice, "/account/password", []string{"old", "a wrong secret", "new", "another sentence"}, "old", "wrong secret"},
	} {
		status, page := c.post(f.by, f.path, f.form...)
		_, content, _ := strings.Cut(page, "<main")
		if status != 422 || !strings.Contains(content, `role="alert"`) {
			t.Errorf("%s: %d\n%s", f.path, status, content)
			continue
		}
		if f.secret == "" && !strings.Contains(content, "Kept &lt;b&gt; GmbH") {
			t.Errorf("%s forgets what was typed:\n%s", f.path, content)
		}
		if f.secret != "" && strings.Contains(content, f.secret) {
			t.Errorf("%s repeats a secret", f.path)
		}
		if f.field == "" {
			continue
		}
		mark := regexp.MustCompile(`id="` + f.field + `"[^>]*aria-describedby="` + f.field +
			`-fault"[^>]*aria-invalid="true"`)
		if !mark.MatchString(content) || !strings.Contains(content, `<a href="#`+f.field+`">`) ||
			!strings.Contains(content, `id="`+f.field+`-fault"`) {
			t.Errorf("%s does not mark %s:\n%s", f.path, f.field, content)
		}
	}
	_, page := c.post(olga, "/tenants", "name", "Not A Name", "key_type", "p384")
	if !strings.Contains(page, `<option value="p384" selected>`) {
		t.Error("the choice is forgotten")
	}
}

func TestAFormThatIsSentAfterTheSessionEndedIsFilledInAgain(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	c.ahead.Add(int64(13 * time.Hour))
	form := []string{"name", "carol", "email", "carol@acme.example.com"}
	_, page := c.post(alice, "/tenants/acme/people", form...)
	if !strings.Contains(page, "it is filled in again") || value(t, page, "to") != "/tenants/acme/people" {
		t.Fatalf("the sign-in page does not lead back:\n%s", page)
	}
	_, page = c.post(alice, "/sign-in", "name", "alice", "password", c.password("alice"), "to", value(t, page, "to"))
	if value(t, page, "name") != "carol" || value(t, page, "email") != "carol@acme.example.com" ||
		!strings.Contains(page, "It is not saved yet.") {
		t.Errorf("the form is not filled in:\n%s", page)
	}
	if _, page := c.get(alice, "/tenants/acme/people"); value(t, page, "name") != "" || strings.Contains(page, "carol@") {
		t.Error("the form is filled in twice, or saved")
	}
}

func TestSmallFormsInListsKeepWhatWasTyped(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	c.propose("pay.bank.example")
	const accept = "/counterparty-proposals/pay.bank.example/accept"
	status, page := c.post(olga, accept, "counterparty", "House <Bank>")
	_, content, _ := strings.Cut(page, "<main")
	if status != 422 || value(t, content, "counterparty") != "House <Bank>" ||
		!strings.Contains(content, `<a href="#counterparty-pay.bank.example">`) ||
		!strings.Contains(content, `aria-describedby="counterparty-pay.bank.example-fault"`) ||
		!strings.Contains(content, `id="counterparty-pay.bank.example-fault"`) {
		t.Errorf("a refused name of a counterparty: %d\n%s", status, content)
	}
	_, page = c.get(alice, "/tenants/acme/tasks?state=open")
	_, after, _ := strings.Cut(page, `action="/tenants/acme/tasks/`)
	task := "/tenants/acme/tasks/" + after[:36]
	for _, f := range []struct {
		by     *http.Client
		name   string
		action string
		form   []string
		kept   string
	}{
		{alice, "alice", task, []string{"state", "completed", "note", "kept"}, `value="kept"`},
		{alice, "alice", "/tenants/acme/scope", []string{"project", "First Implementation", "question",
			"send-email-for-task", "answer", "no"}, `value="no" id="no-0-0" checked`},
		{alice, "alice", bankPage + "/strategy", []string{"strategy", "manual"}, `value="manual" selected`},
		{olga, "olga", accept, []string{"counterparty", "kept"}, `value="kept"`},
	} {
		c.ahead.Add(int64(13 * time.Hour))
		_, page := c.post(f.by, f.action, f.form...)
		if !strings.Contains(page, "it is filled in again") {
			t.Errorf("%s is not kept", f.action)
			continue
		}
		_, page = c.post(f.by, "/sign-in", "name", f.name, "password", c.password(f.name), "to", value(t, page, "to"))
		if !strings.Contains(page, f.kept) || !strings.Contains(page, "It is not saved yet.") {
			t.Errorf("%s is not filled in again:\n%s", f.action, page)
		}
	}
}

func TestAnErrorInATableBreaksNoHostInHalf(t *testing.T) {
	c := open(t)
	c.propose("pay.bank.example")
	b := c.browser(true)
	b.take(c.signIn("olga"))
	for _, width := range []int64{1024, 1440} {
		b.size(width)
		b.open("/counterparties")
		evaluate[bool](b, `document.getElementById("counterparty-pay.bank.example").value = "House Bank", true`)
		b.press("Accept")
		b.reads("invalid name")
		lines := evaluate[int](b, `(() => {
			const range = document.createRange();
			range.selectNodeContents(document.querySelector("main tbody th"));
			return range.getClientRects().length;
		})()`)
		if lines != 1 {
			t.Errorf("at %d px the host has %d lines", width, lines)
		}
	}
}

func TestAFormIsKeptForItsOwnAccountWithoutSecretsAndWithinBounds(t *testing.T) {
	c := open(t)
	for name, f := range map[string]struct {
		path, signIn string
		form         []string
	}{
		"another account": {"/tenants/acme/people", "olga", []string{"name", "carol", "email", "c@example.com"}},
		"secrets":         {"/account/password", "alice", []string{"old", "carol and a secret", "new", "carol and another"}},
		"too large":       {"/tenants/acme/contacts", "alice", []string{"contacts", strings.Repeat("carol", 2000)}},
	} {
		alice := c.signIn("alice")
		c.ahead.Add(int64(13 * time.Hour))
		_, page := c.post(alice, f.path, f.form...)
		if strings.Contains(page, "carol") {
			t.Errorf("%s: the sign-in page shows the form", name)
		}
		u, err := url.Parse(c.url)
		check(t, err)
		for _, cookie := range alice.Jar.Cookies(u) {
			if name == "secrets" && cookie.Name == "kept" && len(cookie.Value) > 200 {
				t.Errorf("%s: the cookie has %d bytes", name, len(cookie.Value))
			}
		}
		_, page = c.post(alice, "/sign-in", "name", f.signIn, "password", c.password(f.signIn), "to", value(t, page, "to"))
		if strings.Contains(page, "carol") {
			t.Errorf("%s: the form is filled in:\n%s", name, page)
		}
	}
}

func TestAButtonThatIsPressedAfterTheSessionEndedLeadsBackToItsPage(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	c.ahead.Add(int64(13 * time.Hour))
	for referer, want := range map[string]string{c.url + bankPage + "?from=1": bankPage + "?from=1",
		"https://evil.example/tenants/acme": "", "": ""} {
		r, err := http.NewRequest(http.MethodPost, c.url+bankPage+"/probe", nil)
		check(t, err)
		r.Header.Set("Referer", referer)
		res, err := alice.Do(r)
		check(t, err)
		if _, page := c.read(res); value(t, page, "to") != want {
			t.Errorf("from %q it leads to %q", referer, value(t, page, "to"))
		}
	}
}

func TestAConflictShowsBothValuesAndIsResolvedInTheForm(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const shop = "/tenants/acme/arrangements/crm-to-shop"
	endpoint := strings.TrimSuffix(c.sample.Install, "/pinned/install") + "/trusting"
	form := func(etag, scenario string) []string {
		return []string{"etag", etag, "receiver", "shop", "endpoint", endpoint, "scenario", scenario, "strategy", "adaptive"}
	}
	_, page := c.get(alice, shop+"/edit")
	read := value(t, page, "etag")
	c.post(alice, shop, form(read, "theirs <b>")...)
	status, page := c.post(alice, shop, form(read, "mine")...)
	if status != 412 || value(t, page, "scenario") != "mine" ||
		!strings.Contains(page, `Stored in the meantime: <span class="mono">theirs &lt;b&gt;</span>`) ||
		strings.Count(page, "Stored in the meantime:") != 1 {
		t.Fatalf("the conflict: %d\n%s", status, page)
	}
	if status, page := c.post(alice, shop, form(value(t, page, "etag"), "mine")...); status != 200 ||
		!strings.Contains(page, "Saved.") {
		t.Errorf("resolving it: %d", status)
	}
	_, page = c.get(alice, shop+"/edit")
	read = value(t, page, "etag")
	c.post(alice, shop, form(read, "theirs again")...)
	_, page = c.post(alice, shop, append(form(read, "mine again"), "do", "try")...)
	if status, _ := c.post(alice, shop, form(value(t, page, "etag"), "mine again")...); status != 412 {
		t.Errorf("a test of the connection hides the conflict: %d", status)
	}
	_, page = c.get(alice, "/tenants/acme/people")
	old := value(t, page, "etag")
	c.post(alice, "/tenants/acme/contacts", "etag", old, "contacts", "Theirs <theirs@example.com>")
	status, page = c.post(alice, "/tenants/acme/contacts", "etag", old, "contacts", "Mine <mine@example.com>")
	text := html.UnescapeString(page)
	if status != 412 || !strings.Contains(text, ">Mine <mine@example.com></textarea>") ||
		!strings.Contains(text, `<span class="mono">Theirs <theirs@example.com></span>`) {
		t.Errorf("the contacts: %d\n%s", status, page)
	}
	if status, page = c.post(alice, "/tenants/acme/contacts", "etag", value(t, page, "etag"), "contacts",
		"Mine <mine@example.com>"); status != 200 {
		t.Errorf("resolving it: %d\n%s", status, page)
	}
}

func TestAKeyUserIsAddedAndInvitedInOneStep(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	_, page := c.post(alice, "/tenants/acme/people", "name", "carol", "email", "carol@acme.example.com", "invite", "yes")
	token := regexp.MustCompile(`perennial_[A-Z2-7]{26}`).FindString(page)
	mail := regexp.MustCompile(`href="mailto:([^"]*)"`).FindStringSubmatch(page)
	if token == "" || mail == nil || !strings.Contains(page, "carol is now a key user") {
		t.Fatalf("no invitation is shown:\n%s", page)
	}
	u, err := url.Parse("mailto:" + html.UnescapeString(mail[1]))
	check(t, err)
	if to, body := u.Opaque, u.Query().Get("body"); to != "carol@acme.example.com" || !strings.Contains(body, token) ||
		!strings.Contains(body, c.url+"/welcome") {
		t.Errorf("the mail to %q:\n%s", to, body)
	}
	carol := jar(t)
	if status, page := c.post(carol, "/welcome", "token", token, "name", "carol", "password",
		"carol looks after the bank"); status != 200 || !strings.Contains(page, "Sign out") {
		t.Fatalf("the account: %d\n%s", status, page)
	}
	if status, page := c.post(alice, "/tenants/acme/people/carol/invite"); status != 409 ||
		!strings.Contains(page, "carol has an account already") {
		t.Errorf("a second token for another person, by a key user: %d\n%s", status, page)
	}
	if status, page := c.post(c.signIn("olga"), "/tenants/acme/people/carol/invite"); status != 200 ||
		!strings.Contains(page, "Token for carol, shown only once:") {
		t.Errorf("by an operator: %d\n%s", status, page)
	}
}
