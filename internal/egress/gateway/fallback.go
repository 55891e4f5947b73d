package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// smallBody is the size up to which a body is sent without a prior question, if its generation was accepted a moment
	// ago. The answer to a refused message of this size is hardly ever lost. If it is, the question is asked afterwards.
	smallBody = 64 << 10
	// recentAcceptance limits the age of an acceptance that this gateway saw, for it to count as "a moment ago".
	recentAcceptance = 10 * time.Second
	// continuePause limits how long "Expect: 100-continue" is not sent to a receiver that ignored it.
	continuePause = 10 * time.Minute
	// reconfiguring limits how long a receiver counts as being reconfigured after a verdict was reversed.
	reconfiguring = time.Minute
)

// roundPauses are the pauses between rounds with a receiver that is being reconfigured. A server with several processes
// applies a new configuration to one after the other, and for a moment refuses both generations.
var roundPauses = []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond}

// An attempt is the result of sending a message with one generation.
type attempt struct {
	generation int
	response   *http.Response
	err        error
	reading    outbound.Reading
	meaning    outbound.Meaning // of the reading, until an examination or a comparison shows more
	detail     string
	conclusion outbound.Conclusion
	unexpected bool // the receiver refuses "Expect: 100-continue", and has not processed the message
	unasked    bool // answered although the receiver never asked for a certificate
	reused     bool // the connection had been used before
}

func (a attempt) with(res *http.Response, err error) attempt {
	a.response, a.err = res, err
	return a
}

// single sends a message with the only generation that is cached. The body streams, and only its beginning is kept,
// unless the receiver speaks HTTP/2. That is enough to send most messages again if there is a generation that this
// gateway was not notified of.
func (m *message) single(r *http.Request, generation int) attempt {
	q := r
	limit := int64(smallBody)
	if id := m.route.identities[generation]; id != nil && id.transport().SpeaksHTTP2() {
		limit = math.MaxInt64
	}
	if m.keep(r, limit); m.kept != nil {
		q = r.WithContext(r.Context())
		m.kept.sendAs(q)
	}
	defer m.kept.release()
	a := m.once(q, generation)
	var unknown []int
	to := m.route
	if a.meaning == outbound.Refused || a.meaning == outbound.Suspicious {
		m.kept.hold()
		to = m.gateway.routes.refresh(r.Context(), m.gateway, m.route)
		order, _ := to.order("", m.gateway.now())
		unknown = slices.DeleteFunc(order, func(g int) bool { return g == generation })
	}
	if len(unknown) == 0 {
		return a
	}
	if a.meaning == outbound.Suspicious && to.identities[generation] != nil {
		m.examine(r, to, &a)
	}
	switch {
	case a.meaning != outbound.Refused || r.Context().Err() != nil:
		return a
	case !m.kept.hold():
		m.outcome = outcome{kind: refusedTooBig, generation: a.generation, detail: a.detail}
		return a
	}
	a.discard()
	return m.tryEach(r, to, unknown, []attempt{a})
}

// keep keeps the body of a message, up to a limit and the arrangement's.
func (m *message) keep(r *http.Request, limit int64) {
	if r.Body != nil && r.Body != http.NoBody {
		m.kept = keepBody(r.Body, r.ContentLength, min(limit, m.route.standing.Arrangement.Egress.Keep()), m.gateway.tempDir)
	}
}

// once sends a message with one generation and returns its answer, whatever it is.
func (m *message) once(r *http.Request, generation int) attempt {
	m.attempts++
	a := attempt{generation: generation}
	id := m.route.identities[generation]
	if id == nil {
		a.err = fmt.Errorf("the key of generation %d is not available", generation)
		return a
	}
	a = m.present(r, m.route, generation)
	if m.asksLate(r, m.route, a) && m.sendAgain(r) {
		a.discard()
		a = m.present(r, m.route, generation)
	}
	switch {
	case a.meaning == outbound.Answered:
		var trial outbound.Trial
		a, trial = m.route.proves(a, false)
		a = m.first(r, m.route, a, trial)
		m.gateway.learn(m.route, []attempt{a})
	case a.meaning == outbound.Refused && r.ContentLength != 0:
		// The part of a refused body that was sent may count against the connection forever. With HAProxy 2.6, later messages
		// on the same HTTP/2 connection stalled: our side waited for flow control, and its sessions waited for data.
		m.route.reconnect(m.networkOf(m.route), generation)
	}
	return a
}

