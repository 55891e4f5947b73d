package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// GatewayResult contains the requests per second through each proxy and the medians of the ratios. The proxies take
// turns in rounds, so that all run under the same conditions.
type GatewayResult struct {
	Rounds         int                  `json:"rounds"`
	PerSecond      map[string][]float64 `json:"requests_per_second"`
	AgainstBare    float64              `json:"settled_against_bare_reverse_proxy"`
	AgainstNginx   float64              `json:"settled_against_nginx"`
	AgainstHAProxy float64              `json:"settled_against_haproxy"`
	BareToNginx    float64              `json:"bare_reverse_proxy_against_nginx"`
	// BoundToNginx is the ratio of a prototype without net/http's server to nginx: see direct.go.
	BoundToNginx float64 `json:"prototype_without_server_against_nginx"`
	OpenSmall    float64 `json:"open_against_settled_small"`
	OpenLarge    float64 `json:"open_against_settled_64_kib"`
	// AddedP99 is the median over the rounds of the time that the gateway adds to the 99th percentile of a bare reverse
	// proxy, in milliseconds, with a few connections that leave the cores half idle.
	AddedP99 float64 `json:"added_p99_milliseconds"`
}

// Print prints the result.
func (r GatewayResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%-26s requests a second, %d rounds\n", "", r.Rounds)
	for _, name := range gatewayRuns {
		fmt.Fprintf(w, "%-26s", name)
		for _, v := range r.PerSecond[name] {
			fmt.Fprintf(w, " %8.0f", v)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "medians of the ratios:\n  settled / bare ReverseProxy  %.2f (goal 0.95)\n  settled / nginx          "+
		"    %.2f (goal 0.80; the bare ReverseProxy itself: %.2f; a prototype without net/http's server: %.2f)\n  settled "+
		"/ HAProxy            %.2f (goal 0.80)\n  open / settled, small        %.2f (goal 0.90)\n  open / settled, 64 KiB  "+
		"     %.2f (goal 0.90)\nadded to the 99th percentile, with two connections: %.2f ms (goal 1 ms)\n",
		r.AgainstBare, r.AgainstNginx, r.BareToNginx, r.BoundToNginx, r.AgainstHAProxy, r.OpenSmall, r.OpenLarge, r.AddedP99)
}

var gatewayRuns = []string{"bare ReverseProxy", "settled", "nginx", "haproxy", "prototype without server",
	"settled, POST 200 bytes", "open, POST 200 bytes", "settled, POST 64 KiB", "open, POST 64 KiB"}

// Gateway measures the gateway against a bare httputil.ReverseProxy, nginx and HAProxy, with the same certificate and
// receiver (nginx) and the same load (wrk). They must be installed.
func Gateway(ctx context.Context, database string, rounds int, each time.Duration) (r GatewayResult, err error) {
	for _, program := range []string{"wrk", "nginx", "haproxy"} {
		if _, err := exec.LookPath(program); err != nil {
			return r, fmt.Errorf("%s is not installed: apt-get install %s", program, program)
		}
	}
	f, err := newFleet(ctx, database)
	if err != nil {
		return r, err
	}
	defer f.close()
	dir, err := os.MkdirTemp("", "perennial-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	b := gatewayBench{fleet: f, dir: dir}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return r, err
	}
	r = GatewayResult{Rounds: rounds, PerSecond: map[string][]float64{}}
	var added []float64
	for range rounds {
		for _, name := range gatewayRuns {
			perSecond, _, err := b.load(ctx, name, each, 32)
			if err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
			r.PerSecond[name] = append(r.PerSecond[name], perSecond)
		}
		_, bare, err1 := b.load(ctx, "bare ReverseProxy", each, 2)
		_, ours, err2 := b.load(ctx, "settled", each, 2)
		if err := errors.Join(err1, err2); err != nil {
			return r, err
		}
		added = append(added, float64((ours-bare).Microseconds())/1000)
	}
	slices.Sort(added)
	r.AddedP99 = added[len(added)/2]
	r.AgainstBare = medianRatio(r.PerSecond["settled"], r.PerSecond["bare ReverseProxy"])
	r.AgainstNginx = medianRatio(r.PerSecond["settled"], r.PerSecond["nginx"])
	r.AgainstHAProxy = medianRatio(r.PerSecond["settled"], r.PerSecond["haproxy"])
	r.BareToNginx = medianRatio(r.PerSecond["bare ReverseProxy"], r.PerSecond["nginx"])
	r.BoundToNginx = medianRatio(r.PerSecond["prototype without server"], r.PerSecond["nginx"])
	r.OpenSmall = medianRatio(r.PerSecond["open, POST 200 bytes"], r.PerSecond["settled, POST 200 bytes"])
	r.OpenLarge = medianRatio(r.PerSecond["open, POST 64 KiB"], r.PerSecond["settled, POST 64 KiB"])
	return r, nil
}

func medianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

type gatewayBench struct {
	*fleet
	dir   string
	urls  map[string]string
	ended []func()
}

func (b *gatewayBench) stop() {
	for _, end := range slices.Backward(b.ended) {
		end()
	}
}

// serve serves a handler on loopback.
func (b *gatewayBench) serve(h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	b.ended = append(b.ended, func() { s.Close() })
	return "http://" + l.Addr().String(), nil
}

// start starts the receiver, two tenants (one settled, one with an open roll-over), and the proxies.
func (b *gatewayBench) start(ctx context.Context) error {
	now := time.Now()
	receiver, proxy, err := b.nginx(now)
	if err != nil {
		return err
	}
	egress := tenancy.Egress{ServerCA: string(b.ca.Bundle())}
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, name := range []string{"settled", "open"} {
		t, err := b.engine.CreateTenant(ctx, tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256}, "bench",
			now)
		if err != nil {
			return err
		}
		err = b.store.InTx(ctx, func(tx *store.Tx) error {
			r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: "erp", DisplayName: "ERP", CreatedAt: now,
				Version: 1}
			a := tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID, ReceiverID: r.ID, Name: "erp", Endpoint: receiver,
				Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1, Egress: egress,
				CreatedAt: now, Version: 1}
			return errors.Join(tx.CreateReceivers(ctx, r), tx.CreateArrangements(ctx, a))
		})
		if err != nil {
			return err
		}
	}
	if _, err := b.engine.RenewByHand(ctx, "open", tenancy.ForTenant, lifecycle.Reissue, "bench", now); err != nil {
		return err
	}
	t, err := b.store.Tenant(ctx, "settled")
	if err != nil {
		return err
	}
	c, err := b.store.Newest(ctx, t.ID, tenancy.ForTenant)
	if err != nil {
		return err
	}
	pair, err := b.engine.Presentable(ctx, c)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "client.pem"), pairPEM(pair), 0o600); err != nil {
		return err
	}
	endpoint, err := url.Parse(receiver)
	if err != nil {
		return err
	}
	bare, err := b.serve(&httputil.ReverseProxy{Transport: network.Transport(egress, network.TLS(
		&standing.Identity{Generation: 1, Certificate: pair}, egress, nil)),
		Rewrite:  func(p *httputil.ProxyRequest) { p.SetURL(endpoint) },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)})
	if err != nil {
		return err
	}
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.ended = append(b.ended, func() { bound.Close() })
	go serveDirect(bound, endpoint, network.Connections(&standing.Identity{Generation: 1, Certificate: pair}, egress))
	g, err := gateway.New(gateway.Config{
		Control: inprocess.Control{Rollovers: b.engine.Rollovers(), Now: time.Now}, Network: network, Open: true,
		TempDir: b.dir, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	b.ended = append(b.ended, g.Close)
	ours, err := b.serve(g)
	if err != nil {
		return err
	}
	if err := b.runNginx(receiver); err != nil {
		return err
	}
	haproxy, err := b.haproxy(strings.TrimSuffix(strings.TrimPrefix(receiver, "https://"), "/"))
	if err != nil {
		return err
	}
	b.urls = map[string]string{"haproxy": haproxy, "bare ReverseProxy": bare, "nginx": proxy,
		"settled": ours + "/settled/erp", "open": ours + "/open/erp",
		"prototype without server": "http://" + bound.Addr().String()}
	return nil
}

// nginx writes the configuration of the receiver and of the proxy, in one nginx.
func (b *gatewayBench) nginx(now time.Time) (receiver, proxy string, err error) {
	server, err := b.ca.NewServerCertificate("127.0.0.1", func() time.Time { return now })
	if err != nil {
		return "", "", err
	}
	pair, err := server.Get(nil)
	if err != nil {
		return "", "", err
	}
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	var conf bytes.Buffer
	fmt.Fprintf(&conf, "daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;\nevents { "+
		"worker_connections 4096; }\nhttp { access_log off; keepalive_requests 100000000; client_max_body_size 0; "+
		"client_body_buffer_size 128k;\n", b.dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/tmp;\n", kind, b.dir)
	}
	fmt.Fprintf(&conf, `server { listen 127.0.0.1:%[1]d ssl;
		ssl_certificate %[3]s/server.pem; ssl_certificate_key %[3]s/server.pem;
		ssl_client_certificate %[3]s/ca.pem; ssl_verify_client on; ssl_verify_depth 3;
		location / { return 200 "accepted\n"; } }
	upstream receiver { server 127.0.0.1:%[1]d; keepalive 64; keepalive_requests 100000000; }
	server { listen 127.0.0.1:%[2]d; location / {
		proxy_pass https://receiver; proxy_http_version 1.1; proxy_set_header Connection "";
		proxy_ssl_certificate %[3]s/client.pem; proxy_ssl_certificate_key %[3]s/client.pem;
		proxy_ssl_trusted_certificate %[3]s/ca.pem; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
		proxy_ssl_name 127.0.0.1; } } }`, ports[0], ports[1], b.dir)
	return fmt.Sprintf("https://127.0.0.1:%d/", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1]), errors.Join(
		os.WriteFile(filepath.Join(b.dir, "server.pem"), pairPEM(*pair), 0o600),
		os.WriteFile(filepath.Join(b.dir, "ca.pem"), b.ca.Bundle(), 0o600),
		os.WriteFile(filepath.Join(b.dir, "nginx.conf"), conf.Bytes(), 0o600))
}

