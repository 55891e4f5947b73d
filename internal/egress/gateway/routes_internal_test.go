package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A register answers with one arrangement of the tenant t.
type register struct {
	failing
	endpoint string
	err      error
	asked    int
	before   func(context.Context) // the answer
}

func (r *register) Standing(ctx context.Context, _, _ string) (standing.Standing, []standing.Identity, error) {
	r.asked++
	if r.before != nil {
		r.before(ctx)
	}
	return standing.Standing{Arrangement: tenancy.Arrangement{ID: "a", Endpoint: r.endpoint},
		Tenant: tenancy.Tenant{ID: "t"}}, nil, r.err
}

var bank = address{"acme", "bank"}

// reading returns a gateway that reads routes from a register, and a clock that tests move.
func reading(control *register) (*Gateway, *time.Time) {
	at := noon
	g := quietly(control, io.Discard)
	g.network, g.now = &outbound.Network{}, func() time.Time { return at }
	g.seriesName = func(address) string { return "" }
	control.endpoint = "https://127.0.0.1:1/"
	return g, &at
}

func TestARouteIsReadOnceUntilItChanges(t *testing.T) {
	control := &register{}
	g, _ := reading(control)
	for _, c := range []struct {
		name   string
		change func()
		asked  int
	}{
		{"the first message", func() {}, 1}, {"the second one", func() {}, 1},
		{"a neighbour's change", func() { g.routes.forget("neighbour") }, 1},
		{"a change of the tenant", func() { g.routes.forget("t") }, 2},
		{"any change", func() { g.routes.forget("") }, 3},
		{"a change during the reading", func() {
			g.routes.forget("t")
			control.before = func(context.Context) { control.before = nil; g.routes.forget("t") }
		}, 5},
		{"a neighbour's change during the reading", func() {
			g.routes.forget("t")
			control.before = func(context.Context) { g.routes.forget("neighbour") }
		}, 6},
	} {
		c.change()
		r, err := g.routes.get(t.Context(), g, bank)
		if err != nil || r == nil || r != g.routes.known[bank] || control.asked != c.asked || len(g.routes.stale) != 0 ||
			!r.usedAt.Equal(noon) {
			t.Errorf("%s: read %d times, %v; %d are stale", c.name, control.asked, err, len(g.routes.stale))
		}
	}
	if g.routes.changes.reading != 0 {
		t.Errorf("%d readings have not ended", g.routes.changes.reading)
	}
}

func TestARouteThatCannotBeReadIsAnError(t *testing.T) {
	for want, control := range map[string]*register{"down": {err: errors.New("down")}, "missing protocol": {}} {
		g, _ := reading(control)
		if control.err == nil {
			control.endpoint = "://"
		}
		if r, err := g.routes.get(t.Context(), g, bank); r != nil || err == nil || !strings.Contains(err.Error(), want) ||
			len(g.routes.known) != 0 {
			t.Errorf("%q: %v, %v", want, r, err)
		}
	}
}

// While the control does not answer, messages continue with the state from before the change.
func TestAStaleRouteServesWhileTheControlDoesNotAnswer(t *testing.T) {
	control := &register{}
	g, at := reading(control)
	old, err := g.routes.get(t.Context(), g, bank)
	testenv.Check(t, err)
	g.routes.forget("t")
	control.err = errors.New("down")
	bounded := false
	control.before = func(ctx context.Context) { _, bounded = ctx.Deadline() }
	for _, c := range []struct {
		name  string
		after time.Duration
		err   error
		asked int
		fails bool
	}{
		{"it does not answer", 0, control.err, 2, false},
		{"it is not asked again at once", askAgain - 1, control.err, 2, false},
		{"it is asked again after a second", askAgain, control.err, 3, false},
		{"an hour without a message", staleGrace, control.err, 4, true},
		{"it answers that the arrangement is gone", 2 * askAgain, tenancy.Errorf(tenancy.ErrNotFound, "gone"), 5, true},
	} {
		*at, control.err = noon.Add(c.after), c.err
		r, err := g.routes.get(t.Context(), g, bank)
		if (err != nil) != c.fails || !c.fails && r != old || control.asked != c.asked || !bounded {
			t.Errorf("%s: %v after %d look-ups, bounded %v", c.name, err, control.asked, bounded)
		}
	}
	*at, control.err = noon.Add(4*askAgain), nil
	if r, err := g.routes.get(t.Context(), g, bank); err != nil || r == old || len(g.routes.stale) != 0 {
		t.Errorf("it answers again: %v", err)
	}
}

