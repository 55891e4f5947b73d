package issuer_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/tenancy"
)

// A foreignCA signs what is requested, changed.
type foreignCA struct {
	*foreign.Roots
	ca     *testca.CA
	change func(*x509.Certificate)
	chain  [][]byte
}

func (f foreignCA) Issue(_ context.Context, r issuer.Request) (issuer.Issued, error) {
	names, err := issuer.Form{TrustDomain: "p.example.com", Organization: "P"}.Requested(r)
	if err != nil {
		return issuer.Issued{}, err
	}
	der, err := foreign.CSR(r.Key, names)
	if err != nil {
		return issuer.Issued{}, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return issuer.Issued{}, err
	}
	der, err = f.ca.Sign(csr, r.At, r.At.Add(r.Validity), f.change)
	if err != nil {
		return issuer.Issued{}, err
	}
	return foreign.Issued(testca.PEM(append([][]byte{der}, f.chain...)...), r.Key.Public(), r.At)
}

func TestACertificateWithASurpriseIsDiscarded(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	ca, other := testca.New(t, "Theirs", now), testca.New(t, "Other", now)
	expired := testca.NewUntil(t, "Expired", now.AddDate(-5, 0, 0), now.AddDate(0, 0, -1))
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now,
		Validity: 365 * 24 * time.Hour}
	honest := func(c *testca.CA) foreignCA {
		return foreignCA{Roots: foreign.FixedRoots(c.RootPEM()), ca: c, chain: [][]byte{c.Issuing.Raw, c.Root.Raw}}
	}
	changed := func(change func(*x509.Certificate)) foreignCA {
		f := honest(ca)
		f.change = change
		return f
	}
	serverToo := changed(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) })
	before, err := serverToo.Issue(t.Context(), request)
	check(t, err)
	replacing := request
	replacing.Former = before.DER
	elsewhere, unchained := honest(other), honest(ca)
	elsewhere.Roots, unchained.chain = foreign.FixedRoots(ca.RootPEM()), nil
	for name, c := range map[string]struct {
		ca      foreignCA
		request issuer.Request
		fault   issuer.Fault
		want    string
	}{
		"an honest CA": {ca: honest(ca), request: request},
		"a second usage that the certificate before had": {ca: serverToo, request: replacing},
		"a second usage": {serverToo, request, issuer.Mismatched,
			"it has the extended key usage 1.3.6.1.5.5.7.3.1 besides clientAuth"},
		"any usage": {changed(func(c *x509.Certificate) {
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageAny)
		}), request, issuer.Mismatched, "it has the extended key usage 2.5.29.37.0"},
		"no usage": {changed(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), request, issuer.Mismatched,
			"it is not for client authentication"},
		"a CA certificate": {changed(func(c *x509.Certificate) { c.IsCA = true }), request, issuer.Mismatched,
			"it can sign certificates"},
		"a key usage for certificates": {changed(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), request,
			issuer.Mismatched, "it can sign certificates"},
		"a key that only encrypts": {changed(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
			request, issuer.Mismatched, "it cannot sign a TLS handshake"},
		"a later start": {changed(func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(time.Hour) }), request,
			issuer.Mismatched, "it is not valid before 2026-01-15T01:00:00Z"},
		"a clock that is a minute ahead": {ca: changed(func(c *x509.Certificate) {
			c.NotBefore = c.NotBefore.Add(time.Minute)
		}), request: request},
		"another tenant": {changed(func(c *x509.Certificate) {
			c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "zeta"}
		}), request, issuer.Mismatched, "it names CN=zeta instead of the tenant acme"},
		"another tenant's URI": {changed(func(c *x509.Certificate) {
			c.ExtraExtensions, c.URIs = nil, []*url.URL{{Scheme: "spiffe", Host: "p.example.com", Path: "/tenant/zeta"}}
		}), request, issuer.Mismatched, "instead of the tenant acme"},
		"another root": {elsewhere, request, issuer.Mismatched, "its chain does not lead to a configured root: it ends " +
			"below CN=Other Root,O=CA"},
		"a chain without the issuing CA": {unchained, request, issuer.Mismatched, "it ends below CN=Theirs Issuing,O=CA"},
		"an expired issuing CA": {honest(expired), request, issuer.Expired,
			"the CA signed with CN=Expired Issuing,O=CA, whose certificate expired at 2026-01-14T00:00:00Z"},
		"an expired certificate": {changed(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.Add(-time.Second)
		}), request, issuer.Mismatched, "certificate has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			checked := issuer.Checked(c.ca)
			for range 2 { // the second time, its chain may be known
				issued, err := checked.Issue(t.Context(), c.request)
				fault, _ := issuer.FaultOf(err)
				if c.want == "" {
					if err != nil || len(issued.Chain) != 1 {
						t.Errorf("%v, a chain of %d", err, len(issued.Chain))
					}
					continue
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || fault != c.fault || len(issued.DER) > 0 {
					t.Errorf("%q: %v, want %q: %q", fault, err, c.fault, c.want)
				}
				if err != nil && !strings.HasSuffix(err.Error(), fault.Advice()) {
					t.Errorf("no advice in %v", err)
				}
			}
		})
	}
}

// Each certificate below an authority with name constraints is verified up to the root, although its chain is known.
func TestANameOutsideTheConstraintsOfARootIsNoticedEachTime(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	ca := testca.New(t, "Constrained", now)
	top := *ca.Root
	top.PermittedURIDomains, top.PermittedDNSDomainsCritical = []string{"p.example.com"}, true
	der, err := x509.CreateCertificate(rand.Reader, &top, &top, ca.RootKey.Public(), ca.RootKey)
	check(t, err)
	f := foreignCA{Roots: foreign.FixedRoots(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), ca: ca,
		chain: [][]byte{ca.Issuing.Raw}}
	outside := false
	f.change = func(c *x509.Certificate) {
		if outside {
			c.ExtraExtensions, c.URIs = nil, []*url.URL{{Scheme: "spiffe", Host: "q.example.com", Path: "/tenant/acme"}}
		}
	}
	checked := issuer.Checked(f)
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now, Validity: 24 * time.Hour}
	for _, outside = range []bool{false, true, false} {
		if _, err := checked.Issue(t.Context(), request); (err != nil) != outside {
			t.Errorf("outside %v: %v", outside, err)
		}
	}
}

func TestRootsThatChangeCountFromTheNextCertificateOn(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	ca, next := testca.New(t, "Theirs", now), testca.New(t, "Next", now)
	f := foreignCA{Roots: foreign.FixedRoots(ca.RootPEM()), ca: ca, chain: [][]byte{ca.Issuing.Raw}}
	bundle := &f
	checked := issuer.Checked(bundle)
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now, Validity: 24 * time.Hour}
	for _, c := range []struct {
		root *testca.CA
		ok   bool
	}{{ca, true}, {ca, true}, {next, false}, {ca, true}} {
		bundle.Roots = foreign.FixedRoots(c.root.RootPEM())
		if _, err := checked.Issue(t.Context(), request); (err == nil) != c.ok {
			t.Errorf("root %s: %v", c.root.Root.Subject, err)
		}
	}
}
