package web_test

import (
	"context"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/perennial-pki/perennial/internal/front/identity"
)

// provider is a real OpenID provider. A test chooses its claims.
type provider struct {
	*storage.Storage
	claims map[string]any
	user   *storage.User
}

func (p *provider) GetUserByID(string) *storage.User       { return p.user }
func (p *provider) GetUserByUsername(string) *storage.User { return p.user }
func (p *provider) ExampleClientID() string                { return "service" }

func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest,
	scopes []string) error {
	for name, value := range p.claims {
		info.AppendClaims(name, value)
	}
	return p.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
}

const providersPassword = "a password that only the provider knows"

func openWithProvider(t *testing.T) (*console, *provider) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	check(t, err)
	issuer := "http://localhost:" + port + "/"
	p := &provider{user: &storage.User{ID: "id1", Username: "alice@acme.example.com", Password: providersPassword,
		FirstName: "Alice", Email: "alice@acme.example.com", EmailVerified: true}}
	clients := map[string]*storage.Client{}
	p.Storage = storage.NewStorageWithClients(p, clients)
	s.Config.Handler = exampleop.SetupServer(issuer, p, nil, false)
	s.Start()
	t.Cleanup(s.Close)
	c := openWith(t, &identity.OIDC{Issuer: issuer, ClientID: "perennial", ClientSecret: "secret", Name: "Acme",
		Scopes: []string{"profile", "email"}, RolesClaim: "roles", OperatorRole: "perennial-operator", TenantClaim: "tenant",
		UserClaim: "email"})
	clients["perennial"] = storage.WebClient("perennial", "secret", c.url+"/sign-in/company/back")
	return c, p
}

// fromTheCompany signs in at the provider and returns to the console.
func (c *console) fromTheCompany(client *http.Client, to string) (int, string) {
	c.t.Helper()
	res, err := client.Get(c.url + "/sign-in/company?to=" + url.QueryEscape(to))
	check(c.t, err)
	res.Body.Close()
	id := res.Request.URL.Query().Get("authRequestID")
	if id == "" {
		c.t.Fatalf("this is not the provider's page: %s", res.Request.URL)
	}
	form := *res.Request.URL
	form.RawQuery = ""
	res, err = client.PostForm(form.String(), url.Values{"username": {"alice@acme.example.com"},
		"password": {providersPassword}, "id": {id}})
	check(c.t, err)
	defer res.Body.Close()
	return c.read(res)
}

func jar(t *testing.T) *http.Client {
	t.Helper()
	j, err := cookiejar.New(nil)
	check(t, err)
	return &http.Client{Jar: j}
}

