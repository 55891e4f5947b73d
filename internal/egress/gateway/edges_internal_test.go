package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// quietly returns a gateway without its background work.
func quietly(control Control, logged io.Writer) *Gateway {
	g := &Gateway{network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		control: control, now: func() time.Time { return noon }, open: true, parked: make(chan struct{}, 1),
		log: slog.New(slog.NewTextHandler(logged, nil))}
	g.routes.known, g.routes.stale = map[address]*route{}, map[address]*route{}
	g.journal.wake = make(chan struct{}, 1)
	return g
}

func TestTheMessageLogWaitsUntilItCanBeWritten(t *testing.T) {
	control := &failing{}
	var logged bytes.Buffer
	g := quietly(control, &logged)
	if g.writeJournal(t.Context()); control.entries != nil || logged.Len() > 0 {
		t.Errorf("an empty log: %v, %s", control.entries, &logged)
	}
	entries := func(n int) (all []tenancy.Message) {
		for i := range n {
			all = append(all, tenancy.Message{ID: fmt.Sprint(i), Count: 1})
		}
		return all
	}
	g.journal.entries, g.journal.lost = entries(2), 3
	g.writeJournal(t.Context())
	g.writeJournal(t.Context())
	if len(control.entries) != 2 || strings.Count(logged.String(), "messages_lost=3") != 1 {
		t.Errorf("%d entries are written, %s", len(control.entries), &logged)
	}

	logged.Reset()
	control.err, control.entries = errors.New("disk full"), nil
	for range 3 {
		g.journal.entries = append(g.journal.entries, entries(mostEntries/4)...)
		g.writeJournal(t.Context())
	}
	if len(g.journal.entries) != 3*mostEntries/4 || g.journal.entries[1].ID != "1" {
		t.Errorf("%d entries wait", len(g.journal.entries))
	}
	if strings.Count(logged.String(), "disk full") != 1 || strings.Contains(logged.String(), "messages_lost") {
		t.Errorf("three failures are logged as %s", &logged)
	}
	control.err, control.entries, control.records = nil, nil, 0
	g.writeJournal(t.Context())
	if len(control.entries) != 3*mostEntries/4 || len(g.journal.entries) != 0 || g.journal.failing ||
		control.records != (3*mostEntries/4+journalPage-1)/journalPage ||
		!strings.Contains(logged.String(), fmt.Sprint("entries=", 3*mostEntries/4)) {
		t.Errorf("%d entries are written in %d pages, %d wait: %s", len(control.entries), control.records,
			len(g.journal.entries), &logged)
	}
}

// An outage of an hour begins with one kind of failure and ends with another. Both must be seen.
func TestALogThatCannotBeWrittenForLongCountsLaterMessagesByTheirKind(t *testing.T) {
	control := &failing{}
	var logged bytes.Buffer
	g := quietly(control, &logged)
	entry := tenancy.Message{Duration: 2 * time.Second, Count: 1}
	for range mostEntries {
		g.journal.append(kind{status: 500}, entry)
	}
	for range 3 {
		g.journal.append(kind{status: 401}, tenancy.Message{ID: "401", Duration: time.Second, Count: 1})
	}
	g.journal.append(kind{status: 401}, tenancy.Message{Duration: 3 * time.Second, Count: 3})
	for i := range mostEntries {
		g.journal.append(kind{status: 200, arrangementID: fmt.Sprint(i)}, entry)
	}
	if len(g.journal.entries) != mostEntries || len(g.journal.beyond) != mostEntries || g.journal.lost != 1 {
		t.Errorf("%d entries wait, %d kinds are counted, %d messages are lost", len(g.journal.entries),
			len(g.journal.beyond), g.journal.lost)
	}
	g.writeJournal(t.Context())
	late := slices.IndexFunc(control.entries, func(m tenancy.Message) bool { return m.ID == "401" })
	if len(control.entries) != 2*mostEntries || late < 0 || control.entries[late].Count != 6 ||
		control.entries[late].Duration != 2*time.Second || g.journal.beyond != nil ||
		!strings.Contains(logged.String(), "messages_lost=1") {
		t.Errorf("%d entries are written, the later failure at %d: %s", len(control.entries), late, &logged)
	}
}

