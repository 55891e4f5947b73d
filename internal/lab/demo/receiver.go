package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/lab/receiver"
)

// A system is a receiver in the story.
type system struct {
	*receiver.Server
	name string
	how  string // in words
}

// startSystem starts a receiver that accepts certificates as decide returns, or, if decide is nil, the one with a
// fingerprint.
func startSystem(name, how string, o receiver.Options, fingerprint string) (*system, error) {
	o.Refuse = http.StatusUnauthorized
	s, err := receiver.Start(o)
	if err != nil {
		return nil, err
	}
	s.Install(fingerprint)
	return &system{Server: s, name: name, how: how}, nil
}

// send sends one message with a certificate over a new connection, and returns the status of the answer.
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
