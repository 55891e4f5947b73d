package guard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
)

var (
	begin    = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	inWindow = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
)

// A folder has the files of a configuration.
type folder struct {
	t   testing.TB
	dir string
	ca  *testca.CA
}

func newFolder(t testing.TB) *folder {
	f := &folder{t, t.TempDir(), testca.New(t, "Passport", begin)}
	f.write("root.pem", f.ca.RootPEM())
	f.write("tenant.pem", f.issue(begin))
	return f
}

func (f *folder) write(name string, data []byte) {
	f.t.Helper()
	testenv.Check(f.t, os.WriteFile(filepath.Join(f.dir, name), data, 0o600))
}

// issue returns a certificate for a year, with the CA above it, as PEM.
func (f *folder) issue(from time.Time) (file []byte) {
	f.t.Helper()
	certificate, _ := f.ca.Client(f.t, "acme", from, from.AddDate(1, 0, 0))
	file, err := os.ReadFile(certificate)
	testenv.Check(f.t, err)
	return file
}

func policies(name string) (policy.Policy, error) { return policy.Preset(name) }

func (f *folder) load(config string) (Config, error) {
	f.t.Helper()
	f.write("guard.yaml", []byte(config))
	return Load(filepath.Join(f.dir, "guard.yaml"), policies)
}

