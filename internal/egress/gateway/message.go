package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// A message is one request on its way to a receiver. It is the transport of its own reverse proxy, and sends the
// request with one generation after another until one is not refused. One goroutine uses it.
type message struct {
	gateway *Gateway
	route   *route // as it was read before the first attempt
	method  string
	rest    string // escaped path behind the address
	started time.Time
	sent    time.Time // when the last attempt began; zero if there was none

	attempts int
	dial     outbound.Dialling // of the attempt that is made
	rounds   int               // in which every generation was tried again
	last     int               // the generation of the last attempt
	status   int
	outcome  outcome
	kept     *kept
	body     io.Reader           // of the sender; nil if there is none
	paced    *paced              // of the sender's body; nil if it may idle, or there is none
	answer   http.ResponseWriter // for the sender; nil for a parked message
	flush    func()              // sends what is written of the answer over HTTP/1.1
	giveUp   func()              // ends the message, if it has a paced body
	tunnel   *tunnel             // nil unless the sender asks for an upgrade
}

func newMessage(g *Gateway, to *route, method, rest string) *message {
	return &message{gateway: g, route: to, method: method, rest: rest, started: time.Now()}
}

// networkOf returns the network for the receiver of a route.
func (m *message) networkOf(to *route) *outbound.Network {
	return m.gateway.network.For(to.address.tenant)
}

// operation returns method and path. A receiver may refuse each operation for a different reason.
func (m *message) operation() string { return m.method + " " + m.rest }

// end logs the message and frees its body. path is the sender's.
func (m *message) end(path string) {
	if m.kept != nil {
		m.kept.close()
	}
	m.gateway.record(m, path)
	if m.giveUp != nil {
		m.giveUp()
	}
	if m.paced != nil {
		m.paced.abandon(m.flush)
	}
}

func (m *message) proxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{Rewrite: m.rewrite, Transport: m, ErrorHandler: m.failed,
		BufferPool: &m.gateway.buffers, ErrorLog: m.gateway.proxyLog}
}

// rewrite turns the sender's request into the receiver's. The receiver sees nothing of the network in front of the
// gateway: the proxy has removed the forwarding headers, and the hop-by-hop headers (RFC 9110, section 7.6.1).
func (m *message) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.RawQuery = p.In.URL.RawQuery // the proxy drops parameters that net/url does not read, such as "a;b"
	m.direct(p.Out)
}

// direct sets the receiver's address in a request.
func (m *message) direct(r *http.Request) {
	endpoint := m.route.endpoint
	base := strings.TrimSuffix(endpoint.EscapedPath(), "/")
	raw := base + m.rest
	if m.rest == "" {
		raw = endpoint.EscapedPath()
	}
	if raw == "" {
		raw = "/"
	}
	r.URL.Scheme, r.URL.Host = endpoint.Scheme, endpoint.Host
	r.URL.Path, r.URL.RawPath = unescape(raw), raw
	r.Host = endpoint.Host
	m.gateway.stripOurs(r.Header)
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "") // none, rather than Go's
	}
}

// stripOurs removes the headers that were meant for the gateway.
func (g *Gateway) stripOurs(h http.Header) {
	h.Del("Prefer")
	theirs := slices.DeleteFunc(h["Authorization"], g.isOurs)
	if h["Authorization"] = theirs; len(theirs) == 0 {
		h.Del("Authorization")
	}
}

// send sends a parked message, which has no sender that waits for the answer.
func (m *message) send(ctx context.Context, p parkedRequest, method string, body io.Reader,
	size int64) (*http.Response, error) {
	if size == 0 {
		body = http.NoBody
	}
	r, err := http.NewRequestWithContext(ctx, method, "/", body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = size
	r.URL = &url.URL{RawQuery: p.Query}
	r.Header = m.gateway.endToEnd(p.Header)
	m.direct(r)
	return m.RoundTrip(r)
}

// ours is the header of the gateway's own answers. It is removed from those of receivers.
const ours = "Perennial-Gateway"

// RoundTrip implements [http.RoundTripper].
func (m *message) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		m.body = r.Body
		ctx := r.Context()
		if m.paced != nil {
			ctx, m.giveUp = context.WithCancel(ctx) // it ends with the message
			m.paced.giveUp = m.giveUp
		}
		r = r.WithContext(ctx)
		r.Body = io.NopCloser(r.Body) // the proxy closes it
	}
	a := m.deliver(r)
	if a.generation != 0 {
		m.last = a.generation
	}
	if m.tunnel != nil {
		m.tunnel.generation.Store(int64(a.generation))
	}
	if a.meaning == outbound.Refused && m.outcome.kind == sentOnce {
		m.outcome = outcome{kind: refused, generation: a.generation, detail: a.detail}
	}
	switch {
	case a.response != nil && m.paced != nil && m.paced.tooLate(): // it answers a message that was cut off
		a.response.Body.Close()
		return nil, errSlow
	case a.response != nil:
		m.status = a.response.StatusCode
		m.answered(r.ProtoMajor == 2)
		a.response.Header.Del(ours)
		m.keepUntyped(a.response)
	case a.err != nil && m.outcome.kind == sentOnce:
		m.outcome = outcome{kind: unanswered, generation: a.generation, detail: outbound.OfError(a.err).Stored()}
	}
	return a.response, a.err
}

// keepUntyped keeps net/http from guessing a type for an answer that has none.
func (m *message) keepUntyped(res *http.Response) {
	if _, typed := res.Header["Content-Type"]; !typed && m.answer != nil {
		m.answer.Header()["Content-Type"] = nil
	}
}

