package identity

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// openOIDC returns a service with a provider, the tenants acme and globex with the key user alice each, and the tenant
// kiosk with the key users karl and kim@kiosk.example.net, whose address is kim@kiosk.example.com.
func openOIDC(t *testing.T, userClaim string) *Service {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	engine, _ := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now)
	for _, name := range []string{"acme", "globex"} {
		tenant := engine.Tenant(t, name, now)
		testenv.Check(t, engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.CreateKeyUsers(t.Context(), tenancy.KeyUser{ID: store.NewID(), TenantID: tenant.ID, Name: "alice",
				Email: "alice@" + name + ".example.com", UnsubscribeToken: name, CreatedAt: now, Version: 1})
		}))
	}
	kiosk := engine.Tenant(t, "kiosk", now)
	for name, address := range map[string]string{"karl": "karl@kiosk.example.com",
		"kim@kiosk.example.net": "kim@kiosk.example.com"} {
		testenv.Check(t, engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.CreateKeyUsers(t.Context(), tenancy.KeyUser{ID: store.NewID(), TenantID: kiosk.ID, Name: name,
				Email: address, UnsubscribeToken: name, CreatedAt: now, Version: 1})
		}))
	}
	s, err := New(Config{Store: engine.Store, BaseURL: "https://p.example.com", Now: func() time.Time { return now },
		Log: slog.New(slog.DiscardHandler), OIDC: &OIDC{Issuer: "https://login.example.com", RolesClaim: "realm.roles",
			OperatorRole: "admin", TenantClaim: "tenant", UserClaim: userClaim}})
	testenv.Check(t, err)
	return s
}

