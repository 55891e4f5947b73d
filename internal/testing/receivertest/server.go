// Package receivertest renews certificates against the servers that receivers really run: nginx, HAProxy, Apache httpd,
// and servers in Go for what those cannot do.
package receivertest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// A Server is a receiver in Go. It decides by itself whose messages it takes, and says no in the way it is told to.
type Server struct {
	URL      string
	mu       sync.Mutex
	accepted map[string]bool // fingerprints, or what Know makes of a certificate
	taken    map[string]int
	order    []string
	answer   int // instead of 200
	asked    int // requests whose head arrived
	options  Options
	http     *http.Server
}

// Options are the ways of a [Server].
type Options struct {
	// Know is what it knows a certificate by; nil for the fingerprint.
	Know func(*x509.Certificate) string
	// Refuse is how it says no: a status, or 0 for a TLS alert, Close or Reset.
	Refuse int
	// MaxVersion is the newest TLS that it speaks; 0 for all.
	MaxVersion uint16
	// HTTP2 says whether it speaks HTTP/2.
	HTTP2 bool
	// OnlyPOST refuses nothing but POST.
	OnlyPOST bool
	// Delay is how long it thinks.
	Delay time.Duration
	// Trust are the CAs that it asks for; nil asks for any.
	Trust *x509.CertPool
}

// Ways to refuse without a word.
const (
	Alert = 0
	Close = -1
	Reset = -2
)

// Start starts a server with the certificate on loopback. End it with Close.
func Start(certificate tls.Certificate, o Options) (*Server, error) {
	if o.Know == nil {
		o.Know = func(c *x509.Certificate) string { return certfile.Fingerprint(c.Raw) }
	}
	s := &Server{accepted: map[string]bool{}, taken: map[string]int{}, options: o}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert,
		ClientCAs: o.Trust, MaxVersion: o.MaxVersion, SessionTicketsDisabled: true, NextProtos: []string{"http/1.1"}}
	if o.HTTP2 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if o.Trust != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if o.Refuse <= 0 {
		config.VerifyConnection = func(c tls.ConnectionState) error {
			if o.Refuse == Alert && !s.knows(c.PeerCertificates[0]) {
				return errors.New("unknown")
			}
			return nil
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.URL = "https://" + l.Addr().String() + "/messages"
	s.http = &http.Server{Handler: s, TLSConfig: config, ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)}
	go s.http.ServeTLS(l, "", "")
	return s, nil
}

func (s *Server) knows(c *x509.Certificate) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted[s.options.Know(c)]
}

// Accept makes these certificates the only ones that it takes.
func (s *Server) Accept(certs ...*x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = map[string]bool{}
	for _, c := range certs {
		s.accepted[s.options.Know(c)] = true
	}
}

// Taken is how often the message with an Idempotency-Key was taken.
func (s *Server) Taken(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[key]
}

// Order is the Idempotency-Keys of the messages that were taken, in their order.
func (s *Server) Order() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Answer makes the server answer messages that it takes with this status; 0 for 200.
func (s *Server) Answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = status
}

// Asked is how many requests arrived, also those that were refused.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	time.Sleep(s.options.Delay)
	known := s.options.Refuse == Alert || s.knows(r.TLS.PeerCertificates[0]) || s.options.OnlyPOST &&
		r.Method != http.MethodPost
	if !known {
		if s.options.Refuse > 0 {
			http.Error(w, "unknown client certificate", s.options.Refuse)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil { // HTTP/2
			panic(http.ErrAbortHandler)
		}
		if s.options.Refuse == Reset {
			if t, ok := conn.(*tls.Conn); ok {
				if tcp, ok := t.NetConn().(*net.TCPConn); ok {
					tcp.SetLinger(0)
				}
			}
		}
		if t, ok := conn.(*tls.Conn); ok {
			t.NetConn().Close()
		}
		return
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	key := r.Header.Get("Idempotency-Key")
	s.taken[key]++
	s.order = append(s.order, key)
	answer := s.answer
	s.mu.Unlock()
	if answer != 0 {
		w.WriteHeader(answer)
		return
	}
	fmt.Fprintf(w, "accepted %d bytes of %s from %s\n", n, strings.TrimPrefix(r.URL.Path, "/"),
		r.TLS.PeerCertificates[0].SerialNumber.Text(16))
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }
