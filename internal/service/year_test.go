package service

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

const day = 24 * time.Hour

// A calendar is the clock of a service for which years pass.
type calendar struct{ passed atomic.Int64 }

func (c *calendar) now() time.Time { return time.Now().Add(time.Duration(c.passed.Load())) }

func (c *calendar) nextDay() { c.passed.Add(int64(day)) }

// inItsTime starts a proxy in front of a step-ca, which has the system's clock. It signs each token again, as of now.
// The dates of the certificates are those that the service asks for.
func inItsTime(t *testing.T, step *steptest.Server) (address string) {
	t.Helper()
	data, err := os.ReadFile(step.PlainKey)
	testenv.Check(t, err)
	var key jose.JSONWebKey
	testenv.Check(t, key.UnmarshalJSON(data))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	testenv.Check(t, err)
	target, err := url.Parse(step.URL)
	testenv.Check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(step.CA.Root)
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if r.In.Method != http.MethodPost {
				return
			}
			var body, claims map[string]any
			testenv.Check(t, json.NewDecoder(r.In.Body).Decode(&body))
			token, err := jose.ParseSignedCompact(body["ott"].(string), []jose.SignatureAlgorithm{jose.ES256})
			testenv.Check(t, err)
			payload, err := token.Verify(key.Public())
			testenv.Check(t, err)
			testenv.Check(t, json.Unmarshal(payload, &claims))
			claims["aud"] = step.URL + r.In.URL.Path
			claims["iat"], claims["nbf"] = time.Now().Unix(), time.Now().Add(-time.Minute).Unix()
			claims["exp"] = time.Now().Add(time.Minute).Unix()
			payload, err = json.Marshal(claims)
			testenv.Check(t, err)
			signed, err := signer.Sign(payload)
			testenv.Check(t, err)
			body["ott"], err = signed.CompactSerialize()
			testenv.Check(t, err)
			sent, err := json.Marshal(body)
			testenv.Check(t, err)
			r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		},
	}
	server := httptest.NewUnstartedServer(proxy)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{step.CA.Server(t, time.Now().Add(-time.Hour),
		time.Now().Add(day))}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// A partner is a receiving system with the CAs that it trusts, and the certificates that it knows. If it knows none, it
// accepts every certificate of its CAs.
type partner struct {
	*receiver.Server
	mu    sync.Mutex
	roots []*x509.Certificate
	known [][]byte
}

func startPartner(t *testing.T, server tls.Certificate, c *calendar, roots ...*x509.Certificate) *partner {
	t.Helper()
	p := &partner{roots: roots}
	var err error
	p.Server, err = receiver.Start(receiver.Options{Certificate: receiver.Fixed(server), Refuse: http.StatusUnauthorized,
		Clock: c.now, Decide: func(r *http.Request, leaf *x509.Certificate) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: c.now(),
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
			for _, root := range p.roots {
				o.Roots.AddCert(root)
			}
			for _, above := range r.TLS.PeerCertificates[1:] {
				o.Intermediates.AddCert(above)
			}
			_, err := leaf.Verify(o)
			return err == nil && (p.known == nil || slices.ContainsFunc(p.known, func(der []byte) bool {
				return bytes.Equal(der, leaf.Raw)
			}))
		}})
	testenv.Check(t, err)
	t.Cleanup(func() { p.Server.Close() })
	return p
}

func (p *partner) trust(root *x509.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roots = append(p.roots, root)
}

func (p *partner) know(leaf []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = append(p.known, leaf)
}

// lastingTokens creates a sender's token of the tenant acme, and an operator's, for more than two years.
func lastingTokens(t *testing.T, s *Service, now time.Time, sender string) (operator string) {
	t.Helper()
	acme, err := s.Store().Tenant(t.Context(), "acme")
	testenv.Check(t, err)
	operator = "perennial_operator"
	testenv.Check(t, s.Store().InTx(t.Context(), func(tx *store.Tx) error {
		for secret, token := range map[string]tenancy.Token{
			operator: {Name: "years", Role: tenancy.RoleOperator},
			sender:   {Name: "orders", Role: tenancy.RoleSender, TenantID: acme.ID},
		} {
			token.ID, token.CreatedAt, token.ExpiresAt = store.NewID(), now, now.Add(1000*day)
			if err := tx.CreateToken(t.Context(), token, tenancy.HashSecret(secret)); err != nil {
				return err
			}
		}
		return nil
	}))
	return operator
}

