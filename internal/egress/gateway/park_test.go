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
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// park parks a message and returns where its status is.
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
	server.Accept() // nobody
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

func TestAnIdempotencyKeyStandsForOneParkedMessage(t *testing.T) {
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

// A process that dies between two steps leaves a claim behind; when it has run out, another one takes the message up.
func TestAParkedMessageSurvivesTheProcess(t *testing.T) {
	f := setUp(t)
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Accept()
	path := f.park("bank", "k", "<order/>")
	testenv.Eventually(t, func() bool { return f.status(path).Error != "" })
	f.stop()
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		// claimed by a process that is gone
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE parked SET next_at = ?",
			time.Now().Add(100*time.Millisecond).UnixMicro())
		return err
	}))
	server.Accept(f.generation(1))
	g := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
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
