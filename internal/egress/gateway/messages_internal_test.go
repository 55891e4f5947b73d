package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAMessageGoesToThePathBelowItsEndpoint(t *testing.T) {
	for _, c := range []struct{ endpoint, rest, path, escaped string }{
		{"https://crm.test", "", "/", "/"}, {"https://crm.test/", "", "/", "/"}, {"https://crm.test", "/a", "/a", "/a"},
		{"https://crm.test/base/", "", "/base/", "/base/"}, {"https://crm.test/base/", "/a", "/base/a", "/base/a"},
		{"https://crm.test/base", "/", "/base/", "/base/"}, {"https://crm.test/a%2Fb", "/c%2Fd", "/a/b/c/d", "/a%2Fb/c%2Fd"},
		{"https://crm.test:8443/base", "/%zz", "/base/%zz", "/base/%zz"},
	} {
		endpoint, err := url.Parse(c.endpoint)
		testenv.Check(t, err)
		r := httptest.NewRequest(http.MethodPost, "http://gateway.test/acme/crm", nil)
		m := newMessage(quietly(&failing{}, io.Discard), &route{endpoint: endpoint}, http.MethodPost, c.rest)
		m.direct(r)
		if r.URL.Path != c.path || r.URL.RawPath != c.escaped || r.URL.Scheme != "https" || r.URL.Host != endpoint.Host ||
			r.Host != endpoint.Host {
			t.Errorf("%s and %q: %s, %q (%q)", c.endpoint, c.rest, r.URL, r.URL.Path, r.URL.RawPath)
		}
		if agent, set := r.Header["User-Agent"]; !set || agent[0] != "" {
			t.Errorf("the user agent is %q", agent)
		}
		r.Header.Set("User-Agent", "crm/1.0")
		if m.direct(r); r.Header.Get("User-Agent") != "crm/1.0" {
			t.Errorf("the sender's user agent became %q", r.Header.Get("User-Agent"))
		}
	}
}

func TestAParkedMessageIsSentAsItWasAddressed(t *testing.T) {
	for body, length := range map[string]int64{"": 0, "<order/>": 8} {
		var got *http.Request
		receiver := script(t, func(_ http.ResponseWriter, r *http.Request, _ int) { got = r })
		m, _ := towards(t, receiver, 1)
		p := parkedRequest{Query: "a=b;c", Header: http.Header{"X-Kept": {"1"}, "Connection": {"close"}}}
		res, err := m.send(t.Context(), p, "PATCH", strings.NewReader(body), length)
		testenv.Check(t, err)
		res.Body.Close()
		if got.Method != "PATCH" || got.URL.String() != "/orders?a=b;c" || got.ContentLength != length ||
			got.Header.Get("X-Kept") != "1" || len(got.TransferEncoding) != 0 {
			t.Errorf("%q: %s %s with %v and %d bytes", body, got.Method, got.URL, got.Header, got.ContentLength)
		}
	}
	m := newMessage(quietly(&failing{}, io.Discard), &route{}, "", "")
	if _, err := m.send(t.Context(), parkedRequest{}, "NO METHOD", nil, 0); err == nil {
		t.Error("a method that does not exist is sent")
	}
}

func TestAMessageWithoutACertificateIsNotSent(t *testing.T) {
	receiver := script(t, func(http.ResponseWriter, *http.Request, int) {})
	m, to := towards(t, receiver, 1)
	to.rollover.Generations[0].Revoked = true
	_, err := m.RoundTrip(toward(t, receiver.Server, "GET", nil))
	if err == nil || !strings.Contains(err.Error(), "has no certificate that can be presented") || receiver.all() != "" ||
		m.outcome.kind != unanswered || m.outcome.String() != err.Error() {
		t.Errorf("%v after %q: %s", err, receiver.all(), m.outcome)
	}
}

// An application that refuses a sort of messages with every certificate is not asked twice for each of them.
func TestAMessageOfARefusedSortIsSentOnce(t *testing.T) {
	receiver := script(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(401) })
	m, to := towards(t, receiver, 1, 2)
	for range patience {
		to.refused.add("POST /orders", noon)
	}
	res, err := m.RoundTrip(toward(t, receiver.Server, "POST", nil))
	testenv.Check(t, err)
	res.Body.Close()
	if receiver.all() != "POST1" || m.outcome.kind != refused || m.outcome.generation != 1 || m.attempts != 1 ||
		!strings.Contains(m.outcome.String(), "401 Unauthorized") {
		t.Errorf("%q, %d attempts: %s", receiver.all(), m.attempts, m.outcome)
	}
}

func TestAFailedMessageIsAnsweredByItsCause(t *testing.T) {
	slow := func() *paced {
		return &paced{late: true, now: time.Now, deadline: func(time.Time) error { return nil }}
	}
	broken := &paced{broken: true, now: time.Now, deadline: func(time.Time) error { return nil }}
	for _, c := range []struct {
		name       string
		err        error
		major      int
		paced      *paced
		status     int
		text       string
		closes     bool
		statusOf   int // of the log
		unanswered string
	}{
		{"a broken connection", io.EOF, 1, nil, 502, "did not answer: the connection was closed: EOF", false, 502,
			"the connection was closed: EOF"},
		{"no answer in time", context.DeadlineExceeded, 1, nil, 504, "took too long", false, 504,
			"context deadline exceeded"},
		{"a sender that went away", context.Canceled, 1, nil, 502, "", false, 499, "context canceled"},
		{"a slow sender", context.Canceled, 1, slow(), 408, "less than 500 bytes a second", true, 408, slowText.String()},
		{"a slow sender over HTTP/2", io.EOF, 2, slow(), 408, "less than 500 bytes a second", false, 408, slowText.String()},
		{"a broken body", context.Canceled, 1, broken, 400, brokenText.String(), true, 400, brokenText.String()},
	} {
		m := newMessage(quietly(&failing{}, io.Discard), &route{address: bank}, "POST", "/orders")
		m.paced = c.paced
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.ProtoMajor = c.major
		w := httptest.NewRecorder()
		m.failed(w, r, c.err)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) || c.text == "" && w.Body.Len() > 0 ||
			(w.Header().Get("Connection") == "close") != c.closes || m.status != c.statusOf ||
			m.outcome.String() != c.unanswered {
			t.Errorf("%s: %d %v %s, logged as %d %q", c.name, w.Code, w.Header(), w.Body, m.status, m.outcome)
		}
	}
}

// An answer to a message that was cut off is not the answer to the message.
func TestTheAnswerToABodyThatWasCutOffIsNotForwarded(t *testing.T) {
	receiver := script(t, func(http.ResponseWriter, *http.Request, int) {})
	for _, late := range []bool{true, false} {
		m, _ := towards(t, receiver, 1)
		w := httptest.NewRecorder()
		m.answer = w
		m.paced = &paced{late: late, now: time.Now, deadline: func(time.Time) error { return nil }}
		r := toward(t, receiver.Server, "POST", strings.NewReader("<order/>"))
		res, err := m.RoundTrip(r)
		if err == nil {
			res.Body.Close()
		}
		if late != errors.Is(err, errSlow) || late == (m.status == 200) || m.giveUp == nil || m.body == nil {
			t.Errorf("late %v: %v, status %d", late, err, m.status)
		}
		if closed := w.Header().Get("Connection") == "close"; closed == late {
			t.Errorf("late %v: the connection ends after the answer: %v", late, closed)
		}
		ctx := m.giveUp
		m.end("/")
		ctx()
	}
}

// deadlines records what is set.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
	err error
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return d.err
}