// deliver sends the message with the generations that the route names.
func (m *message) deliver(r *http.Request) attempt {
	if m.route.plain != nil {
		m.attempts, m.sent = 1, time.Now()
		return attempt{}.with(m.route.plain.RoundTrip(r))
	}
	order, recently := m.route.order(m.operation(), m.gateway.now())
	switch {
	case len(order) == 0:
		return attempt{err: errors.New("the tenant has no certificate that can be presented: renew it")}
	case recently:
		return m.once(r, order[0])
	case len(order) == 1:
		return m.single(r, order[0])
	}
	return m.fallBack(r, order)
}

// failed answers a message that got no answer from the receiver, or none that can be forwarded.
func (m *message) failed(w http.ResponseWriter, r *http.Request, err error) {
	if m.outcome.kind == sentOnce {
		m.outcome = outcome{kind: unanswered, detail: outbound.OfError(err).Stored()}
	}
	var text string
	m.status, text = m.answerTo(err)
	if status, why := m.cutOff(); status != 0 {
		m.status, m.outcome = status, outcome{kind: unanswered, detail: why.Stored()}
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		problem(w, status, why.String())
		if status == http.StatusBadRequest && r.Context().Err() != nil {
			m.status = statusSenderGone
		}
		return
	}
	if m.status == statusSenderGone {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	m.drain(w)
	problem(w, m.status, text)
}

// cutOff returns the answer to a message whose sender did not deliver its body. The status is 0 for other messages.
func (m *message) cutOff() (status int, why tenancy.Text) {
	switch {
	case m.paced != nil && m.paced.tooLate():
		return http.StatusRequestTimeout, slowText
	case m.paced != nil && m.paced.isBroken():
		return http.StatusBadRequest, brokenText
	}
	return 0, why
}

// drainFor and drainBytes limit the time and the size for reading a sender's body before the gateway's own answer.
const drainFor, drainBytes = 10 * time.Second, 64 << 20

// drain reads the rest of the sender's body. HTTP/1.1 senders write their whole body before they read an answer, and
// get a broken pipe instead of it if their body is not read.
func (m *message) drain(w http.ResponseWriter) {
	if m.body == nil || http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainFor)) != nil {
		return
	}
	if m.paced != nil {
		m.paced.release()
	}
	if m.kept != nil {
		m.kept.reading.Lock() // an abandoned attempt may still read
		defer m.kept.reading.Unlock()
	}
	io.CopyN(io.Discard, m.body, drainBytes)
	m.flush = nil // the body is not drained again after the answer
}

// statusSenderGone is the status that nginx logs for a sender that has disconnected. The sender does not see it.
const statusSenderGone = 499

// answerTo returns the gateway's own answer to a message that failed.
func (m *message) answerTo(err error) (status int, text string) {
	name, reading := m.route.name(), outbound.OfError(err)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, context.Canceled):
		return statusSenderGone, ""
	case errors.Is(err, outbound.ErrForbiddenAddress):
		return http.StatusForbidden, fmt.Sprintf("the endpoint of %s cannot be used: %v", name,
			outbound.ErrForbiddenAddress)
	case reading.Reason == outbound.NoSignature:
		return http.StatusServiceUnavailable, fmt.Sprintf("the message to %s was not sent, because %v: try again", name,
			standing.ErrNoSignature)
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, err.Error()
	case isTimeout(err):
		return http.StatusGatewayTimeout, fmt.Sprintf("the receiver of %s took too long: %s", name, reading.Detail)
	}
	return http.StatusBadGateway, fmt.Sprintf("the receiver of %s did not answer: %s", name, reading.Detail)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// outcomeKind is the kind of an outcome.
type outcomeKind int

const (
	sentOnce      outcomeKind = iota // the receiver answered the first attempt and accepts the certificate
	unanswered                       // the receiver did not answer
	refused                          // the receiver refused the generation, and there was no other one to try
	refusedTooBig                    // the receiver refused the generation after more of the body was sent than is kept
	refusedAll                       // the receiver refused every generation
	fellBack                         // the receiver refused a generation and accepted another one
)

// An outcome is the result of the delivery of a message.
type outcome struct {
	kind       outcomeKind
	generation int    // of the answer; of fellBack, the one that was refused
	accepted   int    // the generation that was accepted, of fellBack
	detail     string // the stored form of a text
}

// refused reports whether the receiver accepts no certificate.
func (o outcome) refused() bool {
	return o.kind == refused || o.kind == refusedTooBig || o.kind == refusedAll
}

// stored returns the stored form of the text for the message log. It is empty for a message that arrived at once.
func (o outcome) stored() string {
	if o.kind == sentOnce {
		return ""
	}
	return stored(o.text())
}

// stored returns the stored form of a text about a message. A text that is too long is stored in English.
func stored(text tenancy.Text) string {
	english := text.String()
	if len(english) > maxError {
		return shortened(english, maxError)
	}
	if form := text.Stored(); len(form) <= maxStored {
		return form
	}
	return english
}

// String returns the text in English.
func (o outcome) String() string { return o.text().String() }

func (o outcome) text() tenancy.Text {
	detail := tenancy.ReadText(o.detail)
	switch o.kind {
	case sentOnce:
		return tenancy.Text{}
	case refused:
		return tenancy.Say("refused with generation %d: %s", o.generation, detail)
	case refusedTooBig:
		return tenancy.Say("refused with generation %d (%s) after more of the body was taken than is kept", o.generation,
			detail)
	case refusedAll:
		return tenancy.Say("every generation was refused: %s", detail)
	case fellBack:
		return tenancy.Say("fell back: generation %d was refused (%s), generation %d accepted", o.generation, detail,
			o.accepted)
	}
	return detail
}
