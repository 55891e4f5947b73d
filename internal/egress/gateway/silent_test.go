package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// silent is a control that can stop answering, notifies of changes only when the test does, and counts the questions.
// Without notifications it acts like one that has lost its connection.
type silent struct {
	inprocess.Control
	down   atomic.Bool
	asked  atomic.Int32 // about arrangements
	tokens atomic.Int32 // about tokens
	change func(tenantID string)
	during map[string]func() // runs once while the answer about an arrangement or a token is on its way
}

func (s *silent) answered(about string) {
	if during := s.during[about]; during != nil {
		delete(s.during, about)
		during()
	}
}

// silence restarts the fixture's gateway with such a control.
func (f *fixture) silence() *silent {
	f.stop()
	s := &silent{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now}}
	f.start(s)
	return s
}

var errSilent = errors.New("the service does not answer")

func (s *silent) Standing(ctx context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity,
	error) {
	s.asked.Add(1)
	if s.down.Load() {
		return standing.Standing{}, nil, errSilent
	}
	defer s.answered("arrangement")
	return s.Control.Standing(ctx, tenant, arrangement)
}

func (s *silent) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	s.tokens.Add(1)
	if s.down.Load() {
		return tenancy.Token{}, errSilent
	}
	defer s.answered("token")
	return s.Control.Token(ctx, hash)
}

func (s *silent) OnChange(listen func(tenantID string)) (stop func()) {
	s.change = listen
	return func() {}
}

func TestMessagesContinueThroughAnOutageThatBeganRightAfterAChange(t *testing.T) {
	f := setUp(t)
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	f.token = f.sender("acme", 24*time.Hour)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	control := &silent{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: now}}
	g, err := gateway.New(gateway.Config{Control: control,
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, TempDir: t.TempDir(),
		Now: now, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	wants := func(what string, want int) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, server.URL+"/acme/bank/order", strings.NewReader("<order/>"))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", what, res.StatusCode, want)
		}
	}
	wants("in peace", 200)
	control.down.Store(true)
	control.change("")
	wants("after a change, with the service down", 200)
	control.change(f.acme.ID)
	ahead.Store(int64(30 * time.Minute))
	wants("half an hour later", 200)
	ahead.Store(int64(3 * time.Hour))
	wants("hours after the last message", 503)
	control.down.Store(false)
	wants("with the service back", 200)

	tokens, _, err := f.engine.Store.Tokens(t.Context(), "", store.Page{Limit: 10})
	check(t, err)
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.RevokeToken(t.Context(), tokens[len(tokens)-1].ID, time.Now())
	}))
	control.change(f.acme.ID)
	wants("with a revoked token", 401)
}

func TestAChangeForgetsWhatItConcernsAndNothingElse(t *testing.T) {
	f := setUp(t)
	control := f.silence()
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	zeta, err := f.engine.Store.Tenant(t.Context(), "zeta")
	check(t, err)
	for _, c := range []struct {
		name    string
		changed func()
		asked   int32 // about the arrangement and about the token
	}{
		{"the first message", func() {}, 1},
		{"without a change", func() {}, 0},
		{"a neighbour's change", func() { control.change(zeta.ID) }, 0},
		{"the tenant's change", func() { control.change(f.acme.ID) }, 1},
		{"anything may have changed", func() { control.change("") }, 1},
		{"without another change", func() {}, 0},
	} {
		c.changed()
		arrangements, tokens := control.asked.Load(), control.tokens.Load()
		if got := f.send("bank", "POST", 100); got.status != 200 {
			t.Fatalf("%s: %+v", c.name, got)
		}
		arrangements, tokens = control.asked.Load()-arrangements, control.tokens.Load()-tokens
		if arrangements != c.asked || tokens != c.asked {
			t.Errorf("%s: asked %d times about the arrangement and %d times about the token, want %d", c.name, arrangements,
				tokens, c.asked)
		}
	}
}

// An answer that was on its way during a change may be from before it. During a renewal run, some neighbour changes at
// any time.
func TestAnAnswerCountsUnlessItsTenantChangedMeanwhile(t *testing.T) {
	f := setUp(t)
	control := f.silence()
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	zeta, err := f.engine.Store.Tenant(t.Context(), "zeta")
	check(t, err)
	for _, c := range []struct {
		during, name, changed string
		arrangements, tokens  int32 // questions of the message during the change and of the next one
	}{
		{"token", "a neighbour", zeta.ID, 1, 1},
		{"token", "the tenant", f.acme.ID, 1, 2},
		{"token", "any", "", 1, 2},
		{"arrangement", "a neighbour", zeta.ID, 1, 1},
		{"arrangement", "the tenant", f.acme.ID, 2, 2},
		{"arrangement", "any", "", 2, 2},
	} {
		control.change(f.acme.ID)
		arrangements, tokens := control.asked.Load(), control.tokens.Load()
		control.during = map[string]func(){c.during: func() { control.change(c.changed) }}
		for range 2 {
			if got := f.send("bank", "POST", 100); got.status != 200 {
				t.Fatalf("%s, %s: %+v", c.during, c.name, got)
			}
		}
		arrangements, tokens = control.asked.Load()-arrangements, control.tokens.Load()-tokens
		if arrangements != c.arrangements || tokens != c.tokens {
			t.Errorf("%s changes during the answer about the %s: %d questions about the arrangement and %d about the token, "+
				"want %d and %d", c.name, c.during, arrangements, tokens, c.arrangements, c.tokens)
		}
	}
}