func TestARouteIsReadAgainAfterARefusalForAllMessagesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &register{}
		g, at := reading(control)
		first, err := g.routes.get(t.Context(), g, bank)
		testenv.Check(t, err)
		second := g.routes.refresh(t.Context(), g, first)
		if second == first || control.asked != 2 {
			t.Errorf("read %d times", control.asked)
		}
		if r := g.routes.refresh(t.Context(), g, first); r != second || control.asked != 2 {
			t.Errorf("a message that began before: read %d times", control.asked)
		}
		*at = noon.Add(readAgain - 1)
		if r := g.routes.refresh(t.Context(), g, second); r != second || control.asked != 2 {
			t.Errorf("a moment later: read %d times", control.asked)
		}
		*at = noon.Add(readAgain)
		third := g.routes.refresh(t.Context(), g, second)
		if third == second || control.asked != 3 {
			t.Errorf("after the pause: read %d times", control.asked)
		}

		*at = noon.Add(time.Hour)
		control.err = errors.New("down")
		begun := time.Now()
		if r := g.routes.refresh(t.Context(), g, third); r != third || time.Since(begun) != readTimeout ||
			control.asked < 50 || control.asked > 5+int(readTimeout/retryRead) {
			t.Errorf("without an answer: tried %d times in %v", control.asked-3, time.Since(begun))
		}
		asked := control.asked
		*at = noon.Add(time.Hour + askAgain - 1)
		if g.routes.refresh(t.Context(), g, third); control.asked != asked {
			t.Error("the next message waits for the control too")
		}
		*at = noon.Add(time.Hour + askAgain)
		control.err = tenancy.Errorf(tenancy.ErrNotFound, "gone")
		begun = time.Now()
		if r := g.routes.refresh(t.Context(), g, third); r != third || control.asked != asked+1 || time.Since(begun) != 0 {
			t.Errorf("it is gone: asked %d times in %v", control.asked-asked, time.Since(begun))
		}
		control.err = errors.New("down")
		*at = noon.Add(2 * time.Hour)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		begun = time.Now()
		if r := g.routes.refresh(ended, g, third); r != third || time.Since(begun) != 0 {
			t.Errorf("the sender is gone: it took %v", time.Since(begun))
		}
	})
}

func TestTheMemoryForRoutesIsBounded(t *testing.T) {
	g, _ := reading(&register{})
	for i := range mostRoutes {
		g.routes.known[address{"acme", fmt.Sprint(i)}] = &route{usedAt: noon.Add(time.Duration(i-mostRoutes) * time.Second)}
	}
	if _, err := g.routes.get(t.Context(), g, bank); err != nil || len(g.routes.known) != mostRoutes-mostRoutes/10+1 {
		t.Errorf("%d routes, %v", len(g.routes.known), err)
	}
	if _, err := g.routes.get(t.Context(), g, address{"acme", "crm"}); err != nil ||
		len(g.routes.known) != mostRoutes-mostRoutes/10+2 || g.routes.known[bank] == nil {
		t.Errorf("then %d routes, %v", len(g.routes.known), err)
	}
}

// What ends by time ends without a message and without a change.
func TestWhatIsNotUsedIsSweptEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &register{}
		g, _ := reading(control)
		g.now = time.Now
		r, err := g.routes.get(t.Context(), g, bank)
		testenv.Check(t, err)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/acme/bank", nil)
		one, opened := g.tunnels.open(request, r)
		one.generation.Store(7) // which the arrangement does not present
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.sweep(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if opened.Context().Err() == nil || len(g.routes.known) != 1 {
			t.Errorf("after a minute the tunnel has ended with %v, and there are %d routes", opened.Context().Err(),
				len(g.routes.known))
		}
		g.tunnels.close(one)
		time.Sleep(idleRoute)
		synctest.Wait()
		if len(g.routes.known) != 0 {
			t.Errorf("%d routes after an idle time", len(g.routes.known))
		}
		cancel()
		<-done
	})
}

func TestOnlyTheTunnelsOfATenantAreReviewed(t *testing.T) {
	for changed, want := range map[string][2]bool{"t": {true, false}, "u": {false, true}, "": {true, true},
		"v": {false, false}} {
		g, _ := reading(&register{})
		var ended [2]bool
		for i, tenant := range []string{"t", "u"} {
			to := &route{address: bank, standing: standing.Standing{Tenant: tenancy.Tenant{ID: tenant}}}
			one, _ := g.tunnels.open(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil), to)
			one.cancel = func() { ended[i] = true }
			one.generation.Store(7) // which the arrangement does not present
		}
		g.tunnels.review(g, changed)
		if g.ended.Wait(); ended != want {
			t.Errorf("after a change of %q ended %v, want %v", changed, ended, want)
		}
	}
}

func TestATunnelIsForgottenWhenItCloses(t *testing.T) {
	var all tunnels
	one, r := all.open(httptest.NewRequest(http.MethodGet, "/", nil), &route{})
	if r.Context().Err() != nil || len(all.opened) != 1 {
		t.Errorf("opened: %v, %d tunnels", r.Context().Err(), len(all.opened))
	}
	if all.close(one); r.Context().Err() == nil || len(all.opened) != 0 {
		t.Errorf("closed: %v, %d tunnels", r.Context().Err(), len(all.opened))
	}
}

