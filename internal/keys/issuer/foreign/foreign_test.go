package foreign_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
	now   = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
)

func newRequest(t *testing.T, kind tenancy.KeyType) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(kind)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now, Validity: 24 * time.Hour}
}

func TestARequestIsReadByOpenSSLAndRepeatsByteForByte(t *testing.T) {
	for _, kind := range tenancy.KeyTypes {
		r := newRequest(t, kind)
		names, err := form.Requested(r)
		check(t, err)
		first, err := foreign.CSR(r.Key, names)
		check(t, err)
		again, err := foreign.CSR(r.Key, names)
		check(t, err)
		if !bytes.Equal(first, again) {
			t.Errorf("%s: the same request has other bytes", kind)
		}
		cmd := exec.Command("openssl", "req", "-verify", "-noout", "-text", "-nameopt", "RFC2253")
		cmd.Stdin = strings.NewReader(certfile.RequestPEM(first))
		out, err := cmd.CombinedOutput()
		for _, want := range []string{"verify OK", "CN=acme,OU=Tenants,O=P", "URI:spiffe://p.example.com/tenant/acme"} {
			if err != nil || !bytes.Contains(out, []byte(want)) {
				t.Errorf("%s: %v, want %q in %s", kind, err, want, out)
			}
		}
	}
}

func TestARequestKeepsTheNamesOfTheCertificateBefore(t *testing.T) {
	r := newRequest(t, tenancy.P256)
	kept := certfile.Names{Subject: []byte{0x30, 0}}
	var err error
	kept.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: "acme.elsewhere.example"})
	check(t, err)
	r.Replaces = &kept
	names, err := form.Requested(r)
	check(t, err)
	der, err := foreign.CSR(r.Key, names)
	check(t, err)
	csr, err := x509.ParseCertificateRequest(der)
	check(t, err)
	if !bytes.Equal(csr.RawSubject, kept.Subject) || len(csr.DNSNames) != 1 || len(csr.URIs) != 0 {
		t.Errorf("subject %x, DNS names %v, URIs %v", csr.RawSubject, csr.DNSNames, csr.URIs)
	}
	for _, e := range csr.Extensions {
		if e.Id.String() == "2.5.29.17" && !e.Critical {
			t.Error("the alternative names of a request without a subject are not critical (RFC 5280, section 4.1.2.6)")
		}
	}
}

// leafOf signs a certificate for a request.
func leafOf(t *testing.T, ca *testca.CA, r issuer.Request) []byte {
	t.Helper()
	names, err := form.Requested(r)
	check(t, err)
	der, err := foreign.CSR(r.Key, names)
	check(t, err)
	csr, err := x509.ParseCertificateRequest(der)
	check(t, err)
	leaf, err := ca.Sign(csr, now, now.AddDate(1, 0, 0), nil)
	check(t, err)
	return leaf
}

func TestAnAnswerIsReadInAnyFormAndOrder(t *testing.T) {
	ca := testca.New(t, "Theirs", now)
	r := newRequest(t, tenancy.P256)
	leaf := leafOf(t, ca, r)
	other := leafOf(t, ca, newRequest(t, tenancy.P256))
	degenerate, err := pkcs7.DegenerateCertificate(bytes.Join([][]byte{ca.Root.Raw, leaf, ca.Issuing.Raw}, nil))
	check(t, err)
	for name, answer := range map[string][]byte{
		"leaf first":           testca.PEM(leaf, ca.Issuing.Raw),
		"root first":           testca.PEM(ca.Root.Raw, ca.Issuing.Raw, leaf),
		"twice":                testca.PEM(leaf, ca.Issuing.Raw, leaf, ca.Issuing.Raw),
		"with another leaf":    testca.PEM(other, ca.Issuing.Raw, leaf),
		"with text":            append([]byte("Subject: acme\r\n\r\n"), testca.PEM(leaf, ca.Issuing.Raw)...),
		"PKCS#7":               degenerate,
		"PKCS#7 as PEM":        pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: degenerate}),
		"Windows line endings": bytes.ReplaceAll(testca.PEM(leaf, ca.Issuing.Raw), []byte("\n"), []byte("\r\n")),
	} {
		issued, err := foreign.Issued(answer, r.Key.Public(), now)
		if err != nil || !bytes.Equal(issued.DER, leaf) || len(issued.Chain) != 1 ||
			!bytes.Equal(issued.Chain[0], ca.Issuing.Raw) || issued.Subject != "CN=acme,OU=Tenants,O=P" {
			t.Errorf("%s: %v, a chain of %d, %s", name, err, len(issued.Chain), issued.Subject)
		}
	}
	if issued, err := foreign.Issued(leaf, r.Key.Public(), now); err != nil || len(issued.Chain) != 0 {
		t.Errorf("DER: %v, a chain of %d", err, len(issued.Chain))
	}
}

func TestAnAnswerWithoutTheCertificateIsAFault(t *testing.T) {
	ca := testca.New(t, "Theirs", now)
	r := newRequest(t, tenancy.P256)
	for name, c := range map[string]struct {
		answer []byte
		want   issuer.Fault
	}{
		"nothing":           {nil, issuer.Broken},
		"a page":            {[]byte("<html>login</html>"), issuer.Broken},
		"another key":       {testca.PEM(leafOf(t, ca, newRequest(t, tenancy.P256))), issuer.Mismatched},
		"only the CA":       {testca.PEM(ca.Issuing.Raw), issuer.Mismatched},
		"half a PEM":        {testca.PEM(leafOf(t, ca, r))[:200], issuer.Broken},
		"a private key":     {testca.KeyPEM(t, r.Key), issuer.Broken},
		"another's request": {[]byte(certfile.RequestPEM([]byte{0x30, 0})), issuer.Broken},
	} {
		issued, err := foreign.Issued(c.answer, r.Key.Public(), now)
		if fault, _ := issuer.FaultOf(err); fault != c.want || len(issued.DER) > 0 {
			t.Errorf("%s: %q, %v, want %q", name, fault, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnExpiredAuthorityIsLeftOutIfThereIsAnotherOne(t *testing.T) {
	ca := testca.New(t, "Theirs", now)
	r := newRequest(t, tenancy.P256)
	leaf := leafOf(t, ca, r)
	old := *ca.Issuing
	old.NotBefore, old.NotAfter = now.AddDate(-3, 0, 0), now.AddDate(-1, 0, 0)
	old.SerialNumber = ca.Root.SerialNumber
	der, err := x509.CreateCertificate(nil, &old, ca.Root, ca.Key.Public(), crypto.Signer(ca.RootKey))
	check(t, err)
	issued, err := foreign.Issued(testca.PEM(leaf, der, ca.Issuing.Raw), r.Key.Public(), now)
	if err != nil || len(issued.Chain) != 1 || !bytes.Equal(issued.Chain[0], ca.Issuing.Raw) {
		t.Errorf("%v, a chain of %d", err, len(issued.Chain))
	}
	issued, err = foreign.Issued(testca.PEM(leaf, der), r.Key.Public(), now)
	if err != nil || len(issued.Chain) != 1 { // the check reports that it has expired
		t.Errorf("alone: %v, a chain of %d", err, len(issued.Chain))
	}
}

func TestRootsAreReadAgainWhenTheirFileChanges(t *testing.T) {
	one, two := testca.New(t, "One", now), testca.New(t, "Two", now)
	path := filepath.Join(t.TempDir(), "roots.pem")
	if _, err := foreign.OpenRoots(path); err == nil {
		t.Error("a missing file is accepted")
	}
	check(t, os.WriteFile(path, []byte("nothing"), 0o600))
	if _, err := foreign.OpenRoots(path); err == nil {
		t.Error("a file without a certificate is accepted")
	}
	check(t, os.WriteFile(path, one.RootPEM(), 0o600))
	roots, err := foreign.OpenRoots(path)
	check(t, err)
	both := append(one.RootPEM(), two.RootPEM()...)
	check(t, os.WriteFile(path, both, 0o600))
	if !bytes.Equal(roots.Bundle(), both) {
		t.Error("a root that was added is missing")
	}
	check(t, os.Remove(path))
	if !bytes.Equal(roots.Bundle(), both) {
		t.Error("the roots are lost with the file")
	}
}
