package web_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/poster"
	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/sample"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

// ends holds what is cleaned up after all tests.
var ends []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range ends {
		end()
	}
	os.Exit(code)
}

type console struct {
	t        *testing.T
	url      string
	sample   sample.Sample
	engine   *enginetest.Installation
	importer *importing.Importer
	accounts *identity.Service
	held     string       // SHA-256 of the certificate that the guard holds
	ahead    atomic.Int64 // offset of the clock
	queued   []string     // imports that wait for their worker
	asked    []string     // counterparties whose tests wait for their worker
	rounds   []string     // rounds of tests that wait for their worker
	network  *outbound.Network

	down atomic.Bool // if it is set, the service answers 503

	gate  atomic.Pointer[chan struct{}] // if it is set, forms are answered after it is closed
	posts atomic.Int64                  // forms that were sent since the gate was set
}

// EnqueueImport keeps an import until the test works on it.
func (c *console) EnqueueImport(_ context.Context, _ *sql.Tx, id string) error {
	c.queued = append(c.queued, id)
	return nil
}

// work does the work of the background jobs.
func (c *console) work() {
	c.t.Helper()
	for _, id := range c.queued {
		check(c.t, c.importer.Work(c.t.Context(), id))
	}
	c.queued = nil
}

func (c *console) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// later moves the clock forward and lets the service do its hourly work.
func (c *console) later(d time.Duration) {
	c.t.Helper()
	c.ahead.Add(int64(d))
	check(c.t, c.engine.Roll(c.t.Context(), c.now()))
}

func open(t *testing.T) *console { return openWith(t, nil) }

// filled is a sample fleet that is filled once, for tests that install nothing at its receivers. An installed
// certificate would be accepted in all of them.
var filled struct {
	sync.Mutex
	dir    string
	sample sample.Sample
}

// openWith opens the console on a copy of the sample fleet.
func openWith(t *testing.T, provider *identity.OIDC) *console {
	t.Helper()
	filled.Lock()
	defer filled.Unlock()
	if filled.dir == "" {
		dir, err := os.MkdirTemp("", "perennial-web-test-")
		check(t, err)
		ends = append(ends, func() { os.RemoveAll(dir) })
		check(t, os.Mkdir(filepath.Join(dir, "db"), 0o700))
		engine, ca := enginetest.Open(t, "sqlite:"+filepath.Join(dir, "db", "p.db"), filepath.Join(dir, "key"), time.Now())
		filled.sample, err = sample.Fill(context.Background(), engine.Store, engine.Engine, ca, time.Now)
		check(t, err)
		cheapen(t, engine.Store, filled.sample.Logins)
		check(t, engine.Store.Close())
		filled.dir = dir
	}
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(filepath.Join(filled.dir, "db"))))
	engine, ca := enginetest.Open(t, "sqlite:"+filepath.Join(dir, "p.db"), filepath.Join(filled.dir, "key"), time.Now())
	return serve(t, engine, ca, filled.sample, provider)
}

// cheapen replaces the hashes of passwords by some that take little time, because each test signs in.
func cheapen(t *testing.T, s *store.Store, logins []sample.Login) {
	t.Helper()
	check(t, s.InTx(t.Context(), func(tx *store.Tx) error {
		for _, l := range logins {
			a, err := tx.AccountByName(t.Context(), l.Name)
			if err != nil {
				return err
			}
			salt := []byte(l.Name)
			sum := argon2.IDKey([]byte(l.Password), salt, 1, 8, 1, 32)
			encode := base64.RawStdEncoding.EncodeToString
			if err := tx.SetPassword(t.Context(), a.ID, fmt.Sprintf("$argon2id$v=%d$m=8,t=1,p=1$%s$%s", argon2.Version,
				encode(salt), encode(sum))); err != nil {
				return err
			}
		}
		return nil
	}))
}

// openOwn opens the console on a sample fleet with its own receivers, so that certificates can be installed.
func openOwn(t *testing.T) *console {
	t.Helper()
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), time.Now())
	own, err := sample.Fill(t.Context(), engine.Store, engine.Engine, ca, time.Now)
	check(t, err)
	return serve(t, engine, ca, own, nil)
}

