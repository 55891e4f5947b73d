package web_test

import (
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// stories runs a story with script and mouse, without script, and with the keyboard only.
func stories(t *testing.T, story func(c *console, b *tab)) {
	for name, as := range map[string]struct{ script, keyboard bool }{"with script": {true, false},
		"without script": {false, false}, "by keyboard": {true, true}} {
		t.Run(name, func(t *testing.T) {
			c := openOwn(t)
			b := c.browser(as.script)
			b.keyboard = as.keyboard
			story(c, b)
		})
	}
}

// enter signs in on the sign-in page.
func (b *tab) enter(c *console, name string) {
	b.t.Helper()
	b.open("/sign-in")
	b.fill("name", name)
	b.fill("password", c.password(name))
	b.press("Sign in")
}

// install installs the certificate that a page offers, as the administrator of acme's bank does.
func (c *console) install(link string) {
	c.t.Helper()
	status, pem := c.get(&http.Client{}, link+"/certificate?format=pem")
	if status != 200 {
		c.t.Fatalf("the certificate: %d", status)
	}
	bank := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer bank.CloseIdleConnections()
	res, err := bank.Post(c.sample.Install, "application/x-pem-file", strings.NewReader(pem))
	check(c.t, err)
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); string(text) != "installed\n" {
		c.t.Fatalf("the bank: %s", text)
	}
}

func TestAKeyUserGoesFromTheNoticeToSettled(t *testing.T) {
	stories(t, func(c *console, b *tab) {
		b.enter(c, "alice")
		b.reads("Your certificate has been renewed. 2 of 3 receivers are ready for the new one.")
		b.press("Tenant Certificate: receivers are not ready for the new one")
		b.reads("Some receivers have not been proved to accept the new certificate. Test them, or remind their " +
			"administrators.")
		b.press("Show roll-overs")
		b.reads("401 Unauthorized (test)")
		b.press("crm-to-bank")
		b.reads("The receiver does not accept generation 2 yet.")
		b.press("Create link")
		b.reads("Link for Barbara Benz, shown only once")
		secret := b.text("code")
		c.install(secret[strings.Index(secret, "/rollover/"):])
		b.press("Test receiver")
		b.reads("generation 2: accepted (200 OK as with generation 1, and")
		b.reads("Generation 2 is in use.")
		c.later(29 * 24 * time.Hour)
		b.enter(c, "alice")
		b.reads("Until then there is nothing to do.")
		b.press("crm-to-bank")
		b.reads("Messages are sent with generation 2.")
	})
}

func TestAReceiversAdministratorGoesFromTheLinkToAnAcceptedCertificate(t *testing.T) {
	stories(t, func(c *console, b *tab) {
		link := c.newLink()
		b.open(link)
		b.reads("Acme GmbH sends messages to your system with a client certificate. The certificate has been renewed.")
		b.press("I have installed it, test now")
		b.reads("You reported the certificate as installed, but the receiver still answers 401 Unauthorized.")
		c.install(link)
		b.press("I have installed it, test now")
		b.reads("It works: the receiver accepted the new certificate (200 OK).")
	})
}

func TestAnOperatorGoesFromARedFigureToItsCause(t *testing.T) {
	stories(t, func(c *console, b *tab) {
		b.enter(c, "olga")
		b.reads("3 things need attention")
		b.press("See arrangements")
		b.press("Why?")
		b.reads("Next step:")
		b.reads("generation 2")
		b.open("/")
		b.press("See mails")
		b.reads("550 5.1.1 mailbox unavailable")
		b.press("Try again")
		b.reads("The mail has been queued again.")
	})
}

func TestAnOpenPageIsRefreshedWhenSomethingHappens(t *testing.T) {
	c := openOwn(t)
	link := c.newLink()
	b := c.browser(true)
	b.take(c.signIn("alice"))
	b.open("/tenants/acme/rollovers")
	b.reads("401 Unauthorized (test)")
	c.install(link)
	if status, page := c.post(&http.Client{}, link+"/installed"); status != 200 ||
		!strings.Contains(page, "It works: the receiver accepted the new certificate") {
		t.Fatalf("the test: %d %s", status, page)
	}
	b.reads("200 OK (test)") // the page was not loaded again
}

