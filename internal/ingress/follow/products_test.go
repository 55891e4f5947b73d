package follow

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A product is a server of Debian that accepts the certificates of a feed. Its configuration is that of docs/follow.md.
type product struct {
	program string
	format  string
	file    string // that the format is written to
	// configuration has DIR, PORT and BACKEND in place of the test's.
	configuration string
	name          string // of its file
	args          []string
	check, reload string
	refused       int
	// leaves is logged by a worker with the old configuration when it stops accepting connections; "" if it stops
	// before a new one starts.
	leaves string
}

const apacheModules = "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n" +
	"LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n" +
	"LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so\n" +
	"LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n" +
	"LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\n" +
	"LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n"

var followed = []product{
	{program: "nginx", format: "nginx", file: "accepted.map", name: "nginx.conf", refused: 401,
		leaves: "gracefully shutting down", args: []string{"-e", "DIR/error.log", "-p", "DIR", "-c", "DIR/nginx.conf"},
		configuration: `user root; daemon off; worker_processes 1; pid DIR/nginx.pid; error_log DIR/error.log notice;
events {}
http {
  access_log off; client_body_temp_path DIR/tmp; proxy_temp_path DIR/tmp; fastcgi_temp_path DIR/tmp;
  uwsgi_temp_path DIR/tmp; scgi_temp_path DIR/tmp;
  map $ssl_client_fingerprint $accepted {
    default 0;
    include DIR/accepted.map;
  }
  server {
    listen 127.0.0.1:PORT ssl;
    ssl_certificate DIR/server.pem;
    ssl_certificate_key DIR/server.pem;
    ssl_client_certificate DIR/ca.pem;
    ssl_verify_client on;
    ssl_verify_depth 3;
    if ($accepted = 0) { return 401; }
    location / { proxy_pass http://BACKEND; proxy_request_buffering off; }
  }
}
`,
		check:  "nginx -t -q -e DIR/error.log -p DIR -c DIR/nginx.conf",
		reload: "test ! -s DIR/nginx.pid || kill -HUP $(cat DIR/nginx.pid)"},
	{program: "haproxy", format: "haproxy", file: "accepted.list", name: "haproxy.cfg", refused: 401,
		args: []string{"-W", "-db", "-p", "DIR/haproxy.pid", "-f", "DIR/haproxy.cfg"},
		configuration: `global
  stats socket DIR/s mode 600 expose-fd listeners
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:PORT ssl crt DIR/server.pem ca-file DIR/ca.pem verify required
  http-request deny deny_status 401 unless { ssl_c_der,sha2(256),hex -m str -f DIR/accepted.list }
  default_backend app
backend app
  server app BACKEND
`,
		check:  "haproxy -c -q -f DIR/haproxy.cfg",
		reload: "test ! -s DIR/haproxy.pid || kill -USR2 $(head -n 1 DIR/haproxy.pid)"},
	{program: "apache2", format: "apache", file: "accepted.conf", name: "apache.conf", refused: 403,
		args: []string{"-DFOREGROUND", "-f", "DIR/apache.conf"},
		configuration: apacheModules + `ServerRoot DIR
ServerName 127.0.0.1
PidFile DIR/apache.pid
Mutex file:DIR
ErrorLog DIR/error.log
Listen 127.0.0.1:PORT
SSLSessionCache none
<VirtualHost 127.0.0.1:PORT>
  SSLEngine on
  SSLCertificateFile DIR/server.pem
  SSLCACertificateFile DIR/ca.pem
  SSLVerifyClient require
  SSLVerifyDepth 3
  <Location "/">
    Include DIR/accepted.conf
  </Location>
  ProxyPass / http://BACKEND/
</VirtualHost>
`,
		check:  "apache2 -t -f DIR/apache.conf",
		reload: "test ! -s DIR/apache.pid || apache2 -f DIR/apache.conf -k graceful"},
}