// A platform has its own step-ca, and a bank that signs requests by hand. Each receiver trusts only the right CA.
func TestTwoYearsPassWithTheCAsThatAPlatformHas(t *testing.T) {
	c := &calendar{}
	step, next := steptest.Start(t), steptest.Start(t)
	bank := testca.New(t, "Bank", time.Now())
	dir := t.TempDir()
	file := filepath.Join(dir, "issuers.yaml")
	testenv.Check(t, os.WriteFile(file, fmt.Appendf(nil, `issuers:
  - name: fleet
    kind: step-ca
    settings: {url: %s, fingerprint: %s, provisioner: perennial, key: "file:%s"}
  - name: fleet-2
    kind: step-ca
    settings: {url: %s, fingerprint: %s, provisioner: perennial, key: "file:%s"}
  - name: bank-ca
    kind: manual
    settings: {roots: %s}
`, inItsTime(t, step), step.Fingerprint, step.PlainKey, inItsTime(t, next), next.Fingerprint, next.PlainKey,
		bank.RootFile(t)), 0o600))
	config := settings(t, "--issuers", file, "--issuer", "fleet", "--m-user", "off", "--allow-target", "127.0.0.0/8")
	s, err := Open(t.Context(), Config{Settings: config, Version: "test", Now: c.now, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop := run(t, s)
	api := caller{t, s.BaseURL(), s.FirstToken()}
	api.call("POST", "/tenants", client.Tenant{Name: "acme"}, nil)
	const sender = "perennial_sender"
	api.token = lastingTokens(t, s, c.now(), sender)

	web := testca.New(t, "Web", time.Now())
	server := web.Server(t, time.Now().Add(-time.Hour), time.Now().Add(day))
	erp, teller := startPartner(t, server, c, step.CA.Root), startPartner(t, server, c, bank.Root)
	api.call("POST", "/tenants/acme/credentials", client.Credential{Name: "bank", Issuer: "bank-ca", KeyType: "rsa4096",
		Subject: "CN=4711,O=Bank"}, nil)
	y := &years{caller: api, calendar: c, bank: bank, gateway: s.GatewayURL(), sender: sender}
	y.answerRequests()
	teller.know(y.certificate("bank", 1).Raw)
	y.admins = []*admin{
		{credential: "tenant", install: func(leaf *x509.Certificate) {
			if leaf.CheckSignatureFrom(next.CA.Issuing) == nil {
				erp.trust(next.CA.Root)
			}
		}},
		{credential: "bank", install: func(leaf *x509.Certificate) { teller.know(leaf.Raw) }},
	}
	egress := tenancy.Egress{ServerCA: string(web.RootPEM())}
	for name, a := range map[string]client.Arrangement{"erp": {Endpoint: erp.URL, Egress: egress},
		"teller": {Endpoint: teller.URL, Credential: "bank", Egress: egress}} {
		a.Name, a.Receiver = name, name
		api.call("POST", "/tenants/acme/receivers", client.Receiver{Name: name}, nil)
		api.call("POST", "/tenants/acme/arrangements", a, nil)
	}

	const changesAt, end = 400, 730
	for n := range end {
		c.nextDay()
		testenv.Check(t, s.Engine().Tick(t.Context(), c.now()))
		if n == changesAt {
			api.change("/tenants/acme/credentials/tenant", client.Credential{Name: "tenant", Issuer: "fleet-2"})
		}
		y.work(n)
	}
	if y.sent != 4*end || y.failed != 0 {
		t.Errorf("%d of %d messages failed", y.failed, y.sent)
	}
	y.hasGenerations("tenant", "p256", step.CA, step.CA, next.CA)
	y.hasGenerations("bank", "rsa4096", bank, bank, bank)
	if status, _ := y.raw("GET", "/tenants/acme/certificates/m-user/1", nil); status != http.StatusNotFound {
		t.Errorf("the certificate of the M-user: %d", status)
	}
	var risks client.Page[json.RawMessage]
	if y.call("GET", "/tenants/acme/at-risk", nil, &risks); len(risks.Items) != 0 {
		t.Errorf("at risk: %+v", risks.Items)
	}
	testenv.Check(t, stop())
}

// years holds the administrators, and counts the messages.
type years struct {
	caller
	calendar        *calendar
	bank            *testca.CA
	admins          []*admin
	gateway, sender string
	sent, failed    int
}

// An admin installs a generation at a receiving system 20 days after it was issued.
type admin struct {
	credential   string
	install      func(*x509.Certificate)
	newest, seen int // generation, and the day on which it appeared
}

// work is a day. The bank answers a request for a renewal after five days.
func (y *years) work(n int) {
	y.answerRequests()
	for _, a := range y.admins {
		var c client.Credential
		y.call("GET", "/tenants/acme/credentials/"+a.credential, nil, &c)
		if c.Generation != a.newest {
			a.newest, a.seen = c.Generation, n
		}
		if a.newest > 1 && n == a.seen+20 {
			a.install(y.certificate(a.credential, a.newest))
		}
	}
	for _, method := range []string{"GET", "POST"} {
		for _, to := range []string{"erp", "teller"} {
			y.sent++
			r, err := http.NewRequestWithContext(y.t.Context(), method, y.gateway+"/acme/"+to+"/orders",
				strings.NewReader("<order/>"))
			testenv.Check(y.t, err)
			r.Header.Set("Authorization", "Bearer "+y.sender)
			res, err := http.DefaultClient.Do(r)
			testenv.Check(y.t, err)
			text, err := io.ReadAll(res.Body)
			testenv.Check(y.t, err)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				y.failed++
				y.t.Errorf("day %d, %s to %s: %d %s", n, method, to, res.StatusCode, text)
			}
		}
	}
}

func (y *years) answerRequests() {
	var requests client.Page[client.CertificateRequest]
	y.call("GET", "/tenants/acme/requests", nil, &requests)
	for _, one := range requests.Items {
		if now := y.calendar.now(); one.ByHand && (one.Generation == 1 || now.Sub(one.Since) > 5*day) {
			path := "/tenants/acme/requests/" + one.ID
			_, csr := y.raw("GET", path+"/csr", nil)
			block, _ := pem.Decode(csr)
			wanted, err := x509.ParseCertificateRequest(block.Bytes)
			testenv.Check(y.t, err)
			leaf, err := y.bank.Sign(wanted, now.Add(-time.Minute), now.AddDate(1, 0, 0), nil)
			testenv.Check(y.t, err)
			y.call("POST", path+"/answer", client.RequestAnswer{Certificate: testca.PEM(leaf, y.bank.Issuing.Raw)}, nil)
		}
	}
}

func (y *years) certificate(credential string, generation int) *x509.Certificate {
	y.t.Helper()
	_, text := y.raw("GET", fmt.Sprintf("/tenants/acme/certificates/%s/%d/download", credential, generation), nil)
	block, _ := pem.Decode(text)
	if block == nil {
		y.t.Fatalf("generation %d is %s", generation, text)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	testenv.Check(y.t, err)
	return c
}

// hasGenerations compares the generations of a credential with the CAs that should have signed them. The newest one is
// presented.
func (y *years) hasGenerations(credential, keyType string, signers ...*testca.CA) {
	y.t.Helper()
	var c client.Credential
	y.call("GET", "/tenants/acme/credentials/"+credential, nil, &c)
	if c.Generation != len(signers) || c.State != tenancy.Active {
		y.t.Errorf("%s has %d generations, and the newest is %s", credential, c.Generation, c.State)
	}
	first := y.certificate(credential, 1)
	for i, ca := range signers {
		leaf := y.certificate(credential, i+1)
		var c client.Certificate
		y.call("GET", fmt.Sprintf("/tenants/acme/certificates/%s/%d", credential, i+1), nil, &c)
		if err := leaf.CheckSignatureFrom(ca.Issuing); err != nil || string(c.KeyType) != keyType ||
			!bytes.Equal(leaf.RawSubject, first.RawSubject) {
			y.t.Errorf("%s %d: %s, %s: %v", credential, i+1, leaf.Subject, c.KeyType, err)
		}
	}
}
