package notify

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// administered lets the tenant mail the administrators of its receivers, and names that of an arrangement's receiver.
func (w *world) administered(a tenancy.Arrangement, contact tenancy.Receiver) {
	w.t.Helper()
	ctx := w.t.Context()
	tenants, err := w.Store.TenantsByID(ctx, []string{w.acme.ID})
	check(w.t, err)
	t := tenants[w.acme.ID]
	t.MailsAdministrators = true
	all, err := w.Store.ReceiversOf(ctx, []string{w.acme.ID})
	check(w.t, err)
	i := slices.IndexFunc(all[w.acme.ID], func(v tenancy.Receiver) bool { return v.ID == a.ReceiverID })
	v := all[w.acme.ID][i]
	v.ContactName, v.ContactEmail, v.Contact = contact.ContactName, contact.ContactEmail, contact.Contact
	v.CounterpartyID = contact.CounterpartyID
	check(w.t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.UpdateTenant(ctx, t); err != nil {
			return err
		}
		return tx.UpdateReceiver(ctx, v)
	}))
}

// composed returns the message that is sent.
func composed(t *testing.T, l Addressed) *gomail.Msg {
	t.Helper()
	m, err := templates(t).compose(l.Kind, l.Letter, mail.Address{Address: "noreply@p.example.com"})
	check(t, err)
	return m
}

func TestTheMailToAnAdministratorHasTheCertificateAndTheLinksOfTheirSystemsOnly(t *testing.T) {
	w := newWorld(t)
	bank, shop := w.arrange("bank"), w.arrange("shop")
	w.administered(bank, tenancy.Receiver{ContactName: "Eve Evans", ContactEmail: "Eve@bank.example.com",
		Contact: tenancy.Preferences{Language: "de", Zone: "Europe/Berlin"}})
	w.administered(shop, tenancy.Receiver{ContactEmail: "sam@shop.example.com"})
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	letters := w.deliver(date(2026, 12, 1))
	eve, found := letters["Eve Evans: Acme: bitte bis 15. Januar 2027 das neue Zertifikat installieren"]
	if !found {
		t.Fatalf("the mails are %q", slices.Collect(maps.Keys(letters)))
	}
	all, err := w.Store.LinksOf(t.Context(), []string{bank.ID, shop.ID}, date(2026, 12, 1))
	check(t, err)
	own := "https://p.example.com/rollover/" + w.LinkKey.Secret(links.Page, all[bank.ID][0].ID)
	other := "https://p.example.com/rollover/" + w.LinkKey.Secret(links.Page, all[shop.ID][0].ID)
	says(t, w.rendered(eve), "Acme hat ein neues Zertifikat. Bitte installieren Sie es bis 15. Januar 2027, 00:55 CET",
		own, "crm-to-bank", "not crm-to-shop", "not "+other, "not /tenants/acme", "Ina, ", "ina@acme.example.com",
		"Nicht zuständig?")
	m := composed(t, eve)
	var raw bytes.Buffer
	_, err = m.WriteTo(&raw)
	check(t, err)
	known, err := w.Store.Administrators(t.Context(), w.acme.ID, "")
	check(t, err)
	stop := "https://p.example.com/administrator/" + known[0].ID + "-" + w.LinkKey.Secret(links.Stop, known[0].ID)
	if got := m.GetGenHeader(gomail.HeaderListUnsubscribePost); len(got) != 1 || eve.OneClick != stop {
		t.Errorf("the link that stops the mails is %q with %q", eve.OneClick, got)
	}
	files := eve.attachments()
	block, rest := pem.Decode(files[0].content)
	if len(files) != 1 || block == nil || len(rest) > 0 || !bytes.Equal(block.Bytes, eve.New.DER) {
		t.Errorf("%d files are attached", len(files))
	}
	if raw.Len() > 60_000 {
		t.Errorf("the mail has %d bytes", raw.Len())
	}
}

