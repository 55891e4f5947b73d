package receivertest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var full = flag.Bool("full", false, "more and larger messages, as make receivers sends them")

// A world is a tenant whose certificate the background job renews while its messages flow through the gateway.
type world struct {
	t       *testing.T
	dir     string
	engine  *enginetest.Installation
	ca      *local.CA
	pair    tls.Certificate
	acme    tenancy.Tenant
	gateway string
	backend *backend
}

// A backend is the application behind nginx, HAProxy and Apache.
type backend struct {
	url   string
	mu    sync.Mutex
	taken map[string]int
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	b.mu.Lock()
	b.taken[r.Header.Get("Idempotency-Key")]++
	b.mu.Unlock()
	fmt.Fprintln(w, "accepted")
}

func (b *backend) times(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken[key]
}

// files numbers the configurations of servers that share a world.
var files atomic.Int64

// newWorld creates a tenant whose first generation is so old that the latest run renews it and the run before has
// warned about it. Servers use the real date, so the story ends today.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), backend: &backend{taken: map[string]int{}}}
	p, err := policy.Preset(policy.Default)
	check(t, err)
	latest := p.Schedule.Latest(time.Now())
	begin := latest.Add(50*policy.Day - p.Validity)
	w.engine, w.ca = enginetest.New(t, "sqlite:"+filepath.Join(w.dir, "p.db"), begin)
	w.acme = w.engine.Tenant(t, "acme", begin)
	check(t, w.engine.Tick(t.Context(), begin))
	check(t, w.engine.Tick(t.Context(), p.Schedule.Latest(latest.Add(-time.Hour)).Add(time.Hour)))

	w.write("ca.pem", w.ca.Bundle())
	w.pair = enginetest.ServerCertificate(t, w.ca)
	w.write("server.pem", testenv.PairPEM(t, w.pair))

	b := httptest.NewServer(w.backend)
	t.Cleanup(b.Close)
	w.backend.url = b.URL
	g, err := gateway.New(gateway.Config{
		Control: inprocess.Control{Rollovers: w.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Open:    true, TempDir: w.dir, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	front := httptest.NewServer(g)
	t.Cleanup(func() {
		front.Close()
		g.Close()
	})
	w.gateway = front.URL
	return w
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	check(w.t, os.WriteFile(filepath.Join(w.dir, name), data, 0o644))
}

func (w *world) generation(n int) *x509.Certificate {
	w.t.Helper()
	return w.engine.Generation(w.t, w.acme.ID, n)
}

func (w *world) arrangement(name, endpoint string, s tenancy.Strategy) {
	w.t.Helper()
	w.engine.Arrangement(w.t, tenancy.Arrangement{TenantID: w.acme.ID, Name: name, Endpoint: endpoint, Strategy: s,
		Egress: tenancy.Egress{ServerCA: string(w.ca.Bundle()), TimeoutSeconds: 60}})
}

// presents returns the generation that an arrangement presents.
func (w *world) presents(name string) int {
	w.t.Helper()
	a, err := w.engine.Store.Arrangement(w.t.Context(), w.acme.ID, name)
	check(w.t, err)
	return a.Generation
}

// A system is a server whose accepted certificates can be changed.
type system struct {
	url    string
	accept func(certs ...*x509.Certificate)
	times  func(key string) int     // how often a message was taken
	spoken func(version string) int // how many requests came in a version of HTTP; nil if the server does not count
	// silent systems are not asked whether they have applied their configuration.
	silent bool
	// proxy is the URL of the proxy in front of it; empty if there is none.
	proxy string
	// agreements is the number of further answers that must show a new configuration: after a reload, the previous
	// processes may still accept connections.
	agreements int
	// version is the newest version of TLS in which the system can be asked; 0 for any.
	version uint16
}

// A kind is a kind of receiver. keeps is true if it recognises certificates by something that a renewal keeps, so that
// the order of steps makes no difference.
type kind struct {
	name  string
	keeps bool
	start func(w *world) system
}

// goOverHTTP2 is the kind whose messages must not come over HTTP/1.1.
const goOverHTTP2 = "Go, SPKI pin, HTTP/2"

var kinds = []kind{
	{"nginx, fingerprint", false, nginx("optional_no_ca", "$ssl_client_fingerprint", fingerprint)},
	{"nginx, subject DN", true, nginx("optional", "$ssl_client_s_dn", func(c *x509.Certificate) string {
		return c.Subject.String()
	})},
	{"nginx, CA (verify on)", true, nginx("on", `"CA"`, func(*x509.Certificate) string { return "CA" })},
	{"HAProxy, fingerprint", false, haproxy("ssl_c_sha1,hex", func(c *x509.Certificate) string {
		return strings.ToUpper(fingerprint(c))
	})},
	{"HAProxy, subject DN", true, haproxy("ssl_c_s_dn(CN)", func(c *x509.Certificate) string {
		return c.Subject.CommonName
	})},
	{"Apache, issuer + serial", false, apache},
	{goOverHTTP2, false, golang(receiver.Options{Refuse: 401, HTTP2: true, Know: outbound.KeyPin})},
	{"Go, alert, TLS 1.3", false, golang(receiver.Options{Refuse: receiver.Alert})},
	{"Go, alert, TLS 1.2", false, golang(receiver.Options{Refuse: receiver.Alert, MaxVersion: tls.VersionTLS12})},
	{"Go, closes", false, golang(receiver.Options{Refuse: receiver.Close})},
	{"Go, resets", false, golang(receiver.Options{Refuse: receiver.Reset})},
	{"Go, slow 403", false, golang(receiver.Options{Refuse: 403, Delay: 20 * time.Millisecond})},
	{"Go, 401 only for POST", false, golang(receiver.Options{Refuse: 401, OnlyPOST: true})},
}

// orders are the steps of administrators after the renewal. Each step is the list of accepted generations.
var orders = []struct {
	name  string
	steps [][]int
	short bool // also part of "make test"
}{
	{"adds", [][]int{{1}, {1, 2}, {2}}, true},
	{"replaces early", [][]int{{2}}, false},
	{"replaces late", [][]int{{1}, {1}, {2}}, false},
	{"flips", [][]int{{2}, {1}, {2}, {1}, {2}}, true},
}

func fingerprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) // the only fingerprint that nginx 1.22 and HAProxy 2.6 offer as a variable
	return hex.EncodeToString(sum[:])
}