func TestTheLatestMessagesOfAnOpenPageAreRefreshed(t *testing.T) {
	c := openOwn(t)
	b := c.browser(true)
	b.take(c.signIn("alice"))
	b.open("/tenants/acme/arrangements/crm-to-erp")
	b.reads("POST /cr/order")
	acme, err := c.engine.Store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := c.engine.Store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.AddMessages(t.Context(), []tenancy.Message{{ID: store.NewID(), ArrangementID: a.ID, At: time.Now(),
			Method: "PUT", Path: "/just/sent", Status: 200, Generation: 2, Attempts: 1, Count: 1}})
	}))
	b.reads("PUT /just/sent") // the page was not loaded again
}

func TestAnArrangementIsTestedBeforeItIsSavedAndItsServerIsConfirmed(t *testing.T) {
	c := open(t)
	b := c.browser(false)
	b.enter(c, "alice")
	b.open("/tenants/acme/new-arrangement")
	b.fill("name", "crm-to-press")
	b.fill("endpoint", strings.TrimSuffix(c.sample.Install, "/pinned/install")+"/trusting")
	b.fill("probe_path", "/trusting/health")
	b.press("Test connection")
	b.reads("Is this the right server?")
	b.reads("certificate signed by unknown authority")
	b.press("Trust this key")
	b.reads("This is the expected server.")
	b.reads("Generation 2: Accepted 200 OK")
	b.press("Create")
	b.reads("crm-to-press has been created.")
	b.press("Edit")
	b.fill("scenario", "Printing")
	b.press("Save without a test")
	b.reads("· Printing")
}

func TestAnArrangementIsDeletedByItsName(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const path = "/tenants/acme/arrangements/crm-to-shop/delete"
	if status, page := c.post(alice, path, "sure", "yes", "confirmed_name", "crm-to-bank"); status != 422 ||
		!strings.Contains(page, "Nothing was deleted.") {
		t.Errorf("a wrong name: %d", status)
	}
	if status, page := c.post(alice, path, "sure", "yes", "confirmed_name", "crm-to-shop"); status != 200 ||
		!strings.Contains(page, "crm-to-shop has been deleted") {
		t.Errorf("the right name: %d", status)
	}
	if status, _ := c.get(alice, "/tenants/acme/arrangements/crm-to-shop"); status != 404 {
		t.Errorf("it is still there: %d", status)
	}
}

func TestAConcurrentChangeIsNotOverwritten(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	_, page := c.get(alice, "/tenants/acme/arrangements/crm-to-shop/edit")
	_, after, _ := strings.Cut(page, `name="etag" value="`)
	etag, _, ok := strings.Cut(html.UnescapeString(after), `">`)
	if !ok {
		t.Fatal("the form has no ETag")
	}
	endpoint := strings.TrimSuffix(c.sample.Install, "/pinned/install") + "/trusting"
	form := func(scenario string) []string {
		return []string{"etag", etag, "receiver", "shop", "endpoint", endpoint, "scenario", scenario, "strategy", "adaptive"}
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements/crm-to-shop", form("first")...); status != 200 ||
		!strings.Contains(page, "Saved.") {
		t.Errorf("the first: %d", status)
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements/crm-to-shop", form("second")...); status != 412 ||
		!strings.Contains(page, "Someone else has changed this in the meantime") ||
		!strings.Contains(page, `value="second"`) {
		t.Errorf("the second change, based on the same version: %d", status)
	}
}

func TestASerialNumberIsTakenInEachNotationWithOneClick(t *testing.T) {
	for name, script := range map[string]bool{"with script": true, "without script": false} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			b := c.browser(script)
			b.take(c.signIn("alice"))
			for _, name := range []string{"clipboard-read", "clipboard-write"} {
				command(b, browser.SetPermission, browser.SetPermissionParams{
					BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
					Permission:       &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted})
			}
			for _, path := range []string{"/tenants/acme/certificates", c.newLink()} {
				b.open(path)
				var texts []string
				for i, program := range []string{"hexadecimal", "decimal", "OpenSSL", ".NET, Windows"} {
					item := fmt.Sprintf(".notations li:nth-child(%d) ", i+1)
					if got := b.text(item + ".quiet"); got != program {
						t.Fatalf("%s: notation %d is %q", path, i, got)
					}
					texts = append(texts, b.text(item+".mono"))
					if !script {
						b.do(chromedp.Click(chromedp.CSS(item + ".mono")))
						if got := evaluate[string](b, `getSelection().toString()`); got != texts[i] {
							t.Errorf("%s: one click on %s selects %q", path, texts[i], got)
						}
						continue
					}
					b.do(chromedp.Click(chromedp.CSS(item+"button")),
						chromedp.WaitVisible(fmt.Sprintf(`//ul[@class="notations"]/li[%d]/button[normalize-space()="Copied"]`, i+1)))
					if got := evaluate[string](b, `navigator.clipboard.readText()`); got != texts[i] {
						t.Errorf("%s: %q is copied, want %q", path, got, texts[i])
					}
				}
				n, ok := new(big.Int).SetString(texts[0], 16)
				if !ok || n.String() != texts[1] || strings.ToUpper(texts[0]) != texts[2] ||
					!strings.HasSuffix(texts[3], texts[2]) {
					t.Errorf("%s: %q", path, texts)
				}
				shown := evaluate[bool](b, `document.querySelector("button[data-copy]").offsetParent !== null`)
				if shown != script {
					t.Errorf("%s: the buttons are shown: %t", path, shown)
				}
			}
		})
	}
}