func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestMessagesAreCountedByTheClassOfTheirAnswer(t *testing.T) {
	s := seriesOf("acme/counted")
	for _, m := range []message{{status: 200, attempts: 1}, {status: 204, attempts: 2}, {status: 404, attempts: 3},
		{status: 0, attempts: 1}, {status: 599, attempts: 1}, {status: 700, attempts: 0}} {
		s.count(&m)
	}
	for class, want := range []float64{1, 0, 2, 0, 1, 2} {
		if got := value(t, s.byClass[class]); got != want {
			t.Errorf("class %d: %v messages, want %v", class, got, want)
		}
	}
	if got := value(t, s.fallbacks); got != 2 {
		t.Errorf("%v fall-backs", got)
	}
}

// A message that cannot be parked is the sender's again, with the reason.
func TestAMessageIsParkedOrRefusedWithAReason(t *testing.T) {
	to := &route{standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a",
		Egress: tenancy.Egress{KeepBytes: 10}},
		Tenant: tenancy.Tenant{ID: "t"}}}
	for _, c := range []struct {
		name   string
		body   io.Reader
		key    string
		err    error
		status int
		says   string
	}{
		{"the largest one", strings.NewReader("0123456789"), "k", nil, 202, `"state":"waiting"`},
		{"without a key", strings.NewReader(""), "", nil, 202, `"attempts":0`},
		{"the longest key", strings.NewReader(""), strings.Repeat("k", 255), nil, 202, `"id"`},
		{"a key that is too long", strings.NewReader(""), strings.Repeat("k", 256), nil, 400, "longer than 255 bytes"},
		{"one byte more", strings.NewReader("0123456789x"), "k", nil, 413, "at most 10 bytes"},
		{"half a body", io.MultiReader(strings.NewReader("01"), iotest.ErrReader(io.ErrUnexpectedEOF)), "k", nil, 400,
			"nothing was stored"},
		{"another message under the key", strings.NewReader(""), "k", tenancy.Errorf(tenancy.ErrConflict, "another one"), 422,
			"another one"},
		{"a full disk", strings.NewReader(""), "k", errors.New("secret"), 503, "with the same Idempotency-Key"},
	} {
		control := &failing{err: c.err}
		var logged bytes.Buffer
		g := quietly(control, &logged)
		r := httptest.NewRequest(http.MethodPost, "/?a=b", c.body)
		r.Header.Set("Connection", "X-Hop")
		r.Header["X-Hop"], r.Header["X-Kept"], r.Header["Prefer"] = []string{"1"}, []string{"2"}, []string{"respond-async"}
		if c.key != "" {
			r.Header.Set("Idempotency-Key", c.key)
		}
		w := httptest.NewRecorder()
		g.park(w, r, address{"acme", "bank"}, "/orders", to)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Header().Get(ours) != "1" {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if isLogged := strings.Contains(logged.String(), "could not be parked"); isLogged != (c.status == 503) {
			t.Errorf("%s: logged %q", c.name, &logged)
		}
		if c.status != 202 {
			if len(g.parked) != 0 {
				t.Errorf("%s: the delivery was woken", c.name)
			}
			continue
		}
		request := string(control.parked)
		if !strings.Contains(request, `"Rest":"/orders"`) || !strings.Contains(request, `"Query":"a=b"`) ||
			!strings.Contains(request, `"X-Kept":["2"]`) || strings.Contains(request, "X-Hop") ||
			strings.Contains(request, "Prefer") || !strings.Contains(request, `"Idempotency-Key":["`+c.key) {
			t.Errorf("%s: stored %s", c.name, request)
		}
		if location := w.Header().Get("Location"); !strings.HasPrefix(location, "/-/messages/acme/bank/") ||
			len(g.parked) != 1 {
			t.Errorf("%s: its status is at %q, and the delivery was woken %d times", c.name, location, len(g.parked))
		}
	}
}

func TestTheStatusOfAParkedMessageIsLookedUp(t *testing.T) {
	for _, c := range []struct {
		path   string
		err    error
		status int
		says   string
	}{
		{"acme/bank/1", nil, 200, `"next_attempt":"2026-03-01T12:00:00Z"`},
		{"acme/bank/1", nil, 200, `"receiver_status":503`},
		{"acme/bank", nil, 404, "no such message"}, {"acme/bank/1/2", nil, 404, "no such message"},
		{"acme/bank/1", tenancy.Errorf(tenancy.ErrNotFound, "gone"), 404, "no such message"},
		{"acme/bank/1", errors.New("secret"), 503, "at the moment"},
	} {
		control := &failing{err: c.err}
		g := quietly(control, io.Discard)
		g.routes.known[address{"acme", "bank"}] = &route{}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+statusPath+c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s, %v: %d %s", c.path, c.err, w.Code, w.Body)
		}
	}
}