func golang(o receiver.Options) func(*world) system {
	return func(w *world) system {
		o.Certificate = receiver.Fixed(w.pair)
		s, err := receiver.Start(o)
		check(w.t, err)
		w.t.Cleanup(s.Close)
		return system{url: s.URL, accept: s.Accept, times: s.Taken, spoken: s.Spoken}
	}
}

// served is a server whose configuration lists what it accepts, and which reloads it at a signal. It starts with the
// first configuration: after a reload, a process that accepts nothing could still take connections.
func (w *world) served(program string, args []string, file string, reload syscall.Signal,
	configure func(port int, accepted []string) string, know func(*x509.Certificate) string) system {
	w.t.Helper()
	port := testenv.Port(w.t)
	cmd := exec.Command(find(w.t, program), args...)
	accept := func(certs ...*x509.Certificate) {
		var accepted []string
		for _, c := range certs {
			accepted = append(accepted, know(c))
		}
		w.write(file, []byte(configure(port, accepted)))
		if cmd.Process == nil {
			w.started(port, cmd)
			return
		}
		check(w.t, cmd.Process.Signal(reload))
	}
	return system{url: messagesAt(port), accept: accept, times: w.backend.times, agreements: 9}
}

// messagesAt is the address to which messages are sent.
func messagesAt(port int) string { return fmt.Sprintf("https://127.0.0.1:%d/messages", port) }

// started starts a server and waits until it answers. An earlier signal would be lost.
func (w *world) started(port int, cmd *exec.Cmd) (url string) {
	w.t.Helper()
	testenv.Start(w.t, cmd)
	url = messagesAt(port)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true}}
	testenv.Eventually(w.t, func() bool {
		res, err := client.Get(url)
		if err == nil {
			res.Body.Close()
		}
		return !errors.Is(err, syscall.ECONNREFUSED)
	})
	return url
}

