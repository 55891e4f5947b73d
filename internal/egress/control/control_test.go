package control_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

func TestMain(m *testing.M) { testenv.Main(m) }

// A fixture is a service with the arrangement acme/erp, and a receiver that accepts generation 1.
type fixture struct {
	t        testing.TB
	engine   *enginetest.Installation
	ca       *local.CA
	local    inprocess.Control
	service  *httptest.Server
	end      func()       // of streams
	keysStay atomic.Bool  // with the service
	copyFor  atomic.Int64 // a duration
	later    atomic.Int64 // how much the gateway's clock is ahead
	mu       sync.Mutex
	down     bool              // the service answers nothing
	wire     bytes.Buffer      // what the service answered
	answers  map[string]string // to operations, instead of the service's
	receiver *receiver.Server
	token    map[tenancy.Role]string
}

func setUp(t testing.TB, options ...enginetest.Option) *fixture {
	t.Helper()
	f := &fixture{t: t, token: map[tenancy.Role]string{}, answers: map[string]string{}}
	now := time.Now()
	f.engine, f.ca = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now, options...)
	acme := f.engine.Tenant(t, "acme", now)
	var err error
	f.receiver, err = receiver.Start(receiver.Options{
		Certificate: receiver.Fixed(enginetest.ServerCertificate(t, f.ca)), Refuse: 401})
	check(t, err)
	t.Cleanup(f.receiver.Close)
	f.receiver.Accept(f.generation(1))
	f.engine.Arrangement(t, tenancy.Arrangement{TenantID: acme.ID, Endpoint: f.receiver.URL,
		Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle())}})
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		for _, role := range []tenancy.Role{tenancy.RoleOperator, tenancy.RoleGateway, tenancy.RoleSender} {
			f.token[role] = tenancy.TokenPrefix + rand.Text()
			one := tenancy.Token{ID: store.NewID(), Name: "dmz", Role: role, CreatedAt: now,
				ExpiresAt: now.Add(24 * time.Hour)}
			if role == tenancy.RoleSender {
				one.TenantID = acme.ID
			}
			if err := tx.CreateToken(t.Context(), one, tenancy.HashSecret(f.token[role])); err != nil {
				return err
			}
		}
		return nil
	}))
	ending, end := context.WithCancel(t.Context())
	f.end, f.local = end, inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now}
	log := slog.New(slog.DiscardHandler)
	handler, err := api.New(api.Config{Store: f.engine.Store, Engine: f.engine.Engine, Issuer: f.ca, Seal: f.engine.Seal,
		Now: time.Now, Log: log,
		Gateways: func(name string) http.Handler {
			named := f.local
			named.Name = name
			return control.Handler{Control: named, KeysStay: f.keysStay.Load(), CopyFor: time.Duration(f.copyFor.Load()),
				Ending: ending, Log: log}
		}})
	check(t, err)
	f.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		down, scripted := f.down, f.answers[strings.TrimPrefix(r.URL.Path, control.Path)]
		f.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		if scripted != "" {
			io.WriteString(w, scripted)
			return
		}
		handler.ServeHTTP(recorded{w, f}, r)
	}))
	f.service.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	t.Cleanup(func() {
		end()
		f.service.Close()
	})
	return f
}

type recorded struct {
	http.ResponseWriter
	f *fixture
}

func (r recorded) Write(p []byte) (int, error) {
	r.f.mu.Lock()
	r.f.wire.Write(p)
	r.f.mu.Unlock()
	return r.ResponseWriter.Write(p)
}

func (r recorded) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (f *fixture) generation(n int) *x509.Certificate {
	f.t.Helper()
	acme, err := f.engine.Store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	c, err := f.engine.Store.Certificate(f.t.Context(), acme.ID, tenancy.ForTenant, n)
	check(f.t, err)
	parsed, err := x509.ParseCertificate(c.DER)
	check(f.t, err)
	return parsed
}

func (f *fixture) client() *control.Client {
	f.t.Helper()
	c, err := control.NewClient(f.service.URL, control.Fixed(f.token[tenancy.RoleGateway]), nil,
		slog.New(slog.DiscardHandler))
	check(f.t, err)
	c.SetClock(f.gatewayNow)
	return c
}

func (f *fixture) gatewayNow() time.Time { return time.Now().Add(time.Duration(f.later.Load())) }

