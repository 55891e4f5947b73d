package outbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A receiver is a TLS server that counts its connections.
type receiver struct {
	*httptest.Server
	t              *testing.T
	open, most     atomic.Int64
	opened, served atomic.Int64
	connections    *Connections
}

func receive(t *testing.T, e tenancy.Egress, h http.HandlerFunc, configure ...func(*httptest.Server)) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.served.Add(1)
		h(w, q)
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			r.opened.Add(1)
			if n := r.open.Add(1); n > r.most.Load() {
				r.most.Store(n)
			}
		case http.StateClosed, http.StateHijacked:
			r.open.Add(-1)
		}
	}
	for _, c := range configure {
		c(r.Server)
	}
	r.StartTLS()
	t.Cleanup(r.Close)
	r.connections = connect(t, r.Certificate(), e)
	return r
}

func connect(t *testing.T, server *x509.Certificate, e tenancy.Egress) *Connections {
	t.Helper()
	e.ServerCA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Raw}))
	n := &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	c := n.Connections(nil, e)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// direct makes messages go directly, as if the receiver had answered over HTTP/1.1.
func (r *receiver) direct() *receiver {
	r.connections.http1.Store(true)
	return r
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send sends a message and reads all of its answer.
func (r *receiver) send(method, path, body string) (*http.Response, string, error) {
	r.t.Helper()
	res, err := r.connections.RoundTrip(request(r.t, method, r.URL+path, body))
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, string(data), err
}

func TestAnAnswerIsTheSameDirectlyAndThroughTheTransport(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		w.Header().Set("Echo", fmt.Sprint(q.Method, " ", q.URL, " ", q.Host, " ", q.Header["X"], " ", q.ContentLength, " ",
			q.TransferEncoding, " ", q.Header["User-Agent"], " ", string(body)))
		switch q.URL.Path {
		case "/none":
			w.WriteHeader(204)
		case "/large":
			io.WriteString(w, large)
		case "/chunked":
			w.Header().Set("Trailer", "Sum")
			io.WriteString(w, "a")
			http.NewResponseController(w).Flush()
			io.WriteString(w, "b")
			w.Header().Set("Sum", "ab")
		case "/hints":
			w.Header().Set("Link", "</x>")
			w.WriteHeader(103)
			io.WriteString(w, "after")
		case "/closes":
			w.Header().Set("Connection", "close")
			io.WriteString(w, "bye")
		case "/401":
			w.WriteHeader(401)
		default:
			io.WriteString(w, "ok")
		}
	})
	answer := func(method, path, body string) string {
		t.Helper()
		hints := ""
		q := request(t, method, r.URL+path, body)
		q.Header["X"] = []string{"1", "2"}
		q = q.WithContext(httptrace.WithClientTrace(q.Context(),
			&httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints += fmt.Sprint(code, h.Get("Link"))
				return nil
			}}))
		res, err := r.connections.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		res.Header.Del("Date")
		return fmt.Sprintf("%s %v %v %d %v %v %s tls=%v %q", res.Status, res.Header, res.Trailer, res.ContentLength,
			res.TransferEncoding, res.Close || method == "HEAD", hints, // after HEAD, the connection closes
			res.TLS != nil, data)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/", "/none", "/large", "/chunked", "/hints", "/closes", "/401", "/a%2Fb?c=%20d"} {
			for _, body := range []string{"", "<order/>", strings.Repeat("y", directBody)} {
				if body != "" && method != "POST" && method != "PUT" {
					continue
				}
				r.connections.http1.Store(false)
				want := answer(method, path, body)
				if !r.connections.http1.Load() {
					t.Fatal("the transport did not notice what the receiver speaks")
				}
				for range 2 {
					if got := answer(method, path, body); got != want {
						t.Errorf("%s %s, %d bytes:\ndirectly %.300s\nelse     %.300s", method, path, len(body), got, want)
					}
				}
				if n := len(r.connections.places); n != 0 {
					t.Fatalf("%s %s: %d places are taken for ever", method, path, n)
				}
			}
		}
	}
}

func TestConnectionsAreReusedAndLimited(t *testing.T) {
	r := receive(t, tenancy.Egress{Connections: 10}, func(w http.ResponseWriter,
		_ *http.Request) {
		io.WriteString(w, "ok")
	}).direct()
	for range 20 {
		if _, _, err := r.send("GET", "/", ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.opened.Load(); n != 1 {
		t.Errorf("%d connections for messages one after the other", n)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if _, _, err := r.send("POST", "/", "x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := r.most.Load(); n > 12 { // the receiver may notice late that one was closed
		t.Errorf("%d connections at a time", n)
	}
}

func TestAnIdleConnectionThatTheReceiverClosedIsNotUsed(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }).direct()
	for i := range 10 {
		if _, _, err := r.send("POST", "/", "x"); err != nil {
			t.Fatal(i, err)
		}
		r.CloseClientConnections()
		one := r.connections.idle[0]
		for one.isOpen() { // until its end has arrived
		}
	}
	if n := r.served.Load(); n != 10 {
		t.Errorf("%d messages arrived", n)
	}
}

// scripted is a TLS server that handles each connection with a function.
func scripted(t *testing.T, e tenancy.Egress, each func(n int, c net.Conn, in *bufio.Reader)) (*Connections, string) {
	t.Helper()
	template := httptest.NewTLSServer(nil)
	template.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: template.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				each(n, c, bufio.NewReader(c))
			}()
		}
	}()
	c := connect(t, template.Certificate(), e)
	c.http1.Store(true)
	return c, "https://" + l.Addr().String()
}

