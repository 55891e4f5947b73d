package api

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTrafficCountsTheMessagesOfTheLastThirtyDays(t *testing.T) {
	f := setUp(t)
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := f.store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	f.ok("operator", "POST", "/tenants/acme/arrangements", 201,
		`{"name":"hr","receiver":"erp","endpoint":"https://erp.example.com/hr"}`)
	latest := f.now.Add(-time.Hour)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.AddMessages(t.Context(), []tenancy.Message{
			{ID: store.NewID(), ArrangementID: a.ID, At: f.now.AddDate(0, 0, -31), Count: 1000},
			{ID: store.NewID(), ArrangementID: a.ID, At: f.now.AddDate(0, 0, -29), Count: 40},
			{ID: store.NewID(), ArrangementID: a.ID, At: latest, Count: 2},
		})
	}))
	for path, want := range map[string]float64{"/tenants/acme/traffic": 42, "/tenants/globex/traffic": 0,
		"/tenants/acme/arrangements/crm-to-erp/traffic": 42, "/tenants/acme/arrangements/hr/traffic": 0} {
		got := f.ok("operator", "GET", path, 200, "")
		if got["messages"] != want || got["since"] != "2026-10-03T00:00:00Z" {
			t.Errorf("%s: %v, want %g", path, got, want)
		}
		if at := latest.Format(time.RFC3339); want > 0 && got["latest_at"] != at {
			t.Errorf("%s: the latest was at %v, want %s", path, got["latest_at"], at)
		}
	}
	f.ok("acme/alice", "GET", "/tenants/globex/traffic", 404, "")
}

func TestAnInvitationIsATokenOfItsKeyUser(t *testing.T) {
	f := setUp(t)
	const path = "/tenants/acme/key-users/bob/invitations"
	made := f.call("acme/alice", "POST", path, "")
	if made.status != 201 || made.body["user"] != "bob" || made.body["expires_at"] != "2026-11-16T00:00:00Z" {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	token := f.ok("operator", "GET", made.header.Get("Location")[len(prefix):], 200, "")
	if token["role"] != "key-user" || token["tenant"] != "acme" || token["user"] != "bob" || token["secret"] != nil {
		t.Errorf("the token: %v", token)
	}
	f.tokens["invited"] = made.body["token"].(string)
	f.ok("invited", "GET", "/tenants/acme/tasks", 200, "")
	f.ok("acme/alice", "POST", "/tenants/acme/key-users/zoe/invitations", 404, "")
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	bob, err := f.store.KeyUser(t.Context(), acme.ID, "bob")
	check(t, err)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateAccount(t.Context(), tenancy.Account{ID: store.NewID(), Name: "bob", Role: tenancy.RoleKeyUser,
			TenantID: acme.ID, KeyUserID: bob.ID, Origin: "token x", CreatedAt: f.now})
	}))
	f.ok("acme/alice", "POST", path, 409, "") // it would give access in the name of a person who has an account
	f.ok("operator", "POST", path, 201, "")
}

func TestMessagesAreCountedByHourForADay(t *testing.T) {
	f := setUp(t)
	acme, err := f.store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := f.store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	f.now = f.now.Add(10 * time.Minute)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		message := func(age time.Duration, status, attempts, count int) tenancy.Message {
			at := f.now.Add(-age)
			return tenancy.Message{ID: store.IDAt(at), ArrangementID: a.ID, At: at, Status: status,
				Attempts: attempts, Count: count}
		}
		return tx.AddMessages(t.Context(), []tenancy.Message{message(24*time.Hour, 200, 1, 1000), message(0, 200, 1, 40),
			message(23*time.Hour, 401, 2, 3), message(-2*time.Hour, 200, 1, 7)})
	}))
	const path = "/tenants/acme/arrangements/crm-to-erp/messages/hours"
	hours := f.ok("acme/alice", "GET", path, 200, "")["hours"].([]any)
	first, last := hours[0].(map[string]any), hours[len(hours)-1].(map[string]any)
	if len(hours) != 24 || first["at"] != "2026-11-01T01:00:00Z" || first["failed"] != 3.0 || first["delivered"] != 0.0 ||
		last["at"] != "2026-11-02T00:00:00Z" || last["delivered"] != 40.0 {
		t.Errorf("%d hours, from %v to %v", len(hours), first, last)
	}
	list := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/messages?cursor="+
		first["cursor"].(string), 200, "")["items"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["status"] != 401.0 {
		t.Errorf("the list that begins at the end of the first hour: %v", list)
	}
}
