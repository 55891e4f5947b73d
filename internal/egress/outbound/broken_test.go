package outbound

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A connection that cannot be used again must not stay open at the receiver.
func TestConnectionsThatCannotBeReusedAreClosed(t *testing.T) {
	for name, use := range map[string]func(r *receiver){
		"the answer is not read to its end": func(r *receiver) {
			res, err := r.connections.RoundTrip(request(t, "GET", r.URL+"/large", ""))
			testenv.Check(t, err)
			res.Body.Close()
		},
		"the answer asks for it": func(r *receiver) {
			_, _, err := r.send("GET", "/close", "")
			testenv.Check(t, err)
		},
		"the connections are closed while it is in use": func(r *receiver) {
			res, err := r.connections.RoundTrip(request(t, "GET", r.URL+"/large", ""))
			testenv.Check(t, err)
			r.connections.CloseIdleConnections()
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		},
		"the handshake fails": func(r *receiver) {
			stranger := loopback.Connections(nil, tenancy.Egress{})
			stranger.http1.Store(true)
			if _, err := stranger.RoundTrip(request(t, "GET", r.URL, "")); err == nil {
				t.Error("the receiver is trusted")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
				switch q.URL.Path {
				case "/close":
					w.Header().Set("Connection", "close")
				case "/large":
					w.Header().Set("Content-Length", fmt.Sprint(1<<20))
					w.Write(make([]byte, 1<<20))
				}
			}).direct()
			use(r)
			testenv.Eventually(t, func() bool { return r.opened.Load() > 0 && r.open.Load() == 0 })
			if n := len(r.connections.idle); n != 0 {
				t.Errorf("%d connections are idle", n)
			}
		})
	}
}

// An interim response that the sender's proxy refuses ends the message.
func TestAnInterimResponseThatIsRefusedEndsTheMessage(t *testing.T) {
	refused := errors.New("no interim responses here")
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
	}).direct()
	q := request(t, "GET", r.URL, "")
	_, err := r.connections.RoundTrip(q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return refused }})))
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// Like net/http, and as RFC 9110 allows (section 9.2.2).
func TestAMessageIsRepeatableByItsMethodOrItsKey(t *testing.T) {
	for _, c := range []struct {
		method, header string
		want           bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"OPTIONS", "", true}, {"TRACE", "", true}, {"", "", true},
		{"POST", "", false}, {"PUT", "", false}, {"DELETE", "", false}, {"POST", "Idempotency-Key", true},
		{"POST", "X-Idempotency-Key", true}, {"POST", "X-Request-Id", false},
	} {
		r := &http.Request{Method: c.method, Header: http.Header{}}
		if c.header != "" {
			r.Header.Set(c.header, "1")
		}
		if got := isReplayable(r); got != c.want {
			t.Errorf("%q with %q: %v", c.method, c.header, got)
		}
	}
}

// A broken conn takes a part of a message, and then fails. It has an answer, or its reads time out.
type brokenConn struct {
	net.Conn
	takes  int
	broken error
	answer *strings.Reader
}

func (b *brokenConn) Write(p []byte) (int, error) { return min(b.takes, len(p)), b.broken }

func (b *brokenConn) Read(p []byte) (int, error) {
	if b.answer.Len() == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return b.answer.Read(p)
}

func TestABrokenWriteIsTheErrorOfAMessageWithoutAnAnswer(t *testing.T) {
	const refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		takes    int
		answer   string
		answered bool
	}{{0, "", false}, {5, "", false}, {5, refusal, true}, {0, refusal, false}} {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		broken := &conn{Conn: &brokenConn{ours, c.takes, syscall.EPIPE, strings.NewReader(c.answer)}}
		broken.in = bufio.NewReader(broken)
		from := &Connections{timeout: 5 * time.Second, places: make(chan struct{}, 1)}
		from.places <- struct{}{}
		written, res, err := broken.exchange(request(t, "POST", "https://x/", ""), []byte("message"), from)
		switch {
		case written != c.takes:
			t.Errorf("%d bytes are counted after %d", written, c.takes)
		case c.answered && (err != nil || res.StatusCode != 401 || len(from.idle) != 0):
			t.Errorf("an answer before the close: %v, %d connections are kept", err, len(from.idle))
		case !c.answered && !errors.Is(err, syscall.EPIPE):
			t.Errorf("after %d bytes: %v", c.takes, err)
		}
	}
}

// A lane that is in use when the connections are closed must not stay open at the receiver.
func TestALaneThatIsInUseWhenItIsClosedEndsWithItsMessage(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		io.WriteString(w, q.Proto)
	}, func(s *httptest.Server) { s.EnableHTTP2 = true })
	large := strings.Repeat("x", directBody+1)
	res, err := r.connections.RoundTrip(request(t, "POST", r.URL, large))
	testenv.Check(t, err)
	r.connections.CloseIdleConnections()
	got, err := io.ReadAll(res.Body)
	if err != nil || string(got) != "HTTP/2.0" {
		t.Errorf("%q, %v", got, err)
	}
	ended := time.Now()
	res.Body.Close()
	testenv.Eventually(t, func() bool { return r.opened.Load() > 0 && r.open.Load() == 0 })
	if took := time.Since(ended); took > idleConn/2 { // otherwise it was idle for too long
		t.Errorf("it was closed after %v", took)
	}
}
