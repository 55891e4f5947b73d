package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A scripted receiver asks for a certificate, and answers each request as its function does, before the body is read.
type scripted struct {
	*httptest.Server
	mu   sync.Mutex // guards seen
	seen []string   // the method of each request, with the generation, and "expects" if it does
}

func script(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, generation int)) *scripted {
	t.Helper()
	s := &scripted{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		generation := int(r.TLS.PeerCertificates[0].SerialNumber.Int64())
		text := r.Method + string(rune('0'+generation))
		if r.Header.Get("Expect") != "" {
			text += " expects"
		}
		s.mu.Lock()
		s.seen = append(s.seen, text)
		s.mu.Unlock()
		answer(w, r, generation)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// all returns the requests, separated by commas.
func (s *scripted) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, ", ")
}

func abort() { panic(http.ErrAbortHandler) }

// towards returns a message to a receiver with the generations 1 and 2 or more.
func towards(t *testing.T, receiver *scripted, generations ...int) (*message, *route) {
	t.Helper()
	g := quietly(&failing{err: tenancy.Errorf(tenancy.ErrNotFound, "gone")}, io.Discard)
	g.network = &outbound.Network{}
	testenv.Check(t, g.network.AddTarget("127.0.0.0/8"))
	g.reports.wake = make(chan struct{}, 1)
	to := connected(t, receiver.Server, generations...)
	return newMessage(g, to, http.MethodPost, "/orders"), to
}

