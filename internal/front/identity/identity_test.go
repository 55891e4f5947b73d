package identity_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	here  = identity.Browser{Address: "192.0.2.1", Agent: "browser"}
)

const secret = "a sentence that is long enough"

// fixture is a service with a clock and the tenant acme with the key user alice.
type fixture struct {
	*identity.Service
	t      *testing.T
	store  *store.Store
	now    time.Time
	tenant tenancy.Tenant
	alice  tenancy.KeyUser
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	engine, _ := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), f.now)
	f.store, f.tenant = engine.Store, engine.Tenant(t, "acme", f.now)
	f.alice = tenancy.KeyUser{ID: store.NewID(), TenantID: f.tenant.ID, Name: "alice", Email: "alice@acme.example.com",
		UnsubscribeToken: "u", CreatedAt: f.now, Version: 1}
	f.write(func(tx *store.Tx) error { return tx.CreateKeyUsers(t.Context(), f.alice) })
	var err error
	f.Service, err = identity.New(identity.Config{Store: f.store, BaseURL: "https://p.example.com",
		Now: func() time.Time { return f.now }, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	return f
}

func (f *fixture) write(fn func(tx *store.Tx) error) {
	f.t.Helper()
	check(f.t, f.store.InTx(f.t.Context(), fn))
}

// token creates a token with a role and returns its ID. Its secret is its name.
func (f *fixture) token(name string, role tenancy.Role) string {
	f.t.Helper()
	v := tenancy.Token{ID: store.NewID(), Name: name, Role: role, CreatedAt: f.now, ExpiresAt: f.now.Add(time.Hour)}
	if role == tenancy.RoleKeyUser {
		v.TenantID, v.Tenant, v.KeyUserID, v.KeyUser = f.tenant.ID, f.tenant.Name, f.alice.ID, f.alice.Name
	}
	f.write(func(tx *store.Tx) error { return tx.CreateToken(f.t.Context(), v, tenancy.HashSecret(name)) })
	return v.ID
}

// welcome creates an account and returns the secret of its session.
func (f *fixture) welcome(name string, role tenancy.Role) string {
	f.t.Helper()
	f.token("token of "+name, role)
	session, err := f.Welcome(f.t.Context(), "token of "+name, name, secret, here)
	check(f.t, err)
	return session
}

func (f *fixture) account(session string) (tenancy.Session, tenancy.Account) {
	f.t.Helper()
	s, a, err := f.Session(f.t.Context(), session)
	check(f.t, err)
	return s, a
}

func (f *fixture) ended(session string) bool {
	f.t.Helper()
	_, a, err := f.Session(f.t.Context(), session)
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		f.t.Fatal(err)
	}
	return err != nil && a.ID == ""
}

func TestATokenMakesOneAccountWithItsRights(t *testing.T) {
	f := open(t)
	if _, a := f.account(f.welcome("alice", tenancy.RoleKeyUser)); a.Role != tenancy.RoleKeyUser || a.Tenant != "acme" ||
		a.KeyUser != "alice" {
		t.Errorf("the account of a key user's token is %+v", a)
	}
	if _, a := f.account(f.welcome("olga", tenancy.RoleOperator)); a.Role != tenancy.RoleOperator || a.Tenant != "" {
		t.Errorf("the account of an operator's token is %+v", a)
	}
	if _, err := f.Welcome(t.Context(), "token of olga", "eve", secret, here); !errors.Is(err, identity.ErrNameTaken) {
		t.Errorf("a token that made an account already: %v", err)
	}
}

