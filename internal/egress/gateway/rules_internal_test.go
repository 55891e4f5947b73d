package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAGatewayNeedsItsDependencies(t *testing.T) {
	whole := Config{Control: &failing{}, Network: &outbound.Network{}, Now: time.Now, Log: slog.Default()}
	for name, take := range map[string]func(*Config){"control": func(c *Config) { c.Control = nil },
		"network": func(c *Config) { c.Network = nil }, "clock": func(c *Config) { c.Now = nil },
		"log": func(c *Config) { c.Log = nil }} {
		c := whole
		take(&c)
		if g, err := New(c); err == nil || g != nil {
			t.Errorf("a gateway without a %s", name)
		}
	}
}

func TestARefusalIsRememberedAfterThreeAndForLongerEachTime(t *testing.T) {
	rs := refusedSorts{}
	const sort = "POST /orders"
	for n, want := range []time.Duration{0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second,
		16 * time.Second, 30 * time.Second, 30 * time.Second} {
		rs.add(sort, noon)
		if want > 0 != rs.recently(sort, noon) || want > 0 && (!rs.recently(sort, noon.Add(want-1)) ||
			rs.recently(sort, noon.Add(want))) {
			t.Errorf("after %d refusals it is remembered until %v, want %v", n+1, rs[sort].until.Sub(noon), want)
		}
	}
	if rs.recently("GET /orders", noon) {
		t.Error("a refusal of another sort counts")
	}
	copied := rs.clone()
	copied.add("GET /", noon)
	if len(rs) != 1 || len(copied) != 2 || refusedSorts(nil).clone() == nil {
		t.Errorf("%d and %d sorts", len(rs), len(copied))
	}
	for n := range 2 * mostRefusals {
		rs.add(fmt.Sprint(n), noon)
	}
	if len(rs) != mostRefusals {
		t.Errorf("%d sorts are remembered", len(rs))
	}
}

