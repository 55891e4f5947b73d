package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const payload = `"><img src=x onerror=alert(1)>'`

func TestNoTextBecomesMarkup(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	endpoint := strings.TrimSuffix(c.sample.Install, "/pinned/install") + "/trusting"
	_, tasks := c.get(alice, "/tenants/acme/tasks?state=open")
	_, after, _ := strings.Cut(tasks, `action="/tenants/acme/tasks/`)
	arrangement := []string{"name", payload, "receiver", payload, "receiver_name", payload, "contact_name", payload,
		"contact_email", payload, "scenario", payload, "endpoint", endpoint, "probe_path", "/" + payload, "server_ca",
		payload, "server_key_pin", payload, "egress_proxy", payload, "strategy", payload}
	valid := []string{"name", "crm-to-x", "receiver", "", "receiver_name", "x", "contact_name", payload, "contact_email",
		"x@example.com", "scenario", payload, "endpoint", endpoint, "strategy", "adaptive"}
	for _, f := range []struct {
		by   *http.Client
		path string
		form []string
	}{
		{alice, "/tenants/acme/tasks/" + after[:36], []string{"state", "in-process", "note", payload}},
		{alice, "/tenants/acme/people", []string{"name", payload, "email", payload}},
		{alice, "/tenants/acme/contacts", []string{"etag", payload, "contacts", payload}},
		{alice, "/tenants/acme/scope", []string{"project", payload, "question", payload, "answer", payload}},
		{alice, "/tenants/acme/arrangements", arrangement},
		{alice, "/tenants/acme/arrangements", append(arrangement, "do", "try")},
		{alice, "/tenants/acme/arrangements", valid},
		{alice, "/tenants/acme/arrangements/crm-to-bank", append(arrangement, "etag", payload)},
		{alice, "/tenants/acme/arrangements/crm-to-bank/delete", []string{"sure", "yes", "confirmed_name", payload}},
		{alice, "/tenants/acme/arrangements/crm-to-bank/choose", []string{"generation", payload}},
		{alice, "/tenants/acme/arrangements/crm-to-bank/strategy", []string{"strategy", payload}},
		{alice, "/tenants/acme/certificates/tenant/renew", []string{"reason", payload}},
		{alice, "/account", []string{"zone", payload, "language", payload}},
		{alice, "/account/password", []string{"old", payload, "new", payload}},
		{olga, "/tenants", []string{"name", "mallory", "display_name", payload, "key_type", "p256"}},
		{olga, "/tenants", []string{"name", payload, "display_name", payload, "key_type", payload}},
		{olga, "/tokens", []string{"name", payload, "role", "operator"}},
		{olga, "/tokens", []string{"name", payload, "role", payload, "tenant", payload, "user", payload}},
		{jar(t), "/sign-in", []string{"name", payload, "password", payload, "to", payload}},
		{jar(t), "/welcome", []string{"token", payload, "name", payload, "password", payload}},
	} {
		if _, page := c.post(f.by, f.path, f.form...); strings.Contains(page, "<img src=x") {
			t.Errorf("the answer to %s has the markup", f.path)
		}
	}
	seen := 0
	query := url.QueryEscape(payload)
	for _, p := range append(c.everyPage(c.newLink())["olga"], [2]string{"", "/tenants/mallory"}) {
		_, page := c.get(olga, p[1]+"?text="+query+"&state="+query+"&from="+query+"&user="+query+"&to="+query+"&a="+query)
		if strings.Contains(page, "<img src=x") {
			t.Errorf("%s has the markup", p[1])
		}
		seen += strings.Count(page, "&lt;img src=x")
	}
	for _, p := range append(c.everyPage(c.newLink())["alice"], [2]string{"", "/tenants/acme/arrangements/crm-to-x"}) {
		_, page := c.get(alice, p[1])
		if strings.Contains(page, "<img src=x") {
			t.Errorf("%s has the markup", p[1])
		}
		seen += strings.Count(page, "&lt;img src=x")
	}
	if seen < 5 { // a display name, a scenario, a contact, a note, a token's purpose
		t.Errorf("the text was stored in %d places only: the test shows little", seen)
	}
}

func TestEveryAnswerForbidsFramesAndForeignScript(t *testing.T) {
	c := open(t)
	for who, pages := range c.everyPage(c.newLink()) {
		client := jar(t)
		if who != "" {
			client = c.signIn(who)
		}
		for _, p := range pages {
			res, err := client.Get(c.url + p[1])
			check(t, err)
			res.Body.Close()
			policy := res.Header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'",
				"form-action 'self'", "base-uri 'none'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: the policy %q lacks %s", p[1], policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" ||
				res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", p[1], res.Header)
			}
		}
	}
}

