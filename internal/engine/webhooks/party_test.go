package webhooks

import (
	"errors"
	"slices"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// counterparty creates a counterparty.
func (f *fixture) counterparty(name string) tenancy.Counterparty {
	f.t.Helper()
	c := tenancy.Counterparty{ID: store.NewID(), Name: name, DisplayName: name, CreatedAt: f.now, Version: 1}
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return tx.CreateCounterparty(f.t.Context(), c) }))
	return c
}

// sends gives a tenant an arrangement whose receiver is linked to a counterparty, or to none for the zero value.
func (f *fixture) sends(t tenancy.Tenant, name string, to tenancy.Counterparty) tenancy.Arrangement {
	f.t.Helper()
	a := f.engine.Arrangement(f.t, tenancy.Arrangement{TenantID: t.ID, Name: name, CreatedAt: f.now})
	f.link(a, to.ID)
	return a
}

// link links the receiver of an arrangement to a counterparty; to none if its ID is empty.
func (f *fixture) link(a tenancy.Arrangement, counterpartyID string) {
	f.t.Helper()
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error {
		receivers, err := tx.ReceiversOf(f.t.Context(), []string{a.TenantID})
		for _, r := range receivers[a.TenantID] {
			if r.ID == a.ReceiverID {
				r.CounterpartyID = counterpartyID
				err = errors.Join(err, tx.UpdateReceiver(f.t.Context(), r))
			}
		}
		return err
	}))
}

// subjects returns the types and subjects of the deliveries to a webhook, in their order.
func (f *fixture) subjects(h tenancy.Webhook) (all []string) {
	f.t.Helper()
	for _, d := range slices.Backward(f.deliveries(h)) {
		all = append(all, d.Type+" "+d.Subject)
	}
	return all
}

func (f *fixture) audit(action string, t tenancy.Tenant, object string, detail map[string]any) {
	f.t.Helper()
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error {
		return tx.Audit(f.t.Context(), tenancy.NewEvent(f.now, "test", action, t.Name, t.Name+"/"+object, detail))
	}))
}

// A bank learns what concerns its own systems, of the tenants that send to them now, and nothing else.
func TestAWebhookOfACounterpartyGetsTheEventsOfLinkedArrangementsOnly(t *testing.T) {
	f := setUp(t)
	bank, post := f.counterparty("bank"), f.counterparty("post")
	toBank := f.sends(f.acme, "to-bank", bank)
	f.sends(f.acme, "to-post", post)
	f.sends(f.acme, "to-nobody", tenancy.Counterparty{})
	f.sends(f.globex, "to-post", post)
	create := func(c tenancy.Counterparty) tenancy.Webhook {
		h, _, err := f.hooks.Create(t.Context(), OfCounterparty(c), Settings{Name: "chat", Format: webhook.CloudEvents,
			URL: "https://hooks.example.com/secret", Enabled: true}, "alice", f.now)
		check(t, err)
		return h
	}
	ofBank, ofPost := create(bank), create(post)
	happen := func() {
		for _, name := range []string{"to-bank", "to-post", "to-nobody"} {
			f.audit("arrangement.refused", f.acme, name, map[string]any{"generation": 2, "source": "message"})
		}
		f.audit("arrangements.at-risk", f.acme, "", map[string]any{"arrangements": []string{"to-bank", "to-post"},
			"generation": 2, "stage_days": 14})
		f.audit("arrangement.accepted", f.globex, "to-post", map[string]any{"generation": 2})
		f.audit("watched.overdue", f.acme, "watched/x", nil)
		f.audit("authority.revoked", tenancy.Tenant{}, "ca", nil)
		f.audit("certificate.revoked", f.acme, "m-user/1", nil)
		f.audit("certificate.renewed", f.acme, "tenant/2", nil)
		f.audit("certificate.renewed", f.globex, "tenant/2", nil)
	}
	happen()
	want := []string{"rollover.refused acme/to-bank", "rollover.at_risk acme/to-bank", "certificate.renewed acme/tenant/2"}
	if got := f.subjects(ofBank); !slices.Equal(got, want) {
		t.Errorf("the bank got %q, want %q", got, want)
	}
	if got := f.subjects(ofPost); len(got) != 5 || slices.Contains(got, want[0]) {
		t.Errorf("the other counterparty got %q", got)
	}
	f.link(toBank, "") // from now on, it is not the bank's any more
	happen()
	if got := f.subjects(ofBank); !slices.Equal(got, want) {
		t.Errorf("after the end of the link, the bank got %q", got)
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.DeleteCounterparty(t.Context(), bank) }))
	if _, err := f.store.Webhook(t.Context(), bank.ID, "chat"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("after the end of the counterparty: %v", err)
	}
}