func serve(t *testing.T, engine *enginetest.Installation, ca *local.CA, fleet sample.Sample,
	provider *identity.OIDC) *console {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &console{t: t, engine: engine, sample: fleet}
	var err error
	c.importer, err = importing.New(engine.Engine, engine.Store, engine.Seal, c.now)
	check(t, err)
	protected, held := newGuard(t)
	c.held = held
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	c.network = network
	hooks, err := webhooks.New(webhooks.Config{Store: engine.Store, Seal: engine.Seal, Queue: c,
		Network: poster.New(network), BaseURL: "https://p.example.com", Now: c.now, Log: engine.Log})
	check(t, err)
	engine.Store.OnAudit(hooks.Follow)
	service, err := api.New(api.Config{Store: engine.Store, Engine: engine.Engine, Issuer: ca, Seal: engine.Seal,
		Webhooks: hooks, Network: network, Imports: c, Questions: c, Importer: c.importer, Guard: protected, Now: c.now,
		Log: engine.Log})
	check(t, err)
	s := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	check(t, err)
	c.url = "http://localhost:" + port // a host name, for passkeys
	c.accounts, err = identity.New(identity.Config{Store: engine.Store, BaseURL: c.url, OIDC: provider, Now: c.now,
		Log: engine.Log})
	check(t, err)
	pages, err := web.New(web.Config{API: service, Identity: c.accounts, News: engine.Store, BaseURL: c.url,
		Platform: web.Platform{HelpAddress: "help@p.example.com", HelpPhone: "+41 31 123 45 67", Imprint: "P AG, Bern"},
		Guard:    true, Now: c.now, Ending: ctx, Log: engine.Log}, service)
	check(t, err)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if gate := c.gate.Load(); gate != nil && r.Method == http.MethodPost {
			c.posts.Add(1)
			<-*gate
		}
		pages.ServeHTTP(w, r)
	})
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(cancel) // streams end before the server waits for them
	return c
}

// password returns the password of an account of the sample.
func (c *console) password(name string) string {
	for _, l := range c.sample.Logins {
		if l.Name == name {
			return l.Password
		}
	}
	c.t.Fatalf("there is no account %s", name)
	return ""
}

func (c *console) signIn(name string) *http.Client {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	check(c.t, err)
	client := &http.Client{Jar: jar}
	if status, body := c.post(client, "/sign-in", "name", name, "password", c.password(name)); status != 200 ||
		!strings.Contains(body, "Sign out") {
		c.t.Fatalf("signing in: %d", status)
	}
	return client
}

func (c *console) get(client *http.Client, path string) (int, string) {
	c.t.Helper()
	res, err := client.Get(c.url + path)
	check(c.t, err)
	return c.read(res)
}

func (c *console) read(res *http.Response) (int, string) {
	c.t.Helper()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(c.t, err)
	return res.StatusCode, string(data)
}

func (c *console) post(client *http.Client, path string, form ...string) (int, string) {
	c.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	res, err := client.PostForm(c.url+path, v)
	check(c.t, err)
	return c.read(res)
}

var ofTenant = []string{"", "/certificates", "/rollovers", "/tasks", "/scope", "/people", "/log", "/new-arrangement",
	"/webhooks",
	"/mail-check?user=alice"}

func TestAKeyUserSeesOnlyTheirOwnTenant(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	for _, page := range append(ofTenant, "/arrangements/crm-to-bank", "/arrangements/crm-to-bank/messages") {
		if status, _ := c.get(alice, "/tenants/acme"+page); status != 200 {
			t.Errorf("%s: %d", page, status)
		}
		there, body := c.get(alice, "/tenants/globex"+page)
		if nowhere, other := c.get(alice, "/tenants/unknown"+page); there != 404 || nowhere != 404 ||
			strings.ReplaceAll(body, "globex", "unknown") != other {
			t.Errorf("%s of another tenant: %d, of an unknown one: %d", page, there, nowhere)
		}
	}
	for _, page := range []string{"/tenants", "/runs", "/at-risk", "/rollovers", "/deliveries", "/log", "/tokens",
		"/accounts", "/imports", "/parked", "/authorities", "/forecast", "/policy", "/guard", "/webhooks"} {
		if status, _ := c.get(alice, page); status != 404 {
			t.Errorf("%s, which is for the hosting team: %d", page, status)
		}
	}
}

