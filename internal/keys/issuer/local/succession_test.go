package local

import (
	"bytes"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestEveryAuthorityIsAnnouncedLongBeforeItSignsAndNothingEndsOverFortyYears(t *testing.T) {
	m, k := &memory{}, keys(t)
	ca := open(t, m, k, now)
	announced := map[string]time.Time{} // authorities, by when they were first in the bundle
	signed := map[string]bool{}
	for month := range 12 * 40 {
		at := now.AddDate(0, month, 0)
		if err := ca.Refresh(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		for _, a := range *m {
			if _, ok := announced[a.ID]; !ok {
				announced[a.ID] = at
			}
		}
		issued, leaf := issue(t, ca, tenancy.P256, tenancy.ForTenant, at)
		if !signed[issued.IssuerID] && month > 0 && at.Sub(announced[issued.IssuerID]) < 270*day {
			t.Errorf("%s signs %s after it was announced", issued.IssuerID, at.Sub(announced[issued.IssuerID]))
		}
		signed[issued.IssuerID] = true
		roots, chain := x509.NewCertPool(), x509.NewCertPool()
		roots.AppendCertsFromPEM(ca.Bundle())
		above, err := x509.ParseCertificate(issued.Chain[0])
		if err != nil {
			t.Fatal(err)
		}
		chain.AddCert(above)
		for _, moment := range []time.Time{at, leaf.NotAfter} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain, CurrentTime: moment,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Fatalf("month %d, at %s: %v", month, moment, err)
			}
		}
	}
	var roots int
	for _, a := range *m {
		if a.Kind == tenancy.RootAuthority {
			roots++
		}
	}
	if roots != 2 {
		t.Errorf("%d roots in forty years", roots)
	}
	again := open(t, m, k, now.AddDate(39, 0, 0))
	if !bytes.Equal(again.Bundle(), ca.Bundle()) {
		t.Error("the authorities read back differently")
	}
}

func TestAnAnnouncedAuthoritySignsFromItsDateOnAndForProbesBefore(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	first := ca.Signing(now)
	next, err := ca.Announce(t.Context(), now, issuer.Succession{NewRoot: true})
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := ca.Announced(now); !ok || a.ID != next.ID || next.SignsFrom != now.Add(Notice) {
		t.Errorf("announced %v, signs from %s", ok, next.SignsFrom)
	}
	if _, err := ca.Announce(t.Context(), now, issuer.Succession{}); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("a second one: %v", err)
	}
	if c, _ := ca.serverCertificate("localhost", now); c.Leaf.CheckSignatureFrom(ca.roots[0].cert) != nil {
		t.Error("the service's own certificate is signed by a root that receivers do not trust yet")
	}
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := ca.Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now,
		Validity: time.Hour, Authority: next.ID})
	if err != nil || probe.IssuerID != next.ID {
		t.Errorf("a probe is signed by %s: %v", probe.IssuerID, err)
	}
	for _, c := range []struct {
		at   time.Time
		want string
	}{{now, first.ID}, {next.SignsFrom.Add(-time.Second), first.ID}, {next.SignsFrom, next.ID}} {
		if issued, _ := issue(t, ca, tenancy.P256, tenancy.ForTenant, c.at); issued.IssuerID != c.want {
			t.Errorf("at %s: %s signs", c.at, issued.IssuerID)
		}
	}
	for _, p := range ca.Plans(now) {
		want := map[string]issuer.Stage{first.ID: issuer.Signs, next.ID: issuer.Announced, ca.roots[0].ID: issuer.Signs,
			ca.roots[1].ID: issuer.Announced}[p.ID]
		if p.Stage != want {
			t.Errorf("%s: %s, want %s", p.Subject, p.Stage, want)
		}
	}
	for _, p := range ca.Plans(next.SignsFrom) {
		want := map[string]issuer.Stage{first.ID: issuer.Replaced, ca.roots[0].ID: issuer.Replaced}[p.ID]
		if want != "" && p.Stage != want {
			t.Errorf("after the replacement, %s: %s, want %s", p.Subject, p.Stage, want)
		}
	}
}

