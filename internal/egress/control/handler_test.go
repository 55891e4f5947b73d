package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnErrorOfTheServiceStaysInItsLog(t *testing.T) {
	s := newScripted(t)
	s.err = errors.New("the disk is full of secrets")
	var logged bytes.Buffer
	h := s.handler()
	h.Log = slog.New(slog.NewTextHandler(&logged, nil))
	url, _ := overheard(t, h)
	err := newPeer(t, url).UpdateParked(t.Context(), s.parked)
	if err == nil || strings.Contains(err.Error(), "secrets") || !strings.Contains(err.Error(), "see its log") ||
		!strings.Contains(err.Error(), "500") {
		t.Errorf("the gateway got %v", err)
	}
	if !strings.Contains(logged.String(), "secrets") || !strings.Contains(logged.String(), "update-parked") {
		t.Errorf("logged %s", logged.String())
	}
}

func TestInvalidRequestsAreRefused(t *testing.T) {
	s := newScripted(t)
	service := httptest.NewServer(s.handler())
	defer service.Close()
	for _, c := range []struct {
		method, name, body string
		status             int
		detail             string
	}{
		{"POST", "token", "{", 422, "invalid request of a gateway"},
		{"POST", "token", `{"a":1}`, 422, "invalid request of a gateway"},
		{"POST", "standing", `{"Tenant":"acme","Arrangement":"erp","SealTo":"AAAA"}`, 422, "public key is invalid"},
		{"POST", "sign", `{"Tenant":"` + strings.Repeat("a", 1<<20) + `"}`, 422, "request body too large"},
		{"POST", "nothing", "{}", 404, "newer than the service"},
		{"GET", "token", "", 404, "unknown operation"},
		{"POST", "changes", "", 404, "unknown operation"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, service.URL+Path+c.name, strings.NewReader(c.body))
		check(t, err)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		body, err := io.ReadAll(res.Body)
		check(t, err)
		res.Body.Close()
		if res.StatusCode != c.status || !strings.Contains(string(body), c.detail) ||
			res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", c.method, c.name, res.StatusCode, body)
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("the control was asked %v", s.asked)
	}
}

func TestAListOfDueMessagesIsLimited(t *testing.T) {
	s := newScripted(t)
	url, _ := overheard(t, s.handler())
	for limit, want := range map[int]string{16: " 16]", mostDue: " 1000]", mostDue + 1: " 1000]"} {
		_, err := newPeer(t, url).DueParked(t.Context(), at(1), limit)
		check(t, err)
		if !strings.HasSuffix(s.asked["due-parked"], want) {
			t.Errorf("%d: the control was asked for %s", limit, s.asked["due-parked"])
		}
	}
}

// A listener notifies of changes when a test does.
type listener struct {
	*scripted
	mu     sync.Mutex
	change func(string)
	ready  chan struct{}
	ended  chan struct{}
}

func (l *listener) OnChange(listen func(string)) (stop func()) {
	l.mu.Lock()
	l.change = listen
	l.mu.Unlock()
	close(l.ready)
	return func() { close(l.ended) }
}

// A gateway that does not keep up is disconnected, and reads everything again.
func TestTheStreamEndsWithTheServiceTheGatewayAndTooManyChanges(t *testing.T) {
	for name, end := range map[string]func(l *listener, service, gateway context.CancelFunc){
		"the service ends":    func(_ *listener, service, _ context.CancelFunc) { service() },
		"the gateway is gone": func(_ *listener, _, gateway context.CancelFunc) { gateway() },
		"too many changes": func(l *listener, _, _ context.CancelFunc) {
			for range 1 << 20 {
				l.change("tenant-id")
				select {
				case <-l.ended:
					return
				default:
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listener{scripted: newScripted(t), ready: make(chan struct{}), ended: make(chan struct{})}
			ending, service := context.WithCancel(t.Context())
			defer service()
			h := Handler{Control: l, Ending: ending, Log: slog.New(slog.DiscardHandler)}
			ctx, gateway := context.WithCancel(t.Context())
			defer gateway()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, Path+"changes", nil)
			answered := make(chan string)
			w := httptest.NewRecorder()
			go func() {
				h.ServeHTTP(w, r)
				answered <- w.Body.String()
			}()
			<-l.ready
			end(l, service, gateway)
			if body := <-answered; !strings.HasPrefix(body, "\n") {
				t.Errorf("the stream began with %.20q", body)
			}
			<-l.ended
		})
	}
}