func TestALaterMailToAnAdministratorIsAboutWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	bank, fund := w.arrange("bank"), w.arrange("fund")
	for _, a := range []tenancy.Arrangement{bank, fund} {
		w.administered(a, tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	}
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	says(t, w.mails(date(2026, 11, 1))["Eve: Acme: the certificate for your system changes on 1 December 2026"],
		"There is nothing to do today.", "crm-to-bank", "crm-to-fund", "These stay the same")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.deliver(date(2026, 12, 1))
	w.sees(bank, 2, rollover.Accepted, date(2026, 12, 2))
	w.sees(fund, 1, rollover.Accepted, date(2026, 12, 2))
	w.sees(fund, 2, rollover.Refused, date(2026, 12, 2))
	check(t, w.Tick(t.Context(), date(2026, 12, 16)))
	reminder := w.deliver(date(2026, 12, 16))["Eve: Acme: please install the new certificate by 14 January 2027"]
	says(t, w.rendered(reminder), "It refuses the new certificate (the answer, 2 December 2026). Please install it by "+
		"14 January 2027, 23:55 UTC.", "Please do now: install it.", "not If the test passes", "not crm-to-bank",
		"On 14 January 2027, 23:55 UTC, in 30 days, the old certificate of Acme expires")
	if reminder.Thread == "" {
		t.Error("the reminder is not in the thread of the first mail")
	}
	w.sees(fund, 2, rollover.Accepted, date(2026, 12, 20))
	check(t, w.Tick(t.Context(), date(2026, 12, 20)))
	done := w.deliver(date(2026, 12, 20))["Eve: Acme: the new certificate is accepted, thank you"]
	says(t, w.rendered(done), "Nothing is left to do. Thank you.", "Please keep the old one for now")
	check(t, w.Tick(t.Context(), date(2027, 1, 15)))
	retired := w.deliver(date(2027, 1, 15))["Eve: Acme: you can remove the old certificate"]
	says(t, w.rendered(retired), "Acme does not use the old certificate any more.", done.Old.Serial)
	if len(done.attachments())+len(retired.attachments()) > 0 {
		t.Error("a certificate is attached although nothing is to be installed")
	}
}

// A system that may accept the new certificate is not said to refuse messages, and a revoked one is not in use.
func TestTheMailToAnAdministratorClaimsNoMoreThanIsKnown(t *testing.T) {
	deadline := date(2027, 1, 14)
	for _, c := range []struct {
		kind   tenancy.NoticeKind
		reason string
		a      Affected
		want   string
	}{
		{tenancy.AdministratorExpiring, "", Affected{Immediate: true}, "It gets only the new certificate from that day on. " +
			"Please plan to install it on that day."},
		{tenancy.AdministratorRenewed, "", Affected{Exposed: true}, "It gets only the new certificate, and is not known to " +
			"accept it. Please test it today, and install the certificate if the test fails."},
		{tenancy.AdministratorRenewed, "", Affected{Exposed: true, MustChange: true}, "It gets only the new certificate. " +
			"Messages are refused until it is installed."},
		{tenancy.AdministratorUnready, "", Affected{}, "Please test it, and install the new certificate today if the test " +
			"fails."},
		{tenancy.AdministratorUnready, "", Affected{Refuses: true}, "It refuses the new certificate. Please install it " +
			"today."},
		{tenancy.AdministratorRenewed, "compromised", Affected{Refuses: true, Deadline: deadline}, "It refuses the new " +
			"certificate. Please install it today."},
		{tenancy.AdministratorUnready, "", Affected{Deadline: deadline}, "It gets the old certificate until it accepts the " +
			"new one, at most until 14 January 2027, 00:00 UTC."},
		{tenancy.AdministratorRenewed, "compromised", Affected{Deadline: deadline}, "It gets an older certificate until it " +
			"accepts the new one, at most until 14 January 2027, 00:00 UTC."},
	} {
		if got := (Letter{Reason: c.reason}).administratorAdvice(c.kind, c.a); got != c.want {
			t.Errorf("%s, %+v: %q, want %q", c.kind, c.a, got, c.want)
		}
	}
}

