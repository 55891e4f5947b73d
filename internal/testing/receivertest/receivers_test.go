package receivertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

type fixture struct {
	t      *testing.T
	engine *enginetest.Installation
	ca     *local.CA
	dir    string // holds ca.pem, server.pem (certificate and key)
	roots  *x509.CertPool
	// shown returns the certificate of a generation. It is nil for those of the engine.
	shown func(generation int) tls.Certificate
}

// setUp creates a tenant with its first generation, and the files that a receiver needs of the CA.
func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	now := time.Now()
	f.engine, f.ca = enginetest.New(t, "sqlite:"+filepath.Join(f.dir, "p.db"), now)
	tenant, err := f.engine.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "Acme",
		KeyType: tenancy.RSA2048}, "test", now)
	check(t, err)
	// An arrangement that rolls over keeps the old generation and its key.
	f.engine.Arrangement(t, tenancy.Arrangement{TenantID: tenant.ID, Name: "kept"})
	f.write("ca.pem", f.ca.Bundle())
	server, err := f.ca.NewServerCertificate("127.0.0.1", time.Now)
	check(t, err)
	pair, err := server.Get(nil)
	check(t, err)
	f.write("server.pem", testenv.PairPEM(t, *pair))
	f.roots = x509.NewCertPool()
	f.roots.AppendCertsFromPEM(f.ca.Bundle())
	return f
}

func (f *fixture) write(name string, data []byte) {
	f.t.Helper()
	check(f.t, os.WriteFile(filepath.Join(f.dir, name), data, 0o644))
}

func (f *fixture) generation(n int) tenancy.Certificate {
	f.t.Helper()
	tenant, err := f.engine.Store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	c, err := f.engine.Store.Certificate(f.t.Context(), tenant.ID, tenancy.ForTenant, n)
	check(f.t, err)
	return c
}

// post sends a message with a generation over a new connection.
func (f *fixture) post(ctx context.Context, port, generation int) (status int, body string, err error) {
	f.t.Helper()
	var shown tls.Certificate
	if f.shown != nil {
		shown = f.shown(generation)
	} else {
		shown, err = f.engine.Presentable(ctx, f.generation(generation))
		check(f.t, err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots, Certificates: []tls.Certificate{shown}}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Post(fmt.Sprintf("https://127.0.0.1:%d/", port), "text/xml",
		strings.NewReader("<order/>"))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, string(data), err
}

// find returns the path of a program of the system's packages.
func find(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not on every user's path
		if path := filepath.Join(dir, name); exec.Command("test", "-x", path).Run() == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: apt-get install %s", name, name)
	return ""
}

// start runs a server of the system's packages until it answers.
func (f *fixture) start(port int, name string, args ...string) {
	f.t.Helper()
	f.startFor(1, port, name, args...)
}

// startFor is start for a server that refuses the handshake with other generations.
func (f *fixture) startFor(generation, port int, name string, args ...string) {
	f.t.Helper()
	testenv.Start(f.t, exec.Command(find(f.t, name), args...))
	testenv.Eventually(f.t, func() bool {
		_, _, err := f.post(f.t.Context(), port, generation)
		return err == nil
	})
}

// wants posts a message with a generation and compares the answer. A status of 0 stands for a refused handshake.
func (f *fixture) wants(port, generation, status int, text string) {
	f.t.Helper()
	got, body, err := f.post(f.t.Context(), port, generation)
	if (err != nil) != (status == 0) || got != status || !strings.Contains(body, text) {
		f.t.Errorf("generation %d: %d, want %d with %q (%v)\n%s", generation, got, status, text, err, body)
	}
}

func (f *fixture) renew() {
	f.t.Helper()
	_, err := f.engine.RenewByHand(f.t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", time.Now())
	check(f.t, err)
}

func TestNginxAcceptsBothGenerationsIfItTrustsTheCAAndNamesTheReasonIfNot(t *testing.T) {
	f := setUp(t)
	port, stranger := testenv.Port(t), testenv.Port(t)
	other := setUp(t)
	f.write("other.pem", other.ca.Bundle())
	var conf bytes.Buffer
	fmt.Fprintf(&conf, "daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;\nevents "+
		"{}\nhttp { access_log off;\n", f.dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/tmp;\n", kind, f.dir)
	}
	for _, s := range []struct {
		port int
		ca   string
	}{{port, "ca.pem"}, {stranger, "other.pem"}} {
		fmt.Fprintf(&conf, `server { listen 127.0.0.1:%d ssl;
			ssl_certificate %[2]s/server.pem; ssl_certificate_key %[2]s/server.pem;
			ssl_client_certificate %[2]s/%[3]s; ssl_verify_client on; ssl_verify_depth 3;
			location / { return 200 "$ssl_client_s_dn"; } }`+"\n", s.port, f.dir, s.ca)
	}
	conf.WriteString("}\n")
	f.write("nginx.conf", conf.Bytes())
	f.start(port, "nginx", "-e", filepath.Join(f.dir, "error.log"), "-p", f.dir, "-c", filepath.Join(f.dir, "nginx.conf"))
	f.wants(port, 1, 200, "CN=acme,OU=Tenants,O=P")
	f.wants(stranger, 1, 400, "The SSL certificate error")
	f.renew()
	f.wants(port, 2, 200, "CN=acme,OU=Tenants,O=P")
	f.wants(port, 1, 200, "CN=acme,OU=Tenants,O=P")
}

func TestHAProxyThatPinsTheFingerprintRefusesTheNewGenerationUntilItIsInstalled(t *testing.T) {
	f := setUp(t)
	serve := func(generation int) (port int) {
		port = testenv.Port(t)
		name := fmt.Sprintf("haproxy-%d.cfg", generation)
		f.write(name, fmt.Appendf(nil, `defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend pinned
  bind 127.0.0.1:%d ssl crt %s/server.pem ca-file %s/ca.pem verify required
  http-request deny deny_status 401 unless { ssl_c_der,sha2(256),hex -m str -i %s }
  http-request return status 200 content-type text/plain string accepted
`, port, f.dir, f.dir, f.generation(generation).Fingerprint))
		f.start(port, "haproxy", "-db", "-f", filepath.Join(f.dir, name))
		return port
	}
	before := serve(1)
	f.wants(before, 1, 200, "accepted")
	f.renew()
	f.wants(before, 2, 401, "")
	after := serve(2)
	f.wants(after, 2, 200, "accepted")
	f.wants(after, 1, 401, "")
}
