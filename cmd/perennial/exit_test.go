package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
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
	flags := []string{"--url", service.URL, "--token", "x"}
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
		{[]string{"rollover", "list", "--state", "foo"}, exitUsage, `--state must be one of "announced",`, 0},
		{[]string{"nonsense"}, exitUsage, "unexpected argument nonsense", 0},
		{[]string{"forecast", "x", "--from", "soon"}, exitUsage, "--from: invalid time", 0},
		{[]string{"forecast", filepath.Join(t.TempDir(), "missing.pem")}, exitFailed, "missing.pem", 0},
		{[]string{"simulate", "--receivers", "ca=2"}, exitUsage, "--receivers: ", 0},
		{[]string{"arrangement", "create", "acme", "a", "--url-of", "x"}, exitUsage, "unknown flag", 0},
		{[]string{"token", "list", "--token="}, exitUsage, "no token: set PERENNIAL_TOKEN", 0},
		{[]string{"token", "list", "--token=x", "--url=here"}, exitUsage, `--url: "here" is not the URL of a service`, 0},
		{append([]string{"rollover", "show", "acme"}, flags...), exitUsage, "write TENANT/ARRANGEMENT", 0},
		{append([]string{"delivery", "requeue"}, flags...), exitUsage, "name a mail, or use --all", 0},
		{append([]string{"tenant", "create", "acme"}, flags...), exitFailed, "a tenant acme already exists", 409},
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

func TestALongListIsLimitedAndStreamed(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var page client.Page[client.Event]
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		for n := from + 1; n <= min(from+limit, 2345); n++ {
			page.Items = append(page.Items, client.Event{Seq: int64(n), Detail: json.RawMessage("{}")})
		}
		if from+limit < 2345 {
			page.Next = strconv.Itoa(from + limit)
		}
		json.NewEncoder(w).Encode(page)
	}))
	t.Cleanup(service.Close)
	for _, c := range []struct {
		args []string
		want int
		more bool
	}{
		{nil, 1000, true}, {[]string{"--limit", "7"}, 7, true}, {[]string{"--limit", "501"}, 501, true},
		{[]string{"--limit", "0"}, 2345, false}, {[]string{"--limit", "2345"}, 2345, false},
		{[]string{"--limit", "9000"}, 2345, false},
	} {
		args := append([]string{"event", "list", "--url", service.URL, "--token", "x"}, c.args...)
		var out, errs bytes.Buffer
		if status := run(args, env{out: &out, err: &errs, now: time.Now}); status != exitOK {
			t.Fatalf("%q: %s", c.args, &errs)
		}
		lines := strings.Count(out.String(), "\n") - 1
		if lines != c.want || strings.Count(out.String(), "SEQ") != 1 ||
			strings.Contains(errs.String(), "--limit 0 lists all") != c.more {
			t.Errorf("%q: %d lines, want %d; %s", c.args, lines, c.want, &errs)
		}
		out.Reset()
		run(append(args, "--output", "json"), env{out: &out, err: &errs, now: time.Now})
		var events []client.Event
		if err := json.Unmarshal(out.Bytes(), &events); err != nil || len(events) != c.want ||
			events[c.want-1].Seq != int64(c.want) {
			t.Errorf("%q as JSON: %d events, %v", c.args, len(events), err)
		}
	}
}
