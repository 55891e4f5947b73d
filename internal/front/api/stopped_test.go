package api

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// stopContact records that an address of the bank gets no more mails.
func (f *fixture) stopContact(address string, why tenancy.StopReason) {
	f.t.Helper()
	ctx := f.t.Context()
	bank, err := f.store.Counterparty(ctx, "bank")
	check(f.t, err)
	var a tenancy.Administrator
	check(f.t, f.store.InTx(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.EnsureAdministrator(ctx, tenancy.Administrator{ID: store.NewID(), CounterpartyID: bank.ID,
			Address: tenancy.MailKey(address), CreatedAt: f.now})
		return err
	}))
	check(f.t, f.engine.StopAdministrator(ctx, a.ID, why, "", "test", f.now))
}

func TestAContactWithoutMailsIsShownToOperatorsAndKeyUsers(t *testing.T) {
	f := setUp(t)
	f.bank()
	const contacts = "/counterparties/bank/contacts"
	ids := map[string]string{}
	for _, address := range []string{"Ada@bank.example", "bo@bank.example"} {
		f.ok("operator", "POST", contacts, 201, `{"name":"x","email":"`+address+`"}`)
	}
	people := func(who, path string) map[string]any {
		all := map[string]any{}
		for _, v := range f.ok(who, "GET", path, 200, "")["contacts"].([]any) {
			one := v.(map[string]any)
			all[one["email"].(string)] = one["stopped_for"]
			ids[one["email"].(string)] = one["id"].(string)
		}
		return all
	}
	const seen = "/tenants/acme/receivers/erp/counterparty"
	administrator := func() any {
		return items(f.ok("acme/alice", "GET", "/tenants/acme/administrators", 200, ""))[0].(map[string]any)["stopped_for"]
	}
	f.stopContact("ada@BANK.example", tenancy.StopAskedFor)
	for who, path := range map[string]string{"operator": "/counterparties/bank", "acme/alice": seen} {
		if all := people(who, path); all["Ada@bank.example"] != "asked" || all["bo@bank.example"] != nil {
			t.Errorf("%s sees %v", who, all)
		}
	}
	if why := administrator(); why != nil {
		t.Errorf("one contact still gets mails, and the receiver is shown as %v", why)
	}
	f.now = f.now.AddDate(0, 0, 1)
	f.stopContact("bo@bank.example", tenancy.Bounced)
	if why := administrator(); why != "bounced" {
		t.Errorf("no contact gets mails, and the receiver is shown as %v", why)
	}
	for id, want := range map[string]int{"Ada@bank.example": 409, "bo@bank.example": 204} {
		if a := f.call("operator", "POST", contacts+"/"+ids[id]+"/resume", ""); a.status != want {
			t.Errorf("mailing %s again: %d, want %d: %s", id, a.status, want, a.raw)
		}
	}
	if all := people("operator", "/counterparties/bank"); all["bo@bank.example"] != nil {
		t.Errorf("after the address was corrected: %v", all)
	}
	if a := f.call("operator", "POST", contacts+"/"+ids["bo@bank.example"]+"/resume", ""); a.status != 409 {
		t.Errorf("a contact that gets mails: %d", a.status)
	}
	if a := f.call("operator", "POST", contacts+"/nobody/resume", ""); a.status != 404 {
		t.Errorf("an unknown contact: %d", a.status)
	}
}