// With each renewal the follower reloads the product while messages flow. The new certificate is accepted before it is
// used, the old one as long as it is in the feed, and no other certificate of the CA ever. The last renewal changes the
// CA.
func TestRealServersAcceptExactlyTheCertificatesOfTheFeed(t *testing.T) {
	for _, p := range followed {
		t.Run(p.format, func(t *testing.T) {
			testenv.NeedsServers(t)
			w := startProduct(t, p)
			stranger := w.sender.issue(pkix.Name{CommonName: "mallory"}, time.Now())
			namesake := w.sender.issue(w.sender.subject, time.Now())
			traffic := w.traffic()
			for n := 1; n <= 4; n++ {
				if n == 4 {
					w.sender.changeCA(time.Now())
				}
				if n > 1 {
					slow := w.slow()
					w.sender.renew(time.Now())
					testenv.Check(t, w.follower.Once(t.Context()))
					w.settles(p, n)
					slow()
					traffic.use(n) // the sender switches
				}
				for generation := max(1, n-1); generation <= n; generation++ {
					if got := w.get(w.sender.pairs[generation]); got != 200 {
						t.Errorf("renewal %d: generation %d gets %d", n, generation, got)
					}
				}
				if n > 2 {
					testenv.Eventually(t, func() bool { return w.get(w.sender.pairs[n-2]) == p.refused })
				}
				if got := w.get(tls.Certificate{}); got == 200 {
					t.Errorf("renewal %d: no certificate is needed", n)
				}
				for name, pair := range map[string]tls.Certificate{"a stranger": stranger, "a namesake": namesake} {
					if got := w.get(pair); got != p.refused {
						t.Errorf("renewal %d: %s gets %d", n, name, got)
					}
				}
			}
			if sent, failed := traffic.end(); sent < 50 || len(failed) > 0 {
				t.Errorf("%d messages were sent, and %d failed: %.5q", sent, len(failed), failed)
			}
			if got := len(w.sender.reported()); got != 4 {
				t.Errorf("%d reports", got)
			}
		})
	}
}

// A file that the real product cannot read is taken back, and the product still works.
func TestRealServersKeepTheirFilesIfTheirCheckFails(t *testing.T) {
	for _, p := range followed {
		t.Run(p.format, func(t *testing.T) {
			testenv.NeedsServers(t)
			w := startProduct(t, p)
			file := filepath.Join(w.dir, p.file)
			before, err := os.ReadFile(file)
			testenv.Check(t, err)
			template := filepath.Join(w.dir, "template")
			testenv.Check(t, os.WriteFile(template, []byte("{ wrong\x01 \"\n<Nothing>\n"), 0o600))
			w.config.Outputs[0].Format = formatOf(t, template)
			if p.format == "haproxy" { // which reads any line as a pattern
				w.config.Outputs[1].Format = formatOf(t, template)
			}
			broken, err := New(w.config)
			testenv.Check(t, err)
			w.sender.renew(time.Now())
			if err := broken.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "the check ") {
				t.Errorf("got %v", err)
			}
			if !same(file, before) {
				t.Error("the file has changed")
			}
			testenv.Check(t, w.follower.Once(t.Context()))
			testenv.Eventually(t, func() bool { return w.get(w.sender.pairs[2]) == 200 })
		})
	}
}

// A world is a sender, a product in front of a backend, and the follower between them.
type world struct {
	t        *testing.T
	dir      string
	sender   *sender
	config   Config
	follower *Follower
	url      string
	roots    *x509.CertPool
}

