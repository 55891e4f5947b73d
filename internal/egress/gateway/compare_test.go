package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// forms are refusals that no rule describes.
var forms = map[string]http.HandlerFunc{
	"login-redirect": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login?back="+r.URL.Path, http.StatusFound)
	},
	"login-page": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<form>Please sign in</form>")
	},
	"400": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
	"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
	"407": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(407) },
	"498": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(498) },
	"499": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(499) },
	"500": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(500)
		io.WriteString(w, "<soap:Fault/>")
	},
	"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
}

// A strange receiver refuses certificates in a form that no rule describes. Its path /open is answered to everyone.
type strange struct {
	*httptest.Server
	refuse http.HandlerFunc

	headless bool // HEAD is not allowed

	mu    sync.Mutex
	known []*x509.Certificate
	taken map[string]int
	saw   func(*x509.Certificate) // nil, or called with each certificate
}

func (f *fixture) strange(name string, refuse http.HandlerFunc, probe string) *strange {
	f.t.Helper()
	s := &strange{refuse: refuse, taken: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	f.t.Cleanup(s.Close)
	s.accept(f.generation(1))
	egress := tenancy.Egress{ServerCA: string(f.ca.Bundle())}
	if probe != "" {
		egress.Probe = tenancy.Probe{Method: "GET", Path: probe}
	}
	f.engine.Arrangement(f.t, tenancy.Arrangement{TenantID: f.acme.ID, Name: name, Endpoint: s.URL,
		Strategy: tenancy.Adaptive, Egress: egress})
	return s
}

func (s *strange) accept(all ...*x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = all
}

func (s *strange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headless && r.Method == http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if s.saw != nil && len(r.TLS.PeerCertificates) > 0 {
		s.saw(r.TLS.PeerCertificates[0])
	}
	if !slices.ContainsFunc(s.known, func(c *x509.Certificate) bool {
		return len(r.TLS.PeerCertificates) > 0 && c.Equal(r.TLS.PeerCertificates[0])
	}) && r.URL.Path != "/open" {
		s.refuse(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/missing" {
		w.WriteHeader(404)
		return
	}
	s.taken[r.Header.Get("Idempotency-Key")]++
	io.WriteString(w, "{}")
}

// arrived reports whether a message was answered by the application, once.
func (s *strange) arrived(m sent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.status == 200 && m.body == "{}" && s.taken[m.key] == 1
}

func (f *fixture) standing(name string) standing.Standing {
	f.t.Helper()
	s, err := f.engine.Named(f.t.Context(), "acme", name)
	check(f.t, err)
	return s
}

// claim records that a person reports generation 2 as installed.
func (f *fixture) claim(name string) {
	f.t.Helper()
	now := time.Now()
	_, err := f.engine.Observe(f.t.Context(), f.standing(name).Arrangement.ID, "test", []standing.Observation{{
		Detail: "installed", Evidence: rollover.Evidence{Generation: 2, Verdict: rollover.Accepted, By: rollover.Person,
			At: now}}}, now)
	check(f.t, err)
}

// noticed lets generation 2 be presented.
func (f *fixture) noticed() {
	f.t.Helper()
	_, err := f.engine.Store.DB().ExecContext(f.t.Context(), "UPDATE certificates SET noticed_until = 0")
	check(f.t, err)
}

// Traffic and a question that each can tell a refusal in an unknown form from an answer.
var tellings = []struct{ name, method, probe string }{
	{"safe", "GET", ""},
	{"asked", "POST", "/whoami"},
}

func TestNoMessageFailsIfARefusalInAnUnknownFormCanBeCompared(t *testing.T) {
	f := setUp(t)
	receivers := map[string]*strange{}
	for _, tell := range tellings {
		for form, refuse := range forms {
			name := tell.name + "-" + form
			receivers[name] = f.strange(name, refuse, tell.probe)
			if got := f.send(name, tell.method, 0); !receivers[name].arrived(got) {
				t.Errorf("before the renewal: %+v", got)
			}
		}
	}
	f.renew()
	f.noticed()
	for _, tell := range tellings {
		for form := range forms {
			name := tell.name + "-" + form
			t.Run(name, func(t *testing.T) {
				f.follows(t, receivers[name], name, tell.method)
			})
		}
	}
}

// follows sends messages to a receiver that changes what it accepts.
func (f *fixture) follows(t *testing.T, s *strange, name, method string) {
	send := func(what string) {
		t.Helper()
		for range 3 {
			if got := f.send(name, method, map[string]int{"POST": 300}[method]); !s.arrived(got) {
				t.Errorf("%s: %+v", what, got)
			}
		}
	}
	presents := func(n int) {
		t.Helper()
		testenv.Eventually(t, func() bool { return f.presents(name) == n })
	}
	send("the old one is accepted")
	presents(1)
	f.claim(name)
	presents(2)
	send("after a claim that is not true")
	presents(1)
	if _, at := f.standing(name).Rollover.Risk(time.Now()); !at {
		t.Error("it is not at risk after a claim that is not true")
	}
	s.accept(f.generation(2))
	send("the new one is accepted")
	presents(2)
	s.accept(f.generation(1))
	send("the receiver went back")
}

// Without a question, a POST is compared by the head of what it was sent to.
func TestAMessageWithoutAQuestionIsComparedByItsHead(t *testing.T) {
	f := setUp(t)
	receivers := map[string]*strange{}
	for form, refuse := range forms {
		if form == "503" || form == "500" { // a fault of the message itself looks the same
			continue
		}
		name := "head-" + form
		receivers[name] = f.strange(name, refuse, "")
		f.send(name, "GET", 0) // it shows what success looks like
	}
	f.renew()
	f.noticed()
	for name, s := range receivers {
		f.claim(name)
		for range 3 {
			if got := f.send(name, "POST", 300); !s.arrived(got) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		testenv.Eventually(t, func() bool { return f.presents(name) == 1 })
	}
}

// If its head does not tell either, a POST cannot be compared. The arrangement goes back, and stays at risk.
func TestAnAnswerThatCannotBeComparedIsUnclear(t *testing.T) {
	f := setUp(t)
	s := f.strange("blind", forms["login-page"], "")
	s.headless = true
	if got := f.send("blind", "POST", 300); !s.arrived(got) {
		t.Fatalf("%+v", got)
	}
	f.renew()
	f.noticed()
	f.claim("blind")
	if got := f.send("blind", "POST", 300); s.arrived(got) {
		t.Fatal("the message arrived with a generation that the receiver refuses")
	}
	testenv.Eventually(t, func() bool { return f.presents("blind") == 1 })
	g, _ := f.standing("blind").Rollover.Generation(2)
	if g.Verdict != rollover.Unclear {
		t.Errorf("%+v", g)
	}
	for range 3 {
		if got := f.send("blind", "POST", 300); !s.arrived(got) {
			t.Errorf("after it went back: %+v", got)
		}
	}
	if _, at := f.standing("blind").Rollover.Risk(time.Now()); !at {
		t.Error("it is not at risk")
	}
}

func TestAPathThatIsAnsweredToEveryoneProvesNothing(t *testing.T) {
	f := setUp(t)
	s := f.strange("open", forms["404"], "/open")
	f.send("open", "POST", 300)
	f.renew()
	f.noticed()
	s.accept(f.generation(1))
	for range 3 {
		if got := f.send("open", "POST", 300); !s.arrived(got) {
			t.Errorf("%+v", got)
		}
	}
	if g, _ := f.standing("open").Rollover.Generation(2); g.Verdict == rollover.Accepted || f.presents("open") != 1 {
		t.Errorf("%+v", g)
	}
}

// The application's own 404 is forwarded, whichever generation is presented, and proves nothing.
func TestAnAnswerThatIsTheSameWithEveryGenerationIsForwarded(t *testing.T) {
	f := setUp(t)
	s := f.strange("missing", forms["400"], "")
	f.send("missing", "GET", 0)
	f.renew()
	s.accept(f.generation(1), f.generation(2))
	r, err := http.NewRequestWithContext(t.Context(), "GET", f.gateway.URL+"/acme/missing/missing", nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.token)
	if got := f.do(r, ""); got.status != 404 {
		t.Errorf("%+v", got)
	}
	if g, _ := f.standing("missing").Rollover.Generation(2); g.Verdict == rollover.Accepted {
		t.Errorf("%+v", g)
	}
}

func TestAReceiverThatAsksForNoCertificateIsNotAtRisk(t *testing.T) {
	f := setUp(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.TLS.PeerCertificates))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{f.server}}
	s.StartTLS()
	t.Cleanup(s.Close)
	f.arrangement("anyone", tenancy.Adaptive, s.URL)
	f.renew()
	if _, at := f.standing("anyone").Rollover.Risk(time.Now()); !at {
		t.Fatal("it is not at risk before anything is known")
	}
	if got := f.send("anyone", "POST", 300); got.body != "0" {
		t.Fatalf("%+v", got)
	}
	testenv.Eventually(t, func() bool {
		_, at := f.standing("anyone").Rollover.Risk(time.Now())
		return !at
	})
	for _, g := range f.standing("anyone").Rollover.Generations {
		if g.Verdict == rollover.Accepted {
			t.Errorf("%+v", g)
		}
	}
}

// A receiver that takes the newest only would be locked by a comparison with the new generation.
func TestNoComparisonPresentsANewGenerationToAReceiverThatTakesTheNewestOnly(t *testing.T) {
	f := setUp(t)
	s := f.strange("ratchet", forms["404"], "/whoami")
	a := f.standing("ratchet").Arrangement
	a.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.ByNewestOnly}
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		tx.Changed(f.acme.ID)
		return tx.UpdateArrangement(t.Context(), a)
	}))
	f.send("ratchet", "GET", 0)
	f.renew()
	f.noticed()
	shown := map[string]int{}
	second := f.generation(2)
	s.mu.Lock()
	s.saw = func(c *x509.Certificate) { shown[map[bool]string{true: "new", false: "old"}[c.Equal(second)]]++ }
	s.mu.Unlock()
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), "GET", f.gateway.URL+"/acme/ratchet/missing", nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		f.do(r, "")
		r, err = http.NewRequestWithContext(t.Context(), "POST", f.gateway.URL+"/acme/ratchet/missing", nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		f.do(r, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if shown["new"] > 0 || shown["old"] < 6 {
		t.Errorf("the receiver saw %v", shown)
	}
}
