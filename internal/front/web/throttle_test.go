package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A network that asks for public pages too often waits, and no other one does.
func TestPublicPagesAreThrottledPerNetwork(t *testing.T) {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	now := time.Date(2026, 11, 20, 9, 0, 15, 0, time.UTC)
	accounts, err := identity.New(identity.Config{Store: s, BaseURL: "http://127.0.0.1",
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	testenv.Check(t, err)
	rest := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h, err := New(Config{API: rest, Identity: accounts, News: s, Now: func() time.Time { return now },
		Ending: t.Context(), Log: slog.New(slog.DiscardHandler)}, rest)
	testenv.Check(t, err)
	get := func(path, address string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	paths := []string{"/rollover/x/certificate", "/unsubscribe/x/y", "/api/v1/links/x", "/calendar/x.ics", "/rollover/x",
		"/watched/x", "/counterparty/x", "/feeds/x/y/z"}
	answered := 0
	for i := range 200 {
		// One host chooses any address of its /64.
		w := get(paths[i%len(paths)], fmt.Sprintf("[2001:db8::%x]:1", i+1))
		if w.Code != http.StatusTooManyRequests {
			answered++
		} else if got := w.Header().Get("Retry-After"); got != strconv.Itoa(45) {
			t.Fatalf("Retry-After: %s", got)
		}
	}
	if answered != 120 {
		t.Errorf("%d of 200 requests were answered", answered)
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"another network": get("/rollover/x/certificate", "[2001:db8:0:1::1]:1"),
		"another path":    get("/healthz", "[2001:db8::1]:1"),
	} {
		if w.Code == http.StatusTooManyRequests {
			t.Errorf("%s waits, too", what)
		}
	}
	for _, one := range []struct {
		method, path, header, value, language, want, again string
	}{
		{"GET", "/rollover/x?a=b", "Accept", "text/html,*/*", "", "Wait 45 seconds, then open the page again",
			"/rollover/x?a=b"},
		{"POST", "/rollover/x/test", "Accept", "text/html", "de", "Warten Sie 45 Sekunden, öffnen Sie die Seite erneut",
			"/rollover/x"},
		{"POST", "/counterparty/x/test", "HX-Request", "true", "", "Nothing was changed. Wait 45 seconds", "/counterparty/x"},
		{"GET", "/unsubscribe/x/y", "Accept", "text/html", "de", "Bitte warten Sie einen Moment", "/unsubscribe/x/y"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), one.method, one.path, nil)
		r.RemoteAddr = "[2001:db8::1]:1"
		r.Header.Set(one.header, one.value)
		r.Header.Set("Accept-Language", one.language)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "45" ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: %d, %v", one.method, one.path, w.Code, w.Header())
		}
		if !strings.Contains(body, "style.css") || !strings.Contains(body, one.want) ||
			!strings.Contains(body, `<a href="`+one.again+`">`) {
			t.Errorf("%s %s lacks %q or its link: %s", one.method, one.path, one.want, body)
		}
	}
	if w := get("/rollover/x", "[2001:db8::1]:1"); strings.Contains(w.Body.String(), "<html") {
		t.Errorf("a program gets a page: %s", w.Body)
	}
	now = now.Add(time.Minute)
	if w := get("/rollover/x/certificate", "[2001:db8::1]:1"); w.Code == http.StatusTooManyRequests {
		t.Error("the network waits in the next minute, too")
	}
}