func TestATunnelStaysWhileItsSenderAndItsCertificateMay(t *testing.T) {
	gone, down := tenancy.Errorf(tenancy.ErrNotFound, "gone"), errors.New("down")
	for _, c := range []struct {
		name       string
		open       bool  // every sender may use the gateway
		senders    error // of the look-up of the sender's token; nil if it is a key user's
		err        error // of the look-up of the arrangement
		generation int64
		want       bool
	}{
		{"without a certificate", true, nil, nil, 0, true},
		{"a certificate that can be presented", true, nil, nil, 1, true},
		{"a certificate that cannot be presented any more", true, nil, nil, 2, false},
		{"the arrangement is gone", true, nil, gone, 1, false},
		{"the arrangement cannot be looked up", true, nil, down, 1, true},
		{"the token is revoked", false, gone, nil, 1, false},
		{"the token cannot be looked up", false, down, nil, 1, true},
		{"the token is not a sender's any more", false, nil, nil, 1, false},
	} {
		control := &tunnelled{err: c.senders, register: register{err: c.err}}
		g, _ := reading(&control.register)
		g.control, g.open, g.tokens.known = control, c.open, map[string]token{}
		if c.err == nil {
			g.routes.known[bank] = &route{address: bank, rollover: rollover.Rollover{Presents: 1, Strategy: tenancy.Adaptive,
				Generations: []rollover.Generation{{Number: 1, NotBefore: noon, NotAfter: noon.Add(time.Hour)}}}}
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
		if !c.open {
			r.Header.Set("Authorization", "Bearer "+tenancy.TokenPrefix+"1")
		}
		one := &tunnel{request: r, to: bank}
		one.generation.Store(c.generation)
		if got := one.mayStay(t.Context(), g); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

type tunnelled struct {
	register
	err error
}

func (c *tunnelled) Token(context.Context, string) (tenancy.Token, error) {
	return tenancy.Token{Role: tenancy.RoleKeyUser, ExpiresAt: noon.Add(time.Hour)}, c.err
}

// The sender learns whose fault it is, and the operator gets the cause.
func TestAnOutageIsAnsweredWithItsCause(t *testing.T) {
	for _, c := range []struct{ err error }{{ErrOwnToken}, {ErrAway}} {
		says := map[error]string{ErrOwnToken: "accepts this gateway's own token: the gateway's operator must replace it",
			ErrAway: "the service does not answer this gateway: try again"}[c.err]
		var logged bytes.Buffer
		g := quietly(&register{err: fmt.Errorf("%w: secret", c.err)}, &logged)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/acme/bank/x", nil))
		if w.Code != 503 || !strings.Contains(w.Body.String(), says) || strings.Contains(w.Body.String(), "secret") ||
			!strings.Contains(logged.String(), "arrangement=acme/bank") || !strings.Contains(logged.String(), "secret") {
			t.Errorf("%v: %d %s, logged %q", c.err, w.Code, w.Body, &logged)
		}
		w = httptest.NewRecorder()
		refuse(w, fmt.Errorf("%w: secret", c.err))
		if w.Code != 503 || !strings.Contains(w.Body.String(), says) || strings.Contains(w.Body.String(), "secret") ||
			!strings.Contains(w.Body.String(), "your token was not checked") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	refuse(w, fmt.Errorf("%w: secret", workload.ErrUnavailable))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "the issuer of your identity token does not answer") ||
		strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	refuse(w, fmt.Errorf("%w: it has expired", workload.ErrInvalid))
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(w.Body.String(), "has expired") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, err := range []error{errForeignHost, errForeignSite} {
		w := httptest.NewRecorder()
		if refuse(w, err); w.Code != 403 || !strings.Contains(w.Body.String(), "an open gateway") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

// An observing control takes observations, or fails.
type observing struct {
	Control
	mu   sync.Mutex // guards the fields below
	err  error
	seen int
}

func (o *observing) Observe(context.Context, string, []standing.Observation) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen++
	return o.err
}

func TestObservationsAreRetriedAndReportedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &observing{err: errors.New("down")}
		var logged bytes.Buffer
		g := quietly(control, &logged)
		g.reports.wake = make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); g.report(ctx) }()
		g.reports.add("a", []standing.Observation{{Detail: "401"}})
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		if control.seen != 3 || !strings.Contains(logged.String(), "arrangement=a") {
			t.Errorf("reported %d times in 2.5 seconds, logged %q", control.seen, &logged)
		}
		control.mu.Lock()
		control.err = nil
		control.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if control.seen != 4 {
			t.Errorf("reported %d times once it is accepted", control.seen)
		}
		g.reports.mu.Lock()
		g.reports.pending = map[string][]standing.Observation{"a": {{Detail: "401"}}} // without a wake-up
		g.reports.mu.Unlock()
		cancel()
		if <-done; control.seen != 5 {
			t.Errorf("reported %d times when the gateway ends", control.seen)
		}
	})
}
