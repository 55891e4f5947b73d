package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// answered returns an attempt with generation 2 that got an answer of doubtful meaning.
func answered(status int, location string) attempt {
	k := outbound.Kind{Status: status, Type: "text/plain", Location: location}
	return attempt{generation: 2, meaning: outbound.Answered, detail: fmt.Sprint(status), conclusion: outbound.Doubtful,
		reading: outbound.Reading{Meaning: outbound.Answered, Kind: k}}
}

// The answer to a message becomes a refusal only if a question proves one, and the receiver cannot have processed the
// message.
func TestADoubtfulAnswerBecomesARefusalOnlyIfAQuestionProvesIt(t *testing.T) {
	result := func(generation int, v rollover.Verdict, of attempt) outbound.Result {
		return outbound.Result{Generation: generation, Verdict: v, Why: tenancy.Say("why"), Reading: of.reading}
	}
	lost := &kept{lost: true}
	login, other, ok := answered(302, "/login"), answered(302, "/orders/7"), answered(200, "")
	notFound, fault := answered(404, ""), answered(500, "")
	accepted := result(1, rollover.Accepted, ok)
	for _, c := range []struct {
		name    string
		answer  attempt
		trial   outbound.Trial
		kept    *kept
		results []outbound.Result
		meaning outbound.Meaning
		want    outbound.Conclusion
	}{
		{"it is accepted, and the message succeeded", ok, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Accepted, ok)}, outbound.Answered, outbound.Accepts},
		{"it is accepted, and the message failed", notFound, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Accepted, ok)}, outbound.Answered, outbound.NoConclusion},
		{"it is refused with the same answer", login, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Refused, outbound.Refuses},
		{"it is refused with the same fault", fault, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, fault)}, outbound.Refused, outbound.Refuses},
		{"it is refused, and the message got 404", notFound, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Refused, outbound.Refuses},
		{"it is refused, and the message may have been processed", fault, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Answered, outbound.Doubtful},
		{"it is refused, and the message was redirected elsewhere", other, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Answered, outbound.Doubtful},
		{"it is refused, and nothing was accepted", login, outbound.Unproven, nil,
			[]outbound.Result{result(1, rollover.Refused, login), result(2, rollover.Refused, login)}, outbound.Answered,
			outbound.Doubtful},
		{"it is refused, and the body cannot be sent again", login, outbound.Unproven, lost,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Answered, outbound.Doubtful},
		{"it is unclear", login, outbound.Unproven, nil,
			[]outbound.Result{accepted, result(2, rollover.Unclear, login)}, outbound.Answered, outbound.Doubtful},
		{"it was not asked with", login, outbound.Unproven, nil, []outbound.Result{accepted}, outbound.Answered,
			outbound.Doubtful},
		{"it was not asked with, and is proved", login, outbound.Proven, nil, []outbound.Result{accepted},
			outbound.Answered, outbound.NoConclusion},
		{"it is proved, and refused now", login, outbound.Proven, nil,
			[]outbound.Result{accepted, result(2, rollover.Refused, login)}, outbound.Refused, outbound.Refuses},
	} {
		g := &Gateway{now: func() time.Time { return noon }}
		to := &route{questions: &questions{answers: outbound.Answers{Results: c.results},
			asked: map[doubt]time.Time{{2, c.answer.reading.Kind}: noon.Add(1 - answersFresh)}}}
		to.standing.Arrangement.Egress.Probe.Method = http.MethodGet
		m := &message{gateway: g, route: to, kept: c.kept}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		got := m.ask(r, to, c.answer, c.trial)
		if got.meaning != c.meaning || got.conclusion != c.want || got.generation != 2 {
			t.Errorf("%s: meaning %d, conclusion %d of generation %d, want %d, %d", c.name, got.meaning, got.conclusion,
				got.generation, c.meaning, c.want)
		}
		const found = "a question shows that the generation is refused: why"
		if isRefusal := strings.Contains(said(got.detail), found); isRefusal !=
			(c.want == outbound.Refuses) {
			t.Errorf("%s: %s", c.name, got.detail)
		}
		to.standing.Arrangement.Egress.Probe.Method = ""
		if got := m.ask(r, to, c.answer, outbound.Unproven); got.conclusion != outbound.Doubtful ||
			got.meaning != outbound.Answered {
			t.Errorf("%s, without a question: %+v", c.name, got)
		}
	}
}

