package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// listen serves another gateway of the fixture at an address.
func (f *fixture) listen(address string, config *tls.Config, change ...func(*gateway.Config)) net.Listener {
	f.t.Helper()
	options := gateway.Config{SenderDomain: "p.example.com",
		Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Now: time.Now,
		Suffix: "gateway.test", Log: slog.New(slog.DiscardHandler),
	}
	for _, set := range change {
		set(&options)
	}
	g, err := gateway.New(options)
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
	address := "https://" + l.Addr().String() + "/acme/bank/x"
	if status, body := get(t, client(certificateOf("acme")), address); status != 200 {
		t.Errorf("its own: %d %s", status, body)
	}
	if status, _ := get(t, client(certificateOf("zeta")), address); status != 404 {
		t.Errorf("a neighbour's: %d", status)
	}
	if status, _ := get(t, client(), address); status != 401 {
		t.Errorf("none: %d", status)
	}
}

// A sendersCA issues senders' certificates. It may be a public CA, which certifies other hosts as well.
type sendersCA struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // of its revocation list
}

func newSendersCA(t *testing.T) *sendersCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "senders"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &sendersCA{t, cert, key, filepath.Join(t.TempDir(), "senders.crl")}
}

// issue returns a certificate with a URI. Its revocation list is at crl, if that is not empty.
func (ca *sendersCA) issue(serial int64, uri, crl string) tls.Certificate {
	ca.t.Helper()
	u, err := url.Parse(uri)
	check(ca.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if crl != "" {
		template.CRLDistributionPoints = []string{crl}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, ca.key.Public(), ca.key)
	check(ca.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.key}
}

// revoke writes the revocation list with serial numbers. It is current for a time.
func (ca *sendersCA) revoke(current time.Duration, serials ...int64) {
	ca.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Hour),
		NextUpdate: time.Now().Add(current)}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	check(ca.t, err)
	check(ca.t, os.WriteFile(ca.file, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600))
}

func TestASendersCertificateIsOfTheTrustDomainAndNotRevoked(t *testing.T) {
	f := setUp(t)
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	ca := newSendersCA(t)
	senders, roots := x509.NewCertPool(), x509.NewCertPool()
	senders.AddCert(ca.cert)
	roots.AppendCertsFromPEM(f.ca.Bundle())
	var ahead atomic.Int64 // of the gateway's clock
	serve := func(crl string) string {
		l := f.listen("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{f.server}, ClientCAs: senders,
			ClientAuth: tls.VerifyClientCertIfGiven}, func(c *gateway.Config) {
			c.SenderCRL = crl
			c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		return "https://" + l.Addr().String() + "/acme/bank/x"
	}
	client := func(cert tls.Certificate) *http.Client {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			Certificates: []tls.Certificate{cert}}}}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	const own, list = "spiffe://p.example.com/tenant/acme", "http://crl.example.com/x"
	unchecked := serve("")
	ca.revoke(time.Hour, 7)
	checked := serve(ca.file)
	for _, c := range []struct {
		name, address string
		cert          tls.Certificate
		want          int
		reason        string
	}{
		{"its own", unchecked, ca.issue(2, own, ""), 200, ""},
		{"another host", unchecked, ca.issue(3, "spiffe://evil.example.com/tenant/acme", ""), 403, "has no URI"},
		{"a web address", unchecked, ca.issue(4, "https://p.example.com/tenant/acme", ""), 403, "has no URI"},
		{"a longer path", unchecked, ca.issue(4, "spiffe://p.example.com/x/tenant/acme", ""), 403, "has no URI"},
		{"a list that is not checked", unchecked, ca.issue(5, own, list), 403, "--gateway-client-crl"},
		{"a list that is checked", checked, ca.issue(6, own, list), 200, ""},
		{"a revoked one", checked, ca.issue(7, own, ""), 403, "revoked"},
	} {
		if status, body := get(t, client(c.cert), c.address); status != c.want || !strings.Contains(body, c.reason) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}

	open := client(ca.issue(8, own, list)) // its connection stays
	for _, c := range []struct {
		name    string
		change  func()
		want    int
		reason  string
		passing time.Duration
	}{
		{"before", func() {}, 200, "", 0},
		{"revoked", func() { ca.revoke(2*time.Hour, 8, 9) }, 403, "is revoked", 10 * time.Second},
		{"valid again", func() { ca.revoke(time.Hour) }, 200, "", 10 * time.Second},
		{"the file is damaged", func() { check(t, os.WriteFile(ca.file, []byte("x"), 0o600)) }, 403, "cannot be read",
			10 * time.Second},
		{"the file is gone", func() { check(t, os.Remove(ca.file)) }, 403, "cannot be read", 10 * time.Second},
		{"an old list", func() { ca.revoke(time.Second) }, 403, "out of date", 10 * time.Second},
		{"a list of another CA", func() {
			other := newSendersCA(t)
			other.file = ca.file
			other.revoke(time.Hour)
		}, 403, "no revocation list", 10 * time.Second},
		{"a new list", func() { ca.revoke(4 * time.Hour) }, 200, "", 10 * time.Second},
		{"the certificate has expired", func() {}, 403, "has expired", time.Hour},
	} {
		c.change()
		ahead.Add(int64(c.passing))
		if status, body := get(t, open, checked); status != c.want || !strings.Contains(body, c.reason) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
}

func TestAnOpenGatewayTakesNothingFromPagesAndOtherNames(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	l := f.listen("127.0.0.1:0", nil, func(c *gateway.Config) { c.Open = true })
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(t, err)
	ask := func(host string, header ...string) int {
		t.Helper()
		path := "/acme/bank/x"
		if strings.HasSuffix(host, "gateway.test") {
			path = "/x"
		}
		r, err := http.NewRequest(http.MethodPost, "http://"+l.Addr().String()+path, strings.NewReader("x"))
		check(t, err)
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
		return res.StatusCode
	}
	for _, host := range []string{"localhost", "localhost:" + port, "127.0.0.1:" + port, "127.9.9.9", "[::1]:" + port,
		"bank.acme.gateway.test"} {
		if status := ask(host); status != 200 {
			t.Errorf("from a program, at %s: %d", host, status)
		}
	}
	if status := ask("localhost", "Sec-Fetch-Site", "none"); status != 200 {
		t.Errorf("from a person who typed the address: %d", status)
	}
	before := server.Asked()
	for _, host := range []string{"evil.example.com", "localhost.evil.example.com", "192.0.2.1",
		"127.0.0.1.evil.example"} {
		if status := ask(host); status != 403 {
			t.Errorf("at %s: %d", host, status)
		}
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "same-origin"}, {"Origin", "https://evil.example.com"}, {"Origin", "null"}} {
		if status := ask("localhost", header...); status != 403 {
			t.Errorf("from a page (%v): %d", header, status)
		}
	}
	if server.Asked() != before {
		t.Error("the receiver was asked")
	}
	if status := ask("evil.example.com", "Authorization", "Bearer "+f.token, "Origin", "https://a.test"); status != 200 {
		t.Errorf("with a sender's token: %d", status)
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
