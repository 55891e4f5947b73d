package gateway

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// comparisonsPerSecond limits the requests that are repeated with another generation at one receiver. Further answers
	// are forwarded as they are.
	comparisonsPerSecond = 10
	// answersFresh is the time for which the answers to a question count for messages that get the same kind of answer
	// with the same generation.
	answersFresh = 5 * time.Second
	// compareTimeout limits the time for which an answer waits for the answer to compare it with.
	compareTimeout = 5 * time.Second
	// questionTimeout limits the time that a message waits for a question.
	questionTimeout = 10 * time.Second
)

// conclude decides what an answer proves, if necessary by comparison with the answer to another generation. It returns
// the attempts with their conclusions; the one to forward comes last. An attempt that is refused must be repeated with
// another generation.
func (m *message) conclude(r *http.Request, to *route, a attempt) []attempt {
	if a.meaning != outbound.Answered {
		return []attempt{a}
	}
	a, trial := to.proves(a, true)
	if a.conclusion == outbound.Accepts && r.Context().Err() == nil {
		if confirmed := m.confirm(r, to, a, trial); confirmed != nil {
			return confirmed
		}
		a.conclusion = outbound.Doubtful
	}
	if a.conclusion != outbound.Doubtful || r.Context().Err() != nil {
		return []attempt{a}
	}
	others := to.others(a.generation, m.gateway.now())
	switch {
	case len(others) == 0:
		a, _ = to.proves(a, false)
	case m.kept != nil || !isSafe(r.Method):
		return []attempt{m.ask(r, to, a, trial)}
	case r.Header.Get("Upgrade") == "" && to.mayCompare(m.gateway.now()):
		return m.compare(r, to, a, trial, others[0])
	}
	return []attempt{a}
}

// proves sets the conclusion from an answer alone. others states whether it can be compared with the answer to another
// generation.
func (r *route) proves(a attempt, others bool) (attempt, outbound.Trial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	trial := outbound.TrialOf(r.rollover, a.generation)
	if !r.identities[a.generation].transport().Asked() {
		a.unasked = a.reading.Kind.Succeeds()
	} else {
		a.conclusion = r.kinds.OfMessage(a.reading, trial, others)
	}
	return a, trial
}

// compare repeats a safe request with another generation, before the sender gets an answer.
func (m *message) compare(r *http.Request, to *route, a attempt, trial outbound.Trial, other int) []attempt {
	limited, cancel := context.WithCancel(r.Context()) // it ends with the request, or before b is answered
	late := time.AfterFunc(compareTimeout, cancel)
	b, _ := m.tryOne(r.WithContext(limited), to, other)
	late.Stop()
	trialOfB := to.trialOf(other)
	a.conclusion, b.conclusion = to.compared(a, b, trial, trialOfB)
	if a.conclusion == outbound.Refuses && a.reading.Kind.Status >= 500 {
		again, _ := m.tryOne(r, to, a.generation)
		again.discard()
		if again.reading.Kind != a.reading.Kind { // a fault that has passed
			a.conclusion, b.conclusion = outbound.NoConclusion, outbound.NoConclusion
			a.discard()
			return []attempt{a, b}
		}
	}
	switch {
	case a.conclusion == outbound.Refuses:
		a.meaning = outbound.Refused
		a.detail = tenancy.Say("%s instead of %s", tenancy.ReadText(a.detail), tenancy.ReadText(b.detail)).Stored()
		fallthrough
	case b.meaning == outbound.Answered && a.conclusion != outbound.Accepts && trial != outbound.Proven &&
		trialOfB == outbound.Proven && a.reading.Kind != b.reading.Kind:
		a.discard()
		return []attempt{a, b}
	}
	b.discard()
	return []attempt{b, a}
}

// ask asks the receiver the question of its arrangement about an answer that may be a refusal. If the question proves
// that, and the receiver cannot have processed the message, the attempt becomes a refusal. A message that is not safe
// is sent again only then.
func (m *message) ask(r *http.Request, to *route, a attempt, trial outbound.Trial) attempt {
	if trial == outbound.Proven {
		a.conclusion = outbound.NoConclusion
	}
	if to.standing.Arrangement.Egress.Probe.Method == "" {
		return m.askForHead(r, to, a)
	}
	mine, distinguishes := m.question(r, to, a)
	switch {
	case mine.Verdict == rollover.Accepted && a.reading.Kind.Succeeds():
		a.conclusion = outbound.Accepts
	case mine.Verdict == rollover.Accepted:
		a.conclusion = outbound.NoConclusion
	case mine.Verdict == rollover.Refused && distinguishes && m.mayRepeat(a, mine.Kind):
		a.meaning, a.conclusion = outbound.Refused, outbound.Refuses
		a.detail = tenancy.Say("%s, and a question shows that the generation is refused: %s", tenancy.ReadText(a.detail),
			mine.Why).Stored()
	}
	return a
}