func TestClaimsGiveTheRightsThatTheyNameAndNoOthers(t *testing.T) {
	type claims = map[string]any
	admin := claims{"roles": []any{"user", "admin"}}
	for _, c := range []struct {
		name, user string
		claims     claims
		want       string // role and key user, or a part of the reason
	}{
		{"an operator", "email", claims{"realm": admin}, "operator"},
		{"an operator with a tenant", "email", claims{"realm": admin, "tenant": "acme"}, "operator"},
		{"a single role", "email", claims{"realm": claims{"roles": "admin"}}, "operator"},
		{"another role", "email", claims{"realm": claims{"roles": []any{"admins"}}}, "names no tenant"},
		{"the role in another place", "email", claims{"roles": []any{"admin"}}, "names no tenant"},
		{"a role that is not a text", "email", claims{"realm": claims{"roles": []any{1, true}}}, "names no tenant"},
		{"a key user by e-mail", "email", claims{"tenant": "acme", "email": "ALICE@acme.example.com",
			"email_verified": true}, "key-user acme/alice"},
		{"an address of another tenant", "email", claims{"tenant": "acme", "email": "alice@globex.example.com",
			"email_verified": true}, "is not a key user of acme"},
		{"an address that is not verified", "email", claims{"tenant": "acme", "email": "alice@acme.example.com"},
			"not verified"},
		{"an address with a Kelvin sign", "email", claims{"tenant": "kiosk", "email": "\u212aarl@kiosk.example.com",
			"email_verified": true}, "is not a key user of kiosk"},
		{"the same address in upper case", "email", claims{"tenant": "kiosk", "email": "KARL@KIOSK.example.com",
			"email_verified": true}, "key-user kiosk/karl"},
		{"a name with a Kelvin sign", "name", claims{"tenant": "kiosk", "name": "\u212aarl"}, "is not a key user of kiosk"},
		{"a name as an address", "email", claims{"tenant": "kiosk", "email": "karl", "email_verified": true},
			"is not a key user of kiosk"},
		{"a name that looks like an address", "name", claims{"tenant": "kiosk", "name": "kim@kiosk.example.net"},
			"is not a key user of kiosk"},
		{"an address in another claim", "name", claims{"tenant": "kiosk", "name": "karl@kiosk.example.com"},
			"key-user kiosk/karl"},
		{"a key user by name", "name", claims{"tenant": "globex", "name": "Alice"}, "key-user globex/alice"},
		{"an unknown name", "name", claims{"tenant": "acme", "name": "bob"}, "is not a key user of acme"},
		{"no name", "name", claims{"tenant": "acme"}, "is not a key user of acme"},
		{"two names", "name", claims{"tenant": "acme", "name": []any{"alice", "bob"}}, "is not a key user of acme"},
		{"an unknown tenant", "name", claims{"tenant": "initech", "name": "alice"}, "there is no tenant initech"},
		{"two tenants", "name", claims{"tenant": []any{"acme", "globex"}, "name": "alice"}, "names no tenant"},
		{"no claims", "name", claims{}, "names no tenant"},
	} {
		s := openOIDC(t, c.user)
		var a tenancy.Account
		got := ""
		err := s.grant(t.Context(), c.claims, &a)
		var none *NoRightsError
		switch {
		case errors.As(err, &none):
			got = none.Reason
		case err != nil:
			t.Fatal(err)
		case a.Role == tenancy.RoleKeyUser:
			got = string(a.Role) + " " + a.Tenant + "/" + a.KeyUser
		default:
			got = string(a.Role)
		}
		if !strings.Contains(got, c.want) || err != nil && a.Role != "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAnAccountOfTheCompanyFollowsItsClaims(t *testing.T) {
	s := openOIDC(t, "name")
	ctx := t.Context()
	alice := map[string]any{"tenant": "acme", "name": "alice", "preferred_username": "Alice.A"}
	first, err := s.companyAccount(ctx, alice, "subject 1")
	testenv.Check(t, err)
	if first.Name != "alice.a" || first.Tenant != "acme" {
		t.Errorf("created %+v", first)
	}
	other, err := s.companyAccount(ctx, alice, "subject 2")
	testenv.Check(t, err)
	if other.ID == first.ID || !strings.HasPrefix(other.Name, "person-") {
		t.Errorf("another subject with the same name gets %+v", other)
	}
	session, err := s.begin(ctx, first, byOIDC, Browser{})
	testenv.Check(t, err)
	moved, err := s.companyAccount(ctx, map[string]any{"tenant": "globex", "name": "alice"}, "subject 1")
	testenv.Check(t, err)
	if moved.ID != first.ID || moved.Tenant != "globex" {
		t.Errorf("after the claims changed: %+v", moved)
	}
	if _, a, err := s.Session(ctx, session); err != nil || a.Tenant != "globex" {
		t.Errorf("the session has the rights of %s, %v", a.Tenant, err)
	}
	var none *NoRightsError
	if _, err := s.companyAccount(ctx, map[string]any{}, "subject 1"); !errors.As(err, &none) {
		t.Errorf("without claims: %v", err)
	}
	if _, _, err := s.Session(ctx, session); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a session of earlier rights: %v", err)
	}
}

// company signs subject in at the company with claims, and returns the account and its session.
func company(t *testing.T, s *Service, subject string, claims map[string]any) (tenancy.Account, string) {
	t.Helper()
	a, err := s.companyAccount(t.Context(), claims, subject)
	testenv.Check(t, err)
	secret, err := s.begin(t.Context(), a, byOIDC, Browser{})
	testenv.Check(t, err)
	a, err = s.store.Account(t.Context(), a.ID)
	testenv.Check(t, err)
	return a, secret
}

