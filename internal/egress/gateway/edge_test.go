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

	"github.com/perennial-pki/perennial/tenancy"
)

// An edge is a gateway with a receiver behind it that records the heads of what it gets.
type edge struct {
	*fixture
	heads chan *http.Request
}

func newEdge(t testing.TB) *edge {
	e := &edge{setUp(t), make(chan *http.Request, 100)}
	e.arrangement("crm", tenancy.Adaptive, e.serve(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		e.heads <- r
		w.WriteHeader(http.StatusNoContent)
	}))
	return e
}

// raw sends bytes and returns the statuses of the answers, and whether the gateway closed the connection. A connection
// that stays open is shown by a last request, whose answer is not in the result.
func (e *edge) raw(request string) (statuses []int, closed bool) {
	e.t.Helper()
	conn, err := net.Dial("tcp", e.gateway.Listener.Addr().String())
	check(e.t, err)
	defer conn.Close()
	check(e.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	const last = "GET /acme/none/last HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer perennial_unknown\r\n\r\n"
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "TOKEN", e.token)+last); err != nil {
		return nil, true
	}
	for in := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses, true
		}
		_, err = io.Copy(io.Discard, res.Body)
		check(e.t, err)
		if res.StatusCode == http.StatusUnauthorized {
			return statuses, false
		}
		if statuses = append(statuses, res.StatusCode); res.Close {
			return statuses, true
		}
	}
}

// received returns the requests that the receiver got since the last call.
func (e *edge) received() (all []*http.Request) {
	for {
		select {
		case r := <-e.heads:
			all = append(all, r)
		default:
			return all
		}
	}
}

func TestNoFormOfTheSendersTokenReachesTheReceiver(t *testing.T) {
	e := newEdge(t)
	for lines, want := range map[string]string{
		"Authorization: Bearer TOKEN\r\nAuthorization: Basic eDp5":                  "[Basic eDp5]",
		"Authorization: Basic eDp5\r\nAuthorization: Bearer TOKEN":                  "[Basic eDp5]",
		"Authorization: Bearer TOKEN\r\nauthorization: bearer TOKEN":                "[]",
		"Authorization: bearer TOKEN":                                               "[]",
		"Authorization: BEARER  TOKEN":                                              "[]",
		"Proxy-Authorization: bearer TOKEN\r\nAuthorization: Bearer TOKEN":          "[]",
		"Proxy-Authorization: bearer TOKEN\r\nAuthorization: Bearer of-another":     "[Bearer of-another]",
		"Proxy-Authorization: Bearer TOKEN\r\nAuthorization: Basic a, Bearer TOKEN": "[]",
	} {
		statuses, _ := e.raw("GET /acme/crm/x HTTP/1.1\r\nHost: g\r\n" + lines + "\r\n\r\n")
		got := e.received()
		if len(got) != 1 {
			t.Errorf("%s: statuses %d, %d requests at the receiver", lines, statuses, len(got))
			continue
		}
		if all := fmt.Sprint(got[0].Header); strings.Contains(all, e.token) {
			t.Errorf("%s: the receiver got the token", lines)
		}
		if found := fmt.Sprint(got[0].Header.Values("Authorization")); found != want {
			t.Errorf("%s: the receiver got Authorization %s", lines, found)
		}
	}
}

// RFC 9112, section 6.1: the connection must be closed after a message with both headers.
func TestAConnectionEndsAfterAMessageWithLengthAndTransferEncoding(t *testing.T) {
	e := newEdge(t)
	const head = "POST /acme/crm/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\n"
	for _, framing := range []string{"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 30\r\n"} {
		statuses, closed := e.raw(head + framing + "\r\n3\r\nabc\r\n0\r\n\r\n")
		if len(statuses) != 1 || statuses[0] != http.StatusNoContent || !closed {
			t.Errorf("%q: statuses %d, closed %t", framing, statuses, closed)
		}
	}
	if statuses, closed := e.raw(head + "Content-Length: 3\r\n\r\nabc"); closed || len(statuses) != 1 {
		t.Errorf("with a length alone: statuses %d, closed %t", statuses, closed)
	}
}

func TestNoFormOfCONNECTIsForwarded(t *testing.T) {
	e := newEdge(t)
	for _, target := range []string{"/acme/crm/x", "crm.acme.gateway.test:443", "http://g/acme/crm/x"} {
		statuses, closed := e.raw("CONNECT " + target +
			" HTTP/1.1\r\nHost: crm.acme.gateway.test:443\r\nAuthorization: Bearer TOKEN\r\n\r\n")
		if got := e.received(); len(got) != 0 || len(statuses) != 1 || statuses[0]/100 == 2 || !closed {
			t.Errorf("CONNECT %s: statuses %d, closed %t, %d at the receiver", target, statuses, closed, len(got))
		}
	}
}

func TestThePathOfAMessageKeepsItsEscapes(t *testing.T) {
	e := newEdge(t)
	for sent, want := range map[string]string{
		`/acme/crm/a%2Fb"c`:               "/a%2Fb%22c",
		"/acme/crm/a%2Fb|c{d}^`<>":        "/a%2Fb%7Cc%7Bd%7D%5E%60%3C%3E",
		"/acme/crm/a%2fb\xc3\xa4":         "/a%2fb%C3%A4",
		"/acme/crm/a%2Fb;c=d,e@f:g":       "/a%2Fb;c=d,e@f:g",
		"/acme/crm//a%2Fb":                "//a%2Fb",
		`http://g/acme/crm/a%2Fb"c?q=%2F`: "/a%2Fb%22c?q=%2F",
		"/acme/crm/%41%2F":                "/%41%2F",
	} {
		statuses, _ := e.raw("GET " + sent + " HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\n\r\n")
		got := e.received()
		if len(got) != 1 || got[0].RequestURI != want {
			t.Errorf("%s: statuses %d, the receiver got %v", sent, statuses, got)
		}
	}
}

func TestAParkedMessageKeepsALongMethod(t *testing.T) {
	e := newEdge(t)
	const method = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	statuses, _ := e.raw(method + " /acme/crm/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\n" +
		"Prefer: respond-async\r\nContent-Length: 1\r\n\r\nx")
	if len(statuses) != 1 || statuses[0] != http.StatusAccepted {
		t.Fatalf("statuses %d", statuses)
	}
	select {
	case got := <-e.heads:
		if got.Method != method {
			t.Errorf("the receiver got %s", got.Method)
		}
	case <-time.After(time.Minute):
		t.Error("the receiver got nothing")
	}
}

// net/http would guess a type from the body of an answer that has none.
func TestAnAnswerWithoutAContentTypeStaysWithoutOne(t *testing.T) {
	f := setUp(t)
	f.arrangement("echo", tenancy.Adaptive, f.serve(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "<!doctype html><script>")
	}))
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(t.Context(), method, f.gateway.URL+"/acme/echo/a", strings.NewReader("x"))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		res, err := f.gateway.Client().Do(r)
		check(t, err)
		body, err := io.ReadAll(res.Body)
		check(t, err)
		res.Body.Close()
		if got, ok := res.Header["Content-Type"]; ok || res.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s: %d with the type %q: %s", method, res.StatusCode, got, body)
		}
	}
}
