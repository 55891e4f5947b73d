package service

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A caller uses the API of a running service.
type caller struct {
	t          *testing.T
	url, token string
}

func (c caller) raw(method, path string, in any) (int, []byte) {
	c.t.Helper()
	res, data := c.send(method, path, "", in)
	return res.StatusCode, data
}

// change changes the version of an object that it reads before.
func (c caller) change(path string, in any) {
	c.t.Helper()
	read, _ := c.send("GET", path, "", nil)
	if res, data := c.send("PUT", path, read.Header.Get("ETag"), in); res.StatusCode/100 != 2 {
		c.t.Fatalf("PUT %s: %d %s", path, res.StatusCode, data)
	}
}

func (c caller) send(method, path, version string, in any) (*http.Response, []byte) {
	c.t.Helper()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		testenv.Check(c.t, err)
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/v1"+path, body)
	testenv.Check(c.t, err)
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	if version != "" {
		r.Header.Set("If-Match", version)
	}
	res, err := http.DefaultClient.Do(r)
	testenv.Check(c.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	testenv.Check(c.t, err)
	return res, data
}

func (c caller) call(method, path string, in, out any) {
	c.t.Helper()
	status, data := c.raw(method, path, in)
	if status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	if out != nil {
		testenv.Check(c.t, json.Unmarshal(data, out))
	}
}

// A platform that has step-ca, and a bank whose CA a person asks. There is no local CA.
func TestAServiceRenewsFromTheCAsThatAPlatformHas(t *testing.T) {
	step, bank := steptest.Start(t), testca.New(t, "Bank", time.Now().Add(-time.Hour))
	file := filepath.Join(t.TempDir(), "issuers.yaml")
	testenv.Check(t, os.WriteFile(file, fmt.Appendf(nil, `issuers:
  - name: fleet
    kind: step-ca
    settings: {url: %s, fingerprint: %s, provisioner: perennial, key: "file:%s", password: "file:%s"}
  - name: bank-ca
    kind: manual
    settings: {roots: %s}
`, step.URL, step.Fingerprint, step.Key, step.Password, bank.RootFile(t)), 0o600))
	config := settings(t, "--issuers", file, "--issuer", "fleet", "--gateway", "off")
	s, err := open(t, config)
	testenv.Check(t, err)
	stop := run(t, s)
	api := caller{t, s.BaseURL(), s.FirstToken()}

	api.call("POST", "/tenants", map[string]string{"name": "acme"}, nil)
	var c client.Certificate
	for _, purpose := range []string{"tenant", "m-user"} {
		api.call("GET", "/tenants/acme/certificates/"+purpose+"/1", nil, &c)
		if c.Issuer != "CN=Step Issuing,O=CA" {
			t.Errorf("the %s certificate is of %s", purpose, c.Issuer)
		}
	}
	api.call("POST", "/tenants/acme/certificates/tenant/renew", map[string]string{"reason": "compromised"}, &c)
	if c.Generation != 2 || c.Issuer != "CN=Step Issuing,O=CA" {
		t.Errorf("generation %d is of %s", c.Generation, c.Issuer)
	}
	var issuers client.Page[client.Issuer]
	api.call("GET", "/issuers", nil, &issuers)
	if len(issuers.Items) != 2 || issuers.Items[1].Kind != "step-ca" || !issuers.Items[1].Default ||
		!issuers.Items[0].ByHand {
		t.Errorf("%+v", issuers.Items)
	}

	api.call("POST", "/tenants/acme/credentials", client.Credential{Name: "bank", Issuer: "bank-ca", KeyType: "rsa4096",
		Subject: "CN=4711,O=Bank"}, nil)
	var requests client.Page[client.CertificateRequest]
	api.call("GET", "/tenants/acme/requests", nil, &requests)
	if len(requests.Items) != 1 {
		t.Fatalf("%+v", requests)
	}
	request := "/tenants/acme/requests/" + requests.Items[0].ID
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())

	// The request survives a restart, and a replica with another default issuer does not start.
	other := config
	other.Certificates.Issuer = "local"
	if _, err := open(t, other); err == nil ||
		!strings.Contains(err.Error(), `has the issuer "fleet", and --issuer sets "local"`) {
		t.Errorf("another issuer: %v", err)
	}
	other = config
	other.Certificates.Issuers = ""
	if _, err := open(t, other); err == nil || !strings.Contains(err.Error(), "the issuer fleet is not configured") {
		t.Errorf("without the file: %v", err)
	}
	s, err = open(t, config)
	testenv.Check(t, err)
	stop = run(t, s)
	api.url = s.BaseURL()
	_, csr := api.raw("GET", request+"/csr", nil)
	block, _ := pem.Decode(csr)
	if block == nil {
		t.Fatalf("the request is %s", csr)
	}
	wanted, err := x509.ParseCertificateRequest(block.Bytes)
	testenv.Check(t, err)
	leaf, err := bank.Sign(wanted, time.Now().Add(-time.Minute), time.Now().AddDate(1, 0, 0), nil)
	testenv.Check(t, err)
	api.call("POST", request+"/answer", client.RequestAnswer{Certificate: testca.PEM(leaf, bank.Issuing.Raw)}, &c)
	if c.Purpose != "bank" || c.KeyType != "rsa4096" || c.Subject != "CN=4711,O=Bank" {
		t.Errorf("%s %s: %s", c.Purpose, c.KeyType, c.Subject)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}