// question returns the answer to the question of the arrangement with the generation of an attempt. It is empty if the
// arrangement has no question, or the generation was not asked about. distinguishes reports whether the question can
// tell generations apart.
func (m *message) question(r *http.Request, to *route, a attempt) (mine outbound.Result, distinguishes bool) {
	if to.standing.Arrangement.Egress.Probe.Method == "" {
		return mine, false
	}
	answers, _ := to.questions.ask(r.Context(), m.gateway, to, doubt{a.generation, a.reading.Kind})
	for _, one := range answers.Results {
		if one.Generation == a.generation {
			return one, answers.Distinguishes()
		}
	}
	return mine, false
}

// askForHead asks for the head of the resource that a message was sent to, with this generation and another one, if the
// arrangement has no question. Most receivers refuse before they evaluate the method.
func (m *message) askForHead(r *http.Request, to *route, a attempt) attempt {
	if !to.questions.first(doubt{a.generation, a.reading.Kind}, m.gateway.now()) {
		return a
	}
	f := m.refusesSafely(r, to, a.generation)
	switch {
	case !f.refused || f.hangs:
		return a
	case m.mayRepeat(a, f.kind):
		a.meaning, a.conclusion = outbound.Refused, outbound.Refuses
	default:
		a.conclusion = outbound.Doubtful
	}
	a.detail = tenancy.Say("%s, and %s", tenancy.ReadText(a.detail), tenancy.ReadText(f.detail)).Stored()
	return a
}

// mayRepeat reports whether a message can be sent again after an answer that was found to be a refusal, because the
// receiver cannot have processed it. kind is that of the refused safe request. A redirect may be the normal answer to a
// processed POST (RFC 9110, section 15.4.4), unless the safe request gets the same.
func (m *message) mayRepeat(a attempt, kind outbound.Kind) bool {
	redirected := kind.Location != "" && a.reading.Kind.Location == kind.Location
	unprocessed := a.reading.Kind == kind || redirected || a.reading.Kind.Status/100 == 4
	return unprocessed && m.kept.hold()
}

// first reports whether there was no question about a doubt for a while, and stores the time.
func (q *questions) first(because doubt, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.asked[because]) < answersFresh {
		return false
	}
	q.remember(because, now)
	return true
}

// remember stores the time of a question about a doubt. q.mu is held.
func (q *questions) remember(because doubt, now time.Time) {
	if q.asked == nil || len(q.asked) >= mostDoubts {
		q.asked = map[doubt]time.Time{}
	}
	q.asked[because] = now
}

// A doubt is a kind of answer to a generation that may be a refusal.
type doubt struct {
	generation int
	kind       outbound.Kind
}

// questions are the latest answers of one receiver to the question of its arrangement. Messages with the same doubt
// share them.
type questions struct {
	mu      sync.Mutex // held while the question is asked
	answers outbound.Answers
	asked   map[doubt]time.Time // when the question was last asked because of a doubt
}

// mostDoubts limits the doubts that are stored.
const mostDoubts = 64

// ask returns answers that are recent. asked is false if the arrangement has no question that could prove anything.
func (q *questions) ask(ctx context.Context, g *Gateway, to *route, because doubt) (answers outbound.Answers,
	asked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := g.now()
	switch {
	case now.Sub(q.asked[because]) < answersFresh:
		return q.answers, true
	case ctx.Err() != nil: // it waited too long for another message's question
		return answers, false
	}
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	s := to.standing
	to.mu.Lock()
	s.Rollover = to.rollover
	to.mu.Unlock()
	answers, err := outbound.Question(ctx, g.network, s, to.presentable())
	if err != nil || ctx.Err() != nil {
		answers = outbound.Answers{} // remembered too, so that messages do not wait for it one by one
	}
	q.answers = answers
	q.remember(because, g.now())
	to.mu.Lock()
	defer to.mu.Unlock()
	g.reportNews(to, answers.Observations(now))
	return answers, true
}

// presentable returns the identities of the route, the oldest generation first.
func (r *route) presentable() (all []standing.Identity) {
	for _, id := range r.identities {
		all = append(all, id.Identity)
	}
	slices.SortFunc(all, func(a, b standing.Identity) int { return a.Generation - b.Generation })
	return all
}

// mayAsk reports whether a request that is only a question may present a generation.
func (r *route) mayAsk(generation int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rollover.MayAsk(generation)
}

func (r *route) trialOf(generation int) outbound.Trial {
	r.mu.Lock()
	defer r.mu.Unlock()
	return outbound.TrialOf(r.rollover, generation)
}

func (r *route) compared(a, b attempt, ofA, ofB outbound.Trial) (first, second outbound.Conclusion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds.Compared(a.reading, b.reading, ofA, ofB)
}

// mayCompare reports whether one more request may be repeated now.
func (r *route) mayCompare(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if second := now.Unix(); second != r.comparedIn {
		r.comparedIn, r.comparisons = second, 0
	}
	r.comparisons++
	return r.comparisons <= comparisonsPerSecond
}

// kindsOf returns the kinds of answers that are recorded for accepted generations.
func kindsOf(s standing.Standing) (k outbound.Kinds) {
	for _, e := range s.Evidence {
		for _, text := range e.Kinds {
			if one, err := outbound.ParseKind(text); err == nil {
				k.Add(one)
			}
		}
	}
	return k
}
