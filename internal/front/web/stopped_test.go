package web_test

import (
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAContactWithoutMailsIsShownWithWhatToDo(t *testing.T) {
	c := open(t)
	olga, alice := c.signIn("olga"), c.signIn("alice")
	c.newBank(olga)
	const sheet = "/counterparties/bank"
	c.post(olga, sheet+"/contacts", "name", "Bea Bounced", "email", "bea@bank.example")
	bank, err := c.engine.Store.Counterparty(t.Context(), "bank")
	check(t, err)
	contacts, err := c.engine.Store.CounterpartyContacts(t.Context(), []string{bank.ID})
	check(t, err)
	for _, one := range contacts[bank.ID] {
		var a tenancy.Administrator
		check(t, c.engine.Store.InTx(t.Context(), func(tx *store.Tx) (err error) {
			a, err = tx.EnsureAdministrator(t.Context(), tenancy.Administrator{ID: store.NewID(), CounterpartyID: bank.ID,
				Address: tenancy.MailKey(one.Email), CreatedAt: c.now()})
			return err
		}))
		check(t, c.engine.StopAdministrator(t.Context(), a.ID, tenancy.Bounced, "", "test", c.now()))
	}
	if _, page := c.get(olga, sheet); !strings.Contains(page, "Correct the address: add the contact again") {
		t.Error("an operator is not told that the contact gets no mails")
	}
	for _, path := range []string{"/tenants/acme/arrangements/crm-to-bank", "/tenants/acme/administrators"} {
		if _, page := c.get(alice, path); !strings.Contains(page, "No contact of House Bank gets mails. Write to one") {
			t.Errorf("%s does not tell the key user that no contact gets mails", path)
		}
	}
	again := "/contacts/" + contacts[bank.ID][len(contacts[bank.ID])-1].ID + "/resume"
	if _, page := c.post(olga, sheet+again); !strings.Contains(page, "The contact gets mails again.") {
		t.Error("the address is not mailed again")
	}
	if _, page := c.get(alice, "/tenants/acme/administrators"); strings.Contains(page, "No contact of House Bank") {
		t.Error("a contact gets mails again, and the key user is told that none does")
	}
}
