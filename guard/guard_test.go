package guard_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
)

var (
	begin    = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	inWindow = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
)

// A clock is set by tests.
type clock struct{ atomic.Pointer[time.Time] }

func at(t time.Time) *clock {
	c := &clock{}
	c.Store(&t)
	return c
}

func (c *clock) now() time.Time { return *c.Load() }

// A site is a guarded system with a partner that is known by a certificate for 2026.
type site struct {
	t       *testing.T
	ca      *testca.CA
	clock   *clock
	first   tls.Certificate
	partner acceptance.Partner
}

func newSite(t *testing.T) *site {
	s := &site{t: t, ca: testca.New(t, "Passport", begin), clock: at(inWindow)}
	s.first = s.client("acme", begin)
	s.partner = acceptance.Partner{
		Name:   "acme-c4c",
		Rule:   acceptance.Successor,
		Trust:  []*x509.Certificate{s.ca.Root},
		Known:  []acceptance.Known{acceptance.NewKnown(s.first.Leaf)},
		Window: policy.Days(62),
	}
	return s
}

// client returns a certificate for a year, with the CA above it.
func (s *site) client(name string, from time.Time) tls.Certificate {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(s.ca.Client(s.t, name, from, from.AddDate(1, 0, 0)))
	testenv.Check(s.t, err)
	return pair
}

func (s *site) guard(o guard.Options, partners ...acceptance.Partner) *guard.Guard {
	s.t.Helper()
	o.Now = s.clock.now
	g, err := guard.New(append([]acceptance.Partner{s.partner}, partners...), o)
	testenv.Check(s.t, err)
	return g
}

// serve starts a server with a handler and returns its address.
func (s *site) serve(h http.Handler) string {
	server := httptest.NewUnstartedServer(h)
	server.TLS = guard.TLS(&tls.Config{})
	server.EnableHTTP2 = true
	server.StartTLS()
	s.t.Cleanup(server.Close)
	return server.URL
}

// caller returns a client with a certificate, on connections of its own.
func (s *site) caller(pairs ...tls.Certificate) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: pairs}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// call returns the status of a call, and the code of a refusal or the body of the answer.
func (s *site) call(c *http.Client, url string, headers ...string) (status int, text string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader("order"))
	testenv.Check(s.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	answer, err := c.Do(r)
	testenv.Check(s.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	testenv.Check(s.t, err)
	var p struct {
		Code   string
		Sha256 string
	}
	if answer.StatusCode == http.StatusForbidden {
		testenv.Check(s.t, json.Unmarshal(body, &p))
		return answer.StatusCode, p.Code
	}
	return answer.StatusCode, string(body)
}

// echo answers with the partner.
var echo = http.HandlerFunc(
	func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, guard.PartnerOf(r.Context())) },
)