func nginx(verify, by string, know func(*x509.Certificate) string) func(*world) system {
	return func(w *world) system {
		dir := w.t.TempDir()
		file := fmt.Sprintf("nginx-%d.conf", files.Add(1))
		configure := func(port int, accepted []string) string {
			var b strings.Builder
			fmt.Fprintf(&b, "user root; daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log "+
				"%[1]s/error.log;\nevents {}\nhttp { access_log off; client_max_body_size 0;\n", dir)
			for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				fmt.Fprintf(&b, "%s_temp_path %s/tmp;\n", kind, dir)
			}
			fmt.Fprintf(&b, "map %s $known { default 0;\n", by)
			for _, a := range accepted {
				fmt.Fprintf(&b, "%q 1;\n", a)
			}
			fmt.Fprintf(&b, `}
				server { listen 127.0.0.1:%d ssl http2; ssl_certificate %[2]s/server.pem; ssl_certificate_key %[2]s/server.pem;
				ssl_client_certificate %[2]s/ca.pem; ssl_verify_client %[3]s; ssl_verify_depth 3;
				location / { if ($known = 0) { return 401; } proxy_pass %[4]s; } } }`, port, w.dir, verify, w.backend.url)
			return b.String()
		}
		return w.served("nginx", []string{"-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", filepath.Join(w.dir, file)},
			file, syscall.SIGHUP, configure, know)
	}
}

// haproxy reads what it accepts from a list, which its administrator changes at run time (management guide, section
// 9.3).
func haproxy(by string, know func(*x509.Certificate) string) func(*world) system {
	return func(w *world) system {
		port := testenv.Port(w.t)
		dir, err := os.MkdirTemp("", "haproxy") // the path of a socket is limited
		check(w.t, err)
		w.t.Cleanup(func() { os.RemoveAll(dir) })
		list, socket := filepath.Join(dir, "accepted"), filepath.Join(dir, "admin")
		check(w.t, os.WriteFile(list, []byte("none\n"), 0o600))
		file := filepath.Base(dir) + ".cfg"
		w.write(file, fmt.Appendf(nil, `global
  stats socket %[5]s level admin
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend in
  bind 127.0.0.1:%[1]d ssl crt %[2]s/server.pem ca-file %[2]s/ca.pem verify optional crt-ignore-err all ca-ignore-err all alpn h2,http/1.1
  http-request deny deny_status 401 unless { %[3]s -m str -f %[4]s }
  default_backend app
backend app
  server app %[6]s
`, port, w.dir, by, list, socket, strings.TrimPrefix(w.backend.url, "http://")))
		url := w.started(port, exec.Command(find(w.t, "haproxy"), "-db", "-f", filepath.Join(w.dir, file)))
		command := func(text string) {
			conn, err := net.Dial("unix", socket)
			check(w.t, err)
			defer conn.Close()
			fmt.Fprintln(conn, text)
			answer, err := io.ReadAll(conn)
			check(w.t, err)
			if strings.TrimSpace(string(answer)) != "" {
				w.t.Fatalf("haproxy: %s: %s", text, answer)
			}
		}
		accepted := []string{"none"}
		accept := func(certs ...*x509.Certificate) {
			before := accepted
			accepted = nil
			for _, c := range certs {
				accepted = append(accepted, know(c))
				if !slices.Contains(before, know(c)) {
					command("add acl " + list + " " + know(c))
				}
			}
			for _, old := range before {
				if !slices.Contains(accepted, old) {
					command("del acl " + list + " " + old)
				}
			}
		}
		return system{url: url, accept: accept, times: w.backend.times, agreements: 9}
	}
}

// apache asks for the certificate in the handshake.
func apache(w *world) system {
	return apacheOf("  SSLVerifyClient require\n  SSLVerifyDepth 3\n  <Location />\n")(w)
}

// apacheOf starts Apache with the beginning of a <Location>, and of what comes before it.
func apacheOf(location string) func(*world) system {
	return func(w *world) system { return w.apache(location) }
}

