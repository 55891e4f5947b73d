package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// closedTwice is the stored form of the detail of a receiver that refuses by closing the connection.
var closedTwice = tenancy.Say("the receiver closed the connection twice").Stored()

// examine finds out the meaning of a closed connection. An idempotent request without a body is sent again, and so is
// one whose body was withheld until "100 Continue", which did not come: the receiver has nothing to process. Any other
// request must not be sent again, because the receiver may have processed it. Instead its head is sent with "Expect:
// 100-continue" and without the body, over a fresh connection. If that connection is closed as well, although the
// receiver can be reached, closing is its way to refuse. "100 Continue" proves nothing, because many servers send it
// before their application sees the request. Then a safe request is compared: if the receiver closes that with this
// generation only, it refuses the generation, and has not processed the message.
func (m *message) examine(r *http.Request, to *route, a *attempt) {
	fresh := to.fresh(m.networkOf(to), &to.identities[a.generation].Identity)
	m.attempts++
	if withheld := m.kept != nil && m.kept.unread(); withheld || m.kept == nil && isIdempotent(r.Method) {
		again := m.repeat(r, to, a.generation, fresh)
		switch {
		case again.meaning != outbound.Suspicious:
		case m.kept == nil || m.kept.unread():
			again.meaning, again.detail = outbound.Refused, closedTwice
		default: // this time it got some of the body
			again.meaning = outbound.Nothing
		}
		*a = again
		return
	}
	var head attempt
	if m.kept != nil && r.ContentLength >= 0 { // without a length, a receiver may take the head for a whole message
		head = ask(r, fresh, to.refusals)
	}
	switch {
	case head.meaning == outbound.Refused:
		a.meaning, a.detail = outbound.Refused, head.detail
		return
	case head.meaning == outbound.Suspicious && m.isReachable(r, to, a.generation):
		a.meaning, a.detail = outbound.Refused, closedTwice
		return
	}
	a.unexpected = head.refusesExpect(isWrite(a.err))
	a.meaning = outbound.Nothing // a network fault: the receiver may have processed the message
	if f := m.refusesSafely(r, to, a.generation); f.refused {
		a.meaning, a.detail, a.unexpected = outbound.Refused, f.detail, false
	}
}

// repeat sends a message that the receiver cannot have processed, or may process twice, over a fresh connection. A body
// is withheld again until the receiver asks for it.
func (m *message) repeat(r *http.Request, to *route, generation int, fresh *http.Transport) attempt {
	q := r.Clone(quiet(r.Context(), &httptrace.ClientTrace{}))
	if m.kept != nil {
		m.kept.sendAs(q)
		q.Header.Set("Expect", "100-continue")
	}
	q, stop := guard(q, to.standing.Arrangement.Egress.Timeout())
	m.sent = time.Now()
	res, err := outbound.Bounded(fresh, q)
	a := attempt{generation: generation}.with(res, stop(err))
	a.judge(to.refusals)
	return a
}

// isReachable reports whether the receiver can be reached with the other generations than one, so that two connections
// that it closed were not a fault of the network. It may close theirs as well: then it accepts none of those that this
// gateway knows.
func (m *message) isReachable(r *http.Request, to *route, generation int) bool {
	for _, other := range to.others(generation, m.gateway.now()) {
		h := m.safely(r, to, other) // not the head of the message: this generation may be accepted
		if h.reading.Reason == outbound.Unreachable || h.reading.Reason == outbound.NameUnresolved {
			return false
		}
	}
	return true
}

