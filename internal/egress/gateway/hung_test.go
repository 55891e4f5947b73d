package gateway_test

import (
	"context"
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

// hung is a control that can hang: it takes questions and does not answer them, as a stopped process does.
type hung struct {
	inprocess.Control
	hangs  atomic.Pointer[chan struct{}] // not nil while it hangs; closed at the end
	tokens atomic.Int32
	change func(tenantID string)
}

func (h *hung) wait(ctx context.Context) error {
	if until := h.hangs.Load(); until != nil {
		select {
		case <-*until:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (h *hung) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	h.tokens.Add(1)
	if err := h.wait(ctx); err != nil {
		return tenancy.Token{}, err
	}
	return h.Control.Token(ctx, hash)
}

func (h *hung) Standing(ctx context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity,
	error) {
	if err := h.wait(ctx); err != nil {
		return standing.Standing{}, nil, err
	}
	return h.Control.Standing(ctx, tenant, arrangement)
}

func (h *hung) OnChange(listen func(tenantID string)) (stop func()) {
	h.change = listen
	return func() {}
}

// Behind a load balancer, a replica that hangs gets a share of the gateway's questions.
func TestNoMessageWaitsForAHungControlIfAnAnswerIsKnown(t *testing.T) {
	f := setUp(t)
	f.receiver("bank", tenancy.Adaptive, ways["401"])
	f.token = f.sender("acme", 365*24*time.Hour) // longer than the clock is advanced below
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	control := &hung{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: now}}
	g, err := gateway.New(gateway.Config{Control: control,
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, TempDir: t.TempDir(),
		Now: now, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	hang := func() (end func()) {
		until := make(chan struct{})
		control.hangs.Store(&until)
		return func() {
			control.hangs.Store(nil)
			close(until)
		}
	}
	status := func(ctx context.Context) int {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/acme/bank/order",
			strings.NewReader("<order/>"))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	wants := func(what string, want int) {
		t.Helper()
		if got := status(t.Context()); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	wants("in peace", 200)
	asked := control.tokens.Load()

	end := hang()
	ahead.Store(int64(2 * time.Minute)) // the token is to be looked up again
	for range 20 {
		wants("with a hung control", 200)
	}
	if got := control.tokens.Load() - asked; got > 1 {
		t.Errorf("%d look-ups at a time", got)
	}
	control.change(f.acme.ID)
	wants("with a control that hung after a change", 200)
	end()

	tokens, _, err := f.engine.Store.Tokens(t.Context(), "", store.Page{Limit: 10})
	check(t, err)
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.RevokeToken(t.Context(), tokens[len(tokens)-1].ID, time.Now())
	}))
	// Nothing notifies the gateway. One message may still pass, and the look-up that it causes ends the token.
	for range 2000 {
		ahead.Add(int64(2 * time.Minute))
		if status(t.Context()) == 401 {
			return
		}
	}
	t.Error("a revoked token is accepted without an end")
}
