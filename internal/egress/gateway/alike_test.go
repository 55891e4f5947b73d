package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// The status, the type and the target of a refusal are those of a success. Only its text differs.
func TestARefusalOfTheKindOfASuccessIsNotProofOfAcceptance(t *testing.T) {
	f := setUp(t)
	s := f.strange("alike", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"error":"not authorized"}`)
	}, "")
	// What the HEAD for a POST shows does not count for a GET of the same kind of answer.
	s.headless = true
	for _, method := range []string{"POST", "GET"} {
		if got := f.send("alike", method, 0); !s.arrived(got) {
			t.Fatalf("%s before the renewal: %+v", method, got)
		}
	}
	f.renew()
	f.noticed()
	f.claim("alike")
	for range 5 {
		if got := f.send("alike", "GET", 0); !s.arrived(got) {
			t.Errorf("after a claim that is not true: %+v", got)
		}
	}
	testenv.Eventually(t, func() bool { return f.presents("alike") == 1 })
	g, _ := f.standing("alike").Rollover.Generation(2)
	if _, at := f.standing("alike").Rollover.Risk(time.Now()); !at || g.Verdict != rollover.Refused {
		t.Errorf("at risk %v: %+v", at, g)
	}
	// When both are accepted, the comparison shows that as well.
	s.accept(f.generation(1), f.generation(2))
	f.claim("alike")
	testenv.Eventually(t, func() bool {
		f.send("alike", "GET", 0)
		g, _ := f.standing("alike").Rollover.Generation(2)
		return g.Verdict == rollover.Accepted
	})
}

// The texts of the answers to a POST cannot be compared, because it is sent only once.
func TestARefusedPOSTOfTheKindOfASuccessIsNotProofOfAcceptance(t *testing.T) {
	for _, c := range []struct {
		name, question string
		headless       bool
		lost           int
	}{
		{"heads", "", false, 5}, // the claim is the only evidence
		{"a question", "/whoami", false, 1},
		{"a question that contradicts, and no heads", "/whoami", true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setUp(t)
			s := f.strange("alike", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/whoami" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"error":"not authorized"}`)
			}, c.question)
			s.headless = c.headless
			if got := f.send("alike", "POST", 300); !s.arrived(got) {
				t.Fatalf("before the renewal: %+v", got)
			}
			f.renew()
			f.noticed()
			f.claim("alike")
			lost := 0
			for range 5 {
				if got := f.send("alike", "POST", 300); !s.arrived(got) {
					lost++
					testenv.Eventually(t, func() bool {
						g, _ := f.standing("alike").Rollover.Generation(2)
						return g.By == rollover.Traffic
					})
				}
			}
			g, _ := f.standing("alike").Rollover.Generation(2)
			if _, at := f.standing("alike").Rollover.Risk(time.Now()); !at || g.Verdict == rollover.Accepted || lost > c.lost {
				t.Errorf("%d lost, at risk %v: %+v", lost, at, g)
			}
			if c.question == "" {
				return
			}
			// A success that the question confirms is proof.
			s.accept(f.generation(1), f.generation(2))
			f.claim("alike")
			testenv.Eventually(t, func() bool {
				f.send("alike", "POST", 300)
				g, _ := f.standing("alike").Rollover.Generation(2)
				return g.Verdict == rollover.Accepted
			})
		})
	}
}

// A receiver that asks for certificates and answers everyone alike needs nothing at a renewal.
func TestAReceiverThatAnswersMessagesAlikeWithoutACertificateIsNotAtRisk(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct {
		name, kind string
		risk       bool
	}{
		{"open", "application/json", false},
		{"login", "text/html", true}, // it may be a login page, shown to everyone
	} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			io.WriteString(w, "{}")
		}))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}, ClientAuth: tls.RequestClientCert}
		s.StartTLS()
		t.Cleanup(s.Close)
		f.arrangement(c.name, tenancy.Adaptive, s.URL)
		f.send(c.name, "GET", 0)
	}
	f.renew()
	for range 2 {
		f.send("open", "GET", 0)
		f.send("login", "GET", 0)
	}
	testenv.Eventually(t, func() bool {
		_, at := f.standing("open").Rollover.Risk(time.Now())
		return !at
	})
	if _, at := f.standing("login").Rollover.Risk(time.Now()); !at {
		t.Error("a receiver that may show a login page to everyone is not at risk")
	}
}

// A receiver that was never set up shows a login page to the only generation. That is not what success looks like.
func TestAnAnswerThatEveryoneGetsDoesNotDefineSuccess(t *testing.T) {
	f := setUp(t)
	s := f.strange("new", forms["login-page"], "")
	s.accept() // none
	for _, method := range []string{"GET", "POST"} {
		f.send("new", method, 0)
	}
	f.renew()
	if g, _ := f.standing("new").Rollover.Generation(1); g.Verdict == rollover.Accepted {
		t.Errorf("a login page counts as acceptance: %+v", g)
	}
	s.accept(f.generation(2))
	for _, method := range []string{"GET", "POST", "GET", "POST"} {
		if got := f.send("new", method, map[string]int{"POST": 300}[method]); !s.arrived(got) {
			t.Errorf("%s: %+v", method, got)
		}
	}
	testenv.Eventually(t, func() bool {
		g, _ := f.standing("new").Rollover.Generation(2)
		return g.Verdict == rollover.Accepted
	})
}

// Two nodes that each know one generation, behind a balancer that sends every request to the other one.
func TestNodesThatTakeTurnsRequestByRequestAcceptEveryMessage(t *testing.T) {
	f := setUp(t)
	var known sync.Map // certificates by node
	known.Store(0, f.generation(1))
	known.Store(1, f.generation(1))
	var requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		c, _ := known.Load(int(requests.Add(1) % 2))
		if len(r.TLS.PeerCertificates) == 0 || !r.TLS.PeerCertificates[0].Equal(c.(*x509.Certificate)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	f.arrangement("turns", tenancy.Adaptive, s.URL)
	f.send("turns", "POST", 300)
	f.renew()
	known.Store(1, f.generation(2))
	for i := range 10 {
		if got := f.send("turns", "POST", 300); got.status != 200 {
			t.Errorf("message %d: %+v", i, got)
		}
	}
}