func TestWhatAnAttemptTeachesIsReported(t *testing.T) {
	refusal := attempt{generation: 1, meaning: outbound.Refused, detail: "401"}
	alert := attempt{generation: 1, meaning: outbound.Refused, detail: "alert",
		reading: outbound.Reading{Alert: outbound.UnknownCA}}
	accepts := answered(200, "")
	accepts.conclusion = outbound.Accepts
	unasked := answered(200, "")
	unasked.unasked, unasked.conclusion = true, outbound.NoConclusion
	nothing := answered(404, "")
	nothing.conclusion = outbound.NoConclusion
	for _, c := range []struct {
		name     string
		tries    []attempt
		want     []string
		accepted bool
	}{
		{"the second generation is accepted", []attempt{refusal, accepts},
			[]string{"1 refused 401 ", "2 accepted 200 200 text/plain"}, true},
		{"it is accepted at once", []attempt{accepts}, []string{"2 accepted 200 200 text/plain"}, true},
		{"it answers without asking for a certificate", []attempt{unasked}, []string{"2 accepted 200 "}, true},
		{"an application refuses both", []attempt{refusal, {generation: 2, meaning: outbound.Refused, detail: "401"}}, nil,
			false},
		{"TLS refuses both", []attempt{alert, {generation: 2, meaning: outbound.Refused, detail: "alert",
			reading: outbound.Reading{Alert: outbound.BadCertificate}}},
			[]string{"1 refused alert ", "2 refused alert "}, false},
		{"an application refuses one, and the other one gets a failure", []attempt{refusal, nothing},
			[]string{"1 refused 401 "}, false},
		{"the answer is doubtful", []attempt{answered(302, "/login")},
			[]string{"2 unclear 302; if that is a refusal, the rule is status=302 header=Location contains=/login "}, false},
		{"a success is doubtful", []attempt{answered(204, "")}, []string{"2 unclear 204 "}, false},
	} {
		g := &Gateway{now: func() time.Time { return noon }}
		g.reports.wake = make(chan struct{}, 1)
		generation := func(n int) rollover.Generation {
			return rollover.Generation{Number: n, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
		}
		r := &route{accepted: map[int]time.Time{}, standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a"}},
			rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 1,
				Generations: []rollover.Generation{generation(1), generation(2)}}}
		g.learn(r, c.tries)
		var got []string
		for _, o := range g.reports.take()["a"] {
			got = append(got, fmt.Sprintf("%d %s %s %s", o.Generation, o.Verdict, tenancy.ReadText(o.Detail), o.Kind))
			if o.By != rollover.Traffic || !o.At.Equal(noon) {
				t.Errorf("%s: %+v", c.name, o)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if _, known := r.accepted[2]; known != c.accepted {
			t.Errorf("%s: accepted a moment ago: %v", c.name, known)
		}
	}
}

func TestAMethodIsSafeOrIdempotentAsHTTPSays(t *testing.T) {
	for method, want := range map[string][2]bool{"GET": {true, true}, "HEAD": {true, true}, "OPTIONS": {true, true},
		"PUT": {false, true}, "DELETE": {false, true}, "POST": {false, false}, "PATCH": {false, false}} {
		if got := [2]bool{isSafe(method), isIdempotent(method)}; got != want {
			t.Errorf("%s: safe and idempotent %v, want %v", method, got, want)
		}
	}
}

// An expectation that the gateway added must not change the answer.
func TestAnAnswerMayRefuseTheExpectation(t *testing.T) {
	for _, c := range []struct {
		status       int
		unread, want bool
	}{{417, true, true}, {417, false, true}, {400, true, true}, {400, false, false}, {501, true, true},
		{501, false, false}, {500, true, false}, {200, true, false}} {
		a := answered(c.status, "")
		if got := a.refusesExpect(c.unread); got != c.want {
			t.Errorf("%d, unread %v: %v", c.status, c.unread, got)
		}
		a.meaning = outbound.Refused
		if a.refusesExpect(c.unread) {
			t.Errorf("%d, a refusal of the certificate, counts as one of the expectation", c.status)
		}
	}
}

func TestARefusedSenderGetsTheReason(t *testing.T) {
	for _, c := range []struct {
		err       error
		status    int
		challenge string
		says      string
	}{
		{errNoSender, 401, `Bearer realm="perennial gateway"`, "send a sender's token"},
		{errToken, 401, `Bearer realm="perennial gateway"`, "does not exist"},
		{notTheirs(address{"acme", "bank"}), 404, "", "there is no arrangement acme/bank"},
		{tenancy.Errorf(tenancy.ErrRefused, "not a sender's"), 403, "", "not a sender's"},
		{errors.New("secret of the database"), 503, "", "try again"},
	} {
		w := httptest.NewRecorder()
		refuse(w, c.err)
		if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge ||
			!strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "secret of") ||
			w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get(ours) != "1" {
			t.Errorf("%v: %d %v %s", c.err, w.Code, w.Header(), w.Body)
		}
	}
}

func TestOnlyTenRequestsPerSecondAreCompared(t *testing.T) {
	r := &route{}
	for second := range 3 {
		n := 0
		for range 25 {
			if r.mayCompare(noon.Add(time.Duration(second) * time.Second)) {
				n++
			}
		}
		if n != comparisonsPerSecond {
			t.Errorf("%d comparisons in a second", n)
		}
	}
}

func TestQuestionsPresentTheAcceptedGenerationsFirst(t *testing.T) {
	generation := func(n int, v rollover.Verdict) rollover.Generation {
		return rollover.Generation{Number: n, Verdict: v, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	}
	r := &route{identities: map[int]*identity{1: {}, 2: {}, 3: {}}, rollover: rollover.Rollover{Presents: 1,
		Strategy: tenancy.Adaptive, Generations: []rollover.Generation{generation(1, rollover.Unknown),
			generation(2, rollover.Refused), generation(3, rollover.Accepted), generation(4, rollover.Accepted)}}}
	if got := r.others(1, noon); !slices.Equal(got, []int{3, 2}) {
		t.Errorf("besides generation 1: %v", got)
	}
	if got := r.others(3, noon); !slices.Equal(got, []int{1, 2}) && !slices.Equal(got, []int{2, 1}) {
		t.Errorf("besides generation 3: %v", got)
	}
	r.rollover.NewestOnly = true
	for _, g := range r.others(4, noon) {
		if !r.mayAsk(g) {
			t.Errorf("generation %d is presented to a receiver that would lock out the others", g)
		}
	}
}

// A failing control returns one error from each call.
type failing struct {
	Control
	err     error
	updated []tenancy.Parked
	seen    int
	parked  []byte // the latest request

	recording sync.Mutex // guards entries and records
	entries   []tenancy.Message
	records   int // calls

	unclaimed bool
	request   string // that is claimed
	lost      error  // of what is stored
}

func (f *failing) Record(_ context.Context, all []tenancy.Message) error {
	f.recording.Lock()
	defer f.recording.Unlock()
	f.entries = append(f.entries, all...)
	f.records++
	return f.err
}

func (f *failing) Park(_ context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error) {
	f.parked = request
	return p, f.err
}

func (f *failing) Standing(context.Context, string, string) (standing.Standing, []standing.Identity, error) {
	return standing.Standing{}, nil, f.err
}

func (f *failing) Parked(_ context.Context, _, id string) (tenancy.Parked, error) {
	return tenancy.Parked{ID: id, State: tenancy.ParkedWaiting, Attempts: 1, NextAt: noon, Status: 503, LastError: "503"},
		f.err
}

func (f *failing) ParkedAddress(_ context.Context, p tenancy.Parked) (string, string, time.Duration, error) {
	return "acme", "bank", time.Second, f.err
}

func (f *failing) ClaimParked(context.Context, tenancy.Parked, time.Time) (bool, []byte, error) {
	return !f.unclaimed, []byte(cmp.Or(f.request, "{")), f.err
}

func (f *failing) UpdateParked(_ context.Context, p tenancy.Parked) error {
	f.updated = append(f.updated, p)
	return f.lost
}

func (f *failing) Observe(context.Context, string, []standing.Observation) error {
	f.seen++
	return f.err
}

func TestAParkedMessageThatCannotBeReadWaits(t *testing.T) {
	control := &failing{}
	g := &Gateway{control: control, now: func() time.Time { return noon }, log: slog.New(slog.DiscardHandler)}
	p := tenancy.Parked{ID: "1", State: tenancy.ParkedWaiting}
	if tries(g, t.Context(), p) {
		t.Error("it ended")
	}
	if len(control.updated) != 1 || control.updated[0].State != tenancy.ParkedWaiting ||
		control.updated[0].Attempts != 1 ||
		!strings.Contains(control.updated[0].LastError, "cannot be read") ||
		!control.updated[0].NextAt.Equal(noon.Add(time.Second)) {
		t.Errorf("stored %+v", control.updated)
	}
	control.err, control.updated = errors.New("down"), nil
	if tries(g, t.Context(), p) || len(control.updated) != 0 {
		t.Error("it ended although its address cannot be looked up")
	}
	control.err = tenancy.Errorf(tenancy.ErrNotFound, "gone")
	if !tries(g, t.Context(), p) || len(control.updated) != 1 ||
		control.updated[0].State != tenancy.ParkedFailed || !control.updated[0].EndedAt.Equal(noon) ||
		!strings.Contains(control.updated[0].LastError, "deleted") {
		t.Errorf("of a deleted arrangement: %+v", control.updated)
	}
}

// An observation is lost only if its arrangement is gone.
func TestObservationsWaitUntilTheControlTakesThem(t *testing.T) {
	for _, c := range []struct {
		err  error
		done bool
		left int
	}{
		{nil, true, 0}, {errors.New("down"), false, 1}, {tenancy.Errorf(tenancy.ErrNotFound, "gone"), true, 0},
		{tenancy.Errorf(tenancy.ErrRefused, "no certificate"), true, 0},
	} {
		control := &failing{err: c.err}
		g := &Gateway{control: control, log: slog.New(slog.DiscardHandler)}
		g.reports.wake = make(chan struct{}, 1)
		g.reports.add("a", []standing.Observation{{Detail: "401"}})
		if done := g.reportAll(t.Context()); done != c.done || control.seen != 1 {
			t.Errorf("%v: done %v after %d calls", c.err, done, control.seen)
		}
		if left := g.reports.take()["a"]; len(left) != c.left {
			t.Errorf("%v: %d observations are left", c.err, len(left))
		}
	}
}

// What this gateway saw itself counts until the control has stored something newer.
func TestARouteThatIsReadAgainKeepsWhatTheGatewaySaw(t *testing.T) {
	at := func(minutes int, v rollover.Verdict, by rollover.Source) rollover.Rollover {
		return rollover.Rollover{Generations: []rollover.Generation{{Number: 1, Verdict: v, By: by,
			VerdictAt: noon.Add(time.Duration(minutes) * time.Minute)}}}
	}
	for _, c := range []struct {
		name          string
		stored, local rollover.Rollover
		want          rollover.Verdict
	}{
		{"the gateway's is newer", at(1, rollover.Refused, rollover.Probe), at(2, rollover.Accepted, rollover.Traffic),
			rollover.Accepted},
		{"the stored one is newer", at(2, rollover.Refused, rollover.Probe), at(1, rollover.Accepted, rollover.Traffic),
			rollover.Refused},
		{"both are of one instant", at(1, rollover.Refused, rollover.Probe), at(1, rollover.Accepted, rollover.Traffic),
			rollover.Refused},
		{"the gateway's is not of a message", at(1, rollover.Refused, rollover.Probe),
			at(2, rollover.Accepted, rollover.Person), rollover.Refused},
		{"the gateway does not have the generation", at(1, rollover.Refused, rollover.Probe), rollover.Rollover{},
			rollover.Refused},
	} {
		before := c.stored.Generations[0]
		if got := withObserved(c.stored, c.local).Generations[0]; got.Verdict != c.want {
			t.Errorf("%s: %q, want %q", c.name, got.Verdict, c.want)
		}
		if c.stored.Generations[0] != before {
			t.Errorf("%s: the stored value was changed", c.name)
		}
	}
	unasked := func(minutes int) rollover.Rollover {
		return rollover.Rollover{UnaskedAt: noon.Add(time.Duration(minutes) * time.Minute)}
	}
	if got := withObserved(unasked(1), unasked(2)).UnaskedAt; !got.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("not asked for a certificate at %v", got)
	}
	if got := withObserved(unasked(2), unasked(1)).UnaskedAt; !got.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("not asked for a certificate at %v", got)
	}
}

