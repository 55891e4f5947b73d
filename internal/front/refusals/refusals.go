// Package refusals logs refused sign-ins and calls, so that attacks can be noticed.
//
// It promises that a stranger cannot flood the log. Each log writes at most [PerMinute] refusals per minute, and at
// most [PerSource] of the same source, so that one source does not hide the others. If some were omitted, a line with
// their number comes with the first refusal of a later minute.
package refusals

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Limits of the refusals that are written per minute.
const (
	PerMinute = 100
	PerSource = 10
)

// A Log writes refusals to the log of the process. It is safe for concurrent use.
type Log struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // guards the fields below
	minute  int64
	written int
	sources map[string]int // at most PerMinute
	omitted int            // since the last line about it
}

// New returns a log of refusals.
func New(log *slog.Logger, now func() time.Time) *Log { return &Log{log: log, now: now} }

// Write logs a refusal of a source, such as a network or an account, unless there were too many in this minute. The
// attributes are computed only if the refusal is written.
func (l *Log) Write(ctx context.Context, source, message string, attributes func() []any) {
	admitted, omitted := l.admit(source)
	if omitted > 0 {
		l.log.WarnContext(ctx, "further refusals were not logged", "count", omitted)
	}
	if admitted {
		l.log.InfoContext(ctx, message, attributes()...)
	}
}

// admit reports whether a refusal is written, and the number of omitted ones if a new minute has begun.
func (l *Log) admit(source string) (admitted bool, omitted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := l.now().Unix() / 60; minute != l.minute || l.sources == nil {
		omitted = l.omitted
		l.minute, l.written, l.omitted, l.sources = minute, 0, 0, map[string]int{}
	}
	if l.written >= PerMinute || l.sources[source] >= PerSource {
		l.omitted++
		return false, omitted
	}
	l.written++
	l.sources[source]++
	return true, omitted
}
