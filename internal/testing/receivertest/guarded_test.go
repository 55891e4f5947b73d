package receivertest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A platform calls a product behind a guard. It renews its certificate under the published policy, with the strategy
// immediate, and its clock is ahead of the real one. The product, its CA and the guard's own certificate use the real
// date.
type platform struct {
	*world
	own   *testca.CA      // of the product and the guard
	guard tls.Certificate // that the guard presents to the product
	clock atomic.Pointer[time.Time]
	sent  tally
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{world: &world{t: t, dir: t.TempDir(), backend: &backend{taken: map[string]int{}}}}
	now := time.Now()
	p.clock.Store(&now)
	published, err := policy.Preset("sap-c4c")
	check(t, err)
	p.engine, p.ca = enginetest.New(t, "sqlite:"+filepath.Join(p.dir, "p.db"), now,
		func(c *lifecycle.Config) { c.Policy = published })
	p.acme = p.engine.Tenant(t, "acme", now)
	p.engine.Arrangement(t, tenancy.Arrangement{TenantID: p.acme.ID, Name: "orders", Strategy: tenancy.Immediate})

	p.own = testca.New(t, "issuing CA of the product,", now)
	p.write("ca.pem", p.own.RootPEM())
	p.write("server.pem", withChain(t, p.own.Server(t, now.Add(-time.Hour), now.AddDate(1, 0, 0))))
	p.guard, err = tls.LoadX509KeyPair(p.own.Client(t, "guard", now.Add(-time.Hour), now.AddDate(1, 0, 0)))
	check(t, err)
	p.write("guard.pem", withChain(t, p.guard))
	p.write("tenant.pem", testca.PEM(p.generation(1).Raw))
	p.write("platform.pem", p.ca.Bundle())

	b := httptest.NewServer(p.backend)
	t.Cleanup(b.Close)
	p.backend.url = b.URL
	return p
}

// withChain returns a certificate, the CAs above it, and its key as PEM.
func withChain(t *testing.T, pair tls.Certificate) []byte {
	return append(testca.PEM(pair.Certificate...), testca.KeyPEM(t, pair.PrivateKey.(crypto.Signer))...)
}

// A guardLog is read while the guard writes it.
type guardLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *guardLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *guardLog) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// protect starts a guard in front of an upstream, and returns its URL and its log.
func (p *platform) protect(upstream, upstreamTLS string) (url string, l *guardLog) {
	p.t.Helper()
	p.write("guard.yaml", fmt.Appendf(nil, `listen: 127.0.0.1:0
server: {cert: server.pem, key: server.pem}
upstream: %s
%spartners:
  - name: acme-c4c
    known: [tenant.pem]
    trust: [platform.pem]
    policy: sap-c4c
`, upstream, upstreamTLS))
	l = &guardLog{}
	g, err := guard.Open(p.t.Context(), filepath.Join(p.dir, "guard.yaml"), guard.Options{Policies: policy.Preset,
		Now: func() time.Time { return *p.clock.Load() }, Log: slog.New(slog.NewTextHandler(l, nil))})
	check(p.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() { close(ready) }) }()
	p.t.Cleanup(func() {
		stop()
		check(p.t, <-ended)
		check(p.t, g.Close())
	})
	<-ready
	url, _, _ = g.Addresses()
	return url, l
}

// client returns a client that presents a certificate over new connections.
func (p *platform) client(pair tls.Certificate, http2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(p.own.Root)
	transport := &http.Transport{ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: noRedirect, Timeout: time.Minute}
}

// presents returns the generation that the platform presents, with its key.
func (p *platform) presents() (generation int, pair tls.Certificate) {
	p.t.Helper()
	generation = p.world.presents("orders")
	c, err := p.engine.Store.Certificate(p.t.Context(), p.acme.ID, tenancy.ForTenant, generation)
	check(p.t, err)
	pair, err = p.engine.Presentable(p.t.Context(), c)
	check(p.t, err)
	return generation, pair
}

// renews lets days pass until the platform presents another generation.
func (p *platform) renews() {
	p.t.Helper()
	before, _ := p.presents()
	for range 400 {
		now := p.clock.Load().Add(24 * time.Hour)
		p.clock.Store(&now)
		check(p.t, p.engine.Tick(p.t.Context(), now))
		if after, _ := p.presents(); after == before+1 {
			return
		}
	}
	p.t.Fatalf("generation %d is still presented after 400 days", before)
}

