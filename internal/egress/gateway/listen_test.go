package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// listen serves another gateway of the fixture at an address.
func (f *fixture) listen(address string, config *tls.Config) net.Listener {
	f.t.Helper()
	g, err := gateway.New(gateway.Config{
		Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Now: time.Now,
		Suffix: "gateway.test", Log: slog.New(slog.DiscardHandler),
	})
	check(f.t, err)
	l, err := gateway.Listen(address)
	check(f.t, err)
	s := g.Server(config)
	if config != nil {
		go s.ServeTLS(l, "", "")
	} else {
		go s.Serve(l)
	}
	f.t.Cleanup(func() {
		s.Close()
		g.Close()
	})
	return l
}

func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	res, err := c.Get(url)
	check(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(t, err)
	return res.StatusCode, string(data)
}

func TestTheOwnerOfAUnixSocketSendsWithoutAToken(t *testing.T) {
	f := setUp(t)
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	path := filepath.Join(t.TempDir(), "gateway")
	f.listen("unix:"+path, nil)
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer c.CloseIdleConnections()
	if status, body := get(t, c, "http://gateway/acme/bank/x"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if _, err := gateway.Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "another gateway listens") {
		t.Errorf("a second gateway at the same socket: %v", err)
	}
}

func TestASendersCertificateAuthenticatesItsTenant(t *testing.T) {
	f := setUp(t)
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.ca.Bundle())
	l := f.listen("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{f.server}, ClientCAs: roots,
		ClientAuth: tls.VerifyClientCertIfGiven})
	client := func(certs ...tls.Certificate) *http.Client {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	certificateOf := func(name string) tls.Certificate {
		tenant, err := f.engine.Store.Tenant(t.Context(), name)
		check(t, err)
		c, err := f.engine.Store.Newest(t.Context(), tenant.ID, tenancy.ForTenant)
		check(t, err)
		pair, err := f.engine.Presentable(t.Context(), c)
		check(t, err)
		return pair
	}
	url := "https://" + l.Addr().String() + "/acme/bank/x"
	if status, body := get(t, client(certificateOf("acme")), url); status != 200 {
		t.Errorf("its own: %d %s", status, body)
	}
	if status, _ := get(t, client(certificateOf("zeta")), url); status != 404 {
		t.Errorf("a neighbour's: %d", status)
	}
	if status, _ := get(t, client(), url); status != 401 {
		t.Errorf("none: %d", status)
	}
}

// A message that two servers could read as two requests is refused, or becomes one (RFC 9112, section 11.2).
func TestConflictingLengthsReachNoReceiver(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	head := "POST /acme/bank/x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + f.token + "\r\n"
	for _, smuggled := range []string{
		"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /zeta/bank/x HTTP/1.1\r\nHost: gateway\r\n\r\n",
		"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n",
		"X-A: b\r\n Folded: c\r\n\r\n",
		"X-Long: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", f.gateway.Listener.Addr().String())
		check(t, err)
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = io.WriteString(conn, head+smuggled)
		check(t, err)
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if n := strings.Count(string(answer), "HTTP/1.1 2"); n > 1 || strings.Contains(string(answer), "zeta") {
			t.Errorf("%.40q: %s", smuggled, answer)
		}
	}
	if server.Asked() > 3 { // three of them become one request each, one of them with a truncated body
		t.Errorf("the receiver was asked %d times", server.Asked())
	}
}
