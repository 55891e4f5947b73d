package web_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// told lists the kinds of the mails to an administrator of acme, the earliest first.
func (c *console) told(address string) (kinds []string) {
	c.t.Helper()
	acme, err := c.engine.Store.Tenant(c.t.Context(), "acme")
	check(c.t, err)
	mails, err := c.engine.Store.Mails(c.t.Context(), acme.ID, "", "", 1000)
	check(c.t, err)
	slices.SortFunc(mails, func(a, b tenancy.Mail) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range mails {
		if m.AdministratorID != "" && m.Address == address {
			kinds = append(kinds, strings.TrimPrefix(string(m.Kind), "administrator-"))
		}
	}
	return kinds
}

// mailedLink returns the path of the page to which the mails to an administrator lead.
func (c *console) mailedLink(address, arrangement string) string {
	c.t.Helper()
	acme, err := c.engine.Store.Tenant(c.t.Context(), "acme")
	check(c.t, err)
	a, err := c.engine.Store.Arrangement(c.t.Context(), acme.ID, arrangement)
	check(c.t, err)
	all, err := c.engine.Store.LinksOf(c.t.Context(), []string{a.ID}, c.now())
	check(c.t, err)
	for _, l := range all[a.ID] {
		if l.Address == address {
			return "/rollover/" + c.engine.LinkKey.Secret(links.Page, l.ID)
		}
	}
	c.t.Fatalf("no mail leads %s to a page", address)
	return ""
}

// mailed lets acme mail the administrators of its receivers, and sets the language of one.
func (c *console) mailed(receiver, language string) (address string) {
	c.t.Helper()
	ctx := c.t.Context()
	check(c.t, c.engine.Store.InTx(ctx, func(tx *store.Tx) error {
		acme, err := tx.Tenant(ctx, "acme")
		if err != nil {
			return err
		}
		acme.MailsAdministrators = true
		if err := tx.UpdateTenant(ctx, acme); err != nil {
			return err
		}
		r, err := tx.Receiver(ctx, acme.ID, receiver)
		if err != nil {
			return err
		}
		r.Contact.Language, address = language, r.ContactEmail
		return tx.UpdateReceiver(ctx, r)
	}))
	return address
}

// speaks sets the language of the browser.
func (b *tab) speaks(language string) {
	b.t.Helper()
	command(b, network.Enable, network.EnableParams{})
	command(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
		Headers: network.Headers{"Accept-Language": language}})
}

func TestAKeyUserDoesNothingWhileTheAdministratorIsInvitedRemindedAndDone(t *testing.T) {
	for name, as := range map[string]struct {
		script                                    bool
		language, installed, refused, works, tell string
	}{
		"with script": {true, "en", "I have installed it, test now", "the receiver still answers 401 Unauthorized",
			"It works: the receiver accepted the new certificate (200 OK).", "The receiver's administrator"},
		"without script": {false, "de", "Installiert, jetzt testen", "401 Unauthorized",
			"Es funktioniert: Der Empfänger hat das neue Zertifikat akzeptiert (200 OK).", "Ansprechpartner des Empfängers"},
	} {
		t.Run(name, func(t *testing.T) {
			c := openOwn(t)
			barbara := c.mailed("bank", as.language)
			tells := func(when string, want ...string) {
				t.Helper()
				if got := c.told(barbara); !slices.Equal(got, want) {
					t.Fatalf("%s: the mails are %q, want %q", when, got, want)
				}
			}
			c.post(c.signIn("olga"), "/tenants/acme/certificates/tenant/renew", "reason", "reissue", "sure", "yes")
			tells("renewed", "renewed")
			c.later(7 * 24 * time.Hour)
			tells("14 days are left", "renewed", "unready")

			b := c.browser(as.script)
			b.speaks(as.language)
			link := c.mailedLink(barbara, "crm-to-bank")
			b.open(link)
			b.press(as.installed)
			b.reads(as.refused)
			c.install(link)
			b.press(as.installed)
			b.reads(as.works)
			c.later(time.Hour)
			tells("the receiver accepts", "renewed", "unready", "done")

			client := c.signIn("alice")
			c.post(client, "/account", "language", as.language, "zone", "UTC")
			b.take(client)
			b.open("/tenants/acme/arrangements/crm-to-bank")
			b.reads(as.tell)
			b.reads("Barbara Benz")
			if _, page := c.get(client, "/tenants/acme/tasks?state=open"); strings.Contains(page, "crm-to-bank") {
				t.Error("a task about the receiver is still open")
			}
		})
	}
}
