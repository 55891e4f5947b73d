package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// prepared is an empty database with the present schemas, because the migrations of a first start take longer than most
// tests.
var prepared = testenv.NewTemplate(func(url string) error {
	s, err := store.Open(context.Background(), url)
	if err != nil {
		return err
	}
	return errors.Join(jobs.Migrate(context.Background(), s, slog.New(slog.DiscardHandler)), s.Close())
})

// settings returns the defaults with a new database and free ports. Few RSA keys are generated in advance, because each
// takes long.
func settings(t *testing.T, args ...string) Settings {
	t.Helper()
	var s Settings
	parser, err := kong.New(&s)
	testenv.Check(t, err)
	dir := t.TempDir()
	_, err = parser.Parse(append([]string{
		"--database", prepared.SQLite(t), "--rsa-pool", "1", "--key-file", filepath.Join(dir, "key"),
		"--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0",
	}, args...))
	testenv.Check(t, err)
	return s
}

func open(t *testing.T, s Settings) (*Service, error) {
	t.Helper()
	return Open(t.Context(), Config{
		Settings: s, Version: "test", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

func TestLinksThatOtherMachinesCannotOpenAreReported(t *testing.T) {
	for _, c := range []struct {
		listen, base string
		warned       bool
	}{
		{"127.0.0.1:0", "", false}, {"0.0.0.0:0", "", true}, {":0", "", true},
		{"0.0.0.0:0", "https://perennial.example.com", false},
	} {
		s := settings(t, "--behind-proxy", "--base-url", c.base)
		s.Transport.Listen = c.listen
		var logged bytes.Buffer
		opened, err := Open(t.Context(), Config{Settings: s, Version: "test", Now: time.Now,
			Log: slog.New(slog.NewTextHandler(&logged, nil))})
		testenv.Check(t, err)
		testenv.Check(t, opened.Close())
		if got := strings.Contains(logged.String(), "set --base-url"); got != c.warned {
			t.Errorf("%+v: %s", c, logged.String())
		}
	}
}

func TestOtherFaultsAreReportedBeforeAnAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	defer taken.Close()
	address := taken.Addr().String()
	for flag, set := range map[string]func(*Settings){
		"--listen":  func(s *Settings) { s.Transport.Listen = address },
		"--gateway": func(s *Settings) { s.Gateway.Gateway = address },
	} {
		s := settings(t)
		set(&s)
		want := flag + ": the address " + address + " is in use: stop the process that uses it, or set another address"
		if _, err := open(t, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		s.Certificates.Policy = "nothing"
		if _, err := open(t, s); err == nil || !strings.Contains(err.Error(), `unknown policy "nothing"`) {
			t.Errorf("with a wrong policy: %v", err)
		}
	}
}

// run runs a service until stop is called, which returns what Run returned.
func run(t *testing.T, s *Service) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the service ended before it was ready: %v", err)
	}
	return func() error {
		cancel()
		return <-ended
	}
}

func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	testenv.Check(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	testenv.Check(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	testenv.Check(t, err)
	return res.StatusCode, string(data)
}

func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	s, err := open(t, settings(t, "--metrics-listen", "127.0.0.1:0"))
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop := run(t, s)
	for url, want := range map[string]int{s.BaseURL() + "/metrics": 404, s.MetricsURL() + "/metrics": 200,
		s.MetricsURL() + "/healthz": 200, s.MetricsURL() + "/readyz": 200, s.MetricsURL() + "/api/v1/tenants": 404} {
		status, body := get(t, url, s.FirstToken())
		if status != want || strings.HasSuffix(url, "/metrics") && want == 200 &&
			!strings.Contains(body, "perennial_info{") {
			t.Errorf("%s: %d, want %d", url, status, want)
		}
	}
	testenv.Check(t, stop())
}

func TestCertificatesNameTheirListsOverPlainHTTPAndAListenerServesThemAlone(t *testing.T) {
	for base, want := range map[string]string{"": "", "http://p.example.com:8080": "http://p.example.com:8080/pki",
		"https://p.example.com": "http://p.example.com/pki", "https://p.example.com:8443": "http://p.example.com/pki",
		"https://[2001:db8::1]:8443": "http://[2001:db8::1]/pki"} {
		if got := (&Transport{BaseURL: base}).crlAddress(); got != want {
			t.Errorf("the lists of %q are at %q, want %q", base, got, want)
		}
	}
	if got := (&Transport{BaseURL: "https://p.example.com", CRLURL: "http://crl.example.com/x/"}).crlAddress(); got !=
		"http://crl.example.com/x" {
		t.Errorf("the lists are at %q", got)
	}
	for _, c := range []struct {
		Transport
		want bool
	}{
		{Transport{BaseURL: "https://p.example.com", TLS: "self"}, true},
		{Transport{BaseURL: "https://p.example.com", TLS: "self", PKIListen: ":80"}, false},
		{Transport{BaseURL: "https://p.example.com", TLS: "self", CRLURL: "http://crl.example.com"}, false},
		{Transport{BaseURL: "https://p.example.com", BehindProxy: true}, false}, // the proxy may pass /pki on
		{Transport{TLS: "self"}, false},
	} {
		if got := c.servesNoLists(); got != c.want {
			t.Errorf("%+v: warned %t", c.Transport, got)
		}
	}
	s, err := open(t, settings(t, "--pki-listen", "127.0.0.1:0", "--tls", "self"))
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop := run(t, s)
	for path, want := range map[string]int{"/pki/ca.pem": 200, "/pki/crl.pem": 200, "/pki/x.crl": 404, "/healthz": 404,
		"/api/v1/tenants": 404, "/": 404, "/sign-in": 404} {
		if status, _ := get(t, s.PKIURL()+path, s.FirstToken()); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	testenv.Check(t, stop())
}

func TestAServiceOpensRunsAndStartsAgainInOneProcess(t *testing.T) {
	config := settings(t)
	s, err := open(t, config)
	testenv.Check(t, err)
	token := s.FirstToken()
	if token == "" {
		t.Error("a new database has no first token")
	}
	stop := run(t, s)
	if status, body := get(t, s.BaseURL()+"/api/v1/tenants", token); status != http.StatusOK {
		t.Errorf("the API answered %d: %s", status, body)
	}
	if status, body := get(t, s.GatewayURL()+"/acme/crm", token); status != http.StatusForbidden {
		t.Errorf("the gateway answered %d to an operator's token: %s", status, body)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())

	again, err := open(t, config)
	testenv.Check(t, err)
	if again.FirstToken() != "" {
		t.Error("a second first token")
	}
	stop = run(t, again)
	if status, body := get(t, again.BaseURL()+"/api/v1/tenants", token); status != http.StatusOK {
		t.Errorf("after the restart the API answered %d: %s", status, body)
	}
	testenv.Check(t, stop())
	testenv.Check(t, again.Close())
}

func TestAServiceCanBeStoppedWhileItStarts(t *testing.T) {
	s, err := open(t, settings(t, "--metrics-listen", "127.0.0.1:0"))
	testenv.Check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	testenv.Check(t, s.Run(ctx, cancel))
	if s.GatewayURL() == "" {
		t.Error("a stopped service has no gateway")
	}
	testenv.Check(t, s.Close())
}

// A failure of the listener after the jobs have started must not leave them running on a database that is closed next.
func TestAFailureAfterTheQueueHasStartedStopsTheQueue(t *testing.T) {
	s, err := open(t, settings(t, "--gateway", "off"))
	testenv.Check(t, err)
	s.listener.Close()
	queue := s.queue
	ended := s.Run(t.Context(), nil)
	if ended == nil || !strings.Contains(ended.Error(), "use of closed network connection") {
		t.Errorf("the service ended with %v", ended)
	}
	select {
	case <-queue.Stopped():
	default:
		t.Error("the queue still works")
	}
	testenv.Check(t, s.Close())
}

// A supervisor starts it again, and everything is there.
func TestAServiceWhoseDatabaseIsDeletedStopsAndWritesItAgain(t *testing.T) {
	t.Parallel() // it waits for the next check
	config := settings(t)
	s, err := open(t, config)
	testenv.Check(t, err)
	token := s.FirstToken()
	path := strings.TrimPrefix(config.Database.URL, "sqlite:")
	testenv.Check(t, os.Remove(path))
	ended := s.Run(t.Context(), nil)
	if ended == nil || !strings.HasSuffix(ended.Error(), "was deleted while the service uses it: the service stops. "+
		"Start it again") {
		t.Errorf("the service ended with %v", ended)
	}
	testenv.Check(t, s.Close())
	s, err = open(t, config)
	testenv.Check(t, err)
	stop := run(t, s)
	if status, body := get(t, s.BaseURL()+"/api/v1/tenants", token); status != http.StatusOK {
		t.Errorf("after the restart the API answered %d: %s", status, body)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}

// Its gateway still delivers messages, and the next start is refused.
func TestAServiceWhoseDatabaseIsEmptiedIsNotReadyAndDoesNotStop(t *testing.T) {
	t.Parallel() // it waits for the next check
	config := settings(t)
	s, err := open(t, config)
	testenv.Check(t, err)
	stop := run(t, s)
	testenv.Check(t, os.Truncate(strings.TrimPrefix(config.Database.URL, "sqlite:"), 0))
	testenv.Eventually(t, func() bool {
		status, _ := get(t, s.BaseURL()+"/readyz", "")
		return status == http.StatusServiceUnavailable
	})
	testenv.Check(t, stop())
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "was emptied by another program") {
		t.Errorf("%v", err)
	}
	if _, err := open(t, config); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("the next start: %v", err)
	}
}

func TestAFailedOpenReleasesItsResources(t *testing.T) {
	config := settings(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	defer taken.Close()
	config.Gateway.Gateway = taken.Addr().String()
	if _, err := open(t, config); err == nil || !strings.Contains(err.Error(), "--gateway") {
		t.Fatalf("opened with a gateway's address that is taken: %v", err)
	}
	// The database can be opened exclusively again.
	again, err := store.OpenExclusive(t.Context(), config.Database.URL)
	testenv.Check(t, err)
	testenv.Check(t, again.Close())
}

func TestSettingsThatWouldExposeTheServiceAreRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", ":0"}, "can be reached from outside"},
		{[]string{"--tls-cert", "x"}, "--tls-cert and --tls-key go together"},
		{[]string{"--tls", "self", "--tls-cert", "x", "--tls-key", "y"}, "either"},
		{[]string{"--gateway", ":0"}, "--gateway-tls-cert"},
		{[]string{"--gateway", ":0", "--gateway-open"}, "--gateway-open lets every caller send"},
		{[]string{"--gateway-client-ca", "x"}, "client certificates come with TLS"},
		{[]string{"--gateway-client-crl", "x"}, "--gateway-client-crl needs --gateway-client-ca"},
		{[]string{"--allow-target", "10.0.0.0"}, "valid address range"},
		{[]string{"--base-url", "perennial.example.com"}, "invalid URL"},
		{[]string{"--crl-url", "https://perennial.example.com/pki"}, "RFC 5280, section 8"},
		{[]string{"--oidc-issuer", "http://login.example.com", "--oidc-client", "x"}, "https URL"},
		{[]string{"--oidc-client", "x"}, "go together"},
		{[]string{"--gateway-key-copies", "15m"}, "together with --gateway-keys remote"},
		{[]string{"--gateway-keys", "remote", "--gateway-key-copies", "25h"}, "use at most 24h0m0s"},
		{[]string{"--breached-passwords", "missing.txt"}, "--breached-passwords: "},
		{[]string{"--issuer-rate", "NaN"}, "0 or more per second"},
		{[]string{"--mail-from", "no address"}, "--mail-from"},
		{[]string{"--policy", "no-such-policy"}, "no-such-policy"},
	} {
		s, err := open(t, settings(t, c.args...))
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestTheDatabaseOpensOnlyWithItsKeyFile(t *testing.T) {
	config := settings(t)
	s, err := open(t, config)
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	other := config
	other.Database.KeyFile = filepath.Join(t.TempDir(), "another.key")
	if _, err := open(t, other); err == nil || !strings.Contains(err.Error(), "restore it from its backup") {
		t.Errorf("without its key file: %v", err)
	}
	keyFileOfAnother := settings(t)
	s, err = open(t, keyFileOfAnother)
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	other.Database.KeyFile = keyFileOfAnother.Database.KeyFile
	if _, err := open(t, other); err == nil || !strings.Contains(err.Error(), "sealed with another key") {
		t.Errorf("with the key file of another installation: %v", err)
	}
}

func TestTheHostCreatesAnOperatorsTokenWithTheKeyFile(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	set := settings(t)
	s, err := open(t, set)
	testenv.Check(t, err)
	defer s.Close()
	// while the service has it open
	token, secret, err := CreateOperatorToken(ctx, set.Database, "rescue", time.Time{}, now, slog.New(slog.DiscardHandler))
	testenv.Check(t, err)
	if left := token.ExpiresAt.Sub(now); left > 24*time.Hour || left < 23*time.Hour {
		t.Errorf("it is valid for %v", left)
	}
	found, err := s.core.store.TokenByHash(ctx, tenancy.HashSecret(secret))
	if err != nil || found.Role != tenancy.RoleOperator || !found.Valid(now) {
		t.Errorf("the token is %+v, %v", found, err)
	}
	events, err := s.core.store.Events(ctx, "", 0, 100)
	testenv.Check(t, err)
	last := events[len(events)-1]
	if last.Action != "token.created" || last.Object != token.ID || last.Actor != "command line" {
		t.Errorf("the latest event is %+v", last)
	}
	for name, change := range map[string]func(*Database, *time.Time){
		"another key file": func(d *Database, _ *time.Time) {
			d.KeyFile = filepath.Join(t.TempDir(), "other.key")
			_, err := keyring.Create(d.KeyFile, nil)
			testenv.Check(t, err)
		},
		"no key file":       func(d *Database, _ *time.Time) { d.KeyFile = filepath.Join(t.TempDir(), "none.key") },
		"no database":       func(d *Database, _ *time.Time) { d.URL = "sqlite:" + filepath.Join(t.TempDir(), "none.db") },
		"an expiry before":  func(_ *Database, at *time.Time) { *at = now.Add(-time.Hour) },
		"an expiry too far": func(_ *Database, at *time.Time) { *at = now.AddDate(2, 0, 0) },
	} {
		d, at := set.Database, time.Time{}
		change(&d, &at)
		_, secret, err := CreateOperatorToken(ctx, d, "rescue", at, now, slog.New(slog.DiscardHandler))
		if err == nil || secret != "" {
			t.Errorf("%s: a token is created", name)
		}
	}
}
