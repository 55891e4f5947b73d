package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// impatient starts a gateway whose senders get no time besides that for the size of a body.
func impatient(c *gateway.Config) { c.BodyGrace = time.Nanosecond }

// begin sends the head of a message with a length, and a part of its body.
func (f *fixture) begin(at net.Addr, length int, part string) net.Conn {
	f.t.Helper()
	conn, err := net.Dial("tcp", at.String())
	check(f.t, err)
	f.t.Cleanup(func() { conn.Close() })
	check(f.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(conn, "POST /acme/bank/order HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: %d\r\n\r\n%s", f.token, length, part)
	check(f.t, err)
	return conn
}

// ends reads an answer, after which the connection must end.
func ends(t *testing.T, conn net.Conn) (status int, body string) {
	t.Helper()
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	check(t, err)
	data, err := io.ReadAll(res.Body)
	check(t, err)
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection stays open")
	}
	return res.StatusCode, string(data)
}

// A sender that stops sending holds neither a connection of the gateway nor one of the receiver.
func TestASenderThatTricklesItsBodyIsEnded(t *testing.T) {
	f := setUp(t)
	at := f.listen("127.0.0.1:0", nil, impatient).Addr()
	received := make(chan error, 10)
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		received <- err
	}))
	for _, rolling := range []bool{false, true} {
		if rolling {
			f.renew()
		}
		status, body := ends(t, f.begin(at, 100, "x"))
		if status != 408 || !strings.Contains(body, "less than 500 bytes a second") {
			t.Errorf("while a roll-over is open %v: %d %s", rolling, status, body)
		}
	}
	for len(received) > 0 {
		if err := <-received; err == nil {
			t.Error("the receiver got a message that was cut off")
		}
	}
	in := bufio.NewReader(f.begin(at, 4, "all!"))
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("a message that arrives at once: %v, %v", res, err)
	}
}

// A body that is not HTTP, or that ends early, is the sender's fault, and the receiver is not asked a second time.
func TestABrokenBodyIsTheFaultOfItsSender(t *testing.T) {
	f := setUp(t)
	begun := make(chan struct{}, 10)
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the receiver got a message whose body is broken")
		}
		panic(http.ErrAbortHandler)
	}))
	for n, chunks := range []string{"1\r\na\r\nZZ\r\n", "1\na\n0\n\n", "1\r\nabc\r\n0\r\n\r\n"} {
		if n == 1 {
			f.renew()
		}
		conn, err := net.Dial("tcp", f.gateway.Listener.Addr().String())
		check(t, err)
		defer conn.Close()
		check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = fmt.Fprintf(conn, "POST /acme/bank/order HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer %s\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n%s", f.token, chunks)
		check(t, err)
		status, body := ends(t, conn)
		if status != 400 || !strings.Contains(body, "the body was truncated or is not valid") ||
			strings.Contains(body, "the receiver") {
			t.Errorf("%q: %d %s", chunks, status, body)
		}
	}
	if n := len(begun); n > 3 {
		t.Errorf("the receiver got %d requests for 3 messages", n)
	}
	a, err := f.engine.Store.Arrangement(t.Context(), f.acme.ID, "bank")
	check(t, err)
	testenv.Eventually(t, func() bool {
		log, err := f.engine.Store.Messages(t.Context(), a.ID, "", 10)
		check(t, err)
		for _, entry := range log {
			if entry.Status != 400 || strings.Contains(entry.Outcome, "connection") {
				t.Fatalf("logged as %d %q", entry.Status, entry.Outcome)
			}
		}
		return len(log) > 0
	})
}

// net/http would wait for the rest of the body before it forwards the answer.
func TestTheAnswerOfAReceiverDoesNotWaitForTheRestOfTheBody(t *testing.T) {
	f := setUp(t)
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusTeapot)
	}))
	in := bufio.NewReader(f.begin(f.gateway.Listener.Addr(), 100, "x"))
	res, err := http.ReadResponse(in, nil)
	check(t, err)
	if res.StatusCode != http.StatusTeapot || !res.Close {
		t.Errorf("answered %d, and the connection ends: %v", res.StatusCode, res.Close)
	}
}