func TestASuccessorIsAnnouncedAYearAheadAndSignsThreeMonthsAhead(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	last := ca.Signing(now).NotAfter.Add(-config.LongestValidity)
	for _, c := range []struct {
		at        time.Time
		announced bool
	}{{last.Add(-365*day - 1), false}, {last.Add(-365 * day), true}} {
		if err := ca.Refresh(t.Context(), c.at); err != nil {
			t.Fatal(err)
		}
		next, ok := ca.Announced(c.at)
		if ok != c.announced {
			t.Errorf("at %s: announced %v", c.at, ok)
		}
		if ok && !next.SignsFrom.Equal(last.Add(-90*day)) {
			t.Errorf("it signs from %s, want 90 days before %s", next.SignsFrom, last)
		}
	}
	if len(*m) != 3 {
		t.Errorf("%d authorities: the root is replaced too early", len(*m))
	}
	for _, p := range ca.Plans(last.Add(-365 * day)) {
		want := map[int]time.Time{1: last.Add(-365 * day), 2: p.NotAfter.Add(-config.LongestValidity - 365*day)}[p.Position]
		if p.Kind == tenancy.RootAuthority {
			want = p.NotAfter.Add(-issuingLifetime / 2)
		}
		if !p.AnnounceAt.Equal(want) {
			t.Errorf("%s: its successor is announced at %s, want %s", p.Subject, p.AnnounceAt, want)
		}
	}
	if plans := ca.Plans(now); len(plans) != 3 {
		t.Errorf("%d plans", len(plans))
	}
}

func TestARequestThatOutlivesEveryAuthorityIsRefused(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	end := ca.Signing(now).NotAfter
	r := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now, Validity: end.Sub(now) + Backdate}
	if issued, err := ca.Issue(t.Context(), r); err != nil || !issued.NotAfter.Equal(end) {
		t.Errorf("a certificate until the CA expires: %v", err)
	}
	r.Validity += time.Second
	_, err = ca.Issue(t.Context(), r)
	if want := "would outlive its issuing CA (until " + end.Format(time.RFC3339) + ")"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	r.Validity, r.Authority = time.Hour, "unknown"
	if _, err := ca.Issue(t.Context(), r); err == nil {
		t.Error("an unknown authority signs")
	}
	r.Authority = ""
	r.Key = foreignSigner{key}
	if _, err := ca.Issue(t.Context(), r); err == nil {
		t.Error("a key of an unknown kind is certified")
	}
	r.Key, r.Tenant = key, "\xff"
	if _, err := ca.Issue(t.Context(), r); err == nil || !strings.Contains(err.Error(), "sign a certificate for \xff: ") {
		t.Errorf("a name that is not UTF-8: %v", err)
	}
}

func TestAnAuthorityThatIsBroughtForwardElsewhereSignsHereToo(t *testing.T) {
	m, k := &memory{}, keys(t)
	here := open(t, m, k, now)
	next, err := here.Announce(t.Context(), now, issuer.Succession{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range *m {
		if (*m)[i].ID == next.ID {
			(*m)[i].SignsFrom = now.Add(day) // another replica stored it
		}
	}
	if err := here.Refresh(t.Context(), now.Add(day)); err != nil {
		t.Fatal(err)
	}
	if got := here.Signing(now.Add(day)); got.ID != next.ID {
		t.Errorf("%s signs", got.ID)
	}
}

func TestAnAnnouncementNeverSignsTooLateOrInThePast(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	last := ca.Signing(now).NotAfter.Add(-config.LongestValidity)
	next, err := ca.Announce(t.Context(), now, issuer.Succession{SignsFrom: last.Add(day)})
	if err != nil || !next.SignsFrom.Equal(last) {
		t.Errorf("it signs from %s, want %s: %v", next.SignsFrom, last, err)
	}
	late := last.Add(30 * day)
	ca = open(t, &memory{}, keys(t), now)
	next, err = ca.Announce(t.Context(), late, issuer.Succession{SignsFrom: late})
	if err != nil || !next.SignsFrom.Equal(late) {
		t.Errorf("it signs from %s, want %s: %v", next.SignsFrom, late, err)
	}
}

func TestASuccessorThatComesLateSignsBeforeACertificateCouldOutliveItsIssuer(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	late := ca.Signing(now).NotAfter.Add(-400 * day) // after years without a run
	if err := ca.Refresh(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	next, ok := ca.Announced(late)
	if !ok || next.SignsFrom.Sub(late) > 35*day {
		t.Errorf("announced %v, signs from %s", ok, next.SignsFrom)
	}
	for at := late; at.Before(late.Add(60 * day)); at = at.Add(day) {
		issue(t, ca, tenancy.P256, tenancy.ForTenant, at)
	}
}

func TestReplicasThatOpenTogetherShareOneHierarchy(t *testing.T) {
	m, k := &memory{}, keys(t)
	a, b := &CA{config: config, storage: m, keys: k}, &CA{config: config, storage: m, keys: k}
	if err := a.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	// b has read the storage before a wrote to it.
	if err := b.addRoot(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if len(*m) != 2 || !bytes.Equal(a.Bundle(), b.Bundle()) {
		t.Errorf("%d authorities, or the bundles differ", len(*m))
	}
}