func TestTheClientSendsItsTokenAndAnAddressWithoutASlash(t *testing.T) {
	var got *http.Request
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		io.WriteString(w, "{}")
	}))
	defer service.Close()
	c, err := NewClient(service.URL+"/", Fixed("perennial_token"), nil, slog.New(slog.DiscardHandler))
	check(t, err)
	_, err = c.Token(t.Context(), "hash")
	check(t, err)
	if got.URL.Path != Path+"token" || got.Header.Get("Authorization") != "Bearer perennial_token" ||
		got.Header.Get(versionHeader) != "1" || got.Method != http.MethodPost ||
		got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %v", got.Method, got.URL.Path, got.Header)
	}
	if _, err := NewClient("https://%", Fixed("perennial_token"), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an invalid address is accepted")
	}
}

func TestAnswersThatAreNotTheServicesAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"not JSON":            {200, "<html>", "is not a Perennial service"},
		"a problem, unknown":  {418, `{"detail":"teapot"}`, "answered 418 I'm a teapot: teapot"},
		"an error, no detail": {404, `{}`, "answered 404 Not Found"},
		"an error, not JSON":  {502, "<html>", "answered 502 Bad Gateway"},
	} {
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		_, err := newPeer(t, service.URL).Token(t.Context(), "hash")
		service.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheErrorOfEachOperationReachesTheGateway(t *testing.T) {
	s := newScripted(t)
	s.err = tenancy.Errorf(tenancy.ErrRefused, "not today")
	url, c := overheard(t, s.handler())
	peer, ctx := newPeer(t, url), t.Context()
	for name, ask := range map[string]func() error{
		"standing":       func() error { _, _, err := peer.Standing(ctx, "acme", "erp"); return err },
		"token":          func() error { _, err := peer.Token(ctx, "hash"); return err },
		"observe":        func() error { return peer.Observe(ctx, "arrangement-id", s.seen) },
		"record":         func() error { return peer.Record(ctx, s.messages) },
		"park":           func() error { _, err := peer.Park(ctx, s.parked, nil); return err },
		"reserve-parked": func() error { _, err := peer.ReserveParked(ctx, s.parked); return err },
		"add-parked-chunk": func() error {
			return peer.AddParkedChunk(ctx, s.parked, tenancy.ParkedPart{})
		},
		"parked-chunk":   func() error { _, err := peer.ParkedChunk(ctx, s.parked, 0); return err },
		"drop-parked":    func() error { return peer.DropParked(ctx, s.parked) },
		"parked":         func() error { _, err := peer.Parked(ctx, "arrangement-id", "parked-id"); return err },
		"due-parked":     func() error { _, err := peer.DueParked(ctx, at(1), 1); return err },
		"parked-address": func() error { _, _, _, err := peer.ParkedAddress(ctx, s.parked); return err },
		"claim-parked":   func() error { _, _, err := peer.ClaimParked(ctx, s.parked, at(1)); return err },
		"update-parked":  func() error { return peer.UpdateParked(ctx, s.parked) },
		"sign":           func() error { _, err := call[signAnswer](ctx, peer, "sign", signRequest{}); return err },
	} {
		if err := ask(); !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "not today") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(c.answers) != operationCount {
		t.Errorf("%d operations were asked for", len(c.answers))
	}
	s.err = nil
	s.identities[0].Certificate.PrivateKey = struct{}{}
	if _, _, err := peer.Standing(ctx, "acme", "erp"); err == nil || !strings.Contains(err.Error(), "see its log") {
		t.Errorf("a private key that cannot be encoded: %v", err)
	}
}

// A long answer ends with bytes that no value needs. A connection on which they were left could not be used again.
func TestCallsWithLongAnswersShareAConnection(t *testing.T) {
	var connections atomic.Int64
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "{}")
		http.NewResponseController(w).Flush()
		io.WriteString(w, "\n")
	}))
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	service.Start()
	defer service.Close()
	peer := newPeer(t, service.URL)
	for range 20 {
		_, err := peer.Token(t.Context(), "hash")
		check(t, err)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for calls one after the other", n)
	}
}

// A service that restarts is not flooded by its gateways.
func TestAGatewayWaitsBeforeItFollowsTheChangesAgain(t *testing.T) {
	var logged bytes.Buffer
	asked := make(chan time.Time, 10)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- time.Now()
		if len(asked) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer service.Close()
	peer := newPeer(t, service.URL)
	peer.log = slog.New(slog.NewTextHandler(&logged, nil))
	stop := peer.OnChange(func(id string) { t.Errorf("notified of %q", id) })
	testenv.Eventually(t, func() bool { return len(asked) > 2 })
	stop()
	first, second, third := <-asked, <-asked, <-asked
	if second.Sub(first) < time.Second || third.Sub(second) < time.Second {
		t.Errorf("asked again after %v and %v", second.Sub(first), third.Sub(second))
	}
	for _, want := range []string{"unexpected EOF", "503 Service Unavailable"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("%q is missing in %s", want, &logged)
		}
	}
}
