package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// suggesting is a CA that suggests when to renew.
type suggesting struct {
	remote

	mu    sync.Mutex // guards what follows
	asked int
	hint  issuer.Hint // zero: it has none
	err   error
}

func (s *suggesting) Hint(context.Context, tenancy.Certificate, time.Time) (issuer.Hint, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.hint, s.hint != issuer.Hint{}, s.err
}

// withSuggesting gives the fixture a CA named bank-ca, and the tenant acme a credential from it.
func (f *fixture) withSuggesting(now time.Time) (*suggesting, tenancy.Tenant) {
	f.t.Helper()
	s := &suggesting{remote: remote{ca: f.config.Issuer}}
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(s)}
	var err error
	f.Engine, err = New(f.config)
	check(f.t, err)
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	return s, acme
}

func TestARenewalThatTheCASuggestsIsMadeInItsWindowAndHasANotice(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		s, acme := f.withSuggesting(now)
		f.arrangementOf(acme, "erp", "bank")
		window := now.AddDate(0, 0, 10)
		s.hint = issuer.Hint{From: window, To: window.Add(time.Hour)}
		// tick returns the generation that the credential has after an hourly tick.
		tick := func(at time.Time) int {
			t.Helper()
			check(t, f.Tick(t.Context(), at))
			return f.newest(acme, "bank").Generation
		}
		for at := now; at.Before(window); at = at.Add(time.Hour) {
			if got := tick(at); got != 1 {
				t.Fatalf("renewed at %s, before the window", at)
			}
		}
		if s.asked < 10 || s.asked > 12 {
			t.Errorf("the CA was asked %d times in ten days, want once a day", s.asked)
		}
		end := window.Add(2 * time.Hour)
		tick(window)
		if got := tick(end); got != 2 {
			t.Fatalf("generation %d after the window, want 2", got)
		}
		if got := f.newest(acme, tenancy.ForTenant).Generation; got != 1 {
			t.Errorf("the certificate of another CA is renewed, too: generation %d", got)
		}
		next := f.newest(acme, "bank")
		if want := NoticeUnder(f.policy); next.NoticedUntil.Before(window.Add(want)) || next.State != tenancy.Standby {
			t.Errorf("it is %s, and presented from %s: the key users have no notice of %s", next.State, next.NoticedUntil, want)
		}
		tasks := 0
		for _, task := range f.tasks(acme) {
			notices, err := f.store.NoticesByID(t.Context(), []string{task.NoticeID})
			check(t, err)
			if n := notices[task.NoticeID]; n.Reason == Suggested && n.Kind == tenancy.Renewed {
				tasks++
			}
		}
		if tasks != 3 {
			t.Errorf("%d tasks about the renewal, want one for each key user", tasks)
		}
	})
}

func TestASuggestionOfTheCANeverPostponesARenewal(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	s, acme := f.withSuggesting(now)
	s.hint = issuer.Hint{From: now.AddDate(2, 0, 0), To: now.AddDate(3, 0, 0), AskAt: now.AddDate(2, 0, 0)}
	for _, day := range []string{"2026-01-15", "2026-01-23", "2026-11-01", "2026-12-01"} {
		check(t, f.Tick(t.Context(), date(day)))
		if day == "2026-01-23" && s.asked != 2 {
			t.Errorf("asked %d times in eight days, want 2: the CA wants to be asked in two years", s.asked)
		}
	}
	if got := f.newest(acme, "bank").Generation; got != 2 {
		t.Errorf("generation %d after the run, want 2", got)
	}
}

func TestACAWithoutASuggestionOrWithAFaultIsAskedAgain(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	s, acme := f.withSuggesting(now)
	ask := func(after time.Duration, want int, text string) {
		t.Helper()
		err := f.FollowHints(t.Context(), now.Add(after))
		if (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("after %s: %v, want %q", after, err, text)
		}
		if s.asked != want {
			t.Errorf("asked %d times after %s, want %d", s.asked, after, want)
		}
	}
	s.err = issuer.Failed(issuer.Broken, "500")
	ask(0, 1, "issuer bank-ca: 500")
	s.err = nil
	ask(time.Hour, 2, "") // a fault is not an answer
	ask(2*time.Hour, 2, "")
	ask(26*time.Hour, 3, "")
	s.hint, s.remote.ca = issuer.Hint{From: now, To: now.Add(time.Hour)}, failing{}
	ask(52*time.Hour, 4, "the CA is away")
	s.remote.ca = f.config.Issuer
	ask(53*time.Hour, 5, "")
	if got := f.newest(acme, "bank").Generation; got != 2 {
		t.Errorf("generation %d, want 2", got)
	}
}

// failing is a CA that issues nothing.
type failing struct{}

func (failing) Issue(context.Context, issuer.Request) (issuer.Issued, error) {
	return issuer.Issued{}, errors.New("the CA is away")
}

func TestASuggestionOfTheCAReportsEachStatementThatFails(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	s, _ := f.withSuggesting(now)
	for name, from := range map[string]time.Time{"to renew now": now, "to renew later": now.Add(time.Hour)} {
		s.hint = issuer.Hint{From: from, To: from.Add(time.Hour)}
		at := now.Add(time.Second)
		if from.Equal(now) {
			at = now.Add(2 * time.Hour)
		}
		t.Run(name, func(t *testing.T) {
			f.eachStatement(t, now, func(g *fixture) error { return g.FollowHints(t.Context(), at) })
		})
	}
}

// A page of certificates about which the CA fails does not keep those after it from being asked about.
func TestTheCAIsAskedAboutTheCertificatesOfEveryPage(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	s, acme := f.withSuggesting(now)
	var certs []store.SealedCertificate
	for i := range requestPage {
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: store.NewID(),
			TenantID: acme.ID, Purpose: tenancy.Purpose(fmt.Sprint("c", i)), Generation: 1, State: tenancy.Active,
			NotBefore: now, NotAfter: now.AddDate(1, 0, 0), KeyType: tenancy.P256, DER: []byte{0x30, 0}, Issuer: "bank-ca",
			CreatedAt: now}, SealedKey: []byte{0}})
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Create(t.Context(), store.Rows{Certificates: certs})
	}))
	check(t, f.FollowHints(t.Context(), now))
	if s.asked != requestPage+1 {
		t.Errorf("the CA was asked about %d certificates, want %d", s.asked, requestPage+1)
	}
}