// present sends a request with one generation, and aborts if the receiver stops reading its body.
func (m *message) present(r *http.Request, to *route, generation int) attempt {
	r, stop := guard(r, to.standing.Arrangement.Egress.Timeout())
	m.sent = time.Now()
	res, err := to.identities[generation].transport().RoundTrip(r)
	a := attempt{generation: generation}.with(res, stop(err))
	a.judge(to.refusals)
	if a.err != nil && isTimeout(a.err) { // a connection that went silent is not used again
		to.reconnect(m.networkOf(to), generation)
	}
	return a
}

// sendAgain prepares a request for another attempt. It returns false if its body cannot be sent again.
func (m *message) sendAgain(q *http.Request) bool {
	if m.kept != nil && !m.kept.sendAs(q) {
		return false
	}
	m.attempts++
	return true
}

func (a *attempt) judge(refusals outbound.Refusals) {
	var r outbound.Reading
	if a.err != nil {
		r = outbound.OfError(a.err)
	} else {
		r = outbound.OfResponse(a.response, refusals)
	}
	a.reading, a.meaning, a.detail = r, r.Meaning, r.Stored()
}

func (a *attempt) discard() {
	if a.response != nil {
		if n := a.response.ContentLength; n >= 0 && n <= 32<<10 { // otherwise it may be a stream without end
			io.CopyN(io.Discard, a.response.Body, n)
		}
		a.response.Body.Close()
	}
}

// fallBack sends a message while a roll-over is open. If a generation is refused, it uses the next one.
func (m *message) fallBack(r *http.Request, order []int) attempt {
	if m.keep(r, math.MaxInt64); m.kept != nil && r.ContentLength > m.kept.limit {
		order = m.probeFirst(r, order)
	}
	return m.tryEach(r, m.route, order, nil)
}

// tryEach sends a message with one generation after the other. tries are the attempts that were refused before.
func (m *message) tryEach(r *http.Request, to *route, order []int, tries []attempt) attempt {
	defer m.kept.release()
	var unsigned *attempt // the first one whose key does not sign
	for i := 0; i < len(order); i++ {
		var a attempt
		var again bool
		if i == 0 && tries == nil {
			a, again, order = m.tryFirst(r, to, order)
		} else {
			a, again = m.tryOne(r, to, order[i])
		}
		compared := m.conclude(r, to, a)
		tries = append(tries, compared...)
		a = compared[len(compared)-1]
		if a.isUnsigned() && unsigned == nil {
			unsigned = &a
			order = append(order[:i+1:i+1], to.skip(order[i+1:])...)
		}
		switch {
		case a.isUnsigned() && i < len(order)-1:
			continue
		case unsigned != nil && a.meaning == outbound.Refused: // the one that was not tried may be accepted
			a.discard()
			a = *unsigned
		}
		if a.meaning != outbound.Refused {
			m.kept.release()
			m.gateway.learn(to, tries)
			if first, fell := firstRefused(tries); fell && a.meaning == outbound.Answered {
				m.outcome = outcome{kind: fellBack, generation: first.generation, detail: first.detail, accepted: a.generation}
			}
			return a
		}
		// Its other connections date from a time when the receiver may have accepted the generation.
		to.reconnect(m.networkOf(to), a.generation)
		if !again || r.Context().Err() != nil {
			m.outcome = outcome{kind: refusedTooBig, generation: a.generation, detail: a.detail}
			return a
		}
		if i == len(order)-1 {
			var more []int
			to, more = m.afterAll(r.Context(), to, tries)
			order = append(order, more...)
		}
		if i < len(order)-1 {
			a.discard()
		}
	}
	last := tries[len(tries)-1]
	m.gateway.learnRefusals(to, m.operation(), tries)
	m.outcome = outcome{kind: refusedAll, generation: last.generation, detail: describe(tries)}
	return last
}

