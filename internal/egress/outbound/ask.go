package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// AskTimeout limits one question.
	AskTimeout = 15 * time.Second
	// alertWait limits the wait for an alert after a handshake. In TLS 1.3, a client learns of a refusal only after its
	// own handshake is complete.
	alertWait = 700 * time.Millisecond
)

// A Result is the answer of a receiver to one question.
type Result struct {
	Generation int // 0 if none was presented
	Reading
	// Verdict follows from the comparison with the other answers of one [Question], and Why names the comparison.
	Verdict rollover.Verdict
	Why     tenancy.Text
	Status  int // of HTTP; 0 after a bare handshake
	// Handshake is true if only a handshake was made.
	Handshake bool
	// Asked is true if the receiver asked for a client certificate.
	Asked bool
	// AcceptableCAs are the names (RFC 4514) of the CAs that the receiver accepts, if it named them.
	AcceptableCAs []string
	acceptable    [][]byte // the same in DER
	TLSVersion    uint16
	// Late is set if the receiver asked for the certificate only after it had seen the request, so that it must be held
	// at TLS 1.2.
	Late bool
	// ServerDate is the receiver's clock as its answer shows it; zero if it does not.
	ServerDate time.Time
	// Server is the leaf of the receiver; nil if it was not seen.
	Server *x509.Certificate
	Err    error
	Took   time.Duration
}

// Outcome returns the result for display, accepted, refused or unclear, with its reason. A result without a verdict is
// what its answer means alone.
func (r Result) Outcome() (verdict rollover.Verdict, reason tenancy.Text) {
	switch {
	case r.Verdict != rollover.Unknown:
		return r.Verdict, r.Why
	case r.Meaning == Refused || r.Meaning == Suspicious:
		return rollover.Refused, r.Text()
	}
	return rollover.Unclear, r.Text()
}

// Ask asks the receiver at an endpoint whether it accepts an identity; nil asks without a certificate. Every question
// uses a new connection without session resumption, and presents exactly that identity. Only GET, HEAD and OPTIONS are
// sent, and no redirect is followed. Without a probe, only a handshake is made. One answer proves nothing about a
// generation: [Question] compares several.
func Ask(ctx context.Context, n *Network, endpoint *url.URL, egress tenancy.Egress,
	id *standing.Identity) Result {
	r := askOnce(ctx, n, endpoint, egress, id)
	if !r.mayAskLate(egress) {
		return r
	}
	egress.MaxTLS = onlyTLS12
	if late := askOnce(ctx, n, endpoint, egress, id); late.Asked {
		late.Late = true
		return late
	}
	return r
}

func askOnce(ctx context.Context, n *Network, endpoint *url.URL, egress tenancy.Egress, id *standing.Identity) Result {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	started := time.Now()
	r := Result{Handshake: egress.Probe.Method == ""}
	if id != nil {
		r.Generation = id.Generation
	}
	var mu sync.Mutex
	config := n.TLS(id, egress, func(acceptable [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		r.Asked = true
		r.AcceptableCAs, r.acceptable = names(acceptable), acceptable
	})
	if r.Handshake {
		r.handshake(ctx, n, egress.Proxy, endpoint, config)
	} else {
		r.request(ctx, n, endpoint, egress, config)
	}
	mu.Lock()
	defer mu.Unlock()
	r.Took = time.Since(started)
	return r
}

func (r *Result) handshake(ctx context.Context, n *Network, proxy string, endpoint *url.URL, config *tls.Config) {
	conn, err := n.Dial(ctx, proxy, address(endpoint), endpoint.Hostname(), config)
	if err == nil {
		defer conn.Close()
		state := conn.ConnectionState()
		r.TLSVersion, r.Server = state.Version, state.PeerCertificates[0]
		deadline := time.Now().Add(alertWait)
		if by, ok := ctx.Deadline(); ok && by.Before(deadline) {
			deadline = by
		}
		conn.SetReadDeadline(deadline)
		_, err = conn.Read(make([]byte, 1))
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
			r.Meaning, r.Detail = Answered, handshakeSucceeded
			return
		}
	}
	r.Err = err
	r.Reading = OfError(err)
}

func (r *Result) request(ctx context.Context, n *Network, endpoint *url.URL, egress tenancy.Egress,
	config *tls.Config) {
	transport := n.Transport(egress, config)
	transport.DisableKeepAlives = true
	defer transport.CloseIdleConnections()
	to := *endpoint
	path, err := url.ParseRequestURI(egress.Probe.Path)
	if err != nil {
		r.Err, r.Detail = err, err.Error()
		return
	}
	to.Path, to.RawPath, to.RawQuery = path.Path, path.RawPath, path.RawQuery
	q, err := http.NewRequestWithContext(ctx, egress.Probe.Method, to.String(), nil)
	if err != nil {
		r.Err, r.Detail = err, err.Error()
		return
	}
	q.Header.Set("User-Agent", "Perennial-Probe")
	res, err := Bounded(transport, q)
	if err != nil {
		r.Err = err
		r.Reading = OfError(err)
		return
	}
	defer res.Body.Close()
	r.Status = res.StatusCode
	r.ServerDate, _ = http.ParseTime(res.Header.Get("Date"))
	if res.TLS != nil {
		r.TLSVersion, r.Server = res.TLS.Version, res.TLS.PeerCertificates[0]
	}
	r.Reading = OfResponse(res, NewRefusals(egress.Refusals()))
	if slices.Contains(egress.Probe.Statuses, res.StatusCode) { // the person who configured it knows better than a rule
		r.Meaning, r.Reason = Answered, NoReason
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
}

// Meet returns the certificates that a receiver presents, its own first, without verifying them. It makes a handshake
// without a client certificate and sends nothing else. The outcome of the handshake does not matter.
func Meet(ctx context.Context, n *Network, proxy string, endpoint *url.URL) (shown []*x509.Certificate, err error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			shown = s.PeerCertificates
			return nil
		}}
	conn, err := n.Dial(ctx, proxy, address(endpoint), endpoint.Hostname(), config)
	if err == nil {
		conn.Close()
	}
	if len(shown) > 0 {
		return shown, nil
	}
	return nil, err
}

// address returns the host and port of an endpoint.
func address(endpoint *url.URL) string {
	port := endpoint.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(endpoint.Hostname(), port)
}

// names returns the readable form of the distinguished names in a CertificateRequest.
func names(raw [][]byte) (all []string) {
	for _, der := range raw {
		all = append(all, certfile.Name(der))
	}
	return all
}