func TestNoOtherTokenMakesAnAccount(t *testing.T) {
	f := open(t)
	f.token("sender", tenancy.RoleSender)
	f.token("gateway", tenancy.RoleGateway)
	revoked := f.token("revoked", tenancy.RoleOperator)
	f.write(func(tx *store.Tx) error { return tx.RevokeToken(t.Context(), revoked, f.now) })
	for token, want := range map[string]error{"sender": tenancy.ErrInvalid, "gateway": tenancy.ErrInvalid,
		"revoked": identity.ErrToken, "unknown": identity.ErrToken, "": identity.ErrToken} {
		if _, err := f.Welcome(t.Context(), token, "eve", secret, here); !errors.Is(err, want) {
			t.Errorf("the token %q: %v, want %v", token, err, want)
		}
	}
	f.token("valid", tenancy.RoleOperator)
	for weak, want := range map[string]error{"short": password.ErrShort, strings.Repeat("x", 1025): password.ErrLong} {
		if _, err := f.Welcome(t.Context(), "valid", "eve", weak, here); !errors.Is(err, want) {
			t.Errorf("a password of %d bytes: %v", len(weak), err)
		}
	}
	f.token("expired", tenancy.RoleOperator)
	f.now = f.now.Add(time.Hour)
	if _, err := f.Welcome(t.Context(), "expired", "eve", secret, here); !errors.Is(err, identity.ErrToken) {
		t.Errorf("an expired token: %v", err)
	}
	if _, err := f.SignIn(t.Context(), "eve", secret, here); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("an account was made: %v", err)
	}
}

func TestASessionEndsWhenItIsIdleOrOld(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	f.now = f.now.Add(12 * time.Hour)
	if f.ended(session) {
		t.Error("it ended after 12 hours")
	}
	f.now = f.now.Add(12*time.Hour + time.Second)
	if !f.ended(session) {
		t.Error("it did not end after more than 12 hours without use")
	}
	session, err := f.SignIn(t.Context(), "alice", secret, here)
	check(t, err)
	for began := f.now; f.now.Sub(began) < 7*24*time.Hour; f.now = f.now.Add(10 * time.Hour) {
		if f.ended(session) {
			t.Fatalf("it ended after %v, although it was used", f.now.Sub(began))
		}
	}
	if !f.ended(session) {
		t.Error("it did not end after 7 days")
	}
}

func TestAnEndedSessionIsWorthlessAndOnlyItsOwnerEndsIt(t *testing.T) {
	f := open(t)
	alice, olga := f.welcome("alice", tenancy.RoleKeyUser), f.welcome("olga", tenancy.RoleOperator)
	session, a := f.account(alice)
	_, other := f.account(olga)
	check(t, f.EndSession(t.Context(), other, session.ID))
	if f.ended(alice) {
		t.Error("another account ended the session")
	}
	check(t, f.EndSession(t.Context(), a, session.ID))
	if !f.ended(alice) || f.ended(olga) {
		t.Error("the session did not end, or another one did")
	}
	check(t, f.EndSession(t.Context(), a, session.ID)) // it has ended already
}

func TestARevokedCalendarIsGone(t *testing.T) {
	f := open(t)
	_, a := f.account(f.welcome("alice", tenancy.RoleKeyUser))
	first, err := f.CreateCalendar(t.Context(), a)
	check(t, err)
	second, err := f.CreateCalendar(t.Context(), a)
	check(t, err)
	owner, err := f.CalendarOwner(t.Context(), second)
	if err != nil || owner.ID != a.ID {
		t.Errorf("the owner is %s, %v", owner.Name, err)
	}
	check(t, f.RevokeCalendar(t.Context(), a))
	for name, secret := range map[string]string{"replaced": first, "revoked": second, "empty": ""} {
		if _, err := f.CalendarOwner(t.Context(), secret); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("the %s address: %v", name, err)
		}
	}
}

func TestAKeyUserWhoIsRemovedIsSignedOut(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	_, a := f.account(session)
	calendar, err := f.CreateCalendar(t.Context(), a)
	check(t, err)
	_, err = f.CalendarOwner(t.Context(), calendar)
	check(t, err)
	f.write(func(tx *store.Tx) error { return tx.DeleteKeyUser(t.Context(), f.alice) })
	if !f.ended(session) {
		t.Error("the session goes on")
	}
	if _, err := f.CalendarOwner(t.Context(), calendar); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the calendar is still published: %v", err)
	}
}

