// Package calm keeps the log of a process readable while something that everything depends on is unavailable: the
// database, or the service of a stand-alone gateway.
//
// It promises one line at the beginning of an outage with the reason, one line a minute with the number of failures,
// and one line at the end. The failures themselves are logged at the level debug. Every other record passes unchanged.
package calm

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// An Outage describes a dependency that may be unavailable.
type Outage struct {
	// What is its name in a sentence, such as "the database".
	What string
	// Means reports whether an error means that it is unavailable.
	Means func(error) bool
	// Probe returns nil once it answers again.
	Probe func(context.Context) error
}

const (
	// probeEvery is the interval of probes during an outage, and probeTime limits each of them.
	probeEvery, probeTime = time.Second, 5 * time.Second
	// firstProbes and firstPause are those of the first half second.
	firstProbes, firstPause = 5, 100 * time.Millisecond
	// remindEvery is the interval of lines during an outage.
	remindEvery = time.Minute
)

// A Handler is the [slog.Handler] of a process. It passes every record until [Handler.Watch] is called.
type Handler struct {
	slog.Handler
	state *state
}

type state struct {
	mu       sync.Mutex // guards the fields below
	ctx      context.Context
	outage   *Outage
	since    time.Time // of the outage; zero if there is none
	failures int       // since the latest line
	total    int       // since the beginning
}

// New returns a handler in front of another one.
func New(h slog.Handler) *Handler { return &Handler{h, &state{}} }

// Watch begins to summarize the failures of an outage. The context ends the probes.
func (h *Handler) Watch(ctx context.Context, o Outage) {
	h.state.mu.Lock()
	defer h.state.mu.Unlock()
	h.state.ctx, h.state.outage = ctx, &o
}

// Handle implements [slog.Handler].
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	reason := failure(r)
	if reason == nil || r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	s := h.state
	s.mu.Lock()
	if s.outage == nil || !s.outage.Means(reason) {
		s.mu.Unlock()
		return h.Handler.Handle(ctx, r)
	}
	s.failures++
	s.total++
	if s.since.IsZero() {
		s.since = time.Now()
		go h.follow(s.ctx, *s.outage, reason)
	}
	s.mu.Unlock()
	if !h.Handler.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	r = r.Clone()
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

// failure returns the error that a record reports; nil if it has none.
func failure(r slog.Record) (found error) {
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			found = v
		case string:
			if a.Key == "error" || a.Key == "err" {
				found = text(v)
			}
		}
		return found == nil
	})
	return found
}

// text is an error that was logged as a string.
type text string

func (t text) Error() string { return string(t) }

// follow logs the course of an outage until its end. Its first probes find connections that are broken. The last of
// them finds the reason.
func (h *Handler) follow(ctx context.Context, o Outage, first error) {
	var err error
	for range firstProbes {
		if err = o.probe(ctx); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(firstPause):
		}
	}
	if err == nil {
		_, failures := h.state.end()
		h.say(ctx, slog.LevelWarn, o.What+" was briefly unavailable", slog.Int("failures", failures),
			slog.String("error", oneLine(first)))
		return
	}
	h.say(ctx, slog.LevelError, o.What+" is unavailable", slog.String("error", oneLine(err)))
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	latest := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := o.probe(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			lasted, failures := h.state.end()
			h.say(ctx, slog.LevelWarn, o.What+" is available again", slog.String("after", lasted.String()),
				slog.Int("failures", failures))
			return
		case time.Since(latest) >= remindEvery:
			latest = time.Now()
			lasted, failures := h.state.minute()
			h.say(ctx, slog.LevelError, o.What+" is still unavailable", slog.String("for", lasted.String()),
				slog.Int("failures", failures), slog.String("error", oneLine(err)))
		}
	}
}

func (o *Outage) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return o.Probe(ctx)
}

// minute returns the duration of the outage, and the number of failures since the latest line.
func (s *state) minute() (lasted time.Duration, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	failures, s.failures = s.failures, 0
	return time.Since(s.since).Round(time.Second), failures
}

// end ends the outage, and returns its duration and the number of its failures.
func (s *state) end() (lasted time.Duration, failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lasted, failures = time.Since(s.since).Round(time.Second), s.total
	s.since, s.failures, s.total = time.Time{}, 0, 0
	return lasted, failures
}

func (h *Handler) say(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if !h.Handler.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	h.Handler.Handle(ctx, r) // a log that cannot be written has no other place for that
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// WithAttrs implements [slog.Handler].
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.Handler.WithAttrs(attrs), h.state}
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.Handler.WithGroup(name), h.state}
}
