package foreign

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/givenup"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

const (
	// DefaultTimeout is the time that a CA has for an answer, unless its settings allow another.
	DefaultTimeout = 30 * time.Second
	// MaxAnswer is the maximum size of an answer. A chain of five RSA 4096 certificates is under 20 KiB.
	MaxAnswer = 1 << 20
	// maxRetry limits the time by which a CA can postpone the next attempt.
	maxRetry = 7 * 24 * time.Hour

	connectTimeout = 10 * time.Second
)

// TLS are the settings of a TLS connection to a CA.
type TLS struct {
	Roots       string     `yaml:"roots"`       // PEM file; empty: the CAs of the system
	Fingerprint string     `yaml:"fingerprint"` // SHA-256 of a certificate in the server's chain; empty: any
	Certificate string     `yaml:"certificate"` // PEM file with the client certificate and its chain; empty: none
	Key         secret.Ref `yaml:"key"`         // PEM of the client certificate's private key
}

// Config returns the configuration of a client. It reads the client certificate for each handshake.
func (s TLS) Config() (*tls.Config, error) {
	roots, err := certfile.ReadRoots(s.Roots)
	if err != nil {
		return nil, fmt.Errorf("tls: roots: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if s.Fingerprint != "" {
		want, err := ParseFingerprint(s.Fingerprint)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		pin(config, want)
	}
	if (s.Certificate == "") != s.Key.IsZero() {
		return nil, errors.New("tls: certificate and key belong together: set both")
	}
	if s.Certificate == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) { return Pair(s.Certificate, s.Key) }
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// Pair reads a certificate with its chain from a PEM file, and its private key.
func Pair(path string, key secret.Ref) (*tls.Certificate, error) {
	value, err := key.Read()
	if err != nil {
		return nil, err
	}
	chain, err := secret.File(path).Read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(chain.Reveal()), []byte(value.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("the certificate %s with the key %s: %w", path, key, err)
	}
	return &pair, nil
}

// ParseFingerprint reads a SHA-256 in hexadecimal, with or without colons. The result is in the form of
// [certfile.Fingerprint].
func ParseFingerprint(text string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != 32 {
		return "", fmt.Errorf("the fingerprint %q is not a SHA-256: use 64 hexadecimal digits, as \"openssl x509 "+
			"-fingerprint -sha256\" prints them", text)
	}
	return digits, nil
}

// pin makes a client accept only servers whose chain has a certificate of the fingerprint. Without roots, that
// certificate is the root.
func pin(config *tls.Config, fingerprint string) {
	if config.RootCAs != nil {
		config.VerifyConnection = func(s tls.ConnectionState) error {
			_, err := pinned(s.PeerCertificates, fingerprint)
			return err
		}
		return
	}
	config.InsecureSkipVerify = true // VerifyConnection verifies the chain up to the pinned certificate
	config.VerifyConnection = func(s tls.ConnectionState) error {
		anchor, err := pinned(s.PeerCertificates, fingerprint)
		if err != nil {
			return err
		}
		roots, above := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(anchor)
		for _, c := range s.PeerCertificates[1:] {
			above.AddCert(c)
		}
		_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, DNSName: s.ServerName})
		return err
	}
}

// An unpinnedError is returned for a server whose chain lacks the pinned certificate.
type unpinnedError struct{ fingerprint, has string }

func (e unpinnedError) Error() string {
	return fmt.Sprintf("no certificate of the server has the SHA-256 fingerprint %s; its last one has %s", e.fingerprint,
		e.has)
}

func pinned(chain []*x509.Certificate, fingerprint string) (anchor *x509.Certificate, err error) {
	for _, c := range chain {
		if certfile.Fingerprint(c.Raw) == fingerprint {
			return c, nil
		}
	}
	return nil, unpinnedError{fingerprint, certfile.Fingerprint(chain[len(chain)-1].Raw)}
}

// A Client talks to a CA over HTTPS. It follows no redirects, because a redirect could carry credentials elsewhere, and
// repeats no request. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	timeout time.Duration
	http    *http.Client
}

