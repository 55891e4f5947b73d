package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestARunningServiceKeepsTheHeadElsewhereAndARewrittenLogIsNoticed(t *testing.T) {
	posted := make(chan string, 10)
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		testenv.Check(t, err)
		posted <- string(body)
	}))
	t.Cleanup(webhook.Close)
	file := filepath.Join(t.TempDir(), "heads")
	config := settings(t, "--audit-head-file", file, "--audit-head-webhook", webhook.URL)
	s, err := open(t, config)
	testenv.Check(t, err)
	stop := run(t, s)
	var event struct{ Type, Head string }
	testenv.Check(t, json.Unmarshal([]byte(<-posted), &event))
	if event.Type != "perennial.audit-head" || len(tenancy.ParseHeads(event.Head)) != 1 {
		t.Errorf("the webhook got %+v", event)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())

	for name, argument := range map[string]string{"the file": file, "the webhook": event.Head,
		"the hash": event.Head[strings.Index(event.Head, ":")+1:]} {
		heads, err := ReadHeads(argument)
		testenv.Check(t, err)
		if _, err := VerifyAudit(t.Context(), config.Database.URL, heads...); err != nil || len(heads) != 1 {
			t.Errorf("%s: %d heads, %v", name, len(heads), err)
		}
	}
	rewriteLog(t, config.Database.URL)
	if _, err := VerifyAudit(t.Context(), config.Database.URL); err != nil {
		t.Errorf("the rewritten log does not fit itself: %v", err)
	}
	for name, argument := range map[string]string{"the file": file, "the webhook": event.Head,
		"the hash": event.Head[strings.Index(event.Head, ":")+1:]} {
		heads, err := ReadHeads(argument)
		testenv.Check(t, err)
		if _, err := VerifyAudit(t.Context(), config.Database.URL, heads...); err == nil ||
			!strings.Contains(err.Error(), "the log was rewritten") {
			t.Errorf("%s does not show that the log was rewritten: %v", name, err)
		}
	}
}

// rewriteLog changes the actor of every entry and recomputes the chain.
func rewriteLog(t *testing.T, url string) {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	testenv.Check(t, err)
	defer s.Close()
	events, err := s.Events(t.Context(), "", 0, 1000)
	testenv.Check(t, err)
	prev := []byte{}
	for _, e := range events {
		e.Actor, e.Prev = "mallory", prev
		e.Hash = e.Sum()
		prev = e.Hash
		_, err := s.DB().ExecContext(t.Context(), "UPDATE events SET actor = ?, prev = ?, hash = ? WHERE seq = ?", e.Actor,
			e.Prev, e.Hash, e.Seq)
		testenv.Check(t, err)
	}
	_, err = s.DB().ExecContext(t.Context(), "UPDATE event_head SET hash = ?", prev)
	testenv.Check(t, err)
}

func TestSinksOfHeadsReportFailuresWithoutTheAddress(t *testing.T) {
	head := tenancy.Chain{Seq: 7, Hash: make([]byte, 32)}
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	for address, want := range map[string]string{refusing.URL + "/SECRET": "404", "http://127.0.0.1:1/SECRET": "refused"} {
		err := headWebhook{address, http.DefaultClient}.Keep(t.Context(), head, at)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", address, err)
		}
	}
	file := &headFile{path: filepath.Join(t.TempDir(), "heads")}
	for range 2 {
		testenv.Check(t, file.Keep(t.Context(), head, at))
	}
	data, err := os.ReadFile(file.path)
	testenv.Check(t, err)
	if want := strings.Repeat("2026-12-01T00:00:00Z "+head.String()+"\n", 2); string(data) != want {
		t.Errorf("the file has %q, want %q", data, want)
	}
	if err := (&headFile{path: t.TempDir()}).Keep(t.Context(), head, at); err == nil {
		t.Error("a folder is a file of heads")
	}
	var log strings.Builder
	testenv.Check(t, headLog{slog.New(slog.NewTextHandler(&log, nil))}.Keep(t.Context(), head, at))
	if len(tenancy.ParseHeads(log.String())) != 1 {
		t.Errorf("the log has %q", log.String())
	}
	empty := filepath.Join(t.TempDir(), "empty")
	testenv.Check(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for _, argument := range []string{empty, "no such file"} {
		if _, err := ReadHeads(argument); err == nil || !strings.HasPrefix(err.Error(), "--head: ") {
			t.Errorf("%s: %v", argument, err)
		}
	}
	for address, ok := range map[string]bool{"": true, "https://example.com/x": true, "http://127.0.0.1:8080/x": true,
		"http://example.com/x": false, "example.com": false} {
		if err := (&Audit{HeadWebhook: address}).check(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// A tick renews certificates, and must not wait for a machine that does not answer.
func TestAFileOfHeadsThatHangsHoldsUpNothing(t *testing.T) {
	file := &headFile{path: filepath.Join(t.TempDir(), "pipe")}
	testenv.Check(t, syscall.Mkfifo(file.path, 0o600))
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	head, at := tenancy.Chain{Seq: 7, Hash: make([]byte, 32)}, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if err := file.Keep(gaveUp, head, at); !errors.Is(err, context.Canceled) {
		t.Errorf("a write that hangs: %v", err)
	}
	if err := file.Keep(t.Context(), head, at); err == nil || !strings.Contains(err.Error(), "has not finished") {
		t.Errorf("a second write: %v", err)
	}
	pipe, err := os.Open(file.path) // the write ends
	testenv.Check(t, err)
	testenv.Check(t, pipe.Close())
}

func TestARedirectIsNoAnswerOfAWebhook(t *testing.T) {
	var asked []string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked = append(asked, r.Method+" "+r.URL.Path); r.URL.Path == "/hook" {
			http.Redirect(w, r, "/login", http.StatusFound)
		}
	}))
	t.Cleanup(hook.Close)
	sinks := (&Audit{HeadWebhook: hook.URL + "/hook"}).sinks(slog.New(slog.DiscardHandler))
	err := sinks[len(sinks)-1].Keep(t.Context(), tenancy.Chain{Seq: 7, Hash: make([]byte, 32)}, time.Now())
	if err == nil || !strings.Contains(err.Error(), "302") || len(asked) != 1 {
		t.Errorf("%v, after %v", err, asked)
	}
}
