package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testca"
)

// hold sends a form with fields, name and value in turn, and a certificate; nil for none.
func (c *console) hold(client *http.Client, path string, certificate []byte, fields ...string) (status int, page,
	at string) {
	c.t.Helper()
	return c.submitTo(client, path, func(form *multipart.Writer) {
		for i := 0; i+1 < len(fields); i += 2 {
			check(c.t, form.WriteField(fields[i], fields[i+1]))
		}
		part, err := form.CreateFormFile("certificate", "tenant.cer") // a browser sends an empty file for none
		check(c.t, err)
		_, err = part.Write(certificate)
		check(c.t, err)
	})
}

// partnersCertificate returns a certificate (DER) of a partner.
func partnersCertificate(t *testing.T, ca *testca.CA, name string, from, to time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()),
		Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.Issuing, key.Public(), ca.Key)
	check(t, err)
	return der
}

// newWatchLink creates a link for the administrator of a system, and returns its path.
func (c *console) newWatchLink(by *http.Client, watched, system string) string {
	c.t.Helper()
	_, page := c.post(by, "/tenants/acme/watched/"+watched+"/links", "system", system)
	link := regexp.MustCompile(`/watched/[A-Z2-7]{26}`).FindString(page)
	if link == "" {
		c.t.Fatal("no link is shown")
	}
	return link
}

// The administrator of a system has no account.
func TestTheAdministratorOfASystemGetsTheNewCertificateByALink(t *testing.T) {
	c := open(t)
	alice, nobody := c.signIn("alice"), jar(t)
	link := c.newWatchLink(alice, "acme-c4c", "erp")
	status, page := c.get(nobody, link)
	for _, want := range []string{"New certificate: acme-c4c", "SAP has renewed the certificate that it presents",
		"so the new certificate must be installed there", "nginx", "alice@acme.example.com", "Is this page genuine?",
		"What changes"} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("%d: %q is missing", status, want)
		}
	}
	for _, private := range []string{"portal", "archive", "emil.ernst", "sample"} {
		if strings.Contains(page, private) {
			t.Errorf("the page has %q", private)
		}
	}
	if status, file := c.get(nobody, link+"/der"); status != 200 || !strings.HasPrefix(file, "0\x82") {
		t.Errorf("the file: %d", status)
	}
	if _, page := c.post(nobody, link+"/installed"); !strings.Contains(page, "Thank you. It is recorded as installed.") {
		t.Error("the report is not recorded")
	}
	_, page = c.get(alice, "/tenants/acme/watched/acme-c4c")
	if !strings.Contains(page, "Reported as installed") {
		t.Error("the report is not shown")
	}
	revoke := regexp.MustCompile(`/tenants/acme/watched/acme-c4c/links/[-0-9a-f]{36}/revoke`).FindString(page)
	if _, page := c.post(alice, revoke, "sure", "yes"); !strings.Contains(page, "The link has been revoked.") {
		t.Error("it cannot be revoked")
	}
	for _, path := range []string{link, link + "/der", "/watched/nothing"} {
		if status, page := c.get(nobody, path); status != 404 || !strings.Contains(page, "This link is not valid") {
			t.Errorf("%s after the revocation: %d", path, status)
		}
	}
	if status, _ := c.post(nobody, link+"/installed"); status != 404 {
		t.Errorf("a report after the revocation: %d", status)
	}
	if _, page := c.get(nobody, c.newWatchLink(alice, "bank-statements", "erp")); !strings.Contains(page,
		"This certificate is presented to your system erp.") || strings.Contains(page, "has renewed") {
		t.Error("a link without a renewal reports one")
	}
	german := c.newWatchLink(alice, "acme-c4c", "erp")
	r, err := http.NewRequest(http.MethodGet, c.url+german, nil)
	check(t, err)
	r.Header.Set("Accept-Language", "de")
	res, err := nobody.Do(r)
	check(t, err)
	if _, page := c.read(res); !strings.Contains(page, "SAP hat das eigene Zertifikat erneuert.") {
		t.Error("the page is not in German")
	}
}

