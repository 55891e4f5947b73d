package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// fill stores as many of everything as key users may create, as an import does.
func (f *fixture) fill(t tenancy.Tenant) {
	f.t.Helper()
	ctx := f.t.Context()
	erp, err := f.store.Receiver(ctx, t.ID, "erp")
	check(f.t, err)
	var receivers []tenancy.Receiver
	for i := range mostReceivers - 1 {
		receivers = append(receivers, tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: fmt.Sprint("r", i),
			CreatedAt: f.now, Version: 1})
	}
	var arrangements []tenancy.Arrangement
	for i := range mostArrangements - 1 {
		arrangements = append(arrangements, tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID, ReceiverID: erp.ID,
			Name: fmt.Sprint("a", i), Endpoint: "https://erp.example.com/in", Authentication: tenancy.NoAuthentication,
			Strategy: tenancy.Adaptive, CreatedAt: f.now, Version: 1})
	}
	var users []tenancy.KeyUser
	for i := range mostKeyUsers - 2 {
		users = append(users, tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: fmt.Sprint("u", i),
			UnsubscribeToken: fmt.Sprint("u", i), CreatedAt: f.now, Version: 1})
	}
	check(f.t, f.store.InTx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.CreateReceivers(ctx, receivers...), tx.CreateArrangements(ctx, arrangements...),
			tx.CreateKeyUsers(ctx, users...))
	}))
}

func TestKeyUsersCannotFillTheDatabaseAndOperatorsAreNotLimited(t *testing.T) {
	f := setUp(t)
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	f.fill(acme)
	const alice, at, link = "acme/alice", "/tenants/acme", "/tenants/acme/arrangements/crm-to-erp/rollover/links"
	var first string
	for i := range mostLinks {
		made := f.ok(alice, "POST", link, 201, "")
		if i == 0 {
			first = made["id"].(string)
		}
	}
	for i := range mostProjects - 1 {
		f.ok(alice, "POST", at+"/scope", 201, fmt.Sprintf(`{"name":"p%d"}`, i))
	}
	f.ok(alice, "POST", at+"/key-users/bob/invitations", 201, "") // one token is from the operator
	for range mostInvitations - 2 {
		f.ok(alice, "POST", at+"/key-users/bob/invitations", 201, "")
	}
	for _, c := range []struct{ path, body, english, german string }{
		{at + "/receivers", `{"name":"new"}`, "acme already has 10000 receivers or more: delete one",
			"hat schon 10000 Empfänger oder mehr: Löschen Sie einen"},
		{at + "/arrangements", `{"name":"new","receiver":"erp","endpoint":"https://erp.example.com/in"}`,
			"acme already has 10000 arrangements", "hat schon 10000 Vereinbarungen"},
		{at + "/key-users", `{"name":"new","email":"new@acme.example.com"}`, "acme already has 1000 key users",
			"hat schon 1000 Key-User"},
		{at + "/scope", `{"name":"new"}`, "acme already has 100 projects", "hat schon 100 Projekte"},
		{link, "", "already has 20 valid links", "hat schon 20 gültige Links"},
		{at + "/key-users/bob/invitations", "", "bob already has 20 valid tokens", "hat schon 20 gültige Tokens"},
	} {
		for language, want := range map[string]string{"en": c.english, "de": c.german} {
			a := f.call(alice, "POST", c.path, c.body, "Accept-Language: "+language)
			if a.status != http.StatusConflict || !strings.Contains(a.raw, want) {
				t.Errorf("%s: %d %s, want 409 with %q", c.path, a.status, a.raw, want)
			}
		}
		f.ok("operator", "POST", c.path, 201, c.body)
		// The other tenant has room.
		f.ok("globex/alice", "POST", strings.ReplaceAll(c.path, "acme", "globex"), 201, c.body)
	}
	f.ok(alice, "DELETE", link+"/"+first, 204, "")
	f.ok(alice, "POST", link, 409, "") // the operator's link is one more
}

// Whoever creates and revokes links without an end leaves no rows without an end.
func TestOnlyTheNewestLinksAreKeptThatAreNoLongerValid(t *testing.T) {
	f := setUp(t)
	valid, _ := f.receiverLink()
	a := f.arrangement()
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range mostOldLinks + 30 {
			l := tenancy.Link{ID: store.NewID(), ArrangementID: a.ID, CreatedBy: fmt.Sprint(i), CreatedAt: f.now,
				ExpiresAt: f.now}
			if err := tx.CreateLink(t.Context(), l, l.ID); err != nil {
				return err
			}
		}
		return nil
	}))
	latest, _ := f.receiverLink()
	rows, _, err := f.store.Links(t.Context(), a.ID, store.Page{Limit: 500})
	check(t, err)
	if n := len(rows); n != mostOldLinks+2 || rows[0].ID != valid || rows[1].CreatedBy != "30" || rows[n-1].ID != latest {
		t.Errorf("%d links, the first by %s, then by %s", n, rows[0].CreatedBy, rows[1].CreatedBy)
	}
}