func TestAConfigurationIsReadWithTheFilesThatItNames(t *testing.T) {
	f := newFolder(t)
	c, err := f.load(`
listen: 0.0.0.0:443
server: {cert: server.pem, key: /etc/server.key}
upstream: http://127.0.0.1:8000
partners:
  - name: acme-c4c
    known: [tenant.pem]
    trust: [root.pem]
    rule: successor
    policy: sap-c4c
    on_hold: refuse
  - name: globex
    known: [tenant.pem]
    rule: pin
    window: 120d
    on_hold: {accept: 24h}
  - name: initech
    known: [tenant.pem]
    on_hold:
  - name: hooli
    known: [tenant.pem]
    on_hold: "accept: 24h"
`)
	testenv.Check(t, err)
	if c.Listen != "0.0.0.0:443" || len(c.Hosts) != 1 || c.Hosts[0].Upstream.String() != "http://127.0.0.1:8000" ||
		c.Hosts[0].Server.Cert != filepath.Join(f.dir, "server.pem") || c.Hosts[0].Server.Key != "/etc/server.key" ||
		c.State != filepath.Join(f.dir, "guard.db") {
		t.Errorf("%+v", c)
	}
	want := []struct {
		rule   acceptance.Rule
		window time.Duration
		onHold time.Duration
		trust  int
	}{{acceptance.Successor, 62 * policy.Day, 0, 1}, {acceptance.Pin, 120 * policy.Day, 24 * time.Hour, 0},
		{acceptance.Successor, 93 * policy.Day, 0, 0}, {acceptance.Successor, 93 * policy.Day, 24 * time.Hour, 0}}
	for i, w := range want {
		p := c.Partners[i]
		if p.Rule != w.rule || p.Window.Of(360*policy.Day) != w.window || p.OnHold != w.onHold || len(p.Trust) != w.trust ||
			len(p.Known) != 1 ||
			len(p.CAs) != 1 {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
}

func TestAConfigurationThatIsWrongIsRefusedWithThePlace(t *testing.T) {
	f := newFolder(t)
	f.write("no.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	partner := "partners:\n  - name: acme\n    known: [tenant.pem]\n"
	for config, want := range map[string]string{
		"":                                                 "the file is empty",
		"partners: [":                                      "line 1",
		"partners: []":                                     "list at least one",
		"listener: x":                                      `line 1: unknown key "listener"`,
		partner + "    rules: pin\n":                       `line 4: unknown key "rules"`,
		partner + "    policy: none\n":                     `partner "acme": policy: `,
		partner + "    window: soon\n":                     `partner "acme": window: `,
		partner + "    on_hold: accept\n":                  "line 4: use refuse, or accept with a duration",
		partner + "    on_hold: {accept: 0h}":              "line 4: ",
		partner + "    on_hold: {accept: x}":               "line 4: ",
		partner + "    trust: [away.pem]\n":                "trust: open ",
		partner + "    crl: [tenant.pem]\n":                "crl: tenant.pem: not a revocation list",
		partner + "    crl: [away.crl]\n":                  "crl: open ",
		partner + "    policy: sap-c4c\n    window: 30d\n": "use either policy or window",
		"partners:\n  - name: acme\n    known: [no.pem]\n": "known: no.pem: ",
	} {
		if _, err := f.load(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", config, err, want)
		}
	}
}

func TestARevocationListIsReadInBothForms(t *testing.T) {
	f := newFolder(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true,
		NotBefore: begin, NotAfter: begin.AddDate(9, 0, 0), BasicConstraintsValid: true,
		KeyUsage:     x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
		SubjectKeyId: []byte{1}}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begin,
		NextUpdate: begin.AddDate(0, 1, 0)}, ca, key)
	testenv.Check(t, err)
	f.write("der.crl", der)
	one := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	f.write("pem.crl", slices.Concat(one, one))
	c, err := f.load("partners:\n  - name: acme\n    known: [tenant.pem]\n    crl: [der.crl, pem.crl, der.crl]\n")
	testenv.Check(t, err)
	if lists := c.Partners[0].CRLs; len(lists) != 4 || lists[0] != lists[3] {
		t.Errorf("%d lists", len(lists))
	}
}

func TestAFileIsExplainedAsACallWouldBe(t *testing.T) {
	f := newFolder(t)
	c, err := f.load(
		"partners:\n  - name: acme\n    known: [tenant.pem]\n    trust: [root.pem]\n    policy: sap-c4c\n",
	)
	testenv.Check(t, err)
	partners, err := acceptance.New(c.Partners)
	testenv.Check(t, err)
	second, early := f.issue(inWindow), f.issue(begin.AddDate(0, 5, 0))
	first, err := os.ReadFile(filepath.Join(f.dir, "tenant.pem"))
	testenv.Check(t, err)
	block, _ := pem.Decode(second)
	for name, one := range map[string]struct {
		file []byte
		want []acceptance.Code
	}{
		"the known one":              {first, []acceptance.Code{acceptance.Pinned}},
		"the successor":              {second, []acceptance.Code{acceptance.IsSuccessor}},
		"the successor without a CA": {block.Bytes, []acceptance.Code{acceptance.IsSuccessor}},
		"issued too early":           {early, []acceptance.Code{acceptance.OutsideWindow}},
		"two callers": {slices.Concat(first, second),
			[]acceptance.Code{acceptance.Pinned, acceptance.IsSuccessor}},
		"the CA":                     {testca.PEM(f.ca.Issuing.Raw), []acceptance.Code{acceptance.OtherSubject}},
		"nothing":                    {nil, []acceptance.Code{acceptance.Malformed}},
		"noise":                      {[]byte("hello"), []acceptance.Code{acceptance.Malformed}},
		"a certificate that was cut": {block.Bytes[:100], []acceptance.Code{acceptance.Malformed}},
		"a chain that was cut": {append(slices.Clone(second),
			"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"...),
			[]acceptance.Code{acceptance.Malformed}},
		"a chain of many certificates": {slices.Concat(second, testca.PEM(slices.Repeat([][]byte{f.ca.Issuing.Raw}, 20)...)),
			[]acceptance.Code{acceptance.Malformed}},
	} {
		var codes []acceptance.Code
		for _, d := range explained(partners, one.file, inWindow) {
			codes = append(codes, d.Code)
		}
		if !slices.Equal(codes, one.want) {
			t.Errorf("%s: %v, want %v", name, codes, one.want)
		}
	}
}

// explained returns the decisions about a file, also about one that cannot be read.
func explained(partners *acceptance.Partners, file []byte, now time.Time) []acceptance.Decision {
	decisions, err := Explain(partners, file, now)
	if err != nil {
		return []acceptance.Decision{Unreadable(err)}
	}
	return decisions
}

func FuzzExplain(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(f, err)
	known := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme"}, NotBefore: begin,
		NotAfter: begin.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, known, known, key.Public(), key)
	testenv.Check(f, err)
	parsed, err := x509.ParseCertificate(der)
	testenv.Check(f, err)
	partners, err := acceptance.New([]acceptance.Partner{{Name: "acme", Rule: acceptance.Successor,
		Known: []acceptance.Known{acceptance.NewKnown(parsed)}, Window: defaultWindow}})
	testenv.Check(f, err)
	f.Add(der)
	f.Add(testca.PEM(der, der))
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, d := range explained(partners, file, inWindow) {
			if d.Outcome == acceptance.Accept && d.Code != acceptance.Pinned || d.Reason == "" || d.Code == "" {
				t.Errorf("%+v", d)
			}
		}
	})
}
