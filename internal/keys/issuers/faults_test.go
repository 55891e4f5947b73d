package issuers_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/smallstep/pkcs7"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
	quiet = issuers.Env{Form: form, Log: slog.New(slog.DiscardHandler)}
)

// A world is a CA that a fault may change, and what its issuers need.
type world struct {
	web    *testca.CA // of its TLS certificate
	ca     *testca.CA
	change func(*x509.Certificate) // a lie
	key    any                     // another public key, as a lie
	front  http.HandlerFunc        // answers instead; nil for an honest CA
	url    string
	dir    string
}

// sign returns the chain for a request, as far as the CA is honest.
func (w *world) sign(der []byte) ([][]byte, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if w.key != nil {
		csr.PublicKey = w.key
	}
	leaf, err := w.ca.Sign(csr, time.Now().Add(-time.Minute), time.Now().AddDate(0, 1, 0), w.change)
	return [][]byte{leaf, w.ca.Issuing.Raw}, err
}

func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if w.front != nil {
		w.front(out, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	switch path := r.URL.Path; {
	case path == "/1.0/sign":
		var request struct{ CSR string }
		json.Unmarshal(body, &request)
		w.reply(out, request.CSR, func(chain []string) any { return map[string]any{"certChain": chain} }, 201)
	case path == "/v1/pki/sign/tenants":
		var request struct{ CSR string }
		json.Unmarshal(body, &request)
		w.reply(out, request.CSR, func(chain []string) any {
			return map[string]any{"data": map[string]any{"certificate": chain[0], "ca_chain": chain[1:]}}
		}, 200)
	case path == "/.well-known/est/cacerts":
		w.send(out, w.ca.Issuing.Raw)
	case path == "/.well-known/est/csrattrs":
		out.WriteHeader(http.StatusNoContent)
	case path == "/.well-known/est/simpleenroll":
		der, _ := base64.StdEncoding.DecodeString(string(body))
		chain, err := w.sign(der)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		w.send(out, chain[0])
	case strings.HasPrefix(path, "/acme"):
		w.acme(out, path, body)
	default:
		http.NotFound(out, r)
	}
}

func (w *world) reply(out http.ResponseWriter, csr string, form func(chain []string) any, status int) {
	block, _ := pem.Decode([]byte(csr))
	chain, err := w.sign(block.Bytes)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	var texts []string
	for _, der := range chain {
		texts = append(texts, string(testca.PEM(der)))
	}
	out.WriteHeader(status)
	json.NewEncoder(out).Encode(form(texts))
}

func (w *world) send(out http.ResponseWriter, der []byte) {
	bag, _ := pkcs7.DegenerateCertificate(der)
	io.WriteString(out, base64.StdEncoding.EncodeToString(bag))
}

// acme answers an order whose names are authorized already.
func (w *world) acme(out http.ResponseWriter, path string, body []byte) {
	out.Header().Set("Replay-Nonce", "n")
	order := func(status int, state string) {
		out.Header().Set("Location", w.url+"/acme/order/1")
		out.WriteHeader(status)
		fmt.Fprintf(out, `{"status":%q,"authorizations":[],"finalize":%q,"certificate":%q}`, state, w.url+"/acme/finalize",
			w.url+"/acme/certificate")
	}
	switch path {
	case "/acme/dir":
		fmt.Fprintf(out, `{"newNonce":%q,"newAccount":%q,"newOrder":%q}`, w.url+"/acme/nonce", w.url+"/acme/account",
			w.url+"/acme/order")
	case "/acme/account":
		out.Header().Set("Location", w.url+"/acme/account/1")
		out.WriteHeader(http.StatusCreated)
		io.WriteString(out, `{"status":"valid"}`)
	case "/acme/order":
		order(http.StatusCreated, "ready")
	case "/acme/order/1":
		order(http.StatusOK, "ready")
	case "/acme/finalize":
		var message struct{ Payload string }
		json.Unmarshal(body, &message)
		payload, _ := base64.RawURLEncoding.DecodeString(message.Payload)
		var request struct{ CSR string }
		json.Unmarshal(payload, &request)
		der, _ := base64.RawURLEncoding.DecodeString(request.CSR)
		chain, err := w.sign(der)
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		os.WriteFile(filepath.Join(w.dir, "acme.pem"), testca.PEM(chain...), 0o600)
		order(http.StatusOK, "valid")
	case "/acme/certificate":
		chain, _ := os.ReadFile(filepath.Join(w.dir, "acme.pem"))
		out.Header().Set("Content-Type", "application/pem-certificate-chain")
		out.Write(chain)
	}
}

// file writes the file of issuers, one of each kind that talks HTTPS.
func (w *world) file(t *testing.T) string {
	t.Helper()
	write := func(name string, data []byte) string {
		path := filepath.Join(w.dir, name)
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	jwk, err := jose.JSONWebKey{Key: key, KeyID: "k"}.MarshalJSON()
	check(t, err)
	text := strings.NewReplacer("URL", w.url, "WEB", write("web.pem", w.web.RootPEM()), "ROOTS",
		write("both.pem", append(w.web.RootPEM(), w.ca.RootPEM()...)), "JWK", write("jwk.json", jwk), "SECRET",
		write("secret", []byte("hush")), "ACCOUNT", write("account.pem", testca.KeyPEM(t, key))).Replace(`issuers:
  - name: of-step-ca
    kind: step-ca
    settings: {url: URL, roots: ROOTS, provisioner: p, key: "file:JWK", timeout: TIMEOUT}
  - name: of-vault
    kind: vault
    settings:
      {url: URL, role: tenants, auth: {method: token, token: "file:SECRET"}, tls: {roots: WEB}, roots: ROOTS,
       timeout: TIMEOUT}
  - name: of-est
    kind: est
    settings: {url: URL, username: u, password: "file:SECRET", tls: {roots: WEB}, roots: ROOTS, timeout: TIMEOUT}
  - name: of-acme
    kind: acme
    settings:
      {directory: URL/acme/dir, domain: tenants.example.com, account_key: "file:ACCOUNT", tls: {roots: WEB},
       roots: ROOTS, timeout: TIMEOUT}
`)
	timeout := "1m"
	if w.front != nil {
		timeout = "1s"
	}
	return write("issuers.yml", []byte(strings.ReplaceAll(text, "TIMEOUT", timeout)))
}

// newWorld starts an honest CA whose TLS certificate is valid in a period.
func newWorld(t *testing.T, from, to time.Duration) *world {
	t.Helper()
	now := time.Now()
	w := &world{web: testca.New(t, "Web", now), ca: testca.New(t, "Theirs", now), dir: t.TempDir()}
	server := httptest.NewUnstartedServer(w)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{w.web.Server(t, now.Add(from), now.Add(to))}}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func request(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 24 * time.Hour}
}

func TestEachFaultHasItsKindWhateverTheKindOfTheIssuer(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	now := time.Now()
	status := func(code int, retry string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(code)
			// Each kind finds its own field.
			io.WriteString(w, `{"detail":"its own words","message":"its own words","errors":["its own words"],"type":"x"}`)
		}
	}
	for name, c := range map[string]struct {
		change   func(*world)
		want     issuer.Fault
		text     string
		retry    bool
		from, to time.Duration // of the TLS certificate
	}{
		"honest": {change: func(*world) {}},
		"down": {change: func(w *world) {
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			closed.Close()
			w.url = "https://" + closed.Addr().String()
		}, want: issuer.Unreachable, text: "connection refused"},
		"slow": {change: func(w *world) {
			w.front = func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
				<-r.Context().Done()
			}
		}, want: issuer.Slow, text: "within 1s"},
		"limiting": {change: func(w *world) { w.front = status(429, "60") }, want: issuer.Limited, text: "its own words",
			retry: true},
		"out of quota": {change: func(w *world) { w.front = status(429, "") }, want: issuer.Limited, text: "its own words"},
		"in maintenance": {change: func(w *world) { w.front = status(503, "60") }, want: issuer.Unreachable,
			text: "its own words", retry: true},
		"denying": {change: func(w *world) { w.front = status(401, "") }, want: issuer.Denied, text: "its own words"},
		"not itself": {change: func(w *world) { w.web = testca.New(t, "Web", now) }, want: issuer.Untrusted,
			text: "unknown authority"},
		"an expired TLS certificate": {change: func(*world) {}, want: issuer.Untrusted, text: "expired",
			from: -2 * time.Hour, to: -time.Hour},
		"an expired CA": {change: func(w *world) {
			w.ca = testca.NewUntil(t, "Theirs", now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1))
		}, want: issuer.Expired, text: "CN=Theirs Issuing,O=CA"},
		"lying about the key": {change: func(w *world) { w.key = other.Public() }, want: issuer.Mismatched,
			text: "without a certificate of the requested key"},
		"lying about the tenant": {change: func(w *world) {
			w.change = func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "zeta"} }
		}, want: issuer.Mismatched, text: "it names CN=zeta"},
		"lying about the usage": {change: func(w *world) {
			w.change = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}, want: issuer.Mismatched, text: "not for client authentication"},
		"another CA": {change: func(w *world) {
			w.front = func(out http.ResponseWriter, r *http.Request) {
				w.ca, w.front = testca.New(t, "Other", now), nil
				w.ServeHTTP(out, r)
			}
		}, want: issuer.Mismatched, text: "does not lead to a configured root"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.to == 0 {
				c.from, c.to = -time.Hour, time.Hour
			}
			for _, kind := range issuers.Kinds() {
				if kind == "exec" || kind == "manual" {
					continue // the faults of exec are in the tests of its package, and those of manual are a person's
				}
				w := newWorld(t, c.from, c.to)
				c.change(w)
				entries, err := issuers.Read(w.file(t))
				check(t, err)
				entry, err := issuers.Find(entries, "of-"+kind)
				check(t, err)
				i, err := entry.Open(quiet)
				check(t, err)
				r := request(t)
				_, err = i.Issue(t.Context(), r)
				fault, retry := issuer.FaultOf(err)
				if fault != c.want || (err == nil) != (c.want == "") || !retry.IsZero() != c.retry {
					t.Errorf("%s: %q, again after %s: %v", kind, fault, retry, err)
					continue
				}
				if err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hush") ||
					!strings.HasSuffix(err.Error(), fault.Advice())) {
					t.Errorf("%s: %v, want %q", kind, err, c.text)
				}
			}
		})
	}
}