func roundTrip(c *Connections, r *http.Request) (string, error) {
	res, err := c.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return string(data), err
}

func TestAMessageThatMayHaveBeenProcessedIsNotSentTwice(t *testing.T) {
	for method, wantTaken := range map[string]int64{"POST": 2, "GET": 3} {
		t.Run(method, func(t *testing.T) {
			var taken atomic.Int64
			c, url := scripted(t, tenancy.Egress{}, func(n int, c net.Conn, in *bufio.Reader) {
				for i := range 2 {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					taken.Add(1)
					if n == 0 && i == 1 {
						return // it has read the second message, and closes without an answer
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			if _, err := roundTrip(c, request(t, method, url, "")); err != nil {
				t.Fatal(err)
			}
			_, err := roundTrip(c, request(t, method, url, ""))
			if (err == nil) != (method == "GET") || taken.Load() != wantTaken {
				t.Errorf("taken %d times, %v", taken.Load(), err)
			}
			if err != nil {
				if m := OfError(err).Meaning; m != Suspicious {
					t.Errorf("%v means %v", err, m)
				}
			}
		})
	}
}

func TestBrokenAnswersAreErrorsAndFreeTheirPlace(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\n"
	for name, answer := range map[string]string{
		"no HTTP":                  "hello\r\n\r\n",
		"half a head":              head + "Content-",
		"half a body":              head + "Content-Length: 10\r\n\r\nhalf",
		"half a chunk":             head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"an endless head":          head + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 300) + "\r\n",
		"endless interim answers":  strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 20000),
		"a switch of protocols":    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"two lengths":              head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
		"nothing":                  "",
		"an answer and some more":  head + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
		"a negative length":        head + "Content-Length: -1\r\n\r\n",
		"a head of its own ending": head + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, url := scripted(t, tenancy.Egress{}, func(_ int, c net.Conn, in *bufio.Reader) {
				http.ReadRequest(in)
				io.WriteString(c, answer)
			})
			got, err := roundTrip(c, request(t, "POST", url, "x"))
			good := strings.HasPrefix(name, "an answer and") || strings.HasPrefix(name, "a head of")
			if (err == nil) != good {
				t.Errorf("%q, %v", got, err)
			}
			if name == "a switch of protocols" && !strings.Contains(err.Error(), "switched protocols without being asked") {
				t.Errorf("got %v", err)
			}
			if name == "an endless head" && !strings.Contains(err.Error(), "longer than 262144 bytes") {
				t.Errorf("the limit is not named: %v", err)
			}
			if len(c.places) != 0 || len(c.idle) != 0 {
				t.Errorf("%d places are taken, %d connections are kept", len(c.places), len(c.idle))
			}
		})
	}
}

func TestASilentReceiverTimesOutAndAStreamingOneDoesNot(t *testing.T) {
	c, url := scripted(t, tenancy.Egress{TimeoutSeconds: 1}, func(n int, c net.Conn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/stream" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
			pause := time.NewTimer(1500 * time.Millisecond)
			<-pause.C
			io.WriteString(c, "b")
		}
		in.ReadByte()
	})
	_, err := roundTrip(c, request(t, "POST", url+"/silent", "x"))
	var late interface{ Timeout() bool }
	if !errors.As(err, &late) || !late.Timeout() || !strings.Contains(err.Error(), "no answer began within 1s") {
		t.Errorf("silent: %v", err)
	}
	testenv.Eventually(t, func() bool { // on a busy machine, the answer may begin too late
		got, err := roundTrip(c, request(t, "GET", url+"/stream", ""))
		if !errors.As(err, &late) && (got != "ab" || err != nil) {
			t.Fatalf("streams: %q, %v", got, err)
		}
		return err == nil
	})
}

