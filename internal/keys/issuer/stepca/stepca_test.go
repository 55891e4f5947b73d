package stepca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/stepca"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
	quiet = slog.New(slog.DiscardHandler)
)

func request(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 365 * 24 * time.Hour}
}

func jwk(s *steptest.Server) stepca.Config {
	return stepca.Config{URL: s.URL, Fingerprint: s.Fingerprint, Provisioner: "perennial", Key: secret.File(s.Key),
		Password: secret.File(s.Password)}
}

// x5c returns the settings of the X5C provisioner, whose certificate is valid in a period.
func x5c(t *testing.T, s *steptest.Server, from, to time.Time) stepca.Config {
	t.Helper()
	certificate, key := s.CA.Client(t, "perennial", from, to)
	return stepca.Config{URL: s.URL, Roots: s.Roots, Provisioner: "fleet", Key: secret.File(key),
		Certificate: certificate}
}

func open(t *testing.T, c stepca.Config) issuer.Issuer {
	t.Helper()
	i, err := stepca.Open(c, form, quiet)
	check(t, err)
	return i
}

func TestStepCAConforms(t *testing.T) {
	s := steptest.Start(t)
	t.Run("JWK", func(t *testing.T) {
		issuertest.RunNow(t, func(t *testing.T, _ time.Time) issuer.Issuer { return open(t, jwk(s)) })
	})
	t.Run("X5C", func(t *testing.T) {
		issuertest.RunNow(t, func(t *testing.T, now time.Time) issuer.Issuer {
			return open(t, x5c(t, s, now.Add(-time.Hour), now.AddDate(4, 0, 0)))
		})
	})
}

func TestStepCAReportsEachFault(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	provisioner, err := jose.JSONWebKey{Key: key, KeyID: "k"}.MarshalJSON()
	check(t, err)
	issuertest.RunFaults(t, issuertest.Protocol{
		Kind: "step-ca",
		Settings: func(c *issuertest.CA) map[string]any {
			return map[string]any{"url": c.URL, "roots": c.Roots(), "provisioner": "p",
				"key": "file:" + c.File("jwk.json", provisioner)}
		},
		Serve: func(c *issuertest.CA, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/1.0/sign" {
				http.NotFound(w, r)
				return
			}
			var request struct{ CSR string }
			json.NewDecoder(r.Body).Decode(&request)
			c.AnswerJSON(w, request.CSR, http.StatusCreated, func(chain []string) any {
				return map[string]any{"certChain": chain}
			})
		},
		Capabilities: []string{"revokes", "keeps names"},
	})
}

func TestTheCertificateOfAProvisionerIsRenewedAndLimitsTheTenants(t *testing.T) {
	s := steptest.Start(t)
	now := time.Now()
	// step-ca renews what it issued itself, so the certificate of the provisioner is issued first.
	r := request(t)
	r.Tenant, r.At, r.Validity = "perennial", now.Add(-2*time.Minute), 5*time.Minute
	first, err := open(t, x5c(t, s, now.Add(-48*time.Hour), now.AddDate(1, 0, 0))).Issue(t.Context(), r)
	check(t, err)
	dir := t.TempDir()
	c := stepca.Config{URL: s.URL, Roots: s.Roots, Provisioner: "fleet",
		Certificate: filepath.Join(dir, "own.pem"), Key: secret.File(filepath.Join(dir, "own.key"))}
	check(t, os.WriteFile(c.Certificate, testca.PEM(append([][]byte{first.DER}, first.Chain...)...), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "own.key"), testca.KeyPEM(t, r.Key), 0o600))
	r = request(t)
	r.At = now.Add(time.Minute / 2) // two thirds have passed; tokens may be a minute ahead
	issued, err := issuer.Checked(open(t, c)).Issue(t.Context(), r)
	check(t, err)
	pair, err := tls.LoadX509KeyPair(c.Certificate, filepath.Join(dir, "own.key"))
	check(t, err)
	if !pair.Leaf.NotAfter.After(first.NotAfter) {
		t.Errorf("the certificate of the provisioner still ends at %s", pair.Leaf.NotAfter)
	}
	if !issued.NotAfter.Equal(pair.Leaf.NotAfter) {
		t.Errorf("a certificate until %s, the provisioner has one until %s", issued.NotAfter, pair.Leaf.NotAfter)
	}
}

func TestARenewalOfTheProvisionersCertificateThatFailsIsLogged(t *testing.T) {
	s := steptest.Start(t)
	now := time.Now()
	// It was issued by a CA whose certificates this step-ca does not renew.
	c := x5c(t, s, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	certificate, key := s.Fleet.Client(t, "perennial", now.Add(-90*24*time.Hour), now.AddDate(0, 0, 10))
	c.Certificate, c.Key = certificate, secret.File(key)
	var log bytes.Buffer
	i, err := stepca.Open(c, form, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, err)
	if _, err := i.Issue(t.Context(), request(t)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "cannot be renewed") || !strings.Contains(log.String(), c.Certificate) {
		t.Errorf("logged: %s", log.String())
	}
}

func TestNamesOfAnEarlierCAAreKeptByteForByte(t *testing.T) {
	i := issuer.Checked(open(t, jwk(steptest.Start(t))))
	// The attributes are in an order that pkix.Name does not keep.
	subject, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "my300001"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Elsewhere"}},
		{{Type: asn1.ObjectIdentifier{2, 5, 4, 6}, Value: "DE"}}})
	check(t, err)
	san, err := certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: "my300001.example.com"})
	check(t, err)
	for _, names := range []certfile.Names{{Subject: subject}, {Subject: subject, SAN: san}} {
		r := request(t)
		r.Replaces = &names
		issued, err := i.Issue(t.Context(), r)
		check(t, err)
		if has, err := certfile.NamesOf(issued.DER); err != nil || !has.Equal(names) {
			t.Errorf("%v: %v instead of %v", err, has, names)
		}
	}
}