func TestRightsFromACompanyEndTwelveHoursAfterTheLatestSignInThere(t *testing.T) {
	s := openOIDC(t, "name")
	now := s.now()
	s.now = func() time.Time { return now }
	ctx := t.Context()
	operator := map[string]any{"realm": map[string]any{"roles": "admin"}}
	a, _ := company(t, s, "subject", operator)
	calendar, err := s.CreateCalendar(ctx, a)
	testenv.Check(t, err)
	began := now
	now = began.Add(11 * time.Hour)
	byKey, err := s.begin(ctx, a, byPasskey, Browser{})
	testenv.Check(t, err)
	if _, err := s.CalendarOwner(ctx, calendar); err != nil {
		t.Errorf("the calendar after 11 hours: %v", err)
	}
	now = began.Add(12 * time.Hour)
	if _, _, err := s.Session(ctx, byKey); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a session by passkey after 12 hours: %v", err)
	}
	if _, err := s.begin(ctx, a, byPasskey, Browser{}); !errors.Is(err, ErrNoRights) {
		t.Errorf("a sign-in by passkey after 12 hours: %v", err)
	}
	if _, err := s.CalendarOwner(ctx, calendar); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the calendar after 12 hours: %v", err)
	}
	a, _ = company(t, s, "subject", operator)
	if _, err := s.CalendarOwner(ctx, calendar); err != nil {
		t.Errorf("the calendar after another sign-in at the company: %v", err)
	}
	if _, err := s.begin(ctx, a, byPasskey, Browser{}); err != nil {
		t.Errorf("the passkey after another sign-in at the company: %v", err)
	}
}

func TestLosingTheRightsClearsRolePasskeysAndCalendarTogether(t *testing.T) {
	s := openOIDC(t, "name")
	ctx := t.Context()
	a, session := company(t, s, "subject", map[string]any{"realm": map[string]any{"roles": "admin"}})
	calendar, err := s.CreateCalendar(ctx, a)
	testenv.Check(t, err)
	testenv.Check(t, s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.CreatePasskey(ctx, tenancy.Passkey{ID: "p", AccountID: a.ID, Name: "n", Credential: "{}",
			CreatedAt: s.now()})
	}))
	lose := func() error {
		_, err := s.companyAccount(ctx, map[string]any{}, "subject")
		return err
	}
	left := func() []bool {
		a, err := s.store.Account(ctx, a.ID)
		testenv.Check(t, err)
		keys, err := s.Passkeys(ctx, a)
		testenv.Check(t, err)
		_, _, ended := s.Session(ctx, session)
		return []bool{a.Role != "", a.HasCalendar, len(keys) > 0, ended == nil}
	}
	for _, table := range []string{"passkeys", "sessions", "events"} { // one that cannot be changed keeps all of it
		testenv.FailsIfReadOnly(t, s.store.DB(), []string{table}, func() error {
			err := lose()
			var none *NoRightsError
			if errors.As(err, &none) {
				return nil
			}
			return err
		})
		if got := left(); !slices.Equal(got, []bool{true, true, true, true}) {
			t.Errorf("without %s: role, calendar, passkey and session are kept: %v", table, got)
		}
	}
	var none *NoRightsError
	if err := lose(); !errors.As(err, &none) {
		t.Fatal(err)
	}
	if got := left(); !slices.Equal(got, []bool{false, false, false, false}) {
		t.Errorf("role, calendar, passkey and session are kept: %v", got)
	}
	if _, err := s.CalendarOwner(ctx, calendar); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the calendar: %v", err)
	}
	a.Role = ""
	if _, err := s.begin(ctx, a, byPasskey, Browser{}); !errors.Is(err, ErrNoRights) {
		t.Errorf("a sign-in by passkey: %v", err)
	}
}

func TestASessionFromClaimsEndsAfterTwelveHours(t *testing.T) {
	s := openOIDC(t, "name")
	a, err := s.companyAccount(t.Context(), map[string]any{"tenant": "acme", "name": "alice"}, "subject")
	testenv.Check(t, err)
	secret, err := s.begin(t.Context(), a, byOIDC, Browser{})
	testenv.Check(t, err)
	session, _, err := s.Session(t.Context(), secret)
	testenv.Check(t, err)
	if got := session.ExpiresAt.Sub(session.CreatedAt); got != 12*time.Hour {
		t.Errorf("it ends after %v", got)
	}
}
