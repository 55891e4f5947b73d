package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const unsoundPolicy = `name: late
schedule: {every: month, day: 1, at: "00:00", zone: UTC}
renew_within: 20d
warn_from: 20d
warn_to: 60d
validity: 365d
`

func TestExitStatusesSpeakToScripts(t *testing.T) {
	unsound := filepath.Join(t.TempDir(), "late.yaml")
	check(t, os.WriteFile(unsound, []byte(unsoundPolicy), 0o600))
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		w.Write([]byte(`{"title":"Conflict","status":409,"detail":"a tenant acme already exists"}`))
	}))
	t.Cleanup(service.Close)
	client := []string{"--url", service.URL, "--token", "x"}
	for _, c := range []struct {
		args   []string
		status int
		detail string // of the JSON error
		http   int
	}{
		{[]string{"version"}, exitOK, "", 0},
		{[]string{"--version"}, exitOK, "", 0},
		{[]string{"policy", "audit", "perennial"}, exitOK, "", 0},
		{[]string{"policy", "audit", "sap-c4c"}, exitOK, "", 0}, // sound, although it surprises
		{[]string{"policy", "audit", unsound}, exitUnsound, "policy late is not sound", 0},
		{[]string{"policy", "show", unsound}, exitFailed, "would not be renewed", 0},
		{[]string{"policy", "show"}, exitUsage, "expected", 0},
		{[]string{"nonsense"}, exitUsage, "unexpected argument nonsense", 0},
		{append([]string{"tenant", "create", "acme"}, client...), exitFailed, "a tenant acme already exists", 409},
	} {
		var out, errs bytes.Buffer
		if got := run(c.args, env{out: &out, err: &errs, now: time.Now}); got != c.status {
			t.Errorf("%q: exit status %d, want %d: %s", c.args, got, c.status, &errs)
		}
		if c.detail == "" {
			continue
		}
		if !strings.Contains(errs.String(), "perennial: ") || !strings.Contains(errs.String(), c.detail) {
			t.Errorf("%q prints %q", c.args, &errs)
		}
		errs.Reset()
		var problem struct {
			Title, Detail string
			Status        int
			Exit          int `json:"exit_status"`
		}
		run(append(c.args, "--output", "json"), env{out: &out, err: &errs, now: time.Now})
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &problem); err != nil || problem.Title == "" ||
			!strings.Contains(problem.Detail, c.detail) || problem.Status != c.http || problem.Exit != c.status {
			t.Errorf("%q: %+v, %v from %q", c.args, problem, err, &errs)
		}
	}
}

// A script that redirects the output to a full disk must notice.
func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	t.Cleanup(func() { full.Close() })
	for _, args := range [][]string{{"version"}, {"--version"}, {"--help"}, {"policy", "list"},
		{"policy", "list", "--output", "json"}, {"policy", "show", "perennial"}, {"policy", "audit", "perennial"},
		{"openapi"},
		{"man"}, {"config"}} {
		var errs bytes.Buffer
		if got := run(args, env{out: full, err: &errs, now: time.Now}); got != exitFailed ||
			!strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%q: exit status %d, %q", args, got, &errs)
		}
	}
}
