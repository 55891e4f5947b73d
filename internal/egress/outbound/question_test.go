package outbound

import (
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// The answers of a receiver to one question.
var (
	ok        = answered(200, "application/json")
	otherOK   = answered(200, "text/csv")
	loginPage = answered(200, "text/html")
	notFound  = answered(404, "")
	limited   = answered(429, "")
	fault     = answered(503, "")
	login     = Result{Status: 302, Reading: Reading{Meaning: Answered, Kind: Kind{Status: 302, Location: "/login"},
		Detail: "302 Found to /login"}}
	denied = Result{Status: 401, Reading: Reading{Meaning: Refused, Reason: RefusingAnswer, Kind: Kind{Status: 401},
		Detail: "401 Unauthorized"}}
	unknownCA = Result{Reading: Reading{Meaning: Refused, Reason: TLSAlert, Alert: UnknownCA,
		Detail: "TLS alert: unknown CA"}}
	required = Result{Reading: Reading{Meaning: Refused, Reason: TLSAlert, Alert: CertificateRequired,
		Detail: "TLS alert: certificate required"}}
	handshakeFailure = Result{Reading: Reading{Meaning: Refused, Reason: TLSAlert, Alert: HandshakeFailure,
		Detail: "TLS alert: handshake failure"}}
	handshook = Result{Handshake: true, Reading: Reading{Meaning: Answered, Detail: "the TLS handshake succeeded"}}
	closed    = Result{Reading: Reading{Meaning: Suspicious, Reason: ConnectionClosed,
		Detail: "the connection was closed"}}
	down = Result{Reading: Reading{Reason: Unreachable, Detail: "no answer"}, Err: errors.New("no answer")}
)

func answered(status int, kind string) Result {
	k := Kind{Status: status, Type: kind}
	return Result{Status: status, Reading: Reading{Meaning: Answered, Kind: k, Detail: k.describe()}}
}

func TestAVerdictFollowsFromTheComparisonAlone(t *testing.T) {
	const a, r, u = rollover.Accepted, rollover.Refused, rollover.Unclear
	for _, c := range []struct {
		name            string
		control         Result
		first, second   Result // generation 1, which is known to be accepted, and generation 2
		wantOld, wantIn rollover.Verdict
		expected        []int
	}{
		{"both are accepted", denied, ok, ok, a, a, nil},
		{"the new one is denied", denied, ok, denied, a, r, nil},
		{"the old one was removed", denied, denied, ok, r, a, nil},
		{"everyone gets 200", ok, ok, ok, u, u, nil},
		{"everyone gets 404", notFound, notFound, notFound, u, u, nil},
		{"everyone is sent to a login", login, login, login, u, u, nil},
		{"everyone is denied", denied, denied, denied, u, u, nil},
		{"the new one is sent to a login, as anyone without a certificate", login, ok, login, a, r, nil},
		{"the new one gets the login page of anyone", loginPage, ok, loginPage, a, r, nil},
		{"the old one gets the login page of anyone", loginPage, loginPage, ok, r, a, nil},
		{"the new one gets 404, and the connection needs a certificate", required, ok, notFound, a, r, nil},
		{"both get 404, and the connection needs a certificate", required, notFound, notFound, u, a, nil},
		{"two successes of different kinds", required, ok, otherOK, a, u, nil},
		{"TLS refuses the new one", required, ok, unknownCA, a, r, nil},
		{"TLS refuses both", required, unknownCA, unknownCA, r, r, nil},
		{"TLS refuses everyone in the same way", handshakeFailure, handshakeFailure, handshakeFailure, u, u, nil},
		{"TLS fails with the new one alone", required, ok, handshakeFailure, a, r, nil},
		{"the new one closes", denied, ok, closed, a, r, nil},
		{"everyone closes", closed, closed, closed, u, u, nil},
		{"the new one gets no answer", denied, ok, down, a, u, nil},
		{"there is no answer without a certificate", down, ok, ok, u, u, nil},
		{"the new one is limited", denied, ok, limited, a, u, nil},
		{"the old one is limited", denied, limited, ok, u, a, nil},
		{"the answer without a certificate is limited", limited, ok, denied, u, u, nil},
		{"everyone is limited", limited, limited, limited, u, u, nil},
		{"only the handshake is asked", required, handshook, handshook, u, u, nil},
		{"only the handshake is asked, and refuses the new one", required, handshook, unknownCA, u, r, nil},
		{"404 is the expected success", required, notFound, notFound, a, a, []int{404}},
		{"200 is not the expected success", required, answered(204, ""), ok, a, r, []int{204}},
		{"everyone gets the expected success", notFound, notFound, notFound, u, u, []int{404}},
	} {
		c.first.Generation, c.second.Generation = 1, 2
		answers := Answers{Control: c.control, Results: []Result{c.first, c.second}}
		answers.compare(c.expected, func(generation int) bool { return generation == 1 })
		for i, want := range []rollover.Verdict{c.wantOld, c.wantIn} {
			if got := answers.Results[i]; got.Verdict != want || got.Why.Format == "" {
				t.Errorf("%s: generation %d is %q (%s), want %q", c.name, i+1, got.Verdict, got.Why, want)
			}
		}
		if want := c.wantOld == a || c.wantIn == a; answers.Distinguishes() != want {
			t.Errorf("%s: distinguishes %v", c.name, !want)
		}
		for i, o := range answers.Observations(date) {
			if o.Generation != i+1 || o.By != rollover.Probe || o.Verdict != answers.Results[i].Verdict || !o.At.Equal(date) {
				t.Errorf("%s: %+v", c.name, o)
			}
		}
	}
}

// A success that the receiver does not give without the certificate is an acceptance, also without a comparison.
func TestASingleGenerationIsComparedWithTheControl(t *testing.T) {
	for _, c := range []struct {
		control, only Result
		want          rollover.Verdict
	}{
		{denied, ok, rollover.Accepted}, {required, ok, rollover.Accepted}, {ok, ok, rollover.Unclear},
		{denied, notFound, rollover.Unclear}, {denied, denied, rollover.Unclear}, {required, denied, rollover.Unclear},
		{required, unknownCA, rollover.Refused},
	} {
		c.only.Generation = 1
		answers := Answers{Control: c.control, Results: []Result{c.only}}
		answers.compare(nil, func(int) bool { return false })
		if got := answers.Results[0]; got.Verdict != c.want {
			t.Errorf("%s without and %s with a certificate: %q (%s), want %q", c.control.Detail, c.only.Detail, got.Verdict,
				got.Why, c.want)
		}
	}
}

func TestMessagesAreJudgedByTheKindsOfAnswersToAcceptedGenerations(t *testing.T) {
	var known, none Kinds
	if !known.Add(ok.Kind) || known.Add(ok.Kind) || !known.Add(notFound.Kind) {
		t.Fatal("what is new is not reported")
	}
	for _, c := range []struct {
		name   string
		kinds  *Kinds
		r      Reading
		t      Trial
		others bool
		want   Conclusion
	}{
		{"the first success", &none, ok.Reading, First, true, Accepts},
		{"a known success", &known, ok.Reading, Unproven, true, Accepts},
		{"an unknown success with a new generation", &known, loginPage.Reading, Unproven, true, Doubtful},
		{"an unknown success when nothing is known", &none, loginPage.Reading, Unproven, true, Doubtful},
		{"an unknown success with the accepted generation", &known, loginPage.Reading, Proven, true, Doubtful},
		{"an unknown success with the only generation", &known, otherOK.Reading, Proven, false, Accepts},
		{"a page with the only generation, whose successes are not pages", &known, loginPage.Reading, Proven, false,
			NoConclusion},
		{"a page with the only generation, when nothing is known", &none, loginPage.Reading, Proven, false, Accepts},
		{"an unknown success with the only generation, unproved", &known, loginPage.Reading, Unproven, false, NoConclusion},
		{"successes contradict each other", &known, loginPage.Reading, First, true, Doubtful},
		{"a known failure", &known, notFound.Reading, Proven, true, Doubtful},
		{"a limit", &known, limited.Reading, Unproven, true, NoConclusion},
		{"a known failure with the only generation", &known, notFound.Reading, Proven, false, NoConclusion},
		{"a failure first of all", &none, notFound.Reading, First, false, NoConclusion},
		{"a refusal", &known, denied.Reading, Proven, true, Refuses},
		{"a close", &known, closed.Reading, Proven, true, Closes},
		{"no answer", &known, down.Reading, Proven, true, NoConclusion},
	} {
		if got := c.kinds.OfMessage(c.r, c.t, c.others); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		name          string
		a, b          Result
		ofA, ofB      Trial
		first, second Conclusion
	}{
		{"the new one gets a login", login, ok, Unproven, Proven, Refuses, Accepts},
		{"the new one gets a login page", loginPage, ok, Unproven, Proven, Refuses, Accepts},
		{"the old one gets 404", notFound, ok, Proven, Unproven, Refuses, Accepts},
		{"the same success", otherOK, otherOK, Unproven, Proven, Accepts, Accepts},
		{"the same success, and none is proved", otherOK, otherOK, Unproven, Unproven, NoConclusion, NoConclusion},
		{"the same failure", notFound, notFound, Unproven, Proven, NoConclusion, NoConclusion},
		{"a new success, and the other one fails", otherOK, login, Unproven, Proven, Accepts, Refuses},
		{"a new success, and the other one is refused", otherOK, denied, Unproven, Proven, Accepts, Refuses},
		{"a failure, and the other one is refused", notFound, denied, Unproven, Proven, NoConclusion, NoConclusion},
		{"a failure, and no answer", notFound, down, Unproven, Proven, NoConclusion, NoConclusion},
		{"two failures", notFound, login, Unproven, Proven, NoConclusion, NoConclusion},
		{"a new success, and the other one has a fault", loginPage, fault, Unproven, Proven, NoConclusion, NoConclusion},
		{"a known success, and the other one has a fault", ok, fault, Unproven, Proven, Accepts, Refuses},
		{"a limit, and a success", limited, ok, Unproven, Proven, NoConclusion, NoConclusion},
		{"a new success, and a limit", loginPage, limited, Unproven, Proven, NoConclusion, NoConclusion},
		{"two new successes", otherOK, loginPage, Unproven, Unproven, NoConclusion, NoConclusion},
		{"a new success, and an unusual one of the proved generation", otherOK, loginPage, Unproven, Proven, NoConclusion,
			NoConclusion},
	} {
		first, second := known.Compared(c.a.Reading, c.b.Reading, c.ofA, c.ofB)
		if first != c.first || second != c.second {
			t.Errorf("%s: %d, %d, want %d, %d", c.name, first, second, c.first, c.second)
		}
	}
}

func TestWhatIsKnownOfAGenerationFollowsFromTheRollOver(t *testing.T) {
	of := func(verdicts ...rollover.Verdict) (r rollover.Rollover) {
		for i, v := range verdicts {
			r.Generations = append(r.Generations, rollover.Generation{Number: i + 1, Verdict: v})
		}
		return r
	}
	for _, c := range []struct {
		r    rollover.Rollover
		want Trial
	}{
		{of(rollover.Accepted, rollover.Unknown), Unproven}, {of(rollover.Unknown, rollover.Accepted), Proven},
		{of(rollover.Unknown, rollover.Unknown), First}, {of(rollover.Refused, rollover.Unclear), First},
		{of(rollover.Accepted, rollover.Refused), Unproven},
	} {
		if got := TrialOf(c.r, 2); got != c.want {
			t.Errorf("%+v: %d, want %d", c.r.Generations, got, c.want)
		}
	}
}

// A ratchet accepts a certificate only if it is not older than the last one that it accepted, as its serial number
// shows.
type ratchet struct {
	mu   sync.Mutex
	last int64
	log  []int64
}

func (r *ratchet) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.TLS.PeerCertificates) == 0 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	serial := q.TLS.PeerCertificates[0].SerialNumber.Int64()
	r.log = append(r.log, serial)
	if serial < r.last {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.last = serial
}