func (w *world) apache(location string) system {
	dir := w.t.TempDir()
	file := fmt.Sprintf("apache-%d.conf", files.Add(1))
	configure := func(port int, accepted []string) string {
		var modules strings.Builder
		for _, m := range []string{"mpm_event", "ssl", "socache_shmcb", "authz_core", "proxy", "proxy_http"} {
			fmt.Fprintf(&modules, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
		}
		known := `"none"`
		if len(accepted) > 0 {
			known = `"` + strings.Join(accepted, `", "`) + `"`
		}
		return fmt.Sprintf(`%[1]sServerRoot %[2]s
ServerName 127.0.0.1
PidFile %[2]s/httpd.pid
Mutex file:%[2]s
ErrorLog %[2]s/error.log
Listen 127.0.0.1:%[3]d
SSLSessionCache none
<VirtualHost 127.0.0.1:%[3]d>
  SSLEngine on
  SSLCertificateFile %[4]s/server.pem
  SSLCACertificateFile %[4]s/ca.pem
%[7]s    SSLRequire %%{SSL_CLIENT_I_DN_CN} =~ m/issuing CA/ and %%{SSL_CLIENT_M_SERIAL} in {%[5]s}
  </Location>
  ProxyPass / %[6]s/
</VirtualHost>
`, modules.String(), dir, port, w.dir, known, w.backend.url, location)
	}
	return w.served("apache2", []string{"-DFOREGROUND", "-f", filepath.Join(w.dir, file)}, file, syscall.SIGUSR1,
		configure, serial)
}

// serial is the serial number as OpenSSL writes it.
func serial(c *x509.Certificate) string {
	s := strings.ToUpper(c.SerialNumber.Text(16))
	return strings.Repeat("0", len(s)%2) + s
}

// A sort is a sort of message.
var sorts = []struct {
	name, method string
	size         int // < 0: of unknown length
	rare         bool
}{
	{"GET", "GET", 0, false}, {"POST small", "POST", 300, false}, {"POST 900 KiB", "POST", 900 << 10, false},
	{"chunked", "POST", -(100 << 10), false}, {"POST 20 MiB", "POST", 20 << 20, true},
}

// bodies returns the bytes of which messages consist.
var bodies = sync.OnceValue(func() []byte {
	body := make([]byte, 900<<10)
	if *full {
		body = make([]byte, 20<<20)
	}
	rand.Read(body)
	return body
})

// flow sends messages of all sorts, one after the other in each of two lines, until it is stopped.
type flow struct {
	sent, failed, twice atomic.Int64
	mu                  sync.Mutex
	first               string // why the first one failed
	stop                chan struct{}
	ended               sync.WaitGroup
}

func (w *world) flow(name string, times func(string) int) *flow {
	f := &flow{stop: make(chan struct{})}
	body, every := bodies(), 16*time.Millisecond
	if *full {
		every = 4 * time.Millisecond
	}
	for line := range 2 {
		client := &http.Client{Transport: &http.Transport{}}
		f.ended.Go(func() {
			defer client.CloseIdleConnections()
			pace := time.NewTicker(every) // a steady rate, also if a refusal is quick
			defer pace.Stop()
			for n := line; ; n++ {
				select {
				case <-f.stop:
					return
				case <-pace.C:
				}
				s := sorts[n%len(sorts)]
				if s.rare && (!*full || n%3 != 0) {
					continue
				}
				var r io.Reader
				switch {
				case s.size > 0:
					r = bytes.NewReader(body[:s.size])
				case s.size < 0:
					r = io.MultiReader(bytes.NewReader(body[:-s.size]))
				}
				key := rand.Text()
				req, err := http.NewRequest(s.method, w.gateway+"/acme/"+name+"/order", r)
				if err != nil {
					panic(err)
				}
				req.Header.Set("Idempotency-Key", key)
				f.sent.Add(1)
				answer := ""
				if res, err := client.Do(req); err != nil {
					answer = err.Error()
				} else {
					text, _ := io.ReadAll(io.LimitReader(res.Body, 500))
					res.Body.Close()
					if res.StatusCode != 200 {
						answer = fmt.Sprintf("%s: %s %s", s.name, res.Status, text)
					}
				}
				if answer != "" {
					f.failed.Add(1)
					f.mu.Lock()
					if f.first == "" {
						f.first = answer
					}
					f.mu.Unlock()
				}
				if times(key) > 1 {
					f.twice.Add(1)
				}
			}
		})
	}
	return f
}

// waits waits until the flow has sent n more messages.
func (f *flow) waits(t *testing.T, n int64) {
	t.Helper()
	until := f.sent.Load() + n
	testenv.Eventually(t, func() bool { return f.sent.Load() >= until })
}

// strategies are the strategies of the arrangements. All but the last one promise that no message fails.
var strategies = []tenancy.Strategy{tenancy.Adaptive, tenancy.Confirmed, tenancy.Manual, tenancy.Immediate}

func TestReceivers(t *testing.T) {
	var sums [4]struct{ sent, failed int64 }
	var mu sync.Mutex
	each := int64(6)
	if *full {
		each = 25
	}
	t.Run("each", func(t *testing.T) {
		for _, k := range kinds {
			for _, o := range orders {
				if k.keeps && o.name != "replaces late" || !k.keeps && !*full && !o.short {
					continue
				}
				t.Run(k.name+"/"+o.name, func(t *testing.T) {
					t.Parallel() // most of the time, it waits for a program
					w := newWorld(t)
					r := k.start(w)
					r.accept(w.generation(1))
					var flows [len(sums)]*flow
					for _, s := range strategies {
						w.arrangement(string(s), r.url, s)
					}
					// Until the configuration is active: after a reload, the previous process may still take connections, and
					// each arrangement has its own.
					testenv.Eventually(t, func() bool {
						for range 3 {
							for _, s := range strategies {
								res, err := http.Post(w.gateway+"/acme/"+string(s)+"/ready", "text/plain", strings.NewReader("ready?"))
								if err != nil {
									return false
								}
								res.Body.Close()
								if res.StatusCode != http.StatusOK {
									return false
								}
							}
						}
						return true
					})
					for i, s := range strategies {
						flows[i] = w.flow(string(s), r.times)
					}
					wait := func() {
						for _, f := range flows {
							f.waits(t, each)
						}
					}
					wait()
					check(t, w.engine.Tick(t.Context(), time.Now())) // the renewal
					wait()
					if !k.keeps {
						for _, step := range o.steps {
							var certs []*x509.Certificate
							for _, n := range step {
								certs = append(certs, w.generation(n))
							}
							r.accept(certs...)
							wait()
						}
					}
					for i, f := range flows {
						close(f.stop)
						f.ended.Wait()
						sent, failed, twice := f.sent.Load(), f.failed.Load(), f.twice.Load()
						fmt.Printf("%-24s %-15s %-10s sent=%d failed=%d\n", k.name, o.name, strategies[i], sent, failed)
						mu.Lock()
						sums[i].sent += sent
						sums[i].failed += failed
						mu.Unlock()
						if strategies[i] != tenancy.Immediate && failed > 0 {
							t.Errorf("%s: %d of %d messages failed because of the renewal, the first with %s", strategies[i], failed,
								sent, f.first)
						}
						if twice > 0 {
							t.Errorf("%s: %d messages were taken twice", strategies[i], twice)
						}
						// Only a receiver that accepts the new certificate as well is an exception.
						if strategies[i] == tenancy.Immediate && (failed > 0) == k.keeps {
							t.Errorf("immediate: %d of %d failed", failed, sent)
						}
					}
					for s, want := range map[tenancy.Strategy]int{tenancy.Manual: 1, tenancy.Immediate: 2} {
						if got := w.presents(string(s)); got != want {
							t.Errorf("%s presents generation %d, want %d", s, got, want)
						}
					}
					if r.spoken != nil && (k.name == goOverHTTP2) != (r.spoken("HTTP/2.0") > 0) ||
						k.name == goOverHTTP2 && r.spoken("HTTP/1.1") > 0 {
						t.Errorf("%d requests over HTTP/2, %d over HTTP/1.1", r.spoken("HTTP/2.0"), r.spoken("HTTP/1.1"))
					}
				})
			}
		}
	})
	for i, s := range strategies {
		fmt.Printf("%s sent=%d failed=%d\n", s, sums[i].sent, sums[i].failed)
		if sums[i].sent == 0 || (sums[i].failed > 0) != (s == tenancy.Immediate) {
			t.Errorf("%s: %d of %d failed: immediate must lose something, and the others nothing", s, sums[i].failed,
				sums[i].sent)
		}
	}
}