// A closed connection is a refusal only if the receiver cannot have processed the message, and only if the certificate
// is the cause.
func TestAClosedConnectionIsARefusalOnlyIfTheCertificateIsTheCause(t *testing.T) {
	serves := func(w http.ResponseWriter, r *http.Request, _ int) { io.Copy(io.Discard, r.Body) }
	var receiver *scripted
	const withheld, read, none = "withheld", "read", "none"
	brokenWrite := &net.OpError{Op: "write", Err: io.EOF}
	for _, c := range []struct {
		name, method string
		body         string // what the receiver has got of it
		unknown      bool   // length
		err          error
		answer       func(w http.ResponseWriter, r *http.Request, generation int)
		meaning      outbound.Meaning
		detail       string
		unexpected   bool
		seen         string
	}{
		{"the head is refused", "POST", read, false, io.EOF, func(w http.ResponseWriter, r *http.Request, generation int) {
			w.WriteHeader(401)
		}, outbound.Refused, "401 Unauthorized", false, "POST1 expects"},
		{"the head is closed too", "POST", read, false, io.EOF, func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("Expect") != "" {
				abort()
			}
		}, outbound.Refused, "the receiver closed the connection twice", false, "POST1 expects, HEAD2"},
		{"the receiver is gone", "POST", read, false, io.EOF, func(http.ResponseWriter, *http.Request, int) {
			receiver.Listener.Close()
			abort()
		}, outbound.Nothing, "closed", false, "POST1 expects"},
		{"the receiver continues, and answers", "POST", read, false, io.EOF, serves, outbound.Nothing, "closed", false,
			"POST1 expects, HEAD2, HEAD1"},
		{"the receiver continues, and refuses a safe request", "POST", read, false, io.EOF,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				if io.Copy(io.Discard, r.Body); generation == 1 && r.Method == "HEAD" {
					w.WriteHeader(403)
				}
			}, outbound.Refused, "a safe request shows that the generation is refused: 403 Forbidden, and 200 OK with " +
				"generation 2", false, "POST1 expects, HEAD2, HEAD1"},
		{"the receiver does not know the expectation", "POST", read, false, io.EOF,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				if r.Header.Get("Expect") != "" {
					w.WriteHeader(417)
				}
			}, outbound.Nothing, "closed", true, "POST1 expects, HEAD2, HEAD1"},
		{"it does not know it, and the body was not written", "POST", read, false, brokenWrite,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				if r.Header.Get("Expect") != "" {
					w.WriteHeader(400)
				}
			}, outbound.Nothing, "closed", true, "POST1 expects, HEAD2, HEAD1"},
		{"the application refuses the head, and has the body", "POST", read, false, io.EOF,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				if r.Header.Get("Expect") != "" {
					w.WriteHeader(400)
				}
			}, outbound.Nothing, "closed", false, "POST1 expects, HEAD2, HEAD1"},
		{"it does not know it, and refuses a safe request", "POST", read, false, io.EOF,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				if r.Header.Get("Expect") != "" {
					w.WriteHeader(417)
				} else if generation == 1 {
					w.WriteHeader(401)
				}
			}, outbound.Refused, "a safe request shows", false, "POST1 expects, HEAD2, HEAD1"},
		{"the length is unknown", "POST", read, true, io.EOF, serves, outbound.Nothing, "closed", false, "HEAD2, HEAD1"},
		{"a withheld body is accepted", "POST", withheld, false, io.EOF, serves, outbound.Answered, "200 OK", false,
			"POST1 expects"},
		{"a withheld body is closed again", "POST", withheld, false, io.EOF,
			func(http.ResponseWriter, *http.Request, int) { abort() }, outbound.Refused,
			"the receiver closed the connection twice", false, "POST1 expects"},
		{"a withheld body is read and closed", "POST", withheld, false, io.EOF,
			func(w http.ResponseWriter, r *http.Request, generation int) {
				io.Copy(io.Discard, r.Body)
				abort()
			}, outbound.Nothing, "EOF", false, "POST1 expects"},
		{"an idempotent one is accepted", "PUT", none, false, io.EOF, serves, outbound.Answered, "200 OK", false, "PUT1"},
		{"an idempotent one is closed again", "GET", none, false, io.EOF,
			func(http.ResponseWriter, *http.Request, int) { abort() }, outbound.Refused,
			"the receiver closed the connection twice", false, "GET1"},
		{"one without a body is not repeated", "POST", none, false, io.EOF, serves, outbound.Nothing, "closed", false,
			"HEAD2, HEAD1"},
	} {
		receiver = script(t, c.answer)
		m, to := towards(t, receiver, 1, 2)
		var body io.Reader
		if c.body != none {
			body = strings.NewReader("<order/>")
		}
		r := toward(t, receiver.Server, c.method, body)
		if c.unknown {
			r.ContentLength = -1
		}
		if m.keep(r, 1<<20); c.body == read {
			try, _ := m.kept.newTry()
			try.Read(make([]byte, 3))
		}
		a := attempt{generation: 1, meaning: outbound.Suspicious, detail: "closed", err: c.err}
		m.examine(r, to, &a)
		if a.meaning != c.meaning || !strings.Contains(said(a.detail), c.detail) || a.unexpected != c.unexpected ||
			receiver.all() != c.seen || a.generation != 1 || m.attempts != 1 {
			t.Errorf("%s: meaning %d (%s), unexpected %v after %q", c.name, a.meaning, a.detail, a.unexpected, receiver.all())
		}
		if a.response != nil {
			a.response.Body.Close()
		}
	}
}

// The body is not asked for, so that the receiver cannot take the head for a whole message.
func TestTheHeadIsSentWithoutTheBody(t *testing.T) {
	for status, want := range map[int]string{0: "", 204: "204 No Content"} {
		got := make(chan string, 1)
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			if status > 0 {
				w.WriteHeader(status)
				got <- ""
				return
			}
			data, _ := io.ReadAll(r.Body)
			got <- string(data)
		})
		m, to := towards(t, receiver, 1)
		a := ask(toward(t, receiver.Server, "POST", strings.NewReader("<order/>")), to.fresh(m.gateway.network,
			&to.identities[1].Identity), to.refusals)
		if body := <-got; a.detail != want || body != "" || (a.meaning == outbound.Answered) != (status > 0) {
			t.Errorf("meaning %d: %s, the receiver got %q", a.meaning, a.detail, body)
		}
	}
	ended := false
	if _, err := (withheld{func() { ended = true }}).Read(nil); !errors.Is(err, errWithheld) || !ended {
		t.Errorf("a body that is read although it is withheld: %v, the request has ended: %v", err, ended)
	}
}

