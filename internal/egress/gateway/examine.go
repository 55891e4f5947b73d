package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// examine finds out the meaning of a closed connection. An idempotent request is sent again. Any other one must not be, since
// the receiver may have processed it. Instead its head is sent with "Expect: 100-continue" and without the body, or
// only a handshake is made, over a fresh connection each time. If that connection is closed as well, closing is the
// receiver's way to refuse.
func (m *message) examine(r *http.Request, to *route, a *attempt) {
	id := to.identities[a.generation]
	fresh := to.fresh(m.gateway.network, id)
	m.attempts++
	if m.kept == nil && isIdempotent(r.Method) {
		again := attempt{generation: a.generation}.with(fresh.RoundTrip(r.Clone(r.Context())))
		again.judge(to.refusals)
		if again.meaning == outbound.Suspicious {
			again.meaning, again.detail = outbound.Refused, "the receiver closed the connection twice"
		}
		*a = again
		return
	}
	meaning, detail := outbound.Nothing, ""
	if m.kept != nil {
		meaning, detail = ask(r, fresh, to.refusals)
	}
	if meaning == outbound.Nothing {
		egress := to.standing.Arrangement.Egress
		egress.Probe = tenancy.Probe{}
		result := outbound.Ask(r.Context(), m.gateway.network, to.endpoint, egress, &id.Identity)
		meaning, detail = result.Meaning, result.Detail
	}
	switch meaning {
	case outbound.Refused:
		a.meaning, a.detail = outbound.Refused, detail
	case outbound.Suspicious:
		a.meaning, a.detail = outbound.Refused, "the receiver closed the connection twice"
	default:
		a.meaning = outbound.Nothing // a network fault: the receiver may have processed the message
	}
}

// fresh opens a new connection for every request.
func (r *route) fresh(n *outbound.Network, id *identity) *http.Transport {
	t := n.Transport(&id.Identity, r.standing.Arrangement.Egress)
	t.DisableKeepAlives = true
	return t
}

// isIdempotent reports whether a request may be sent again although the receiver may have processed it (RFC 9110, section
// 9.2.2).
func isIdempotent(method string) bool {
	return isSafe(method) || method == http.MethodPut || method == http.MethodDelete
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// ask sends the head of a message and withholds its body. The receiver answers "100 Continue", or refuses.
func ask(r *http.Request, fresh *http.Transport, refusals outbound.Refusals) (outbound.Meaning, string) {
	ctx, cancel := context.WithTimeout(r.Context(), outbound.AskTimeout)
	defer cancel()
	var continues atomic.Bool
	q := r.Clone(quiet(ctx, &httptrace.ClientTrace{Got100Continue: func() {
		continues.Store(true)
		cancel()
	}}))
	q.Header.Set("Expect", "100-continue")
	q.Body = withheld{cancel}
	a := attempt{}.with(fresh.RoundTrip(q))
	a.judge(refusals)
	a.discard()
	if continues.Load() {
		return outbound.Answered, "100 Continue"
	}
	if a.err != nil && errors.Is(a.err, errWithheld) {
		return outbound.Nothing, "the receiver ignores Expect: 100-continue"
	}
	return a.meaning, a.detail
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
	to, network := m.route, m.gateway.network
	for i, generation := range order {
		id := to.identities[generation]
		if id == nil {
			continue
		}
		meaning, _ := ask(r, to.fresh(network, id), to.refusals)
		if meaning == outbound.Nothing {
			meaning = outbound.Ask(r.Context(), network, to.endpoint, to.standing.Arrangement.Egress, &id.Identity).Meaning
		}
		if meaning != outbound.Refused && meaning != outbound.Suspicious {
			return append([]int{generation}, append(append([]int{}, order[:i]...), order[i+1:]...)...)
		}
	}
	return order
}
