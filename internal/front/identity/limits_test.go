package identity

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestPublicPagesAreLimitedPerNetworkAndMinute(t *testing.T) {
	s := openOIDC(t, "name")
	now := time.Date(2026, 3, 1, 12, 0, 40, 500_000_000, time.UTC)
	s.now = func() time.Time { return now }
	visit := func(address string) time.Duration { return s.Visit(Browser{Address: address}) }
	for n := range 120 {
		if wait := visit("192.0.2.1"); wait != 0 {
			t.Fatalf("page %d waits %v", n+1, wait)
		}
	}
	if wait := visit("::ffff:192.0.2.1"); wait != 19500*time.Millisecond {
		t.Errorf("one page too many waits %v, want the rest of the minute", wait)
	}
	if wait := visit("192.0.2.2"); wait != 0 {
		t.Errorf("another network waits %v", wait)
	}
	now = now.Add(19500*time.Millisecond - 1)
	if wait := visit("192.0.2.1"); wait != 1 {
		t.Errorf("at the end of the minute it waits %v", wait)
	}
	now = now.Add(1)
	if wait := visit("192.0.2.1"); wait != 0 {
		t.Errorf("in the next minute it waits %v", wait)
	}
}

func TestAFewAttemptsOfANetworkRunAtATime(t *testing.T) {
	var a attempts
	now := time.Date(2026, 3, 1, 12, 0, 59, 0, time.UTC)
	var leave []func()
	enter := func(network string) error {
		l, err := a.enter(network, now)
		if err == nil {
			leave = append(leave, l)
		}
		return err
	}
	for n := range 8 {
		if err := enter("a"); err != nil {
			t.Fatalf("attempt %d: %v", n+1, err)
		}
	}
	if err := enter("a"); !errors.Is(err, password.ErrBusy) {
		t.Errorf("one too many at a time: %v", err)
	}
	if err := enter("b"); err != nil {
		t.Errorf("another network: %v", err)
	}
	now = now.Add(time.Second)
	if err := enter("a"); !errors.Is(err, password.ErrBusy) {
		t.Errorf("in the next minute: %v", err)
	}
	leave[0]()
	if err := enter("a"); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	for _, l := range leave[1:] {
		l()
	}
	if len(a.running) != 0 {
		t.Errorf("%v are running after the end of all", a.running)
	}
	for range 28 { // two in this minute have been counted
		l, err := a.enter("a", now)
		testenv.Check(t, err)
		l()
	}
	if l, err := a.enter("a", now); !errors.Is(err, ErrTooManyAttempts) || l != nil {
		t.Errorf("the attempt after 30 in a minute: %v", err)
	}
}

func TestAServiceIsRefusedWithoutEachOfItsDependencies(t *testing.T) {
	s := openOIDC(t, "name")
	for want, c := range map[string]Config{"no store": {Now: s.now, Log: s.log}, "no clock": {Store: s.store, Log: s.log},
		"no logger": {Store: s.store, Now: s.now}} {
		if made, err := New(c); err == nil || made != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	made, err := New(Config{Store: s.store, Now: s.now, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	if made.Company() != "" || made.HasPasskeys() {
		t.Errorf("a service without an address has %q and passkeys %v", made.Company(), made.HasPasskeys())
	}
}

func TestALockDoublesUpToItsLongestTime(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 4: 0, 5: time.Second, 6: 2 * time.Second,
		14: 512 * time.Second, 15: 15 * time.Minute, 1000: 15 * time.Minute} {
		if got := lockFor(failures); got != want {
			t.Errorf("%d failures lock for %v, want %v", failures, got, want)
		}
	}
}

func TestClaimsAreReadByTheirPath(t *testing.T) {
	claims := map[string]any{"one": "a", "list": []any{"a", 1, "b"}, "in": map[string]any{"deep": map[string]any{
		"er": []any{"x"}}}, "number": 7}
	for path, want := range map[string]string{"one": "a", "list": "a b", "in.deep.er": "x", "in.deep": "", "in.x.er": "",
		"one.x": "", "number": "", "none": "", "": ""} {
		if got := strings.Join(texts(claims, path), " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{"one": "a", "list": "", "in.deep.er": "x", "none": ""} {
		if got := text(claims, path); got != want {
			t.Errorf("the only value of %s: %q, want %q", path, got, want)
		}
	}
	if got := lower("@AZ[`az{\u00c4\u212a"); got != "@az[`az{\u00c4\u212a" {
		t.Errorf("%q", got)
	}
}

func TestAnAccountOfTheCompanyGetsTheFirstNameThatIsFree(t *testing.T) {
	s := openOIDC(t, "name")
	for i, c := range []struct{ name, email, want string }{
		{"Olga", "o@example.com", "olga"}, {"olga", "O@example.com", "o@example.com"}, {"olga", "o@example.com", "person-"},
		{"", "p@example.com", "p@example.com"}, {"Not A Name", "", "person-"},
	} {
		a, err := s.companyAccount(t.Context(), map[string]any{"realm": map[string]any{"roles": "admin"},
			"preferred_username": c.name, "email": c.email}, string(rune('a'+i)))
		testenv.Check(t, err)
		if !strings.HasPrefix(a.Name, c.want) || c.want == "person-" && len(a.Name) != len("person-")+12 {
			t.Errorf("%q with %q is named %q, want %q", c.name, c.email, a.Name, c.want)
		}
	}
}