func TestWrongPasswordsLockAnAccountForAWhile(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	ctx := t.Context()
	for i := range 5 {
		if _, err := f.SignIn(ctx, "alice", "wrong", here); !errors.Is(err, identity.ErrWrongPassword) {
			t.Fatalf("wrong password %d: %v", i+1, err)
		}
	}
	var locked *identity.LockedError
	if _, err := f.SignIn(ctx, "alice", secret, here); !errors.As(err, &locked) {
		t.Fatalf("the right password after five wrong ones: %v", err)
	}
	if !strings.Contains(locked.Error(), "locked until 2026-03-01T12:00:01Z") {
		t.Error(locked)
	}
	waits := []time.Duration{locked.Until.Sub(f.now)}
	for range 11 {
		f.now = locked.Until
		if _, err := f.SignIn(ctx, "alice", "wrong", here); !errors.Is(err, identity.ErrWrongPassword) {
			t.Fatalf("after the wait: %v", err)
		}
		if _, err := f.SignIn(ctx, "alice", secret, here); !errors.As(err, &locked) {
			t.Fatalf("after another wrong password: %v", err)
		}
		waits = append(waits, locked.Until.Sub(f.now))
	}
	for i, wait := range waits {
		if want := min(time.Second<<i, 15*time.Minute); wait != want {
			t.Errorf("wait %d is %v, want %v", i+1, wait, want)
		}
	}
	f.now = locked.Until
	if _, err := f.SignIn(ctx, "alice", secret, here); err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
	if _, err := f.SignIn(ctx, "alice", "wrong", here); !errors.Is(err, identity.ErrWrongPassword) {
		t.Error(err)
	}
	if _, err := f.SignIn(ctx, "alice", secret, here); err != nil {
		t.Errorf("signing in did not reset the count: %v", err)
	}
}

func TestParallelWrongPasswordsCountOneByOne(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	const tries = 100
	results := make(chan error, tries)
	for range tries {
		go func() { // each try is the only one of its address in this minute, and all are in one network
			_, err := f.SignIn(t.Context(), "alice", "wrong", here)
			results <- err
		}()
	}
	guesses := 0
	for range tries {
		if errors.Is(<-results, identity.ErrWrongPassword) {
			guesses++
		}
	}
	var locked *identity.LockedError
	if _, err := f.SignIn(t.Context(), "alice", secret, here); guesses > 5 || guesses == 0 ||
		!errors.As(err, &locked) && !errors.Is(err, identity.ErrTooManyAttempts) {
		t.Errorf("%d passwords were tried at the same time, then: %v", guesses, err)
	}
	f.now = f.now.Add(time.Minute)
	for range 5 - guesses {
		_, _ = f.SignIn(t.Context(), "alice", "wrong", here)
	}
	if _, err := f.SignIn(t.Context(), "alice", "wrong", here); errors.As(err, &locked) != (guesses < 5) {
		t.Errorf("%d of them are counted: %v", guesses, err)
	}
}

func TestAnUnknownNameHasTheSameAnswersAsAKnownOne(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	answers := map[string][]string{}
	for range 9 {
		for _, name := range []string{"alice", "unknown"} {
			_, err := f.SignIn(t.Context(), name, "wrong", here)
			answers[name] = append(answers[name], err.Error())
		}
	}
	if !slices.Equal(answers["alice"], answers["unknown"]) || answers["alice"][0] == answers["alice"][8] {
		t.Errorf("alice:\n%s\nunknown:\n%s", strings.Join(answers["alice"], "\n"), strings.Join(answers["unknown"], "\n"))
	}
}

