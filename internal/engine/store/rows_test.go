package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

// filled returns a value none of whose fields is zero, and which differs from that of another number.
func filled[T any](number int) (v T) {
	fill(reflect.ValueOf(&v).Elem(), "", &number)
	return v
}

func fill(v reflect.Value, name string, number *int) {
	*number++
	switch to := v.Addr().Interface().(type) {
	case *time.Time:
		*to = now.Add(time.Duration(*number) * time.Minute)
		return
	case *time.Duration:
		*to = time.Duration(*number) * time.Second
		return
	case *[]byte:
		*to = fmt.Append(nil, name, *number)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, number)
		}
	case reflect.String:
		v.SetString(fmt.Sprint(name, " ", *number))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*number))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name, number)
	}
}

// A rows test reads and writes rows of one database.
type rows struct {
	*Store
	t *testing.T
}

// write changes rows. On SQLite, each statement of fn fails before, one at a time, and fn must return that error.
func (r rows) write(fn func(ctx context.Context, tx *Tx) error) {
	r.t.Helper()
	if r.engine == SQLite {
		eachFault(r.t, r.Store, fn)
	}
	must(r.t, write(r.t, r.Store, fn))
}

// reads tests a function that reads with several statements: if one of them fails, on SQLite, it returns the error.
func (r rows) reads(fn func(ctx context.Context, tx *Tx) error) {
	r.t.Helper()
	if r.engine != SQLite {
		return
	}
	if n := eachFault(r.t, r.Store, fn); n < 2 {
		r.t.Errorf("it reads with %d statements", n)
	}
}

// same fails unless the row that was read equals the one that was written. A fault of [eachFault] is not its concern.
func (r rows) same(what string, err error, got, want any) {
	r.t.Helper()
	if errors.Is(err, errFault) {
		return
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		r.t.Errorf("%s: %v\ngot  %+v\nwant %+v", what, err, got, want)
	}
}

// refused fails unless a change returns an error of a kind.
func (r rows) refused(what string, kind error, fn func(ctx context.Context, tx *Tx) error) {
	r.t.Helper()
	if err := write(r.t, r.Store, fn); !isKind(err, kind) {
		r.t.Errorf("%s: %v, want %v", what, err, kind)
	}
}

func isKind(err, kind error) bool {
	rule, ok := err.(*tenancy.RuleError)
	return ok && rule.Unwrap() == kind
}

func eachRows(t *testing.T, test func(r rows, ctx context.Context)) {
	each(t, func(t *testing.T, s *Store) { test(rows{s, t}, t.Context()) })
}

// tenants stores two tenants, so that a query for the rows of one that finds those of the other is noticed.
func (r rows) tenants() (a, b tenancy.Tenant) {
	r.t.Helper()
	a, b = filled[tenancy.Tenant](100), filled[tenancy.Tenant](200)
	a.ID, b.ID, a.Version, b.Version = "a", "b", 1, 1
	r.write(func(ctx context.Context, tx *Tx) error {
		if err := tx.CreateTenants(ctx, a); err != nil {
			return err
		}
		return tx.CreateTenants(ctx, b)
	})
	return a, b
}

func TestTenantsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		unwarned, err := r.UnwarnedTenants(ctx, 10)
		r.same("without a key user", err, unwarned, []PlacedTenant{{Tenant: a}, {Tenant: b}})
		u := filled[tenancy.KeyUser](300)
		u.TenantID = a.ID
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateKeyUsers(ctx, u) })
		unwarned, err = r.UnwarnedTenants(ctx, 10)
		r.same("without a key user", err, unwarned, []PlacedTenant{{Tenant: b}})
		total, none, err := r.CountTenants(ctx)
		r.same("counts", err, []int{total, none}, []int{2, 1})
		got, err := r.Tenant(ctx, a.Name)
		r.same("by name", err, got, a)
		all, err := r.Tenants(ctx, "", 10)
		r.same("all", err, all, []tenancy.Tenant{a, b})
		all, err = r.Tenants(ctx, "", 1)
		r.same("the first", err, all, []tenancy.Tenant{a})
		all, err = r.Tenants(ctx, "a", 10)
		r.same("after the first", err, all, []tenancy.Tenant{b})
		byID, err := r.TenantsByID(ctx, []string{"b", "x"})
		r.same("by ID", err, byID, map[string]tenancy.Tenant{"b": b})
		byID, err = r.TenantsByID(ctx, nil)
		r.same("none", err, byID, map[string]tenancy.Tenant{})
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.CreateCredentials(ctx, tenancy.Credential{TenantID: a.ID, Name: "bank", KeyType: tenancy.RSA4096},
				tenancy.Credential{TenantID: a.ID, Name: "post"}, tenancy.Credential{TenantID: b.ID, Name: "bank",
					KeyType: tenancy.RSA4096})
		})
		kinds, err := r.KeyTypes(ctx)
		slices.Sort(kinds)
		want := []tenancy.KeyType{a.KeyType, b.KeyType, tenancy.RSA4096}
		slices.Sort(want)
		r.same("key types", err, kinds, want)
		a.DisplayName, a.KeyType = "Other", "other"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateTenant(ctx, a) })
		a.Version++
		got, err = r.Tenant(ctx, a.Name)
		r.same("changed", err, got, a)
		at, err := r.InstalledAt(ctx, now)
		r.same("installed", err, at, now)
		at, err = r.InstalledAt(ctx, now.Add(time.Hour))
		r.same("installed already", err, at, now)
	})
}

func TestPeopleReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		user := func(id string, of tenancy.Tenant, n int) tenancy.KeyUser {
			u := filled[tenancy.KeyUser](n)
			u.ID, u.TenantID, u.Version = id, of.ID, 1
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateKeyUsers(ctx, u) })
			return u
		}
		alice, bob, other := user("1", a, 300), user("2", a, 400), user("3", b, 500)
		got, err := r.KeyUser(ctx, "a", alice.Name)
		r.same("by name", err, got, alice)
		got, err = r.KeyUserByUnsubscribeToken(ctx, other.UnsubscribeToken)
		r.same("by token", err, got, other)
		got, err = r.KeyUserByID(ctx, other.ID)
		r.same("by ID", err, got, other)
		all, _, err := r.KeyUsers(ctx, "a", Page{Limit: 10})
		r.same("of a tenant", err, all, []tenancy.KeyUser{alice, bob})
		all, _, err = r.KeyUsers(ctx, "a", Page{After: Place{ID: "1"}, Limit: 10})
		r.same("after the first", err, all, []tenancy.KeyUser{bob})
		all, _, err = r.KeyUsers(ctx, "a", Page{Limit: 1})
		r.same("the first", err, all, []tenancy.KeyUser{alice})
		of, err := r.KeyUsersOf(ctx, []string{"a", "b"})
		r.same("of both", err, of, map[string][]tenancy.KeyUser{"a": {alice, bob}, "b": {other}})
		alice.Email, alice.SubscribedAt, alice.UnsubscribeToken = "new@example.com", time.Time{}, "new"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateKeyUser(ctx, alice) })
		alice.Version++
		got, err = r.KeyUser(ctx, "a", alice.Name)
		r.same("changed", err, got, alice)
		r.refused("a name that is taken", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			again := bob
			again.ID = "4"
			return tx.CreateKeyUsers(ctx, again)
		})
		bob.Version = 7
		r.refused("an old version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteKeyUser(ctx, bob)
		})
		contacts := []tenancy.ITContact{filled[tenancy.ITContact](600), filled[tenancy.ITContact](700)}
		for i := range contacts {
			contacts[i].TenantID, contacts[i].Position = "a", i+1
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetITContacts(ctx, "a", contacts) })
		list, err := r.ITContacts(ctx, "a")
		r.same("contacts", err, list, contacts)
		lists, err := r.ITContactsOf(ctx, []string{"a", "b"})
		r.same("contacts of both", err, lists, map[string][]tenancy.ITContact{"a": contacts})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetITContacts(ctx, "a", contacts[1:]) })
		contacts[1].Position = 1
		list, err = r.ITContacts(ctx, "a")
		r.same("contacts replaced", err, list, contacts[1:])
	})
}

func TestReceiversAndArrangementsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		receiver := func(id string, of tenancy.Tenant, n int) tenancy.Receiver {
			v := filled[tenancy.Receiver](n)
			v.ID, v.TenantID, v.Version = id, of.ID, 1
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateReceivers(ctx, v) })
			return v
		}
		one, two, other := receiver("r1", a, 300), receiver("r2", a, 400), receiver("r3", b, 500)
		got, err := r.Receiver(ctx, "a", one.Name)
		r.same("a receiver", err, got, one)
		all, _, err := r.Receivers(ctx, "a", Page{After: Place{ID: "r1"}, Limit: 10})
		r.same("receivers after the first", err, all, []tenancy.Receiver{two})
		all, _, err = r.Receivers(ctx, "a", Page{Limit: 1})
		r.same("the first receiver", err, all, []tenancy.Receiver{one})
		of, err := r.ReceiversOf(ctx, []string{"a", "b"})
		r.same("receivers of both", err, of, map[string][]tenancy.Receiver{"a": {one, two}, "b": {other}})
		two.DisplayName, two.ContactName, two.ContactEmail = "x", "y", "z"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateReceiver(ctx, two) })
		two.Version++
		got, err = r.Receiver(ctx, "a", two.Name)
		r.same("a changed receiver", err, got, two)

		arrangement := func(id string, of tenancy.Tenant, r1 tenancy.Receiver, n int) tenancy.Arrangement {
			v := filled[tenancy.Arrangement](n)
			v.ID, v.TenantID, v.ReceiverID, v.Version, v.Authentication = id, of.ID, r1.ID, 1, tenancy.ClientCertificate
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateArrangements(ctx, v) })
			return v
		}
		x, y, z := arrangement("x", a, one, 600), arrangement("y", a, one, 700), arrangement("z", b, other, 800)
		named, err := r.Arrangement(ctx, "a", x.Name)
		r.same("an arrangement", err, named, x)
		named, err = r.ArrangementByID(ctx, "y")
		r.same("by ID", err, named, y)
		owner, named, err := r.OwnedArrangement(ctx, "z")
		r.same("with its tenant", err, []any{owner, named}, []any{b, z})
		lists, _, err := r.Arrangements(ctx, "a", "", Page{After: Place{ID: "x"}, Limit: 10})
		r.same("after the first", err, lists, []tenancy.Arrangement{y})
		lists, _, err = r.Arrangements(ctx, "a", "", Page{Limit: 1})
		r.same("the first", err, lists, []tenancy.Arrangement{x})
		both, err := r.ArrangementsOf(ctx, []string{"a", "b"})
		r.same("of both", err, both, map[string][]tenancy.Arrangement{"a": {x, y}, "b": {z}})
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			named, err = tx.LockArrangement(ctx, "x")
			return err
		})
		r.same("locked", nil, named, x)
		names, err := r.ArrangementNames(ctx, []string{"x", "z"})
		r.same("names", err, names, map[string]string{"x": a.Name + "/" + x.Name, "z": b.Name + "/" + z.Name})
		presenting, err := r.Presenting(ctx, "", 10)
		r.same("tenants that present", err, presenting, []string{"a", "b"})
		presenting, err = r.Presenting(ctx, "a", 10)
		r.same("tenants that present, after one", err, presenting, []string{"b"})
		count, err := r.CountPresenting(ctx)
		r.same("arrangements that present", err, count, 3)
		chosen, err := r.ArrangementsByID(ctx, []string{"z", "x", "none"})
		r.same("by ID", err, chosen, map[string]tenancy.Arrangement{"x": x, "z": z})
		x.Scenario, x.Endpoint, x.Authentication, x.Strategy, x.Generation, x.ReceiverID = "s", "e", "none", "m", 77, "r2"
		x.Egress = tenancy.Egress{Park: true}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateArrangement(ctx, x) })
		x.Version++
		x.NeededOldAt, x.Learned.NewestOnlyAt = now.Add(time.Hour), now.Add(2*time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.SetNeededOld(ctx, "x", x.NeededOldAt); err != nil {
				return err
			}
			return tx.SetLearned(ctx, "x", x.Learned)
		})
		named, err = r.Arrangement(ctx, "a", x.Name)
		r.same("changed", err, named, x)
		r.refused("deleting an old version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			old := x
			old.Version = 1
			return tx.DeleteArrangement(ctx, old)
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteArrangement(ctx, x) })
		two, err = r.Receiver(ctx, "a", two.Name) // it left its counterparty
		r.same("the counterparty of a receiver without arrangements", err, two.CounterpartyID, "")
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteReceiver(ctx, two) })
		if _, err := r.Arrangement(ctx, "a", x.Name); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a deleted arrangement: %v", err)
		}
	})
}

func TestEvidenceMessagesAndLinksReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		for _, id := range []string{"x", "y"} {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tenanttest.Arrangement(ctx, tx, tenancy.Arrangement{ID: id, TenantID: a.ID, Name: id})
				return err
			})
		}
		first, second, other := filled[standing.Evidence](100), filled[standing.Evidence](200), filled[standing.Evidence](300)
		first.ArrangementID, second.ArrangementID, other.ArrangementID = "x", "x", "y"
		second.Kinds = nil
		first.Kinds = []string{"200 text/plain", "204"}
		for _, e := range []standing.Evidence{first, second, other} {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.SetEvidence(ctx, e) })
		}
		of, err := r.EvidenceOf(ctx, []string{"x", "y"})
		r.same("evidence", err, of, map[string][]standing.Evidence{"x": {first, second}, "y": {other}})
		changed := filled[standing.Evidence](400)
		changed.ArrangementID, changed.Generation = "x", first.Generation
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetEvidence(ctx, changed) })
		of, err = r.EvidenceOf(ctx, []string{"x"})
		r.same("changed evidence", err, of, map[string][]standing.Evidence{"x": {changed, second}})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetEvidence(ctx, "x") })
		of, err = r.EvidenceOf(ctx, []string{"x", "y"})
		r.same("forgotten evidence", err, of, map[string][]standing.Evidence{"y": {other}})

		m, late := filled[tenancy.Message](100), filled[tenancy.Message](200)
		m.ID, m.ArrangementID, late.ID, late.ArrangementID, late.At = "1", "x", "2", "x", m.At.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddMessages(ctx, []tenancy.Message{m, late}) })
		log, err := r.Messages(ctx, "x", "", 10)
		r.same("messages", err, log, []tenancy.Message{late, m})
		log, err = r.Messages(ctx, "x", "2", 10)
		r.same("messages before", err, log, []tenancy.Message{m})
		var n int64
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			n, err = tx.ForgetMessages(ctx, late.At, 10)
			return err
		})
		log, err = r.Messages(ctx, "x", "", 10)
		r.same("messages that are left", err, log, []tenancy.Message{late})
		r.same("messages forgotten", nil, n, int64(1))

		l, next := filled[tenancy.Link](100), filled[tenancy.Link](200)
		l.ID, l.ArrangementID, next.ID, next.ArrangementID = "l1", "x", "l2", "x"
		for _, made := range []*tenancy.Link{&l, &next} {
			made.RevokedAt, made.OpenedAt, made.TestedAt, made.UsedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		}
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.CreateLink(ctx, l, "hash of l1"); err != nil {
				return err
			}
			return tx.CreateLink(ctx, next, "hash of l2")
		})
		third, orphan := next, next
		third.ID, orphan.ID, orphan.ArrangementID = "l3", "l4", "deleted meanwhile"
		var again, without bool
		r.write(func(ctx context.Context, tx *Tx) error {
			var err1, err2 error
			again, err1 = tx.EnsureLink(ctx, third, "hash of l2")
			without, err2 = tx.EnsureLink(ctx, orphan, "hash of l4")
			return errors.Join(err1, err2)
		})
		r.same("created again, created without its arrangement", nil, []bool{again, without}, []bool{false, false})
		links, _, err := r.Links(ctx, "x", Page{After: Place{ID: "l1"}, Limit: 10})
		r.same("links", err, links, []tenancy.Link{next})
		opened := now.Add(time.Hour)
		next.OpenedAt, next.TestedAt, next.ExpiresAt = opened, now.Add(3*time.Hour), next.ExpiresAt.Add(time.Hour)
		l.UsedAt, l.TestedAt, l.RevokedAt = now.Add(time.Hour), now.Add(time.Hour), now.Add(2*time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.UseLink(ctx, "l1", l.UsedAt), tx.RevokeLink(ctx, "x", "l1", l.RevokedAt),
				tx.OpenLink(ctx, "l2", opened, opened), tx.OpenLink(ctx, "l2", opened, opened.Add(time.Minute)),
				tx.TestLink(ctx, "l2", next.TestedAt), tx.ExtendLink(ctx, "l2", next.ExpiresAt),
				tx.ExtendLink(ctx, "l2", next.ExpiresAt.Add(-time.Minute)))
		})
		valid, err := r.LinksOf(ctx, []string{"x", "y"}, next.ExpiresAt.Add(-time.Second))
		r.same("links that are valid", err, valid, map[string][]tenancy.Link{"x": {next}})
		valid, err = r.LinksOf(ctx, []string{"x"}, next.ExpiresAt)
		r.same("links that have expired", err, valid, map[string][]tenancy.Link{"x": nil})
		link, err := r.LinkByHash(ctx, "hash of l1")
		r.same("a link", err, link, l)
		for _, c := range [][2]string{{"x", "l1"}, {"y", "l2"}} {
			r.refused("revoking a link again, or of another arrangement", tenancy.ErrNotFound, func(ctx context.Context,
				tx *Tx) error {
				return tx.RevokeLink(ctx, c[0], c[1], now)
			})
		}
	})
}

func TestAccountsSessionsAndTokensReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		alice := filled[tenancy.KeyUser](300)
		alice.TenantID = a.ID
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateKeyUsers(ctx, alice) })
		account := func(id string, n int) tenancy.Account {
			v := filled[tenancy.Account](n)
			v.ID, v.Name, v.TenantID, v.Tenant, v.KeyUserID, v.KeyUser = id, id, a.ID, a.Name, alice.ID, alice.Name
			v.HasCalendar, v.CompanyAt = false, time.Time{}
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateAccount(ctx, v) })
			return v
		}
		one, two := account("one", 400), account("two", 500)
		got, err := r.Account(ctx, "one")
		r.same("by ID", err, got, one)
		got, err = r.AccountByName(ctx, "two")
		r.same("by name", err, got, two)
		got, err = r.AccountByOrigin(ctx, one.Origin)
		r.same("by origin", err, got, one)
		all, _, err := r.Accounts(ctx, Page{After: Place{Key: "one"}, Limit: 10, Sort: "name"})
		r.same("after the first", err, all, []tenancy.Account{two})
		one.Role, one.TenantID, one.Tenant, one.KeyUserID, one.KeyUser = tenancy.RoleOperator, "", "", "", ""
		one.CompanyAt = now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.SetRights(ctx, one); err != nil {
				return err
			}
			return tx.SetCompanyAt(ctx, "one", one.CompanyAt)
		})
		got, err = r.Account(ctx, "one")
		r.same("with other rights", err, got, one)

		session := func(id string, n int) tenancy.Session {
			v := filled[tenancy.Session](n)
			v.ID, v.AccountID = id, "one"
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateSession(ctx, v, "hash of "+id) })
			return v
		}
		s1, s2, s3 := session("s1", 600), session("s2", 700), session("s3", 800)
		s1.SeenAt = now.Add(24 * time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SeeSession(ctx, "s1", s1.SeenAt) })
		s, owner, err := r.SessionByHash(ctx, "hash of s1")
		r.same("a session", err, []any{s, owner}, []any{s1, one})
		list, err := r.Sessions(ctx, "one")
		r.same("sessions", err, list, []tenancy.Session{s3, s2, s1})
		r.refused("a session of another account", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.EndSession(ctx, "two", "s1")
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetSessions(ctx, s2.ExpiresAt) })
		list, err = r.Sessions(ctx, "one")
		r.same("sessions that have not expired", err, list, []tenancy.Session{s3, s2})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndSessions(ctx, "one", "s3") })
		list, err = r.Sessions(ctx, "one")
		r.same("the session that was kept", err, list, []tenancy.Session{s3})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndSession(ctx, "one", "s3") })

		token := func(id string, n int) tenancy.Token {
			v := filled[tenancy.Token](n)
			v.ID, v.TenantID, v.Tenant, v.KeyUserID, v.KeyUser = id, a.ID, a.Name, alice.ID, alice.Name
			v.LastUsedAt, v.RevokedAt = time.Time{}, time.Time{}
			if id != "bound" {
				v.Issuer, v.Subject = "", ""
			}
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateToken(ctx, v, "hash of "+id) })
			return v
		}
		bound := token("bound", 1100)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RevokeToken(ctx, "bound", now) })
		r.refused("a workload whose token is revoked", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
			_, err := tx.TokenByHash(ctx, "hash of bound")
			return err
		})
		bound.RevokedAt = now
		found, err := r.Token(ctx, "bound")
		r.same("the token of a workload", err, found, bound)
		again := filled[tenancy.Token](1200)
		again.ID = "again"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateToken(ctx, again, "hash of bound") })
		t1, t2 := token("t1", 900), token("t2", 1000)
		t1.LastUsedAt, t1.RevokedAt = now.Add(time.Hour), now.Add(2*time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.TouchToken(ctx, "t1", t1.LastUsedAt); err != nil {
				return err
			}
			return tx.RevokeToken(ctx, "t1", t1.RevokedAt)
		})
		found, err = r.TokenByHash(ctx, "hash of t1")
		r.same("by hash", err, found, t1)
		found, err = r.Token(ctx, "t2")
		r.same("a token", err, found, t2)
		tokens, _, err := r.Tokens(ctx, "", Page{After: Place{ID: "t1"}, Limit: 10})
		r.same("tokens after the first", err, tokens, []tenancy.Token{t2})
		created, err := r.TokensByOrigin(ctx, t2.Origin)
		r.same("tokens of an origin", err, created, []tenancy.Token{t2})
		created, err = r.TokensByOrigin(ctx, "")
		r.same("tokens without an origin", err, created, []tenancy.Token(nil))
		end := t2.ExpiresAt.Add(-time.Minute)
		for _, at := range []time.Time{t2.ExpiresAt.Add(time.Hour), end, end.Add(time.Second)} {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.ShortenToken(ctx, "t2", at) })
		}
		t2.ExpiresAt = end
		found, err = r.Token(ctx, "t2")
		r.same("a token that ends earlier", err, found, t2)
		r.refused("a token that is revoked already", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.RevokeToken(ctx, "t1", now)
		})

		p := filled[tenancy.Passkey](1100)
		p.AccountID = "two"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreatePasskey(ctx, p) })
		keys, err := r.Passkeys(ctx, "two")
		r.same("passkeys", err, keys, []tenancy.Passkey{p})
		r.refused("a passkey of another account", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.DeletePasskey(ctx, "one", p.ID)
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeletePasskey(ctx, "two", p.ID) })
	})
}

func TestImportsAndTrustReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		first, second := filled[tenancy.Import](100), filled[tenancy.Import](200)
		first.ID, second.ID, first.State, second.State = "i1", "i2", tenancy.ImportChecked, tenancy.ImportChecked
		first.Done, second.Done = 0, 0
		second.CreatedAt = first.CreatedAt.Add(25 * time.Hour)
		create := func(i tenancy.Import) {
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.CreateImport(ctx, i, []byte("plan of "+i.ID), "what "+i.ID+" does")
			})
		}
		create(first)
		plan, err := r.ImportPlan(ctx, "i1")
		r.same("a plan", err, string(plan), "plan of i1")
		create(second)
		plan, err = r.ImportPlan(ctx, "i1")
		r.same("a plan that is a day old", err, plan, []byte(nil))
		got, err := r.ImportByID(ctx, "i1")
		r.same("an import", err, got, first)
		planned, err := r.ImportPlanned(ctx, "i1")
		r.same("what it does", err, planned, "what i1 does")
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.MoveImport(ctx, "i2", tenancy.ImportChecked, tenancy.ImportApplying)
		})
		r.refused("a state that it does not have", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.MoveImport(ctx, "i2", tenancy.ImportChecked, tenancy.ImportApplying)
		})
		r.write(func(ctx context.Context, tx *Tx) error {
			for _, name := range []string{"acme", "globex"} {
				if err := tx.AddImported(ctx, "i2", tenancy.Imported{Tenant: name, Made: "made of " + name}); err != nil {
					return err
				}
			}
			return tx.FailImport(ctx, "i2", "no room")
		})
		second.State, second.Done, second.LastError = tenancy.ImportApplying, 2, "no room"
		got, err = r.ImportByID(ctx, "i2")
		r.same("a failed import", err, got, second)
		items, err := r.Imported(ctx, "i2", "acme", 10)
		r.same("imported", err, items, []tenancy.Imported{{Tenant: "globex", Made: "made of globex"}})
		r.refused("the same tenant again", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.AddImported(ctx, "i2", tenancy.Imported{Tenant: "acme", Made: "x"})
		})
		plan, err = r.ImportPlan(ctx, "i2")
		r.same("the plan of a running import", err, string(plan), "plan of i2")
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.DropImported(ctx, "i2", "acme"); err != nil {
				return err
			}
			return tx.MoveImport(ctx, "i2", tenancy.ImportApplying, tenancy.ImportApplied)
		})
		second.State, second.Done, second.LastError = tenancy.ImportApplied, 1, ""
		all, _, err := r.Imports(ctx, "", Page{Sort: "-created", Limit: 10})
		r.same("all, the latest first", err, all, []tenancy.Import{second, first})
		all, _, err = r.Imports(ctx, "", Page{Sort: "-created", After: Place{ID: "i2"}, Limit: 10})
		r.same("before", err, all, []tenancy.Import{first})
		plan, err = r.ImportPlan(ctx, "i2")
		r.same("the plan of an applied import", err, plan, []byte(nil))
	})
}