func TestASafeRequestShowsARefusalByComparison(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers map[int][]int // statuses by generation, the last one stays
		detail  string
		refused bool
		seen    string
	}{
		{"it is refused", map[int][]int{1: {401}, 2: {200}},
			"401 Unauthorized, and 200 OK with generation 2", true, "HEAD2, HEAD1"},
		{"it is accepted", map[int][]int{1: {200}, 2: {200}}, "200 OK, and 200 OK with generation 2", false, "HEAD2, HEAD1"},
		{"it closes once", map[int][]int{1: {closes, 200}, 2: {200}}, "200 OK, and 200 OK", false, "HEAD2, HEAD1, HEAD1"},
		{"it closes twice", map[int][]int{1: {closes}, 2: {200}}, "and 200 OK with generation 2", true,
			"HEAD2, HEAD1, HEAD1"},
		{"another one is accepted", map[int][]int{1: {401}, 2: {200}, 3: {401}},
			"401 Unauthorized, and 200 OK with generation 2", true, "HEAD3, HEAD2, HEAD1"},
		{"none is accepted", map[int][]int{1: {401}, 2: {401}, 3: {closes}}, "", false, "HEAD3, HEAD2"},
	} {
		times := map[int]int{}
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
			all := c.answers[generation]
			status := all[min(times[generation], len(all)-1)]
			if times[generation]++; status == closes {
				abort()
			}
			w.WriteHeader(status)
		})
		m, to := towards(t, receiver, 1, 2)
		if len(c.answers) > 2 {
			m, to = towards(t, receiver, 1, 2, 3)
		}
		r := toward(t, receiver.Server, "POST", strings.NewReader("<order/>"))
		f := m.refusesSafely(r, to, 1)
		if !strings.Contains(said(f.detail), c.detail) || f.hangs || f.refused != c.refused || receiver.all() != c.seen ||
			(f.detail == "") != (c.detail == "") {
			t.Errorf("%s: %+v after %q", c.name, f, receiver.all())
		}
	}
}

// A body that cannot be sent again goes to the generation that the receiver does not refuse.
func TestALargeBodyBeginsWithTheGenerationThatIsNotRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuses []int
		order   []int
		change  func(*route)
		want    []int
	}{
		{"the first is accepted", nil, []int{1, 2, 3}, nil, []int{1, 2, 3}},
		{"the first is refused", []int{1}, []int{1, 2, 3}, nil, []int{2, 1, 3}},
		{"the last is accepted", []int{1, 2}, []int{1, 2, 3}, nil, []int{3, 1, 2}},
		{"all are refused", []int{1, 2, 3}, []int{1, 2, 3}, nil, []int{1, 2, 3}},
		{"the key of the first is not available", nil, []int{1, 2, 3}, func(r *route) { delete(r.identities, 1) },
			[]int{2, 1, 3}},
		{"the receiver takes the newest only", []int{1}, []int{1, 2, 3}, func(r *route) {
			r.rollover.NewestOnly, r.rollover.Presents = true, 1
		}, []int{1, 2, 3}},
		{"messages present what a question must not", nil, []int{2, 1, 3}, func(r *route) {
			r.rollover.NewestOnly, r.rollover.Presents = true, 1
		}, []int{2, 1, 3}},
	} {
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
			if slices.Contains(c.refuses, generation) {
				w.WriteHeader(403)
			} else if r.Body.Read(make([]byte, 1)); r.ContentLength == 8 { // "100 Continue" proves nothing
				w.WriteHeader(204)
			}
		})
		m, to := towards(t, receiver, 1, 2, 3)
		if c.change != nil {
			c.change(to)
		}
		before := slices.Clone(c.order)
		got := m.probeFirst(toward(t, receiver.Server, "POST", strings.NewReader("<order/>")), c.order)
		if !slices.Equal(got, c.want) || !slices.Equal(c.order, before) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A handshake that fails after "100 Continue" proves a refusal, and one that succeeds proves nothing.
