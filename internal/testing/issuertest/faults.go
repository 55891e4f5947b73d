package issuertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Protocol describes an issuer that asks its CA over HTTPS, for [RunFaults].
type Protocol struct {
	// Kind is the kind of the issuer in the file of issuers.
	Kind string
	// Settings returns its settings in that file, without the timeout.
	Settings func(*CA) map[string]any
	// Serve answers a request as an honest CA does. Its certificates come from [CA.Sign].
	Serve func(*CA, http.ResponseWriter, *http.Request)
	// Capabilities are those that "perennial issuer list" shows.
	Capabilities []string
}

// secretText is the text of the secrets that [CA.Secret] writes. No error may contain it.
const secretText = "hush"

// A CA is a server of a protocol that a fault may change.
type CA struct {
	URL string

	t        *testing.T
	protocol Protocol
	dir      string
	web      *testca.CA // of its TLS certificate
	ca       *testca.CA
	change   func(*x509.Certificate) // a lie
	key      any                     // another public key, as a lie
	front    http.HandlerFunc        // answers instead; nil for an honest CA
}

// Roots returns a file with the roots of the TLS certificate and of the CA.
func (c *CA) Roots() string { return c.File("both.pem", append(c.web.RootPEM(), c.ca.RootPEM()...)) }

// WebRoots returns a file with the root of the TLS certificate alone.
func (c *CA) WebRoots() string { return c.File("web.pem", c.web.RootPEM()) }

// Secret returns a reference to a password.
func (c *CA) Secret() string { return "file:" + c.File("secret", []byte(secretText)) }

// File writes a file that ends with the test, and returns its path.
func (c *CA) File(name string, data []byte) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	check(c.t, os.WriteFile(path, data, 0o600))
	return path
}

// Issuing returns the certificate of the issuing CA (DER).
func (c *CA) Issuing() []byte { return c.ca.Issuing.Raw }

// Sign returns the chain for a certificate signing request (DER). An honest CA refuses a malformed one.
func (c *CA) Sign(request []byte) ([][]byte, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	if c.key != nil {
		csr.PublicKey = c.key
	}
	leaf, err := c.ca.Sign(csr, time.Now().Add(-time.Minute), time.Now().AddDate(0, 1, 0), c.change)
	return [][]byte{leaf, c.ca.Issuing.Raw}, err
}

// AnswerJSON signs a request in PEM, and answers with the JSON that form returns for the chain in PEM.
func (c *CA) AnswerJSON(w http.ResponseWriter, request string, status int, form func(chain []string) any) {
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		http.Error(w, "the request is not in PEM", http.StatusBadRequest)
		return
	}
	chain, err := c.Sign(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var texts []string
	for _, der := range chain {
		texts = append(texts, string(testca.PEM(der)))
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(form(texts))
}

func (c *CA) handle(w http.ResponseWriter, r *http.Request) {
	if c.front != nil {
		c.front(w, r)
		return
	}
	c.protocol.Serve(c, w, r)
}

// start starts an honest CA whose TLS certificate is valid in a period.
func (p Protocol) start(t *testing.T, from, to time.Duration) *CA {
	t.Helper()
	now := time.Now()
	c := &CA{t: t, protocol: p, dir: t.TempDir(), web: testca.New(t, "Web", now), ca: testca.New(t, "Theirs", now)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(c.handle))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c.web.Server(t, now.Add(from), now.Add(to))}}
	server.StartTLS()
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

var form = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}

// open opens the issuer of the CA as the service does: from a file, with its check and its limits.
func (c *CA) open() issuer.Issuer {
	c.t.Helper()
	settings := c.protocol.Settings(c)
	settings["timeout"] = "1m"
	if c.front != nil {
		settings["timeout"] = "1s"
	}
	text, err := json.Marshal(map[string]any{"issuers": []any{ // YAML contains JSON
		map[string]any{"name": "theirs", "kind": c.protocol.Kind, "settings": settings}}})
	check(c.t, err)
	entries, err := issuers.Read(c.File("issuers.yml", text))
	check(c.t, err)
	entry, err := issuers.Find(entries, "theirs")
	check(c.t, err)
	i, err := entry.Open(issuers.Env{Form: form, Log: slog.New(slog.DiscardHandler)})
	check(c.t, err)
	return i
}

func faultRequest(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 24 * time.Hour}
}

// answering returns a handler that answers every request with a status, in the words of each protocol.
func answering(status int, retry string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		// Each kind finds its own field.
		io.WriteString(w, `{"detail":"its own words","message":"its own words","errors":["its own words"],"type":"x"}`)
	}
}

// silent reads a request and never answers it.
func silent(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // only then is the end of the connection noticed
	<-r.Context().Done()
	panic(http.ErrAbortHandler) // returning would answer 200
}

// A fault is a fault of a CA, with the expected report of its issuer.
type fault struct {
	change   func(*testing.T, *CA)
	want     issuer.Fault
	text     string
	retry    bool
	from, to time.Duration // of the TLS certificate; 0 for an hour around now
}

