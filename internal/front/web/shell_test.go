package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/front/web"
)

// titleOf returns the title of a page.
func titleOf(page string) string {
	_, after, _ := strings.Cut(page, "<title>")
	title, _, _ := strings.Cut(after, "</title>")
	return title
}

func TestEveryPageOfATenantCarriesItsNames(t *testing.T) {
	c := open(t)
	for who, client := range map[string]*http.Client{"olga": c.signIn("olga"), "alice": c.signIn("alice")} {
		seen := 0
		for _, p := range c.everyPage(c.newLink())["alice"] {
			if p[1] == "/account" || p[1] == "/" && who == "olga" {
				continue
			}
			seen++
			_, page := c.get(client, p[1])
			if title := titleOf(page); !strings.HasPrefix(title, "Acme GmbH (acme) · ") ||
				!strings.HasSuffix(title, " · Perennial") {
				t.Errorf("%s for %s has the title %q", p[1], who, title)
			}
			_, band, ok := strings.Cut(page, `<section class="band"`)
			band, _, _ = strings.Cut(band, "<main")
			if !ok || !strings.Contains(band, "<strong>Acme GmbH</strong>") || !strings.Contains(band, ">acme</span>") {
				t.Errorf("%s for %s does not name the tenant:\n%s", p[1], who, band)
			}
			if tabs := strings.Contains(band, `href="/tenants/acme/certificates"`); tabs != (who == "olga") {
				t.Errorf("%s for %s: the band has tabs: %v", p[1], who, tabs)
			}
		}
		if seen < 14 {
			t.Errorf("only %d pages of the tenant were visited", seen)
		}
	}
	if _, page := c.get(c.signIn("olga"), "/tenants"); strings.Contains(page, `class="band"`) {
		t.Error("a page of the fleet has the band of a tenant")
	}
}

func TestTheMenuHasGroupsAndBadges(t *testing.T) {
	c := open(t)
	_, page := c.get(c.signIn("olga"), "/runs")
	menu := page[strings.Index(page, `id="menu"`):strings.Index(page, "<main")]
	last := -1
	for _, group := range []string{"Watch", "Fleet", "Rules", "Access", "Audit"} {
		at := strings.Index(menu, `<p class="group">`+group+"</p>")
		if at <= last {
			t.Errorf("the group %s is missing or in another place", group)
		}
		last = at
	}
	for path, badge := range map[string]string{"/at-risk": "1", "/deliveries": "1", "/guard": "1", "/runs": "",
		"/tokens": ""} {
		m := regexp.MustCompile(`<a href="` + path + `"[^>]*><span>[^<]*</span> *(?:<span class="badge">([0-9+]+)</span>)?`).
			FindStringSubmatch(menu)
		if m == nil || m[1] != badge {
			t.Errorf("the badge of %s is not %q: %q", path, badge, m)
		}
	}
	if !strings.Contains(menu, `<a href="/runs" aria-current`) || strings.Count(menu, "aria-current") != 1 {
		t.Errorf("the menu does not mark one page:\n%s", menu)
	}
	_, page = c.get(c.signIn("alice"), "/tenants/acme/tasks")
	menu = page[strings.Index(page, `id="menu"`):strings.Index(page, "<main")]
	if !regexp.MustCompile(`href="/tenants/acme/tasks" aria-current[^>]*><span>Tasks</span> *<span class="badge">[1-9]`).
		MatchString(menu) || strings.Contains(menu, `href="/tokens"`) {
		t.Errorf("the menu of a key user:\n%s", menu)
	}
}

