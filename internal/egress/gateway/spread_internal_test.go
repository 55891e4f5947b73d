package gateway

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A crowd has arrangements of one receiver, which present generation 1 of the same tenant. The test moves the clock of
// the budget.
type crowd struct {
	t          *testing.T
	receiver   *httptest.Server
	gateway    *Gateway
	at         time.Time
	refused    atomic.Int64 // the generation that the receiver refuses, if any
	handshakes atomic.Int64
	answered   [3]atomic.Int64 // by generation
	template   *route
	identities []standing.Identity
	routes     []*route
}

// gather starts a receiver. Each arrangement has sent a message, and has a connection.
func gather(t *testing.T, perSecond, arrangements int, http2 bool, method string, size int) *crowd {
	t.Helper()
	c := &crowd{t: t, at: noon}
	c.receiver = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		generation := r.TLS.PeerCertificates[0].SerialNumber.Int64()
		c.answered[generation].Add(1)
		if generation == c.refused.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	c.receiver.EnableHTTP2 = http2
	c.receiver.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, CurvePreferences: []tls.CurveID{tls.X25519},
		Certificates: []tls.Certificate{selfSigned(t, 1)}} // RSA would take most of the time
	c.receiver.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.handshakes.Add(1)
		return nil, nil
	}
	c.receiver.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	c.receiver.StartTLS()
	t.Cleanup(c.receiver.Close)
	c.gateway = quietly(&failing{}, io.Discard)
	c.gateway.now = func() time.Time { return c.at }
	c.gateway.reports.wake = make(chan struct{}, 1)
	c.gateway.network = &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Handshakes: outbound.NewHandshakes(perSecond, func() time.Time { return c.at })}
	c.template = connected(t, c.receiver, 1, 2)
	for _, n := range []int{1, 2} {
		c.identities = append(c.identities, c.template.identities[n].Identity)
	}
	s := c.template.standing
	s.Rollover = c.accepted(1, s.Rollover)
	s.Evidence = []standing.Evidence{{Generation: 1, Kinds: []string{"200"}}}
	c.template.standing = s
	c.routes = []*route{c.template}
	c.send(method, size) // it shows the version of HTTP
	c.routes = nil
	for i := range arrangements {
		to, err := newRoute(c.gateway.network, address{"acme", fmt.Sprint("a", i)}, s, c.identities, nil)
		testenv.Check(t, err)
		to.series = seriesOf("")
		to.identities[1].transport().Resemble(c.template.identities[1].transport())
		c.routes = append(c.routes, to)
	}
	t.Cleanup(func() {
		for _, to := range c.routes {
			to.closeBut(nil)
		}
	})
	c.send(method, size)
	c.at = c.at.Add(time.Minute)
	return c
}

// accepted returns a roll-over in which the receiver accepts generations up to a number.
func (c *crowd) accepted(up int, r rollover.Rollover) rollover.Rollover {
	generations := append([]rollover.Generation(nil), r.Generations...)
	for i := range up {
		generations[i].Verdict, generations[i].By, generations[i].VerdictAt = rollover.Accepted, rollover.Probe, c.at
	}
	r.Generations = generations
	return r
}

// cutOver makes every arrangement present generation 2, as a gateway does that is notified of it.
func (c *crowd) cutOver(change func(*rollover.Rollover)) {
	c.t.Helper()
	r := c.accepted(2, c.template.standing.Rollover)
	r.Presents, r.Generations[1].PresentedAt = 2, c.at
	change(&r)
	for i, before := range c.routes {
		s := c.template.standing
		s.Rollover = r
		next, err := newRoute(c.gateway.network, before.address, s, c.identities, before)
		testenv.Check(c.t, err)
		next.series = before.series
		before.closeBut(next)
		c.routes[i] = next
	}
}

// send sends one message of each arrangement, which the receiver must accept.
func (c *crowd) send(method string, size int) (handshakes, attempts int) {
	c.t.Helper()
	before := c.handshakes.Load()
	for _, to := range c.routes {
		var body io.Reader
		if size > 0 {
			body = bytes.NewReader(make([]byte, size))
		}
		m := newMessage(c.gateway, to, method, "/orders")
		res, err := m.RoundTrip(toward(c.t, c.receiver, method, body))
		testenv.Check(c.t, err)
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			c.t.Fatalf("%s: %d after %d attempts: %s", to.name(), res.StatusCode, m.attempts, m.outcome)
		}
		attempts += m.attempts
		if m.kept != nil {
			m.kept.close()
		}
	}
	return int(c.handshakes.Load() - before), attempts
}

