package local

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

type memory []tenancy.Authority

func (m *memory) Authorities(context.Context) ([]tenancy.Authority, error) { return *m, nil }

func (m *memory) AddAuthority(_ context.Context, a tenancy.Authority) error {
	for _, b := range *m {
		if a.Kind == b.Kind && a.Position == b.Position {
			return tenancy.ErrConflict
		}
	}
	*m = append(*m, a)
	return nil
}

var config = Config{TrustDomain: "perennial.example.com", Organization: "Example Platform",
	CRLURL: "http://perennial.example.com/pki", LongestValidity: 365 * day}

func open(t *testing.T, m *memory, keys *keyring.Keyring, at time.Time) *CA {
	t.Helper()
	ca, err := Open(t.Context(), config, m, keys, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func keys(t *testing.T) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Create(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t *testing.T, ca *CA, kind tenancy.KeyType, purpose tenancy.Purpose, at time.Time) (issuer.Issued,
	*x509.Certificate) {
	t.Helper()
	key, err := keyring.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: purpose, Key: key, At: at,
		Validity: 365 * day})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(issued.DER)
	if err != nil {
		t.Fatal(err)
	}
	return issued, cert
}

// lints are zlint's rules for certificates in general; those of the CA/Browser Forum are for web servers.
func lints(t *testing.T, der []byte) {
	t.Helper()
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280,
		lint.RFC5480, lint.RFC8813, lint.Community}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := zx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range zlint.LintCertificateEx(cert, registry).Results {
		if r.Status >= lint.Warn {
			t.Errorf("%s: %s %s: %s", cert.Subject, name, r.Status, r.Details)
		}
	}
	if len(registry.Names()) < 100 {
		t.Errorf("only %d lints", len(registry.Names()))
	}
}

func TestEveryCertificateIsCleanForZlintAndVerifiesWithOpenSSL(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, a := range *m {
		lints(t, a.DER)
	}
	root := write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: (*m)[0].DER}))
	for _, kind := range []tenancy.KeyType{tenancy.P256, tenancy.P384, tenancy.RSA2048, tenancy.RSA3072} {
		for _, purpose := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
			issued, _ := issue(t, ca, kind, purpose, now)
			lints(t, issued.DER)
			chain := write("chain.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued.Chain[0]}))
			leaf := write("leaf.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issued.DER}))
			args := []string{"verify", "-x509_strict", "-purpose", "sslclient", "-attime", "1793491200", "-CAfile", root,
				"-untrusted", chain, leaf}
			if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
				t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
}

func TestACertificateIsForClientAuthenticationOfOneTenant(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	issued, c := issue(t, ca, tenancy.P256, tenancy.ForTenant, now)
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || c.IsCA {
		t.Errorf("usages %v, CA %v", c.ExtKeyUsage, c.IsCA)
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://perennial.example.com/tenant/acme" {
		t.Errorf("SAN %v", c.URIs)
	}
	if c.NotBefore != now.Add(-5*time.Minute) || c.NotAfter.Sub(c.NotBefore) != 365*day {
		t.Errorf("valid %s to %s", c.NotBefore, c.NotAfter)
	}
	if c.SerialNumber.BitLen() < 127 || c.SerialNumber.BitLen() > 128 {
		t.Errorf("a serial number of %d bits", c.SerialNumber.BitLen())
	}
	if issued.Subject != c.Subject.String() || c.Subject.String() != "CN=acme,OU=Tenants,O=Example Platform" {
		t.Errorf("subject %s, %s", issued.Subject, c.Subject)
	}
	_, m := issue(t, ca, tenancy.P256, tenancy.ForMUser, now)
	if m.URIs[0].Path != "/tenant/acme/m-user" || m.Subject.String() == c.Subject.String() {
		t.Errorf("M-user: %s %s", m.URIs[0], m.Subject)
	}
}

func TestTheNameConstraintsForbidOtherDomains(t *testing.T) {
	m := &memory{}
	honest := open(t, m, keys(t), now)
	thief := &CA{config: Config{TrustDomain: "bank.example.net", Organization: "x"}, issuing: honest.issuing}
	_, forged := issue(t, thief, tenancy.P256, tenancy.ForTenant, now)
	_, genuine := issue(t, honest, tenancy.P256, tenancy.ForTenant, now)
	roots, chain := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(honest.roots[0].cert)
	chain.AddCert(honest.issuing[0].cert)
	opts := x509.VerifyOptions{Roots: roots, Intermediates: chain, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := genuine.Verify(opts); err != nil {
		t.Error(err)
	}
	if _, err := forged.Verify(opts); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("got %v", err)
	}
}

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
		t.Error("the service's own certificate is of a root that nobody trusts yet")
	}
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := ca.Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now,
		Validity: time.Hour, Authority: next.ID})
	if err != nil || probe.IssuerID != next.ID {
		t.Errorf("a probe is of %s: %v", probe.IssuerID, err)
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
		want := map[string]issuer.Stage{first.ID: issuer.Signs, next.ID: issuer.Announced, ca.roots[0].ID: issuer.Signs, ca.roots[1].ID: issuer.Announced}[p.ID]
		if p.Stage != want {
			t.Errorf("%s: %s, want %s", p.Subject, p.Stage, want)
		}
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
	// b believes that there is nothing yet, as if it had read before a wrote.
	if err := b.add(t.Context(), tenancy.RootAuthority, nil, now, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if len(*m) != 2 || !bytes.Equal(a.Bundle(), b.Bundle()) {
		t.Errorf("%d authorities, or two bundles", len(*m))
	}
}

func TestTheCRLListsWhatWasRevoked(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	issued, _ := issue(t, ca, tenancy.P256, tenancy.ForTenant, now)
	der, err := ca.CRL(issued.IssuerID, []tenancy.Certificate{{ID: "c", Serial: issued.Serial, RevokedAt: now,
		RevokedFor: "compromised"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := crl.CheckSignatureFrom(ca.issuing[0].cert); err != nil {
		t.Error(err)
	}
	if len(crl.RevokedCertificateEntries) != 1 || crl.RevokedCertificateEntries[0].ReasonCode != 1 {
		t.Errorf("got %+v", crl.RevokedCertificateEntries)
	}
	if _, err := ca.CRL("other", nil, now); err == nil {
		t.Error("a CRL of an unknown CA")
	}
}
