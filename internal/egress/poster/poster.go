// Package poster sends requests to the endpoints of webhooks.
//
// It promises that an endpoint is reached under the same rules as a receiver: over TLS with a verified certificate, and
// at no address that the operator has not allowed, whatever its name resolves to. No redirect is followed. A request
// and its answer are bounded in time and size. Errors contain nothing of the URL, which may be a secret, and nothing of
// the answer's body, so that a webhook cannot be used to read what others cannot see.
package poster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/redact"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

const (
	// timeout limits a request, from the connection to the answer.
	timeout = 10 * time.Second
	// maxAnswer is the part of an answer's body that is read, so that its connection can be used again.
	maxAnswer = 4 << 10
)

// requests counts requests by their outcome. It has no label for the endpoint, because tenants choose it.
var requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_webhook_requests_total",
	Help: "Requests to endpoints of webhooks: accepted (2xx), refused (another status), or failed (no answer)."},
	[]string{"outcome"})

// Collectors returns the metrics of this package.
func Collectors() []prometheus.Collector { return []prometheus.Collector{requests} }

// Network opens connections to endpoints. It implements [webhooks.Network].
type Network struct{ network *outbound.Network }

// New returns a network with the rules of another one.
func New(n *outbound.Network) Network { return Network{n} }

// Open implements [webhooks.Network]. The connections of a poster are used again until it is closed.
func (n Network) Open(tenant, serverCA string) (webhooks.Poster, error) {
	network := n.network.For(tenant)
	egress := tenancy.Egress{ServerCA: serverCA, TimeoutSeconds: int(timeout / time.Second)}
	transport := network.Transport(egress, network.TLS(nil, egress, nil))
	return &poster{transport, &http.Client{Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

type poster struct {
	transport *http.Transport
	client    *http.Client
}

// Close implements [webhooks.Poster].
func (p *poster) Close() { p.transport.CloseIdleConnections() }

// Post implements [webhooks.Poster].
func (p *poster) Post(ctx context.Context, r webhooks.Request) (webhooks.Answer, error) {
	endpoint, err := outbound.Endpoint(r.URL)
	if err != nil {
		return webhooks.Answer{}, errAddress
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String(), bytes.NewReader(r.Body))
	if err != nil {
		return webhooks.Answer{}, errAddress
	}
	in.Header.Set("Content-Type", r.ContentType)
	in.Header.Set("User-Agent", "Perennial")
	if r.Authorization != "" {
		in.Header.Set("Authorization", r.Authorization)
	}
	if r.Signature.ID != "" {
		in.Header.Set(webhook.HeaderID, r.Signature.ID)
		in.Header.Set(webhook.HeaderTimestamp, r.Signature.Timestamp)
		in.Header.Set(webhook.HeaderSignature, r.Signature.Signature)
	}
	res, err := p.client.Do(in)
	if err != nil {
		requests.WithLabelValues("failed").Inc()
		return webhooks.Answer{}, withoutURL(err)
	}
	defer res.Body.Close()
	io.CopyN(io.Discard, res.Body, maxAnswer) // the status has decided
	outcome := "refused"
	if res.StatusCode/100 == 2 {
		outcome = "accepted"
	}
	requests.WithLabelValues(outcome).Inc()
	return webhooks.Answer{Status: res.StatusCode, RetryAfter: retryAfter(res.Header.Get("Retry-After"))}, nil
}

// retryAfter reads the seconds of a Retry-After header (RFC 9110, section 10.2.3). A date is not supported, because it
// would need a clock.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Errors of a request. They contain nothing of the URL.
var (
	errAddress = tenancy.Failure("the URL of the webhook is not valid: correct it")
	errAnswer  = tenancy.Failure("the answer of the endpoint is not valid HTTP")
	errTime    = tenancy.Failure("the endpoint did not answer within 10 seconds")
	errClosed  = tenancy.Failure("the endpoint closed the connection without an answer")
	errRefused = tenancy.Failure("nothing listens at the port of the endpoint (connection refused)")
	errDenied  = tenancy.Failure("the host of the webhook is, or resolves to, an address that is not allowed: choose " +
		"another one, or ask an operator to allow it with --allow-target")
)

// withoutURL returns the error of a request without the URL, and without addresses of this network. Only errors of the
// network and of TLS keep their text, because net/http quotes the server in others.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return errTime
		}
		err = of.Err
	}
	var dns *net.DNSError
	var network net.Error
	var unverified *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return outbound.NoAddress(dns)
	case errors.Is(err, outbound.ErrForbiddenAddress):
		return errDenied
	case errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errClosed
	case errors.As(err, &unverified), errors.As(err, &unknown):
		return tenancy.Failure("the certificate of the endpoint is not trusted: %v", err)
	case errors.As(err, &record):
		return tenancy.Failure("the endpoint does not speak TLS: %v", err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &network):
		return tenancy.Failure("the connection to the endpoint failed: %v", redact.Error(err))
	}
	return errAnswer
}