func TestAnOpenIDProviderSignsInOperatorsAndKeyUsers(t *testing.T) {
	c, p := openWithProvider(t)
	if _, page := c.get(jar(t), "/sign-in"); !strings.Contains(page, "Sign in with Acme") {
		t.Error("the provider is not offered")
	}
	p.claims = map[string]any{"tenant": "acme"}
	alice := jar(t)
	if status, page := c.fromTheCompany(alice, "/tenants/acme/tasks"); status != 200 ||
		!strings.Contains(page, "Tasks · Perennial") {
		t.Fatalf("a key user: %d\n%s", status, page)
	}
	if status, _ := c.get(alice, "/tenants/globex"); status != 404 {
		t.Errorf("another tenant: %d", status)
	}
	if _, page := c.get(alice, "/account"); !strings.Contains(page, "alice@acme.example.com") ||
		!strings.Contains(page, "Key user alice of acme") || strings.Contains(page, "Old password") {
		t.Error("the account is not that of the key user whom the claims name")
	}

	p.claims = map[string]any{"roles": []string{"perennial-operator"}}
	olga := jar(t)
	if status, page := c.fromTheCompany(olga, "/"); status != 200 || !strings.Contains(page, "Overview") {
		t.Fatalf("an operator: %d", status)
	}
	if status, page := c.get(olga, "/accounts"); status != 200 ||
		strings.Count(page, `<th scope="row">alice@acme.example.com</th>`) != 1 {
		t.Errorf("%d, and the person has not one account", status)
	}

	for name, claims := range map[string]map[string]any{"no claims": {},
		"two tenants": {"tenant": []string{"acme", "globex"}}, "another tenant": {"tenant": "initech"},
		"no such tenant": {"tenant": "unknown"}} {
		p.claims = claims
		if status, page := c.fromTheCompany(jar(t), "/"); status != 403 || !strings.Contains(page, "no rights here") {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, page := c.get(olga, "/runs"); status != 200 || !strings.Contains(page, "Sign in with Acme") {
		t.Errorf("earlier rights are still valid: %d", status)
	}

	p.claims, p.user.EmailVerified = map[string]any{"tenant": "acme"}, false
	if status, page := c.fromTheCompany(jar(t), "/"); status != 403 || !strings.Contains(page, "not verified") {
		t.Errorf("an address that is not verified: %d", status)
	}
}

func TestASignInThatAnotherBrowserBeganIsRefused(t *testing.T) {
	c, p := openWithProvider(t)
	p.claims = map[string]any{"tenant": "acme"}
	if status, page := c.get(jar(t), "/sign-in/company/back?code=x&state=y"); status != 409 ||
		!strings.Contains(page, "started in another browser") {
		t.Errorf("without a first half: %d", status)
	}
	victim := jar(t)
	res, err := victim.Get(c.url + "/sign-in/company")
	check(t, err)
	res.Body.Close()
	if status, _ := c.get(victim, "/sign-in/company/back?code=x&state=of-the-attacker"); status != 403 {
		t.Errorf("with another state: %d", status)
	}
	if status, _ := c.get(victim, "/sign-in/company/back?code=x&state=of-the-attacker"); status != 409 {
		t.Errorf("a second time: %d", status)
	}
	for _, to := range []string{"https://evil.example", "//evil.example", "/\\evil.example",
		"/%0d%0aLocation: https://evil.example"} {
		client := jar(t)
		if status, _ := c.fromTheCompany(client, to); status != 200 && status != 404 {
			t.Errorf("back to %s: %d", to, status)
		}
	}
}

func TestAPasskeyIsAddedAndSignsIn(t *testing.T) {
	c := open(t)
	b := c.browser(true)
	command(b, webauthn.Enable, webauthn.EnableParams{})
	command(b, webauthn.AddVirtualAuthenticator,
		webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
	b.enter(c, "alice")
	b.open("/account")
	b.press("Add a passkey")
	b.reads("The passkey has been added. You can now sign in with it.")
	b.open("/")
	command(b, network.ClearBrowserCookies, cdp.Empty{})
	b.open("/sign-in?to=/tenants/acme/tasks")
	b.press("Sign in with a passkey")
	b.reads("Start")
	b.open("/account")
	b.press("Remove")
	b.reads("Passkeys that remain: 0.")
	b.open("/account")
	b.press("Remove")
	b.press("Remove passkey")
	b.reads("The passkey has been removed.")
	command(b, network.ClearBrowserCookies, cdp.Empty{})
	b.open("/sign-in")
	b.do(click("Sign in with a passkey"))
	b.reads("This passkey is not registered here.")
}

func TestAnAddressBeginsAtMostThirtySignInsPerMinute(t *testing.T) {
	c := open(t)
	var last *http.Response
	for range 31 {
		var err error
		last, err = jar(t).PostForm(c.url+"/sign-in/passkey/begin", nil)
		check(t, err)
		last.Body.Close()
	}
	if wait, _ := strconv.Atoi(last.Header.Get("Retry-After")); last.StatusCode != http.StatusTooManyRequests ||
		wait < 1 || wait > 60 {
		t.Errorf("the 31st: %d, and the next one is answered in %d s", last.StatusCode, wait)
	}
}

func TestACalendarHasASecretAddressThatCanBeRevoked(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	_, page := c.post(alice, "/account/calendar")
	address := regexp.MustCompile(`/calendar/[A-Z2-7]{26}\.ics`).FindString(page)
	nobody := &http.Client{}
	status, calendar := c.get(nobody, address)
	if status != 200 || !strings.Contains(calendar, "BEGIN:VEVENT") ||
		!strings.Contains(calendar, "SUMMARY:DEADLINE ") ||
		strings.Contains(calendar, "globex") {
		t.Errorf("%d\n%s", status, calendar)
	}
	_, host, _ := strings.Cut(c.url, "://")
	uids := regexp.MustCompile(`(?m)^UID:(\S+)`).FindAllStringSubmatch(strings.ReplaceAll(calendar, "\r\n ", ""), -1)
	for _, uid := range uids { // another installation may have a tenant of the same name
		if !strings.HasSuffix(uid[1], "@"+host) {
			t.Errorf("the entry %s does not name the installation %s", uid[1], host)
		}
	}
	if len(uids) == 0 {
		t.Error("no entry has a UID")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(calendar, "\r\n"), "\r\n") { // RFC 5545, section 3.1
		if len(line) > 75 {
			t.Errorf("a line of %d octets: %s", len(line), line)
		}
	}
	_, again := c.post(alice, "/account/calendar")
	if status, _ := c.get(nobody, address); status != 404 {
		t.Errorf("the earlier address: %d", status)
	}
	address = regexp.MustCompile(`/calendar/[A-Z2-7]{26}\.ics`).FindString(again)
	if _, page := c.post(alice, "/account/calendar/revoke", "sure", "yes"); !strings.Contains(page,
		"address has been revoked") {
		t.Error("it is not revoked")
	}
	if status, _ := c.get(nobody, address); status != 404 {
		t.Errorf("the revoked address: %d", status)
	}
	_, page = c.post(c.signIn("olga"), "/account/calendar")
	if status, calendar := c.get(nobody,
		regexp.MustCompile(`/calendar/[A-Z2-7]{26}\.ics`).FindString(page)); status != 200 ||
		!strings.Contains(calendar, "SUMMARY:Certificate run (") {
		t.Errorf("an operator's: %d\n%s", status, calendar)
	}
}

func TestAPasswordIsChangedAndOtherBrowsersAreSignedOut(t *testing.T) {
	c := open(t)
	here, there := c.signIn("alice"), c.signIn("alice")
	const better = "an even better sentence"
	if status, _ := c.post(here, "/account/password", "old", "not the old one", "new", better); status != 422 {
		t.Errorf("with a wrong password: %d", status)
	}
	if status, _ := c.post(here, "/account/password", "old", c.password("alice"), "new", "short"); status != 422 {
		t.Errorf("with a short one: %d", status)
	}
	if status, page := c.post(here, "/account/password", "old", c.password("alice"), "new", "alice-password-1"); status !=
		422 || !strings.Contains(page, "easy to guess") {
		t.Errorf("with one that is easy to guess: %d", status)
	}
	if _, page := c.post(here, "/account/password", "old", c.password("alice"), "new", better); !strings.Contains(page,
		"The password has been changed.") {
		t.Error("it is not changed")
	}
	if _, page := c.get(there, "/account"); !strings.Contains(page, `name="password"`) {
		t.Error("another browser is still signed in")
	}
	if status, _ := c.post(jar(t), "/sign-in", "name", "alice", "password", c.password("alice")); status != 401 {
		t.Errorf("the old password: %d", status)
	}
	if status, _ := c.post(jar(t), "/sign-in", "name", "alice", "password", better); status != 200 {
		t.Errorf("the new password: %d", status)
	}
}

func TestOtherSessionsAndPasskeysAreChangedOnlySoonAfterASignIn(t *testing.T) {
	c := open(t)
	other, alice := c.signIn("alice"), c.signIn("alice")
	_, page := c.get(alice, "/account")
	end := regexp.MustCompile(`/account/sessions/[0-9a-f-]{36}/end`).FindString(page)
	c.ahead.Add(int64(11 * time.Minute))
	for _, path := range []string{end, "/account/passkeys/x/remove", "/account/passkeys/begin"} {
		if status, page := c.post(alice, path); status != 200 || !strings.Contains(page, "Sign in again to change") ||
			!strings.Contains(page, `name="to" value="/account"`) {
			t.Errorf("%s eleven minutes after signing in: %d\n%s", path, status, page)
		}
	}
	r, err := http.NewRequest("POST", c.url+"/account/passkeys/begin", nil)
	check(t, err)
	r.Header.Set("Accept", "application/json")
	res, err := alice.Do(r)
	check(t, err)
	if _, answer := c.read(res); !strings.Contains(answer, `{"to":"/sign-in?again=1\u0026to=/account"}`) {
		t.Errorf("a script gets %s", answer)
	}
	if _, page := c.get(other, "/account"); strings.Contains(page, `name="password"`) {
		t.Error("the other session was ended")
	}
	if _, page := c.post(alice, "/sign-in", "name", "alice", "password", c.password("alice"), "to",
		"/account"); !strings.Contains(page, "Active sessions") || strings.Count(page, `/end"`) != 1 {
		t.Errorf("after signing in again, the session before has not ended, or the page is another:\n%s", page)
	}
	if _, page := c.post(alice, end); !strings.Contains(page, "The session has been ended.") {
		t.Error("it is not ended soon after signing in")
	}
	if _, page := c.get(other, "/account"); !strings.Contains(page, `name="password"`) {
		t.Error("the other session is still valid")
	}
}

func TestADeletedAccountIsSignedOutAtOnce(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	_, page := c.get(olga, "/accounts")
	id := regexp.MustCompile(`/accounts/([0-9a-f-]{36})/delete`).FindString(page)
	if status, _ := c.post(alice, id); status != 404 {
		t.Errorf("by a key user: %d", status)
	}
	if _, page := c.post(olga, id, "sure", "yes"); !strings.Contains(page, "alice can no longer sign in") {
		t.Error("it is not deleted")
	}
	if _, page := c.get(alice, "/account"); !strings.Contains(page, `name="password"`) {
		t.Error("a deleted account is still signed in")
	}
}

func TestRevokingATokenListsItsAccountAndOffersToEndIt(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.post(olga, "/tokens", "name", "leaked", "role", "operator")
	secret := regexp.MustCompile(`perennial_[A-Z2-7]{26}`).FindString(page)
	eve := jar(t)
	if status, _ := c.post(eve, "/welcome", "token", secret, "name", "eve", "password",
		"a sentence of an attacker"); status != 200 {
		t.Fatalf("the account: %d", status)
	}
	_, page = c.get(olga, "/tokens")
	row := page[strings.Index(page, ">leaked<"):]
	revoke := regexp.MustCompile(`/tokens/[0-9a-f-]{36}/revoke`).FindString(row)
	if _, page := c.post(olga, revoke, "sure", "yes"); !strings.Contains(page, "Account eve (Operator)") ||
		!strings.Contains(page, "End them too") {
		t.Errorf("what was created is not listed:\n%s", page)
	}
	if status, page := c.get(eve, "/account"); status != 200 || strings.Contains(page, `name="password"`) {
		t.Error("the account has ended although nothing was said")
	}
	if _, page := c.post(olga, revoke, "created", "end"); !strings.Contains(page,
		"The accounts and tokens created with it have been ended") {
		t.Errorf("it is not ended:\n%s", page)
	}
	if _, page := c.get(eve, "/account"); !strings.Contains(page, `name="password"`) {
		t.Error("the account is still signed in")
	}
}

func TestASessionEndsAndCannotBePlanted(t *testing.T) {
	c := open(t)
	planted := jar(t)
	u, err := url.Parse(c.url)
	check(t, err)
	planted.Jar.SetCookies(u, []*http.Cookie{{Name: "perennial", Value: "PLANTED"}})
	c.post(planted, "/sign-in", "name", "alice", "password", c.password("alice"))
	for _, cookie := range planted.Jar.Cookies(u) {
		if cookie.Value == "PLANTED" {
			t.Error("signing in kept a secret that an attacker knows")
		}
	}
	alice := c.signIn("alice")
	c.ahead.Add(int64(13 * time.Hour))
	if _, page := c.get(alice, "/account"); !strings.Contains(page, `name="password"`) {
		t.Error("a session is valid after 13 hours without use")
	}
}
