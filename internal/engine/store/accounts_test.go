package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestPreferencesOfKeyUsersAreThoseOfTheirAccounts(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			var failures []error
			for i, a := range []tenancy.Account{
				{Name: "olga", Role: tenancy.RoleOperator, Language: "de"},
				{Name: "a", Role: tenancy.RoleKeyUser, TenantID: "t1", KeyUserID: "u1", Zone: "Europe/Berlin"},
				{Name: "b", Role: tenancy.RoleKeyUser, TenantID: "t1", KeyUserID: "u1", Language: "de", Zone: "UTC"},
				{Name: "c", Role: tenancy.RoleKeyUser, TenantID: "t2", KeyUserID: "u2", Language: "en"},
			} {
				a.ID, a.Origin, a.CreatedAt = "account-"+a.Name, "token "+a.Name, now.Add(time.Duration(i))
				failures = append(failures, tx.CreateAccount(ctx, a))
			}
			return errors.Join(failures...)
		}))
		got, err := s.PreferencesOf(t.Context(), []string{"t1", "t3"})
		must(t, err)
		want := map[string]tenancy.Preferences{"u1": {Language: "de", Zone: "Europe/Berlin"}}
		if !maps.Equal(got, want) {
			t.Errorf("%+v", got)
		}
	})
}

func TestAnAccountIsDeletedWithItsSessionsAndPasskeys(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := tenancy.Account{ID: "a1", Name: "olga", Role: tenancy.RoleOperator, Password: "hash", Origin: "token 1",
			CreatedAt: now}
		p := tenancy.Passkey{ID: "key", AccountID: "a1", Name: "today", Credential: "{}", CreatedAt: now}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.CreateAccount(ctx, a), tx.CreatePasskey(ctx, p),
				tx.CreateSession(ctx, tenancy.Session{ID: "s1", AccountID: "a1", CreatedAt: now, SeenAt: now,
					ExpiresAt: now.Add(time.Hour)}, "hash of a session"))
		}))
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.CreateAccount(ctx, tenancy.Account{ID: "a2", Name: "other", Role: tenancy.RoleOperator, Origin: "token 1",
				CreatedAt: now})
		}), tenancy.ErrConflict)

		a.Zone, a.Language = "Europe/Berlin", "de"
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.SetPreferences(ctx, a), tx.SetCalendar(ctx, "a1", "hash of a calendar"),
				tx.SetPassword(ctx, "a1", "another hash"), tx.UsePasskey(ctx, "key", `{"count":2}`, now.Add(time.Minute)))
		}))
		got, err := s.AccountByOrigin(ctx, "token 1")
		must(t, err)
		if got.Language != "de" || got.Zone != "Europe/Berlin" || !got.HasCalendar || got.Password != "another hash" {
			t.Errorf("%+v", got)
		}
		if by, err := s.AccountByCalendar(ctx, "hash of a calendar"); err != nil || by.ID != "a1" {
			t.Errorf("by its calendar: %v, %v", by.ID, err)
		}
		_, err = s.AccountByCalendar(ctx, "")
		wants(t, err, tenancy.ErrNotFound)
		keys, err := s.Passkeys(ctx, "a1")
		must(t, err)
		if len(keys) != 1 || keys[0].Credential != `{"count":2}` || !keys[0].UsedAt.Equal(now.Add(time.Minute)) {
			t.Errorf("%+v", keys)
		}

		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DeleteAccount(ctx, "a1") }))
		all, _, err := s.Accounts(ctx, Page{Limit: 10, Sort: "name"})
		must(t, err)
		keys, err = s.Passkeys(ctx, "a1")
		must(t, err)
		_, _, gone := s.SessionByHash(ctx, "hash of a session")
		if len(all)+len(keys) > 0 || !errors.Is(gone, tenancy.ErrNotFound) {
			t.Errorf("it left %v, %v, %v", all, keys, gone)
		}
	})
}

func TestACeremonyIsRedeemedOnceInTimeAndForItsKind(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		take := func(hash, kind string, at time.Time) (data string, err error) {
			err = write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				data, err = tx.RedeemCeremony(ctx, hash, kind, at)
				return err
			})
			return data, err
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.BeginCeremony(ctx, "one", "oidc", `{"a":1}`, now, now.Add(time.Minute)),
				tx.BeginCeremony(ctx, "two", "oidc", "{}", now, now.Add(time.Minute)))
		}))
		_, err := take("one", "passkey", now)
		wants(t, err, tenancy.ErrNotFound)
		data, err := take("one", "oidc", now)
		if err != nil || data != `{"a":1}` {
			t.Errorf("%q, %v", data, err)
		}
		_, err = take("one", "oidc", now)
		wants(t, err, tenancy.ErrNotFound)
		_, err = take("two", "oidc", now.Add(2*time.Minute))
		wants(t, err, tenancy.ErrNotFound)
	})
}

func TestParkedMessagesAreListedWithTheirArrangement(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, _ := acme(t, s, "acme", now.AddDate(1, 0, 0))
		arrangement := tenancy.Arrangement{ID: "x", TenantID: tenant.ID, Name: "crm-to-erp", CreatedAt: now}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			_, err := tenanttest.Arrangement(ctx, tx, arrangement)
			for _, id := range []string{"p1", "p2"} {
				_, parked := tx.Park(ctx, tenancy.Parked{ID: id, ArrangementID: "x", TenantID: tenant.ID, IdempotencyKey: id,
					Method: "POST", Path: "/", State: tenancy.ParkedWaiting, NextAt: now, CreatedAt: now}, []byte{1})
				err = errors.Join(err, parked)
			}
			return err
		}))
		var ids []string
		for after := ""; ; {
			page, _, err := s.WaitingParked(t.Context(), Page{After: Place{ID: after}, Limit: 1})
			must(t, err)
			if len(page) == 0 {
				break
			}
			ids, after = append(ids, page[0].ID), page[0].ID
		}
		names, err := s.ArrangementNames(t.Context(), []string{"x", "nobody"})
		must(t, err)
		if !slices.Equal(ids, []string{"p1", "p2"}) || len(names) != 1 || names["x"] != "acme/crm-to-erp" {
			t.Errorf("%v, %v", ids, names)
		}
	})
}

func TestAnAccountWithoutRightsHasNoSessionPasskeyOrCalendar(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		for _, id := range []string{"a", "b"} {
			r.write(func(ctx context.Context, tx *Tx) error {
				return errors.Join(
					tx.CreateAccount(ctx, tenancy.Account{ID: id, Name: id, Role: tenancy.RoleOperator, Origin: id, CreatedAt: now}),
					tx.SetCalendar(ctx, id, "calendar of "+id),
					tx.CreatePasskey(ctx, tenancy.Passkey{ID: "key of " + id, AccountID: id, Credential: "{}", CreatedAt: now}),
					tx.CreateSession(ctx, tenancy.Session{ID: "session of " + id, AccountID: id, CreatedAt: now, SeenAt: now,
						ExpiresAt: now.Add(time.Hour)}, "hash of "+id))
			})
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ClearRights(ctx, "a") })
		for id, left := range map[string]int{"a": 0, "b": 1} {
			a, err := r.Account(ctx, id)
			must(t, err)
			keys, err := r.Passkeys(ctx, id)
			must(t, err)
			sessions, err := r.Sessions(ctx, id)
			must(t, err)
			if len(keys) != left || len(sessions) != left || a.HasCalendar != (left == 1) || (a.Role != "") != (left == 1) {
				t.Errorf("%s has %d passkeys and %d sessions: %+v", id, len(keys), len(sessions), a)
			}
		}
	})
}