// A tenant can name an arrangement as it likes, for example "new".
func TestNoPageHidesAThingThatHasItsName(t *testing.T) {
	segments := func(pattern string) (method string, all []string) {
		method, path, _ := strings.Cut(pattern, " ")
		return method, strings.Split(path, "/")
	}
	hides := func(a, b string) bool {
		method, one := segments(a)
		other, two := segments(b)
		literal := false
		for i := range min(len(one), len(two)) {
			if one[i] != two[i] {
				if !strings.HasPrefix(two[i], "{") || two[i] == "{$}" {
					return false
				}
				noName := two[i] == "{tenant}" && strings.Contains(one[i], ".") // names of tenants have no dots
				literal = literal || !strings.HasPrefix(one[i], "{") && !noName
			}
		}
		return method == other && len(one) == len(two) && literal
	}
	all := web.Routes(open(t).accounts)
	for _, a := range all {
		for _, b := range all {
			if hides(a.Pattern, b.Pattern) {
				t.Errorf("%s hides a thing of %s", a.Pattern, b.Pattern)
			}
		}
	}
	if !hides("GET /tenants/{tenant}/arrangements/new", "GET /tenants/{tenant}/arrangements/{arrangement}") {
		t.Error("nothing is found")
	}
}

func TestEveryRouteIsForItsAudienceOnly(t *testing.T) {
	c := open(t)
	fill := strings.NewReplacer("{tenant}", "acme", "{arrangement}", "crm-to-bank", "{format}", "csv", "{$}", "", "{verb}",
		"apply")
	parameter := regexp.MustCompile(`\{[a-z]+\}`)
	noRedirects := func(client *http.Client) *http.Client {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return client
	}
	nobody, alice := noRedirects(jar(t)), noRedirects(c.signIn("alice"))
	ask := func(client *http.Client, method, path string) *http.Response {
		r, err := http.NewRequest(method, c.url+path, nil)
		check(t, err)
		res, err := client.Do(r)
		check(t, err)
		res.Body.Close()
		return res
	}
	needSignIn, needOperator := 0, 0
	for _, r := range web.Routes(c.accounts) {
		method, pattern, _ := strings.Cut(r.Pattern, " ")
		path := parameter.ReplaceAllString(fill.Replace(pattern), "x")
		if !r.Anybody {
			needSignIn++
			if res := ask(nobody, method, path); res.StatusCode != http.StatusSeeOther ||
				!strings.HasPrefix(res.Header.Get("Location"), "/sign-in") {
				t.Errorf("%s without signing in: %d %s", r.Pattern, res.StatusCode, res.Header.Get("Location"))
			}
		}
		if r.ByOperator {
			needOperator++
			if res := ask(alice, method, path); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s by a key user: %d", r.Pattern, res.StatusCode)
			}
		}
	}
	if needSignIn < 50 || needOperator < 20 {
		t.Errorf("%d routes need a sign-in and %d an operator: the tables were not read", needSignIn, needOperator)
	}
}

func TestAnOperatorSeesEveryPageAndNamesAreNeverMarkup(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	pages := []string{"/", "/tenants", "/runs", "/at-risk", "/rollovers", "/deliveries", "/log", "/tokens", "/accounts",
		"/imports",
		"/parked", "/authorities", "/forecast", "/policy", "/account", "/webhooks"}
	for _, page := range ofTenant {
		pages = append(pages, "/tenants/initech"+page)
	}
	for _, page := range pages {
		status, body := c.get(olga, page)
		if status != 200 || strings.Contains(body, "<Söhne>") || strings.Contains(body, "<script>") {
			t.Errorf("%s: %d", page, status)
		}
	}
}

