package local

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// elsewhere returns the names of a certificate that another CA issued.
func elsewhere(t *testing.T, template x509.Certificate) certfile.Names {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), now, now.Add(day)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	n, err := certfile.NamesOf(der)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNamesAreKeptIfThisCAMayCertifyThem(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	uri := func(host, path string) []*url.URL { return []*url.URL{{Scheme: "spiffe", Host: host, Path: path}} }
	foreign := pkix.Name{CommonName: "my300001", Organization: []string{"Größe & Söhne"}, Country: []string{"DE"}}
	with := func(edit func(*x509.Certificate)) x509.Certificate {
		c := x509.Certificate{Subject: foreign}
		edit(&c)
		return c
	}
	domain, ours := ca.config.TrustDomain, ca.config.Organization
	for _, c := range []struct {
		name         string
		replaced     x509.Certificate
		subject, san bool // kept
	}{
		{"a foreign subject and no SAN", with(func(*x509.Certificate) {}), true, true},
		{"a DNS name in the trust domain", with(func(c *x509.Certificate) { c.DNSNames = []string{"Acme." + domain} }), true,
			true},
		{"a DNS name elsewhere", with(func(c *x509.Certificate) { c.DNSNames = []string{"acme.elsewhere.example"} }), true,
			false},
		{"a DNS name that ends like the trust domain",
			with(func(c *x509.Certificate) { c.DNSNames = []string{"x" + domain} }),
			true, false},
		{"an address in the trust domain", with(func(c *x509.Certificate) { c.EmailAddresses = []string{"acme@" + domain} }),
			true, true},
		{"an address elsewhere", with(func(c *x509.Certificate) { c.EmailAddresses = []string{"acme@sub." + domain} }), true,
			false},
		{"the tenant's own SPIFFE ID", with(func(c *x509.Certificate) { c.URIs = uri(domain, "/tenant/acme") }), true, true},
		{"another tenant's SPIFFE ID", with(func(c *x509.Certificate) { c.URIs = uri(domain, "/tenant/zeta") }), true, false},
		{"a URI elsewhere", with(func(c *x509.Certificate) { c.URIs = uri("elsewhere.example", "/tenant/acme") }), true,
			false},
		{"an IP address", with(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{192, 0, 2, 1}} }), true, false},
		{"one name of two elsewhere", with(func(c *x509.Certificate) {
			c.DNSNames = []string{"acme." + domain, "acme.elsewhere.example"}
		}), true, false},
		{"no subject", x509.Certificate{DNSNames: []string{"acme." + domain}}, true, true},
		{"no subject and a name elsewhere", x509.Certificate{DNSNames: []string{"acme.elsewhere.example"}}, false, false},
		{"no name at all", x509.Certificate{}, false, false},
		{"another tenant's subject", x509.Certificate{Subject: pkix.Name{CommonName: "zeta", Organization: []string{ours},
			OrganizationalUnit: []string{"Tenants"}}}, false, false},
		{"another tenant's subject in capitals", x509.Certificate{Subject: pkix.Name{CommonName: "ZETA",
			Organization: []string{ours}, OrganizationalUnit: []string{"TENANTS"}}}, false, false},
		{"the M-user's subject", x509.Certificate{Subject: pkix.Name{CommonName: "acme", Organization: []string{ours},
			OrganizationalUnit: []string{"M-users"}}}, false, false},
		{"the subject of an authority", x509.Certificate{Subject: pkix.Name{CommonName: ours + " issuing CA G1",
			Organization: []string{ours}}}, false, false},
		{"the organization's name in another form", x509.Certificate{Subject: pkix.Name{CommonName: "my300001",
			Organization: []string{ours}, OrganizationalUnit: []string{"Customers"}}}, true, true},
		{"the tenant's own subject in capitals", x509.Certificate{Subject: pkix.Name{CommonName: "ACME",
			Organization: []string{ours}, OrganizationalUnit: []string{"Tenants"}}}, true, true},
	} {
		replaced := elsewhere(t, c.replaced)
		r := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, At: now}
		own, err := ca.Names(r)
		if err != nil {
			t.Fatal(err)
		}
		want := own
		if c.subject {
			want.Subject = replaced.Subject
		}
		if c.san {
			want.SAN = replaced.SAN
		}
		r.Replaces = &replaced
		if got, err := ca.Names(r); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		issuedAs(t, ca, r, want)
	}
}

// issuedAs issues a certificate, and compares its names. A receiver that trusts the root verifies it.
func issuedAs(t *testing.T, ca *CA, r issuer.Request, want certfile.Names) {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	r.Key, r.Validity = key, 365*day
	issued, err := issuer.Checked(ca).Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := certfile.NamesOf(issued.DER); err != nil || !names.Equal(want) {
		t.Errorf("issued with %v, %v, want %v", names, err, want)
	}
	lints(t, issued.DER)
	cert, err1 := x509.ParseCertificate(issued.DER)
	above, err2 := x509.ParseCertificate(issued.Chain[0])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.roots[0].cert)
	between.AddCert(above)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("%s: %v", issued.Subject, err)
	}
	if issued.Subject != certfile.Name(want.Subject) {
		t.Errorf("the subject %q is reported", issued.Subject)
	}
}

// A subject that cannot be read, as PrintableString with an underscore, would make the new certificate invalid.
func TestASubjectThatIsNotValidIsNotKept(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	n := elsewhere(t, x509.Certificate{Subject: pkix.Name{CommonName: "under-score"}})
	faulty := certfile.Names{Subject: bytes.Replace(n.Subject, []byte("under-score"), []byte("under_score"), 1)}
	r := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, At: now}
	own, err1 := ca.Names(r)
	r.Replaces = &faulty
	if got, err2 := ca.Names(r); err1 != nil || err2 != nil || !got.Equal(own) {
		t.Errorf("%v, %v, %v", got, err1, err2)
	}
}

// Tenants and authorities keep the organization that was in force when they were made.
func TestNamesUnderAnEarlierOrganizationStayReserved(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	before := ca.config.Organization
	ca.config.Organization = "New"
	for _, c := range []struct {
		name pkix.Name
		kept bool
	}{
		{pkix.Name{Organization: []string{before}, CommonName: before + " root CA G1"}, false},
		{pkix.Name{Organization: []string{before}, CommonName: "anything"}, false},
		{pkix.Name{Organization: []string{before}, OrganizationalUnit: []string{issuer.TenantUnit},
			CommonName: "zeta"}, false},
		{pkix.Name{Organization: []string{"Another"}, OrganizationalUnit: []string{issuer.MUserUnit},
			CommonName: "acme"}, false},
		{pkix.Name{Organization: []string{before}, OrganizationalUnit: []string{issuer.TenantUnit},
			CommonName: "acme"}, true},
		{pkix.Name{Organization: []string{"Customer"}, CommonName: "anything"}, true},
	} {
		n := elsewhere(t, x509.Certificate{Subject: c.name})
		got, err := ca.Names(issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Replaces: &n})
		if err != nil || bytes.Equal(got.Subject, n.Subject) != c.kept {
			t.Errorf("%s: kept %v, %v", c.name, !c.kept, err)
		}
	}
}