func TestAKeyUserWatchesAPartnersCertificate(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	ca, now := testca.New(t, "Partner", time.Now()), time.Now()
	old := partnersCertificate(t, ca, "partner", now.AddDate(0, 0, -320), now.AddDate(0, 0, 45))
	const list, one = "/tenants/acme/watched", "/tenants/acme/watched/partner"
	if _, page := c.get(alice, list); !strings.Contains(page, "acme-c4c") || !strings.Contains(page, "Renewal overdue") ||
		strings.Contains(page, "folder of the service") {
		t.Error("the list of the sample")
	}
	if status, page, _ := c.hold(alice, list, nil, "name", "partner"); status != 422 ||
		!strings.Contains(page, "upload it, or name a source") {
		t.Errorf("without a certificate: %d", status)
	}
	status, page, at := c.hold(alice, list, old, "name", "partner", "owner", "Globex <AG>", "policy", "",
		"systems", "erp: certificate\n\nportal : subject-issuer\narchive\n", "source", "server", "address", "")
	if status != 200 || at != one {
		t.Fatalf("added: %d at %s", status, at)
	}
	for _, want := range []string{"partner is now watched.", "Globex &lt;AG&gt; renews it between", "Renewal due",
		"<b>erp:</b>", "so it will refuse the new certificate until that is installed",
		"It needs no change if the names and the CA stay the same", "It is not known how it checks certificates"} {
		if !strings.Contains(page, want) {
			t.Errorf("added: %q is missing", want)
		}
	}
	other := partnersCertificate(t, ca, "globex", now.AddDate(0, 0, -1), now.AddDate(1, 0, 0))
	if status, page, _ := c.hold(alice, one+"/certificates", other); status != 409 ||
		!strings.Contains(page, "wrong file") {
		t.Errorf("another partner's: %d", status)
	}
	next := partnersCertificate(t, ca, "partner", now.AddDate(0, 0, -1), now.AddDate(1, 0, 0))
	_, page, at = c.hold(alice, one+"/certificates", next)
	for _, want := range []string{"The certificate has been renewed, as expected.", "The last renewal",
		"Changed: serial number and dates, public key", "so the new certificate must be installed there",
		"Nothing to do: it checks", "History", "How to install it", "nginx",
		"partner-generation-2.pem"} {
		if at != one || !strings.Contains(page, want) {
			t.Errorf("renewed: %q is missing", want)
		}
	}
	if _, page, _ := c.hold(alice, one+"/certificates", next); !strings.Contains(page, "Nothing new") {
		t.Error("the same certificate again is not recognised")
	}
	if _, page, _ = c.hold(alice, one+"/certificates", other, "accept", "yes"); !strings.Contains(page,
		"This certificate was not expected:") || !strings.Contains(page, "another subject") {
		t.Error("the surprise is not shown")
	}
	file := regexp.MustCompile(one + `/certificates/[0-9a-f]{64}/der`).FindString(page)
	if status, data := c.get(alice, file); status != 200 || !strings.HasPrefix(data, "0\x82") {
		t.Errorf("%s: %d", file, status)
	}
	if status, _ := c.post(alice, one+"/look"); status != 409 {
		t.Errorf("a look without a source: %d", status)
	}
	if _, page := c.get(alice, "/tenants/acme/tasks"); !strings.Contains(page,
		"The certificate partner has been renewed") || !strings.Contains(page, `href="/tenants/acme/watched/partner"`) {
		t.Error("there is no task about the renewal")
	}
	if _, page := c.post(alice, one+"/remove", "sure", "yes"); !strings.Contains(page, "partner is no longer watched.") {
		t.Error("it cannot be removed")
	}
	if status, _ := c.get(alice, one); status != 404 {
		t.Errorf("a page of a removed one: %d", status)
	}
	if _, page := c.get(c.signIn("olga"), list); !strings.Contains(page, "folder of the service") {
		t.Error("an operator cannot choose a folder")
	}
}

func TestExpectedRenewalsOfOthersAreInTheCalendar(t *testing.T) {
	c := open(t)
	_, page := c.post(c.signIn("alice"), "/account/calendar")
	_, calendar := c.get(jar(t), regexp.MustCompile(`/calendar/[A-Z2-7]{26}\.ics`).FindString(page))
	for _, want := range []string{"SUMMARY:acme-c4c: renewal by SAP", "SUMMARY:bank-statements: renewal by House Bank"} {
		if !strings.Contains(calendar, want) {
			t.Errorf("%q is missing in\n%s", want, calendar)
		}
	}
}
