package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// nodes are two servers behind a load balancer that gives each connection to the next one.
type nodes struct {
	refuse http.HandlerFunc

	mu    sync.Mutex
	known [2][]*x509.Certificate
	taken map[string]int
}

type nodeKey struct{}

func (f *fixture) nodes(name string, refuse http.HandlerFunc) *nodes {
	f.t.Helper()
	n := &nodes{refuse: refuse, taken: map[string]int{}}
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(n)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}, ClientAuth: tls.RequestClientCert}
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, nodeKey{}, int(connections.Add(1)%2))
	}
	s.StartTLS()
	f.t.Cleanup(s.Close)
	n.accept(0, f.generation(1))
	n.accept(1, f.generation(1))
	f.arrangement(name, tenancy.Adaptive, s.URL)
	return n
}

func (n *nodes) accept(node int, all ...*x509.Certificate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[node] = all
}

func (n *nodes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	accepted := slices.ContainsFunc(n.known[r.Context().Value(nodeKey{}).(int)], func(c *x509.Certificate) bool {
		return len(r.TLS.PeerCertificates) > 0 && c.Equal(r.TLS.PeerCertificates[0])
	})
	n.mu.Unlock()
	if !accepted {
		n.refuse(w, r)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil { // a question that was given up
		panic(http.ErrAbortHandler)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Method != http.MethodHead {
		n.taken[r.Header.Get("Idempotency-Key")]++
	}
	io.WriteString(w, "{}")
}

func (n *nodes) takenTimes(key string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.taken[key]
}

func TestNoMessageFailsWhileOneOfTwoNodesHasTheNewCertificate(t *testing.T) {
	for form, refuse := range map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"a close": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	} {
		for change, accepts := range map[string]func(f *fixture) []*x509.Certificate{
			"adds":     func(f *fixture) []*x509.Certificate { return []*x509.Certificate{f.generation(1), f.generation(2)} },
			"replaces": func(f *fixture) []*x509.Certificate { return []*x509.Certificate{f.generation(2)} },
		} {
			t.Run(form+", one node "+change, func(t *testing.T) {
				f := setUp(t)
				server := f.nodes("bank", refuse)
				f.renew()
				f.noticed()
				send := func(when string) {
					t.Helper()
					for range 4 {
						for _, k := range kinds {
							if k.size < 0 && form == "a close" && change == "replaces" {
								// Go's server reads up to 256 KiB of a body without a declared length before it closes. So the
								// receiver may have processed the message, and it is not sent again.
								continue
							}
							got := f.send("bank", k.method, k.size)
							if got.status != 200 || server.takenTimes(got.key) != 1 {
								t.Errorf("%s: %s of %d bytes: %d, taken %d times: %s", when, k.method, k.size, got.status,
									server.takenTimes(got.key), got.body)
							}
						}
					}
				}
				send("before the change")
				server.accept(1, accepts(f)...)
				send("while the nodes differ")
				if change == "adds" && f.presents("bank") != 1 {
					t.Error("generation 2 is presented although one of two nodes refuses it")
				}
				server.accept(0, accepts(f)...)
				send("after both have changed")
			})
		}
	}
}

// While nginx reloads, its processes of both configurations take connections, so that several rounds in a row may meet
// the wrong process each time.
func TestNoMessageFailsWhileAReceiverReloads(t *testing.T) {
	f := setUp(t)
	var wrong atomic.Int64 // requests that still meet the wrong process
	var known atomic.Pointer[x509.Certificate]
	known.Store(f.generation(1))
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(w http.ResponseWriter, r *http.Request) {
		if wrong.Add(-1) >= 0 || len(r.TLS.PeerCertificates) == 0 || !known.Load().Equal(r.TLS.PeerCertificates[0]) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.Copy(io.Discard, r.Body)
	}))
	f.renew()
	f.noticed()
	for _, k := range kinds {
		if got := f.send("bank", k.method, k.size); got.status != 200 {
			t.Fatalf("before the reload, %s of %d bytes: %d %s", k.method, k.size, got.status, got.body)
		}
	}
	f.ahead.Store(int64(2 * time.Minute)) // no verdict was reversed lately
	if got := f.send("bank", "POST", 300); got.status != 200 {
		t.Fatalf("a moment before the reload: %d %s", got.status, got.body)
	}
	known.Store(f.generation(2))
	wrong.Store(6)
	if got := f.send("bank", "POST", 900<<10); got.status != 200 {
		t.Errorf("during the reload: %d %s", got.status, got.body)
	}
}

// A receiver may lock out a sender that it refuses too often. One that has just changed its mind gets the most
// attempts: each of two generations in five rounds.
func TestAReceiverThatRefusesEverythingAfterAChangeGetsAMessageTenTimesAtMost(t *testing.T) {
	f := setUp(t)
	var asked, taken atomic.Int64
	var known atomic.Pointer[x509.Certificate]
	known.Store(f.generation(1))
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if len(r.TLS.PeerCertificates) == 0 || !r.TLS.PeerCertificates[0].Equal(known.Load()) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		taken.Add(1)
		io.Copy(io.Discard, r.Body)
	}))
	f.renew()
	f.noticed()
	f.send("bank", "POST", 300)
	known.Store(f.generation(2)) // which reverses the verdicts
	if got := f.send("bank", "POST", 300); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	known.Store(nil)
	before := taken.Load()
	for n := 1; n <= 4; n++ {
		asked.Store(0)
		if got := f.send("bank", "POST", 300); got.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if most := []int64{10, 10, 10, 1}[n-1]; asked.Load() > most {
			t.Errorf("message %d: %d requests, want at most %d", n, asked.Load(), most)
		}
	}
	if taken.Load() != before {
		t.Error("a refused message was taken")
	}
}