func TestAnArrangementThatCannotBeReadIsAnswered(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
		logged bool
	}{
		{tenancy.Errorf(tenancy.ErrNotFound, "gone"), 404, "there is no arrangement acme/bank", false},
		{tenancy.Errorf(tenancy.ErrRefused, "it presents no certificate"), 409, "presents no certificate", false},
		{errors.New("secret"), 503, "cannot look up this arrangement", true},
	} {
		var logged bytes.Buffer
		g := quietly(&failing{err: c.err}, &logged)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/acme/bank/x", nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "secret") ||
			strings.Contains(logged.String(), "secret") != c.logged {
			t.Errorf("%v: %d %s, logged %q", c.err, w.Code, w.Body, &logged)
		}
	}
	g := quietly(&failing{}, io.Discard)
	for path, want := range map[string]int{"/acme": 400, "/acme/bank/..": 400} {
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestAParkedMessageThatAnotherProcessSendsIsLeftAlone(t *testing.T) {
	control := &failing{unclaimed: true}
	g := quietly(control, io.Discard)
	if tries(g, t.Context(), tenancy.Parked{ID: "1"}) || len(control.updated) != 0 {
		t.Errorf("stored %+v", control.updated)
	}
	var logged bytes.Buffer
	control = &failing{lost: errors.New("disk full")}
	g = quietly(control, &logged)
	if tries(g, t.Context(), tenancy.Parked{ID: "1", State: tenancy.ParkedWaiting}) ||
		!strings.Contains(logged.String(), "is sent again") {
		t.Errorf("a result that cannot be stored: %s", &logged)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	control = &failing{}
	g = quietly(control, io.Discard)
	if tries(g, ended, tenancy.Parked{ID: "1", State: tenancy.ParkedWaiting}) || len(control.updated) != 1 ||
		!control.updated[0].NextAt.Equal(noon) || !strings.Contains(control.updated[0].LastError, "the gateway ended") {
		t.Errorf("when the process ends: %+v", control.updated)
	}
}

func TestABrokenWriteIsToldFromABrokenRead(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{{&net.OpError{Op: "write", Err: io.EOF}, true}, {&net.OpError{Op: "read", Err: io.EOF}, false}, {io.EOF, false},
		{nil, false}} {
		if got := isWrite(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// What is sent again is watched as well.
func TestABodyThatIsSentAgainIsGuarded(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
	opened := 0
	r.GetBody = func() (io.ReadCloser, error) {
		if opened++; opened > 1 {
			return nil, errTooLarge
		}
		return io.NopCloser(strings.NewReader("again")), nil
	}
	q, stop := guard(r, time.Millisecond)
	body, err := q.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(body); string(data) != "again" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	<-q.Context().Done()
	var stalled stalledError
	if err := stop(io.EOF); !errors.As(err, &stalled) {
		t.Errorf("got %v", err)
	}
	if body, err := q.GetBody(); !errors.Is(err, errTooLarge) || body != nil {
		t.Errorf("a body that cannot be sent again: %v", err)
	}
	plain, _ := guard(httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")), time.Hour)
	if plain.GetBody != nil {
		t.Error("a body that cannot be sent again has another one")
	}
}

// The answer decides whether a parked message is delivered, has failed for good, or waits.
func TestTheAnswerToAParkedMessageDecides(t *testing.T) {
	for status, c := range map[int]struct {
		state tenancy.ParkedState
		ended bool
		says  string
	}{
		200: {tenancy.ParkedDelivered, true, ""}, 302: {tenancy.ParkedDelivered, true, ""},
		399: {tenancy.ParkedDelivered, true, ""}, 400: {tenancy.ParkedFailed, true, "is final: 400 Bad Request"},
		404: {tenancy.ParkedFailed, true, "is final: 404 Not Found"}, 429: {tenancy.ParkedWaiting, false, "429"},
		500: {tenancy.ParkedWaiting, false, "500 Internal Server Error"}, 503: {tenancy.ParkedWaiting, false, "503"},
	} {
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/base/orders?a=b" || r.Header.Get("X-Kept") != "2" {
				t.Errorf("got %s with %v", r.URL, r.Header)
			}
			w.WriteHeader(status)
		}))
		endpoint, err := url.Parse(receiver.URL + "/base")
		if err != nil {
			t.Fatal(err)
		}
		control := &failing{request: `{"Rest":"/orders","Query":"a=b","Header":{"X-Kept":["2"]},"Body":"eA=="}`}
		g := quietly(control, io.Discard)
		network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
		g.routes.known[address{"acme", "bank"}] = &route{address: address{"acme", "bank"}, endpoint: endpoint,
			series: seriesOf("acme/bank"), plain: network.Connections(nil, tenancy.Egress{})}
		ended := tries(g, t.Context(), tenancy.Parked{ID: "1", Method: "POST", State: tenancy.ParkedWaiting,
			Attempts: 2})
		receiver.Close()
		if len(control.updated) != 1 {
			t.Fatalf("%d: stored %+v", status, control.updated)
		}
		p := control.updated[0]
		if ended != c.ended || p.State != c.state || p.Status != status || p.Attempts != 3 ||
			!strings.Contains(said(p.LastError), c.says) || (p.LastError == "") != (c.says == "") {
			t.Errorf("%d: ended %v, stored %+v", status, ended, p)
		}
		if c.ended && !p.EndedAt.Equal(noon) || !c.ended && !p.NextAt.Equal(noon.Add(4*time.Second)) {
			t.Errorf("%d: ended at %v, next at %v", status, p.EndedAt, p.NextAt)
		}
	}
}

func TestAnAttemptThatCannotBeMadeIsNotAFault(t *testing.T) {
	g := quietly(&failing{}, io.Discard)
	to := &route{identities: map[int]*identity{1: {}}}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	m := &message{gateway: g, route: to}
	if a, again := m.tryOne(r, to, 7); !again || a.generation != 7 || a.meaning != outbound.Refused || a.err == nil ||
		said(a.detail) != "its key is not available" {
		t.Errorf("without its key: %+v, again %v", a, again)
	}
	m.kept = &kept{lost: true}
	if a, again := m.tryOne(r, to, 1); again || a.generation != 1 || a.meaning == outbound.Refused || a.err == nil ||
		!strings.Contains(a.err.Error(), "cannot be sent again") {
		t.Errorf("without its body: %+v, again %v", a, again)
	}
	if a := m.once(r, 7); a.generation != 7 || a.err == nil || !strings.Contains(a.err.Error(), "generation 7") {
		t.Errorf("the only one, without its key: %+v", a)
	}
	if m.attempts != 3 {
		t.Errorf("%d attempts", m.attempts)
	}
	if f := m.refusesSafely(r, to, 1); f != (finding{}) {
		t.Errorf("there is nothing to compare with: %+v", f)
	}
}

// A message is safely asked about with the question of its arrangement, or else with its own head.
func TestASafeRequestIsTheQuestionOrTheHeadOfTheMessage(t *testing.T) {
	asked := make(chan *http.Request, 10)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r }))
	defer receiver.Close()
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	g := quietly(&failing{}, io.Discard)
	g.network = network
	for _, c := range []struct {
		probe tenancy.Probe
		want  string
	}{{tenancy.Probe{Method: "OPTIONS", Path: "/health"}, "OPTIONS /health "}, {tenancy.Probe{}, "HEAD /orders?a=b 1"}} {
		s := standing.Standing{Arrangement: tenancy.Arrangement{Endpoint: receiver.URL,
			Authentication: tenancy.ClientCertificate, Egress: tenancy.Egress{Probe: c.probe,
				ServerKeyPin: outbound.KeyPin(receiver.Certificate())}}}
		to, err := newRoute(network, address{"acme", "bank"}, s, []standing.Identity{{Generation: 1}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, receiver.URL+"/orders?a=b", strings.NewReader("body"))
		r.RequestURI = ""
		r.Header.Set("X-Kept", "1")
		r.Header.Set("Idempotency-Key", "k")
		r.Header.Set("Content-Type", "text/plain")
		a := (&message{gateway: g, route: to}).safely(r, to, 1)
		if a.generation != 1 || a.meaning != outbound.Answered || a.reading.Kind.Status != 200 || a.detail != "200 OK" {
			t.Errorf("%s: %+v", c.want, a)
		}
		got := <-asked
		if text := got.Method + " " + got.URL.String() + " " + got.Header.Get("X-Kept"); text != c.want ||
			got.Header.Get("Idempotency-Key")+got.Header.Get("Content-Type") != "" || got.ContentLength != 0 {
			t.Errorf("the receiver was asked %q with %v, want %q", text, got.Header, c.want)
		}
	}
}

// tries makes one attempt to deliver a parked message, and reports whether it will not be sent again.
func tries(g *Gateway, ctx context.Context, p tenancy.Parked) bool {
	end, _ := g.tryParked(ctx, p)
	return end
}
