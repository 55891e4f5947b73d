package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/roottest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheHostingTeamIsAskedForAnIssuingCABelowItsRootUntilOneIsInstalledAndNothingExpires(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	acme := f.tenant("acme", begin)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	f.config.Operators = []string{"team@p.example.com"}
	e, err := New(f.config)
	check(t, err)
	other := f.replica(begin)
	ca, sign := f.authorities.(*local.CA), roottest.New(t, begin)
	install := func(now, from, until time.Time) tenancy.Authority {
		t.Helper()
		r, err := ca.RequestAuthority(t.Context(), "", now)
		check(t, err)
		a, err := ca.InstallAuthority(t.Context(), sign(r.CSR, now, until), from, now)
		check(t, err)
		return a
	}
	first := install(begin, begin, begin.AddDate(4, 0, 0))
	due := ca.Plans(begin)[1].AnnounceAt
	by := first.NotAfter.Add(-f.policy.Validity - local.Notice)
	late := by.AddDate(0, 0, 3)
	var asked []string
	var second tenancy.Authority
	for now := begin; now.Before(first.NotAfter.AddDate(0, 1, 0)); now = now.Add(policy.Day) {
		before := f.operatorMails()
		check(t, e.Announce(t.Context(), now))
		check(t, other.Announce(t.Context(), now))
		if n := f.operatorMails() - before; n > 0 {
			asked = append(asked, now.Format(time.DateOnly))
			if n > 1 || now.Before(due) || second.ID != "" {
				t.Errorf("%s: %d mails", now, n)
			}
		}
		if now.After(late) && second.ID == "" {
			second = install(now, time.Time{}, now.AddDate(9, 0, 0))
		}
		// At every instant, a certificate of the longest validity can be issued.
		key, err := keyring.Generate(tenancy.P256)
		check(t, err)
		issued, err := issuer.Checked(ca).Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant,
			Key: key, At: now, Validity: f.policy.Validity})
		check(t, err)
		if second.ID == "" && issued.IssuerID != first.ID {
			t.Fatalf("%s: %s signs", now, issued.IssuerID)
		}
	}
	days := int(by.Sub(due) / policy.Day)
	if want := days/30 + 4 + 4; len(asked) < want-2 || len(asked) > want+2 {
		t.Errorf("asked %d times in %d days, want about %d: %v", len(asked), days, want, asked)
	}
	if asked[0] != due.Add(policy.Day-1).Truncate(policy.Day).Format(time.DateOnly) {
		t.Errorf("asked first on %s, due on %s", asked[0], due)
	}
	if got := f.signing(second.NotBefore.AddDate(0, 6, 0)); got != second.ID {
		t.Errorf("%s signs at last", got)
	}
	if !slices.ContainsFunc(f.announcements(acme), func(s string) bool { return strings.Contains(s, "A new CA") }) {
		t.Error("the key users were not notified")
	}
	for _, p := range ca.Plans(begin) {
		if c, err := certfile.ParseCertificate(p.DER); err != nil || c.Subject.CommonName == "Your Root" &&
			len(p.SealedKey) > 0 {
			t.Errorf("a key of your root is stored: %v", err)
		}
	}
}

// signing returns the ID of the authority that signs at an instant.
func (f *fixture) signing(at time.Time) string { return f.authorities.Signing(at).ID }

// operatorMails counts the mails to the hosting team.
func (f *fixture) operatorMails() (n int) {
	f.t.Helper()
	mails, err := f.store.Mails(f.t.Context(), "", "", "", 1000)
	check(f.t, err)
	for _, m := range mails {
		if m.Address == "team@p.example.com" {
			n++
		}
	}
	return n
}

func TestTheKeyOfARequestedAuthorityIsSealedAgainWithTheNewestKey(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	ca, sign := f.authorities.(*local.CA), roottest.New(t, begin)
	r, err := ca.RequestAuthority(t.Context(), "", begin)
	check(t, err)
	keys := f.seal
	check(t, keys.Rotate(t.Context()))
	_, err = Reseal(t.Context(), f.store, keys, func(int) {})
	check(t, err)
	all, err := f.store.AuthorityRequests(t.Context())
	check(t, err)
	if len(all) != 1 || !keys.Current(all[0].SealedKey) {
		t.Error("the key of the request is sealed with the old key")
	}
	_, err = ca.InstallAuthority(t.Context(), sign(r.CSR, begin, begin.AddDate(9, 0, 0)), begin, begin)
	check(t, err)
	check(t, keys.Rotate(t.Context()))
	_, err = Reseal(t.Context(), f.store, keys, func(int) {}) // a root without a key does not stop it
	check(t, err)
}