func TestARevokedCertificateIsNotRenewedByTheCA(t *testing.T) {
	s := steptest.Start(t)
	i := open(t, jwk(s))
	r := request(t)
	issued, err := i.Issue(t.Context(), r)
	check(t, err)
	revoker, _ := issuer.As[issuer.Revoker](i)
	c := tenancy.Certificate{Serial: issued.Serial, DER: issued.DER, RevokedAt: time.Now(), RevokedFor: "compromised"}
	check(t, revoker.Revoke(t.Context(), c))
	check(t, revoker.Revoke(t.Context(), c))
	c.DER = []byte("unreadable")
	if err := revoker.Revoke(t.Context(), c); err == nil {
		t.Error("a certificate that cannot be read is revoked")
	}
}

func TestEachFaultOfAStepCAHasItsKind(t *testing.T) {
	s := steptest.Start(t)
	now := time.Now()
	other := testca.New(t, "Other", now)
	otherCertificate, otherKey := other.Client(t, "perennial", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	wrong := filepath.Join(t.TempDir(), "wrong")
	check(t, os.WriteFile(wrong, []byte("hush"), 0o600))
	for name, c := range map[string]struct {
		change func(*stepca.Config)
		want   issuer.Fault
		text   string
	}{
		"another fingerprint": {func(c *stepca.Config) { c.Fingerprint = certfile.Fingerprint(other.Root.Raw) },
			issuer.Untrusted, "no root with the fingerprint"},
		"another root": {func(c *stepca.Config) { c.Fingerprint, c.Roots = "", other.RootFile(t) }, issuer.Untrusted,
			"unknown authority"},
		"another provisioner": {func(c *stepca.Config) { c.Provisioner = "other" }, issuer.Denied, ""},
		"a wrong password":    {func(c *stepca.Config) { c.Password = secret.File(wrong) }, "", "cannot be opened"},
		"a key that is none":  {func(c *stepca.Config) { c.Key = secret.File(s.Roots) }, "", "not a private JWK"},
		"a certificate of another CA": {func(c *stepca.Config) {
			c.Provisioner, c.Certificate, c.Key = "fleet", otherCertificate, secret.File(otherKey)
		}, issuer.Denied, ""},
		"an expired certificate": {func(c *stepca.Config) {
			*c = x5c(t, s, now.Add(-2*time.Hour), now.Add(-time.Hour))
		}, issuer.Denied, "expired at"},
		"no CA at the address": {func(c *stepca.Config) { c.URL += "/elsewhere" }, issuer.Untrusted, ""},
	} {
		config := jwk(s)
		c.change(&config)
		_, err := open(t, config).Issue(t.Context(), request(t))
		if fault, _ := issuer.FaultOf(err); err == nil || fault != c.want || !strings.Contains(err.Error(), c.text) ||
			strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %q, %v, want %q: %q", name, fault, err, c.want, c.text)
		}
	}
	long := request(t)
	long.Validity = 10 * 365 * 24 * time.Hour
	_, err := open(t, jwk(s)).Issue(t.Context(), long)
	if fault, _ := issuer.FaultOf(err); fault != issuer.Denied {
		t.Errorf("a validity that the provisioner does not allow: %q, %v", fault, err)
	}
	i := open(t, jwk(s))
	s.Stop()
	_, err = i.Issue(t.Context(), request(t))
	if fault, _ := issuer.FaultOf(err); fault != issuer.Unreachable {
		t.Errorf("a CA that is down: %q, %v", fault, err)
	}
}

func TestInvalidSettingsOfAStepCAAreRefused(t *testing.T) {
	good := stepca.Config{URL: "https://ca.example.com", Provisioner: "p", Key: secret.File("jwk"),
		Fingerprint: strings.Repeat("ab", 32)}
	if _, err := stepca.Open(good, form, quiet); err != nil {
		t.Errorf("a CA that is not needed to open the issuer: %v", err)
	}
	for name, change := range map[string]func(*stepca.Config){
		"no address":                  func(c *stepca.Config) { c.URL = "" },
		"no provisioner":              func(c *stepca.Config) { c.Provisioner = "" },
		"no key":                      func(c *stepca.Config) { c.Key = secret.Ref{} },
		"no root":                     func(c *stepca.Config) { c.Fingerprint = "" },
		"two roots":                   func(c *stepca.Config) { c.Roots = "root.pem" },
		"a short fingerprint":         func(c *stepca.Config) { c.Fingerprint = "abcd" },
		"a file of roots that is not": func(c *stepca.Config) { c.Fingerprint, c.Roots = "", "missing.pem" },
	} {
		c := good
		change(&c)
		if _, err := stepca.Open(c, form, quiet); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