func TestANewArrangementNamesOneOfTheTenantsCredentials(t *testing.T) {
	c := openOwn(t)
	alice := c.signIn("alice")
	const path = "/tenants/acme/new-arrangement"
	if _, page := c.get(alice, path); strings.Contains(page, `name="credential"`) {
		t.Error("a tenant with nothing but its tenant certificate is asked which one it presents")
	}
	acme, err := c.engine.Store.Tenant(t.Context(), "acme")
	check(t, err)
	_, _, err = c.engine.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "bank",
		KeyType: tenancy.Ed25519}, "test", c.now())
	check(t, err)
	_, page := c.get(alice, path)
	if !strings.Contains(page, `<option value="tenant">Tenant Certificate</option>`) ||
		!strings.Contains(page, `<option value="bank">Certificate bank</option>`) ||
		strings.Contains(page, `value="m-user"`) {
		t.Errorf("the form offers other credentials:\n%s", page)
	}
	endpoint := strings.TrimSuffix(c.sample.Install, "/pinned/install") + "/trusting"
	form := []string{"name", "pay", "receiver", "erp", "endpoint", endpoint, "credential", "bank", "strategy", "adaptive"}
	if _, page := c.post(alice, "/tenants/acme/arrangements", append(form, "do", "try")...); !strings.Contains(page,
		`<option value="bank" selected>`) {
		t.Error("a test forgets the credential")
	}
	if status, page := c.post(alice, "/tenants/acme/arrangements", form...); status != 200 {
		t.Fatalf("%d\n%s", status, page)
	}
	a, err := c.engine.Store.Arrangement(t.Context(), acme.ID, "pay")
	if err != nil || a.Presents() != "bank" || a.Generation != 1 {
		t.Errorf("it presents generation %d of %s, %v", a.Generation, a.Presents(), err)
	}
	if _, page := c.get(alice, "/tenants/acme/arrangements/pay/edit"); strings.Contains(page, `name="credential"`) {
		t.Error("the credential of an arrangement can be changed")
	}
	_, page = c.get(alice, "/tenants/acme/arrangements/pay/edit")
	status, page := c.post(alice, "/tenants/acme/arrangements/pay", "etag", value(t, page, "etag"),
		"receiver", "erp", "endpoint", endpoint, "strategy", "manual")
	if a, err = c.engine.Store.Arrangement(t.Context(), acme.ID, "pay"); status != 200 || err != nil ||
		a.Presents() != "bank" || a.Strategy != tenancy.Manual {
		t.Errorf("a change makes it present %s by %s, %v: %d\n%s", a.Presents(), a.Strategy, err, status, page)
	}
}