// gateway starts a gateway that has only the address of the service.
func (f *fixture) gateway() (url string) {
	f.t.Helper()
	return f.gatewayOf(f.client())
}

func (f *fixture) gatewayOf(c gateway.Control) (url string) {
	f.t.Helper()
	g, err := gateway.New(gateway.Config{Control: c,
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, TempDir: f.t.TempDir(),
		Now: f.gatewayNow, Log: slog.New(slog.DiscardHandler)})
	check(f.t, err)
	server := httptest.NewServer(g)
	f.t.Cleanup(func() {
		server.Close()
		g.Close()
	})
	return server.URL
}

func (f *fixture) send(gateway string, headers ...string) (status int) {
	f.t.Helper()
	return f.sendTo(gateway, "erp", headers...)
}

func (f *fixture) sendTo(gateway, arrangement string, headers ...string) (status int) {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, gateway+"/acme/"+arrangement+"/order", strings.NewReader("<order/>"))
	check(f.t, err)
	r.Header.Set("Authorization", "Bearer "+f.token[tenancy.RoleSender])
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	check(f.t, err)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res.StatusCode
}

func (f *fixture) setDown(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// answered returns what the service has answered so far.
func (f *fixture) answered() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wire.String()
}

// answer makes an operation get an answer that is not the service's.
func (f *fixture) answer(operation, answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[operation] = answer
}

func (f *fixture) renew() {
	f.t.Helper()
	_, err := f.engine.RenewByHand(f.t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", time.Now())
	check(f.t, err)
}

func TestARenewalThroughARemoteGatewayFailsNoMessage(t *testing.T) {
	f := setUp(t)
	url := f.gateway()
	send := func() {
		t.Helper()
		if status := f.send(url); status != 200 {
			t.Fatalf("answered %d", status)
		}
	}
	send()
	f.renew()
	send()
	f.receiver.Accept(f.generation(2))
	send()
	// What this gateway observed is recorded in the service, with its name.
	testenv.Eventually(t, func() bool {
		events, err := f.engine.Store.Events(t.Context(), "acme", 0, 100)
		check(t, err)
		for _, e := range events {
			if e.Actor == "gateway dmz" && e.Action == "arrangement.refused" {
				return true
			}
		}
		return false
	})
}

func TestASenderLearnsThatTheGatewaysOwnTokenIsNotAccepted(t *testing.T) {
	f := setUp(t)
	var own atomic.Pointer[string] // as in a file that is read for each request
	valid, invalid := f.token[tenancy.RoleGateway], "perennial_expired"
	own.Store(&invalid)
	c, err := control.NewClient(f.service.URL, func() (string, error) { return *own.Load(), nil }, nil,
		slog.New(slog.DiscardHandler))
	check(t, err)
	if err := c.Check(t.Context()); !errors.Is(err, gateway.ErrOwnToken) {
		t.Errorf("at the start: %v", err)
	}
	g, err := gateway.New(gateway.Config{Control: c, TempDir: t.TempDir(), Now: f.gatewayNow,
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:     slog.New(slog.DiscardHandler)})
	check(t, err)
	server := httptest.NewServer(g)
	defer g.Close()
	defer server.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL+"/acme/erp/order", strings.NewReader("x"))
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.token[tenancy.RoleSender])
	res, err := http.DefaultClient.Do(r)
	check(t, err)
	body, err := io.ReadAll(res.Body)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "this gateway's own token") {
		t.Errorf("the sender gets %d %s", res.StatusCode, body)
	}
	own.Store(&valid)
	if status := f.send(server.URL); status != 200 {
		t.Errorf("after the token was replaced: %d", status)
	}
}

func TestAParkedMessageGoesThroughARemoteGateway(t *testing.T) {
	f := setUp(t)
	url := f.gateway()
	if status := f.send(url, "Prefer", "respond-async", "Idempotency-Key", "one"); status != 202 {
		t.Fatalf("answered %d", status)
	}
	testenv.Eventually(t, func() bool { return f.receiver.Taken("one") == 1 })
}

func TestALargeParkedMessageGoesThroughARemoteGateway(t *testing.T) {
	f := setUp(t)
	body := bytes.Repeat([]byte("0123456789"), tenancy.ParkedChunk/4)
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.gateway()+"/acme/erp/x", bytes.NewReader(body))
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.token[tenancy.RoleSender])
	r.Header.Set("Prefer", "respond-async")
	r.Header.Set("Idempotency-Key", "large")
	res, err := http.DefaultClient.Do(r)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 202 {
		t.Fatalf("answered %d", res.StatusCode)
	}
	testenv.Eventually(t, func() bool { return f.receiver.Taken("large") == 1 })
}