func asIs(*rollover.Rollover) {}

// Four hundred arrangements of one receiver are cut over at the same instant, and each has a message every second.
func TestACutOverOfManyArrangementsOpensConnectionsAtABoundedRate(t *testing.T) {
	const perSecond, arrangements = 100, 400
	c := gather(t, perSecond, arrangements, false, "GET", 0)
	c.cutOver(asIs)
	spread := value(t, spreadTotal)
	for second := 1; second <= arrangements/perSecond; second++ {
		handshakes, attempts := c.send("GET", 0)
		if handshakes != perSecond || attempts != arrangements {
			t.Errorf("second %d: %d new connections and %d attempts, want %d and %d", second, handshakes, attempts, perSecond,
				arrangements)
		}
		if got, want := c.answered[2].Load(), int64(second*(second+1)/2*perSecond); got != want {
			t.Errorf("second %d: %d messages with generation 2 until now, want %d", second, got, want)
		}
		c.at = c.at.Add(time.Second)
	}
	if got, _ := c.send("GET", 0); got != 0 {
		t.Errorf("%d new connections when all have theirs", got)
	}
	if got, want := value(t, spreadTotal)-spread, float64((3+2+1)*perSecond); got != want {
		t.Errorf("%v messages are counted, want %v", got, want)
	}
}

func TestNoMessageWaitsForTheBudgetOfItsReceiver(t *testing.T) {
	const arrangements = 10
	newestOnly := func(r *rollover.Rollover) { r.NewestOnly = true }
	immediate := func(r *rollover.Rollover) { r.Strategy = tenancy.Immediate }
	revoked := func(r *rollover.Rollover) { r.Generations[0].Revoked = true }
	drop := func(c *crowd) {
		for _, to := range c.routes {
			to.reconnect(c.gateway.network, 1)
		}
	}
	for _, c := range []struct {
		name   string
		method string
		size   int
		http2  bool
		change func(*rollover.Rollover)
		before func(*crowd) // the messages after the cut-over

		handshakes, attempts int
		second               int64 // messages with generation 2
	}{
		{"messages without bodies", "GET", 0, false, asIs, nil, 1, 10, 1},
		{"messages with small bodies", "POST", 200, false, asIs, nil, 1, 10, 1},
		{"HTTP/2", "GET", 0, true, asIs, nil, 1, 10, 1},
		{"HTTP/2 with small bodies", "POST", 200, true, asIs, nil, 1, 10, 1},
		{"larger bodies", "POST", 100 << 10, false, asIs, nil, 1, 10, 1},
		{"a receiver that takes the newest only", "GET", 0, false, newestOnly, nil, 10, 10, 10},
		{"the strategy immediate", "GET", 0, false, immediate, nil, 10, 10, 10},
		{"the old one is revoked", "GET", 0, false, revoked, nil, 10, 10, 10},
		{"no open connection", "GET", 0, false, asIs, drop, 10, 10, 10},
		{"the receiver has closed its connections", "GET", 0, false, asIs,
			func(c *crowd) { c.receiver.CloseClientConnections() }, 10, 10, 10},
		{"the receiver no longer accepts the old one", "GET", 0, false, asIs, func(c *crowd) { c.refused.Store(1) }, 10,
			19, 10},
		{"the receiver no longer accepts the old one with bodies", "POST", 200, false, asIs,
			func(c *crowd) { c.refused.Store(1) }, 10, 19, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := gather(t, 1, arrangements, c.http2, c.method, c.size)
			s.cutOver(c.change)
			if c.before != nil {
				c.before(s)
			}
			handshakes, attempts := s.send(c.method, c.size)
			if handshakes != c.handshakes || attempts != c.attempts || s.answered[2].Load() != c.second {
				t.Errorf("%d new connections, %d attempts, %d messages with generation 2; want %d, %d, %d", handshakes,
					attempts, s.answered[2].Load(), c.handshakes, c.attempts, c.second)
			}
		})
	}
}
