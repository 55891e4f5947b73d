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
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestReplicasThatDifferAreRefusedWithBothValues(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		key := filepath.Join(t.TempDir(), "key")
		start := func(c Certificates) (Rules, error) {
			s := Settings{Database: Database{URL: url, KeyFile: key}, Certificates: c, JobLease: time.Minute}
			s.Mail.MailFrom = "Perennial <p@example.com>"
			p, err := openCore(t.Context(), Config{Settings: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, s, "")
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