// A delivery waits for days while an endpoint is away, and can be replayed afterwards.
func TestAnEventThatWaitsIsNotSentAfterTheEndOfTheLink(t *testing.T) {
	f := setUp(t)
	bank := f.counterparty("bank")
	toBank, globex := f.sends(f.acme, "to-bank", bank), f.sends(f.globex, "to-bank", bank)
	h, _, err := f.hooks.Create(t.Context(), OfCounterparty(bank), Settings{Name: "chat", Format: webhook.CloudEvents,
		URL: "https://hooks.example.com/secret", Enabled: true}, "alice", f.now)
	check(t, err)
	for _, tenant := range []tenancy.Tenant{f.acme, f.globex} {
		f.audit("arrangement.refused", tenant, "to-bank", map[string]any{"generation": 2, "source": "message"})
	}
	f.link(toBank, "")
	deliver := func() {
		t.Helper()
		_, err := f.hooks.Deliver(t.Context(), h.ID)
		check(t, err)
	}
	deliver()
	if got := f.subjects(h); !slices.Equal(got, []string{"rollover.refused globex/to-bank"}) {
		t.Fatalf("the deliveries are %q", got)
	}
	sent := f.deliveries(h)[0]
	if sent.State != tenancy.WebhookDelivered {
		t.Errorf("the delivery of a linked arrangement is %+v", sent)
	}
	f.link(globex, "")
	_, err = f.hooks.Replay(t.Context(), OfCounterparty(bank), "chat", sent.ID, "alice", f.now)
	check(t, err)
	deliver()
	if got := f.subjects(h); len(got) != 0 {
		t.Errorf("after a replay: %q", got)
	}
}

func TestTheWebhooksOfACounterpartyAreBoundedAndItsOwn(t *testing.T) {
	f := setUp(t)
	bank := OfCounterparty(f.counterparty("bank"))
	in := Settings{Name: "chat", Format: webhook.CloudEvents, URL: "https://hooks.example.com/secret", Enabled: true}
	h, _, err := f.hooks.Create(t.Context(), bank, in, "alice", f.now)
	check(t, err)
	f.create(f.acme, "chat")
	f.create(tenancy.Tenant{}, "chat") // names are unique for an owner only
	if _, _, err := f.hooks.Create(t.Context(), bank, in, "alice", f.now); !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("a second one with the name: %v", err)
	}
	for _, wrong := range []webhook.Type{webhook.WatchedOverdue, webhook.RunFailed, webhook.GuardHeld} {
		in.Name, in.Types = "wrong", []string{string(wrong)}
		if _, _, err := f.hooks.Create(t.Context(), bank, in, "alice", f.now); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	in.Types = []string{string(webhook.RolloverRefused), string(webhook.CertificateRenewed)}
	for i := range MostOfCounterparty {
		in.Name = "hook-" + string(rune('a'+i))
		_, _, err = f.hooks.Create(t.Context(), bank, in, "alice", f.now)
	}
	if !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("more than the maximum: %v", err)
	}
	tenants := []string{"none"}
	f.endpoints.answer = func(tenant string, _ Request) (Answer, error) {
		tenants = append(tenants, tenant)
		return Answer{Status: 204}, nil
	}
	if _, failure, err := f.hooks.Test(t.Context(), bank, "chat", "alice", f.now); err != nil || failure != nil {
		t.Errorf("its test: %v, %v", failure, err)
	}
	// No address that is allowed to a tenant is allowed to it.
	if !slices.Equal(tenants, []string{"none", ""}) {
		t.Errorf("its endpoint is reached as one of %q", tenants)
	}
	if title(h) != "counterparties/bank/webhooks/chat" || h.OwnerID() == "" || h.TenantID != "" {
		t.Errorf("it is %+v", h)
	}
}

// A type that is about an arrangement must not be forgotten, and one that is not must not reach a counterparty.
func TestACounterpartyCanHaveTheTypesThatAreAboutArrangements(t *testing.T) {
	found := 0
	for _, d := range webhook.Definitions() {
		arrangement, credential := about(d.New())
		is := arrangement != nil || credential != nil
		if is != d.OfCounterparty() || is && !d.InTenant {
			t.Errorf("%s is about an arrangement: %v, can be had: %v, belongs to a tenant: %v", d.Type, is, d.OfCounterparty(),
				d.InTenant)
		}
		if is {
			found++
		}
	}
	if found != 9 {
		t.Errorf("%d types are about arrangements", found)
	}
}