func TestARemoteGatewayGetsTheSameValuesAndNoReadableKey(t *testing.T) {
	f := setUp(t)
	f.renew()
	want, ids, err := f.local.Standing(t.Context(), "acme", "erp")
	check(t, err)
	got, opened, err := f.client().Standing(t.Context(), "acme", "erp")
	check(t, err)
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(ids) != 2 || !reflect.DeepEqual(opened, ids) {
		t.Error("the identities differ")
	}
	for _, id := range ids {
		der, err := x509.MarshalPKCS8PrivateKey(id.Certificate.PrivateKey)
		check(t, err)
		for _, form := range []string{string(der), fmt.Sprintf("%q", der), base64.StdEncoding.EncodeToString(der)} {
			if strings.Contains(f.answered(), form) {
				t.Error("a private key can be read in an answer")
			}
		}
	}
	if _, _, err := f.client().Standing(t.Context(), "acme", "nothing"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("an arrangement that does not exist: %v", err)
	}
}

func TestOnlyAGatewaysTokenMayUseTheControlAndNothingElse(t *testing.T) {
	f := setUp(t)
	ask := func(role tenancy.Role, method, path string) int {
		t.Helper()
		r, err := http.NewRequest(method, f.service.URL+path, strings.NewReader("{}"))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+f.token[role])
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		res.Body.Close()
		return res.StatusCode
	}
	for _, c := range []struct {
		role   tenancy.Role
		method string
		path   string
		want   int
	}{
		{tenancy.RoleOperator, "POST", control.Path + "standing", 403},
		{tenancy.RoleSender, "POST", control.Path + "standing", 403},
		{tenancy.RoleOperator, "GET", control.Path + "changes", 403},
		{"", "POST", control.Path + "standing", 401},
		{tenancy.RoleGateway, "GET", "/api/v1/tenants", 403},
		{tenancy.RoleGateway, "POST", control.Path + "standing", 422},
		{tenancy.RoleGateway, "POST", control.Path + "nothing", 404},
		{tenancy.RoleGateway, "GET", control.Path + "standing", 404},
	} {
		if got := ask(c.role, c.method, c.path); got != c.want {
			t.Errorf("%s %s as %q: %d, want %d", c.method, c.path, c.role, got, c.want)
		}
	}
}

func TestAGatewayContinuesWhileTheServiceIsDownAndReadsEverythingAfterwards(t *testing.T) {
	f := setUp(t)
	url := f.gateway()
	f.renew()
	if status := f.send(url); status != 200 {
		t.Fatalf("answered %d", status)
	}
	f.setDown(true)
	f.end() // of the streams that are open
	f.service.CloseClientConnections()
	f.receiver.Accept(f.generation(2)) // the receiver changes in the meantime
	if status := f.send(url); status != 200 {
		t.Errorf("answered %d while the service is down", status)
	}
	f.later.Store(int64(30 * time.Minute))
	if status := f.send(url); status != 200 {
		t.Errorf("answered %d half an hour later", status)
	}
	f.later.Store(int64(2 * time.Hour))
	if status := f.send(url); status != 503 {
		t.Errorf("answered %d two hours later, when the token could not be checked for too long", status)
	}
	f.later.Store(0)
	notified := make(chan string, 10)
	stop := f.client().OnChange(func(id string) { notified <- id })
	defer stop()
	f.setDown(false)
	if id := <-notified; id != "" {
		t.Errorf("notified of %q, want that anything may have changed", id)
	}
}

func TestAnAnswerOfAnotherServerIsAnErrorThatNamesIt(t *testing.T) {
	other := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	other.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	c, err := control.NewClient(other.URL, control.Fixed("perennial_secret"), roots, slog.New(slog.DiscardHandler))
	check(t, err)
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "404") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	untrusting, err := control.NewClient(other.URL, control.Fixed("perennial_secret"), nil, slog.New(slog.DiscardHandler))
	check(t, err)
	var unknown *tls.CertificateVerificationError
	if err := untrusting.Check(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("got %v, want that its certificate is not trusted", err)
	}
}
