package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var check = testenv.Check

func TestTheSmallBinaryLinksNeitherTheEngineNorADatabase(t *testing.T) {
	testenv.Links(t, ".", "cmd/perennial-gateway", "internal/egress/serve", "internal/egress/calm",
		"internal/egress/control", "internal/egress/gateway", "internal/egress/outbound",
		"internal/egress/workload", "internal/engine/standing",
		"internal/keys/certfile", "internal/keys/givenup", "internal/redact", "rollover", "tenancy")
}

func TestTheSmallBinaryAnswersWithWhatTheServiceReturns(t *testing.T) {
	engine, _ := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	service := httptest.NewServer(control.Handler{Ending: ctx,
		Control: inprocess.Control{Rollovers: engine.Rollovers(), Now: time.Now},
		Log:     slog.New(slog.DiscardHandler)})
	defer service.Close()
	t.Setenv("PERENNIAL_TOKEN", "perennial_test")
	out, printed := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--control", service.URL, "--gateway", "127.0.0.1:0", "--gateway-open", "--log-level",
			"error", "--metrics-listen", "127.0.0.1:0"}, printed, t.Output())
		printed.Close()
	}()
	lines, url, metrics := bufio.NewScanner(out), "", ""
	for lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "  messages  "); ok {
			url = strings.TrimSuffix(after, "/TENANT/ARRANGEMENT/...")
		}
		if _, after, ok := strings.Cut(lines.Text(), "  metrics   "); ok {
			metrics = after
			break
		}
	}
	go io.Copy(io.Discard, out)
	res, err := http.Get(url + "/acme/bank/x")
	check(t, err)
	body, err := io.ReadAll(res.Body)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "acme/bank") {
		t.Errorf("answered %d: %s", res.StatusCode, body)
	}
	get := func(path string) (status int, body string) {
		res, err := http.Get(strings.TrimSuffix(metrics, "/metrics") + path)
		check(t, err)
		defer res.Body.Close()
		content, err := io.ReadAll(res.Body)
		check(t, err)
		return res.StatusCode, string(content)
	}
	if status, body := get("/metrics"); status != http.StatusOK || !strings.Contains(body, "go_goroutines ") {
		t.Errorf("/metrics: %d", status)
	}
	if status, _ := get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	testenv.Eventually(t, func() bool { // when it is notified of changes
		status, _ := get("/readyz")
		return status == http.StatusOK
	})
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d", code)
	}
}

func TestTheSmallBinaryRefusesWhatItCannotServe(t *testing.T) {
	t.Setenv("PERENNIAL_TOKEN", "perennial_test")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "--control"},
		{"--control postgres://user:secret@db/p", 1, "not an https:// address"},
		{"--control http://perennial.example.com", 1, "would send the token unencrypted"},
		{"--control https://127.0.0.1:1 --gateway off", 1, "leaves nothing to run"},
		{"--control https://127.0.0.1:1 --token= ", 1, "no token"},
		{"--control https://127.0.0.1:1 --gateway 0.0.0.0:0", 1, "can be reached from outside"},
		{"--control https://127.0.0.1:1 --gateway 0.0.0.0:0 --gateway-open --behind-proxy", 1, "--gateway-open"},
		{"--control https://127.0.0.1:1 --gateway-client-ca ca.pem", 1, "client certificates come with TLS"},
		{"--control https://127.0.0.1:1 --gateway-client-ca ca.pem --gateway-tls-cert a.pem --gateway-tls-key a.pem", 1,
			"needs --gateway-sender-domain"},
		{"--control https://127.0.0.1:1 --gateway-tls-cert a.pem", 1, "go together"},
		{"--control https://127.0.0.1:1 --allow-target 10.0.0.0", 1, "not a valid address range"},
		{"--control https://127.0.0.1:1 --ca /does/not/exist", 1, "--ca"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "secret") {
			t.Errorf("%s: %d, %s", c.args, code, out.String())
		}
	}
}

func TestTheSmallBinaryPrintsItsHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "--gateway-suffix", "--version": "perennial-gateway"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{arg}, &out, &out); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s", arg, code, out.String())
		}
	}
}