// calls sends every kind of message with the certificate in use, over HTTP/1.1 and HTTP/2.
func (p *platform) calls(url, step string) {
	p.t.Helper()
	_, pair := p.presents()
	for _, http2 := range []bool{false, true} {
		p.sent.round(p.client(pair, http2), url, step, func(message) bool { return true })
	}
}

// answers sends a question with a certificate over a new connection. It returns what is wrong with the answer.
func (p *platform) answers(url string, pair tls.Certificate) string {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	check(p.t, err)
	client := p.client(pair, false)
	defer client.CloseIdleConnections()
	return exchange(client, req)
}

// partnerOnly is nginx on loopback without TLS, which accepts the partner that the guard names.
func partnerOnly(w *world) system {
	dir, port := w.directory(), testenv.Port(w.t)
	w.write("partner.conf", w.nginxConf(dir, "", fmt.Sprintf("listen 127.0.0.1:%d;\nlocation / { "+
		`if ($http_perennial_partner != "acme-c4c") { return 401; } proxy_pass %s; }`, port, w.backend.url)))
	url := w.started(port, exec.Command(find(w.t, "nginx"), "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c",
		filepath.Join(w.dir, "partner.conf")))
	return system{url: "http" + strings.TrimPrefix(url, "https"), times: w.backend.times}
}

// onTomcat is a servlet on Tomcat that refuses with 403.
func onTomcat(w *world) system {
	for _, p := range programPeers() {
		if p.needs == tomcat && p.way == "403" {
			return p.start(w)(w, "guarded")
		}
	}
	w.t.Fatal("Tomcat is not among the peers")
	return system{}
}

// TestReceiversBehindAGuardSeeNoRenewal renews the certificate of a platform three times. The product behind the guard
// accepts the guard's own certificate alone, or reads the partner's name, and is never changed.
func TestReceiversBehindAGuardSeeNoRenewal(t *testing.T) {
	for _, product := range []struct {
		name, needs string
		start       func(*world) system
	}{
		{"nginx, fingerprint", "nginx", nginx("optional_no_ca", "$ssl_client_fingerprint", fingerprint)},
		{"nginx, partner's name", "nginx", partnerOnly},
		{"Apache, issuer + serial", "apache2", apache},
		{"Tomcat, fingerprint", tomcat, onTomcat},
	} {
		t.Run(product.name, func(t *testing.T) {
			t.Parallel()
			peer{needs: product.needs}.available(t)
			p := newPlatform(t)
			r := product.start(p.world)
			path := pathOf(r.url)
			origin, mutual := strings.TrimSuffix(r.url, path), ""
			if r.accept != nil {
				p.admitGuard(r)
				mutual = "upstream_tls: {cert: guard.pem, key: guard.pem, ca: ca.pem}\n"
			}
			_, first := p.presents()
			if p.answers(r.url, first) == "" {
				t.Fatal("the product accepts the platform's certificate without the guard")
			}
			url, events := p.protect(origin, mutual)
			p.calls(url+path, "before the first renewal")
			for n := 1; n <= 3; n++ {
				p.renews()
				p.calls(url+path, fmt.Sprintf("after renewal %d", n))
			}
			if p.sent.failed > 0 || p.sent.sent != 4*2*len(messages) {
				t.Errorf("%d of %d messages failed:\n%s", p.sent.failed, p.sent.sent, strings.Join(p.sent.trace, "\n"))
			}
			for _, key := range p.sent.keys {
				if n := r.times(key); n != 1 {
					t.Errorf("message %s arrived %d times", key, n)
				}
			}
			testenv.Eventually(t, func() bool { return events.count("accepted as successor") == 3 })
			if stranger := p.answers(url+path, p.stranger()); !strings.HasPrefix(stranger, "403") {
				t.Errorf("a certificate of another tenant: %s", stranger)
			}
		})
	}
}

// admitGuard makes a product accept the guard's certificate alone, and waits until it does.
func (p *platform) admitGuard(r system) {
	p.t.Helper()
	r.accept(p.guard.Leaf)
	agreed := 0
	testenv.Eventually(p.t, func() bool { // after a reload, the previous process may still take connections
		agreed++
		if p.answers(r.url, p.guard) != "" {
			agreed = 0
		}
		return agreed > r.agreements
	})
}

// stranger returns a certificate of another tenant of the platform.
func (p *platform) stranger() tls.Certificate {
	p.t.Helper()
	other := p.engine.Tenant(p.t, "globex", *p.clock.Load())
	c, err := p.engine.Store.Certificate(p.t.Context(), other.ID, tenancy.ForTenant, 1)
	check(p.t, err)
	pair, err := p.engine.Presentable(p.t.Context(), c)
	check(p.t, err)
	return pair
}
