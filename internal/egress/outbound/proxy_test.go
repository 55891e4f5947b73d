package outbound

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A connectProxy admits one user.
type connectProxy struct {
	*httptest.Server
	tunnels atomic.Int32
}

func newConnectProxy(t *testing.T, user, password string) *connectProxy {
	t.Helper()
	p := &connectProxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		u, pw, _ := r.BasicAuth()
		switch {
		case r.Method != http.MethodConnect:
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		case u != user || pw != password:
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		p.tunnels.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			io.Copy(to, conn)
			to.Close()
		}()
		io.Copy(conn, to)
		conn.Close()
	}))
	t.Cleanup(p.Close)
	return p
}

// with returns the URL of the proxy with a user and a password.
func (p *connectProxy) with(user, password string) string {
	u, _ := url.Parse(p.URL)
	u.User = url.UserPassword(user, password)
	return u.String()
}

func TestEveryWayToAReceiverGoesThroughTheProxy(t *testing.T) {
	endpoint, egress, _ := asked(t, nil, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	first, second := newConnectProxy(t, "u", "first secret"), newConnectProxy(t, "u", "second secret")
	n := &Network{Allowed: loopback.Allowed}
	testenv.Check(t, n.AddProxy(first.with("u", "first secret")))
	testenv.Check(t, n.AddProxy(second.with("u", "second secret")))
	probe := egress
	probe.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	for _, c := range []struct {
		setting       string
		first, second int32
	}{{"", 1, 0}, {second.URL, 0, 1}, {tenancy.NoProxy, 0, 0}} {
		egress.Proxy, probe.Proxy = c.setting, c.setting
		connections := n.Connections(nil, egress)
		direct := n.Connections(nil, egress)
		direct.http1.Store(true)
		for way, reach := range map[string]func() error{
			"a handshake":  func() error { return Ask(t.Context(), n, endpoint, egress, nil).Err },
			"a question":   func() error { return Ask(t.Context(), n, endpoint, probe, nil).Err },
			"a first look": func() error { _, err := Meet(t.Context(), n, c.setting, endpoint); return err },
			"a message": func() error {
				_, err := roundTrip(connections, request(t, "GET", endpoint.String(), ""))
				return err
			},
			"a direct message": func() error {
				_, err := roundTrip(direct, request(t, "GET", endpoint.String(), ""))
				return err
			},
		} {
			before := [2]int32{first.tunnels.Load(), second.tunnels.Load()}
			if err := reach(); err != nil {
				t.Errorf("%s with %q: %v", way, c.setting, err)
			}
			if got := [2]int32{first.tunnels.Load() - before[0], second.tunnels.Load() - before[1]}; got !=
				[2]int32{c.first, c.second} {
				t.Errorf("%s with %q: tunnels through the proxies %v, want %v", way, c.setting, got,
					[2]int32{c.first, c.second})
			}
		}
		connections.CloseIdleConnections()
		direct.CloseIdleConnections()
	}
}

func TestAProxyThatRefusesIsNamedWithoutItsPassword(t *testing.T) {
	endpoint, egress, _ := asked(t, nil, func(http.ResponseWriter, *http.Request) {})
	proxy := newConnectProxy(t, "u", "right")
	n := &Network{Allowed: loopback.Allowed}
	testenv.Check(t, n.AddProxy(proxy.with("u", "wrong-secret")))
	r := Ask(t.Context(), n, endpoint, egress, nil)
	if r.Reason != Unreachable || !strings.Contains(r.Detail, "407") || !strings.Contains(r.Detail, endpoint.Host) ||
		strings.Contains(r.Detail, "wrong-secret") {
		t.Errorf("%+v", r.Reading)
	}
	if err := n.AddProxy("proxy:wrong-secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an invalid URL: %v", err)
	}
}