func TestOnlyCallsWithAnAcceptedCertificateReachTheHandler(t *testing.T) {
	s := newSite(t)
	g := s.guard(guard.Options{})
	url := s.serve(g.Handler(echo))
	for _, c := range []struct {
		name   string
		pairs  []tls.Certificate
		status int
		text   string
	}{
		{"known", []tls.Certificate{s.first}, http.StatusOK, "acme-c4c"},
		{"its successor", []tls.Certificate{s.client("acme", inWindow)}, http.StatusOK, "acme-c4c"},
		{"known, after its successor", []tls.Certificate{s.first}, http.StatusOK, "acme-c4c"},
		{"another name", []tls.Certificate{s.client("globex", inWindow)}, http.StatusForbidden, "other-subject"},
		{"none", nil, http.StatusForbidden, "no-certificate"},
	} {
		if status, text := s.call(s.caller(c.pairs...), url); status != c.status || text != c.text {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	plain := httptest.NewServer(g.Handler(echo))
	defer plain.Close()
	if status, text := s.call(http.DefaultClient, plain.URL); status != http.StatusForbidden ||
		text != "no-certificate" {
		t.Errorf("without TLS: %d %s", status, text)
	}
}

func TestASuccessorIsLearnedOnce(t *testing.T) {
	s := newSite(t)
	var learned []guard.Learned
	g := s.guard(guard.Options{Learned: func(l guard.Learned) { learned = append(learned, l) }})
	url := s.serve(g.Handler(echo))
	next := s.client("acme", inWindow)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if status, text := s.call(s.caller(next), url); status != http.StatusOK {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	all.Wait()
	if len(learned) != 1 || learned[0].Decision.Code != acceptance.IsSuccessor || !learned[0].At.Equal(inWindow) ||
		learned[0].Decision.Predecessor.Fingerprint != acceptance.NewKnown(s.first.Leaf).Fingerprint ||
		!learned[0].Chain[0].Equal(next.Leaf) {
		t.Errorf("learned %d: %+v", len(learned), learned)
	}
	if d, ok := g.Decide([]*x509.Certificate{next.Leaf}); !ok || d.Code != acceptance.Pinned {
		t.Errorf("later: %+v", d)
	}
}

func TestAHeldCertificateIsLearnedOnceAndAcceptedForItsTime(t *testing.T) {
	s := newSite(t)
	s.clock = at(begin.AddDate(0, 3, 0))
	s.partner.OnHold = 24 * time.Hour
	var learned []guard.Learned
	g := s.guard(guard.Options{Learned: func(l guard.Learned) { learned = append(learned, l) }})
	early := []*x509.Certificate{s.client("acme", begin.AddDate(0, 2, 0)).Leaf, s.ca.Issuing}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Hour, true}, {25 * time.Hour, false}} {
		now := begin.AddDate(0, 3, 0).Add(c.after)
		s.clock.Store(&now)
		if d, ok := g.Decide(early); ok != c.want || d.Code != acceptance.OutsideWindow {
			t.Errorf("after %s: %v %+v", c.after, ok, d)
		}
	}
	if len(learned) != 1 {
		t.Errorf("learned %d times", len(learned))
	}
}

func TestIdentityHeadersCannotBeForged(t *testing.T) {
	s := newSite(t)
	var got http.Header
	g := s.guard(guard.Options{})
	url := s.serve(
		g.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })),
	)
	for _, c := range []*http.Client{s.caller(s.first), {Transport: &http.Transport{ // HTTP/1.1 keeps the spelling
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{s.first}}}}} {
		s.call(
			c,
			url,
			"Perennial-Partner",
			"globex",
			"perennial_partner",
			"globex",
			"Client_Cert",
			"x",
			"CLIENT-CERT",
			"x",
			"Client-Cert-Chain",
			"x",
			"Perennial-Anything",
			"x",
			"client-cert_chain",
			"x",
		)
		var kept []string
		for name := range got {
			if n := strings.ReplaceAll(strings.ToLower(name), "_", "-"); strings.HasPrefix(n, "perennial") ||
				strings.HasPrefix(n, "client-cert") {
				kept = append(kept, name)
			}
		}
		if len(kept) != 3 || got.Get("Perennial-Partner") != "acme-c4c" || len(got["Perennial-Partner"]) != 1 ||
			!strings.HasPrefix(
				got.Get("Client-Cert"),
				":MII",
			) || !strings.HasSuffix(got.Get("Client-Cert-Chain"), ":") {
			t.Errorf("the application got %v", kept)
		}
		c.CloseIdleConnections()
	}
}

func TestIdentityHeadersCannotBeRemovedThroughAProxy(t *testing.T) {
	s := newSite(t)
	var got http.Header
	behind := httptest.NewServer(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }),
	)
	t.Cleanup(behind.Close)
	target, err := url.Parse(behind.URL)
	testenv.Check(t, err)
	front := s.serve(s.guard(guard.Options{}).Handler(httputil.NewSingleHostReverseProxy(target)))
	c, err := tls.Dial("tcp", strings.TrimPrefix(front, "https://"), &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{s.first}})
	testenv.Check(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = io.WriteString(
		c,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, Perennial-Partner, client-cert\r\n\r\n",
	)
	testenv.Check(t, err)
	_, err = io.ReadAll(c)
	testenv.Check(t, err)
	if got.Get("Perennial-Partner") != "acme-c4c" || got.Get("Client-Cert") == "" {
		t.Errorf("the application got %v", got)
	}
}