func TestAKeyUserWorksThroughTasksScopeAndStrategy(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	_, page := c.get(alice, "/tenants/acme/tasks?state=open")
	_, after, ok := strings.Cut(page, `action="/tenants/acme/tasks/`)
	if !ok {
		t.Fatal("no open task")
	}
	task := "/tenants/acme/tasks/" + after[:36]
	if _, page := c.post(alice, task, "state", "in-process"); !strings.Contains(page, "Your task is in progress.") {
		t.Error("the task is not started")
	}
	if _, page := c.post(alice, task, "state", "completed", "note", "told <Barbara>"); !strings.Contains(page,
		"Your task is completed.") || !strings.Contains(page, "Note: told &lt;Barbara&gt;") {
		t.Error("the task is not completed with its note")
	}
	if _, page := c.post(alice, "/tenants/acme/scope", "project", "First Implementation", "question",
		"send-email-for-task", "answer", "no"); !strings.Contains(page, "Answered by key user acme/alice") {
		t.Error("the question is not answered")
	}
	if _, page := c.post(alice, "/tenants/acme/arrangements/crm-to-bank/strategy", "strategy",
		"manual"); !strings.Contains(page, "Saved. Manual: when a person decides.") {
		t.Error("the strategy is not changed")
	}
	if status, page := c.post(alice, "/tenants/acme/certificates/tenant/renew"); status != 409 ||
		!strings.Contains(page, "days") {
		t.Errorf("a renewal by hand, while much validity is left: %d", status)
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements/crm-to-bank/confirm", "generation", "2"); status != 409 ||
		!strings.Contains(page, "you report generation 2 as installed") {
		t.Errorf("a claim that the receiver contradicts: %d", status)
	}
	for _, rule := range []string{"status=302 header=Location contains=/login", "preset=sap-login"} {
		if _, page := c.post(alice, "/tenants/acme/arrangements/crm-to-bank/refusal-rules", "rule", rule); !strings.Contains(
			page, "The rule has been added: "+rule) {
			t.Errorf("the rule %s is not added", rule)
		}
	}
	if _, page := c.get(alice, "/tenants/acme/arrangements/crm-to-bank/edit"); !strings.Contains(page,
		"status=302 header=Location contains=/login\npreset=sap-login</textarea>") {
		t.Error("the form does not show the rules")
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements/crm-to-bank/refusal-rules", "rule",
		"status=200"); status != 422 || !strings.Contains(page, "would refuse successful answers") {
		t.Errorf("a rule that refuses success: %d", status)
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements/crm-to-bank/confirm", "generation", "7"); status != 409 ||
		!strings.Contains(page, "generation 7 is not available") {
		t.Errorf("a generation that does not exist: %d", status)
	}
	if _, page := c.post(alice, "/account", "zone", "Europe/Berlin"); !strings.Contains(page,
		"Times are in Europe/Berlin.") {
		t.Error("the zone is not changed")
	}
}

func TestTheProxyOfAnArrangementIsSetAndRemovedInItsForm(t *testing.T) {
	c := openOwn(t)
	alice := c.signIn("alice")
	const path = "/tenants/acme/arrangements/crm-to-erp"
	// submit sends the form as it is shown, with another proxy.
	submit := func(proxy string) (int, string) {
		_, form := c.get(alice, path+"/edit")
		return c.post(alice, path, "etag", value(t, form, "etag"), "endpoint", value(t, form, "endpoint"), "receiver", "erp",
			"probe_path", value(t, form, "probe_path"), "strategy", "adaptive", "egress_proxy", proxy)
	}
	for _, proxy := range []string{"http://proxy.example.com:3128", "none", ""} {
		if status, page := submit(proxy); status != 200 {
			t.Fatalf("%q: %d\n%s", proxy, status, page)
		}
		if _, form := c.get(alice, path+"/edit"); value(t, form, "egress_proxy") != proxy {
			t.Errorf("the form shows %q, want %q", value(t, form, "egress_proxy"), proxy)
		}
	}
	if status, page := submit("http://user:password@proxy.example.com:3128"); status != 422 ||
		!strings.Contains(page, "an operator sets the password of a proxy") {
		t.Errorf("a password: %d\n%s", status, page)
	}
}

func TestAChangeIsTestedWithTheSettingsThatTheFormDoesNotShow(t *testing.T) {
	c := openOwn(t)
	alice := c.signIn("alice")
	const path = "/tenants/acme/arrangements/crm-to-erp"
	test := func() string {
		_, form := c.get(alice, path+"/edit")
		_, ca, _ := strings.Cut(form, `<textarea id="server_ca"`)
		_, ca, _ = strings.Cut(ca, ">")
		ca, _, _ = strings.Cut(ca, "<")
		_, page := c.post(alice, path, "etag", value(t, form, "etag"), "endpoint", value(t, form, "endpoint"), "receiver",
			"erp", "probe_path", value(t, form, "probe_path"), "server_ca", html.UnescapeString(ca), "server_key_pin",
			value(t, form, "server_key_pin"), "strategy", "adaptive", "do", "try")
		return page
	}
	if page := test(); !strings.Contains(page, "200 OK") || !strings.Contains(page, "Accepted") {
		t.Fatalf("the receiver does not accept a generation: %s", page)
	}
	check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		tenant, err := tx.Tenant(t.Context(), "acme")
		if err != nil {
			return err
		}
		a, err := tx.Arrangement(t.Context(), tenant.ID, "crm-to-erp")
		if err != nil {
			return err
		}
		a.Egress.Probe.Statuses = []int{204}
		return tx.UpdateArrangement(t.Context(), a)
	}))
	if page := test(); !strings.Contains(page, "200 OK") || strings.Contains(page, "Accepted") {
		t.Errorf("the answer 200 is accepted, although the receiver accepts with 204: %s", page)
	}
}

