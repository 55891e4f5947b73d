package acceptance_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/policy"
)

// The partner's certificate is valid for 2026, and its policy renews in the last 62 days.
var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = begin.AddDate(1, 0, 0)
	// inWindow is an instant at which the successor is expected.
	inWindow = end.AddDate(0, 0, -40)
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A ca issues certificates for tests.
type ca struct {
	t    testing.TB
	key  crypto.Signer
	cert *x509.Certificate
}

var keys = sync.OnceValue(func() []*ecdsa.PrivateKey {
	all := make([]*ecdsa.PrivateKey, 4)
	for i := range all {
		all[i], _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return all
})

var serial = struct {
	sync.Mutex
	n int64
}{n: 1000}

func nextSerial() *big.Int {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return big.NewInt(serial.n)
}

// authority returns a CA below another one, or a root without one. change may change its certificate.
func authority(t testing.TB, name string, key crypto.Signer, above *ca, change ...func(*x509.Certificate)) *ca {
	t.Helper()
	template := &x509.Certificate{SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: begin.AddDate(-5, 0, 0), NotAfter: end.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	for _, c := range change {
		c(template)
	}
	parent, signer := template, key
	if above != nil {
		parent, signer = above.cert, above.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &ca{t, key, cert}
}

// issue returns a client certificate of the partner that is valid for a year from an instant on. change may change it.
func (a *ca) issue(from time.Time, change ...func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	return a.issueFor(keys()[3].Public(), from, change...)
}

func (a *ca) issueFor(key crypto.PublicKey, from time.Time, change ...func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	template := &x509.Certificate{SerialNumber: nextSerial(), NotBefore: from, NotAfter: from.AddDate(1, 0, 0),
		Subject:     pkix.Name{CommonName: "acme", Organization: []string{"Acme Corp"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	check(a.t, err)
	cert, err := x509.ParseCertificate(der)
	check(a.t, err)
	return cert
}

func subject(name pkix.Name) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject = name }
}

func until(end time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = end }
}

// A fixture is a receiver with the partner acme, whose certificate a CA below a root has issued.
type fixture struct {
	t        testing.TB
	root, ca *ca
	first    *x509.Certificate
	acme     acceptance.Partner
}

func setUp(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, root: authority(t, "Passport Root", keys()[0], nil)}
	f.ca = authority(t, "Passport CA", keys()[1], f.root)
	f.first = f.ca.issue(begin)
	f.acme = acceptance.Partner{Name: "acme-c4c", Rule: acceptance.Successor, Window: policy.Days(62),
		Known: []acceptance.Known{acceptance.NewKnown(f.first)}, Trust: []*x509.Certificate{f.root.cert}}
	return f
}

func (f *fixture) partners(more ...acceptance.Partner) *acceptance.Partners {
	f.t.Helper()
	ps, err := acceptance.New(append([]acceptance.Partner{f.acme}, more...))
	check(f.t, err)
	return ps
}

// decide decides about a certificate with the CA below the root beside it.
func (f *fixture) decide(c *x509.Certificate, now time.Time) acceptance.Decision {
	f.t.Helper()
	return f.partners().Decide([]*x509.Certificate{c, f.ca.cert}, now)
}

// wants demands the outcome and the code of a decision.
func wants(t testing.TB, name string, d acceptance.Decision, outcome acceptance.Outcome, code acceptance.Code) {
	t.Helper()
	if d.Outcome != outcome || d.Code != code {
		t.Errorf("%s: %s (%s: %s), want %s (%s)", name, d.Outcome, d.Code, d.Reason, outcome, code)
	}
	if d.Reason == "" {
		t.Errorf("%s: no reason", name)
	}
}
