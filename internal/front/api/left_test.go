package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

// A client that gives up repeats its request, which is what the key is for.
func TestAnIdempotencyKeyServesACallerThatGaveUp(t *testing.T) {
	f := setUp(t)
	s := &server{store: f.store, seal: f.engine.Seal, clock: func() time.Time { return f.now },
		log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]struct {
		first, again, calls int
		replayed            string
	}{
		"after it was done": {201, 201, 1, "true"}, "before it was done": {503, 201, 2, ""},
	} {
		calls := 0
		send := func(leaves bool, status int) *httptest.ResponseRecorder {
			ctx, leave := context.WithCancel(principal.With(t.Context(), tenancy.Token{ID: "1", Role: tenancy.RoleOperator}))
			defer leave()
			h := s.remember(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls++; leaves {
					leave()
				}
				w.WriteHeader(status)
			}))
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/tenants", strings.NewReader("{}"))
			r.Header.Set("Idempotency-Key", name)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		send(true, c.first)
		if w := send(false, 201); w.Code != c.again || calls != c.calls ||
			w.Header().Get("Idempotency-Replayed") != c.replayed {
			t.Errorf("%s: %d %s, called %d times", name, w.Code, w.Body, calls)
		}
	}
}
