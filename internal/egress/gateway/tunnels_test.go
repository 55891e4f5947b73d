package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// echo starts a receiver that upgrades each connection and repeats every line.
func (f *fixture) echo() (url string) {
	return f.serve(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		for rw.Flush() == nil {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(rw, "echo "+line)
		}
	})
}

// upgrade opens a tunnel through the gateway.
func (f *fixture) upgrade(t *testing.T, name, token string) io.ReadWriteCloser {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.gateway.URL+"/acme/"+name+"/", nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	res, err := f.gateway.Client().Do(r)
	check(t, err)
	stream, ok := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != 101 || !ok {
		t.Fatalf("%d", res.StatusCode)
	}
	t.Cleanup(func() { stream.Close() })
	return stream
}

// echoes reports whether a tunnel is open.
func echoes(stream io.ReadWriter) bool {
	if _, err := fmt.Fprintln(stream, "hello"); err != nil {
		return false
	}
	got := make([]byte, 11)
	_, err := io.ReadFull(stream, got)
	return err == nil && string(got) == "echo hello\n"
}

// A WebSocket connection, or another upgrade, passes through, and ends with what allowed it.
func TestATunnelEndsWithItsTokenItsArrangementAndItsCertificate(t *testing.T) {
	for name, end := range map[string]func(f *fixture, a tenancy.Arrangement){
		"the token is revoked": func(f *fixture, a tenancy.Arrangement) {
			token, err := f.engine.Store.TokenByHash(f.t.Context(), tenancy.HashSecret(f.token))
			check(f.t, err)
			check(f.t, f.engine.Store.InTx(f.t.Context(), func(tx *store.Tx) error {
				tx.Changed(f.acme.ID)
				return tx.RevokeToken(f.t.Context(), token.ID, time.Now())
			}))
		},
		"the arrangement is deleted": func(f *fixture, a tenancy.Arrangement) {
			current, err := f.engine.Store.Arrangement(f.t.Context(), f.acme.ID, a.Name)
			check(f.t, err)
			check(f.t, f.engine.Store.InTx(f.t.Context(), func(tx *store.Tx) error {
				tx.Changed(f.acme.ID)
				return tx.DeleteArrangement(f.t.Context(), current)
			}))
		},
		"the certificate is revoked": func(f *fixture, a tenancy.Arrangement) {
			_, err := f.engine.RenewByHand(f.t.Context(), "acme", tenancy.ForTenant, lifecycle.Compromised, "test", time.Now())
			check(f.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t)
			a := f.arrangement("echo", tenancy.Adaptive, f.echo())
			other := f.upgrade(t, "echo", f.token)
			if !echoes(other) {
				t.Fatal("the tunnel does not pass through")
			}
			f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { tx.Changed(f.acme.ID); return nil })
			if !echoes(other) {
				t.Error("a tunnel that may stay was ended")
			}
			end(f, a)
			testenv.Eventually(t, func() bool { return !echoes(other) })
		})
	}
}

func TestConnectAndUpgradesToHTTP2AreRefused(t *testing.T) {
	f := setUp(t)
	f.arrangement("echo", tenancy.Adaptive, f.echo())
	for _, head := range []string{
		"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
		"GET /acme/echo/ HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + f.token +
			"\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
			"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.gateway.URL, "http://"))
		check(t, err)
		io.WriteString(conn, head)
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 501" {
			t.Errorf("%q: %q, %v", head[:7], answer, err)
		}
		conn.Close()
	}
}

// An answer of the gateway itself arrives although the sender is still writing.
func TestASenderOfALargeBodyGetsTheAnswerOfTheGateway(t *testing.T) {
	f := setUp(t)
	f.arrangement("down", tenancy.Adaptive, "https://127.0.0.1:1/")
	for range 5 {
		if got := f.send("down", "POST", 5<<20); got.status != 502 {
			t.Errorf("%+v", got)
		}
		if got := f.send("down", "POST", -(5 << 20)); got.status != 502 {
			t.Errorf("%+v", got)
		}
	}
}

// A sender without TLS uses HTTP/2 with prior knowledge, as gRPC does: both sides stream, and trailers arrive.
func TestHTTP2WithoutTLSStreamsBothWaysWithTrailers(t *testing.T) {
	f := setUp(t)
	receiver := f.serveHTTP2(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		one := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, one); err != nil {
				break
			}
			w.Write(bytes.ToUpper(one))
			http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	})
	f.arrangement("grpc", tenancy.Adaptive, receiver)
	for _, state := range []string{"settled", "open"} {
		if state == "open" {
			f.renew()
		}
		in, out := io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", f.plainHTTP2()+"/acme/grpc/service/method", in)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		r.Header.Set("Te", "trailers")
		r.Header.Set("Content-Type", "application/grpc")
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client := &http.Transport{Protocols: protocols}
		defer client.CloseIdleConnections()
		answers := make(chan *http.Response, 1)
		go func() {
			res, err := client.RoundTrip(r)
			if err != nil {
				t.Error(err)
			}
			answers <- res
		}()
		io.WriteString(out, "a")
		res := <-answers
		if res == nil {
			return
		}
		for _, sent := range "abc" {
			got := make([]byte, 1)
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != strings.ToUpper(string(sent)) {
				t.Errorf("%s: %q after %q, %v", state, got, sent, err)
			}
			if sent != 'c' {
				io.WriteString(out, string(sent+1))
			}
		}
		out.Close()
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != 200 || res.ProtoMajor != 2 || res.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%s: %d over HTTP/%d, trailers %v", state, res.StatusCode, res.ProtoMajor, res.Trailer)
		}
	}
}

// serveHTTP2 starts a receiver that speaks HTTP/2 and accepts any certificate.
func (f *fixture) serveHTTP2(h http.HandlerFunc) (url string) {
	receiver := httptest.NewUnstartedServer(h)
	receiver.EnableHTTP2 = true
	receiver.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}, ClientAuth: tls.RequireAnyClientCert}
	receiver.StartTLS()
	f.t.Cleanup(receiver.Close)
	return receiver.URL
}

// plainHTTP2 starts another listener of the gateway, with its own server.
func (f *fixture) plainHTTP2() (url string) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(f.t, err)
	s := f.gateway.Config.Handler.(*gateway.Gateway).Server(nil)
	go s.Serve(l)
	f.t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}
