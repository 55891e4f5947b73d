package service

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestReplicasThatDifferAreRefusedWithBothValues(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) { // new, so the service migrates it
		key := filepath.Join(t.TempDir(), "key")
		start := func(c Certificates) (Rules, error) {
			s := Settings{Database: Database{URL: url, KeyFile: key}, Certificates: c, JobLease: time.Minute}
			s.Mail.MailFrom = "Perennial <p@example.com>"
			in, err := s.inputs()
			if err != nil {
				return Rules{}, err
			}
			p, err := openCore(t.Context(), Config{Settings: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, s, in, "")
			if err != nil {
				return Rules{}, err
			}
			defer p.store.Close()
			return p.rules, nil
		}
		first, err := start(Certificates{Policy: "sap-c4c", Organization: "Platform"})
		if err != nil || first.Organization != "Platform" || first.TrustDomain != defaultTrustDomain ||
			!strings.HasPrefix(first.Policy, "name: sap-c4c\n") {
			t.Fatalf("%+v, %v", first, err)
		}
		for name, c := range map[string]Certificates{"no flags": {}, "the same flags": {Policy: "sap-c4c",
			Organization: "Platform", TrustDomain: defaultTrustDomain}} {
			if again, err := start(c); err != nil || again != first || again.Fingerprint() != first.Fingerprint() {
				t.Errorf("%s: %+v, %v", name, again, err)
			}
		}
		for want, c := range map[string]Certificates{
			"this database has the policy sap-c4c, and --policy sets perennial: replicas must not differ": {
				Policy: "perennial"},
			`this database has the organization "Platform", and --organization sets "Other"`: {
				Organization: "Other"},
			`the trust-domain "perennial.internal", and --trust-domain sets "p.example.com"`: {
				TrustDomain: "p.example.com"},
		} {
			if _, err := start(c); err == nil || !strings.Contains(err.Error(), want) ||
				!strings.Contains(err.Error(), "perennial rules change --") {
				t.Errorf("%v, want %q", err, want)
			}
		}

		change := func(c Certificates, mode Mode) []RuleChange {
			t.Helper()
			changes, err := ChangeRules(t.Context(), url, c, mode, time.Now())
			testenv.Check(t, err)
			return changes
		}
		wanted := Certificates{Policy: "perennial", Organization: "Other"}
		for _, mode := range []Mode{Preview, Apply} {
			changes := change(wanted, mode)
			if len(changes) != 2 || changes[0].From != "sap-c4c" || changes[0].To != "perennial" ||
				!strings.Contains(changes[0].Meaning, "82.60 % of its renewals come without an earlier warning. The new one") ||
				!strings.Contains(changes[1].Meaning, "keep their subject") {
				t.Errorf("mode %d: %+v", mode, changes)
			}
			if now, err := ReadRules(t.Context(), url); err != nil || (now == first) != (mode == Preview) {
				t.Errorf("mode %d: %+v, %v", mode, now, err)
			}
		}
		if changes := change(wanted, Apply); len(changes) != 0 {
			t.Errorf("a change that was made already: %+v", changes)
		}
		if now, err := start(wanted); err != nil || now.Fingerprint() == first.Fingerprint() {
			t.Errorf("%+v, %v", now, err)
		}
		if _, err := ChangeRules(t.Context(), url, Certificates{TrustDomain: "p.example.com"}, Apply,
			time.Now()); !errors.Is(err, tenancy.ErrRefused) {
			t.Errorf("another trust domain: %v", err)
		}
		s, err := store.Open(t.Context(), url)
		testenv.Check(t, err)
		defer s.Close()
		if n := count(t, s, "rules.changed"); n != 2 {
			t.Errorf("%d events, want 2", n)
		}
	})
}

func count(t *testing.T, s *store.Store, action string) (n int) {
	t.Helper()
	testenv.Check(t, s.DB().QueryRowContext(t.Context(),
		"SELECT count(*) FROM events WHERE action = '"+action+"'").Scan(&n))
	return n
}

