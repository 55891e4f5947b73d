package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A receiver that does not answer with one generation is given up for the other one, unless it may be processing the
// message.
func TestAReceiverThatHangsWithAGenerationRefusesIt(t *testing.T) {
	const hangs = 0
	for _, c := range []struct {
		name, method string
		safe         int // the status of a safe request with generation 1
		meaning      outbound.Meaning
		detail       string
	}{
		{"it hangs for safe requests too", "POST", hangs, outbound.Refused, "a safe request shows that the generation is"},
		{"it refuses safe requests", "PUT", 401, outbound.Refused, "401 Unauthorized, and 200 OK with generation 2"},
		{"it refuses safe requests, and the message may be processed", "POST", 401, outbound.Answered, "200 OK"},
		{"it accepts safe requests", "PUT", 200, outbound.Answered, "200 OK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answers := make(chan struct{}, 1) // after a safe request that does not decide
			receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
				switch {
				case generation == 2:
				case r.Method == c.method && c.meaning == outbound.Answered:
					<-answers
				case r.Method == c.method || c.safe == hangs:
					<-r.Context().Done()
					panic(http.ErrAbortHandler) // returning would answer 200
				default:
					w.WriteHeader(c.safe)
					answers <- struct{}{}
				}
			})
			m, to := towards(t, receiver, 1, 2)
			to.standing.Arrangement.Egress.TimeoutSeconds = 9
			for generation := range to.identities {
				to.reconnect(m.gateway.network, generation)
			}
			a, again := m.tryOne(toward(t, receiver.Server, c.method, nil), to, 1)
			if refused := c.meaning == outbound.Refused; a.meaning != c.meaning || !strings.Contains(said(a.detail), c.detail) ||
				!again || (a.err == errHangs) != refused || (a.err == nil) == refused {
				t.Errorf("meaning %d (%s), %v", a.meaning, a.detail, a.err)
			}
		})
	}
}

// A receiver is suspected of asking for the certificate late only after a refusal in TLS 1.3 without a question.
func TestAReceiverIsSuspectedOfAskingLateIfItNeverAsked(t *testing.T) {
	receiver := script(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(401) })
	for name, change := range map[string]func(to *route, a *attempt){
		"an answer":             func(_ *route, a *attempt) { a.meaning = outbound.Answered },
		"no answer":             func(_ *route, a *attempt) { a.response = nil },
		"without TLS":           func(_ *route, a *attempt) { a.response.TLS = nil },
		"in TLS 1.2":            func(_ *route, a *attempt) { a.response.TLS.Version = 0x0303 },
		"held by the operator":  func(to *route, _ *attempt) { to.standing.Arrangement.Egress.MaxTLS = "1.3" },
		"suspected a while ago": func(to *route, _ *attempt) { to.notLateUntil = noon.Add(1) },
		"it asked":              func(*route, *attempt) {},
	} {
		m, to := towards(t, receiver, 1)
		r := toward(t, receiver.Server, "GET", nil)
		a := m.present(r, to, 1)
		if a.response == nil {
			t.Fatal(a.err)
		}
		a.response.Body.Close()
		seen := receiver.all()
		if change(to, &a); m.asksLate(r, to, a) || receiver.all() != seen || to.late.Load() {
			t.Errorf("%s: the receiver is suspected: %q", name, receiver.all())
		}
		if isSpent := to.notLateUntil.Equal(noon.Add(lateAgain)); isSpent {
			t.Errorf("%s: the suspicion is spent", name)
		}
	}
}

// What confirms the recorded state is reported every hour, and what changes it at once.
func TestEvidenceThatConfirmsIsReportedEveryHour(t *testing.T) {
	generation := func(n int) rollover.Generation {
		return rollover.Generation{Number: n, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	}
	see := func(n int, v rollover.Verdict, unasked bool, after time.Duration) standing.Observation {
		return standing.Observation{Evidence: rollover.Evidence{Generation: n, Verdict: v, By: rollover.Traffic,
			Unasked: unasked, At: noon.Add(after)}}
	}
	type step struct {
		name string
		seen standing.Observation
		kind string
		want bool
	}
	for name, c := range map[string]struct {
		start func(*rollover.Rollover)
		steps []step
	}{
		"a receiver that asks for no certificate": {func(*rollover.Rollover) {}, []step{
			{"the first message", see(1, rollover.Accepted, true, 0), "", true},
			{"an hour later", see(1, rollover.Accepted, true, time.Hour), "", false},
			{"more than an hour later", see(1, rollover.Accepted, true, time.Hour+1), "", true},
			{"then it asks", see(1, rollover.Accepted, false, 2*time.Hour), "", true}}},
		"the old generation is still needed": {func(r *rollover.Rollover) {
			r.Generations[1].Verdict, r.Generations[1].By = rollover.Refused, rollover.Traffic
		}, []step{
			{"it is accepted", see(1, rollover.Accepted, false, 0), "", true},
			{"a moment later", see(1, rollover.Accepted, false, time.Minute), "", false},
			{"more than an hour later", see(1, rollover.Accepted, false, time.Hour+1), "", true}}},
		"a kind that is new": {func(*rollover.Rollover) {}, []step{
			{"the first message", see(1, rollover.Accepted, false, 0), "", true},
			{"another kind", see(1, rollover.Accepted, false, time.Minute), "201", true},
			{"a known kind", see(1, rollover.Accepted, false, 2*time.Minute), "", false}}},
		"the first message since the cut-over": {func(r *rollover.Rollover) {
			g := &r.Generations[0]
			g.Verdict, g.By, g.VerdictAt, g.PresentedAt = rollover.Accepted, rollover.Traffic, noon.Add(-time.Minute), noon
			g.Latest = rollover.Accepted
		}, []step{
			{"it confirms a verdict from before", see(1, rollover.Accepted, false, 0), "", true},
			{"the second one", see(1, rollover.Accepted, false, time.Minute), "", false}}},
		"messages that contradict each other": {func(r *rollover.Rollover) {
			g := &r.Generations[0]
			g.Verdict, g.By, g.VerdictAt, g.Latest = rollover.Unclear, rollover.Traffic, noon, rollover.Accepted
			g.TurnedAt = noon
		}, []step{{"the latest counts here alone", see(1, rollover.Refused, false, time.Second), "", false}}},
	} {
		g := quietly(&failing{}, io.Discard)
		g.reports.wake = make(chan struct{}, 1)
		r := &route{standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a"}}, refused: refusedSorts{},
			rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 1,
				Generations: []rollover.Generation{generation(1), generation(2)}}}
		c.start(&r.rollover)
		for _, s := range c.steps {
			s.seen.Kind = s.kind
			g.reportNews(r, []standing.Observation{s.seen})
			if got := len(g.reports.take()["a"]) == 1; got != s.want {
				t.Errorf("%s, %s: reported %v", name, s.name, got)
			}
		}
		if last := r.rollover.Generations[0]; strings.HasPrefix(name, "messages that") && last.Latest != rollover.Refused {
			t.Errorf("%s: the latest is %q", name, last.Latest)
		}
	}
}
