package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// A shelf stores parked messages in memory, and fails at one call.
type shelf struct {
	failing
	stored  tenancy.Parked // under the key; none without an ID
	failsAt string
	calls   []string
	body    []byte
	parked  tenancy.Parked
}

func (s *shelf) call(name string) error {
	s.calls = append(s.calls, name)
	if name == s.failsAt {
		return errors.New("disk full")
	}
	return nil
}

func (s *shelf) ReserveParked(_ context.Context, p tenancy.Parked) (tenancy.Parked, error) {
	if s.stored.ID != "" {
		p = s.stored
	}
	return p, s.call(fmt.Sprint("reserve ", p.Bytes))
}

func (s *shelf) AddParkedChunk(_ context.Context, _ tenancy.Parked, part tenancy.ParkedPart) error {
	s.body = append(s.body, part.Data...)
	last := ""
	if part.Last {
		last = " last"
	}
	return s.call(fmt.Sprintf("chunk %d of %d%s", part.N, len(part.Data), last))
}

func (s *shelf) Park(_ context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error) {
	s.parked, s.failing.parked = p, request
	if s.stored.ID != "" {
		p = s.stored
	}
	return p, s.call("park")
}

func (s *shelf) DropParked(ctx context.Context, _ tenancy.Parked) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.call("drop")
}

// What was stored of a message that is not completed is deleted, and its sender gets the reason.
func TestALargeParkedMessageIsStoredWholeOrNotAtAll(t *testing.T) {
	const chunk = tenancy.ParkedChunk
	reserve, first := fmt.Sprint("reserve ", 3*chunk), fmt.Sprintf("chunk 0 of %d", chunk)
	second, last := fmt.Sprintf("chunk 1 of %d", chunk), "chunk 2 of 5 last"
	broken := func(n int, err error) io.Reader {
		return io.MultiReader(io.LimitReader(zeros{}, int64(n)), iotest.ErrReader(err))
	}
	cut := io.ErrUnexpectedEOF
	for _, c := range []struct {
		name    string
		body    io.Reader
		length  int64
		failsAt string
		status  int
		says    string
		calls   []string
	}{
		{"three chunks", io.LimitReader(zeros{}, 2*chunk+5), 3 * chunk, "", 202, `"id"`,
			[]string{reserve, first, second, last, "park"}},
		{"of unknown length", io.LimitReader(zeros{}, chunk+1), -1, "", 202, `"id"`,
			[]string{fmt.Sprint("reserve ", chunk), first, "chunk 1 of 1 last", "park"}},
		{"one whole chunk", io.LimitReader(zeros{}, chunk), chunk, "", 202, `"id"`, []string{"park"}},
		{"two whole chunks", io.LimitReader(zeros{}, 2*chunk), 3 * chunk, "", 202, `"id"`,
			[]string{reserve, first, second + " last", "park"}},
		{"it is cut off in the first chunk", broken(chunk-1, cut), 3 * chunk, "", 400, "was truncated", nil},
		{"it is cut off after the first chunk", broken(chunk, cut), 3 * chunk, "", 400, "was truncated", nil},
		{"it is cut off in the second chunk", broken(2*chunk-1, cut), 3 * chunk, "", 400, "was truncated",
			[]string{reserve, first, "drop"}},
		{"it is cut off after the second chunk", broken(2*chunk, cut), 3 * chunk, "", 400, "was truncated",
			[]string{reserve, first, "drop"}},
		{"its sender is too slow", broken(10, os.ErrDeadlineExceeded), 3 * chunk, "", 408, "500 bytes a second", nil},
		{"there is no room", io.LimitReader(zeros{}, 2*chunk+5), 3 * chunk, reserve, 503, "could not be stored",
			[]string{reserve}},
		{"its first chunk cannot be stored", io.LimitReader(zeros{}, 2*chunk+5), 3 * chunk, first, 503,
			"could not be stored", []string{reserve, first, "drop"}},
		{"its last chunk cannot be stored", io.LimitReader(zeros{}, 2*chunk+5), 3 * chunk, last, 503, "could not be stored",
			[]string{reserve, first, second, last, "drop"}},
		{"it cannot be completed", io.LimitReader(zeros{}, 2*chunk+5), 3 * chunk, "park", 503, "could not be stored",
			[]string{reserve, first, second, last, "park", "drop"}},
	} {
		control := &shelf{failsAt: c.failsAt}
		g := quietly(control, io.Discard)
		g.bodyGrace = time.Hour
		to := &route{standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a",
			Egress: tenancy.Egress{KeepBytes: 3 * chunk}}, Tenant: tenancy.Tenant{ID: "t"}}}
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", c.body)
		r.ContentLength = c.length
		w := httptest.NewRecorder()
		if c.status != 202 {
			cancel() // a sender that goes away gives no reason to keep what was stored
		}
		g.park(w, r, address{"acme", "bank"}, "/orders", to)
		cancel()
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		if fmt.Sprint(control.calls) != fmt.Sprint(c.calls) {
			t.Errorf("%s: the calls are %q, want %q", c.name, control.calls, c.calls)
		}
		if size := len(control.body); c.status == 202 && size > 0 && (control.parked.Chunks != len(c.calls)-2 ||
			!strings.Contains(string(control.failing.parked), fmt.Sprintf(`"Body":null,"Size":%d`, size))) {
			t.Errorf("%s: %d chunks of %d bytes: %s", c.name, control.parked.Chunks, size, control.failing.parked)
		}
	}
}