func TestAnUnknownAddressIsAPageOfTheConsoleForPeopleOnly(t *testing.T) {
	c := open(t)
	for _, one := range []struct {
		client                 *http.Client
		path, accept, language string
		want                   string
		page                   bool
	}{
		{c.signIn("olga"), "/nope", "text/html,*/*;q=0.8", "en", "There is no such page", true},
		{c.signIn("olga"), "/tenants/", "text/html", "en", "There is no such page", true},
		{http.DefaultClient, "/nope", "text/html", "de", "Diese Seite gibt es nicht", true},
		{http.DefaultClient, "/pki/none.crl", "text/html", "en", "There is no such page", true},
		{http.DefaultClient, "/unsubscribe/none", "text/html", "en", "This link is not valid", false},
		{http.DefaultClient, "/nope", "application/json", "en", "404 page not found", false},
		{http.DefaultClient, "/api/v1/nope", "text/html", "en", "send a token", false},
	} {
		r, err := http.NewRequest(http.MethodGet, c.url+one.path, nil)
		check(t, err)
		r.Header.Set("Accept", one.accept)
		r.Header.Set("Accept-Language", one.language)
		res, err := one.client.Do(r)
		check(t, err)
		status, body := c.read(res)
		if status != 404 && one.want != "send a token" || !strings.Contains(body, one.want) ||
			strings.Contains(body, `<main id="main">`) != one.page {
			t.Errorf("%s as %s: %d\n%s", one.path, one.accept, status, body)
		}
		if one.page && !strings.Contains(res.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%s: %v", one.path, res.Header)
		}
	}
}

func TestAPageNamesWhatDoesNotExist(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	for path, want := range map[string]string{
		"/tenants/acme/arrangements/nothing":   "There is no arrangement nothing",
		"/tenants/acme/watched/nothing":        "There is no watched certificate nothing",
		"/tenants/globex":                      "There is no tenant globex",
		"/tenants/acme/arrangements/x<b>/edit": "There is no arrangement x&lt;b&gt;",
	} {
		if status, page := c.get(alice, path); status != 404 || !strings.Contains(page, "<h1>"+want) {
			t.Errorf("%s: %d\n%s", path, status, page)
		}
	}
	c.post(olga, "/account", "language", "de")
	if _, page := c.get(olga, "/tenants/nobody"); !strings.Contains(page, "Es gibt keinen Mandanten nobody") {
		t.Errorf("in German:\n%s", page)
	}
}

func TestPagesLeadToThoseAboveThem(t *testing.T) {
	c := open(t)
	crumbs := regexp.MustCompile(`<p class="crumbs">(.*?)</p>`)
	link := regexp.MustCompile(`<a href="([^"]*)">([^<]*)</a>`)
	for who, pages := range map[string]map[string]string{
		"alice": {
			"/people/bob": "People /people", "/administrators/bank": "Administrators /administrators",
			"/mail-check": "Tasks /tasks", "/mail-check?user=bob": "People /people", "/scope": "Overview ",
			"/rollovers": "Overview ", "/rollovers?by=days": "Overview ",
			"/rollovers?q=crm": "Overview , Roll-overs /rollovers",
		},
		"olga": {"/rollovers": "Overview ", "/rollovers?q=crm": "Overview , Roll-overs /rollovers"},
	} {
		client, above := c.signIn(who), ""
		if who == "alice" {
			above = "/tenants/acme"
		}
		for path, want := range pages {
			status, page := c.get(client, above+path)
			var got []string
			if m := crumbs.FindStringSubmatch(page); m != nil {
				for _, l := range link.FindAllStringSubmatch(m[1], -1) {
					if l[1] == "/" { // the overview of the fleet
						l[1] = ""
					}
					got = append(got, l[2]+" "+strings.TrimPrefix(l[1], above))
				}
			}
			if status != 200 || strings.Join(got, ", ") != want || strings.Index(page, "crumbs") > strings.Index(page, "<h1") {
				t.Errorf("%s: %d, the pages above are %q, want %q", path, status, got, want)
			}
		}
	}
}

// A question or a form of a route that does not exist would never be shown.
func TestQuestionsAndFormPagesBelongToRoutes(t *testing.T) {
	c := open(t)
	patterns := map[string]bool{}
	for _, r := range web.Routes(c.accounts) {
		patterns[r.Pattern] = true
	}
	for _, pattern := range web.Questions() {
		if !patterns[pattern] {
			t.Errorf("the question before %s belongs to no route", pattern)
		}
	}
	for form, page := range web.FormPages() {
		if !patterns[form] || !patterns["GET "+page] {
			t.Errorf("the form %s and its page %s are not both routes", form, page)
		}
	}
	if n := len(web.Questions()); n < 10 {
		t.Errorf("only %d actions ask before they are done", n)
	}
}