func TestMUsersAreOffUnlessThePolicyHasRulesAboutThem(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		want         string // of the first start; empty if it succeeds
	}{
		{"without rules", "perennial", ""},
		{"with rules", "sap-c4c", "the policy sap-c4c has rules about the M-user, so M-users cannot be off"},
	} {
		s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
		_, err := agree(t.Context(), s, flagRules(t, Certificates{Policy: c.policy, MUser: off}))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	rules, err := agree(t.Context(), s, flagRules(t, Certificates{}))
	if err != nil || rules.MUser != on {
		t.Errorf("M-users of a new database are %q, %v", rules.MUser, err)
	}
	if _, err := agree(t.Context(), s, flagRules(t, Certificates{MUser: off})); err == nil ||
		!strings.Contains(err.Error(), `has the m-user "on", and --m-user sets "off"`) {
		t.Errorf("a replica that differs: %v", err)
	}
	// A database of an earlier release has M-users, whatever the flag says.
	check := func(err error) { testenv.Check(t, err) }
	check(s.InTx(t.Context(), func(tx *store.Tx) error { return tx.SetSetting(t.Context(), "rules/m-user", "") }))
	if _, err := agree(t.Context(), s, flagRules(t, Certificates{MUser: off})); err == nil {
		t.Error("an earlier release's database loses its M-users at the first start")
	}
}

func TestAChangeToAPolicyWithRulesAboutMUsersIsRefusedWhileTheyAreOff(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "p.db")
	s, err := store.Open(t.Context(), url)
	testenv.Check(t, err)
	_, err = agree(t.Context(), s, flagRules(t, Certificates{}))
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	for _, step := range []struct {
		c       Certificates
		refused bool
	}{
		{Certificates{MUser: off}, false}, {Certificates{Policy: "sap-c4c"}, true},
		{Certificates{Policy: "sap-c4c", MUser: on}, false}, {Certificates{MUser: off}, true},
		{Certificates{Policy: "perennial", MUser: off}, false},
	} {
		for _, mode := range []Mode{Preview, Apply} {
			changes, err := ChangeRules(t.Context(), url, step.c, mode, time.Now())
			if errors.Is(err, tenancy.ErrRefused) != step.refused || !step.refused && (err != nil || len(changes) == 0) {
				t.Errorf("%+v, mode %d: %+v, %v", step.c, mode, changes, err)
			}
		}
	}
}

// flagRules returns the rules that flags set.
func flagRules(t *testing.T, c Certificates) Rules {
	t.Helper()
	r, err := c.rules()
	testenv.Check(t, err)
	return r
}

func TestRulesOfADatabaseThatHasNoneAreNotChanged(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "p.db")
	if _, err := ChangeRules(t.Context(), url, Certificates{Policy: "sap-c4c"}, Apply, time.Now()); err == nil ||
		!strings.Contains(err.Error(), "there is no database") {
		t.Errorf("no database: %v", err)
	}
	s, err := store.Open(context.Background(), url)
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	if _, err := ChangeRules(t.Context(), url, Certificates{Policy: "sap-c4c"}, Apply, time.Now()); !errors.Is(err,
		tenancy.ErrRefused) {
		t.Errorf("a database without rules: %v", err)
	}
	if _, err := ChangeRules(t.Context(), url, Certificates{Policy: "none"}, Apply, time.Now()); err == nil {
		t.Error("an unknown policy")
	}
}

func TestAStoredPolicyKeepsWhatItsFileSays(t *testing.T) {
	for _, p := range policy.Presets() {
		if again, err := (Rules{Policy: p.YAML()}).LoadPolicy(); err != nil || again.Source != p.Source ||
			again.YAML() != p.YAML() {
			t.Errorf("%s: %+v, %v", p.Name, again, err)
		}
	}
	own := strings.Replace(policy.Presets()[0].YAML(), "renew_within: 62d", "renew_within: 70d", 1)
	if p, err := (Rules{Policy: own}).LoadPolicy(); err != nil || p.RenewWithin.String() != "70d" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := (Rules{Policy: "{"}).LoadPolicy(); err == nil {
		t.Error("a damaged policy")
	}
}
