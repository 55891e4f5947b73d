package bench

import (
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
	AgainstCaddy   float64              `json:"settled_against_caddy,omitempty"`
	BareToNginx    float64              `json:"bare_reverse_proxy_against_nginx"`
	// BoundToNginx is the ratio of a prototype without net/http's server to nginx: see direct.go.
	BoundToNginx float64 `json:"prototype_without_server_against_nginx"`
	OpenSmall    float64 `json:"open_against_settled_small"`
	OpenLarge    float64 `json:"open_against_settled_64_kib"`
	OpenHuge     float64 `json:"open_against_settled_1_mib"`
	// Handshakes are ratios to nginx if each message needs a new connection to the receiver, with a full TLS handshake.
	HandshakesP256 float64 `json:"handshakes_p256_against_nginx"`
	HandshakesRSA  float64 `json:"handshakes_rsa_2048_against_nginx"`
	// AddedP99 is the median over the rounds of the time that the gateway adds to the 99th percentile of a bare reverse
	// proxy, in milliseconds, with a few connections that leave the cores half idle.
	AddedP99 float64 `json:"added_p99_milliseconds"`
}

// Print prints the result.
func (r GatewayResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%-26s requests a second, %d rounds\n", "", r.Rounds)
	for _, name := range gatewayRuns {
		if len(r.PerSecond[name]) == 0 {
			continue
		}
		fmt.Fprintf(w, "%-26s", name)
		for _, v := range r.PerSecond[name] {
			fmt.Fprintf(w, " %8.0f", v)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "medians of the ratios:")
	line := func(name string, value float64, goal string) { fmt.Fprintf(w, "  %-34s %.2f  %s\n", name, value, goal) }
	line("settled / bare ReverseProxy", r.AgainstBare, "goal 0.95")
	line("settled / nginx", r.AgainstNginx, fmt.Sprintf("goal 0.85; the bare ReverseProxy itself: %.2f; a prototype "+
		"without net/http's server: %.2f", r.BareToNginx, r.BoundToNginx))
	line("settled / HAProxy", r.AgainstHAProxy, "")
	if r.AgainstCaddy > 0 {
		line("settled / Caddy", r.AgainstCaddy, "goal 1")
	}
	line("open / settled, 200 bytes", r.OpenSmall, "goal 0.9")
	line("open / settled, 64 KiB", r.OpenLarge, "goal 0.97")
	line("open / settled, 1 MiB", r.OpenHuge, "goal 0.97")
	line("full handshakes, P-256 / nginx", r.HandshakesP256, "goal 0.8")
	line("full handshakes, RSA 2048 / nginx", r.HandshakesRSA, "goal 0.8")
	fmt.Fprintf(w, "added to the 99th percentile, with two connections: %.2f ms (goal 1 ms)\n", r.AddedP99)
}

var gatewayRuns = []string{"bare ReverseProxy", "settled", "nginx", "haproxy", "caddy", "prototype without server",
	"settled, POST 200 bytes", "open, POST 200 bytes", "settled, POST 64 KiB", "open, POST 64 KiB", "settled, POST 1 MiB",
	"open, POST 1 MiB", "handshakes P-256", "nginx handshakes P-256", "handshakes RSA 2048", "nginx handshakes RSA 2048"}

// Gateway measures the gateway against a bare httputil.ReverseProxy, nginx and HAProxy, with the same certificate and
// receiver (nginx) and the same load (wrk). They must be installed. It also measures Caddy if caddy is its program.
func Gateway(ctx context.Context, database, caddy string, rounds int, each time.Duration) (r GatewayResult, err error) {
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
	b := gatewayBench{fleet: f, dir: dir, caddy: caddy}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return r, err
	}
	r = GatewayResult{Rounds: rounds, PerSecond: map[string][]float64{}}
	var added []float64
	for range rounds {
		for _, name := range gatewayRuns {
			if name == "caddy" && caddy == "" {
				continue
			}
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
	r.AgainstCaddy = medianRatio(r.PerSecond["settled"], r.PerSecond["caddy"])
	r.BareToNginx = medianRatio(r.PerSecond["bare ReverseProxy"], r.PerSecond["nginx"])
	r.BoundToNginx = medianRatio(r.PerSecond["prototype without server"], r.PerSecond["nginx"])
	r.OpenSmall = medianRatio(r.PerSecond["open, POST 200 bytes"], r.PerSecond["settled, POST 200 bytes"])
	r.OpenLarge = medianRatio(r.PerSecond["open, POST 64 KiB"], r.PerSecond["settled, POST 64 KiB"])
	r.OpenHuge = medianRatio(r.PerSecond["open, POST 1 MiB"], r.PerSecond["settled, POST 1 MiB"])
	r.HandshakesP256 = medianRatio(r.PerSecond["handshakes P-256"], r.PerSecond["nginx handshakes P-256"])
	r.HandshakesRSA = medianRatio(r.PerSecond["handshakes RSA 2048"], r.PerSecond["nginx handshakes RSA 2048"])
	return r, nil
}

// medianRatio returns the median of the ratios of the rounds; 0 if b was not measured.
func medianRatio(a, b []float64) float64 {
	if len(b) == 0 {
		return 0
	}
	ratios := ratiosOf(a, b)
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func ratiosOf(a, b []float64) []float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

type gatewayBench struct {
	*fleet
	dir   string
	caddy string // the program; may be empty
	host  string // URL of the gateway, without a path
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
	n, err := b.nginx(now)
	if err != nil {
		return err
	}
	egress := tenancy.Egress{ServerCA: string(b.ca.Bundle())}
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for name, kind := range map[string]tenancy.KeyType{"settled": tenancy.P256, "open": tenancy.P256,
		"rsa": tenancy.RSA2048} {
		if err := b.tenant(ctx, name, kind, egress, n, now); err != nil {
			return err
		}
	}
	if _, err := b.engine.RenewByHand(ctx, "open", tenancy.ForTenant, lifecycle.Reissue, "bench", now); err != nil {
		return err
	}
	pair, err := b.identity(ctx, "settled", "client.pem")
	if err != nil {
		return err
	}
	if _, err := b.identity(ctx, "rsa", "rsa.pem"); err != nil {
		return err
	}
	endpoint, err := url.Parse(n.receiver)
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
	b.host = ours
	if err := b.run(n.receiver, "nginx", "-e", filepath.Join(b.dir, "error.log"), "-p", b.dir, "-c",
		filepath.Join(b.dir, "nginx.conf")); err != nil {
		return err
	}
	haproxy, err := b.haproxy(n.receiver)
	if err != nil {
		return err
	}
	b.urls = map[string]string{"haproxy": haproxy, "bare ReverseProxy": bare, "nginx": n.proxy,
		"settled": ours + "/settled/erp", "open": ours + "/open/erp",
		"prototype without server": "http://" + bound.Addr().String(),
		"handshakes P-256":         ours + "/settled/fresh", "nginx handshakes P-256": n.proxyFresh,
		"handshakes RSA 2048": ours + "/rsa/fresh", "nginx handshakes RSA 2048": n.proxyFreshRSA}
	if b.caddy == "" {
		return nil
	}
	b.urls["caddy"], err = b.runCaddy(n.receiver)
	return err
}

// tenant creates a tenant with arrangements to both ports of the receiver.
func (b *gatewayBench) tenant(ctx context.Context, name string, kind tenancy.KeyType, egress tenancy.Egress, n ports,
	now time.Time) error {
	t, err := b.engine.CreateTenant(ctx, tenancy.Tenant{Name: name, DisplayName: name, KeyType: kind}, "bench", now)
	if err != nil {
		return err
	}
	return b.store.InTx(ctx, func(tx *store.Tx) error {
		for arrangement, endpoint := range map[string]string{"erp": n.receiver, "fresh": n.fresh} {
			r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: arrangement, DisplayName: arrangement, CreatedAt: now,
				Version: 1}
			a := tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID, ReceiverID: r.ID, Name: arrangement,
				Endpoint: endpoint, Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1,
				Egress: egress, CreatedAt: now, Version: 1}
			if err := errors.Join(tx.CreateReceivers(ctx, r), tx.CreateArrangements(ctx, a)); err != nil {
				return err
			}
		}
		return nil
	})
}

// identity writes the certificate and key of a tenant into a file, for the other proxies.
func (b *gatewayBench) identity(ctx context.Context, tenant, file string) (pair tls.Certificate, err error) {
	t, err := b.store.Tenant(ctx, tenant)
	if err != nil {
		return pair, err
	}
	c, err := b.store.Newest(ctx, t.ID, tenancy.ForTenant)
	if err != nil {
		return pair, err
	}
	if pair, err = b.engine.Presentable(ctx, c); err != nil {
		return pair, err
	}
	return pair, os.WriteFile(filepath.Join(b.dir, file), pairPEM(pair), 0o600)
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
		size := map[string]int{"POST 200 bytes": 200, "POST 64 KiB": 64 << 10, "POST 1 MiB": 1 << 20}[kind]
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