// faults are the faults of a CA, whatever its protocol.
var faults = map[string]fault{
	"honest": {change: func(*testing.T, *CA) {}},
	"down": {change: func(t *testing.T, c *CA) {
		c.URL = "https://" + testenv.Address(t)
	}, want: issuer.Unreachable, text: "connection refused"},
	"slow":     {change: func(_ *testing.T, c *CA) { c.front = silent }, want: issuer.Slow, text: "within 1s"},
	"limiting": {change: answers(429, "60"), want: issuer.Limited, text: "its own words", retry: true},
	"out of quota": {change: answers(429, ""), want: issuer.Limited,
		text: "its own words"},
	"in maintenance": {change: answers(503, "60"), want: issuer.Unreachable, text: "its own words", retry: true},
	"denying":        {change: answers(401, ""), want: issuer.Denied, text: "its own words"},
	"not itself": {change: func(t *testing.T, c *CA) { c.web = testca.New(t, "Web", time.Now()) },
		want: issuer.Untrusted, text: "unknown authority"},
	"an expired TLS certificate": {change: func(*testing.T, *CA) {}, want: issuer.Untrusted, text: "expired",
		from: -2 * time.Hour, to: -time.Hour},
	"an expired CA": {change: func(t *testing.T, c *CA) {
		now := time.Now()
		c.ca = testca.NewUntil(t, "Theirs", now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1))
	}, want: issuer.Expired, text: "CN=Theirs Issuing,O=CA"},
	"lying about the key": {change: func(t *testing.T, c *CA) {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(t, err)
		c.key = other.Public()
	}, want: issuer.Mismatched, text: "without a certificate of the requested key"},
	"lying about the tenant": {change: lies(func(cert *x509.Certificate) {
		cert.RawSubject, cert.Subject = nil, pkix.Name{CommonName: "zeta"}
	}), want: issuer.Mismatched, text: "it names CN=zeta"},
	"lying about the usage": {change: lies(func(cert *x509.Certificate) {
		cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}), want: issuer.Mismatched, text: "not for client authentication"},
	"another CA": {change: func(t *testing.T, c *CA) {
		other := testca.New(t, "Other", time.Now())
		c.front = func(w http.ResponseWriter, r *http.Request) {
			c.ca, c.front = other, nil
			c.handle(w, r)
		}
	}, want: issuer.Mismatched, text: "does not lead to a configured root"},
}

func answers(status int, retry string) func(*testing.T, *CA) {
	return func(_ *testing.T, c *CA) { c.front = answering(status, retry) }
}

func lies(change func(*x509.Certificate)) func(*testing.T, *CA) {
	return func(_ *testing.T, c *CA) { c.change = change }
}

// RunFaults tests that an issuer reports each fault of its CA by its kind, that it keeps to the CA's limits, and that
// the report of a test certificate is right.
func RunFaults(t *testing.T, p Protocol) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) { p.testFault(t, f) })
	}
	t.Run("a CA that limits requests is left alone as long as it wants", p.testLimited)
	t.Run("the report of a test compares the certificate with the request", p.testReport)
}

func (p Protocol) testFault(t *testing.T, f fault) {
	if f.to == 0 {
		f.from, f.to = -time.Hour, time.Hour
	}
	c := p.start(t, f.from, f.to)
	f.change(t, c)
	_, err := c.open().Issue(t.Context(), faultRequest(t))
	kind, retry := issuer.FaultOf(err)
	if kind != f.want || (err == nil) != (f.want == "") || !retry.IsZero() != f.retry {
		t.Fatalf("%q, again after %s: %v", kind, retry, err)
	}
	if err != nil && (!strings.Contains(err.Error(), f.text) || strings.Contains(err.Error(), secretText) ||
		!strings.HasSuffix(err.Error(), kind.Advice())) {
		t.Errorf("%v, want %q", err, f.text)
	}
}

func (p Protocol) testLimited(t *testing.T) {
	c := p.start(t, -time.Hour, time.Hour)
	calls, limiting := 0, answering(429, "60")
	c.front = func(w http.ResponseWriter, r *http.Request) {
		calls++
		limiting(w, r)
	}
	i := c.open()
	r := faultRequest(t)
	first := r.At
	for _, step := range []struct {
		after time.Duration
		calls int
	}{{0, 1}, {time.Second, 1}, {59 * time.Second, 1}, {60 * time.Second, 2}, {119 * time.Second, 2}} {
		r.At = first.Add(step.after)
		_, err := i.Issue(t.Context(), r)
		if kind, retry := issuer.FaultOf(err); kind != issuer.Limited || !retry.After(r.At) || calls != step.calls {
			t.Errorf("after %s: %q, again after %s, %d calls instead of %d", step.after, kind, retry, calls, step.calls)
		}
	}
	c.front = nil
	r.At = first.Add(2 * time.Minute)
	if _, err := i.Issue(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func (p Protocol) testReport(t *testing.T) {
	c := p.start(t, -time.Hour, time.Hour)
	i := c.open()
	if all := issuers.Capabilities(i); !slices.Equal(all, p.Capabilities) {
		t.Errorf("capabilities: %v", all)
	}
	revoked := "not supported"
	if slices.Contains(p.Capabilities, "revokes") {
		revoked = "no: " // the fake does not revoke
	}
	for _, change := range []func(*x509.Certificate){nil, func(cert *x509.Certificate) {
		cert.RawSubject, cert.Subject = nil, pkix.Name{CommonName: issuers.ThrowAway}
	}} {
		c.change = change
		report, err := issuers.Try(t.Context(), i, form, issuer.Request{Validity: 24 * time.Hour}, time.Now)
		check(t, err)
		if report.KeyUsage != "digitalSignature" || len(report.Chain) != 1 || report.Root != "CN=Theirs Root,O=CA" ||
			!strings.HasPrefix(report.Revoked, revoked) {
			t.Errorf("%+v", report)
		}
		if differences := report.Differences(); (len(differences) > 0) != (change != nil) {
			t.Errorf("differences: %v", differences)
		}
	}
}
