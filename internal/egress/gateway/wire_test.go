package gateway_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A raw receiver speaks HTTP/1.1 by hand, so that it can misbehave like servers that we did not choose.
type raw struct {
	URL string
	// serve handles one request. body is read on demand. The connection is closed if it returns false.
	serve func(r *raw, conn net.Conn, q *http.Request, known bool) bool
	// auto sends "100 Continue" before the application sees the request, as Node.js and others do.
	auto bool

	mu    sync.Mutex
	known []*x509.Certificate
	taken map[string]int
	heads int // requests
}

func (f *fixture) raw(name string, timeout int, r *raw) *raw {
	f.t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{f.server},
		ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"http/1.1"}})
	check(f.t, err)
	f.t.Cleanup(func() { l.Close() })
	r.URL, r.taken = "https://"+l.Addr().String(), map[string]int{}
	r.accept(f.generation(1))
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.handle(conn.(*tls.Conn))
		}
	}()
	f.engine.Arrangement(f.t, tenancy.Arrangement{TenantID: f.acme.ID, Name: name, Endpoint: r.URL,
		Strategy: tenancy.Adaptive, Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle()), TimeoutSeconds: timeout}})
	return r
}

func (r *raw) accept(all ...*x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = all
}

func (r *raw) handle(conn *tls.Conn) {
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	for in := bufio.NewReader(conn); ; {
		q, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		r.mu.Lock()
		known := slices.ContainsFunc(r.known, leaf.Equal)
		r.heads++
		r.mu.Unlock()
		if r.auto && q.Header.Get("Expect") != "" {
			io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if !r.serve(r, conn, q, known) {
			return
		}
	}
}

// take reads the body and answers 200.
func (r *raw) take(conn net.Conn, q *http.Request) bool {
	if _, err := io.Copy(io.Discard, q.Body); err != nil {
		return false
	}
	r.mu.Lock()
	r.taken[q.Header.Get("Idempotency-Key")]++
	r.mu.Unlock()
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	return err == nil
}

func (r *raw) arrived(m sent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.status == 200 && r.taken[m.key] == 1
}

// answer returns a status without a body.
func answer(conn net.Conn, status int) bool {
	_, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
	return err == nil
}

// reset closes a connection with a reset, so that what was sent before is lost.
func reset(conn net.Conn) {
	conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
	conn.(*tls.Conn).NetConn().Close()
}

// Each is a receiver that was seen to lose messages.
var misbehaving = map[string]struct {
	timeout int
	auto    bool
	refuse  func(conn net.Conn, q *http.Request) bool
	// every handles each request before the certificate matters.
	every func(conn net.Conn, q *http.Request) (handled, keep bool)
}{
	"100 Continue by itself, then it closes": {auto: true,
		refuse: func(conn net.Conn, _ *http.Request) bool { return false }},
	"100 Continue by itself, then it resets": {auto: true,
		refuse: func(conn net.Conn, _ *http.Request) bool {
			reset(conn)
			return false
		}},
	"403 that is lost behind a reset": {auto: true,
		refuse: func(conn net.Conn, q *http.Request) bool {
			io.CopyN(io.Discard, q.Body, 1<<10)
			answer(conn, 403)
			if q.ContentLength != 0 {
				reset(conn)
				return false
			}
			return true
		}},
	"it hangs": {timeout: 6,
		refuse: func(conn net.Conn, _ *http.Request) bool {
			io.Copy(io.Discard, conn)
			return false
		}},
	"417 to Expect": {refuse: func(conn net.Conn, _ *http.Request) bool { return answer(conn, 401) },
		every: refusingExpect(417)},
	"400 to Expect": {refuse: func(conn net.Conn, _ *http.Request) bool { return answer(conn, 401) },
		every: refusingExpect(400)},
	"501 to Expect": {refuse: func(conn net.Conn, _ *http.Request) bool { return answer(conn, 401) },
		every: refusingExpect(501)},
}

func refusingExpect(status int) func(net.Conn, *http.Request) (handled, keep bool) {
	return func(conn net.Conn, q *http.Request) (handled, keep bool) {
		if q.Header.Get("Expect") == "" {
			return false, true
		}
		fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
		conn.(*tls.Conn).CloseWrite()
		io.Copy(io.Discard, conn) // until the sender closes, so that the answer is not lost behind a reset
		return true, false
	}
}

func TestNoMessageFailsAtReceiversThatWereSeenToLoseThem(t *testing.T) {
	f := setUp(t)
	receivers := map[string]*raw{}
	nameOf := func(what string) string {
		return strings.Trim(strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(what)), "-")
	}
	for what, m := range misbehaving {
		receivers[what] = f.raw(nameOf(what), m.timeout, &raw{auto: m.auto,
			serve: func(r *raw, conn net.Conn, q *http.Request, known bool) bool {
				if m.every != nil {
					if handled, keep := m.every(conn, q); handled {
						return keep
					}
				}
				if !known {
					return m.refuse(conn, q)
				}
				return r.take(conn, q)
			}})
		if got := f.send(nameOf(what), "POST", 300); !receivers[what].arrived(got) {
			t.Errorf("%s, before the renewal: %+v", what, got)
		}
	}
	f.renew()
	first, second := f.generation(1), f.generation(2)
	for what, r := range receivers {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, accepts := range []*x509.Certificate{first, second, first} {
				r.accept(accepts)
				for _, k := range kinds {
					if got := f.send(nameOf(what), k.method, k.size); !r.arrived(got) {
						t.Errorf("%s of %d bytes: %+v, taken %d times", k.method, k.size, got, r.taken[got.key])
					}
				}
			}
		})
	}
}

// The receiver takes RSA signatures only, and the key of generation 1 is on an elliptic curve.
func TestAKeyThatCannotSignForTheReceiverIsPassedOver(t *testing.T) {
	f := setUp(t)
	server := testenv.TLSServer{Dir: t.TempDir(), Port: testenv.Port(t), Pair: f.server}
	address := server.Start(t, exec.Command("openssl", "s_server", "-accept", fmt.Sprintf("127.0.0.1:%d", server.Port),
		"-cert", "server.pem", "-key", "server.pem", "-Verify", "3", "-verify_quiet", "-client_sigalgs",
		"RSA+SHA256:rsa_pss_rsae_sha256", "-www"))
	f.arrangement("rsa", tenancy.Adaptive, "https://"+address)
	_, err := f.engine.Store.DB().ExecContext(t.Context(), "UPDATE tenants SET key_type = 'rsa2048'")
	check(t, err)
	f.renew()
	if got := f.send("rsa", "GET", 0); got.status != 200 {
		t.Errorf("%+v", got)
	}
	testenv.Eventually(t, func() bool {
		g, _ := f.standing("rsa").Rollover.Generation(1)
		return g.Verdict == rollover.Refused
	})
}
