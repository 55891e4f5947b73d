package web_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// EnqueueQuestions keeps the tests that a page wants until the test works on them.
func (c *console) EnqueueQuestions(_ context.Context, _ *sql.Tx, counterpartyID string) error {
	c.asked = append(c.asked, counterpartyID)
	return nil
}

// ask does the tests that pages want.
func (c *console) ask() {
	c.t.Helper()
	p := prober.New(c.engine.Engine, c.engine.Store, c.network, c.now)
	for _, id := range c.asked {
		for more := true; more; {
			var err error
			more, err = p.AskCounterparty(c.t.Context(), id)
			check(c.t, err)
		}
	}
	c.asked = nil
}

// bankSheet is the page of the bank for operators.
const bankSheet = "/counterparties/bank"

// newBank creates a counterparty behind all receivers of acme, globex and initech, and returns the path of its page.
// The receivers are linked without a host, because those of the sample are all on this machine.
func (c *console) newBank(olga *http.Client) string {
	c.t.Helper()
	ctx := c.t.Context()
	if _, err := c.engine.Store.Counterparty(ctx, "bank"); err != nil { // a test may visit every page twice
		if status, page := c.post(olga, "/counterparties", "name", "bank", "display_name", "House Bank", "hosts",
			"pay.bank.example"); status != 200 || !strings.Contains(page, "House Bank has been created.") {
			c.t.Fatalf("creating the counterparty: %d", status)
		}
	}
	bank, err := c.engine.Store.Counterparty(ctx, "bank")
	check(c.t, err)
	check(c.t, c.engine.Store.InTx(ctx, func(tx *store.Tx) error {
		for _, name := range []string{"acme", "globex", "initech"} {
			t, err := tx.Tenant(ctx, name)
			if err != nil {
				return err
			}
			receivers, err := tx.ReceiversOf(ctx, []string{t.ID})
			if err != nil {
				return err
			}
			for _, r := range receivers[t.ID] {
				r.CounterpartyID = bank.ID
				if err := tx.UpdateReceiver(ctx, r); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	_, page := c.post(olga, "/counterparties/bank/link", "sure", "yes")
	path := regexp.MustCompile(`/counterparty/[A-Z2-7]{26}`).FindString(page)
	if path == "" {
		c.t.Fatal("no address is shown")
	}
	return path
}

// The administrator of a bank has no account, and one page for all tenants.
func TestTheAdministratorOfABankTestsAndReportsTheCertificatesOfAllTenantsOnOnePage(t *testing.T) {
	c := open(t)
	path, nobody := c.newBank(c.signIn("olga")), jar(t)
	status, page := c.get(nobody, path)
	for _, want := range []string{"Certificates for House Bank", "A system refuses a new certificate.", "Test all now",
		"Globex Corporation", "until the first deadline", "Is this page genuine?", "Old SHA-256"} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("%d: %q is missing", status, want)
		}
	}
	for _, private := range []string{"Umbrella", "pia.paulsen", "olga"} {
		if strings.Contains(page, private) {
			t.Errorf("the page has %q", private)
		}
	}
	if _, page := c.post(nobody, path+"/test", "do", "installed"); !strings.Contains(page,
		"No certificate was selected.") {
		t.Error("a report without a selection is taken")
	}
	if res, err := nobody.PostForm(c.url+path+"/test", url.Values{"do": {"test"}, "from": {"acme/tenant"}}); err != nil ||
		res.Request.URL.RequestURI() != path+"?from=acme%2Ftenant" {
		t.Errorf("a reader of another page comes back to the first one: %v", res.Request.URL)
	}
	key := regexp.MustCompile(`name="key" value="(acme/tenant)"`).FindStringSubmatch(page)
	if key == nil {
		t.Fatal("acme cannot be selected")
	}
	if _, page := c.post(nobody, path+"/test", "do", "installed", "key", key[1]); !strings.Contains(page,
		"Your report is recorded") || !strings.Contains(page, "Tests without an answer yet: ") {
		t.Error("a report is not taken")
	}
	c.ask()
	if _, page := c.get(nobody, path); !strings.Contains(page, "refused (") ||
		strings.Contains(page, "Tests without an answer yet") {
		t.Error("the result of the test is not shown")
	}
	if _, page := c.post(nobody, path+"/test", "do", "installed", "key", key[1]); !strings.Contains(page,
		"tested within the last five minutes") {
		t.Error("a second test begins at once")
	}
	if _, page := c.post(nobody, path+"/test", "do", "test", "key", "globex/tenant"); !strings.Contains(page,
		"Tests started: 2.") {
		t.Error("no test of another tenant begins")
	}
	c.ask()

	_, calendar := c.get(nobody, path+"/calendar.ics")
	if !strings.Contains(calendar, "Last working day for new client certificates: ") ||
		!strings.Contains(calendar, "TRIGGER:-P7D") || !strings.Contains(calendar, "DTSTART;VALUE=DATE:") ||
		strings.Contains(calendar, "globex") {
		t.Errorf("the calendar: %s", calendar)
	}
	if status, file := c.get(nobody, path+"/certificates.zip"); status != 200 || !strings.HasPrefix(file, "PK\x03\x04") {
		t.Errorf("the archive: %d", status)
	}
}

// While tests run, the list is read again every 10 seconds.
func TestARefreshKeepsTheCertificatesThatAreSelected(t *testing.T) {
	c := open(t)
	path := c.newBank(c.signIn("olga"))
	c.post(jar(t), path+"/test", "do", "test-all")
	b := c.browser(true)
	b.open(path)
	const box = `document.querySelector("input[value='globex/tenant']")`
	evaluate[bool](b, box+`.click(), true`)
	if !evaluate[bool](b, `new Promise(done => {
		document.addEventListener("htmx:afterSettle", () => done(`+box+`.checked), {once: true});
		htmx.trigger("#lines", "retry");
	})`) {
		t.Error("a refresh deselects a certificate")
	}
}

func TestTheProductAndTheContactsOfABankAreRemembered(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	path, nobody := c.newBank(olga), jar(t)
	if _, page := c.post(nobody, path+"/product", "product", "nginx"); !strings.Contains(page, "This is an example ") ||
		!strings.Contains(page, `<option value="nginx" selected>`) {
		t.Error("the instructions are missing")
	}
	for _, name := range []string{"acme", "globex", "initech"} {
		_, err := c.engine.RevokeGeneration(t.Context(), name, tenancy.ForTenant, 1, lifecycle.Compromised, "test", c.now())
		check(t, err)
	}
	if _, page := c.get(nobody, path); !strings.Contains(page, "remove those of revoked certificates") ||
		strings.Contains(page, "stays here for now") {
		t.Error("the instructions do not ask to remove the revoked certificates")
	}
	if _, page := c.post(nobody, path+"/contacts", "name", "Ada", "email", "ada@bank.example", "language",
		"de"); !strings.Contains(page, "will check the contact") || !strings.Contains(page, "Proposed") {
		t.Error("a contact cannot be proposed")
	}
	if _, page := c.post(nobody, path+"/contacts", "name", "Ada", "email", "ada@bank.example"); !strings.Contains(page,
		"has a contact with the address ada@bank.example already") {
		t.Error("a conflict is not explained")
	}
	c.post(nobody, path+"/contacts", "name", "Eve", "email", "x?cc=eve@bank.example")
	if _, page := c.get(olga, bankSheet); !strings.Contains(page, "mailto:x%3Fcc=eve@bank.example") {
		t.Error("an address adds recipients to a mail")
	}
	_, page := c.get(olga, "/counterparties/bank")
	accept := regexp.MustCompile(`/counterparties/bank/contacts/[-0-9a-f]{36}/accept`).FindString(page)
	if _, page := c.post(olga, accept); !strings.Contains(page, "The contact has been accepted.") {
		t.Error("a contact cannot be accepted")
	}
	link := strings.TrimSuffix(accept, "accept") + "link"
	_, page = c.post(olga, link)
	own := regexp.MustCompile(`/counterparty/[A-Z2-7]{26}`).FindString(page)
	if _, page := c.get(nobody, own); !strings.Contains(page, "Diese Adresse ist für Ada.") {
		t.Error("the address of a contact is not in the language of the contact")
	}
	_, page = c.get(nobody, path)
	confirm := regexp.MustCompile(`/contacts/[-0-9a-f]{36}/confirm`).FindString(page)
	if _, page := c.post(nobody, path+confirm); !strings.Contains(page, "The contact has been confirmed.") {
		t.Error("a contact cannot be confirmed")
	}
	if _, page := c.post(olga, bankSheet+"/link/revoke", "sure", "yes"); !strings.Contains(page, "has been revoked") {
		t.Error("the address cannot be revoked")
	}
	for _, gone := range []string{path, own, "/counterparty/nothing"} {
		if status, page := c.get(nobody, gone); status != 404 || !strings.Contains(page, "This link is not valid") {
			t.Errorf("%s: %d", gone, status)
		}
		for _, form := range []string{"/test", "/product", "/contacts", "/contacts/x/confirm"} {
			if status, _ := c.post(nobody, gone+form, "do", "test-all", "name", "x", "email", "x@x.example"); status != 404 {
				t.Errorf("%s%s: %d", gone, form, status)
			}
		}
		if status, _ := c.get(nobody, gone+"/calendar.ics"); status != 404 {
			t.Errorf("the calendar of %s: %d", gone, status)
		}
	}
}

// propose has two tenants send messages to each host, so that it is proposed for a counterparty.
func (c *console) propose(hosts ...string) {
	c.t.Helper()
	for _, host := range hosts {
		for _, name := range []string{"acme", "globex"} {
			tenant, err := c.engine.Store.Tenant(c.t.Context(), name)
			check(c.t, err)
			c.engine.Arrangement(c.t, tenancy.Arrangement{TenantID: tenant.ID, Name: strings.ReplaceAll(host, ".", "-"),
				Endpoint: "https://" + host + "/", CreatedAt: time.Now()})
		}
	}
}

func TestOperatorsAcceptAndDismissProposedHosts(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	c.propose("pay.bank.example", "post.example")
	if _, page := c.get(olga, "/counterparties"); !strings.Contains(page, "pay.bank.example") ||
		!strings.Contains(page, "post.example") {
		t.Fatal("the proposals are missing")
	}
	const proposal = "/counterparty-proposals/pay.bank.example"
	if _, page := c.post(olga, proposal+"/accept", "counterparty", "bank"); !strings.Contains(page,
		"The host has been linked. Linked tenants: 2.") || !strings.Contains(page, "Acme") {
		t.Error("a proposal cannot be accepted")
	}
	if _, page := c.post(olga, "/counterparty-proposals/post.example/dismiss", "sure", "yes"); !strings.Contains(page,
		"The proposal has been dismissed.") || strings.Contains(page, "post.example") {
		t.Error("a proposal cannot be dismissed")
	}
	_, page := c.get(olga, bankSheet)
	stored := value(t, page, "etag")
	if _, page := c.post(olga, bankSheet, "etag", stored, "display_name", "House Bank", "hosts",
		"pay.bank.example\npost.example", "product", "nginx"); !strings.Contains(page, "Saved.") ||
		!strings.Contains(page, "House Bank") {
		t.Error("it cannot be changed")
	}
	if status, page := c.post(olga, bankSheet, "etag", stored, "display_name", "Mine", "product", "IIS"); status != 412 ||
		!strings.Contains(page, `Stored in the meantime: <span class="mono">House Bank</span>`) ||
		!strings.Contains(page, `<option value="IIS" selected>`) {
		t.Errorf("a change that another operator has not seen is replaced: %d", status)
	}
	if _, page := c.get(olga, "/counterparties?q=house"); !strings.Contains(page, "House Bank") {
		t.Error("it is not found by name")
	}
	if _, page := c.get(olga, "/counterparties?q=other"); !strings.Contains(page, "Nothing fits this search.") {
		t.Error("it is found by another name")
	}
}

func TestAKeyUserSeesWhoAdministersTheReceiverAndNoOtherTenant(t *testing.T) {
	c := open(t)
	alice, olga := c.signIn("alice"), c.signIn("olga")
	const path = "/tenants/acme/arrangements/crm-to-bank"
	if _, page := c.get(alice, path); strings.Contains(page, "<dt>Counterparty</dt>") {
		t.Error("a receiver that is not linked has a counterparty")
	}
	c.newBank(olga)
	c.post(olga, "/counterparties/bank/contacts", "name", "Ada Example", "email", "ada@bank.example")
	if _, page := c.get(alice, path); !strings.Contains(page, "<dt>Counterparty</dt><dd>House Bank</dd>") ||
		!strings.Contains(page, "mailto:ada@bank.example") || strings.Contains(page, "Globex") {
		t.Error("the counterparty is missing, or another tenant is shown")
	}
	if status, _ := c.get(alice, "/counterparties/bank"); status != 404 {
		t.Errorf("the sheet of operators: %d", status)
	}
}

// A bank with 3,000 tenants has one page of a readable size, and a reader waits for it no longer than for any other.
func TestThePageOfABankWith3000TenantsIsSmallAndFast(t *testing.T) {
	c := open(t)
	path, nobody := c.newBank(c.signIn("olga")), jar(t)
	c.fillBank(3000)
	_, page := c.get(nobody, path)
	if !strings.Contains(page, "Not confirmed yet: 3,001 of 3,003 certificates.") {
		t.Error("the tenants are not counted")
	}
	if len(page) > 100<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
	began := time.Now()
	const reads = 20
	for range reads {
		if status, _ := c.get(nobody, path); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	t.Logf("%v for a page of %d bytes", time.Since(began)/reads, len(page))
	seen, next := 0, path
	for next != "" {
		_, page := c.get(nobody, next)
		seen += strings.Count(page, `type="checkbox"`)
		link := regexp.MustCompile(`href="(/counterparty/[^"]*from=[^"]*)"`).FindStringSubmatch(page)
		if next = ""; link != nil {
			next = html.UnescapeString(link[1])
		}
	}
	if seen != 3003 {
		t.Errorf("%d certificates are on the pages", seen)
	}
	if _, page := c.post(nobody, path+"/test", "do", "installed-all"); !strings.Contains(page, "being tested: 3,001.") ||
		!strings.Contains(page, "Tests without an answer yet: 3,001.") {
		t.Error("one button does not report all certificates")
	}
}

// fillBank adds tenants that send to the bank, with the certificates of acme.
func (c *console) fillBank(n int) {
	c.t.Helper()
	ctx := c.t.Context()
	check(c.t, c.engine.Store.InTx(ctx, func(tx *store.Tx) error {
		bank, err1 := tx.Counterparty(ctx, "bank")
		acme, err2 := tx.Tenant(ctx, "acme")
		certs, err3 := tx.Certificates(ctx, acme.ID, "", 100)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		var rows store.Rows
		for i := range n {
			t := acme
			t.ID, t.Name, t.DisplayName = store.NewID(), fmt.Sprintf("t%05d", i), fmt.Sprintf("Tenant %d", i)
			rows.Tenants = append(rows.Tenants, t)
			for _, cert := range certs {
				cert.ID, cert.TenantID = store.NewID(), t.ID
				rows.Certificates = append(rows.Certificates, store.SealedCertificate{Certificate: cert})
			}
			r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: "bank", DisplayName: "Bank",
				CounterpartyID: bank.ID, CreatedAt: t.CreatedAt, Version: 1}
			rows.Receivers = append(rows.Receivers, r)
			rows.Arrangements = append(rows.Arrangements, tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID,
				ReceiverID: r.ID, Name: "crm-to-bank", Endpoint: fmt.Sprintf("https://pay.bank.example/orders/%d", i),
				Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1, CreatedAt: t.CreatedAt,
				Version: 1})
		}
		return tx.Create(ctx, rows)
	}))
}

// Many systems need no change, so the page of a link offers the test before the download, and the test claims nothing.
func TestThePageOfALinkAnswersFirstWhetherAnythingMustBeDone(t *testing.T) {
	c := openOwn(t)
	link, nobody := c.newLink(), jar(t)
	_, page := c.get(nobody, link)
	if test, download := strings.Index(page, "Test now"), strings.Index(page, "1. Download"); test < 0 || test > download {
		t.Error("the test is not offered first")
	}
	if _, page := c.post(nobody, link+"/test"); !strings.Contains(page,
		"Your system refuses the new certificate (401 Unauthorized). Please install it") {
		t.Error("a refusal is not shown")
	}
	if _, page := c.get(c.signIn("alice"), "/tenants/acme/log"); strings.Contains(page, "arrangement.claimed") {
		t.Error("a test is recorded as a claim")
	}
	c.install(link)
	if _, page := c.post(nobody, link+"/test"); !strings.Contains(page,
		"Your system accepts the new certificate (200 OK). There is nothing to do.") {
		t.Error("an acceptance is not shown")
	}
	if status, _ := c.post(nobody, "/rollover/nothing/test"); status != 404 {
		t.Errorf("a test of an unknown link: %d", status)
	}
}