func TestAnExpectationThatTheGatewayAddedDoesNotChangeTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name     string
		status   int  // of a request that expects; 0 if the expectation is met
		own      bool // the sender expects it too
		then     int  // the status without the expectation
		want     int
		attempts int
		seen     string
	}{
		{"it is met", 0, false, 200, 200, 1, "POST1 expects"},
		{"it fails", 417, false, 200, 200, 2, "POST1 expects, POST1"},
		{"it is a bad request", 400, false, 201, 201, 2, "POST1 expects, POST1"},
		{"it is not implemented", 501, false, 200, 200, 2, "POST1 expects, POST1"},
		{"the message is a bad request", 400, false, 400, 400, 2, "POST1 expects, POST1"},
		{"another failure", 404, false, 200, 404, 1, "POST1 expects"},
		{"the sender's own fails", 417, true, 200, 417, 1, "POST1 expects"},
	} {
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			status := c.then
			if r.Header.Get("Expect") != "" && c.status > 0 {
				status = c.status
			} else if body, _ := io.ReadAll(r.Body); len(body) != 8 {
				status = 599
			}
			w.WriteHeader(status)
		})
		m, to := towards(t, receiver, 1, 2)
		r := toward(t, receiver.Server, "POST", strings.NewReader("<order/>"))
		if c.own {
			r.Header.Set("Expect", "100-continue")
		}
		m.keep(r, 1<<20)
		before := to.identities[1].transport()
		a, again := m.tryOne(r, to, 1)
		if a.err != nil {
			t.Fatalf("%s: %v", c.name, a.err)
		}
		a.response.Body.Close()
		if a.response.StatusCode != c.want || m.attempts != c.attempts || receiver.all() != c.seen || !again {
			t.Errorf("%s: %d after %d attempts: %s", c.name, a.response.StatusCode, m.attempts, receiver.all())
		}
		ignored := c.status > 0 && !c.own
		if until := noon.Add(continuePause); to.noContinueUntil.Equal(until) != ignored ||
			(to.identities[1].transport() != before) != (c.attempts > 1) {
			t.Errorf("%s: the receiver is not asked until %v", c.name, to.noContinueUntil)
		}
	}
}

// The sender gets the interim responses of the receiver, but for the answer to an expectation that it did not have.
func TestInterimResponsesReachTheSender(t *testing.T) {
	var codes []int
	broken := errors.New("broken")
	proxys := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { codes = append(codes, code); return broken },
		GotConn:        func(httptrace.GotConnInfo) { t.Error("the proxy's trace is called beside the gateway's") }})
	trace := httptrace.ContextClientTrace(quiet(proxys, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {}}))
	trace.GotConn(httptrace.GotConnInfo{})
	if err := trace.Got1xxResponse(http.StatusContinue, nil); err != nil || len(codes) != 0 {
		t.Errorf("100 Continue: %v, %v", codes, err)
	}
	if err := trace.Got1xxResponse(http.StatusEarlyHints, nil); err != broken || !slices.Equal(codes, []int{103}) {
		t.Errorf("103 Early Hints: %v, %v", codes, err)
	}
	alone := quiet(context.WithValue(t.Context(), trustedKey{}, "kept"), &httptrace.ClientTrace{})
	if trace := httptrace.ContextClientTrace(alone); trace.Got1xxResponse != nil || alone.Value(trustedKey{}) != "kept" {
		t.Error("without a trace of the proxy")
	}
	silent := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{})
	if trace := httptrace.ContextClientTrace(quiet(silent, &httptrace.ClientTrace{})); trace.Got1xxResponse != nil {
		t.Error("a proxy that takes no interim responses gets them")
	}
}