func TestADisconnectedSenderEndsItsMessage(t *testing.T) {
	for _, path := range []string{"/head", "/body"} {
		arrived := make(chan bool, 1)
		c, url := scripted(t, tenancy.Egress{}, func(n int, c net.Conn, in *bufio.Reader) {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			if path == "/body" {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
			}
			arrived <- true
			in.ReadByte()
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if _, err := roundTrip(c, request(t, "POST", url+path, "x").WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		if len(c.places) != 0 || len(c.idle) != 0 {
			t.Errorf("%s: %d places are taken, %d connections are kept", path, len(c.places), len(c.idle))
		}
	}
}

func TestATruncatedBodyReachesNoReceiver(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(http.ResponseWriter, *http.Request) {}).direct()
	q := request(t, "POST", r.URL, "")
	q.Body, q.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{io.ErrUnexpectedEOF})), 10
	if _, err := r.connections.RoundTrip(q); !errors.Is(err, io.ErrUnexpectedEOF) || r.opened.Load() != 0 ||
		len(r.connections.places) != 0 {
		t.Errorf("%v, %d connections", err, r.opened.Load())
	}
}

func TestARefusalInTLSIsSeenDirectly(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var refuses atomic.Bool
		r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") },
			func(s *httptest.Server) {
				s.TLS = &tls.Config{MaxVersion: version, ClientAuth: tls.RequestClientCert,
					GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
						if !refuses.Load() {
							return nil, nil
						}
						c := s.TLS.Clone()
						c.GetConfigForClient, c.ClientAuth = nil, tls.RequireAnyClientCert
						return c, nil
					}}
			}).direct()
		if _, _, err := r.send("POST", "/", "x"); err != nil {
			t.Fatal(err)
		}
		refuses.Store(true)
		r.CloseClientConnections()
		for r.connections.idle[0].isOpen() {
		}
		_, _, err := r.send("POST", "/", "x")
		if m := OfError(err); m.Meaning != Refused {
			t.Errorf("TLS %x: %v (%+v)", version, err, m)
		}
	}
}

func TestHTTP2AndSpecialRequestsGoThroughTheTransport(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, q.Proto) },
		func(s *httptest.Server) { s.EnableHTTP2 = true })
	for range 3 {
		if _, got, err := r.send("GET", "/", ""); got != "HTTP/2.0" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	r.direct()
	large := strings.Repeat("x", directBody+1)
	for name, edit := range map[string]func(*http.Request){
		"plain HTTP": func(q *http.Request) { q.URL.Scheme = "http" },
		"an upgrade": func(q *http.Request) { q.Header.Set("Upgrade", "websocket") },
		"a question": func(q *http.Request) { q.Header.Set("Expect", "100-continue") },
		"a large body": func(q *http.Request) {
			q.Body, q.ContentLength = io.NopCloser(strings.NewReader(large)), int64(len(large))
		},
		"a body of unknown length": func(q *http.Request) {
			q.Body, q.ContentLength = io.NopCloser(strings.NewReader("x")),
				-1
		},
		"trailers": func(q *http.Request) { q.Trailer = http.Header{"X": nil} },
	} {
		q := request(t, "POST", r.URL, "")
		if edit(q); r.connections.isDirect(q) {
			t.Errorf("%s goes directly", name)
		}
	}
	if few := connect(t, r.Certificate(), tenancy.Egress{Connections: 2}); few.places != nil ||
		few.transport.MaxConnsPerHost != 2 {
		t.Error("two connections are shared between two ways")
	}
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }).direct()
	if _, _, err := r.send("GET", "/", ""); err != nil {
		t.Fatal(err)
	}
	c := r.connections
	c.reap()
	if len(c.idle) != 1 || c.reaper == nil {
		t.Error("a connection that was just used is closed, or no further check is scheduled")
	}
	c.idle[0].since = time.Now().Add(-idleConn)
	if c.reap(); len(c.idle) != 0 || c.reaper != nil {
		t.Error("an idle connection is kept")
	}
	// A connection that is in use when they are closed ends with its message.
	res, err := c.RoundTrip(request(t, "GET", r.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	if _, err := io.ReadAll(res.Body); err != nil || len(c.idle) != 0 {
		t.Errorf("%d connections are kept, %v", len(c.idle), err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			http.ReadRequest(bufio.NewReader(theirs))
			theirs.Write(answer)
			theirs.Close()
		}()
		c := &conn{Conn: ours}
		c.in = bufio.NewReader(c)
		from := &Connections{transport: &http.Transport{}, timeout: 5 * time.Second, places: make(chan struct{}, 1),
			lanes: newLanes(1, nil)}
		from.places <- struct{}{}
		r := request(t, "POST", "https://x/", "")
		var message bytes.Buffer
		if err := r.Write(&message); err != nil {
			t.Fatal(err)
		}
		_, res, err := c.exchange(r, message.Bytes(), from)
		if err != nil {
			return
		}
		if res.StatusCode < 200 {
			t.Errorf("%d is not a valid answer", res.StatusCode)
		}
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
		if len(from.places) != 0 {
			t.Error("the place is taken for ever")
		}
		// The next message can use the connection only if the answer was read completely and nothing follows it.
		if n := len(from.idle); n > 0 && (err != nil || c.in.Buffered() > 0) {
			t.Error("the connection is kept")
		}
		from.CloseIdleConnections()
	})
}
