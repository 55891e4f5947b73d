package outbound

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheTimeForWhichAReceiverKeepsConnectionsIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "timeout=5": 5 * time.Second, "timeout=5, max=100": 5 * time.Second, "max=100,Timeout = 7": 0,
		"max=100, Timeout=7": 7 * time.Second, "timeout=0": 0, "timeout=-1": 0, "timeout=x": 0, "timeout=9999999": 0,
	} {
		if got := keepAlive(http.Header{"Keep-Alive": {text}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	c := &conn{since: date, keep: 5 * time.Second}
	for after, want := range map[time.Duration]bool{0: false, 3999 * time.Millisecond: false, 4 * time.Second: true} {
		if c.isLeaving(date.Add(after)) != want {
			t.Errorf("after %s: leaving is %v", after, !want)
		}
	}
	if (&conn{since: date}).isLeaving(date.Add(time.Hour)) {
		t.Error("a connection is left although the receiver states nothing")
	}
}

// The receiver closes idle connections after a second, as it states. The next message goes out at that very instant,
// over both ways of sending, a thousand times.
func TestNoMessageCrossesTheCloseOfAnIdleConnection(t *testing.T) {
	const senders, rounds = 250, 2
	egress := tenancy.Egress{}
	key := newIdentity(t, 1)
	server := &http.Server{IdleTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Keep-Alive", "timeout=1")
	})}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{key.Certificate},
		ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	leaf, err := x509.ParseCertificate(key.Certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	egress.ServerKeyPin = KeyPin(leaf)
	to := &url.URL{Scheme: "https", Host: l.Addr().(*net.TCPAddr).String(), Path: "/"}
	var sent, failed atomic.Int32
	var first atomic.Pointer[error]
	places := make(chan struct{}, 32) // so many handshakes at a time end in time on a busy machine
	var all sync.WaitGroup
	for i := range 2 * senders {
		all.Go(func() {
			c := loopback.Connections(key, egress)
			defer c.CloseIdleConnections()
			size := 300
			if i%2 == 1 {
				size = 100 << 10 // through net/http's transport
			}
			for range rounds {
				r := request(t, "POST", to.String(), string(make([]byte, size)))
				r.GetBody = nil // it must not be sent again
				places <- struct{}{}
				res, err := c.RoundTrip(r)
				<-places
				if sent.Add(1); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
					continue
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				<-time.After(time.Second) // the instant at which the receiver closes
			}
		})
	}
	all.Wait()
	if sent.Load() != 2*senders*rounds || failed.Load() > 0 {
		t.Errorf("%d of %d messages were lost, the first one because of %v", failed.Load(), sent.Load(), *first.Load())
	}
}

func TestAfterAFailureAMessageGoesOverANewConnection(t *testing.T) {
	var taken atomic.Int64
	var end atomic.Bool
	together := make(chan struct{})
	c, url := scripted(t, tenancy.Egress{}, func(_ int, c net.Conn, in *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			if taken.Add(1); end.Load() {
				return
			}
			<-together
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if _, err := roundTrip(c, request(t, "GET", url, "")); err != nil {
				t.Error(err)
			}
		})
	}
	testenv.Eventually(t, func() bool { return taken.Load() == 10 })
	close(together)
	all.Wait()
	end.Store(true)
	if _, err := roundTrip(c, request(t, "GET", url, "")); err == nil {
		t.Error("it was answered")
	}
	if n := taken.Load() - 10; n != 2 {
		t.Errorf("the receiver got the message %d times", n)
	}
}