// isWrite reports whether a connection broke before the whole request was written.
func isWrite(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

const (
	// hangsAfter is the time without an answer after which a receiver is suspected to hang because of the certificate.
	// hangTimeout limits a safe request that finds out.
	hangsAfter, hangTimeout = 5 * time.Second, 4 * time.Second
)

// A finding is the result of safe requests with two generations for one of them.
type finding struct {
	kind    outbound.Kind // of the answer to the generation
	detail  string        // as that of an attempt
	hangs   bool
	refused bool
}

// refusesSafely may run concurrently with the attempt that it examines. It sends a safe request with another generation
// and then with this one, over fresh connections. It finds out whether the receiver answers it with the other one, and
// refuses it, closes the connection or hangs with this one.
func (m *message) refusesSafely(r *http.Request, to *route, generation int) (f finding) {
	for _, other := range to.others(generation, m.gateway.now()) {
		compared := m.safely(r, to, other)
		if compared.meaning != outbound.Answered {
			continue
		}
		a := m.safely(r, to, generation)
		if a.meaning == outbound.Suspicious { // once is a network fault
			a = m.safely(r, to, generation)
		}
		f.kind, f.detail = a.reading.Kind, tenancy.Say("a safe request shows that the generation is refused: %s, and %s "+
			"with generation %d", tenancy.ReadText(a.detail), tenancy.ReadText(compared.detail), other).Stored()
		f.hangs, f.refused = to.safelyRefused(a, compared)
		return f
	}
	return f
}

func (r *route) safelyRefused(asked, other attempt) (hangs, refused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds.SafelyRefused(asked.reading, other.reading)
}

// others returns the generations that a question may present besides one, those that are accepted first.
func (r *route) others(generation int, now time.Time) (all []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.rollover.Order(now) {
		if g != generation && r.identities[g] != nil && r.rollover.MayAsk(g) {
			all = append(all, g)
		}
	}
	slices.SortStableFunc(all, func(a, b int) int { return r.proof(a) - r.proof(b) })
	return all
}

// proof orders generations: those that are accepted first. r.mu is held.
func (r *route) proof(generation int) int {
	if outbound.TrialOf(r.rollover, generation) == outbound.Proven {
		return 0
	}
	return 1
}

// safely sends a safe request over a fresh connection: the arrangement's probe, or else the head of the message as HEAD
// (RFC 9110, section 9.3.2).
func (m *message) safely(r *http.Request, to *route, generation int) attempt {
	ctx, cancel := context.WithTimeout(r.Context(), min(hangTimeout, to.egress().Timeout()/3))
	defer cancel()
	id, signing := timed(to.identities[generation].Identity)
	a := attempt{generation: generation}
	if egress := to.egress(); egress.Probe.Method != "" {
		a.reading = outbound.Ask(ctx, m.networkOf(to), to.endpoint, egress, id).Reading
		a.meaning, a.detail = a.reading.Meaning, a.reading.Stored()
	} else {
		a = a.with(outbound.Bounded(to.fresh(m.networkOf(to), id), head(ctx, r)))
		a.judge(to.refusals)
		a.discard()
	}
	if a.reading.Reason == outbound.Unreachable && signing() {
		a.reading.Reason = outbound.NoSignature
	}
	return a
}

// head returns the head of a message as a HEAD request.
func head(ctx context.Context, r *http.Request) *http.Request {
	q := r.Clone(quiet(ctx, &httptrace.ClientTrace{}))
	q.Method, q.Body, q.GetBody, q.ContentLength, q.TransferEncoding = http.MethodHead, nil, nil, 0, nil
	for _, name := range []string{"Expect", "Idempotency-Key", "Content-Type", "Content-Length", "Content-Encoding",
		"Trailer", "Upgrade", "Connection"} {
		q.Header.Del(name)
	}
	return q
}

// fresh opens a new connection for every request.
func (r *route) fresh(n *outbound.Network, id *standing.Identity) *http.Transport {
	egress := r.egress()
	t := n.Transport(egress, n.TLS(id, egress, nil))
	t.DisableKeepAlives = true
	return t
}

// isIdempotent reports whether a request may be sent again although the receiver may have processed it (RFC 9110,
// section 9.2.2).
func isIdempotent(method string) bool {
	return isSafe(method) || method == http.MethodPut || method == http.MethodDelete
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// ask sends the head of a message and withholds its body. The receiver answers "100 Continue", which proves nothing, or
// refuses.
func ask(r *http.Request, fresh *http.Transport, refusals outbound.Refusals) attempt {
	limited, stop := context.WithTimeout(r.Context(), outbound.AskTimeout)
	defer stop()
	ctx, withhold := context.WithCancelCause(limited)
	q := r.Clone(quiet(ctx, &httptrace.ClientTrace{}))
	q.Header.Set("Expect", "100-continue")
	q.Body = withheld{func() { withhold(errWithheld) }}
	a := attempt{}.with(outbound.Bounded(fresh, q))
	a.judge(refusals)
	a.discard()
	if errors.Is(context.Cause(ctx), errWithheld) { // the body was asked for
		return attempt{}
	}
	return a
}

var errWithheld = errors.New("the body is withheld")

// withheld is a body that is never sent.
type withheld struct{ cancel func() }

func (b withheld) Read([]byte) (int, error) {
	b.cancel()
	return 0, errWithheld
}

func (withheld) Close() error { return nil }

// probeFirst orders the generations for a body that is too large to be kept: the first one that the receiver does not
// refuse goes first.
func (m *message) probeFirst(r *http.Request, order []int) []int {
	to, network := m.route, m.networkOf(m.route)
	for i, generation := range order {
		id := to.identities[generation]
		if id == nil || i > 0 && !to.mayAsk(generation) {
			continue
		}
		reading := ask(r, to.fresh(network, &id.Identity), to.refusals).reading
		if reading.Meaning == outbound.Nothing {
			reading = outbound.Ask(r.Context(), network, to.endpoint, to.standing.Arrangement.Egress, &id.Identity).Reading
		}
		if reading.Reason == outbound.NoSignature {
			continue
		}
		if meaning := reading.Meaning; meaning != outbound.Refused && meaning != outbound.Suspicious {
			return append([]int{generation}, append(append([]int{}, order[:i]...), order[i+1:]...)...)
		}
	}
	return order
}
