package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// link returns the address of the first link with a text.
func link(page, text string) string {
	found := regexp.MustCompile(`<a href="([^"]*)"[^>]*>\s*` + regexp.QuoteMeta(text) + `\s*</a>`).FindStringSubmatch(page)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

func TestListsAreSearchedAndSortedInTheConsole(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for _, l := range []struct{ path, column, query, fits string }{
		{"/tenants/acme/people", "Name", "alice", ">alice</a>"},
		{"/accounts", "Name", "ali", ">alice</th>"},
		{"/tokens", "Purpose", "olga", ""},
		{"/counterparties", "Name", "bank", ""},
		{"/tenants/acme/rollovers?by=list", "", "bank", "crm-to-bank"},
	} {
		_, page := c.get(olga, l.path)
		if !strings.Contains(page, `name="q"`) {
			t.Errorf("%s has no search", l.path)
			continue
		}
		join := "?"
		if strings.Contains(l.path, "?") {
			join = "&"
		}
		if _, page := c.get(olga, l.path+join+"q="+l.query); !strings.Contains(page, l.fits) ||
			!strings.Contains(page, `value="`+l.query+`"`) {
			t.Errorf("%s does not find %s", l.path, l.query)
		}
		if status, page := c.get(olga, l.path+join+"q=xyzzy"); status != http.StatusOK ||
			!strings.Contains(page, "Show all") {
			t.Errorf("%s with a search that finds nothing: %d", l.path, status)
		}
		if l.column == "" {
			continue
		}
		sorted := link(page, l.column)
		if !strings.Contains(sorted, "sort=") {
			continue // an empty list has no headings
		}
		_, page = c.get(olga, sorted)
		if back := link(page, l.column); back == sorted || !strings.Contains(page, "aria-sort=") {
			t.Errorf("%s is not sorted: %q, then %q", l.path, sorted, back)
		}
	}
}

func TestASearchKeepsTheOtherParametersOfTheList(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for path, kept := range map[string]string{
		"/tenants/acme/rollovers?by=list": `name="by" value="list"`,
		"/tokens?tenant=acme":             `name="tenant" value="acme"`,
		"/accounts?sort=-name":            `name="sort" value="-name"`,
		"/log?actor=operator+olga":        `name="actor" value="operator olga"`,
	} {
		if _, page := c.get(olga, path); !strings.Contains(page, `<input type="hidden" `+kept+`>`) {
			t.Errorf("the search of %s does not keep %s", path, kept)
		}
	}
}

func TestTheAuditLogIsFilteredByObjectAndActor(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.get(olga, "/tenants/acme/arrangements/crm-to-bank")
	path := link(page, "Its entries of the audit log")
	if path != "/tenants/acme/log?object=acme%2Fcrm-to-bank" {
		t.Fatalf("the arrangement leads to %q", path)
	}
	_, page = c.get(olga, path)
	if !strings.Contains(page, "About acme/crm-to-bank") || strings.Contains(page, `title="certificate.issued"`) ||
		!strings.Contains(page, `title="arrangement.refused"`) {
		t.Error("the log of the arrangement lacks entries, or has others")
	}
	c.post(olga, "/counterparties", "name", "bank", "display_name", "House Bank", "hosts", "bank.example")
	_, page = c.get(olga, historyOf(t, c, olga, "/counterparties/bank"))
	if !strings.Contains(page, `title="counterparty.created"`) || strings.Contains(page, `title="arrangement.created"`) {
		t.Error("the log of the counterparty lacks entries, or has others")
	}
	actor := link(page, "operator olga")
	if actor == "" {
		t.Fatal("the actor is not a link")
	}
	if _, page := c.get(olga, actor); !strings.Contains(page, "By operator olga") {
		t.Errorf("%s is not filtered", actor)
	}
	if _, page := c.get(olga, "/log"); regexp.MustCompile(`title="[^"]*">[0-9a-f]{8}-[0-9a-f]{4}-`).MatchString(page) {
		t.Error("an object is shown as an ID")
	}
}

// historyOf returns the address to which the page of an object leads for its entries of the audit log.
func historyOf(t *testing.T, c *console, client *http.Client, path string) string {
	t.Helper()
	_, page := c.get(client, path)
	found := link(page, "Its entries of the audit log")
	if found == "" {
		t.Fatalf("%s does not lead to its entries", path)
	}
	return found
}

func TestLongListsAreSearchedInTheConsole(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	bank := c.newBank(olga)
	for _, l := range []struct{ path, query, fits, other string }{
		{bankSheet, "GLOBEX", `href="/tenants/globex"`, `<th scope="row"><a href="/tenants/acme"`},
		{bank, "GLOBEX", `value="globex/tenant"`, `value="acme/tenant"`},
		{"/rollovers?by=list", "acme/", "crm-to-bank", "globex/"},
		{"/at-risk", "acme/", "crm-to-bank", "globex/"},
		{"/deliveries", "no such recipient", "Nothing fits this search.", ""},
		{"/webhooks", "no such server", "Nothing fits this search.", ""},
		{"/tenants/acme/administrators", "bank", "House Bank", "ERP"},
		{bank + "?state=refused", "acme", `value="acme/tenant"`, `value="globex/tenant"`},
		{"/silent-feeds", "acme", "Nothing fits this search.", ""},
		{"/parked", "acme", "Nothing fits this search.", ""},
		{"/tenants/acme/arrangements/crm-to-bank/messages", "no such path", "Nothing fits this search.", ""},
		{"/tenants/acme/arrangements/crm-to-bank/messages?failed=true", "no such path", " checked", ""},
	} {
		join := "?"
		if strings.Contains(l.path, "?") {
			join = "&"
		}
		status, page := c.get(olga, l.path+join+"q="+url.QueryEscape(l.query))
		if status != http.StatusOK || !strings.Contains(page, `name="q" type="search" value="`+l.query+`"`) ||
			!strings.Contains(page, l.fits) || l.other != "" && strings.Contains(page, l.other) {
			t.Errorf("%s searched for %q: %d", l.path, l.query, status)
		}
	}
}

// A report about one of 3,000 certificates must not lead back to the beginning of the list.
func TestATestOfFoundCertificatesLeadsBackToTheSearch(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	bank := c.newBank(olga)
	_, page := c.post(olga, bank+"/test", "do", "test", "key", "acme/tenant", "q", "acme")
	if !strings.Contains(page, `type="search" value="acme"`) || strings.Contains(page, `value="globex/tenant"`) {
		t.Error("the page after a test does not show what was searched for")
	}
}

func TestTheCertificatesOfACounterpartyAreLimitedToAState(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for _, path := range []string{bankSheet, c.newBank(olga)} {
		tab := func(state string) string { return `href="` + path + `?state=` + state + `#states"` }
		_, page := c.get(olga, path+"?state=quiet")
		if !strings.Contains(page, tab("refused")) || !strings.Contains(page, tab("quiet")+" aria-current") ||
			strings.Contains(page, tab("done")) || !strings.Contains(page, "Globex") {
			t.Errorf("%s does not lead to the states that its certificates have", path)
		}
		if _, page := c.get(olga, path+"?state=refused"); strings.Contains(page, "Globex") {
			t.Errorf("%s shows a certificate in another state", path)
		}
		if _, page := c.get(olga, path+"?state=done"); !strings.Contains(page, "Nothing fits this search.") ||
			!strings.Contains(page, tab("done")+" aria-current") {
			t.Errorf("%s does not state that no certificate is in the chosen state", path)
		}
	}
}

func TestAnAddressWithAnUnknownFilterOrOrderIsExplainedInTheLanguageOfTheReader(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	paths := []string{"/tenants?sort=zzz", "/tenants?filter=zzz", "/tenants/acme/tasks?state=zzz", "/rollovers?left=zzz",
		"/tenants/acme/people?sort=zzz"}
	for _, want := range []string{"has a filter, an order or a page that does not exist", "die es nicht gibt"} {
		for _, path := range paths {
			if status, page := c.get(olga, path); status != http.StatusUnprocessableEntity || !strings.Contains(page, want) ||
				strings.Contains(page, "expected") {
				t.Errorf("%s: %d without %q", path, status, want)
			}
		}
		c.post(olga, "/account", "language", "de")
	}
}

func TestTheRolesOfTokensHaveNames(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for _, page := range []string{"/tokens", "/accounts"} {
		_, text := c.get(olga, page)
		if regexp.MustCompile(`>\s*(key-user|operator|sender|gateway)\s*<`).MatchString(text) {
			t.Errorf("%s shows the code of a role", page)
		}
	}
	if _, page := c.get(olga, "/tokens"); !regexp.MustCompile(`<option value="key-user"[^>]*>\s*Key user\s*<`).
		MatchString(page) {
		t.Error("the form does not name the role")
	}
}