func TestTheReceiverConfirmsBeforeItGetsABodyUnlessItAcceptedAMomentAgo(t *testing.T) {
	for _, c := range []struct {
		name     string
		accepted time.Duration // ago; negative: never
		size     int64
		noAsk    time.Duration // from now on
		want     bool
	}{
		{"never accepted", -1, 100, 0, true},
		{"accepted a moment ago", 5 * time.Second, 100, 0, false},
		{"accepted ten seconds ago", 10 * time.Second, 100, 0, false},
		{"accepted too long ago", 10*time.Second + 1, 100, 0, true},
		{"the largest small body", time.Second, smallBody, 0, false},
		{"a large body", time.Second, smallBody + 1, 0, true},
		{"a body of unknown length", time.Second, -1, 0, true},
		{"a receiver that ignores the question", -1, -1, time.Minute, false},
	} {
		r := &route{accepted: map[int]time.Time{}, noContinueUntil: noon.Add(c.noAsk)}
		if c.accepted >= 0 {
			r.accepted[1] = noon.Add(-c.accepted)
		}
		if got := r.inDoubt(1, c.size, noon); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	r := &route{}
	r.ignoresContinue(noon)
	if r.inDoubt(1, 1, noon.Add(10*time.Minute-1)) || !r.inDoubt(1, 1, noon.Add(10*time.Minute)) {
		t.Errorf("not asked until %v", r.noContinueUntil)
	}
}

func TestAReceiverIsBeingReconfiguredForAWhileAfterAChange(t *testing.T) {
	r := &route{changedAt: noon}
	if !r.isReconfiguring(noon.Add(time.Minute-1)) || r.isReconfiguring(noon.Add(time.Minute)) {
		t.Error("not for a minute")
	}
	r = &route{accepted: map[int]time.Time{1: noon.Add(-time.Hour), 2: noon}}
	if !r.isReconfiguring(noon.Add(recentAcceptance)) || r.isReconfiguring(noon.Add(recentAcceptance+1)) {
		t.Error("not for a moment after it accepted a generation")
	}
}

func TestObservationsThatWaitAreLimitedToTheLatest(t *testing.T) {
	r := reports{wake: make(chan struct{}, 1)}
	for n := range 100 {
		r.add("a", []standing.Observation{{Detail: fmt.Sprint(n)}})
	}
	r.add("b", []standing.Observation{{Detail: "x"}})
	all := r.take()
	if len(all["a"]) != mostPending || all["a"][0].Detail != "36" || all["a"][63].Detail != "99" || len(all["b"]) != 1 {
		t.Errorf("%d observations, from %s on", len(all["a"]), all["a"][0].Detail)
	}
	if len(r.take()) != 0 {
		t.Error("they are taken twice")
	}
	select {
	case <-r.wake:
	default:
		t.Error("nothing was woken")
	}
}

func TestAnObservationIsReportedIfItIsNew(t *testing.T) {
	see := func(generation int, v rollover.Verdict, at time.Time) standing.Observation {
		return standing.Observation{Evidence: rollover.Evidence{Generation: generation, Verdict: v, By: rollover.Traffic,
			At: at}}
	}
	g := &Gateway{now: func() time.Time { return noon }}
	g.reports.wake = make(chan struct{}, 1)
	generation := func(n int) rollover.Generation {
		return rollover.Generation{Number: n, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(1, 0, 0)}
	}
	r := &route{refused: refusedSorts{"x": {}}, standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a"}},
		rollover: rollover.Rollover{Strategy: tenancy.Adaptive, Presents: 1,
			Generations: []rollover.Generation{generation(1), generation(2)}}}
	for _, c := range []struct {
		name string
		seen standing.Observation
		want int
	}{
		{"the first verdict", see(1, rollover.Accepted, noon), 1},
		{"the same a moment later", see(1, rollover.Accepted, noon.Add(time.Minute)), 0},
		{"the same after an hour", see(1, rollover.Accepted, noon.Add(time.Hour)), 0},
		{"the same after more than an hour", see(1, rollover.Accepted, noon.Add(time.Hour+1)), 1},
		{"another verdict", see(1, rollover.Refused, noon.Add(2*time.Hour)), 1},
		{"an unknown generation", see(3, rollover.Refused, noon.Add(2*time.Hour)), 0},
	} {
		g.reportNews(r, []standing.Observation{c.seen})
		if woken := len(g.reports.wake) == 1; woken != (c.want > 0) {
			t.Errorf("%s: the reporter was woken: %v", c.name, woken)
		} else if woken {
			<-g.reports.wake
		}
		if got := len(g.reports.take()["a"]); got != c.want {
			t.Errorf("%s: %d reports, want %d", c.name, got, c.want)
		}
	}
	if !r.changedAt.Equal(noon.Add(2*time.Hour)) || len(r.refused) != 0 {
		t.Errorf("changed at %v, %d refusals are remembered", r.changedAt, len(r.refused))
	}
}

func TestRetriesOfParkedMessages(t *testing.T) {
	for attempt, want := range map[int]time.Duration{2: time.Second, 3: 2 * time.Second, 4: 4 * time.Second,
		10: 256 * time.Second, 11: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := pauseBefore(attempt, longestRetry); got != want {
			t.Errorf("before attempt %d: %v, want %v", attempt, got, want)
		}
	}
	if got := pauseBefore(50, longestRefused); got != 15*time.Second {
		t.Errorf("of a refused message: %v", got)
	}
	for status, want := range map[int]bool{200: false, 400: false, 404: false, 408: true, 425: true, 429: true, 499: false,
		500: true, 503: true} {
		if isTemporary(status) != want {
			t.Errorf("%d is temporary: %v", status, !want)
		}
	}
	if a, b := answerOf(404, nil).String(), answerOf(0, errors.New("EOF")).String(); a != "404 Not Found" ||
		b != "the connection was closed: EOF" {
		t.Errorf("%q, %q", a, b)
	}
}

func TestASenderAsksForParkingByHeaderOrArrangement(t *testing.T) {
	for _, c := range []struct {
		prefer []string
		always bool
		want   bool
	}{
		{nil, false, false}, {nil, true, true}, {[]string{"respond-async"}, false, true},
		{[]string{"return=minimal", "wait=5, Respond-Async; x=y"}, false, true},
		{[]string{"respond-async-not"}, false, false}, {[]string{"return=respond-async"}, false, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header["Prefer"] = c.prefer
		to := &route{standing: standing.Standing{Arrangement: tenancy.Arrangement{Egress: tenancy.Egress{Park: c.always}}}}
		if got := wantsParking(r, to); got != c.want {
			t.Errorf("%v, %v: %v", c.prefer, c.always, got)
		}
	}
}

func TestMessagesThatDifferHaveDifferentDigests(t *testing.T) {
	digests := map[string]bool{}
	for _, m := range [][4]string{{"POST", "/a", "q=1", "x"}, {"PUT", "/a", "q=1", "x"}, {"POST", "/b", "q=1", "x"},
		{"POST", "/a", "q=2", "x"}, {"POST", "/a", "q=1", "y"}, {"POST", "/a", "", "x"}} {
		r := httptest.NewRequest(m[0], "/?"+m[2], nil)
		digest := func() string {
			h := newDigest(r, m[1])
			h.Write([]byte(m[3]))
			return string(h.Sum(nil))
		}
		digests[digest()] = true
		r.Header.Set("Traceparent", "differs")
		digests[digest()] = true
	}
	if len(digests) != 6 {
		t.Errorf("%d digests of 6 messages", len(digests))
	}
}

func TestTheTokensOfATenantAreLookedUpAfterItsChange(t *testing.T) {
	until := noon.Add(tokenLife)
	tokens := tokens{known: map[string]token{
		"acme":     {Token: tenancy.Token{TenantID: "acme"}, until: until},
		"zeta":     {Token: tenancy.Token{TenantID: "zeta"}, until: until},
		"everyone": {Token: tenancy.Token{}, until: until},
		"old":      {Token: tenancy.Token{TenantID: "zeta"}, until: noon.Add(-tokenGrace - 1)},
		"just":     {Token: tenancy.Token{TenantID: "zeta"}, until: noon.Add(-tokenGrace)},
	}}
	valid := func() (names []string) {
		for name, known := range tokens.known {
			if known.until.After(noon) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	tokens.forget("acme", noon)
	if got := valid(); !slices.Equal(got, []string{"zeta"}) {
		t.Errorf("after acme's change %v are valid", got)
	}
	if _, kept := tokens.known["old"]; kept || len(tokens.known) != 4 {
		t.Errorf("%d tokens are kept", len(tokens.known))
	}
	tokens.forget("", noon)
	if got := valid(); len(got) != 0 {
		t.Errorf("after any change %v are valid", got)
	}
}

func TestAnAddressNamesOneArrangement(t *testing.T) {
	for _, c := range []struct{ host, path, to, rest string }{
		{"gw", "/acme/bank", "acme/bank", ""},
		{"gw", "/acme/bank/", "acme/bank", "/"},
		{"gw", "/acme/bank/a%2Fb/c", "acme/bank", "/a%2Fb/c"},
		{"bank.acme.gateway.test", "/", "acme/bank", ""},
		{"bank.acme.gateway.test", "/x/y", "acme/bank", "/x/y"},
		{"BANK.ACME.gateway.test.:8081", "/x", "acme/bank", "/x"},
		{"bank.acme.gateway.test", "*", "", ""},
		{"bank.gateway.test", "/x", "", ""},
		{"gateway.test", "/acme/bank/x", "acme/bank", "/x"},
		{"gw", "/acme", "", ""},
		{"gw", "acme/bank/x", "", ""},
		{"gw", "/Acme/bank", "", ""},
		{"gw", "/acme/b@nk", "", ""},
		{"gw", "/acme/bank/%00", "", ""},
		{"gw", "/acme/bank/a%5Cb", "", ""},
		{"gw", "/acme/bank/a;/../b", "", ""},
		{"gw", "/acme/bank/..;x", "", ""},
		{"gw", "/acme/bank/a%252525252fb", "", ""},
		{"gw", "/acme/bank/a%25252fb", "acme/bank", "/a%25252fb"},
		{"gw", "/acme/bank/...", "acme/bank", "/..."},
	} {
		to, rest, err := parseAddress(c.host, c.path, "gateway.test")
		if c.to == "" {
			if err == nil {
				t.Errorf("%s%s is accepted as %s", c.host, c.path, to)
			}
			continue
		}
		if err != nil || to.String() != c.to || rest != c.rest {
			t.Errorf("%s%s: %s and %q, %v", c.host, c.path, to, rest, err)
		}
	}
	if _, ok := hostAddress("bank.acme.", ""); ok {
		t.Error("a host name counts without a suffix")
	}
}

func TestUnusedRoutesLeaveTheMemory(t *testing.T) {
	at := func(minutes int) *route { return &route{usedAt: noon.Add(time.Duration(minutes) * time.Minute)} }
	rs := &routes{known: map[address]*route{{"a", "1"}: at(0), {"a", "2"}: at(1)},
		stale: map[address]*route{{"a", "3"}: at(0), {"a", "4"}: at(2)}}
	rs.drop(noon.Add(time.Minute))
	if len(rs.known) != 1 || len(rs.stale) != 1 || rs.known[address{"a", "2"}] == nil ||
		rs.stale[address{"a", "4"}] == nil {
		t.Errorf("%d and %d are left", len(rs.known), len(rs.stale))
	}
	rs.closeAll()
	if len(rs.known)+len(rs.stale) != 0 {
		t.Error("some are left")
	}
}

func TestAMessageIsLoggedWithItsBounds(t *testing.T) {
	g := &Gateway{now: func() time.Time { return noon }}
	g.journal.wake = make(chan struct{}, 1)
	to := &route{series: seriesOf("acme/log"), standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a"}}}
	m := newMessage(g, to, strings.Repeat("M", 30), strings.Repeat("/p", 400))
	m.status, m.last, m.attempts = 502, 2, 3
	m.outcome = outcome{kind: unanswered, detail: strings.Repeat("x", 600)}
	g.record(m, "/ignored")
	g.record(newMessage(g, to, "GET", ""), "/")
	first, second := g.journal.entries[0], g.journal.entries[1]
	if first.ArrangementID != "a" || !first.At.Equal(noon) || len(first.Method) != 20 || len(first.Path) != 500 ||
		first.Status != 502 || first.Generation != 2 || first.Attempts != 3 || len(first.Outcome) != 500 ||
		first.Count != 1 || first.Duration <= 0 || first.ID == second.ID {
		t.Errorf("%+v", first)
	}
	if second.Path != "/" || second.Method != "GET" || second.Outcome != "" {
		t.Errorf("%+v", second)
	}
	for range mostEntries {
		m.status = 500
		g.record(m, "/")
	}
	if len(g.journal.entries) != mostEntries || len(g.journal.beyond) != 1 || g.journal.lost != 0 {
		t.Errorf("%d entries wait, %d kinds are counted", len(g.journal.entries), len(g.journal.beyond))
	}
}

func TestLateArrangementsShareTheirSeries(t *testing.T) {
	before := allSeries.known
	allSeries.known = nil
	defer func() { allSeries.known = before }()
	for n := range mostSeries {
		seriesOf(fmt.Sprint("t/", n))
	}
	if seriesOf("t/late") != seriesOf("t/later") || seriesOf("t/late") != seriesOf("other") ||
		seriesOf("t/0") == seriesOf("t/1") || seriesOf("t/0") == seriesOf("other") {
		t.Error("the series are not shared as they should")
	}
}

// Senders, key users and administrators read why a message failed.
func TestAFailedMessageDoesNotShowTheDNSServer(t *testing.T) {
	err := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "a.example", Server: "10.0.0.53:53",
		Err: "no such host", IsNotFound: true}}
	const want = "lookup a.example: no such host"
	m := newMessage(&Gateway{}, &route{address: address{"acme", "bank"}}, "GET", "/")
	w := httptest.NewRecorder()
	m.failed(w, nil, err)
	for name, got := range map[string]string{"answer": w.Body.String(), "message log": m.outcome.String(),
		"parked message": answerOf(0, err).String()} {
		if !strings.Contains(got, want) || strings.Contains(got, "10.0.0.53") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestFailuresHaveTheirStatus(t *testing.T) {
	m := newMessage(&Gateway{}, &route{address: address{"acme", "bank"}}, "GET", "/")
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{outbound.ErrForbiddenAddress, 403, "the endpoint of acme/bank cannot be used"},
		{&http.MaxBytesError{Limit: 5}, 413, "too large"},
		{stalledError{time.Second}, 504, "the receiver of acme/bank took too long"},
		{errors.New("EOF"), 502, "the receiver of acme/bank did not answer: the connection was closed: EOF"},
	} {
		w := httptest.NewRecorder()
		m.outcome = outcome{}
		m.failed(w, nil, c.err)
		if w.Code != c.status || m.status != c.status || !strings.Contains(w.Body.String(), c.text) ||
			w.Header().Get(ours) != "1" || m.outcome.String() != outbound.OfError(c.err).Detail {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	m.outcome = outcome{kind: refusedAll, detail: "401 with generation 1"}
	m.failed(httptest.NewRecorder(), nil, errors.New("EOF"))
	if m.outcome.kind != refusedAll {
		t.Errorf("the refusal became %v", m.outcome)
	}
}