func TestAStrangerDoesNotLockTheOwnerOut(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	stranger := func(last string) identity.Browser { return identity.Browser{Address: "2001:db8:1:2::" + last} }
	var locked *identity.LockedError
	for i := range 6 {
		_, err := f.SignIn(t.Context(), "alice", "wrong", stranger(strconv.Itoa(i)))
		if errors.As(err, &locked) != (i == 5) {
			t.Errorf("wrong password %d from the network of one host: %v", i+1, err)
		}
	}
	for _, address := range []string{here.Address, "2001:db8:1:3::1"} {
		if _, err := f.SignIn(t.Context(), "alice", secret, identity.Browser{Address: address}); err != nil {
			t.Errorf("the owner at %s: %v", address, err)
		}
	}
	kept, a := f.account(session)
	if err := f.ChangePassword(t.Context(), a, kept, secret, "an even better sentence", stranger("9")); !errors.As(err,
		&locked) {
		t.Errorf("the password is changed from the network that is locked: %v", err)
	}
	check(t, f.ChangePassword(t.Context(), a, kept, secret, "an even better sentence", here))
	if _, _, err := f.BeginPasskeySignIn(t.Context(), stranger("9")); err != nil {
		t.Errorf("a passkey in the network that is locked: %v", err)
	}
}

func TestAttemptsAreLimitedPerNetwork(t *testing.T) {
	f := open(t)
	f.now = f.now.Truncate(time.Minute)
	allowed := func(address func(i int) string) (n int) {
		for i := range 40 {
			if _, _, err := f.BeginPasskeySignIn(t.Context(), identity.Browser{Address: address(i)}); err == nil {
				n++
			}
		}
		return n
	}
	for name, c := range map[string]struct {
		address func(i int) string
		want    int
	}{
		"one host with many IPv6 addresses": {func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 30},
		"many IPv6 networks":                {func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i+1) }, 40},
		"one IPv4 address, mapped to IPv6":  {func(i int) string { return []string{"", "::ffff:"}[i%2] + "192.0.2.7" }, 30},
		"many IPv4 addresses":               {func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }, 40},
	} {
		if got := allowed(c.address); got != c.want {
			t.Errorf("%s: %d attempts in a minute, want %d", name, got, c.want)
		}
	}
}

func TestAnAddressHasAFewAttemptsPerMinute(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	kept, a := f.account(session)
	f.now = f.now.Truncate(time.Minute).Add(time.Minute)
	ctx := t.Context()
	for name, try := range map[string]func(identity.Browser) error{
		"sign-in":  func(b identity.Browser) error { _, err := f.SignIn(ctx, "unknown", "x", b); return err },
		"welcome":  func(b identity.Browser) error { _, err := f.Welcome(ctx, "x", "unknown", secret, b); return err },
		"passkey":  func(b identity.Browser) error { _, _, err := f.BeginPasskeySignIn(ctx, b); return err },
		"password": func(b identity.Browser) error { return f.ChangePassword(ctx, a, kept, "x", "short", b) },
	} {
		b := identity.Browser{Address: "address of " + name}
		allowed := 0
		for range 40 {
			if !errors.Is(try(b), identity.ErrTooManyAttempts) {
				allowed++
			}
		}
		if allowed != 30 {
			t.Errorf("%s: %d attempts in a minute", name, allowed)
		}
		if errors.Is(try(identity.Browser{Address: "another address of " + name}), identity.ErrTooManyAttempts) {
			t.Errorf("%s: the attempts of one address count for another", name)
		}
	}
	f.now = f.now.Add(time.Minute)
	if _, err := f.SignIn(ctx, "unknown", "x", identity.Browser{Address: "address of sign-in"}); !errors.Is(err,
		identity.ErrWrongPassword) {
		t.Errorf("in the next minute: %v", err)
	}
}