func TestWhatIsTriedAgainAfterEveryRefusal(t *testing.T) {
	one, two, reused := attempt{generation: 1}, attempt{generation: 2}, attempt{generation: 2, reused: true}
	for _, c := range []struct {
		name    string
		rounds  int
		changed time.Duration // ago; negative: never
		tries   []attempt
		want    []int
		pause   time.Duration
	}{
		{"the first one", 0, -1, []attempt{one, two, {generation: 3}}, []int{3, 1}, 0},
		{"the first one was not the first in order", 0, -1, []attempt{two, one, {generation: 3}}, []int{3, 2}, 0},
		{"one on an older connection", 0, -1, []attempt{one, reused, {generation: 3}}, []int{3, 2, 1}, 0},
		{"one that was not known", 0, -1, []attempt{one, two}, []int{3, 2, 1}, 0},
		{"a second round", 1, -1, []attempt{one, two}, nil, 0},
		{"a second round during a change", 1, 0, []attempt{one, two, {generation: 3}}, []int{1, 2, 3}, 50 * time.Millisecond},
		{"a third one", 2, 0, []attempt{one, two, {generation: 3}}, []int{1, 2, 3}, 200 * time.Millisecond},
		{"a fourth one", 3, 0, []attempt{one, two, {generation: 3}}, []int{1, 2, 3}, 500 * time.Millisecond},
		{"a fifth one", 4, 0, []attempt{one, two, {generation: 3}}, nil, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := quietly(&failing{err: tenancy.Errorf(tenancy.ErrNotFound, "gone")}, io.Discard)
			to := &route{}
			if c.changed >= 0 {
				to.changedAt = noon.Add(-c.changed)
			}
			to.rollover = rollover.Rollover{Presents: 1, Strategy: tenancy.Adaptive}
			for n := 1; n <= 3; n++ {
				to.rollover.Generations = append(to.rollover.Generations, rollover.Generation{Number: n,
					NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)})
			}
			m := &message{gateway: g, rounds: c.rounds}
			begun := time.Now()
			again, order := m.afterAll(t.Context(), to, c.tries)
			if again != to || !slices.Equal(sorted(order), sorted(c.want)) || time.Since(begun) != c.pause ||
				len(order) > 0 && order[0] != c.want[0] && c.rounds == 0 {
				t.Errorf("%s: %v after %v, want %v", c.name, order, time.Since(begun), c.want)
			}
			if counted := m.rounds - c.rounds; (counted == 1) != (c.want != nil) {
				t.Errorf("%s: %d rounds are counted", c.name, counted)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			m = &message{gateway: g, rounds: 2}
			to.changedAt = noon
			if _, order := m.afterAll(ended, to, c.tries); order != nil || m.rounds != 2 {
				t.Errorf("%s: a sender that went away is waited for: %v", c.name, order)
			}
		})
	}
}

func sorted(all []int) []int {
	all = slices.Clone(all)
	slices.Sort(all)
	return all
}

// A refused answer is read if that frees its connection, and not if it may be a stream.
func TestAShortRefusalFreesItsConnection(t *testing.T) {
	for length, want := range map[int64]int{1: 1, 32 << 10: 32 << 10, 32<<10 + 1: 0, -1: 0} {
		body := &meteredBody{left: max(length, 1<<20)}
		(&attempt{response: &http.Response{ContentLength: length, Body: body}}).discard()
		if body.read != want || !body.closed {
			t.Errorf("%d bytes: read %d, closed %v", length, body.read, body.closed)
		}
	}
	(&attempt{}).discard()
}

type meteredBody struct {
	left   int64
	read   int
	closed bool
}

func (c *meteredBody) Read(p []byte) (int, error) {
	n := min(int64(len(p)), c.left)
	c.left -= n
	c.read += int(n)
	return int(n), nil
}

func (c *meteredBody) Close() error {
	c.closed = true
	return nil
}

// What was sent of a refused body may count against the connection, and other refusals leave it as it is.
func TestAConnectionIsNotUsedAgainAfterARefusedBody(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   bool
	}{{401, "<order/>", true}, {401, "", false}, {200, "<order/>", false}} {
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, _ int) { w.WriteHeader(c.status) })
		m, to := towards(t, receiver, 1)
		before := to.identities[1].transport()
		a := m.once(toward(t, receiver.Server, "POST", strings.NewReader(c.body)), 1)
		a.discard()
		if changed := to.identities[1].transport() != before; changed != c.want || a.generation != 1 {
			t.Errorf("%d to %q: a new connection %v, %+v", c.status, c.body, changed, a.reading)
		}
	}
}