// afterAll returns the generations that are worth another attempt after every one was refused, with the route that is
// read again. Those are: the generations that this gateway was not notified of yet; those that were refused on an older
// connection, which a server with several processes may still serve by its old configuration; and the first and the
// last one, in case the receiver changed between two attempts. The last one that was tried comes first: behind a load
// balancer that alternates, each generation may have reached the node that does not accept it. A receiver that is being
// reconfigured gets a few more rounds.
func (m *message) afterAll(ctx context.Context, to *route, tries []attempt) (*route, []int) {
	if len(roundPauses) <= m.rounds || m.rounds > 0 && !to.isReconfiguring(m.gateway.now()) {
		return to, nil
	}
	select {
	case <-ctx.Done():
		return to, nil
	case <-time.After(roundPauses[m.rounds]):
	}
	m.rounds++
	tried, position := map[int]attempt{}, map[int]int{}
	for i, a := range tries {
		tried[a.generation], position[a.generation] = a, i
	}
	to = m.gateway.routes.refresh(ctx, m.gateway, to)
	var unknown, again []int
	order, _ := to.order("", m.gateway.now())
	for _, g := range order {
		switch a, ok := tried[g]; {
		case !ok:
			unknown = append(unknown, g)
		case g == tries[0].generation, g == tries[len(tries)-1].generation, a.reused, m.rounds > 1:
			again = append(again, g)
		}
	}
	slices.SortFunc(again, func(a, b int) int { return position[b] - position[a] })
	return to, append(unknown, again...)
}

// isReconfiguring reports whether a receiver that refused every generation may be applying a new configuration: a
// verdict was reversed lately, or it accepted a generation a moment ago. While nginx reloads, processes of both
// configurations take connections, and each generation may reach the one that refuses it, several times in a row.
func (r *route) isReconfiguring(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.accepted {
		if now.Sub(at) <= recentAcceptance {
			return true
		}
	}
	return now.Sub(r.changedAt) < reconfiguring
}

// firstRefused returns the first attempt that was refused, if there is any.
func firstRefused(tries []attempt) (a attempt, any bool) {
	for _, a := range tries {
		if a.meaning == outbound.Refused {
			return a, true
		}
	}
	return a, false
}

// describe returns the stored form of a text about all attempts.
func describe(tries []attempt) string {
	var all tenancy.Text
	for i, a := range tries {
		one := tenancy.Say("%s with generation %d", tenancy.ReadText(a.detail), a.generation)
		if i == 0 {
			all = one
			continue
		}
		all = tenancy.Say("%s, %s", all, one)
	}
	return all.Stored()
}

// noKey is the stored form of the detail of a generation that cannot be presented.
var noKey = tenancy.Say("its key is not available").Stored()

// tryOne sends the message with one generation. again is false if the body cannot be sent again.
func (m *message) tryOne(r *http.Request, to *route, generation int) (a attempt, again bool) {
	m.attempts++
	id := to.identities[generation]
	a.generation = generation
	if id == nil {
		a.meaning, a.detail = outbound.Refused, noKey
		a.err = fmt.Errorf("generation %d can no longer be presented", generation)
		return a, true
	}
	q, ok := m.copyFor(r, to, generation)
	if !ok {
		a.err = errNotKept
		return a, false
	}
	var continued, reused atomic.Bool
	q = q.WithContext(m.dial.In(quiet(q.Context(), &httptrace.ClientTrace{
		GotConn:        func(c httptrace.GotConnInfo) { reused.Store(c.Reused) },
		Got100Continue: func() { continued.Store(true) },
	})))
	a = m.watched(r, q, to, generation)
	a.reused = reused.Load()
	ours := q.Header.Get("Expect") != "" && r.Header.Get("Expect") == ""
	if ours && !continued.Load() && a.meaning == outbound.Answered {
		to.ignoresContinue(m.gateway.now())
		a.unexpected = a.refusesExpect(m.kept.unread())
	}
	if a.meaning == outbound.Suspicious && r.Context().Err() == nil {
		m.examine(r, to, &a)
	}
	if ours && a.unexpected && m.sendAgain(q) { // what we added must not change the answer
		a.discard()
		to.reconnect(m.networkOf(to), generation) // what it makes of the connection is not known
		to.ignoresContinue(m.gateway.now())
		q.Header.Del("Expect")
		if a = m.watched(r, q, to, generation); a.meaning == outbound.Suspicious {
			m.examine(r, to, &a)
		}
	}
	if m.asksLate(r, to, a) && m.sendAgain(q) {
		a.discard()
		q.Header.Del("Expect")
		a = m.watched(r, q, to, generation)
	}
	return a, a.meaning != outbound.Refused || m.kept.hold()
}

