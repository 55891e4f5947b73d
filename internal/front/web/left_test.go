package web

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Whoever closes connections early would fill the log with errors of the service.
func TestAReaderWhoLeavesIsNotAnErrorOfTheService(t *testing.T) {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	accounts, err := identity.New(identity.Config{Store: s, BaseURL: "http://127.0.0.1", Log: logger, Now: time.Now})
	testenv.Check(t, err)
	rest := http.NotFoundHandler()
	h, err := New(Config{API: rest, Identity: accounts, News: s, Now: time.Now, Ending: t.Context(), Log: logger}, rest)
	testenv.Check(t, err)
	gone, leave := context.WithCancel(t.Context())
	leave()
	ask := func(ctx context.Context, method, path, cookie string) {
		r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader("name=olga&password=a+wrong+password"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if cookie != "" {
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: cookie})
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask(gone, http.MethodPost, "/sign-in", "")
	ask(gone, http.MethodGet, "/", "BNHUJVB7ZM2P2PPYPWQCBXG74A")
	if log.Len() > 0 {
		t.Errorf("the log: %s", &log)
	}
	testenv.Check(t, s.Close())
	ask(t.Context(), http.MethodGet, "/", "BNHUJVB7ZM2P2PPYPWQCBXG74A")
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log without a database: %s", &log)
	}
}