// A gateway that was not notified of a renewal finds the new generation when the old one is refused.
func TestARefusalOfTheOnlyGenerationLooksForANewerOne(t *testing.T) {
	for _, c := range []struct {
		name    string
		method  string
		size    int
		answers [2]int // by generation
		status  int    // 0 if there is no answer
		outcome outcomeKind
		seen    string
	}{
		{"it is accepted", "POST", 100, [2]int{200, 200}, 200, sentOnce, "POST1"},
		{"it is refused", "POST", 100, [2]int{401, 201}, 201, fellBack, "POST1, POST2 expects"},
		{"it is refused without a body", "GET", 0, [2]int{403, 200}, 200, fellBack, "GET1, GET2"},
		{"both are refused", "GET", 0, [2]int{401, 403}, 401, refusedAll, "GET1, GET2, GET2, GET1"},
		{"more was sent than is kept", "POST", smallBody + 1, [2]int{401, 200}, 401, refusedTooBig, "POST1"},
		{"it closes without a body", "GET", 0, [2]int{closes, 200}, 200, fellBack, "GET1, GET1, GET2"},
		{"it closes after the body", "POST", 100, [2]int{closes, 200}, 0, unanswered,
			"POST1, POST1 expects, HEAD2, HEAD1"},
	} {
		receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
			io.Copy(io.Discard, r.Body)
			status := c.answers[generation-1]
			if status == closes && r.Method != "HEAD" && r.Header.Get("Expect") == "" {
				abort()
			}
			w.WriteHeader(max(status, 200))
		})
		m, to := towards(t, receiver, 1, 2)
		known := &route{address: to.address, standing: to.standing, endpoint: to.endpoint, refusals: to.refusals,
			questions: to.questions, series: to.series, accepted: map[int]time.Time{}, refused: refusedSorts{},
			identities: map[int]*identity{1: to.identities[1]}, rollover: to.rollover}
		known.rollover.Generations = to.rollover.Generations[:1]
		m.route, m.gateway.routes.known[to.address] = known, to
		var body io.Reader
		if c.size > 0 {
			body = bytes.NewReader(make([]byte, c.size))
		}
		res, err := m.RoundTrip(toward(t, receiver.Server, c.method, body))
		status := 0
		if err == nil {
			status = res.StatusCode
			res.Body.Close()
		}
		if status != c.status || m.outcome.kind != c.outcome || receiver.all() != c.seen {
			t.Errorf("%s: %d, outcome %d (%s) after %q, %v", c.name, status, m.outcome.kind, m.outcome, receiver.all(), err)
		}
		if m.kept != nil && c.outcome == sentOnce && m.kept.limit != 0 {
			t.Errorf("%s: the body is kept further", c.name)
		}
	}
}

// A body that was sent and cannot be sent again gets the refusal.
func TestALargeBodyIsNotSentAgain(t *testing.T) {
	receiver := script(t, func(w http.ResponseWriter, r *http.Request, generation int) {
		io.Copy(io.Discard, r.Body)
		if r.ContentLength > 0 {
			w.WriteHeader(401)
		}
	})
	m, to := towards(t, receiver, 1, 2)
	to.standing.Arrangement.Egress.KeepBytes = 1000
	res, err := m.RoundTrip(toward(t, receiver.Server, "POST", bytes.NewReader(make([]byte, 200_000))))
	testenv.Check(t, err)
	res.Body.Close()
	if res.StatusCode != 401 || m.outcome.kind != refusedTooBig || m.outcome.generation != 1 || m.attempts != 1 ||
		m.last != 1 || !m.outcome.refused() {
		t.Errorf("%d after %d attempts: %s", res.StatusCode, m.attempts, m.outcome)
	}
}
