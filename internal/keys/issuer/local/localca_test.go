package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// A memory keeps no requests: see [keeping].
func (m *memory) AuthorityRequests(context.Context) ([]tenancy.AuthorityRequest, error) {
	return nil, nil
}

func (m *memory) AddAuthorityRequest(context.Context, tenancy.AuthorityRequest) error {
	return errors.ErrUnsupported
}

func (m *memory) ReplaceAuthorityRequest(context.Context, string, tenancy.AuthorityRequest) error {
	return errors.ErrUnsupported
}

func (m *memory) InstallAuthority(context.Context, string, ...tenancy.Authority) error {
	return errors.ErrUnsupported
}

var config = Config{TrustDomain: "perennial.example.com", Organization: "Example Platform",
	CRLURL: "http://perennial.example.com/pki", LongestValidity: 365 * day}

func open(t *testing.T, m Storage, keys *keyring.Keyring, at time.Time) *CA {
	t.Helper()
	ca, err := Open(t.Context(), config, m, keys, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func keys(t *testing.T) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Create(filepath.Join(t.TempDir(), "key"), nil)
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

// lints runs zlint's rules for certificates in general. The rules of the CA/Browser Forum are for web servers.
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

func TestEveryCertificatePassesZlintAndVerifiesWithOpenSSL(t *testing.T) {
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
	if want := []string{config.CRLURL + "/" + issued.IssuerID + ".crl"}; !slices.Equal(c.CRLDistributionPoints, want) {
		t.Errorf("CRL distribution points %v, want %v", c.CRLDistributionPoints, want)
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
	thief := &CA{config: Config{TrustDomain: "bank.example.net", Organization: "x"}, issuing: honest.issuing, read: now}
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

// foreignSigner has a public key that cannot be encoded.
type foreignSigner struct{ crypto.Signer }

func (foreignSigner) Public() crypto.PublicKey { return "a key" }

func TestACertificateWithoutAListNamesNone(t *testing.T) {
	without := config
	without.CRLURL = ""
	ca, err := Open(t.Context(), without, &memory{}, keys(t), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, c := issue(t, ca, tenancy.P256, tenancy.ForTenant, now); len(c.CRLDistributionPoints) != 0 {
		t.Errorf("CRL distribution points %v", c.CRLDistributionPoints)
	}
}

// A certificate has no fractions of a second (RFC 5280, section 4.1.2.5.2). A result that has them would not be that of
// the certificate.
func TestAValidityWithFractionsOfASecondEndsWithTheSecondBefore(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := issuer.Checked(ca).Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant,
		Key: key, At: now.Add(700 * time.Millisecond), Validity: 90*day - 300*time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if want := now.Add(90*day - Backdate - time.Second); !issued.NotAfter.Equal(want) {
		t.Errorf("it ends at %s, want %s", issued.NotAfter, want)
	}
}

// RFC 7093, section 2, method 1: the leftmost 160 bits of the SHA-256 of the bit string of the public key.
func TestTheSubjectKeyIDFollowsRFC7093(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	_, c := issue(t, ca, tenancy.P256, tenancy.ForTenant, now)
	key, err := c.PublicKey.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(key.Bytes())
	if !bytes.Equal(c.SubjectKeyId, sum[:20]) {
		t.Errorf("%x, want %x", c.SubjectKeyId, sum[:20])
	}
}

// broken fails to read, or to store.
type broken struct {
	memory
	read, add error
}

func (b *broken) Authorities(ctx context.Context) ([]tenancy.Authority, error) {
	all, _ := b.memory.Authorities(ctx)
	return all, b.read
}

func (b *broken) AddAuthority(ctx context.Context, a tenancy.Authority) error {
	if b.add != nil {
		return b.add
	}
	return b.memory.AddAuthority(ctx, a)
}

func TestAnAuthorityThatCannotBeReadOrStoredIsAnError(t *testing.T) {
	failure := errors.New("the disk is full")
	refresh := func(b *broken, k *keyring.Keyring) error {
		_, err := Open(t.Context(), config, b, k, now)
		return err
	}
	k := keys(t)
	for want, b := range map[string]*broken{"read the local CA: ": {read: failure},
		"store a CA (root): ": {add: failure}} {
		if err := refresh(b, k); !errors.Is(err, failure) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	full := func() *broken {
		b := &broken{}
		if err := refresh(b, k); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for want, change := range map[string]func(*broken) *keyring.Keyring{
		"a sealed key cannot be opened":   func(*broken) *keyring.Keyring { return keys(t) },
		"x509: malformed":                 func(b *broken) *keyring.Keyring { b.memory[0].DER = []byte{0x30, 0}; return k },
		"its root elsewhere is missing":   func(b *broken) *keyring.Keyring { b.memory[1].ParentID = "elsewhere"; return k },
		"local CA " + full().memory[0].ID: nil,
	} {
		b := full()
		if change == nil {
			want = "local CA " + b.memory[0].ID + ": "
			change = func(*broken) *keyring.Keyring { return keys(t) }
		}
		if err := refresh(b, change(b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	b := full()
	ca, err := Open(t.Context(), config, b, k, now)
	if err != nil {
		t.Fatal(err)
	}
	b.add = failure
	for _, newRoot := range []bool{true, false} {
		if _, err := ca.Announce(t.Context(), now, issuer.Succession{NewRoot: newRoot}); !errors.Is(err, failure) {
			t.Errorf("new root %v: %v", newRoot, err)
		}
	}
	b.read = failure
	if _, err := ca.Announce(t.Context(), now, issuer.Succession{}); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
}

func TestAuthoritiesAreConstrained(t *testing.T) {
	m := &memory{}
	ca := open(t, m, keys(t), now)
	root, issuing := ca.roots[0].cert, ca.issuing[0].cert
	for name, c := range map[string]*x509.Certificate{"root": root, "issuing": issuing} {
		if !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign ||
			!c.NotBefore.Equal(now.Add(-5*time.Minute)) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if root.Subject.String() != "CN=Example Platform root CA G1,O=Example Platform" ||
		issuing.Subject.String() != "CN=Example Platform issuing CA G1,O=Example Platform" {
		t.Errorf("subjects %s and %s", root.Subject, issuing.Subject)
	}
	if root.MaxPathLen != 1 || issuing.MaxPathLen != 0 || !issuing.MaxPathLenZero {
		t.Errorf("path lengths %d and %d", root.MaxPathLen, issuing.MaxPathLen)
	}
	if root.NotAfter.Sub(root.NotBefore) != 25*365*day || issuing.NotAfter.Sub(issuing.NotBefore) != 10*365*day {
		t.Errorf("valid until %s and %s", root.NotAfter, issuing.NotAfter)
	}
	domain := []string{config.TrustDomain}
	if !issuing.PermittedDNSDomainsCritical || !slices.Equal(issuing.PermittedURIDomains, domain) ||
		!slices.Equal(issuing.PermittedDNSDomains, domain) || !slices.Equal(issuing.PermittedEmailAddresses, domain) ||
		len(issuing.ExcludedIPRanges) != 2 ||
		!slices.Equal(issuing.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Errorf("constraints %v %v %v %v", issuing.PermittedURIDomains, issuing.PermittedDNSDomains,
			issuing.PermittedEmailAddresses, issuing.ExcludedIPRanges)
	}
	for _, n := range issuing.ExcludedIPRanges {
		if ones, _ := n.Mask.Size(); ones != 0 {
			t.Errorf("%s is excluded only", n)
		}
	}
}

func TestATrustDomainIsAHostName(t *testing.T) {
	long := strings.Repeat("a", 255)
	for domain, want := range map[string]string{"perennial.example.com": "", long: "", "": "must not be empty",
		long + "a": "must not be empty or longer", "a/b": "invalid trust domain", "a:443": "invalid trust domain",
		"user@a": "invalid trust domain", "a b": "invalid trust domain", "%": "invalid trust domain"} {
		err := Config{TrustDomain: domain, Organization: "Example"}.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %v, want %q", domain, err, want)
		}
	}
	if err := (Config{TrustDomain: "a", Organization: "b", CRLURL: "https://a/pki"}).Check(); err == nil ||
		!strings.Contains(err.Error(), "RFC 5280, section 8") {
		t.Errorf("a revocation list over TLS: %v", err)
	}
	if err := (Config{TrustDomain: "a"}).Check(); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("without an organization: %v", err)
	}
}

func TestTheCRLListsWhatWasRevoked(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	issued, _ := issue(t, ca, tenancy.P256, tenancy.ForTenant, now)
	der, err := ca.CRL(issued.IssuerID, []issuer.Revocation{{Serial: issued.Serial, At: now,
		Reason: issuer.KeyCompromise}}, now)
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