func TestARouteIsHeldAtTLS12OnlyIfItsReceiverAsksLate(t *testing.T) {
	r := &route{}
	if r.egress().MaxTLS != "" {
		t.Error("held without a reason")
	}
	if r.late.Store(true); r.egress().MaxTLS != "1.2" {
		t.Errorf("held at %q", r.egress().MaxTLS)
	}
	if r.standing.Arrangement.Egress.MaxTLS = "1.3"; r.egress().MaxTLS != "1.3" {
		t.Errorf("the setting became %q", r.egress().MaxTLS)
	}
	if !r.suspectLate(noon) || r.suspectLate(noon.Add(lateAgain-1)) || !r.suspectLate(noon.Add(lateAgain)) {
		t.Error("suspected at the wrong times")
	}
}

// A body that a receiver does not read ends its request, and one that a sender does not send does not.
func TestAStallIsReportedInPlaceOfWhatItCaused(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
	q, stop := guard(r, time.Millisecond)
	if _, err := io.ReadAll(q.Body); err != nil {
		t.Fatal(err)
	}
	<-q.Context().Done()
	var stalled stalledError
	if err := stop(errors.New("canceled")); !errors.As(err, &stalled) || !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	if err := stop(nil); err != nil {
		t.Errorf("an answer that came nevertheless: %v", err)
	}
	q, stop = guard(r, time.Hour)
	if err := stop(io.EOF); err != io.EOF || q.Context().Err() != nil {
		t.Errorf("without a stall: %v", err)
	}
	empty := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	if q, stop := guard(empty, 0); q != empty || stop(io.EOF) != io.EOF {
		t.Error("a message without a body is guarded")
	}
}
