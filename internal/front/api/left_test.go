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

// A client that gave up repeats its request with the same key.
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

// Whoever closes connections early would fill the log with errors of the service.
func TestACallerThatLeavesIsNotAnErrorOfTheService(t *testing.T) {
	f := setUp(t)
	var log syncBuffer
	h := handler(t, Config{Store: f.store, Engine: f.engine.Engine, Issuer: f.issuer, Seal: f.engine.Seal,
		Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for path, key := range map[string]string{prefix + "/overview": "", prefix + "/tenants": "k", prefix + "/links/x": "",
		"/rollover/x/certificate": "", "/pki/crl.pem": "", "/pki/x.crl": "", "/feeds/x/y/": ""} {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		if key != "" {
			r = httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader("{}"))
			r.Header.Set("Idempotency-Key", key)
		}
		r.Header.Set("Authorization", "Bearer "+f.tokens["operator"])
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if text := log.String(); strings.Contains(text, "level=ERROR") {
			t.Fatalf("%s: %s", path, text)
		}
	}
}