func TestAProxyReachesNoForbiddenAddress(t *testing.T) {
	proxy := newConnectProxy(t, "u", "p")
	for _, c := range []struct {
		name, endpoint, setting string
	}{
		{"an address", "https://10.1.2.3/", ""},
		{"a name", "https://private.test/", ""},
		{"a tenant's own proxy", "https://93.184.215.14/", "http://169.254.169.254:3128"},
		{"a tenant's own proxy by name", "https://93.184.215.14/", "http://private.test:3128"},
	} {
		n := &Network{Resolver: newResolver(t, func(string) netip.Addr { return netip.MustParseAddr("10.0.0.1") })}
		testenv.Check(t, n.AddProxy(proxy.with("u", "p")))
		endpoint, err := url.Parse(c.endpoint)
		testenv.Check(t, err)
		r := Ask(t.Context(), n, endpoint, tenancy.Egress{Proxy: c.setting}, nil)
		if !errors.Is(r.Err, ErrForbiddenAddress) || r.Reason != ForbiddenAddress {
			t.Errorf("%s: %v", c.name, r.Err)
		}
	}
	if proxy.tunnels.Load() > 0 {
		t.Errorf("the proxy was asked %d times", proxy.tunnels.Load())
	}
}

// A deadlined connection records the deadline that was set last.
type deadlined struct {
	net.Conn
	last time.Time
}

func (d *deadlined) SetDeadline(t time.Time) error {
	d.last = t
	return d.Conn.SetDeadline(t)
}

func TestATunnelIsRequestedInTimeAndThenHasNoDeadline(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "proxy.test:3128", User: url.UserPassword("u", "p")}
	for _, c := range []struct{ name, answer, want string }{
		{"opens", "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"opens with another success", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"refuses", "HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden to CONNECT erp.test:443"},
		{"redirects", "HTTP/1.1 302 Found\r\n\r\n", "302 Found"},
		{"speaks a byte for the receiver", "HTTP/1.1 200 OK\r\n\r\nh", "before the receiver could"},
		{"speaks for the receiver", "HTTP/1.1 200 OK\r\n\r\nhello", "before the receiver could"},
		{"speaks something else", "hello\r\n\r\n", "malformed"},
		{"closes", "", "EOF"},
	} {
		ours, theirs := net.Pipe()
		seen := make(chan *http.Request, 1)
		go func() {
			r, _ := http.ReadRequest(bufio.NewReader(theirs))
			seen <- r
			if c.answer == "" {
				theirs.Close()
			}
			io.WriteString(theirs, c.answer)
		}()
		conn := &deadlined{Conn: ours}
		err := requestTunnel(t.Context(), conn, proxy, "erp.test:443")
		theirs.Close() // not before: a deadline cannot be set on a pipe that is closed
		ours.Close()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("a proxy that %s: %v", c.name, err)
		}
		if conn.last.IsZero() != (err == nil) {
			t.Errorf("a proxy that %s: the deadline is %v", c.name, conn.last)
		}
		r := <-seen
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodConnect || r.Host != "erp.test:443" || user != "u" || password != "p" ||
			r.Header["User-Agent"] != nil {
			t.Errorf("a proxy that %s: it was asked %s %s with %v", c.name, r.Method, r.Host, r.Header)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	if err := requestTunnel(ctx, ours, proxy, "erp.test:443"); err == nil {
		t.Error("a tunnel is requested after the end of the message")
	}
	ctx, cancel = context.WithCancel(t.Context())
	ours, silent := net.Pipe()
	go func() {
		http.ReadRequest(bufio.NewReader(silent))
		cancel() // while the answer is awaited
	}()
	if err := requestTunnel(ctx, ours, proxy, "erp.test:443"); !errors.Is(err, context.Canceled) {
		t.Errorf("the sender is gone: %v", err)
	}
}

func TestOnlyTheURLOfAnHTTPProxyWithAPortIsAccepted(t *testing.T) {
	for address, good := range map[string]bool{"http://proxy.test:3128": true, "http://u:p@proxy.test:3128": true,
		"https://proxy.test:3128": false, "http://proxy.test": false, "http://:3128": false, "proxy.test:3128": false,
		"http://%zz:1": false, "": false} {
		n := &Network{}
		if err := n.AddProxy(address); (err == nil) != good || (len(n.proxies) == 1) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}
