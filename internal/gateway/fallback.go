package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/lifecycle"
	"github.com/perennial-pki/perennial/internal/outbound"
	"github.com/perennial-pki/perennial/internal/probe"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// smallBody is sent without asking first while its generation was accepted a moment ago: up to this size the answer to a
	// refused message is hardly ever lost, and if it is, the question is asked afterwards.
	smallBody = 64 << 10
	// sure is how long an acceptance seen by this gateway counts as "a moment ago".
	sure = 10 * time.Second
	// A refusal of every generation is remembered from firstPause on, doubling up to longestPause: a receiver that refuses for
	// other reasons is not asked again and again.
	firstPause, longestPause = time.Second, 30 * time.Second
)

// sender is the transport of the reverse proxy: it sends a message with one generation after the other until one is not
// refused.
type sender struct{ *Gateway }

// An attempt is how one generation fared.
type attempt struct {
	generation int
	response   *http.Response
	err        error
	meaning    outbound.Meaning
	detail     string
	alert      bool // the refusal was of TLS: it can have no other reason than the certificate
}

// RoundTrip implements [http.RoundTripper].
func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	m := r.Context().Value(messageKey{}).(*message)
	if m.route.plain != nil {
		m.attempts = 1
		return s.answered(m, attempt{}.with(m.route.plain.RoundTrip(r)))
	}
	order, open := m.route.order(s.Now())
	switch {
	case len(order) == 0:
		return nil, errors.New("the tenant has no certificate that can be presented: renew it")
	case !open:
		return s.answered(m, s.once(m, r, order[0]))
	}
	return s.answered(m, s.fallBack(m, r, order))
}

func (a attempt) with(res *http.Response, err error) attempt {
	a.response, a.err = res, err
	return a
}

// answered notes how a message ended and hands the answer to the proxy.
func (s sender) answered(m *message, a attempt) (*http.Response, error) {
	if a.generation != 0 {
		m.last = a.generation
	}
	if a.response != nil {
		m.status = a.response.StatusCode
	}
	if a.meaning == outbound.Refused && m.outcome == "" {
		m.outcome = fmt.Sprintf("refused with generation %d: %s", a.generation, a.detail)
	}
	return a.response, a.err
}

// once sends a message with the only generation there is: the body streams and nothing is kept.
func (s sender) once(m *message, r *http.Request, generation int) attempt {
	m.attempts++
	a := attempt{generation: generation}
	id := m.route.identities[generation]
	if id == nil {
		a.err = fmt.Errorf("the key of generation %d is not within reach", generation)
		return a
	}
	a = a.with(id.transport.RoundTrip(r))
	a.judge(m.route.refusals)
	if a.meaning == outbound.Accepted {
		s.learn(m.route, []attempt{a})
	}
	return a
}

func (a *attempt) judge(refusals []int) {
	if a.err != nil {
		a.meaning, a.detail = outbound.OfError(a.err)
		a.alert = a.meaning == outbound.Refused
		return
	}
	a.meaning, a.detail = outbound.OfResponse(a.response, refusals)
}

func (a *attempt) discard() {
	if a.response != nil {
		io.Copy(io.Discard, io.LimitReader(a.response.Body, 32<<10))
		a.response.Body.Close()
	}
}

// fallBack sends a message while a roll-over is open: with the next generation where one is refused.
func (s sender) fallBack(m *message, r *http.Request, order []int) attempt {
	hasBody := r.Body != nil && r.Body != http.NoBody
	if hasBody {
		m.kept = &kept{source: r.Body, limit: m.route.standing.Arrangement.Egress.Keep(), dir: s.TempDir}
		if r.ContentLength > m.kept.limit {
			order = s.probeFirst(r.Context(), m, r, order)
		}
	}
	var tries []attempt
	tried := map[int]bool{}
	for i := 0; i < len(order); i++ {
		a, again := s.tryOne(m, r, order[i])
		tried[order[i]] = true
		tries = append(tries, a)
		if a.meaning != outbound.Refused {
			if m.kept != nil {
				m.kept.release()
			}
			s.learn(m.route, tries)
			if len(tries) > 1 && a.meaning == outbound.Accepted {
				first := tries[0]
				m.outcome = fmt.Sprintf("fell back: generation %d was refused (%s), generation %d accepted", first.generation, first.detail, a.generation)
			}
			return a
		}
		if !again || r.Context().Err() != nil {
			m.outcome = fmt.Sprintf("refused with generation %d (%s) after more of the body was taken than is kept", a.generation, a.detail)
			return a
		}
		if i == len(order)-1 {
			order = append(order, s.afterAll(r.Context(), m, order, tried, len(tries))...)
		}
		if i < len(order)-1 {
			a.discard()
		}
	}
	last := tries[len(tries)-1]
	s.learnRefusals(m.route, tries)
	m.outcome = "every generation was refused: " + describe(tries)
	return last
}

