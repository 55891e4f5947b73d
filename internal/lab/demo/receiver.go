package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// A receiver is a real TLS server on loopback that decides in its own way whose messages it takes.
type receiver struct {
	name   string
	how    string // in words
	url    string
	server *http.Server

	accept func(leaf *x509.Certificate) bool // nil where it pins a fingerprint instead

	mu   sync.Mutex
	pins []string // the fingerprints it expects
}

// startReceiver starts a server. With verify, TLS itself asks for a certificate of a trusted CA; else any certificate
// passes TLS, and the receiver decides by itself.
func startReceiver(name, how string, verify bool, trusted *x509.CertPool,
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), clock func() time.Time,
	accept func(*x509.Certificate) bool, pin string) (*receiver, error) {
	config := &tls.Config{GetCertificate: certificate, ClientAuth: tls.RequireAnyClientCert, ClientCAs: trusted,
		Time: clock, SessionTicketsDisabled: true}
	if verify {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	r := &receiver{name: name, how: how, url: "https://" + l.Addr().(*net.TCPAddr).String() + "/messages", accept: accept,
		pins: []string{pin}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	go r.server.Serve(l)
	return r, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	leaf := q.TLS.PeerCertificates[0]
	known := slices.Contains(r.expects(), certfile.Fingerprint(leaf.Raw))
	if r.accept != nil {
		known = r.accept(leaf)
	}
	if !known {
		http.Error(w, "unknown client certificate", http.StatusUnauthorized)
		return
	}
	io.Copy(io.Discard, http.MaxBytesReader(w, q.Body, 1<<20))
	fmt.Fprintln(w, "accepted")
}

// expects are the fingerprints that the receiver knows; it may decide otherwise.
func (r *receiver) expects() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pins
}

// install is what the receiver's administrator does with certificates, in the place of those before.
func (r *receiver) install(fingerprints ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pins = fingerprints
}

// send sends one message with a certificate, over a fresh connection, and says how it was answered.
func send(ctx context.Context, url string, shown tls.Certificate, roots *x509.CertPool, clock func() time.Time) (
	status int, err error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Time: clock,
		Certificates: []tls.Certificate{shown}}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte("<order/>")))
	if err != nil {
		return 0, err
	}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