// Senders that write their whole body before they read an answer get the gateway's own answer.
func TestTheRestOfABodyIsReadBeforeTheGatewaysOwnAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		left int
	}{{"over a connection", nil, 0}, {"without a deadline", errors.ErrUnsupported, 100}} {
		m := newMessage(quietly(&failing{}, io.Discard), &route{address: bank}, "POST", "/")
		body := bytes.NewReader(make([]byte, 100))
		w := &deadlines{ResponseRecorder: httptest.NewRecorder(), err: c.err}
		m.body, m.flush = body, func() {}
		m.paced = &paced{body: body, now: time.Now, deadline: w.SetReadDeadline}
		m.kept = &kept{}
		begun := time.Now()
		if m.drain(w); body.Len() != c.left || len(w.set) == 0 || (m.flush == nil) != (c.left == 0) ||
			m.paced.released != (c.left == 0) {
			t.Errorf("%s: %d bytes are left, the deadlines are %v", c.name, body.Len(), w.set)
		}
		if d := w.set[0].Sub(begun); d < drainFor-time.Second || d > drainFor+time.Minute {
			t.Errorf("%s: reading may take %v", c.name, d)
		}
		if !m.kept.reading.TryLock() {
			t.Errorf("%s: no attempt can read any more", c.name)
		}
	}
	m := newMessage(quietly(&failing{}, io.Discard), &route{address: bank}, "POST", "/")
	body := bytes.NewReader(make([]byte, 100))
	m.body = body
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	if m.failed(w, httptest.NewRequest(http.MethodPost, "/", nil), io.EOF); body.Len() != 0 || w.Code != 502 {
		t.Errorf("answered %d before the body was read: %d bytes are left", w.Code, body.Len())
	}
	m = newMessage(quietly(&failing{}, io.Discard), &route{address: bank}, "GET", "/")
	w = &deadlines{ResponseRecorder: httptest.NewRecorder()}
	if m.drain(w); len(w.set) != 0 {
		t.Error("a message without a body has a deadline")
	}
}

// Over HTTP/1.1, the answer is forwarded before the rest of the body is read; a late sender is not waited for.
func TestAnAbandonedBodyEndsWithItsMessage(t *testing.T) {
	failure := errors.New("closed")
	for _, c := range []struct {
		name     string
		late     bool
		complete bool
		http2    bool
		err      error // of the first deadline
		flushed  int
		left     int
		set      int // deadlines
	}{
		{"over HTTP/1.1", false, false, false, nil, 1, 0, 3}, {"over HTTP/2", false, false, true, nil, 0, 100, 3},
		{"it is too late", true, false, false, nil, 0, 100, 1}, {"it was read", false, true, false, nil, 0, 100, 0},
		{"the connection is closed", false, false, false, failure, 0, 100, 2},
	} {
		var set []time.Time
		flushed, at := 0, noon
		body := bytes.NewReader(make([]byte, 100))
		p := &paced{body: body, late: c.late, complete: c.complete, now: func() time.Time { return at },
			deadline: func(to time.Time) error { set = append(set, to); return c.err }}
		flush := func() { flushed++ }
		if c.http2 {
			flush = nil
		}
		p.abandon(flush)
		if flushed != c.flushed || body.Len() != c.left || len(set) != c.set || !p.released {
			t.Errorf("%s: flushed %d times, %d bytes are left, deadlines %v", c.name, flushed, body.Len(), set)
		}
		if c.set == 3 && (!set[0].IsZero() || !set[1].Before(noon) || set[1].IsZero() || !set[2].Equal(noon.Add(drainFor))) {
			t.Errorf("%s: the deadlines are %v", c.name, set)
		}
		if !p.reading.TryLock() {
			t.Errorf("%s: it is still being read", c.name)
		}
	}
}

func TestASlowOrBrokenBodyEndsItsMessage(t *testing.T) {
	late := os.ErrDeadlineExceeded
	for _, c := range []struct {
		name                   string
		err                    error
		released               bool
		late, complete, broken bool
	}{
		{"too slow", late, false, true, false, false}, {"released", late, true, false, false, false},
		{"its end", io.EOF, false, false, true, false},
		{"cut off", io.ErrUnexpectedEOF, false, false, false, true},
		{"cut off after the answer", io.ErrUnexpectedEOF, true, false, false, false},
	} {
		ended := 0
		p := &paced{body: iotest.ErrReader(c.err), now: time.Now, grace: bodyGrace, released: c.released,
			deadline: func(time.Time) error { return nil }, giveUp: func() { ended++ }}
		if _, err := p.Read(make([]byte, 1)); err != c.err {
			t.Errorf("%s: %v", c.name, err)
		}
		if p.late != c.late || p.complete != c.complete || (ended == 1) != (c.late || c.broken) ||
			p.tooLate() != c.late || p.isBroken() != c.broken || p.release() == c.complete {
			t.Errorf("%s: late %v, complete %v, ended %d times", c.name, p.late, p.complete, ended)
		}
		p = &paced{body: iotest.ErrReader(c.err), now: time.Now, deadline: func(time.Time) error { return nil }}
		p.Read(nil) // without a message to end
	}
	p := &paced{now: func() time.Time { return noon }, until: noon}
	if !p.tooLate() {
		t.Error("a read whose deadline has come is not late")
	}
	if p.until = noon.Add(1); p.tooLate() {
		t.Error("a read is late before its deadline")
	}
}

// The time for a body grows with what has arrived, and one pause is limited.
func TestTheDeadlineOfABodyGrowsWithWhatHasArrived(t *testing.T) {
	at := noon
	var set []time.Time
	p := &paced{grace: 20 * time.Second, now: func() time.Time { return at }}
	p.body = readerFunc(func(b []byte) (int, error) {
		at = at.Add(5 * time.Second)
		return len(b), nil
	})
	p.deadline = func(to time.Time) error { set = append(set, to); return nil }
	for n, c := range []struct {
		size int
		want time.Duration
	}{{1000, 20 * time.Second}, {0, 17 * time.Second}, {500, 12 * time.Second}, {100_000, 8 * time.Second},
		{1, time.Minute}} {
		begun := at
		if _, err := p.Read(make([]byte, c.size)); err != nil || !set[2*n].Equal(begun.Add(c.want)) ||
			!set[2*n+1].IsZero() {
			t.Errorf("read %d: %v, it may take %v, want %v", n, err, set[2*n].Sub(begun), c.want)
		}
	}
	broken := errors.New("closed")
	p.deadline = func(time.Time) error { return broken }
	if n, err := p.Read(make([]byte, 1)); n != 0 || err != broken {
		t.Errorf("a connection that takes no deadline: %d, %v", n, err)
	}
	calls := 0
	p.deadline = func(time.Time) error {
		if calls++; calls == 2 {
			return broken
		}
		return nil
	}
	if n, err := p.Read(make([]byte, 1)); n != 1 || err != broken {
		t.Errorf("a deadline that stays: %d, %v", n, err)
	}
	p.deadline = func(time.Time) error { return errors.ErrUnsupported }
	if n, err := p.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("a request without a connection: %d, %v", n, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestWhatIsNotKeptOfABodyStaysAway(t *testing.T) {
	full, err := os.Open(os.DevNull) // writing to it fails
	testenv.Check(t, err)
	for name, c := range map[string]struct {
		k    *kept
		lost bool
		size int64
	}{
		"within its limit":           {&kept{limit: 133}, false, 133},
		"beyond its limit":           {&kept{limit: 132}, true, 0},
		"far beyond its limit":       {&kept{limit: 50}, true, 0},
		"on a full disk":             {&kept{limit: 1 << 20, file: full}, true, 0},
		"without a folder for files": {&kept{limit: 4 << 20, dir: "/does/not/exist", inMemory: memoryLimit}, true, 0},
	} {
		for range 4 {
			c.k.keep(make([]byte, 33), false)
		}
		c.k.keep(nil, false)
		c.k.keep([]byte{1}, false)
		if c.k.lost != c.lost || c.lost && (c.k.memory != nil || c.k.file != nil) || !c.lost && c.k.size != c.size {
			t.Errorf("%s: lost %v, %d chunks are in memory", name, c.k.lost, len(c.k.memory))
		}
	}
	k := keepBody(strings.NewReader("the body"), 8, 100, "")
	first, _ := k.newTry()
	first.Read(make([]byte, 3))
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	if !k.sendAs(r) {
		t.Fatal("the body cannot be sent again")
	}
	if k.lose(); k.sendAs(r) {
		t.Error("a body that is lost is sent again")
	}
	if body, err := r.GetBody(); !errors.Is(err, errTooLarge) || body != nil {
		t.Errorf("over another connection: %v", err)
	}
	if n, err := r.Body.Read(make([]byte, 3)); n != 0 || !errors.Is(err, errDetached) {
		t.Errorf("what was lost is read: %d, %v", n, err)
	}
	k.close()
	if k.memory != nil {
		t.Error("a body that was closed is in memory")
	}
}

// Messages with the same doubt share an answer, also one that did not come.
func TestAQuestionIsAskedOncePerDoubt(t *testing.T) {
	receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
		if generation == 2 {
			w.WriteHeader(401)
		}
	})
	m, to := towards(t, receiver, 1, 2)
	g := m.gateway
	at := noon
	g.now = func() time.Time { return at }
	to.standing.Arrangement.Egress.Probe = tenancy.Probe{Method: "GET", Path: "/health"}
	because := doubt{2, outbound.Kind{Status: 302}}
	count := func() int { return strings.Count(receiver.all(), "GET") }
	answers, asked := to.questions.ask(t.Context(), g, to, because)
	if !asked || len(answers.Results) != 2 || count() != 2 {
		t.Fatalf("asked %v, %q", asked, receiver.all())
	}
	if len(g.reports.take()[""]) == 0 {
		t.Error("the answers are not reported")
	}
	at = noon.Add(answersFresh - 1)
	if again, asked := to.questions.ask(t.Context(), g, to, because); !asked || len(again.Results) != 2 || count() != 2 {
		t.Errorf("a moment later: asked %v, %q", asked, receiver.all())
	}
	if to.questions.ask(t.Context(), g, to, doubt{1, because.kind}); count() != 4 {
		t.Errorf("another doubt: %q", receiver.all())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	at = noon.Add(time.Minute)
	if answers, asked := to.questions.ask(ended, g, to, because); asked || answers.Results != nil || count() != 4 {
		t.Errorf("a sender that went away: asked %v, %q", asked, receiver.all())
	}
	to.standing.Arrangement.Endpoint = "://"
	for range 2 {
		if answers, asked := to.questions.ask(t.Context(), g, to, because); !asked || answers.Results != nil {
			t.Errorf("no answer: asked %v, %+v", asked, answers)
		}
	}
	if when := to.questions.asked[because]; !when.Equal(at) {
		t.Errorf("asked at %v", when)
	}
	for i := range mostDoubts {
		to.questions.ask(t.Context(), g, to, doubt{2, outbound.Kind{Status: i}})
	}
	if n := len(to.questions.asked); n > mostDoubts || n == 0 {
		t.Errorf("%d doubts are remembered", n)
	}
}

// The sender gets the answer of the generation that is accepted, and one answer is read only.
func TestAComparisonForwardsTheAnswerThatCounts(t *testing.T) {
	for _, c := range []struct {
		name       string
		method     string
		answers    [2]int // by generation; the message is sent with the second one
		upgrade    bool
		status     int
		refused    bool
		conclusion outbound.Conclusion
		seen       string
	}{
		{"as the accepted one", "GET", [2]int{200, 200}, false, 200, false, outbound.Accepts, "GET2"},
		{"another kind", "GET", [2]int{200, 302}, false, 200, true, outbound.Refuses, "GET2, GET1"},
		{"not found with both", "GET", [2]int{404, 404}, false, 404, false, outbound.NoConclusion, "GET2, GET1"},
		{"a redirect to a POST and its head", "POST", [2]int{200, 302}, false, 302, true, outbound.Refuses,
			"POST2, HEAD1, HEAD2"},
		{"a redirect to a POST alone", "POST", [2]int{405, 302}, false, 302, false, outbound.Doubtful, "POST2, HEAD1, HEAD2"},
		{"a redirect of an upgrade", "GET", [2]int{200, 302}, true, 302, false, outbound.Doubtful, "GET2"},
	} {
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
			w.WriteHeader(c.answers[generation-1])
		})
		m, to := towards(t, receiver, 1, 2)
		to.kinds.Add(outbound.Kind{Status: 200})
		to.rollover.Generations[0].Verdict = rollover.Accepted
		r := toward(t, receiver.Server, c.method, nil)
		if c.upgrade {
			r.Header.Set("Upgrade", "websocket")
		}
		a, _ := m.tryOne(r, to, 2)
		tries := m.conclude(r, to, a)
		last := tries[len(tries)-1]
		var second attempt
		for _, one := range tries {
			if one.generation == 2 {
				second = one
			}
		}
		if last.response.StatusCode != c.status || (second.meaning == outbound.Refused) != c.refused ||
			second.conclusion != c.conclusion || receiver.all() != c.seen {
			t.Errorf("%s: %d, meaning %d, conclusion %d (%s) after %q", c.name, last.response.StatusCode, second.meaning,
				second.conclusion, second.detail, receiver.all())
		}
		if _, err := last.response.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the answer that is forwarded cannot be read: %v", c.name, err)
		}
		last.response.Body.Close()
	}
}

func TestTheLogIsWrittenAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &failing{err: errors.New("disk full")}
		var logged bytes.Buffer
		g := quietly(control, &logged)
		g.now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.keepJournal(ctx) }()
		g.journal.entries = []tenancy.Message{{ID: "1", Count: 1}}
		wake(g.journal.wake)
		written := func() int {
			synctest.Wait()
			control.recording.Lock()
			defer control.recording.Unlock()
			return len(control.entries)
		}
		if time.Sleep(journalEvery); written() != 1 {
			t.Errorf("tried %d times", written())
		}
		if time.Sleep(journalRetry - 1); written() != 1 {
			t.Errorf("tried %d times before the pause has ended", written())
		}
		control.recording.Lock()
		control.err = nil
		control.recording.Unlock()
		if time.Sleep(time.Nanosecond); written() != 2 || !strings.Contains(logged.String(), "is written again") {
			t.Errorf("tried %d times, logged %q", written(), &logged)
		}
		time.Sleep(time.Hour)
		if written() != 2 {
			t.Errorf("an empty log is written: %d", written())
		}
		cancel()
		<-done
	})
}

// The changes of an arrangement between success and failure are counted by the minute.
func TestChangesAreLoggedAgainInTheNextMinute(t *testing.T) {
	l := newLogged(t, LogHours)
	flap := func(n int) (logged int) {
		for range n {
			l.send("crm", 1, 401, 1)
			l.send("crm", 1, 200, 1)
		}
		return len(l.after(0))
	}
	l.send("crm", 1, 200, 1)
	if first := flap(10); first < samplesPerMinute || first > 2*samplesPerMinute+2 {
		t.Errorf("%d entries", first)
	}
	if more := flap(10); more != 0 {
		t.Errorf("%d entries more in the same minute", more)
	}
	l.after(time.Minute - 1)
	if more := flap(1); more > 1 {
		t.Errorf("%d entries an instant before the minute ends", more)
	}
	l.after(1)
	if again := flap(10); again < samplesPerMinute {
		t.Errorf("%d entries in the next minute", again)
	}
}

