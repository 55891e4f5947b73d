package identity_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// failing runs an operation while each table is missing in turn, and while each refuses changes. Every failure
// must be reported, and as nothing that a person could have done wrong.
func (f *fixture) failing(read, written []string, operation func() error) {
	f.t.Helper()
	strict := func() error {
		f.now = f.now.Add(time.Minute) // for attempts that are limited
		err := operation()
		for _, wrong := range []error{identity.ErrWrongPassword, identity.ErrOldPassword, identity.ErrToken,
			identity.ErrNameTaken, identity.ErrCeremony, identity.ErrUnknownPasskey, tenancy.ErrNotFound} {
			if errors.Is(err, wrong) {
				return nil
			}
		}
		return err
	}
	testenv.FailsWithout(f.t, f.store.DB(), read, strict)
	testenv.FailsIfReadOnly(f.t, f.store.DB(), written, strict)
}

// buffer is a log that several goroutines may write.
type buffer struct {
	mu sync.Mutex // guards the field below
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// take returns what was written since the last call.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

func TestRefusedSignInsAreLoggedWithoutATypedNameAndInABoundedNumber(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	kept, a := f.account(session)
	var log buffer
	var err error
	f.Service, err = identity.New(identity.Config{Store: f.store, BaseURL: "https://p.example.com",
		Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	check(t, err)
	ctx := t.Context()
	for name, c := range map[string]struct {
		try  func() error
		want string
	}{
		"a wrong password": {func() error { _, err := f.SignIn(ctx, "alice", "wrong", here); return err },
			`how=password address=192.0.2.1 reason="wrong name or password" account=alice`},
		"an unknown name": {func() error { _, err := f.SignIn(ctx, "hunter2", "wrong", here); return err },
			`how=password address=192.0.2.1 reason="wrong name or password"`},
		"a token": {func() error { _, err := f.Welcome(ctx, "hunter2", "eve", secret, here); return err },
			`how=token address=192.0.2.1 reason="unknown or invalid token"`},
		"a passkey": {func() error {
			_, err := f.SignInByPasskey(ctx, "x", strings.NewReader("{}"), here)
			return err
		}, `how=passkey address=192.0.2.1 reason="too old, or begun in another browser"`},
		"an old password": {func() error { return f.ChangePassword(ctx, a, kept, "wrong", secret, here) },
			`reason="wrong old password" account=alice`},
	} {
		if c.try() == nil {
			t.Errorf("%s is accepted", name)
		}
		if text := log.take(); strings.Count(text, "level=INFO") != 1 || !strings.Contains(text, c.want) ||
			strings.Contains(text, "hunter2") || strings.Contains(text, "account=") != strings.Contains(c.want, "account=") {
			t.Errorf("%s is logged as %q", name, text)
		}
	}
	if _, err := f.SignIn(ctx, "alice", secret, here); err != nil || log.take() != "" {
		t.Errorf("a sign-in is logged as refused: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	for i := range 300 {
		_, err := f.SignInByPasskey(ctx, "x", strings.NewReader("{}"),
			identity.Browser{Address: fmt.Sprintf("198.51.100.%d", i%250)})
		if !errors.Is(err, identity.ErrCeremony) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.take(), "\n"); n != 100 {
		t.Errorf("300 refusals in a minute are %d lines", n)
	}
}

// A database that fails must not look like a wrong password, nor an unknown session like one that has ended.
func TestAFailingDatabaseIsNoFaultOfThePersonWhoSignsIn(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	f.token("token of eve", tenancy.RoleOperator)
	f.failing([]string{"tokens", "accounts", "sessions"}, nil, func() error {
		_, err := f.Welcome(ctx, "token of eve", "eve", secret, here)
		return err
	})
	session := f.welcome("alice", tenancy.RoleKeyUser)
	kept, a := f.account(session)
	f.failing([]string{"accounts", "sessions"},
		[]string{"sign_in_failures", "INSERT ON sessions", "DELETE ON sessions", "events"},
		func() error {
			_, err := f.SignIn(ctx, "alice", secret, here)
			return err
		})
	f.failing([]string{"accounts", "sign_in_failures"}, []string{"sign_in_failures", "events"}, func() error {
		f.now = f.now.Add(20 * time.Minute) // longer than any lock
		_, err := f.SignIn(ctx, "alice", "wrong", here)
		return err
	})
	f.now = f.now.Add(time.Hour) // for what locked the account
	f.failing(nil, []string{"sign_in_failures", "events"}, func() error {
		f.now = f.now.Add(20 * time.Minute)
		return f.ChangePassword(ctx, a, kept, "wrong", secret, here)
	})
	f.failing([]string{"sign_in_failures", "accounts", "sessions"}, []string{"accounts", "events"}, func() error {
		f.now = f.now.Add(20 * time.Minute)
		return f.ChangePassword(ctx, a, kept, secret, "an even better sentence", here)
	})
	f.failing([]string{"accounts", "sessions"}, []string{"sessions"}, func() error {
		f.now = f.now.Add(5 * time.Minute) // the session's last use is stored
		_, _, err := f.Session(ctx, session)
		return err
	})
	f.failing([]string{"accounts"}, []string{"accounts", "events"}, func() error {
		_, err := f.CreateCalendar(ctx, a)
		return err
	})
	f.failing([]string{"accounts"}, []string{"accounts", "events"}, func() error { return f.RevokeCalendar(ctx, a) })
	f.failing([]string{"accounts"}, nil, func() error {
		_, err := f.CalendarOwner(ctx, "secret")
		return err
	})
	f.failing([]string{"sessions"}, nil, func() error {
		_, err := f.Sessions(ctx, a)
		return err
	})
	f.failing(nil, []string{"accounts"}, func() error {
		a.Language, a.Zone = "de", "Europe/Berlin"
		return f.SetPreferences(ctx, a)
	})
	f.failing(nil, []string{"sessions", "events"}, func() error { return f.EndSession(ctx, a, kept.ID) })
	f.write(func(tx *store.Tx) error {
		return tx.CreatePasskey(ctx, tenancy.Passkey{ID: "p", AccountID: a.ID, Name: "n", Credential: "{}", CreatedAt: f.now})
	})
	f.failing([]string{"passkeys"}, []string{"ceremonies"}, func() error {
		_, _, err := f.BeginPasskey(ctx, a)
		return err
	})
	f.failing([]string{"passkeys"}, nil, func() error {
		_, err := f.Passkeys(ctx, a)
		return err
	})
	f.failing([]string{"ceremonies"}, []string{"ceremonies"}, func() error {
		_, _, err := f.BeginPasskeySignIn(ctx, here)
		return err
	})
	f.failing([]string{"ceremonies"}, nil, func() error {
		_, err := f.SignInByPasskey(ctx, "x", strings.NewReader("{}"), here)
		return err
	})
	f.failing([]string{"ceremonies"}, nil, func() error {
		return f.AddPasskey(ctx, a, "x", "name", strings.NewReader("{}"))
	})
	f.failing(nil, []string{"passkeys", "events"}, func() error { return f.RemovePasskey(ctx, a, "p") })
	olga, _ := f.store.AccountByName(ctx, "olga")
	f.failing([]string{"accounts"}, []string{"accounts", "events"}, func() error {
		_, err := f.DeleteAccount(ctx, olga, a.ID)
		return err
	})
}

func TestASessionRecordsWhereItWasBegunAndWhenItWasUsed(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	secret, err := f.SignIn(t.Context(), "alice", secret, identity.Browser{Address: "192.0.2.7",
		Agent: strings.Repeat("a", 199) + "ö"})
	check(t, err)
	began := f.now
	s, a := f.account(secret)
	if s.Address != "192.0.2.7" || s.Agent != strings.Repeat("a", 199) || !s.CreatedAt.Equal(began) ||
		!s.SeenAt.Equal(began) || !s.ExpiresAt.Equal(began.Add(identity.LongestSession)) {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct{ after, seen time.Duration }{{5 * time.Minute, 0},
		{5*time.Minute + time.Second, 5*time.Minute + time.Second}, {9 * time.Minute, 5*time.Minute + time.Second}} {
		f.now = began.Add(c.after)
		f.account(secret)
		if s, _ := f.account(secret); !s.SeenAt.Equal(began.Add(c.seen)) {
			t.Errorf("used after %v, and seen after %v, want %v", c.after, s.SeenAt.Sub(began), c.seen)
		}
	}
	all, err := f.Sessions(t.Context(), a)
	check(t, err)
	if len(all) != 2 {
		t.Errorf("%d sessions", len(all))
	}
	f.now = began.Add(identity.LongestSession + time.Second)
	_, err = f.SignIn(t.Context(), "alice", "a sentence that is long enough", here)
	check(t, err)
	if all, err = f.Sessions(t.Context(), a); err != nil || len(all) != 1 {
		t.Errorf("%d sessions after the others have expired, %v", len(all), err)
	}
}

func TestPreferencesAreStoredIfTheyExist(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	_, a := f.account(session)
	a.Language, a.Zone = "de", "Europe/Berlin"
	check(t, f.SetPreferences(t.Context(), a))
	if _, got := f.account(session); got.Language != "de" || got.Zone != "Europe/Berlin" {
		t.Errorf("stored %q and %q", got.Language, got.Zone)
	}
	a.Zone = "Europe/Atlantis"
	if err := f.SetPreferences(t.Context(), a); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("a time zone that does not exist: %v", err)
	}
}

func TestAnAccountNameIsCheckedAndItsEventNamesItsOrigin(t *testing.T) {
	f := open(t)
	id := f.token("good", tenancy.RoleOperator)
	if _, err := f.Welcome(t.Context(), "good", "Not A Name", secret, here); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an invalid name: %v", err)
	}
	session, err := f.Welcome(t.Context(), "good", "olga", secret, here)
	check(t, err)
	if _, a := f.account(session); a.Origin != "token "+id || !a.CreatedAt.Equal(f.now) {
		t.Errorf("%+v", a)
	}
	events, err := f.store.Events(t.Context(), "", 0, 100)
	check(t, err)
	found := map[string]string{}
	for _, e := range events {
		found[e.Action] = e.Actor + " " + e.Object + " " + e.Detail
	}
	for action, want := range map[string]string{"account.created": `operator olga olga {"origin":"token ` + id + `"}`,
		"account.signed-in": `operator olga olga {"address":"192.0.2.1","how":"token"}`} {
		if found[action] != want {
			t.Errorf("%s: %s, want %s", action, found[action], want)
		}
	}
	f.token("second", tenancy.RoleOperator)
	if _, err := f.Welcome(t.Context(), "second", "olga", secret, here); !errors.Is(err, identity.ErrNameTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
}

func TestTheAuditLogHasTheDetailsOfAChange(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	kept, a := f.account(f.welcome("alice", tenancy.RoleKeyUser))
	_, o := f.account(f.welcome("olga", tenancy.RoleOperator))
	for range 2 {
		if _, err := f.SignIn(ctx, "alice", "wrong", here); !errors.Is(err, identity.ErrWrongPassword) {
			t.Error(err)
		}
	}
	_, err := f.SignIn(ctx, "alice", secret, here)
	check(t, err)
	f.write(func(tx *store.Tx) error {
		return tx.CreatePasskey(ctx, tenancy.Passkey{ID: "p", AccountID: a.ID, Name: "n", Credential: "{}", CreatedAt: f.now})
	})
	check(t, f.RemovePasskey(ctx, a, "p"))
	check(t, f.EndSession(ctx, a, kept.ID))
	_, err = f.DeleteAccount(ctx, o, a.ID)
	check(t, err)
	events, err := f.store.Events(ctx, "", 0, 100)
	check(t, err)
	logged := ""
	for _, e := range events {
		logged += e.Actor + " " + e.Action + " " + e.Tenant + " " + e.Object + " " + e.Detail + "\n"
	}
	for _, want := range []string{
		`sign-in account.wrong-password acme alice {"failures":1}`,
		`sign-in account.wrong-password acme alice {"failures":2}`,
		`key-user alice account.signed-in acme alice {"address":"192.0.2.1","how":"password"}`,
		`key-user alice passkey.removed acme alice {"passkey":"p"}`, "key-user alice session.ended acme alice ",
		`operator olga account.deleted  olga {"account":"alice","role":"key-user"}`,
	} {
		if !strings.Contains(logged, want) {
			t.Errorf("%q is missing in\n%s", want, logged)
		}
	}
}

func TestACeremonyLastsTenMinutes(t *testing.T) {
	f := open(t)
	_, ceremony, err := f.BeginPasskeySignIn(t.Context(), here)
	check(t, err)
	f.now = f.now.Add(10 * time.Minute)
	if _, err := f.SignInByPasskey(t.Context(), ceremony, strings.NewReader("{}"), here); !errors.Is(err,
		identity.ErrUnknownPasskey) {
		t.Errorf("after 10 minutes: %v", err)
	}
}