// afterAll is what is left to try when every generation was refused: those that this gateway has not heard of yet, and else
// the first one once more, for a receiver that went back between two tries.
func (s sender) afterAll(ctx context.Context, m *message, order []int, tried map[int]bool, tries int) []int {
	if tries > len(tried) || len(order) < 2 {
		return nil
	}
	fresh, err := s.routes.read(ctx, s.Gateway, m.route.address)
	if err != nil {
		return order[:1]
	}
	m.route = fresh
	var more []int
	now, _ := fresh.order(s.Now())
	for _, g := range now {
		if !tried[g] {
			more = append(more, g)
		}
	}
	if len(more) == 0 && fresh.identities[order[0]] != nil {
		more = order[:1]
	}
	return more
}

func describe(tries []attempt) string {
	parts := make([]string, len(tries))
	for i, a := range tries {
		parts[i] = fmt.Sprintf("%s with generation %d", a.detail, a.generation)
	}
	return strings.Join(parts, ", ")
}

// tryOne sends the message with one generation; again is false where its body cannot be sent another time.
func (s sender) tryOne(m *message, r *http.Request, generation int) (a attempt, again bool) {
	m.attempts++
	id := m.route.identities[generation]
	a.generation = generation
	if id == nil {
		a.meaning, a.detail = outbound.Refused, "its key is not within reach"
		a.err = fmt.Errorf("generation %d cannot be presented any more", generation)
		return a, true
	}
	q, ok := s.copyFor(m, r, generation)
	if !ok {
		a.err = fmt.Errorf("the body cannot be sent again: it is larger than the %d bytes that are kept", m.route.standing.Arrangement.Egress.Keep())
		return a, false
	}
	a = a.with(id.transport.RoundTrip(q))
	a.judge(m.route.refusals)
	if a.meaning == outbound.Suspicious && r.Context().Err() == nil {
		s.examine(m, r, &a)
	}
	if a.meaning == outbound.Refused && m.kept != nil {
		m.kept.mu.Lock()
		defer m.kept.mu.Unlock()
		return a, !m.kept.lost
	}
	return a, true
}

// copyFor is the message for one more try. While it is in doubt whether the generation is accepted, the receiver is asked
// before it gets the body (RFC 9110, section 10.1.1): a refusal is easily lost while a body is being written.
func (s sender) copyFor(m *message, r *http.Request, generation int) (q *http.Request, ok bool) {
	q = r.Clone(r.Context())
	if m.kept == nil {
		return q, true
	}
	body, ok := m.kept.try()
	if !ok {
		return nil, false
	}
	q.Body = body
	if r.ContentLength < 0 || r.ContentLength > smallBody || !m.route.sureOf(generation, s.Now()) {
		q.Header.Set("Expect", "100-continue")
	}
	return q, true
}

func (r *route) sureOf(generation int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.accepted[generation]
	return ok && now.Sub(at) < sure
}

// examine finds out what a closed connection meant. A safe request is sent again; any other must not be, for the receiver may
// have processed it: its head is sent with "Expect: 100-continue" and without the body, or the handshake is made, over a
// fresh connection each. Where that is closed as well, closing is how the receiver refuses.
func (s sender) examine(m *message, r *http.Request, a *attempt) {
	id := m.route.identities[a.generation]
	fresh := s.Network.Transport(&id.Identity, m.route.standing.Arrangement.Egress)
	fresh.DisableKeepAlives = true
	m.attempts++
	if m.kept == nil && isSafe(r.Method) {
		again := attempt{generation: a.generation}.with(fresh.RoundTrip(r.Clone(r.Context())))
		again.judge(m.route.refusals)
		if again.meaning == outbound.Suspicious {
			again.meaning, again.detail = outbound.Refused, "the receiver closed the connection twice"
		}
		*a = again
		return
	}
	meaning, detail := outbound.Nothing, ""
	if m.kept != nil {
		meaning, detail = s.ask(r, fresh, m.route.refusals)
	}
	if meaning == outbound.Nothing {
		egress := m.route.standing.Arrangement.Egress
		egress.Probe = tenancy.Probe{}
		result := probe.Ask(r.Context(), s.Network, m.route.endpoint, egress, &id.Identity)
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

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// ask sends the head of a message and withholds its body: the receiver says "100 Continue", or refuses.
func (s sender) ask(r *http.Request, fresh *http.Transport, refusals []int) (outbound.Meaning, string) {
	ctx, cancel := context.WithTimeout(r.Context(), probe.Timeout)
	defer cancel()
	var continues atomic.Bool
	q := r.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() {
		continues.Store(true)
		cancel()
	}}))
	q.Header.Set("Expect", "100-continue")
	q.Body = withheld{cancel}
	a := attempt{}.with(fresh.RoundTrip(q))
	a.judge(refusals)
	a.discard()
	if continues.Load() {
		return outbound.Accepted, "100 Continue"
	}
	if a.err != nil && errors.Is(a.err, errWithheld) {
		return outbound.Nothing, "the receiver ignores Expect: 100-continue"
	}
	return a.meaning, a.detail
}