// NewClient returns a client for addresses below base. A timeout of 0 stands for [DefaultTimeout].
func NewClient(base string, config *tls.Config, timeout time.Duration) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("invalid address %q of the CA: use https://HOST or https://HOST/PATH, without a password",
			redactURL(base))
	}
	if timeout < 0 {
		return nil, fmt.Errorf("invalid timeout %s: use a time such as 30s", timeout)
	}
	timeout = cmp.Or(timeout, DefaultTimeout)
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	return &Client{base: u, timeout: timeout, http: &http.Client{Transport: givenup.Transport{RoundTripper: transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func redactURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "unreadable"
	}
	return u.Redacted()
}

// HTTP returns an HTTP client with the same connections and limits, for a library.
func (c *Client) HTTP() *http.Client { return c.http }

// Base returns the address of the CA.
func (c *Client) Base() string { return c.base.String() }

// A Call is a request to a CA.
type Call struct {
	Method string
	Path   string // below the address of the CA
	Header http.Header
	Body   []byte
	At     time.Time // now
	Doing  string    // what it is for, such as "sign a certificate for acme"
}

// An Answer is what a CA answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	call   Call
}

// NewAnswer returns an answer that another client has read.
func NewAnswer(status int, header http.Header, body []byte, at time.Time, doing string) Answer {
	return Answer{Status: status, Header: header, Body: body, call: Call{At: at, Doing: doing}}
}

// Do sends a call and reads the answer, whatever its status is. The error is an [*issuer.Error] if there is no answer.
func (c *Client) Do(ctx context.Context, call Call) (a Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, call.Method, c.base.JoinPath(call.Path).String(), bytes.NewReader(call.Body))
	if err != nil {
		return a, err
	}
	for name, values := range call.Header {
		r.Header[name] = values
	}
	res, err := c.http.Do(r)
	if err != nil {
		return a, c.Unanswered(call.Doing, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return a, c.Unanswered(call.Doing, err)
	}
	if len(body) > MaxAnswer {
		return a, issuer.Failed(issuer.Broken, "%s: the answer of %s is larger than %d MiB", call.Doing, c.base.Host,
			MaxAnswer>>20)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: body, call: call}, nil
}

// Unanswered returns the error for a request without an answer. doing describes the request.
func (c *Client) Unanswered(doing string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) { // its text repeats the address
		err = wrapped.Err
	}
	failed := &issuer.Error{Fault: issuer.Unreachable, Text: fmt.Sprintf("%s: no answer from %s", doing, c.base.Host),
		Err: err}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		failed.Fault = issuer.Slow
		failed.Text = fmt.Sprintf("%s: no answer from %s within %s", doing, c.base.Host, c.timeout)
		failed.Err = nil
	case remoteAlert(err):
		failed.Fault = issuer.Denied
		failed.Text = fmt.Sprintf("%s: %s refused the TLS connection", doing, c.base.Host)
	case untrusted(err):
		failed.Fault = issuer.Untrusted
		failed.Text = fmt.Sprintf("%s: the TLS certificate of %s is not accepted", doing, c.base.Host)
	}
	return failed
}

// remoteAlert reports whether the server ended the handshake, usually because of the client certificate.
func remoteAlert(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error"
}

func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var unpinned unpinnedError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unpinned) || errors.As(err, &authority) ||
		errors.As(err, &host) || errors.As(err, &invalid)
}

// Failure returns the error for an answer that is not a success. The detail is the CA's own text; empty for none.
func (a Answer) Failure(detail string) *issuer.Error {
	text := fmt.Sprintf("%s: the CA answered %d %s", a.call.Doing, a.Status, http.StatusText(a.Status))
	if detail = Printable(detail); detail != "" {
		text += ": " + detail
	}
	return &issuer.Error{Fault: faultOf(a.Status), Text: text, Retry: a.RetryAfter()}
}

// faultOf returns the fault that a status stands for.
func faultOf(status int) issuer.Fault {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return issuer.Denied
	case status == http.StatusTooManyRequests:
		return issuer.Limited
	case status == http.StatusServiceUnavailable, status == http.StatusBadGateway:
		return issuer.Unreachable
	case status == http.StatusGatewayTimeout:
		return issuer.Slow
	case status >= 400 && status < 500:
		return issuer.Rejected
	}
	return issuer.Broken
}

// RetryAfter returns the time at which the CA allows the next attempt (RFC 9110, section 10.2.3), at most a week ahead;
// zero if it names none.
func (a Answer) RetryAfter() time.Time { return RetryAfter(a.Header, a.call.At) }

// RetryAfter returns the instant of a Retry-After field; zero if there is none.
func RetryAfter(h http.Header, at time.Time) time.Time {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return time.Time{}
	}
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		wait = date.Sub(at)
	} else {
		return time.Time{}
	}
	return at.Add(min(max(wait, 0), maxRetry))
}

// maxDetail bounds the text of a CA in an error.
const maxDetail = 1000

// Printable returns the text of a CA for an error: in one line, without control characters, and bounded.
func Printable(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + " ..."
	}
	return text
}
