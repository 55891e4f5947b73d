package calm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("connection refused")

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// take returns the lines since the last call.
func (l *lines) take() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		all = append(all, line)
	}
	l.all.Reset()
	return all
}

func TestAnOutageHasALineAtItsBeginningEachMinuteAndAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		var back atomic.Bool
		h := New(slog.NewTextHandler(&out, nil))
		log := slog.New(h).With("part", "jobs")
		failing := func(log *slog.Logger, n int) {
			for i := range n {
				log.Error(fmt.Sprint("job ", i), "err", fmt.Errorf("fetch:\n\t%w", errAway))
				log.WithGroup("g").Warn("scheduler", "error", "failed: connection refused")
			}
		}
		failing(log, 1)
		if n := len(out.take()); n != 2 {
			t.Errorf("before it watches, %d lines pass", n)
		}
		h.Watch(t.Context(), Outage{What: "the database",
			Means: func(err error) bool { return errors.Is(err, errAway) || strings.HasSuffix(err.Error(), "refused") },
			Probe: func(context.Context) error {
				if back.Load() {
					return nil
				}
				return errAway
			}})
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := out.take()
			if len(got) != len(want) {
				t.Errorf("%s: %d lines, want %d: %q", what, len(got), len(want), got)
				return
			}
			for i := range got {
				for part := range strings.SplitSeq(want[i], "|") {
					if !strings.Contains(got[i], part) {
						t.Errorf("%s: %q does not contain %q", what, got[i], part)
					}
				}
			}
		}
		failing(log, 100)
		time.Sleep(firstProbes * firstPause)
		synctest.Wait()
		log.Error("another fault", "error", errors.New("disk full"))
		log.Info("progress", "error", errAway)
		expect("the beginning", `level=ERROR msg="the database is unavailable"|error="connection refused"`,
			"another fault", "progress")
		time.Sleep(61 * time.Second)
		expect("a minute", `is still unavailable|for=1m|failures=200|error="connection refused"`)
		failing(log, 3)
		time.Sleep(61 * time.Second)
		expect("another minute", "failures=6")
		back.Store(true)
		time.Sleep(2 * time.Second)
		expect("the end", `level=WARN msg="the database is available again"|after=2m|failures=206`)
		back.Store(false)
		failing(log, 1)
		synctest.Wait() // until the first probe has failed
		back.Store(true)
		time.Sleep(firstPause)
		expect("a moment", `was briefly unavailable|failures=2|error="fetch: connection refused"`)
		back.Store(false)
		failing(log, 1)
		time.Sleep(firstProbes * firstPause)
		expect("the next outage", "is unavailable")
		back.Store(true)
		time.Sleep(2 * time.Second)
	})
}

func TestFailuresOfAnOutageAreLoggedInFullForDebugging(t *testing.T) {
	var out lines
	h := New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no probes
	h.Watch(ctx, Outage{What: "the database", Means: func(error) bool { return true },
		Probe: func(context.Context) error { return errAway }})
	slog.New(h).Warn("a mail waits", "error", errAway)
	if all := out.take(); len(all) == 0 || !strings.Contains(strings.Join(all, ""), `level=DEBUG msg="a mail waits"`) {
		t.Errorf("%q", all)
	}
}