func (b *gatewayBench) runNginx(receiver string) error {
	return b.run(strings.TrimSuffix(strings.TrimPrefix(receiver, "https://"), "/"), "nginx", "-e",
		filepath.Join(b.dir, "error.log"), "-p", b.dir, "-c", filepath.Join(b.dir, "nginx.conf"))
}

// haproxy starts HAProxy as an egress proxy with one thread, as nginx has one worker.
func (b *gatewayBench) haproxy(receiver string) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	l.Close()
	config := filepath.Join(b.dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen egress
  bind %[1]s
  default-server ssl crt %[3]s/client.pem ca-file %[3]s/ca.pem verify required verifyhost 127.0.0.1
  server receiver %[2]s pool-max-conn 64
`, address, receiver, b.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	return "http://" + address, b.run(address, "haproxy", "-db", "-q", "-f", config)
}

// run starts a program and waits until it listens.
func (b *gatewayBench) run(address, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	b.ended = append(b.ended, func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s does not answer", program)
}

func pairPEM(pair tls.Certificate) []byte {
	var out []byte
	for _, der := range pair.Certificate {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		panic(err) // the key was generated here
	}
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

var (
	p99   = regexp.MustCompile(`99%\s+([0-9.]+[a-z]+)`)
	rate  = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrong = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// load runs wrk against one proxy. slowest is the 99th percentile.
func (b *gatewayBench) load(ctx context.Context, name string, each time.Duration, connections int) (perSecond float64,
	slowest time.Duration, err error) {
	proxy, kind, _ := strings.Cut(name, ", ")
	args := []string{"-t1", fmt.Sprintf("-c%d", connections), "--latency", "-d" + each.String(), b.urls[proxy] + "/"}
	if kind != "" {
		size := 200
		if kind == "POST 64 KiB" {
			size = 64 << 10
		}
		script := filepath.Join(b.dir, "post.lua")
		if err := os.WriteFile(script, fmt.Appendf(nil, "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", %d)\n", size),
			0o600); err != nil {
			return 0, 0, err
		}
		args = append([]string{"-s", script}, args...)
	}
	out, err := exec.CommandContext(ctx, "wrk", args...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := wrong.FindSubmatch(out); bad != nil {
		return 0, 0, fmt.Errorf("%s answers were not successful", bad[1])
	}
	found := rate.FindSubmatch(out)
	if found == nil {
		return 0, 0, fmt.Errorf("unexpected output of wrk: %s", out)
	}
	if perSecond, err = strconv.ParseFloat(string(found[1]), 64); err != nil {
		return 0, 0, err
	}
	if tail := p99.FindSubmatch(out); tail != nil {
		slowest, err = time.ParseDuration(string(tail[1]))
	}
	return perSecond, slowest, err
}
