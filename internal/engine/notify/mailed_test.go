package notify

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A key user whose partners are mailed by the service must not be asked to inform them a second time.
func TestMailsToKeyUsersStateWhomTheServiceMails(t *testing.T) {
	const warned = "alice: Tenant Certificate is going to expire soon"
	const renewed = "alice: Tenant Certificate has been renewed"
	w := newWorld(t)
	bank := w.arrange("bank")
	w.administered(bank, tenancy.Receiver{ContactName: "Eve", ContactEmail: "Eve@bank.example.com"})
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	says(t, w.mails(date(2026, 11, 1))[warned], "You do not need to inform anyone: we mail the administrators below",
		"We mail this administrator ourselves.", "not Please do now: inform")

	shop := w.arrange("shop")
	w.administered(shop, tenancy.Receiver{ContactName: "Sam"})
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	says(t, w.mails(date(2026, 12, 1))[renewed], "send the administrators below whom we do not mail the link",
		"We mail this administrator ourselves.")
}

func TestMailsToKeyUsersAskForTheAdministratorsWhoGetNoMoreMails(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	w.administered(bank, tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	w.deliver(date(2026, 11, 1))
	known, err := w.Store.Administrators(t.Context(), w.acme.ID, "")
	check(t, err)
	check(t, w.StopAdministrator(t.Context(), known[0].ID, tenancy.StopAskedFor, "", "test", date(2026, 11, 2)))
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	says(t, w.mails(date(2026, 12, 1))["alice: Tenant Certificate has been renewed"],
		"Please do now: send each administrator the link", "not We mail this administrator")
}

func TestMailsToKeyUsersNameTheCounterpartyThatTheServiceMails(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	check(t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.CreateCounterparty(ctx, tenancy.Counterparty{ID: "b1", Name: "bank", DisplayName: "House Bank",
			CreatedAt: installed, Version: 1}); err != nil {
			return err
		}
		if err := tx.LinkCounterparty(ctx, "b1", "hash", "test", installed); err != nil {
			return err
		}
		return tx.AddCounterpartyContact(ctx, tenancy.CounterpartyContact{ID: "c1", CounterpartyID: "b1", Name: "Ada",
			Email: "ada@bank.example.com", CreatedAt: installed})
	}))
	w.administered(w.arrange("bank"), tenancy.Receiver{CounterpartyID: "b1"})
	check(t, w.Tick(ctx, date(2026, 12, 1)))
	says(t, w.mails(date(2026, 12, 1))["alice: Tenant Certificate has been renewed"], "House Bank",
		"You do not need to forward anything", "not No administrator is known")
}