func startProduct(t *testing.T, p product) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "follow") // the path of a socket is limited
	testenv.Check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprint(w, n)
	}))
	t.Cleanup(backend.Close)
	now := time.Now()
	w := &world{t: t, dir: dir, sender: newSender(t, now), roots: x509.NewCertPool()}
	port := testenv.Port(t)
	fill := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port), "BACKEND", backend.Listener.Addr().String()).Replace
	pair := w.sender.ca.Server(t, now.AddDate(0, 0, -1), now.AddDate(0, 0, 1))
	w.roots.AddCert(w.sender.ca.Issuing) // the products send no chain
	server := testenv.TLSServer{Dir: dir, Port: port, Pair: pair, Files: map[string][]byte{
		p.name: []byte(fill(p.configuration))}}
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "server.pem"), testenv.PairPEM(t, pair), 0o600))
	testenv.Check(t, os.WriteFile(filepath.Join(dir, p.name), server.Files[p.name], 0o600))
	w.config = Config{Address: w.sender.address, Check: fill(p.check), Then: fill(p.reload),
		Client: w.sender.server.Client(), Run: Shell, Now: time.Now, Log: slog.New(slog.DiscardHandler), Outputs: []Output{
			{formatOf(t, p.format), Target{Path: filepath.Join(dir, p.file)}},
			{formatOf(t, "cas"), Target{Path: filepath.Join(dir, "ca.pem")}}}}
	w.follower, err = New(w.config)
	testenv.Check(t, err)
	testenv.Check(t, w.follower.Once(t.Context())) // before the product starts, which reads the files
	args := make([]string, len(p.args))
	for i, arg := range p.args {
		args[i] = fill(arg)
	}
	w.url = "https://" + server.Start(t, exec.Command(p.program, args...)) + "/"
	testenv.Eventually(t, func() bool { return w.get(w.sender.pairs[1]) == 200 })
	return w
}

// settles waits until the product has reloaded for a generation: on several connections in a row, it is accepted, and
// no worker is left that accepts connections with the old configuration.
func (w *world) settles(p product, generation int) {
	w.t.Helper()
	const connections = 9
	testenv.Eventually(w.t, func() bool {
		for range connections {
			if w.get(w.sender.pairs[generation]) != 200 {
				return false
			}
		}
		log, err := os.ReadFile(filepath.Join(w.dir, "error.log"))
		return p.leaves == "" || err == nil && bytes.Count(log, []byte(p.leaves)) >= generation-1
	})
}

// client returns a client with a certificate.
func (w *world) client(pair tls.Certificate, kept bool) *http.Client {
	c := &tls.Config{RootCAs: w.roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &pair, nil // also if the server does not name its CA
	}}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: !kept}}
}

// get returns the status of a request on a new connection; 0 if there is none.
func (w *world) get(pair tls.Certificate) int {
	res, err := w.client(pair, false).Get(w.url)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// slow begins a message with the latest generation. The result ends and checks it.
func (w *world) slow() (end func()) {
	w.t.Helper()
	body, feeding := io.Pipe()
	result, pair := make(chan string, 1), w.sender.pairs[len(w.sender.pairs)]
	go func() {
		res, err := w.client(pair, false).Post(w.url, "text/plain", body)
		if err != nil {
			result <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		result <- fmt.Sprint(res.StatusCode, " ", string(text))
	}()
	half := bytes.Repeat([]byte("x"), 100_000)
	_, err := feeding.Write(half) // returns when the connection has been made
	testenv.Check(w.t, err)
	return func() {
		_, err := feeding.Write(half)
		testenv.Check(w.t, err)
		feeding.Close()
		if got := <-result; got != "200 200000" {
			w.t.Errorf("a message during the reload: %s", got)
		}
	}
}

// traffic is a flow of messages with one generation, on kept and on new connections.
type traffic struct {
	stop context.CancelFunc
	done sync.WaitGroup
	w    *world

	mu         sync.Mutex // guards the fields below
	kept, once *http.Client
	sent       int
	failed     []string
}

func (w *world) traffic() *traffic {
	ctx, stop := context.WithCancel(w.t.Context())
	f := &traffic{stop: stop, w: w}
	f.use(1)
	for _, kept := range []bool{true, false} {
		f.done.Go(func() {
			for ctx.Err() == nil {
				f.mu.Lock()
				client := f.once
				if kept {
					client = f.kept
				}
				f.mu.Unlock()
				problem := ""
				if res, err := client.Get(w.url); err != nil {
					problem = err.Error()
				} else if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
					problem = fmt.Sprint(res.Status, err)
				}
				f.mu.Lock()
				f.sent++
				if problem != "" {
					f.failed = append(f.failed, problem)
				}
				f.mu.Unlock()
			}
		})
	}
	return f
}

// use switches to a generation.
func (f *traffic) use(generation int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = f.w.client(f.w.sender.pairs[generation], true)
	f.once = f.w.client(f.w.sender.pairs[generation], false)
}

func (f *traffic) end() (sent int, failed []string) {
	f.stop()
	f.done.Wait()
	return f.sent, f.failed
}