func TestChangingAPasswordNeedsTheOldOneAndEndsOtherSessions(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	other, err := f.SignIn(t.Context(), "alice", secret, here)
	check(t, err)
	kept, a := f.account(session)
	const better = "an even better sentence"
	for _, c := range []struct {
		before, after string
		want          error
	}{
		{"wrong", better, identity.ErrOldPassword},
		{"", better, identity.ErrOldPassword},
		{secret, "short", password.ErrShort},
		{secret, strings.Repeat("x", 1025), password.ErrLong},
	} {
		if err := f.ChangePassword(t.Context(), a, kept, c.before, c.after, here); !errors.Is(err, c.want) {
			t.Errorf("from %q: %v, want %v", c.before, err, c.want)
		}
	}
	check(t, f.ChangePassword(t.Context(), a, kept, secret, better, here))
	if f.ended(session) || !f.ended(other) {
		t.Error("this session ended, or the other one did not")
	}
	if _, err := f.SignIn(t.Context(), "alice", secret, here); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := f.SignIn(t.Context(), "alice", better, here); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestANewPasswordIsComparedWithTheNamesOfItsUser(t *testing.T) {
	f := open(t)
	f.token("t", tenancy.RoleKeyUser)
	guessable := []string{"password1234", "alice-acme-2026", "alice@acme.example.com", "p.example.com/p"}
	for _, p := range guessable {
		if _, err := f.Welcome(t.Context(), "t", "a.key", p, here); !errors.Is(err, password.ErrGuessable) {
			t.Errorf("the first password %s: %v", p, err)
		}
	}
	session, err := f.Welcome(t.Context(), "t", "a.key", secret, here)
	check(t, err)
	kept, a := f.account(session)
	f.now = f.now.Add(time.Minute)
	for _, p := range guessable {
		if err := f.ChangePassword(t.Context(), a, kept, secret, p, here); !errors.Is(err, password.ErrGuessable) {
			t.Errorf("the new password %s: %v", p, err)
		}
	}
	if _, err := f.SignIn(t.Context(), "a.key", secret, here); err != nil {
		t.Errorf("the password that stayed: %v", err)
	}
}

func TestAPasswordAloneDoesNotSufficeIfASecondFactorIsRequired(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	f.welcome("olga", tenancy.RoleOperator)
	for required, want := range map[identity.SecondFactor][2]error{
		identity.NoSecondFactor:       {nil, nil},
		identity.SecondFactorOperator: {nil, identity.ErrSecondFactor},
		identity.SecondFactorAll:      {identity.ErrSecondFactor, identity.ErrSecondFactor},
	} {
		c := identity.Config{Store: f.store, BaseURL: "https://p.example.com", SecondFactor: required,
			Now: func() time.Time { return f.now }, Log: slog.New(slog.DiscardHandler)}
		var err error
		f.Service, err = identity.New(c)
		check(t, err)
		for i, name := range []string{"alice", "olga"} {
			session, err := f.SignIn(t.Context(), name, secret, here)
			if !errors.Is(err, want[i]) || (session == "") != (want[i] != nil) {
				t.Errorf("%q: %s signs in: %v", required, name, err)
			}
			if _, err := f.SignIn(t.Context(), name, "wrong", here); !errors.Is(err, identity.ErrWrongPassword) {
				t.Errorf("%q: %s with a wrong password: %v", required, name, err)
			}
		}
		if f.ended(f.welcome("new"+string(required), tenancy.RoleOperator)) {
			t.Errorf("%q: a token does not sign in, so every operator may be locked out", required)
		}
		c.BaseURL = "https://192.0.2.1" // no passkeys
		if _, err := identity.New(c); (err != nil) != (required != identity.NoSecondFactor) {
			t.Errorf("%q without another way to sign in: %v", required, err)
		}
	}
}

func TestADeletedAccountIsGoneAndAnAccountCannotDeleteItself(t *testing.T) {
	f := open(t)
	alice, olga := f.welcome("alice", tenancy.RoleKeyUser), f.welcome("olga", tenancy.RoleOperator)
	_, a := f.account(alice)
	_, o := f.account(olga)
	if _, err := f.DeleteAccount(t.Context(), o, o.ID); !errors.Is(err, identity.ErrOwnAccount) || f.ended(olga) {
		t.Errorf("the own account: %v", err)
	}
	if _, err := f.DeleteAccount(t.Context(), o, "nothing"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("no account: %v", err)
	}
	deleted, err := f.DeleteAccount(t.Context(), o, a.ID)
	check(t, err)
	if deleted.Name != "alice" || !f.ended(alice) {
		t.Errorf("%s was deleted, and the session ended: %v", deleted.Name, f.ended(alice))
	}
	if _, err := f.SignIn(t.Context(), "alice", secret, here); !errors.Is(err, identity.ErrWrongPassword) {
		t.Errorf("signing in: %v", err)
	}
}

func TestACeremonyIsUsedOnceInTimeAndForItsKind(t *testing.T) {
	f := open(t)
	_, a := f.account(f.welcome("alice", tenancy.RoleKeyUser))
	ctx := t.Context()
	begin := func() string {
		_, ceremony, err := f.BeginPasskeySignIn(ctx, here)
		check(t, err)
		return ceremony
	}
	finish := func(ceremony string) error {
		_, err := f.SignInByPasskey(ctx, ceremony, strings.NewReader("{}"), here)
		return err
	}
	once := begin()
	if err := finish(once); !errors.Is(err, identity.ErrUnknownPasskey) {
		t.Errorf("an answer without a credential: %v", err)
	}
	for name, ceremony := range map[string]string{"used": once, "unknown": "x", "none": ""} {
		if err := finish(ceremony); !errors.Is(err, identity.ErrCeremony) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.AddPasskey(ctx, a, begin(), "x", strings.NewReader("{}")); !errors.Is(err, identity.ErrCeremony) {
		t.Errorf("a sign-in used to add a passkey: %v", err)
	}
	late := begin()
	f.now = f.now.Add(10*time.Minute + time.Second)
	if err := finish(late); !errors.Is(err, identity.ErrCeremony) {
		t.Errorf("after more than 10 minutes: %v", err)
	}
}

func TestOnlyItsOwnerRemovesAPasskey(t *testing.T) {
	f := open(t)
	_, a := f.account(f.welcome("alice", tenancy.RoleKeyUser))
	_, o := f.account(f.welcome("olga", tenancy.RoleOperator))
	f.write(func(tx *store.Tx) error {
		return tx.CreatePasskey(t.Context(), tenancy.Passkey{ID: "p", AccountID: a.ID, Name: "n", Credential: "{}",
			CreatedAt: f.now})
	})
	if err := f.RemovePasskey(t.Context(), o, "p"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("by another account: %v", err)
	}
	if keys, err := f.Passkeys(t.Context(), a); err != nil || len(keys) != 1 {
		t.Errorf("%d passkeys, %v", len(keys), err)
	}
	check(t, f.RemovePasskey(t.Context(), a, "p"))
}

func TestEveryChangeOfAnAccountIsInTheAuditLog(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	kept, a := f.account(session)
	ctx := t.Context()
	_, err := f.SignIn(ctx, "alice", "wrong", here)
	if !errors.Is(err, identity.ErrWrongPassword) {
		t.Error(err)
	}
	check(t, f.ChangePassword(ctx, a, kept, secret, "an even better sentence", here))
	_, err = f.CreateCalendar(ctx, a)
	check(t, err)
	check(t, f.RevokeCalendar(ctx, a))
	check(t, f.EndSession(ctx, a, kept.ID))
	events, err := f.store.Events(ctx, "acme", 0, 100)
	check(t, err)
	logged := map[string]bool{}
	for _, e := range events {
		logged[e.Action] = true
		if strings.Contains(e.Detail, secret) {
			t.Errorf("%s has the password", e.Action)
		}
	}
	for _, action := range []string{"account.created", "account.signed-in", "account.wrong-password",
		"account.password-changed", "calendar.created", "calendar.revoked", "session.ended"} {
		if !logged[action] {
			t.Errorf("%s is not in the audit log", action)
		}
	}
}

func TestAServiceNeedsItsDependencies(t *testing.T) {
	if _, err := identity.New(identity.Config{}); err == nil {
		t.Error("a service without a store is made")
	}
	for base, want := range map[string]bool{"https://p.example.com": true, "http://localhost:8080": true,
		"https://192.0.2.1": false, "https://[2001:db8::1]": false, "": false} {
		f := open(t)
		s, err := identity.New(identity.Config{Store: f.store, BaseURL: base, Now: time.Now, Log: slog.Default()})
		check(t, err)
		if s.HasPasskeys() != want {
			t.Errorf("passkeys at %q: %v", base, s.HasPasskeys())
		}
	}
}