// Only the digest of a repeated message is needed.
func TestALargeMessageUnderAKnownKeyIsComparedAndNotStored(t *testing.T) {
	control := &shelf{stored: tenancy.Parked{ID: "earlier", State: tenancy.ParkedWaiting}}
	g := quietly(control, io.Discard)
	to := &route{standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a",
		Egress: tenancy.Egress{KeepBytes: 3 * tenancy.ParkedChunk}}, Tenant: tenancy.Tenant{ID: "t"}}}
	digests := map[string]bool{}
	for n, failsAt := range []string{"", "park", ""} {
		control.failsAt, control.calls = failsAt, nil
		body := make([]byte, 2*tenancy.ParkedChunk+5)
		body[len(body)-1] = byte(n) // in the last chunk
		w := httptest.NewRecorder()
		g.park(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)), address{"acme", "bank"}, "/orders", to)
		if got := fmt.Sprint(control.calls); got != "[reserve 0 park]" || (w.Code == 202) != (failsAt == "") {
			t.Errorf("answered %d after %s", w.Code, got)
		}
		digests[string(control.parked.Digest)] = true
	}
	if len(digests) != 3 {
		t.Errorf("%d digests of 3 bodies", len(digests))
	}
}

func TestAFullQuotaTellsWhenToTryAgain(t *testing.T) {
	w := httptest.NewRecorder()
	if !parkRefused(w, address{"acme", "bank"}, tenancy.Errorf(tenancy.ErrQuota, "full")) || w.Code != 507 ||
		w.Header().Get("Retry-After") != "60" || !strings.Contains(w.Body.String(), "acme/bank") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// chunks serves the chunks of a stored body.
type chunks struct {
	Bodies
	all [][]byte
}

func (c chunks) ParkedChunk(_ context.Context, _ tenancy.Parked, n int) ([]byte, error) {
	if n >= len(c.all) {
		return nil, errors.New("damaged")
	}
	return c.all[n], nil
}

func TestAStoredBodyIsReadChunkByChunk(t *testing.T) {
	b := &parkedBody{ctx: t.Context(), control: chunks{all: [][]byte{[]byte("abc"), []byte("de")}},
		p: tenancy.Parked{Chunks: 2}}
	if err := iotest.TestReader(b, []byte("abcde")); err != nil {
		t.Error(err)
	}
	b = &parkedBody{ctx: t.Context(), control: chunks{all: [][]byte{[]byte("abc")}}, p: tenancy.Parked{Chunks: 2}}
	if got, err := io.ReadAll(b); string(got) != "abc" || err == nil || !strings.Contains(err.Error(), "chunk 1 of the") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAParkedMessageHasTheHeadersOfAMessage(t *testing.T) {
	g := quietly(&failing{}, io.Discard)
	for _, c := range []struct{ in, want http.Header }{
		{nil, http.Header{}},
		{http.Header{"Connection": {"close, X-Hop", "x-other"}, "X-Hop": {"1"}, "X-Other": {"1"}, "X-Kept": {"1"}},
			http.Header{"X-Kept": {"1"}}},
		{http.Header{"Te": {"trailers"}, "Expect": {"100-continue"}, "Content-Length": {"5"}, "Upgrade": {"h2c"},
			"X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=10.0.0.1"}, "Keep-Alive": {"5"},
			"Transfer-Encoding": {"chunked"}, "Trailer": {"X"}, "Proxy-Authorization": {"x"}, "X-Forwarded-Host": {"x"},
			"X-Forwarded-Proto": {"http"}, "Proxy-Connection": {"x"}, "Proxy-Authenticate": {"x"},
			"Content-Type": {"text/xml"}}, http.Header{"Content-Type": {"text/xml"}}},
		{http.Header{"Authorization": {"Bearer " + tenancy.TokenPrefix + "1", "Basic x"}, "Prefer": {"respond-async"}},
			http.Header{"Authorization": {"Basic x"}}},
	} {
		before := c.in.Clone()
		if got := g.endToEnd(c.in); fmt.Sprint(got) != fmt.Sprint(c.want) || got == nil {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
		if fmt.Sprint(c.in) != fmt.Sprint(before) {
			t.Errorf("the sender's headers became %v", c.in)
		}
	}
}

func TestTheStatusNamesWhatIsKnownOfAParkedMessage(t *testing.T) {
	for _, c := range []struct {
		p    tenancy.Parked
		want string
	}{
		{tenancy.Parked{ID: "1", State: tenancy.ParkedWaiting, CreatedAt: noon},
			`{"attempts":0,"created_at":"2026-03-01T12:00:00Z","id":"1","state":"waiting"}`},
		{tenancy.Parked{ID: "1", State: tenancy.ParkedWaiting, CreatedAt: noon, Attempts: 1, LastError: "EOF",
			NextAt: noon.Add(time.Second)}, `{"attempts":1,"created_at":"2026-03-01T12:00:00Z","id":"1","last_error":"EOF",` +
			`"next_attempt":"2026-03-01T12:00:01Z","state":"waiting"}`},
		{tenancy.Parked{ID: "1", State: tenancy.ParkedDelivered, CreatedAt: noon, Attempts: 2, Status: 200, NextAt: noon,
			EndedAt: noon.Add(time.Minute)}, `{"attempts":2,"created_at":"2026-03-01T12:00:00Z",` +
			`"ended_at":"2026-03-01T12:01:00Z","id":"1","receiver_status":200,"state":"delivered"}`},
	} {
		w := httptest.NewRecorder()
		answerParked(w, 202, c.p)
		if got := strings.TrimSpace(w.Body.String()); got != c.want || w.Code != 202 || w.Header().Get(ours) != "1" ||
			w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %s, want %s", w.Code, got, c.want)
		}
	}
}

func TestTheAttemptsOfATenantAndOfAllAreLimited(t *testing.T) {
	p := places{byTenant: map[string]int{}}
	for tenant := range 5 {
		for n := range 6 {
			want := n < attemptsPerTenant && tenant*attemptsPerTenant+n < attemptsAtOnce
			if got := p.take(fmt.Sprint(tenant)); got != want {
				t.Errorf("attempt %d of tenant %d: %v", n, tenant, got)
			}
		}
	}
	p.leave("0")
	if !p.take("4") || p.take("0") {
		t.Error("a place that is free goes to a tenant that has taken its share, or to none")
	}
	p.leave("1")
	p.leave("1")
	p.leave("2")
	due := []tenancy.Parked{{ID: "a", TenantID: "3"}, {ID: "b", TenantID: "2"}, {ID: "c", TenantID: "1"},
		{ID: "d", TenantID: "new"}, {ID: "e", TenantID: "2"}}
	p.fewestFirst(due)
	order := ""
	for _, one := range due {
		order += one.ID
	}
	if order != "dcbea" {
		t.Errorf("the order is %s", order)
	}
	for range attemptsPerTenant - 2 {
		p.leave("1")
	}
	if _, known := p.byTenant["1"]; known {
		t.Error("a tenant without attempts is kept in memory")
	}
}

// A line has parked messages that are due, one for each attempt.
type line struct {
	failing
	mu   sync.Mutex // guards the fields below
	due  []tenancy.Parked
	errs []error // of the look-ups
}

func (l *line) put(due []tenancy.Parked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = due
}

func (l *line) DueParked(context.Context, time.Time, int) ([]tenancy.Parked, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if len(l.errs) > 0 {
		err, l.errs = l.errs[0], l.errs[1:]
	}
	due := l.due
	l.due = nil
	return due, err
}

func TestParkedMessagesAreLookedUpRegularlyAndWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		control := &line{errs: []error{errors.New("disk full")}}
		g := quietly(control, &logged)
		g.parkedTimeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.deliverParked(ctx) }()
		time.Sleep(parkedEvery)
		synctest.Wait()
		if !strings.Contains(logged.String(), "disk full") {
			t.Errorf("a failure is logged as %q", &logged)
		}
		control.put([]tenancy.Parked{{ID: "1", TenantID: "t", State: tenancy.ParkedWaiting}})
		wake(g.parked)
		synctest.Wait()
		if len(control.updated) != 1 { // it cannot be read, and is tried again after a second
			t.Fatalf("%d results are stored", len(control.updated))
		}
		control.put(control.updated)
		time.Sleep(firstRetry)
		synctest.Wait()
		if len(control.updated) != 2 || control.updated[1].Attempts != 2 {
			t.Errorf("stored %+v", control.updated)
		}
		cancel()
		<-done
	})
}