func TestAReceiverThatTakesTheNewestOnlyIsRecognisedAndThenSpared(t *testing.T) {
	receiver := &ratchet{}
	endpoint, egress, _ := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert}, receiver.ServeHTTP)
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	r := rollover.Rollover{Presents: 1, Generations: []rollover.Generation{{Number: 1, Verdict: rollover.Accepted},
		{Number: 2}}}
	identities := []standing.Identity{*newIdentity(t, 1), *newIdentity(t, 2)}
	first := question(t.Context(), loopback, endpoint, egress, r, identities)
	if !first.NewestOnly || !slices.Equal(receiver.log, []int64{1, 2, 1}) {
		t.Errorf("%v after %v", first.NewestOnly, receiver.log)
	}
	r.NewestOnly = true
	r.Presents = 1
	receiver.last, receiver.log = 1, nil
	again := question(t.Context(), loopback, endpoint, egress, r, identities)
	if !slices.Equal(receiver.log, []int64{1}) || receiver.last != 1 || again.NewestOnly || len(again.Results) != 1 {
		t.Errorf("a known ratchet was asked with %v", receiver.log)
	}
	// Another receiver accepts both, one after the other.
	patient, egress, _ := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert}, func(w http.ResponseWriter,
		q *http.Request) {
		if len(q.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	r.NewestOnly = false
	if question(t.Context(), loopback, patient, egress, r, identities).NewestOnly {
		t.Error("a receiver that accepts both counts as one that takes the newest only")
	}
}

func TestAQuestionIsAskedAgainAfterAFault(t *testing.T) {
	failed := map[int64]bool{}
	endpoint, egress, _ := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert}, func(w http.ResponseWriter,
		q *http.Request) {
		if len(q.TLS.PeerCertificates) == 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if serial := q.TLS.PeerCertificates[0].SerialNumber.Int64(); !failed[serial] {
			failed[serial] = true
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	answers := question(t.Context(), loopback, endpoint, egress, rollover.Rollover{},
		[]standing.Identity{*newIdentity(t, 1)})
	if got := answers.Results[0]; got.Verdict != rollover.Accepted || len(failed) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAReceiverThatNeverAsksForACertificateIsRecognised(t *testing.T) {
	for _, c := range []struct {
		auth tls.ClientAuthType
		want bool
	}{{tls.NoClientCert, true}, {tls.RequestClientCert, false}} {
		endpoint, egress, _ := asked(t, &tls.Config{ClientAuth: c.auth}, func(http.ResponseWriter, *http.Request) {})
		egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
		answers := question(t.Context(), loopback, endpoint, egress, rollover.Rollover{},
			[]standing.Identity{*newIdentity(t, 1)})
		if answers.Unasked() != c.want || answers.Results[0].Verdict != rollover.Unclear {
			t.Errorf("%v: unasked %v, %q", c.auth, answers.Unasked(), answers.Results[0].Verdict)
		}
	}
}

var date = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// asksOf starts a receiver that answers each generation, or none, with the statuses of a list, the last one for good.
// It returns the question's answers and the serial numbers in the order in which they arrived.
func asksOf(t *testing.T, r rollover.Rollover, statuses map[int64][]int) (Answers, []int64) {
	t.Helper()
	var mu sync.Mutex
	var log []int64
	endpoint, egress, _ := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert}, func(w http.ResponseWriter,
		q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		serial := int64(0)
		if len(q.TLS.PeerCertificates) > 0 {
			serial = q.TLS.PeerCertificates[0].SerialNumber.Int64()
		}
		log = append(log, serial)
		left := statuses[serial]
		w.WriteHeader(left[0])
		if len(left) > 1 {
			statuses[serial] = left[1:]
		}
	})
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	a := question(t.Context(), loopback, endpoint, egress, r, []standing.Identity{*newIdentity(t, 1), *newIdentity(t, 2)})
	return a, log
}

func TestTheOldGenerationIsAskedAgainOnlyAfterANewOneWasAcceptedForTheFirstTime(t *testing.T) {
	rolling := func(second rollover.Verdict, presents int) rollover.Rollover {
		return rollover.Rollover{Presents: presents, Generations: []rollover.Generation{
			{Number: 1, Verdict: rollover.Accepted}, {Number: 2, Verdict: second}}}
	}
	for _, c := range []struct {
		name       string
		r          rollover.Rollover
		old, next  []int
		newestOnly bool
		log        []int64
	}{
		{"both stay accepted", rolling(rollover.Unknown, 1), []int{200}, []int{200}, false, []int64{0, 1, 2, 1}},
		{"the old one is refused after the new one", rolling(rollover.Unknown, 1), []int{200, 403}, []int{200}, true,
			[]int64{0, 1, 2, 1}},
		{"the old one gets what anyone gets after the new one", rolling(rollover.Unknown, 1), []int{200, 401}, []int{200},
			true, []int64{0, 1, 2, 1}},
		{"the receiver fails after the new one", rolling(rollover.Unknown, 1), []int{200, 503}, []int{200}, false,
			[]int64{0, 1, 2, 1}},
		{"the old one gets another success", rolling(rollover.Unknown, 1), []int{200, 204}, []int{200}, false,
			[]int64{0, 1, 2, 1}},
		{"the new one is refused", rolling(rollover.Unknown, 1), []int{200}, []int{401}, false, []int64{0, 1, 2}},
		{"the old one is refused", rolling(rollover.Unknown, 1), []int{401}, []int{200}, false, []int64{0, 1, 2}},
		{"the new one was accepted before", rolling(rollover.Accepted, 1), []int{200, 401}, []int{200}, false,
			[]int64{0, 1, 2}},
		{"the new one is presented already", rolling(rollover.Unknown, 2), []int{200, 401}, []int{200}, false,
			[]int64{0, 1, 2}},
	} {
		a, log := asksOf(t, c.r, map[int64][]int{0: {401}, 1: c.old, 2: c.next})
		if a.NewestOnly != c.newestOnly || !slices.Equal(log, c.log) {
			t.Errorf("%s: newest only %v after the questions %v, want %v after %v", c.name, a.NewestOnly, log, c.newestOnly,
				c.log)
		}
	}
}

// One fault may pass, so the question is repeated once. A second one is the answer.
func TestAFaultIsAskedAboutTwiceAtMost(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		want     int
		times    int
	}{{[]int{500, 200}, 200, 2}, {[]int{503, 500, 200}, 500, 2}, {[]int{499, 200}, 499, 1}, {[]int{404, 200}, 404, 1}} {
		a, log := asksOf(t, rollover.Rollover{}, map[int64][]int{0: {401}, 1: c.statuses, 2: {401}})
		times := len(slices.DeleteFunc(log, func(n int64) bool { return n != 1 }))
		if a.Results[0].Status != c.want || times != c.times {
			t.Errorf("%v: %d after %d questions, want %d after %d", c.statuses, a.Results[0].Status, times, c.want, c.times)
		}
	}
}