func TestACounterpartyIsMailedTheAddressOfItsPage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	contact := tenancy.CounterpartyContact{ID: "c1", CounterpartyID: "b1", Name: "Ada", Email: "ada@bank.example.com",
		Language: "de", CreatedAt: installed}
	check(t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.CreateCounterparty(ctx, tenancy.Counterparty{ID: "b1", Name: "bank", DisplayName: "House Bank",
			CreatedAt: installed, Version: 1}); err != nil {
			return err
		}
		if err := tx.LinkCounterparty(ctx, "b1", "hash", "test", installed); err != nil {
			return err
		}
		return tx.AddCounterpartyContact(ctx, contact)
	}))
	w.administered(w.arrange("bank"), tenancy.Receiver{CounterpartyID: "b1"})
	check(t, w.Tick(ctx, date(2026, 12, 1)))
	w.deliver(date(2026, 12, 1))
	check(t, w.TellCounterparties(ctx, date(2026, 12, 2)))
	mails, err := w.Store.Mails(ctx, "", tenancy.MailQueued, "", 10)
	check(t, err)
	if len(mails) != 1 {
		t.Fatalf("%d mails are queued", len(mails))
	}
	var sender answers
	check(t, w.deliverer(&sender).Deliver(ctx, []string{mails[0].ID}, false, date(2026, 12, 2)))
	l := sender.letters[0]
	page := w.LinkKey.Secret(links.Counterparty, mails[0].NoticeID, mails[0].AdministratorID)
	says(t, w.rendered(l), "1 Zertifikat, das House Bank kennt, wurde ersetzt", "https://p.example.com/counterparty/"+page,
		"Acme (acme): bis 14. Januar 2027, 23:55 UTC, neu SHA-256", "Vergleichen Sie in Ihrem eigenen System",
		"Das neue Zertifikat ist auch im Anhang.")
	if got := l.Subject; got != "House Bank: bitte 1 Zertifikat installieren bis 14. Januar 2027" {
		t.Errorf("the subject is %q", got)
	}
	found, reader, err := w.Store.CounterpartyByHash(ctx, tenancy.HashSecret(page), date(2026, 12, 3))
	if err != nil || found.Name != "bank" || reader != contact.ID {
		t.Errorf("the link opens the page of %q for %q: %v", found.Name, reader, err)
	}
	if files := l.attachments(); len(files) != 1 || !strings.HasPrefix(files[0].name, "new-certificates") {
		t.Errorf("the attachments are %+v", files)
	}
}

func TestAReminderToKeyUsersStatesWhenTheAdministratorOpenedThePage(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	w.administered(bank, tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.deliver(date(2026, 12, 1))
	check(t, w.Tick(t.Context(), date(2026, 12, 16)))
	const subject = "alice: Acme: 1 partner system not ready, certificate expires 14 January 2027"
	says(t, w.mails(date(2026, 12, 16))[subject], "Page opened: never")
	all, err := w.Store.LinksOf(t.Context(), []string{bank.ID}, date(2026, 12, 20))
	check(t, err)
	opened := date(2026, 12, 20)
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.OpenLink(t.Context(), all[bank.ID][0].ID, opened, opened)
	}))
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	says(t, w.mails(date(2027, 1, 1))[subject], "Page opened: 20 December 2026")
}

func TestAnAdministratorWhoseAddressIsRefusedForGoodIsMailedNoMore(t *testing.T) {
	w := newWorld(t)
	w.administered(w.arrange("bank"), tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	refusal := &Refusal{Fault: OfRecipient, Final: true, Reply: errors.New("550 5.1.1 no such user")}
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, LinkKey: w.LinkKey, Log: w.Log,
		Sender: &answers{answer: func(l Addressed) error {
			if l.Name == "Eve" {
				return refusal
			}
			return nil
		}},
		Gone: func(ctx context.Context, id string, now time.Time) error {
			return w.StopAdministrator(ctx, id, tenancy.Bounced, "", "mail", now)
		}})
	check(t, err)
	check(t, d.Deliver(t.Context(), w.queued(), false, date(2026, 12, 1)))
	known, err := w.Store.Administrators(t.Context(), w.acme.ID, "")
	check(t, err)
	if len(known) != 1 || known[0].StoppedFor != tenancy.Bounced {
		t.Errorf("the administrators are %+v", known)
	}
	says(t, w.mails(date(2026, 12, 2))["alice: The administrator eve@bank.example.com gets no more mails"],
		"eve@bank.example.com gets no more mails about the systems of Acme, because the address does not exist.")
}