// An answer that everyone gets is never proof, not even if no more requests may be repeated in this second.
func TestAnAnswerThatEveryoneGetsIsInDoubtIfItCannotBeCompared(t *testing.T) {
	for _, c := range []struct {
		method string
		trial  outbound.Trial
		alike  bool
		doubt  bool
	}{
		{"GET", outbound.Unproven, true, true}, {"POST", outbound.Unproven, true, true},
		{"GET", outbound.First, true, true}, {"GET", outbound.Proven, true, false},
		{"GET", outbound.Unproven, false, false}, {"POST", outbound.First, false, false},
	} {
		receiver := script(t, func(http.ResponseWriter, *http.Request, int) {})
		m, to := towards(t, receiver, 1, 2)
		a := attempt{generation: 2, conclusion: outbound.Accepts,
			reading: outbound.Reading{Meaning: outbound.Answered, Kind: outbound.Kind{Status: 200}}}
		to.controlled(a.reading.Kind, control{at: noon, alike: c.alike})
		to.comparedIn, to.comparisons = noon.Unix(), comparisonsPerSecond
		got := m.confirm(toward(t, receiver.Server, c.method, nil), to, a, c.trial)
		if (got == nil) != c.doubt || got != nil && got[0].conclusion != outbound.Accepts || receiver.all() != "" {
			t.Errorf("%+v: %+v after %q", c, got, receiver.all())
		}
	}
}
