package gateway_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// nginx starts a real nginx over HTTP/2, which refuses the certificates that it does not know with "return 444". It
// returns the address, and a function that counts the requests that arrived.
func (f *fixture) nginx(known ...*x509.Certificate) (url string, requests func() int) {
	f.t.Helper()
	program, err := exec.LookPath("nginx")
	check(f.t, err)
	dir, port := f.t.TempDir(), testenv.Port(f.t)
	var serials []string
	for _, c := range known {
		serials = append(serials, fmt.Sprintf("~*^0*%X$ 1;", c.SerialNumber))
	}
	config := fmt.Sprintf(`user root; daemon off; pid nginx.pid; error_log error.log; events {}
		http { log_format line "$request"; access_log access.log line;
		client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
		map $ssl_client_serial $known { default 0; %s }
		server { listen 127.0.0.1:%d ssl http2; ssl_certificate server.pem; ssl_certificate_key server.pem;
		ssl_client_certificate ca.pem; ssl_verify_client on; ssl_verify_depth 3;
		location / { if ($known = 0) { return 444; } return 200 "ok"; } } }`, strings.Join(serials, " "), port)
	address := testenv.TLSServer{Dir: dir, Port: port, Pair: f.server, Files: map[string][]byte{"ca.pem": f.ca.Bundle(),
		"nginx.conf": []byte(config)}}.Start(f.t, exec.Command(program, "-e", "error.log", "-p", dir, "-c", "nginx.conf"))
	return "https://" + address, func() int {
		log, err := os.ReadFile(filepath.Join(dir, "access.log"))
		check(f.t, err)
		return strings.Count(string(log), "\n")
	}
}

func TestAReceiverThatClosesEachRequestGetsAFewOfThem(t *testing.T) {
	f := setUp(t)
	url, requests := f.nginx()
	f.arrangement("closed", tenancy.Adaptive, url)
	send := func(most int) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD", "POST"} {
			before := requests()
			got := f.send("closed", method, map[string]int{"POST": 300}[method])
			testenv.Eventually(t, func() bool { return requests() > before })
			if n := requests() - before; got.status != 502 || n > most {
				t.Errorf("%s: %d after %d requests", method, got.status, n)
			}
		}
	}
	send(3)
	f.renew()
	send(24)
}

func TestAReceiverThatClosesEachRequestOfACertificateIsFollowed(t *testing.T) {
	f := setUp(t)
	f.arrangement("other", tenancy.Adaptive, "https://127.0.0.1:1/") // it keeps generation 1 in reach
	f.renew()
	for name, known := range map[string]int{"old": 1, "new": 2} {
		url, _ := f.nginx(f.generation(known))
		f.arrangement(name, tenancy.Adaptive, url)
		for _, k := range kinds {
			if k.size > 1<<20 {
				continue // nginx's limit
			}
			if got := f.send(name, k.method, k.size); got.status != 200 {
				t.Errorf("%s: %s of %d bytes: %+v", name, k.method, k.size, got)
			}
		}
	}
}

// A bare receiver speaks HTTP/2 frame by frame, so that it can misbehave.
func (f *fixture) bare(serve func(conn net.Conn, frames *http2.Framer)) (url string) {
	f.t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{f.server},
		ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"}})
	check(f.t, err)
	f.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err == nil {
					serve(conn, http2.NewFramer(conn, conn))
				}
			}()
		}
	}()
	return "https://" + l.Addr().String()
}

// answered writes a response of 200 without a body.
func answered(frames *http2.Framer, stream uint32) {
	var head bytes.Buffer
	hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndStream: true,
		EndHeaders: true})
}

// each reads frames until the connection ends.
func each(frames *http2.Framer, do func(http2.Frame)) {
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			return
		}
		do(frame)
	}
}

func (f *fixture) bareArrangement(name, url string, timeout int) {
	f.t.Helper()
	f.engine.Arrangement(f.t, tenancy.Arrangement{TenantID: f.acme.ID, Name: name, Endpoint: url,
		Strategy: tenancy.Adaptive, Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle()), TimeoutSeconds: timeout}})
}

func TestTheTimeoutBoundsAReceiverThatTakesNoBody(t *testing.T) {
	f := setUp(t)
	url := f.bare(func(_ net.Conn, frames *http2.Framer) {
		frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		each(frames, func(frame http2.Frame) {
			if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
				frames.WriteSettingsAck()
			}
		})
	})
	f.bareArrangement("window", url, 1)
	for _, size := range []int{300, 900 << 10} {
		if got := f.send("window", "POST", size); got.status != 504 {
			t.Errorf("%d bytes: %+v", size, got)
		}
	}
}

// A receiver ends its connection with GOAWAY while a message is on it, and has processed nothing of that.
func TestAMessageThatWasNotProcessedBeforeGoawayIsSentAgain(t *testing.T) {
	f := setUp(t)
	var connections atomic.Int32
	url := f.bare(func(_ net.Conn, frames *http2.Framer) {
		connections.Add(1)
		frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		frames.WriteWindowUpdate(0, 1<<30)
		each(frames, func(frame http2.Frame) {
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					frames.WriteSettingsAck()
				}
			case *http2.DataFrame:
				if frame.StreamEnded() {
					answered(frames, frame.StreamID)
				} else if frame.StreamID > 1 { // the second message of a connection: part of it has arrived
					frames.WriteGoAway(1, http2.ErrCodeNo, nil) // the sender closes
				}
			}
		})
	})
	f.bareArrangement("goaway", url, 0)
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for i := range 6 {
				if got := f.send("goaway", "POST", 300<<10); got.status != 200 {
					t.Errorf("message %d: %+v", i, got)
				}
			}
		})
	}
	senders.Wait()
	if connections.Load() < 2 {
		t.Error("no connection was ended")
	}
}

// The first connection goes silent. Later messages use another one.
func TestAConnectionThatWentSilentIsNotUsedAgain(t *testing.T) {
	f := setUp(t)
	var connections, unanswered atomic.Int32
	url := f.bare(func(_ net.Conn, frames *http2.Framer) {
		silent := connections.Add(1) == 1
		frames.WriteSettings()
		each(frames, func(frame http2.Frame) {
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					frames.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if silent {
					unanswered.Add(1)
				} else {
					answered(frames, frame.StreamID)
				}
			}
		})
	})
	f.bareArrangement("silent", url, 1)
	if got := f.send("silent", "GET", 0); got.status != 504 {
		t.Errorf("the first message: %+v", got)
	}
	// On a busy machine, an answer may take more than the second that it has.
	testenv.Eventually(t, func() bool { return f.send("silent", "GET", 0).status == 200 })
	if n := unanswered.Load(); n != 1 {
		t.Errorf("%d messages were sent over the silent connection", n)
	}
}