func TestACAThatLimitsRequestsIsLeftAloneAsLongAsItWants(t *testing.T) {
	w := newWorld(t, -time.Hour, time.Hour)
	calls := 0
	w.front = func(out http.ResponseWriter, _ *http.Request) {
		calls++
		out.Header().Set("Retry-After", "60")
		out.WriteHeader(429)
	}
	entries, err := issuers.Read(w.file(t))
	check(t, err)
	entry, err := issuers.Find(entries, "of-vault")
	check(t, err)
	i, err := entry.Open(quiet)
	check(t, err)
	r := request(t)
	first := r.At
	for _, step := range []struct {
		after time.Duration
		calls int
	}{{0, 1}, {time.Second, 1}, {59 * time.Second, 1}, {60 * time.Second, 2}, {119 * time.Second, 2}} {
		r.At = first.Add(step.after)
		_, err := i.Issue(t.Context(), r)
		if fault, retry := issuer.FaultOf(err); fault != issuer.Limited || !retry.After(r.At) || calls != step.calls {
			t.Errorf("after %s: %q, again after %s, %d calls instead of %d", step.after, fault, retry, calls, step.calls)
		}
	}
	w.front = nil
	r.At = first.Add(2 * time.Minute)
	if _, err := i.Issue(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestTheReportOfATestComparesTheCertificateWithTheRequest(t *testing.T) {
	w := newWorld(t, -time.Hour, time.Hour)
	entries, err := issuers.Read(w.file(t))
	check(t, err)
	entry, err := issuers.Find(entries, "of-vault")
	check(t, err)
	i, err := entry.Open(quiet)
	check(t, err)
	for _, change := range []func(*x509.Certificate){nil, func(c *x509.Certificate) {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: issuers.ThrowAway}
	}} {
		w.change = change
		report, err := issuers.Try(t.Context(), i, form, issuer.Request{Validity: 24 * time.Hour}, time.Now)
		check(t, err)
		if report.KeyUsage != "digitalSignature" || len(report.Chain) != 1 || report.Root != "CN=Theirs Root,O=CA" ||
			!strings.HasPrefix(report.Revoked, "no: ") { // the fake does not revoke
			t.Errorf("%+v", report)
		}
		if differences := report.Differences(); (len(differences) > 0) != (change != nil) {
			t.Errorf("differences: %v", differences)
		}
	}
	var all bytes.Buffer
	for _, e := range entries {
		opened, err := e.Open(quiet)
		check(t, err)
		fmt.Fprintf(&all, "%s: %v\n", e.Kind, issuers.Capabilities(opened))
	}
	if want := "step-ca: [revokes keeps names]\nvault: [revokes]\nest: [answers later]\n" +
		"acme: [revokes keeps names hints]\n"; all.String() != want {
		t.Errorf("capabilities:\n%s", all.String())
	}
}
