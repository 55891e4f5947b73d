// Package receiver is a receiving system in Go, on loopback. It decides whose messages it accepts, and refuses the
// others in a configured way. The demo, the sample and the tests send their messages to it.
//
// It promises to count what arrived, so that a test can show that a message was delivered once.
package receiver

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

// A Server is a running receiver.
type Server struct {
	// URL is the address for messages.
	URL     string
	options Options
	http    *http.Server

	mu       sync.Mutex
	known    []string // what [Options.Know] makes of the accepted certificates
	accepted map[string]int
	order    []string
	answer   int
	asked    int
	versions map[string]int
}

// Options describe a receiver. Only Certificate is required.
type Options struct {
	// Certificate returns the receiver's own certificate. [Fixed] makes it from a pair.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Decide returns whether a request with this certificate is accepted. If it is nil, the certificates that Accept or
	// Install named last are accepted. leaf is nil if the sender presented none and Anonymous lets it in.
	Decide func(r *http.Request, leaf *x509.Certificate) bool
	// Know returns the property that identifies a certificate; nil for its fingerprint.
	Know func(*x509.Certificate) string
	// Refuse is the status of a refusal, or Alert, Close or Reset.
	Refuse int
	// Refusal answers refused requests; nil for what Refuse describes.
	Refusal http.HandlerFunc
	// Trust are the CAs that TLS itself verifies; nil asks for a certificate of any CA.
	Trust *x509.CertPool
	// Anonymous lets senders without a certificate through TLS.
	Anonymous bool
	// Open are handlers, by path, that need no certificate.
	Open map[string]http.HandlerFunc
	// Clock is the time by which certificates are verified; nil for the system's.
	Clock func() time.Time
	// MaxVersion is the newest TLS version that it speaks; 0 for all.
	MaxVersion uint16
	// HTTP2 enables HTTP/2.
	HTTP2 bool
	// OnlyPOST refuses only POST requests.
	OnlyPOST bool
	// Delay is the time before each answer.
	Delay time.Duration
}

// Ways of refusing without an answer.
const (
	Alert = 0
	Close = -1
	Reset = -2
)

// Fixed presents one certificate.
func Fixed(pair tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
}

// Start starts a receiver on loopback. End it with Close.
func Start(o Options) (*Server, error) {
	if o.Certificate == nil {
		return nil, errors.New("a receiver needs a certificate of its own")
	}
	if o.Know == nil {
		o.Know = func(c *x509.Certificate) string { return certfile.Fingerprint(c.Raw) }
	}
	if o.Refusal != nil {
		o.Refuse = http.StatusForbidden // the application refuses, not TLS
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "https://" + l.Addr().String() + "/messages", options: o, accepted: map[string]int{},
		versions: map[string]int{}}
	s.http = &http.Server{Handler: s, TLSConfig: s.config(), ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0)}
	go s.http.ServeTLS(l, "", "")
	return s, nil
}

func (s *Server) config() *tls.Config {
	o := s.options
	c := &tls.Config{GetCertificate: o.Certificate, ClientAuth: tls.RequireAnyClientCert, ClientCAs: o.Trust,
		MinVersion: tls.VersionTLS12, MaxVersion: o.MaxVersion, Time: o.Clock, SessionTicketsDisabled: true,
		NextProtos: []string{"http/1.1"}}
	switch {
	case o.Trust != nil:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	case o.Anonymous:
		c.ClientAuth = tls.RequestClientCert
	}
	if o.HTTP2 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	if o.Refuse == Alert && o.Decide == nil {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			if !s.knows(state.PeerCertificates[0]) {
				return errors.New("unknown client certificate")
			}
			return nil
		}
	}
	return c
}

func (s *Server) knows(c *x509.Certificate) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.known, s.options.Know(c))
}

// Accept makes these certificates the only ones that it accepts.
func (s *Server) Accept(certs ...*x509.Certificate) {
	names := make([]string, len(certs))
	for i, c := range certs {
		names[i] = s.options.Know(c)
	}
	s.Install(names...)
}

// Install is [Server.Accept] with the properties that identify certificates: their fingerprints, unless Know returns
// others.
func (s *Server) Install(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = names
}

// Known returns the properties that were installed last.
func (s *Server) Known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// Taken counts how often the message with an Idempotency-Key was accepted.
func (s *Server) Taken(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted[key]
}

// Order lists the Idempotency-Keys of the accepted messages, in their order.
func (s *Server) Order() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Answer changes the status for accepted messages; 0 for 200.
func (s *Server) Answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = status
}

// Asked counts the requests that arrived, with those that were refused.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Spoken counts the requests that arrived over a version of HTTP, such as "HTTP/2.0".
func (s *Server) Spoken(version string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[version]
}

// accepts decides about a request. If TLS decides, every request that arrives is accepted.
func (s *Server) accepts(r *http.Request) bool {
	var leaf *x509.Certificate
	if len(r.TLS.PeerCertificates) > 0 {
		leaf = r.TLS.PeerCertificates[0]
	}
	switch o := s.options; {
	case o.Decide != nil:
		return o.Decide(r, leaf)
	case o.Refuse == Alert, o.OnlyPOST && r.Method != http.MethodPost:
		return true
	default:
		return leaf != nil && s.knows(leaf)
	}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if open := s.options.Open[r.URL.Path]; open != nil {
		open(w, r)
		return
	}
	s.mu.Lock()
	s.asked++
	s.versions[r.Proto]++
	s.mu.Unlock()
	time.Sleep(s.options.Delay)
	if !s.accepts(r) {
		if s.options.Refusal != nil {
			s.options.Refusal(w, r)
			return
		}
		s.refuse(w)
		return
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	key := r.Header.Get("Idempotency-Key")
	s.accepted[key]++
	s.order = append(s.order, key)
	answer := s.answer
	s.mu.Unlock()
	if answer != 0 {
		w.WriteHeader(answer)
		return
	}
	serial := "an unknown sender"
	if len(r.TLS.PeerCertificates) > 0 {
		serial = r.TLS.PeerCertificates[0].SerialNumber.Text(16)
	}
	fmt.Fprintf(w, "accepted %d bytes of %s from %s\n", n, strings.TrimPrefix(r.URL.Path, "/"), serial)
}

func (s *Server) refuse(w http.ResponseWriter) {
	if s.options.Refuse > 0 {
		http.Error(w, "unknown client certificate", s.options.Refuse)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2
		panic(http.ErrAbortHandler)
	}
	t, ok := conn.(*tls.Conn)
	if !ok {
		conn.Close()
		return
	}
	if tcp, ok := t.NetConn().(*net.TCPConn); ok && s.options.Refuse == Reset {
		tcp.SetLinger(0)
	}
	t.NetConn().Close() // without a closing alert
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }
