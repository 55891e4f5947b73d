package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
)

// An elsewhere is a certificate of another CA, with its key.
type elsewhere struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue returns a certificate that e signed; without e, that signed itself. key is nil for a new one.
func (e *elsewhere) issue(t *testing.T, name string, ca bool, until time.Time, key *ecdsa.PrivateKey) *elsewhere {
	t.Helper()
	var err error
	if key == nil {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(t, err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	check(t, err)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, IsCA: ca,
		BasicConstraintsValid: true, NotBefore: until.AddDate(-2, 0, 0), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature}
	if ca {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if e == nil {
		e = &elsewhere{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, e.cert, key.Public(), e.key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &elsewhere{cert, key}
}

// names returns the common names of certificates.
func names(certs []*x509.Certificate) string {
	var all []string
	for _, c := range certs {
		all = append(all, c.Subject.CommonName)
	}
	return strings.Join(all, ", ")
}

// A long chain that was imported in the wrong order reaches a receiver that trusts only the root, through both kinds of
// gateways, and the receiver's administrator can download it.
func TestALongChainIsImportedSentAndDownloadedWhole(t *testing.T) {
	t.Parallel()
	dir, until := t.TempDir(), time.Now().AddDate(1, 0, 0)
	var none *elsewhere
	root, other := none.issue(t, "root", true, until, nil), none.issue(t, "other root", true, until, nil)
	upper := root.issue(t, "upper", true, until, nil)
	middle := upper.issue(t, "middle", true, until, nil)
	lower := middle.issue(t, "lower", true, until, nil)
	leaf := lower.issue(t, "acme", false, until, nil)
	cross := other.issue(t, "upper", true, time.Now().AddDate(0, 0, -1), upper.key)
	const whole = "acme, lower, middle, upper"

	sent := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- names(r.TLS.PeerCertificates)
	}))
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	s.StartTLS()
	t.Cleanup(s.Close)

	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	var file []byte
	for _, c := range []*elsewhere{upper, cross, leaf, root, lower, middle} {
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	check(t, err)
	file = append(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)

	service := begin(t, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--database",
		"sqlite:"+filepath.Join(dir, "p.db"), "--key-file", filepath.Join(dir, "key"), "--allow-target", "127.0.0.0/8",
		"--log-level", "error")
	perennial := commands(t, service.out["URL"], service.out["TOKEN"])
	perennial("import", "--tenants", write("tenants.csv", []byte("name\nacme\n")), "--arrangements",
		write("arrangements.csv", fmt.Appendf(nil, "tenant,name,receiver,endpoint,server_key_pin\nacme,bank,bank,%s,%s\n",
			s.URL, outbound.KeyPin(s.Certificate()))), "--certificates", write("acme.pem", file), "--apply", "--accept-changes")

	token := func(args ...string) string {
		return regexp.MustCompile(`perennial_\S+`).FindString(perennial(append([]string{"token", "create"}, args...)...))
	}
	alone := begin(t, "gateway", "--gateway", "127.0.0.1:0", "--allow-target", "127.0.0.0/8", "--log-level", "error",
		"--control", service.out["URL"], "--token", token("dmz", "--role", "gateway"))
	sender := token("app", "--role", "sender", "--tenant", "acme")
	for name, gateway := range map[string]string{"in the service": service.out["GATEWAY"], "alone": alone.out["GATEWAY"]} {
		r, err := http.NewRequest("GET", gateway+"/acme/bank/", nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+sender)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("the gateway %s: %d %s", name, res.StatusCode, body)
		}
		if got := <-sent; got != whole {
			t.Errorf("the gateway %s sends %s, want %s", name, got, whole)
		}
	}

	link := regexp.MustCompile(`https?://\S+/rollover/\S+`).FindString(perennial("rollover", "link", "acme/bank"))
	download := func(format string) []byte {
		t.Helper()
		res, err := http.Get(link + "/certificate?format=" + format)
		check(t, err)
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		check(t, err)
		if res.StatusCode != 200 {
			t.Fatalf("%s: %d %s", format, res.StatusCode, data)
		}
		return data
	}
	p7, err := pkcs7.Parse(download("pkcs7"))
	check(t, err)
	if got := names(p7.Certificates); got != whole {
		t.Errorf("PKCS#7 has %s, want %s", got, whole)
	}
	var files []*x509.Certificate
	for _, format := range []string{"pem", "chain"} {
		for block, rest := pem.Decode(download(format)); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			check(t, err)
			files = append(files, c)
		}
	}
	if got := names(files); got != whole {
		t.Errorf("the certificate and its chain in PEM are %s, want %s", got, whole)
	}
}