func TestAReceiverIsUnaskedOnlyIfAllAnswersAreAlikeAndNoneAskedForACertificate(t *testing.T) {
	asked := ok
	asked.Asked = true
	for _, c := range []struct {
		name string
		a    Answers
		want bool
	}{
		{"no question is asked for one", Answers{Control: ok, Results: []Result{ok, ok}}, true},
		{"the control is asked", Answers{Control: asked, Results: []Result{ok, ok}}, false},
		{"a generation is asked", Answers{Control: ok, Results: []Result{ok, asked}}, false},
		{"a generation gets another answer", Answers{Control: ok, Results: []Result{ok, notFound}}, false},
		{"a generation gets no answer", Answers{Control: ok, Results: []Result{ok, down}}, false},
		{"everyone is refused alike", Answers{Control: denied, Results: []Result{denied}}, false},
		{"there is no control", Answers{Control: down, Results: []Result{down}}, false},
	} {
		if got := c.a.Unasked(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAQuestionToAnEndpointThatIsNotAURLIsInvalid(t *testing.T) {
	s := standing.Standing{Arrangement: tenancy.Arrangement{Endpoint: "https://%zz/"}}
	if _, err := Question(t.Context(), loopback, s, nil); !errors.Is(err, tenancy.ErrInvalid) ||
		!strings.Contains(err.Error(), "endpoint") {
		t.Errorf("got %v", err)
	}
}

// A refusal by a rule, an answer, or a fault: what one safe request shows after a message was not answered.
func TestASafeRequestShowsWhetherAGenerationIsRefused(t *testing.T) {
	var known Kinds
	known.Add(ok.Kind)
	for _, c := range []struct {
		name           string
		asked, other   Result
		hangs, refused bool
	}{
		{"both succeed", ok, otherOK, false, false}, {"it fails where the other succeeds", notFound, ok, false, true},
		{"both fail", notFound, notFound, false, false}, {"it is denied", denied, ok, false, true},
		{"both are denied", denied, denied, false, false}, {"it is closed", closed, ok, false, true},
		{"it is closed, and the other one fails", closed, notFound, false, true},
		{"it hangs", down, ok, true, true}, {"both hang", down, down, true, false},
		{"it succeeds where the other one fails", ok, notFound, false, false},
		{"it gets a page, and the other one a known success", loginPage, ok, false, true},
		{"it gets a page, and the other one an unknown success", loginPage, otherOK, false, false},
		{"it is limited", limited, ok, false, false},
	} {
		if hangs, refused := known.SafelyRefused(c.asked.Reading, c.other.Reading); hangs != c.hangs || refused != c.refused {
			t.Errorf("%s: hangs %v, refused %v", c.name, hangs, refused)
		}
	}
}