func TestAParkedMessageThatCannotBeClaimedIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		ended  bool
		logged bool
	}{"while the gateway runs": {false, true}, "while it ends": {true, false}} {
		var logged bytes.Buffer
		g := quietly(&unclaimable{}, &logged)
		g.parkedTimeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		if c.ended {
			cancel()
		}
		ended, tried := g.tryParked(ctx, tenancy.Parked{ID: "1"})
		cancel()
		if got := strings.Contains(logged.String(), "locked"); ended || tried || got != c.logged {
			t.Errorf("%s: ended %v, tried %v, logged %q", name, ended, tried, &logged)
		}
	}
}

// An unclaimable message has an address, and cannot be claimed.
type unclaimable struct{ failing }

func (*unclaimable) ClaimParked(context.Context, tenancy.Parked, time.Time) (bool, []byte, error) {
	return false, nil, errors.New("locked")
}

// A claiming control records until when messages are claimed.
type claiming struct {
	failing
	until time.Time
}

func (c *claiming) ClaimParked(_ context.Context, _ tenancy.Parked, until time.Time) (bool, []byte, error) {
	c.until = until
	return false, nil, nil
}

// Another process can claim a message a second after the attempt with it has ended.
func TestAParkedMessageIsClaimedForLongerThanItsAttempt(t *testing.T) {
	// The receiver's time-out is a second.
	for limit, want := range map[time.Duration]time.Duration{time.Minute: 6 * time.Second,
		500 * time.Millisecond: 5500 * time.Millisecond} {
		control := &claiming{}
		g := quietly(control, io.Discard)
		g.parkedTimeout = limit
		if g.tryParked(t.Context(), tenancy.Parked{ID: "1"}); control.until.Sub(noon) != want {
			t.Errorf("at most %v: claimed for %v, want %v", limit, control.until.Sub(noon), want)
		}
	}
}
