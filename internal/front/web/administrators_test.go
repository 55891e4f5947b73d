package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// newStopLink returns the path of the link by which an administrator of acme's receivers stops mails.
func (c *console) newStopLink(address string) string {
	c.t.Helper()
	ctx := c.t.Context()
	t, err := c.engine.Store.Tenant(ctx, "acme")
	check(c.t, err)
	var a tenancy.Administrator
	check(c.t, c.engine.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.EnsureAdministrator(ctx, tenancy.Administrator{ID: store.NewID(), TenantID: t.ID, Address: address,
			CreatedAt: c.now()})
		return err
	}))
	return "/administrator/" + a.ID + "-" + c.engine.LinkKey.Secret(links.Stop, a.ID)
}

func TestAKeyUserAllowsMailsToAdministratorsAndNamesOne(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const page = "/tenants/acme/administrators"
	allow := func(allowed, want string) {
		t.Helper()
		_, before := c.get(alice, page)
		etag := valueOf(before, "etag")
		if _, after := c.post(alice, page, "etag", etag, "allowed", allowed); !strings.Contains(after, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	allow("yes", "are mailed from the next event on")
	if tenant, err := c.engine.Store.Tenant(t.Context(), "acme"); err != nil || !tenant.MailsAdministrators ||
		tenant.DisplayName == "" {
		t.Errorf("the tenant is %+v: %v", tenant, err)
	}
	allow("no", "are no longer mailed")

	_, form := c.get(alice, page+"/bank")
	etag := valueOf(form, "etag")
	status, again := c.post(alice, page+"/bank", "etag", etag, "contact_name", "Eve Evans", "contact_email",
		"eve@bank.example", "contact_language", "de", "contact_zone", "Nowhere/City")
	if status != http.StatusUnprocessableEntity || !strings.Contains(again, "Eve Evans") ||
		!strings.Contains(again, `aria-invalid="true"`) {
		t.Errorf("an unknown zone: %d", status)
	}
	if _, saved := c.post(alice, page+"/bank", "etag", etag, "contact_name", "Eve Evans", "contact_email",
		"eve@bank.example", "contact_language", "de", "contact_zone", "Europe/Berlin"); !strings.Contains(saved,
		"eve@bank.example") {
		t.Error("the administrator is not listed")
	}
	if _, arrangement := c.get(alice, "/tenants/acme/arrangements/crm-to-bank"); !strings.Contains(arrangement,
		"Eve Evans") || !strings.Contains(arrangement, "All administrators") {
		t.Error("the page of the arrangement does not name the administrator")
	}
}

// Mail programs send the request of one click without cookies and from their own servers.
func TestAnAdministratorStopsMailsWithOneClickAndUndoesIt(t *testing.T) {
	c := open(t)
	path := c.newStopLink("ada@bank.example")
	anybody := &http.Client{}
	stopped := func(what string, want bool) {
		t.Helper()
		if _, page := c.get(anybody, path); strings.Contains(page, "ada@bank.example gets no more mails about") != want {
			t.Errorf("%s: the mails are stopped: %v", what, !want)
		}
	}
	stopped("opened", false)
	res, err := anybody.Post(c.url+path, "application/x-www-form-urlencoded",
		strings.NewReader(url.Values{"List-Unsubscribe": {"One-Click"}}.Encode()))
	check(t, err)
	if status, _ := c.read(res); status != 200 {
		t.Errorf("one click: %d", status)
	}
	stopped("one click", true)
	if _, tasks := c.get(c.signIn("alice"), "/tenants/acme/tasks"); !strings.Contains(tasks,
		"The administrator ada@bank.example gets no more mails: name another one") {
		t.Error("the key user has no task")
	}
	c.post(anybody, path+"/resume")
	stopped("undone", false)
	c.post(anybody, path, "other", "Eve Evans, eve@bank.example")
	stopped("passed on", true)
	if status, _ := c.get(anybody, path+"x"); status != 404 {
		t.Errorf("another secret: %d", status)
	}
}

func TestTheLanguageAndTheZoneOfAKeyUserAreChangedOnAPage(t *testing.T) {
	c := open(t)
	alice := c.signIn("alice")
	const page = "/tenants/acme/people/bob"
	_, form := c.get(alice, page)
	email := valueOf(form, "email")
	c.post(alice, page, "etag", valueOf(form, "etag"), "email", email, "display_name", "Bob Brown", "language", "de",
		"zone", "Europe/Vienna")
	tenant, err := c.engine.Store.Tenant(t.Context(), "acme")
	check(t, err)
	bob, err := c.engine.Store.KeyUser(t.Context(), tenant.ID, "bob")
	check(t, err)
	if bob.DisplayName != "Bob Brown" || bob.Language != "de" || bob.Zone != "Europe/Vienna" || bob.Email != email {
		t.Errorf("the key user is %+v", bob)
	}
}

// valueOf returns the value of a field of a page.
func valueOf(page, name string) string {
	_, after, _ := strings.Cut(page, `name="`+name+`" value="`)
	value, _, _ := strings.Cut(after, `"`)
	return strings.NewReplacer("&#34;", `"`, "&quot;", `"`, "&amp;", "&").Replace(value)
}