func TestNoAddressRedirectsToAnotherSiteOrSplitsAnAnswer(t *testing.T) {
	c := open(t)
	for _, to := range []string{"https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example",
		"/ok\r\nSet-Cookie: x=y", "/\t/evil.example", "javascript:alert(1)"} {
		client := jar(t)
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		res, err := client.PostForm(c.url+"/sign-in", url.Values{"name": {"alice"}, "password": {c.password("alice")},
			"to": {to}})
		check(t, err)
		res.Body.Close()
		if at := res.Header.Get("Location"); res.StatusCode != 303 || at != "/" {
			t.Errorf("%q leads to %q", to, at)
		}
		for _, cookie := range res.Cookies() {
			if cookie.Name == "x" {
				t.Errorf("%q splits the answer", to)
			}
		}
	}
	alice := c.signIn("alice")
	alice.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := alice.Get(c.url + "/tenants/acme%0d%0aSet-Cookie:%20x=y/tasks")
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 404 || len(res.Cookies()) > 0 {
		t.Errorf("a path with a line break: %d, %v", res.StatusCode, res.Cookies())
	}
}

// Every form of a tenant, sent by a key user of another tenant.
func TestNoFormReachesAnotherTenant(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	for _, path := range []string{
		"/certificates/tenant/renew", "/arrangements", "/arrangements/hr-to-payroll", "/arrangements/hr-to-payroll/delete",
		"/arrangements/hr-to-payroll/probe", "/arrangements/hr-to-payroll/choose", "/arrangements/hr-to-payroll/confirm",
		"/arrangements/hr-to-payroll/link",
		"/arrangements/hr-to-payroll/links/x/revoke", "/arrangements/hr-to-payroll/diagnose",
		"/arrangements/hr-to-payroll/strategy", "/tasks/x", "/subscription", "/scope", "/people", "/people/bob/remove",
		"/contacts",
	} {
		there, body := c.post(alice, "/tenants/globex"+path, "generation", "1", "name", "hr-to-payroll", "strategy", "manual",
			"project", "x", "question", "y", "answer", "yes", "contacts", "", "etag", `"1"`, "receiver", "payroll")
		nowhere, other := c.post(alice, "/tenants/unknown"+path, "generation", "1", "name", "hr-to-payroll", "strategy",
			"manual", "project", "x", "question", "y", "answer", "yes", "contacts", "", "etag", `"1"`, "receiver", "payroll")
		if there != 404 || nowhere != 404 || strings.ReplaceAll(body, "globex", "unknown") != other {
			t.Errorf("%s of another tenant: %d, of an unknown one: %d", path, there, nowhere)
		}
	}
	for _, path := range []string{"/tenants", "/tokens", "/tokens/x/revoke", "/deliveries/x/requeue", "/log/verify",
		"/imports", "/imports/x/apply", "/accounts/x/delete"} {
		if status, _ := c.post(alice, path, "name", "x", "role", "operator"); status != 404 && status != 400 {
			t.Errorf("%s, which is for the hosting team: %d", path, status)
		}
	}
	if status, _ := c.get(alice, "/live?tenant=globex"); status != 404 {
		t.Errorf("the events of another tenant: %d", status)
	}
}

func TestAPageIsSmallOnItsFirstLoad(t *testing.T) {
	c := open(t)
	for who, pages := range c.everyPage(c.newLink()) {
		client := jar(t)
		if who != "" {
			client = c.signIn(who)
		}
		for _, p := range pages {
			c.small(client, p[1])
		}
	}
}

// small checks the size of a page with everything that it loads.
func (c *console) small(client *http.Client, path string) {
	c.t.Helper()
	_, page := c.get(client, path)
	sum := len(page)
	for _, part := range strings.Split(page, `"/assets/`)[1:] {
		file, _, _ := strings.Cut(part, `"`)
		r, err := http.NewRequest(http.MethodGet, c.url+"/assets/"+file, nil)
		check(c.t, err)
		r.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultTransport.RoundTrip(r)
		check(c.t, err)
		_, data := c.read(res)
		if res.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			c.t.Errorf("%s: %v", file, res.Header)
		}
		sum += len(data)
	}
	if sum > 100<<10 {
		c.t.Errorf("%s has %d bytes in total", path, sum)
	}
}

// A list of files would show what is in the binary, and which version it is.
func TestNoFolderIsListed(t *testing.T) {
	c := open(t)
	for _, path := range []string{"/assets/", "/assets/.", "/assets//", "/assets/x/..", "/assets/index.html"} {
		r, err := http.NewRequest(http.MethodGet, c.url, nil)
		check(t, err)
		r.URL.Path = path
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		if _, body := c.read(res); strings.Contains(body, "htmx.js\">htmx.js") ||
			res.Request.URL.Path == "/assets/" && res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

// During an upgrade, another replica answers the request that belongs to a page of this version.
func TestAFileIsCachedOnlyAsTheVersionThatThePageNames(t *testing.T) {
	c := open(t)
	_, page := c.get(c.signIn("olga"), "/")
	parts := strings.Split(page, `"/assets/`)
	if len(parts) < 3 {
		t.Fatalf("the page has no files: %s", page)
	}
	for _, part := range parts[1:] {
		named, _, _ := strings.Cut(part, `"`)
		file, _, _ := strings.Cut(named, "?")
		for path, want := range map[string]string{named: "public, max-age=31536000, immutable", file + "?0": "no-cache",
			file: "no-cache"} {
			res, err := http.Get(c.url + "/assets/" + path)
			check(t, err)
			if c.read(res); res.Header.Get("Cache-Control") != want {
				t.Errorf("%s: Cache-Control: %s, want %s", path, res.Header.Get("Cache-Control"), want)
			}
		}
	}
}