// errHangs is the cause of an attempt that was given up because the receiver hangs with its generation.
var errHangs = errors.New("the receiver does not answer with this generation")

// watched sends q, which is r with one generation. If no answer comes for a while, and the receiver is found to hang
// because of the generation, the attempt is a refusal.
func (m *message) watched(r, q *http.Request, to *route, generation int) attempt {
	ctx, giveUp := context.WithCancelCause(q.Context()) // it ends with the request
	suspecting, stop := context.WithCancel(r.Context())
	defer stop()
	wait := min(hangsAfter, to.standing.Arrangement.Egress.Timeout()/3)
	var found atomic.Pointer[string]
	suspicion := time.AfterFunc(wait, func() {
		f := m.refusesSafely(r.WithContext(suspecting), to, generation)
		// Another node of the receiver may refuse what this one is still processing.
		if f.refused && (f.hangs || isIdempotent(r.Method)) {
			found.Store(&f.detail)
			giveUp(errHangs)
		}
	})
	a := m.present(q.WithContext(ctx), to, generation)
	suspicion.Stop()
	if detail := found.Load(); detail != nil && a.err != nil && errors.Is(context.Cause(ctx), errHangs) {
		a.err, a.meaning, a.detail = errHangs, outbound.Refused, *detail
	}
	return a
}

// refusesExpect reports whether an answer may be the refusal of an expectation (RFC 9110, section 10.1.1). unread
// reports whether no part of the body was sent, so that the receiver cannot have processed the message.
func (a *attempt) refusesExpect(unread bool) bool {
	status := a.reading.Kind.Status
	return a.meaning == outbound.Answered && (status == http.StatusExpectationFailed ||
		unread && (status == http.StatusBadRequest || status == http.StatusNotImplemented))
}

// quiet adds a trace to a request, and hides "100 Continue" from the sender, who did not ask for it: the proxy's own
// trace forwards every interim response.
func quiet(ctx context.Context, trace *httptrace.ClientTrace) context.Context {
	if proxys := httptrace.ContextClientTrace(ctx); proxys != nil && proxys.Got1xxResponse != nil {
		trace.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
			if code == http.StatusContinue {
				return nil
			}
			return proxys.Got1xxResponse(code, header)
		}
	}
	return httptrace.WithClientTrace(untraced{ctx}, trace)
}

// untraced is a context without its trace. Otherwise both traces would be called.
type untraced struct{ context.Context }

func (u untraced) Value(key any) any {
	v := u.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// copyFor returns the request for one more attempt. Unless the generation was accepted a moment ago, it makes the
// receiver confirm before it gets the body (RFC 9110, section 10.1.1), because a refusal is easily lost while a body is
// being written.
func (m *message) copyFor(r *http.Request, to *route, generation int) (q *http.Request, ok bool) {
	q = r.Clone(r.Context())
	if m.kept == nil {
		return q, true
	}
	if !m.kept.sendAs(q) {
		return nil, false
	}
	// A question would need another connection than a small body.
	openOnly := m.dial == outbound.OpenOnly && r.ContentLength >= 0 && r.ContentLength <= smallBody
	if !outbound.IsGRPC(r.Header) && !openOnly && to.inDoubt(generation, r.ContentLength, m.gateway.now()) {
		q.Header.Set("Expect", "100-continue")
	}
	return q, true
}

// inDoubt reports whether to ask the receiver before a body is sent.
func (r *route) inDoubt(generation int, size int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.noContinueUntil) {
		return false
	}
	at, ok := r.accepted[generation]
	return size < 0 || size > smallBody || !ok || now.Sub(at) > recentAcceptance
}

// ignoresContinue records that the receiver reads a body without sending "100 Continue". Asking it would cost every
// message the time-out. nginx behaves like that over HTTP/2, and still shows its refusals.
func (r *route) ignoresContinue(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noContinueUntil = now.Add(continuePause)
}
