package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// connected returns the route to a receiver in TLS, with generations of these numbers.
func connected(t *testing.T, receiver *httptest.Server, numbers ...int) *route {
	t.Helper()
	s := standing.Standing{Arrangement: tenancy.Arrangement{Endpoint: receiver.URL,
		Authentication: tenancy.ClientCertificate,
		Egress:         tenancy.Egress{ServerKeyPin: outbound.KeyPin(receiver.Certificate()), KeepBytes: 1 << 20}},
		Rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: numbers[0]}}
	var all []standing.Identity
	for _, n := range numbers {
		all = append(all, standing.Identity{Generation: n, Certificate: selfSigned(t, int64(n))})
		s.Rollover.Generations = append(s.Rollover.Generations, rollover.Generation{Number: n,
			NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)})
	}
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	to, err := newRoute(network, address{"acme", "bank"}, s, all, nil)
	testenv.Check(t, err)
	to.series = seriesOf("")
	return to
}

// selfSigned returns a new certificate with a serial number.
func selfSigned(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testenv.Check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// closes stands for an answer that is a closed connection.
const closes = -1

// choosing starts a receiver that asks for a certificate, and answers by its serial number.
func choosing(t *testing.T, answer func(serial int64) (status int)) *httptest.Server {
	t.Helper()
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			panic(http.ErrAbortHandler)
		}
		status := answer(r.TLS.PeerCertificates[0].SerialNumber.Int64())
		if status == closes {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(ours, "1")
		w.WriteHeader(status)
	}))
	receiver.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	receiver.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	receiver.StartTLS()
	t.Cleanup(receiver.Close)
	return receiver
}

// toward returns a request to a receiver.
func toward(t *testing.T, receiver *httptest.Server, method string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, receiver.URL+"/orders", body)
	testenv.Check(t, err)
	return r
}

// A fault of the receiver may pass, so the same generation is asked again before it counts as refused.
func TestAFaultIsARefusalOnlyIfItStays(t *testing.T) {
	for _, c := range []struct {
		first, again int
		refused      bool
		attempts     int
	}{{500, 200, false, 2}, {500, 500, true, 2}, {503, 200, false, 2}, {404, 404, true, 1}} {
		asked := 0
		receiver := choosing(t, func(serial int64) int {
			if serial == 1 {
				return 200
			}
			if asked++; asked == 1 {
				return c.first
			}
			return c.again
		})
		g := quietly(&failing{}, io.Discard)
		to := connected(t, receiver, 1, 2)
		g.network = &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		to.kinds.Add(outbound.Kind{Status: 200})
		to.rollover.Generations[0].Verdict = rollover.Accepted
		m := newMessage(g, to, http.MethodGet, "/orders")
		r := toward(t, receiver, http.MethodGet, nil)
		a, _ := m.tryOne(r, to, 2)
		tries := m.conclude(r, to, a)
		last := tries[len(tries)-1]
		var refused bool
		for _, one := range tries {
			refused = refused || one.generation == 2 && one.meaning == outbound.Refused
		}
		if refused != c.refused || asked != c.attempts {
			t.Errorf("%d and then %d: refused %v after %d requests, the last attempt is %+v", c.first, c.again, refused, asked,
				last)
		}
	}
}

// While one generation can be presented, the body streams, and 64 KiB of it are kept.
func TestOnlyTheBeginningOfAStreamedBodyIsKept(t *testing.T) {
	for size, kept := range map[int]bool{smallBody: true, smallBody + 1: false} {
		receiver := choosing(t, func(int64) int { return 200 })
		to := connected(t, receiver, 1)
		m := newMessage(quietly(&failing{}, io.Discard), to, http.MethodPost, "/orders")
		m.gateway.reports.wake = make(chan struct{}, 1)
		a := m.single(toward(t, receiver, http.MethodPost, bytes.NewReader(make([]byte, size))), 1)
		if a.meaning != outbound.Answered || m.kept.hold() != kept || m.attempts != 1 {
			t.Errorf("%d bytes: %+v, can be sent again %v after %d attempts", size, a.reading, m.kept.hold(), m.attempts)
		}
	}
}

func TestAMessageRecordsItsAttemptsItsOutcomeAndWhatItTaught(t *testing.T) {
	for _, c := range []struct {
		name, method string
		size         int
		statuses     [2]int // by generation
		status       int
		attempts     int
		last         int
		outcome      string
		taught       string
	}{
		{"the first is accepted", "GET", 0, [2]int{200, 200}, 200, 1, 1, "", "1 accepted 200 "},
		{"the first is accepted with a body", "POST", 100, [2]int{200, 200}, 200, 1, 1, "", "1 accepted 200 "},
		{"the first is refused", "GET", 0, [2]int{401, 204}, 204, 2, 2,
			"fell back: generation 1 was refused (401 Unauthorized), generation 2 accepted", "1 refused  2 accepted 204 "},
		{"the first is refused with a body", "POST", smallBody + 1, [2]int{401, 200}, 200, 2, 2,
			"fell back: generation 1 was refused (401 Unauthorized), generation 2 accepted", "1 refused  2 accepted 200 "},
		{"both are refused", "POST", 100, [2]int{401, 403}, 401, 4, 1,
			"every generation was refused: 401 Unauthorized with " +
				"generation 1, 403 Forbidden with generation 2, 403 Forbidden with generation 2, 401 Unauthorized with " +
				"generation 1", ""},
		{"the first closes the connection", "GET", 0, [2]int{closes, 200}, 200, 3, 2,
			"fell back: generation 1 was refused (the receiver closed the connection twice), generation 2 accepted",
			"1 refused  2 accepted 200 "},
	} {
		receiver := choosing(t, func(serial int64) int { return c.statuses[serial-1] })
		g := quietly(&failing{err: tenancy.Errorf(tenancy.ErrNotFound, "gone")}, io.Discard)
		g.network = &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		g.reports.wake = make(chan struct{}, 1)
		to := connected(t, receiver, 1, 2)
		var body io.Reader
		if c.size > 0 {
			body = bytes.NewReader(make([]byte, c.size))
		}
		m := newMessage(g, to, c.method, "/orders")
		res, err := m.RoundTrip(toward(t, receiver, c.method, body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != c.status || m.status != c.status || m.attempts != c.attempts || m.last != c.last ||
			m.outcome.String() != c.outcome || res.Header.Get(ours) != "" {
			t.Errorf("%s: %d, %d attempts, the last with generation %d: %s", c.name, res.StatusCode, m.attempts, m.last,
				m.outcome)
		}
		taught := ""
		for _, o := range g.reports.take()[""] {
			taught += fmt.Sprintf("%d %s %s ", o.Generation, o.Verdict, o.Kind)
		}
		if taught != c.taught {
			t.Errorf("%s: it taught %q, want %q", c.name, taught, c.taught)
		}
		if refused := to.refused["POST /orders"].count; (refused == 1) != (c.last == 1 && c.attempts > 1) {
			t.Errorf("%s: %d refusals of every generation are remembered", c.name, refused)
		}
		if m.end("/"); m.kept != nil && m.kept.hold() {
			t.Errorf("%s: the body is kept", c.name)
		}
	}
}