// value returns what a page shows in a field.
func value(t *testing.T, page, field string) string {
	t.Helper()
	m := regexp.MustCompile(`<input[^>]* name="` + field + `"[^>]* value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("there is no field %s", field)
	}
	return html.UnescapeString(m[1])
}

// newLink creates a link for the administrator of acme's bank.
func (c *console) newLink() string {
	c.t.Helper()
	_, page := c.post(c.signIn("alice"), "/tenants/acme/arrangements/crm-to-bank/link")
	_, after, ok := strings.Cut(page, "/rollover/")
	if !ok {
		c.t.Fatal("no link is shown")
	}
	return "/rollover/" + after[:26]
}

func TestTheLinkShowsTheCertificateAndTestsTheReceiver(t *testing.T) {
	c := open(t)
	link := c.newLink()
	nobody := &http.Client{}
	if status, body := c.get(nobody, link); status != 200 || !strings.Contains(body, "New certificate of Acme GmbH") ||
		!strings.Contains(body, "ssl_client_fingerprint") || !strings.Contains(body, "alice@acme.example.com") {
		t.Errorf("the page: %d", status)
	}
	if status, body := c.post(nobody, link+"/installed"); status != 200 ||
		!strings.Contains(body, "but the receiver still answers 401 Unauthorized") {
		t.Errorf("the test: %d", status)
	}
	// Someone whose link does not work needs a person to ask.
	if status, body := c.get(nobody, link+"x"); status != 404 ||
		!strings.Contains(body, "mailto:help@p.example.com") || !strings.Contains(body, "+41 31 123 45 67") ||
		!strings.Contains(body, "P AG, Bern") {
		t.Errorf("a wrong link: %d", status)
	}
}

func TestGuessingAndFormsOnOtherSitesDoNotSignIn(t *testing.T) {
	c := open(t)
	jar, err := cookiejar.New(nil)
	check(t, err)
	eve := &http.Client{Jar: jar}
	if status, body := c.get(eve, "/tenants/acme"); status != 200 || !strings.Contains(body, `name="password"`) {
		t.Errorf("a page without signing in: %d", status)
	}
	var last *http.Response
	for range 7 {
		last, err = eve.PostForm(c.url+"/sign-in", url.Values{"name": {"olga"}, "password": {"a wrong password"}})
		check(t, err)
		last.Body.Close()
	}
	if wait, _ := strconv.Atoi(last.Header.Get("Retry-After")); last.StatusCode != http.StatusTooManyRequests || wait < 1 {
		t.Errorf("the seventh wrong password: %d, and the next one is answered in %d s", last.StatusCode, wait)
	}
	olga := c.signIn("alice")
	r, err := http.NewRequest(http.MethodPost, c.url+"/tenants/acme/scope", strings.NewReader("answer=no"))
	check(t, err)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := olga.Do(r)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("a form on another site: %d", res.StatusCode)
	}
}

func TestTheAuditLogIsSearchedExportedAndVerified(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	if _, page := c.get(olga, "/log?q=INITECH/tenant/1"); !strings.Contains(page, "certificate.issued") ||
		strings.Contains(page, "globex") {
		t.Error("the search does not find initech's certificate, or finds more")
	}
	tenant, err := c.engine.Store.Tenant(t.Context(), "initech")
	check(t, err)
	row, err := c.engine.Store.Certificate(t.Context(), tenant.ID, tenancy.ForTenant, 1)
	check(t, err)
	cert, err := certfile.ParseCertificate(row.DER)
	check(t, err)
	serial := certfile.SerialsOf(cert.SerialNumber)
	for _, text := range []string{serial.Hex, serial.Decimal, serial.OpenSSL, serial.DotNET} {
		if _, page := c.get(olga, "/log?q="+text); !strings.Contains(page, "certificate.issued") ||
			strings.Contains(page, "globex") {
			t.Errorf("the search does not find the certificate %s, or finds more", text)
		}
	}
	if _, page := c.get(olga, "/log?q=100%25"); !strings.Contains(page, "No entries found.") {
		t.Error("a wildcard is not taken literally")
	}
	if _, page := c.post(olga, "/log/verify"); !strings.Contains(page, "none is missing or changed") ||
		!strings.Contains(page, "Intact up to no.") {
		t.Error("the log is not verified")
	}
	_, all := c.get(olga, "/log/export/csv")
	_, own := c.get(c.signIn("alice"), "/tenants/acme/log/export/jsonl")
	if !strings.Contains(all, "globex/tenant/1") || !strings.Contains(own, `"object":"acme/tenant/1"`) ||
		strings.Contains(own, "globex") {
		t.Error("the exports lack entries or have too many")
	}
	if status, _ := c.get(c.signIn("alice"), "/tenants/globex/log/export/csv"); status != 404 {
		t.Errorf("the export of another tenant: %d", status)
	}
}

func TestPeopleAreAddedChangedAndRemoved(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	if _, page := c.post(alice, "/tenants/acme/people", "name", "carol", "email",
		"carol@acme.example.com", "display_name", "Carol Clark", "language", "de", "zone",
		"Europe/Berlin"); !strings.Contains(page, "carol is now a key user") || !strings.Contains(page, "Carol Clark") {
		t.Error("the key user is not added")
	}
	if _, page := c.post(alice, "/tenants/acme/people/carol/remove", "sure", "yes"); !strings.Contains(page,
		"carol is no longer a key user") || strings.Contains(page, "carol@acme") {
		t.Error("the key user is not removed")
	}
	_, page := c.get(alice, "/tenants/acme/people")
	_, after, _ := strings.Cut(page, `name="etag" value="`)
	etag, _, _ := strings.Cut(html.UnescapeString(after), `">`)
	if status, page := c.post(alice, "/tenants/acme/contacts", "etag", etag, "contacts", "no address"); status != 422 ||
		!strings.Contains(page, "Line 1: write a name and an address") {
		t.Errorf("an invalid line: %d", status)
	}

	if status, page := c.post(alice, "/tenants/acme/contacts", "etag", etag, "contacts",
		"\"J\u00f6rg <b> Ivers\" <joerg@acme.example.com>\r\n\r\nIna Ivers <ina@acme.example.com> de UTC"); status != 200 ||
		!strings.Contains(html.UnescapeString(page), "Ina Ivers <ina@acme.example.com> de UTC") ||
		!strings.Contains(page, "joerg@acme.example.com") || strings.Contains(page, "<b>") {
		t.Errorf("a name with markup: %d", status)
	}
	if status, _ := c.post(alice, "/tenants/acme/contacts", "etag", etag, "contacts", ""); status != 412 {
		t.Errorf("a list that was changed in the meantime: %d", status)
	}
}

func TestTheForecastListsTheCertificatesOfARun(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.get(olga, "/forecast/"+nextRun())
	if !strings.Contains(page, `href="/tenants/globex/certificates"`) &&
		!strings.Contains(page, `href="/tenants/initech/certificates"`) || strings.Contains(page, "hooli") {
		t.Errorf("the coming run:\n%s", page)
	}
	if status, _ := c.get(olga, "/forecast/tomorrow"); status != 404 {
		t.Errorf("an invalid date: %d", status)
	}
}