func TestTrailersCannotForgeThePartner(t *testing.T) {
	s := newSite(t)
	var got http.Header
	url := s.serve(s.guard(guard.Options{}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got = r.Trailer
	})))
	for _, announced := range []string{"X-Checksum", "X-Checksum, Perennial-Partner", ""} {
		c, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), &tls.Config{InsecureSkipVerify: true,
			Certificates: []tls.Certificate{s.first}})
		testenv.Check(t, err)
		announce := ""
		if announced != "" {
			announce = "Trailer: " + announced + "\r\n"
		}
		_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"+
			announce+"\r\n5\r\norder\r\n0\r\nX-Checksum: 7\r\nPerennial-Partner: globex\r\nClient_Cert: x\r\n\r\n")
		testenv.Check(t, err)
		_, err = io.ReadAll(c)
		testenv.Check(t, err)
		c.Close()
		if got.Get("Perennial-Partner") != "" || slices.Contains(slices.Collect(maps.Keys(got)), "Client_Cert") ||
			announced != "" && got.Get("X-Checksum") != "7" {
			t.Errorf("announced %q: %v", announced, got)
		}
	}
}

func TestAnOpenConnectionEndsWithItsCertificate(t *testing.T) {
	s := newSite(t)
	g := s.guard(guard.Options{})
	url, c := s.serve(g.Handler(echo)), s.caller(s.first)
	for _, step := range []struct {
		now    time.Time
		status int
	}{{inWindow, 200}, {s.first.Leaf.NotAfter, 200}, {s.first.Leaf.NotAfter.Add(time.Second), 403}, {inWindow, 200}} {
		s.clock.Store(&step.now)
		if status, text := s.call(c, url); status != step.status {
			t.Errorf("at %s: %d %s", step.now, status, text)
		}
	}
	testenv.Check(t, g.Change(func(*acceptance.Partners) (*acceptance.Partners, error) {
		other := s.partner
		other.Known = []acceptance.Known{acceptance.NewKnown(s.client("globex", begin).Leaf)}
		return acceptance.New([]acceptance.Partner{other})
	}))
	if status, _ := s.call(c, url); status != http.StatusForbidden {
		t.Errorf("after the partner was removed: %d", status)
	}
}

func TestAPartnerReachesOnlyItsHosts(t *testing.T) {
	s := newSite(t)
	globex := s.client("globex", begin)
	g := s.guard(guard.Options{}, acceptance.Partner{Name: "globex", Rule: acceptance.Pin,
		Known: []acceptance.Known{acceptance.NewKnown(globex.Leaf)}})
	url := s.serve(g.For([]string{"globex"}, echo))
	if status, text := s.call(s.caller(s.first), url); status != http.StatusForbidden || text != "other-host" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := s.call(s.caller(globex), url); status != http.StatusOK || text != "globex" {
		t.Errorf("%d %s", status, text)
	}
}

func TestEveryCallIsReported(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	var calls []guard.Call
	g := s.guard(guard.Options{Decided: func(c guard.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	}})
	url := s.serve(g.Handler(echo))
	s.call(s.caller(s.first), url)
	s.call(s.caller(), url)
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != 2 || !calls[0].Accepted || calls[0].Decision.Partner != "acme-c4c" || calls[0].Remote == "" ||
		calls[1].Accepted || len(calls[1].Chain) != 0 || calls[1].Decision.Code != guard.Missing ||
		"https://"+calls[0].Host != url {
		t.Errorf("%+v", calls)
	}
}

func TestAHandlerNeedsNoMoreThanPartners(t *testing.T) {
	s := newSite(t)
	now := s.client("acme", time.Now().Add(-time.Hour))
	s.partner.Known = []acceptance.Known{acceptance.NewKnown(now.Leaf)}
	h, err := guard.Handler([]acceptance.Partner{s.partner}, echo)
	testenv.Check(t, err)
	url := s.serve(h)
	if status, text := s.call(s.caller(now), url); status != http.StatusOK || text != "acme-c4c" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := s.call(s.caller(s.client("acme", time.Now())), url); status != http.StatusForbidden {
		t.Errorf("before the window: %d %s", status, text)
	}
	if _, err := guard.Handler([]acceptance.Partner{{}}, echo); err == nil {
		t.Error("a partner without a name is accepted")
	}
}

func TestAPartnerThatIsNotValidIsRefused(t *testing.T) {
	if _, err := guard.New([]acceptance.Partner{{Name: "acme"}}, guard.Options{}); err == nil ||
		!strings.Contains(err.Error(), `partner "acme"`) {
		t.Error(err)
	}
}
