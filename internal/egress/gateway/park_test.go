package gateway_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// park parks a message and returns the path of its status.
func (f *fixture) park(name, key, body string) (status string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), "POST", f.gateway.URL+"/acme/"+name+"/order?secret=1",
		strings.NewReader(body))
	check(f.t, err)
	r.Header.Set("Authorization", "Bearer "+f.token)
	r.Header.Set("Prefer", "respond-async, wait=10")
	r.Header.Set("Idempotency-Key", key)
	res, err := f.gateway.Client().Do(r)
	check(f.t, err)
	res.Body.Close()
	if res.StatusCode != 202 || res.Header.Get("Preference-Applied") != "respond-async" {
		f.t.Fatalf("%d", res.StatusCode)
	}
	return res.Header.Get("Location")
}

func (f *fixture) status(path string) (v struct {
	State    string
	Attempts int
	Error    string `json:"last_error"`
}) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), "GET", f.gateway.URL+path, nil)
	check(f.t, err)
	r.Header.Set("Authorization", "Bearer "+f.token)
	got := f.do(r, "")
	if got.status != 200 {
		f.t.Fatalf("%d %s", got.status, got.body)
	}
	check(f.t, json.Unmarshal([]byte(got.body), &v))
	return v
}

func TestAParkedMessageWaitsUntilACertificateIsAcceptedAndGoesOutInOrder(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Accept() // none
	var paths []string
	for n := range 5 {
		paths = append(paths, f.park("bank", fmt.Sprintf("order-%d", n), "<order/>"))
	}
	testenv.Eventually(t, func() bool { return f.status(paths[0]).Attempts > 0 && f.status(paths[0]).Error != "" })
	if got := f.status(paths[1]); got.State != "waiting" || got.Attempts != 0 {
		t.Errorf("the second one overtook the first: %+v", got)
	}
	f.renew()
	server.Accept(f.generation(2))
	for n, p := range paths {
		testenv.Eventually(t, func() bool { return f.status(p).State == "delivered" })
		if taken := server.Taken(fmt.Sprintf("order-%d", n)); taken != 1 {
			t.Errorf("message %d was taken %d times", n, taken)
		}
	}
	if again := f.park("bank", "order-3", "<order/>"); again != paths[3] {
		t.Error("the same Idempotency-Key was parked twice")
	}
	if order := server.Order(); strings.Join(order, " ") != "order-0 order-1 order-2 order-3 order-4" {
		t.Errorf("taken in the order %v", order)
	}
}

func TestAParkedMessageIsSealedAndOnlyItsTenantSeesIt(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Accept()
	path := f.park("bank", "k", "the body is a secret")
	rows, err := f.engine.Store.DB().QueryContext(t.Context(), "SELECT * FROM parked")
	check(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	check(t, err)
	for rows.Next() {
		values := make([]sql.RawBytes, len(columns))
		targets := make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		check(t, rows.Scan(targets...))
		for i, v := range values {
			if strings.Contains(string(v), "secret") {
				t.Errorf("%s is readable: %s", columns[i], v)
			}
		}
	}
	neighbour := f.sender("zeta", time.Hour)
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.gateway.URL+path, nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+neighbour)
	if got := f.do(r, ""); got.status != 404 {
		t.Errorf("a neighbour: %+v", got)
	}
}

func TestAnIdempotencyKeyIdentifiesOneParkedMessage(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	first := f.park("bank", "k", "<order/>")
	testenv.Eventually(t, func() bool { return f.status(first).State == "delivered" })
	if again := f.park("bank", "k", "<order/>"); again != first {
		t.Errorf("the same message is at %s and %s", first, again)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.gateway.URL+"/acme/bank/order?secret=1",
		strings.NewReader("<other/>"))
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.token)
	r.Header.Set("Prefer", "respond-async")
	r.Header.Set("Idempotency-Key", "k")
	if got := f.do(r, "k"); got.status != 422 || !strings.Contains(got.body, "another message") {
		t.Errorf("another message: %+v", got)
	}
	if n := server.Taken("k"); n != 1 {
		t.Errorf("taken %d times", n)
	}
}