var errWithheld = errors.New("the body is withheld")

// withheld is a body that nobody gets.
type withheld struct{ cancel func() }

func (b withheld) Read([]byte) (int, error) {
	b.cancel()
	return 0, errWithheld
}

func (withheld) Close() error { return nil }

// probeFirst orders the generations anew for a body that is too large to be kept: the first one that the receiver does not
// refuse goes first.
func (s sender) probeFirst(ctx context.Context, m *message, r *http.Request, order []int) []int {
	for i, generation := range order {
		id := m.route.identities[generation]
		if id == nil {
			continue
		}
		fresh := s.Network.Transport(&id.Identity, m.route.standing.Arrangement.Egress)
		fresh.DisableKeepAlives = true
		meaning, _ := s.ask(r.WithContext(ctx), fresh, m.route.refusals)
		if meaning == outbound.Nothing {
			meaning = probe.Ask(ctx, s.Network, m.route.endpoint, m.route.standing.Arrangement.Egress, &id.Identity).Meaning
		}
		if meaning != outbound.Refused && meaning != outbound.Suspicious {
			return append([]int{generation}, append(append([]int{}, order[:i]...), order[i+1:]...)...)
		}
	}
	return order
}

// learn takes in that the last of the tries was accepted, and what that says about the ones before it.
func (s sender) learn(r *route, tries []attempt) {
	now := s.Now()
	last := tries[len(tries)-1]
	r.mu.Lock()
	defer r.mu.Unlock()
	var seen []lifecycle.Observation
	for _, a := range tries {
		verdict := rollover.Accepted
		switch {
		case a.meaning == outbound.Refused && (a.alert || last.meaning == outbound.Accepted):
			verdict = rollover.Refused
		case a.meaning != outbound.Accepted:
			continue
		}
		seen = append(seen, lifecycle.Observation{Evidence: rollover.Evidence{Generation: a.generation, Verdict: verdict, By: rollover.Traffic, At: now}, Detail: a.detail})
	}
	if last.meaning == outbound.Accepted {
		r.accepted[last.generation] = now
		r.pause, r.until = 0, time.Time{}
	}
	s.tell(r, seen)
}

// learnRefusals takes in that every generation was refused: evidence only where TLS itself refused, for an application may
// have any reason. It is remembered for a while.
func (s sender) learnRefusals(r *route, tries []attempt) {
	s.learn(r, tries)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = min(max(2*r.pause, firstPause), longestPause)
	r.until = s.Now().Add(r.pause)
}

// tell reports what is news; r.mu is held. This gateway itself acts on it from the next message on.
func (s sender) tell(r *route, seen []lifecycle.Observation) {
	var news []lifecycle.Observation
	for _, o := range seen {
		before, known := r.rollover.Generation(o.Generation)
		needed := r.rollover.NeededOldAt
		r.rollover = r.rollover.Observe(o.Evidence)
		after, _ := r.rollover.Generation(o.Generation)
		switch {
		case !known:
		case after.Verdict != before.Verdict, // it changed its mind
			before.VerdictAt.Before(before.PresentedAt),       // the first word since the cut-over
			o.At.Sub(before.VerdictAt) > confirmEvery,         // still so
			r.rollover.NeededOldAt.Sub(needed) > confirmEvery: // the old one is still needed
			news = append(news, o)
		default: // as known: keep the older instant, so that it is confirmed after a while
			r.rollover = withVerdictAt(r.rollover, o.Generation, before.VerdictAt, needed)
		}
	}
	if len(news) == 0 {
		return
	}
	r.rollover, _ = r.rollover.At(s.Now())
	s.reports.add(r.standing.Arrangement.ID, news)
}

// confirmEvery is how often evidence that agrees with what is known is reported all the same.
const confirmEvery = time.Hour

func withVerdictAt(r rollover.Rollover, generation int, verdictAt, neededOldAt time.Time) rollover.Rollover {
	generations := append([]rollover.Generation(nil), r.Generations...)
	for i := range generations {
		if generations[i].Number == generation {
			generations[i].VerdictAt = verdictAt
		}
	}
	r.Generations, r.NeededOldAt = generations, neededOldAt
	return r
}
