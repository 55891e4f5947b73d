package lifecycle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnAdoptedCertificateIsGenerationOneAndTheOtherOneIsIssued(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "perennial", now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	certificate := func(subject, issuer string) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(0x7b),
			Subject: pkix.Name{CommonName: subject}, NotBefore: now.AddDate(0, -6, 0), NotAfter: now.AddDate(0, 6, 0)},
			&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: issuer}}, key.Public(), key)
		check(t, err)
		parsed, err := x509.ParseCertificate(der)
		check(t, err)
		return parsed
	}
	leaf, above := certificate("acme", "Old CA"), certificate("Old CA", "Old root")
	adopted := Adopted{Purpose: tenancy.ForTenant, Leaf: leaf, Chain: [][]byte{above.Raw}, Key: key,
		KeyType: tenancy.P256}
	input := tenancy.Tenant{Name: "acme", DisplayName: "Acme", KeyType: tenancy.P384}
	full := errors.New("no room")
	if _, err := f.AdoptTenant(t.Context(), input, []Adopted{adopted}, "test", now,
		func(*store.Tx, tenancy.Tenant) error { return full }); !errors.Is(err, full) {
		t.Errorf("what else belongs to the tenant could not be stored: %v", err)
	}
	acme, err := f.AdoptTenant(t.Context(), input, []Adopted{adopted}, "test", now,
		func(_ *store.Tx, created tenancy.Tenant) error {
			if created.ID == "" || created.Name != "acme" {
				t.Errorf("the tenant is %+v", created)
			}
			return nil
		})
	check(t, err)
	c := f.newest(acme, tenancy.ForTenant)
	if c.Serial != "7b" || c.Generation != 1 || c.State != tenancy.Active || c.Subject != "CN=acme" ||
		c.KeyType != tenancy.P256 || !c.NotAfter.Equal(leaf.NotAfter) || !c.NotBefore.Equal(leaf.NotBefore) ||
		c.Fingerprint != certfile.Fingerprint(leaf.Raw) {
		t.Errorf("adopted as %+v", c)
	}
	presentable, err := f.Presentable(t.Context(), c)
	check(t, err)
	if len(presentable.Certificate) != 2 || !slices.Equal(presentable.Certificate[1], above.Raw) ||
		!key.Equal(presentable.PrivateKey) {
		t.Errorf("%d certificates are presented", len(presentable.Certificate))
	}
	if c := f.newest(acme, tenancy.ForMUser); c.Generation != 1 || c.State != tenancy.Active ||
		c.KeyType != tenancy.P384 || c.IssuerID == "" {
		t.Errorf("the M-user's certificate is %+v", c)
	}
	projects, err := f.store.ScopingProjects(t.Context(), acme.ID)
	check(t, err)
	if len(projects) != 1 || projects[0].Name != tenancy.FirstProject || projects[0].Version != 1 {
		t.Errorf("the projects are %+v", projects)
	}
	for object, want := range map[string]string{"acme/tenant/1": "certificate.adopted",
		"acme/m-user/1": "certificate.issued", "acme": "tenant.created"} {
		if got := f.actions("acme", object); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: events %q, want %s", object, got, want)
		}
	}
	adopted.Leaf, adopted.Chain, input.Name = certificate("alone", "Old CA"), nil, "alone"
	alone, err := f.AdoptTenant(t.Context(), input, []Adopted{adopted}, "test", now, nil)
	check(t, err)
	presentable, err = f.Presentable(t.Context(), f.newest(alone, tenancy.ForTenant))
	check(t, err)
	var chains int
	check(t, f.store.DB().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM foreign_issuers").Scan(&chains))
	if len(presentable.Certificate) != 1 || chains != 1 {
		t.Errorf("without a chain %d certificates are presented, and %d chains are stored", len(presentable.Certificate),
			chains)
	}
	if _, err := f.AdoptTenant(t.Context(), tenancy.Tenant{Name: "Not A Name"}, nil, "test", now, nil); err == nil {
		t.Error("a tenant with an invalid name is created")
	}
	unreadable := Adopted{Purpose: tenancy.ForTenant, Leaf: &x509.Certificate{SerialNumber: big.NewInt(1), Raw: []byte{1}},
		Key: key, KeyType: tenancy.P256}
	if _, err := f.AdoptTenant(t.Context(), tenancy.Tenant{Name: "gamma", DisplayName: "G", KeyType: tenancy.P256},
		[]Adopted{unreadable}, "test", now, nil); err == nil {
		t.Error("a tenant with a certificate whose names cannot be read is created")
	}
	f.down["beta"] = true
	if _, err := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "beta", DisplayName: "B", KeyType: tenancy.P256},
		"test", now); err == nil || !strings.Contains(err.Error(), "tenant beta: issue: the CA is down") {
		t.Errorf("without its certificates: %v", err)
	}
}

// The audit log records what changed, and the evidence is the latest in any case.
func TestTrustThatIsConfirmedIsStoredWithoutAnotherEvent(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "perennial", now)
	acme := f.tenant("acme", now)
	bank := f.arrangement(acme, "bank", "adaptive")
	a := f.announce(now)
	for i, verdict := range []tenancy.Trust{tenancy.Untrusted, tenancy.Untrusted, tenancy.Trusted, tenancy.Trusted} {
		at := now.AddDate(0, 0, i)
		v, err := f.RecordTrust(t.Context(), a.ID, bank.ID, "eve", verdict, rollover.Probe, "200 OK", at)
		check(t, err)
		stored, err := f.store.TrustOf(t.Context(), a.ID, bank.ID)
		check(t, err)
		if v != stored || v.Verdict != verdict || !v.At.Equal(at) || v.Tenant != "acme" || v.Detail != "200 OK" ||
			v.Source != rollover.Probe {
			t.Errorf("returned %+v, stored %+v", v, stored)
		}
	}
	if got := f.actions("acme", "acme/crm-to-bank"); !slices.Equal(got, []string{"authority.untrusted",
		"authority.trusted"}) {
		t.Errorf("events %q", got)
	}
	f.failing([]string{"arrangements", "trust"}, []string{"trust"}, func() error {
		_, err := f.RecordTrust(t.Context(), a.ID, bank.ID, "eve", tenancy.Trusted, rollover.Probe, "200 OK", now)
		return err
	})
	if _, err := f.RecordTrust(t.Context(), a.ID, "unknown", "eve", tenancy.Trusted, rollover.Probe, "", now); !errors.Is(
		err, tenancy.ErrNotFound) {
		t.Errorf("an arrangement that does not exist: %v", err)
	}
}