// A process that dies between two steps leaves a claim behind. When the claim ends, another process delivers the
// message.
func TestAParkedMessageSurvivesTheProcess(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Accept()
	path := f.park("bank", "k", "<order/>")
	testenv.Eventually(t, func() bool { return f.status(path).Error != "" })
	f.stop()
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		// claimed by a process that has died
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE parked SET next_at = ?",
			time.Now().Add(100*time.Millisecond).UnixMicro())
		return err
	}))
	server.Accept(f.generation(1))
	g, err := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer g.Close()
	testenv.Eventually(t, func() bool { return server.Taken("k") == 1 })
	testenv.Eventually(t, func() bool {
		due, err := f.engine.Store.DueParked(context.Background(), time.Now().Add(time.Hour), 10)
		check(t, err)
		return len(due) == 0
	})
}

func TestAFinalAnswerEndsAParkedMessageAndLetsTheNextOneGo(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Answer(422)
	first, second := f.park("bank", "bad", "<order/>"), f.park("bank", "good", "<order/>")
	testenv.Eventually(t, func() bool { return f.status(first).State == "failed" })
	server.Answer(0)
	testenv.Eventually(t, func() bool { s := f.status(second).State; return s == "delivered" || s == "failed" })
}

// The header marks the gateway's own answers. A receiver that sends it is still a receiver.
func TestAReceiverThatSendsTheGatewaysHeaderIsNotTakenForTheGateway(t *testing.T) {
	f := setUp(t)
	var taken atomic.Int32
	url := f.serve(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			taken.Add(1)
		}
		w.Header().Set("Perennial-Gateway", "1")
	})
	f.arrangement("bank", tenancy.Adaptive, url)
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.gateway.URL+"/acme/bank/x", nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.token)
	res, err := f.gateway.Client().Do(r)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Perennial-Gateway") != "" {
		t.Errorf("%d with the header %q", res.StatusCode, res.Header.Get("Perennial-Gateway"))
	}
	path := f.park("bank", "k", "<order/>")
	testenv.Eventually(t, func() bool { s := f.status(path); return s.State == "delivered" || s.Attempts > 1 })
	if got := f.status(path); got.State != "delivered" || got.Attempts != 1 || taken.Load() != 1 {
		t.Errorf("%+v, taken %d times", got, taken.Load())
	}
}

func TestAParkedMessageThatTLSRefusesIsRetriedAsOneThatIsRefused(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["alert"])
	server.Accept()
	path := f.park("bank", "k", "<order/>")
	// An alert of TLS 1.3 can be lost behind the closed connection. Then a later attempt gets it.
	testenv.Eventually(t, func() bool {
		return strings.HasPrefix(f.status(path).Error, "the receiver accepts no certificate: ")
	})
}

func TestTheHeadersOfAParkedMessageArriveAsTheyShould(t *testing.T) {
	f := setUp(t)
	arrived := make(chan http.Header, 1)
	url := f.serve(func(_ http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		h.Set("Host", r.Host)
		h.Set("Path", r.URL.RequestURI())
		arrived <- h
	})
	f.arrangement("echo", tenancy.Adaptive, url+"/base")
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.gateway.URL+"/acme/echo/a%2Fb?q=1",
		strings.NewReader("<order/>"))
	check(t, err)
	for k, v := range map[string]string{
		"Proxy-Authorization": "Bearer " + f.token, "Authorization": "Basic YTpi", "Connection": "X-Secret-Hop, x-other",
		"X-Secret-Hop": "1", "X-Other": "1", "X-Forwarded-For": "10.0.0.7", "X-Forwarded-Host": "h",
		"X-Forwarded-Proto": "http", "Forwarded": "for=10.0.0.7", "Keep-Alive": "1", "Proxy-Connection": "1",
		"Content-Type": "text/xml", "Prefer": "respond-async", "Idempotency-Key": "k",
	} {
		r.Header.Set(k, v)
	}
	if got := f.do(r, "k"); got.status != 202 {
		t.Fatalf("%+v", got)
	}
	got := <-arrived
	for name, want := range map[string]string{"Path": "/base/a%2Fb?q=1", "Host": strings.TrimPrefix(url, "https://"),
		"Authorization": "Basic YTpi", "Content-Type": "text/xml", "Idempotency-Key": "k", "Content-Length": "8",
		"Proxy-Authorization": "", "Connection": "", "X-Secret-Hop": "", "X-Other": "", "X-Forwarded-For": "",
		"X-Forwarded-Host": "", "X-Forwarded-Proto": "", "Forwarded": "", "Keep-Alive": "", "Proxy-Connection": "",
		"Prefer": "", "Expect": "", "User-Agent": "Go-http-client/1.1"} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
}
