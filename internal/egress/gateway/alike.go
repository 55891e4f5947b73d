package gateway

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// controlsFresh is the time for which a kind of answer is not compared with the one without a certificate again.
const controlsFresh = time.Hour

// A control records whether a receiver gives answers of one kind without a certificate.
type control struct {
	at    time.Time
	alike bool // the receiver gives answers of the kind without a certificate as well
	open  bool // they are the same with every certificate and without one
	head  bool // the answer without a certificate was to a HEAD, which the receiver may refuse for its method
}

// mostControls limits the kinds of answers of one receiver that are remembered.
const mostControls = 64

// control returns the known result for a kind of answer without a certificate. fresh reports whether it still counts.
func (r *route) control(kind outbound.Kind, now time.Time) (c control, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c = r.controls[kind]
	return c, now.Sub(c.at) < controlsFresh
}

// controlled stores the result of the answer without a certificate.
func (r *route) controlled(kind outbound.Kind, c control) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.controls == nil || len(r.controls) >= mostControls {
		r.controls = map[outbound.Kind]control{}
	}
	r.controls[kind] = c
}

// confirm decides whether an answer that counts as an acceptance by its kind proves it. The kind proves nothing if
// everyone gets it. For a request that cannot be repeated, the question of the arrangement shows that, or the head of
// the same resource without a certificate. Such an answer to a generation that is not proved yet is in doubt. The
// result is that of [message.conclude]; it is nil if the answer is in doubt.
func (m *message) confirm(r *http.Request, to *route, a attempt, trial outbound.Trial) []attempt {
	now := m.gateway.now()
	c, fresh := m.known(r, to, a, now)
	switch {
	case fresh && c.open:
		a.conclusion, a.unasked = outbound.NoConclusion, true
		return []attempt{a}
	case trial == outbound.Proven && (fresh || !m.isPlainGet(r)):
		return []attempt{a}
	case m.isPlainGet(r):
		if others := to.others(a.generation, now); (!fresh || c.alike) && len(others) > 0 && to.mayCompare(now) {
			return m.verify(r, to, a, trial, others[0])
		}
	case r.Header.Get("Upgrade") == "":
		switch mine, _ := m.question(r, to, a); {
		case mine.Verdict == rollover.Accepted:
			return []attempt{a}
		case mine.Verdict == rollover.Refused:
			return nil
		case !fresh && to.mayCompare(now):
			c, _ = m.control(r, to, a, now)
		}
	}
	if c.alike && trial != outbound.Proven {
		return nil
	}
	return []attempt{a}
}

// isPlainGet reports whether a request may be repeated and its answers compared.
func (m *message) isPlainGet(r *http.Request) bool {
	return r.Method == http.MethodGet && m.kept == nil && r.Header.Get("Upgrade") == ""
}

// first decides whether the first success of an arrangement proves anything. An answer that everyone gets does not
// define what success looks like.
func (m *message) first(r *http.Request, to *route, a attempt, trial outbound.Trial) attempt {
	if a.conclusion != outbound.Accepts || trial != outbound.First || r.Header.Get("Upgrade") != "" {
		return a
	}
	now := m.gateway.now()
	c, fresh := m.known(r, to, a, now)
	if !fresh && to.mayCompare(now) {
		c, _ = m.control(r, to, a, now)
	}
	if c.alike {
		a.conclusion = outbound.NoConclusion
	}
	return a
}

// verify repeats a safe request without a certificate after an answer that counts as an acceptance. If the receiver
// gives an answer of the same kind, the kind proves nothing. Then the beginnings of the bodies decide, by comparison
// with the answer to another generation. Bodies that cannot be compared leave a doubt. It returns the attempts as
// [message.conclude] does.
func (m *message) verify(r *http.Request, to *route, a attempt, trial outbound.Trial, other int) []attempt {
	now := m.gateway.now()
	c, nobodys := m.control(r, to, a, now)
	if !c.alike {
		return []attempt{a}
	}
	limited, cancel := context.WithCancel(r.Context()) // it ends with the request, or before b is answered
	late := time.AfterFunc(compareTimeout, cancel)
	b, _ := m.tryOne(r.WithContext(limited), to, other)
	late.Stop()
	sameKind := b.reading.Kind == a.reading.Kind
	if b.meaning != outbound.Answered || !sameKind && !b.reading.Kind.Succeeds() {
		b.discard()
		a.conclusion = outbound.NoConclusion
		return []attempt{a}
	}
	ofB := to.trialOf(other)
	mine, theirs := beginning(a.response), beginning(b.response)
	asOther := sameKind && mine != nil && bytes.Equal(mine, theirs)
	asNone := !sameKind || mine != nil && bytes.Equal(mine, nobodys)
	switch {
	case asNone && asOther:
		a.conclusion, a.unasked = outbound.NoConclusion, !a.reading.Kind.IsPage()
		to.controlled(a.reading.Kind, control{at: now, alike: true, open: a.unasked})
	case asOther:
		b.conclusion = outbound.Accepts
	case asNone && (theirs != nil || !sameKind) && (trial != outbound.Proven || ofB == outbound.Proven):
		a.meaning, a.conclusion, b.conclusion = outbound.Refused, outbound.Refuses, outbound.Accepts
		a.detail = tenancy.Say("%s as without a certificate, and another answer with the other generation",
			tenancy.ReadText(a.detail)).Stored()
		a.discard()
		return []attempt{a, b}
	case trial == outbound.Unproven && ofB == outbound.Proven:
		a.conclusion = outbound.Doubtful
		a.discard()
		return []attempt{a, b}
	default:
		a.conclusion = outbound.NoConclusion
	}
	b.discard()
	return []attempt{b, a}
}

// known returns the known result for the kind of an answer. The result of a HEAD does not count for a request that can
// be repeated as it is, unless everyone gets such answers.
func (m *message) known(r *http.Request, to *route, a attempt, now time.Time) (c control, fresh bool) {
	c, fresh = to.control(a.reading.Kind, now)
	return c, fresh && (c.alike || !c.head || !m.isPlainGet(r))
}

// control compares the kind of an answer with that of the answer without a certificate, and remembers the result unless
// there was no such answer. It also returns the beginning of that answer's body.
func (m *message) control(r *http.Request, to *route, a attempt, now time.Time) (control, []byte) {
	none, body := m.without(r, to)
	c := control{at: now, head: !m.isPlainGet(r),
		alike: none.meaning == outbound.Answered && none.reading.Kind == a.reading.Kind}
	if none.meaning != outbound.Nothing {
		to.controlled(a.reading.Kind, c)
	}
	return c, body
}

// without repeats a GET, or the head of another request, over a fresh connection that presents no certificate. It also
// returns the beginning of the body.
func (m *message) without(r *http.Request, to *route) (a attempt, body []byte) {
	ctx, cancel := context.WithTimeout(r.Context(), compareTimeout)
	defer cancel()
	n := m.networkOf(to)
	t := n.Transport(to.egress(), n.TLS(nil, to.egress(), nil))
	t.DisableKeepAlives = true
	q := r.Clone(quiet(ctx, &httptrace.ClientTrace{}))
	if !m.isPlainGet(r) {
		q = head(ctx, r)
	}
	a = a.with(outbound.Bounded(t, q))
	a.judge(to.refusals)
	if a.response != nil {
		body = beginning(a.response)
		a.discard()
	}
	return a, body
}

// beginning returns the beginning of a body; nil if it is empty, in an unknown coding, or of unknown length, because it
// may be a stream then.
func beginning(res *http.Response) []byte {
	if res.ContentLength <= 0 {
		return nil
	}
	return outbound.Peek(res)
}
