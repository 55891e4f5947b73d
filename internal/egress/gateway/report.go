package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// reports are observations on their way to the control. Meanwhile the gateway acts on them itself. What is lost with
// the process is seen again with the next message.
type reports struct {
	mu      sync.Mutex
	pending map[string][]standing.Observation // by arrangement ID
	wake    chan struct{}
}

// mostPending limits the observations of one arrangement that wait while the control does not answer. The latest are
// kept.
const mostPending = 64

func (r *reports) add(arrangementID string, seen []standing.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = map[string][]standing.Observation{}
	}
	all := append(r.pending[arrangementID], seen...)
	r.pending[arrangementID] = all[max(0, len(all)-mostPending):]
	wake(r.wake)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *reports) take() map[string][]standing.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.pending
	r.pending = nil
	return all
}

// report sends observations as they come, and retries if the control does not accept them.
func (g *Gateway) report(ctx context.Context) {
	const retry = time.Second
	for {
		select {
		case <-ctx.Done():
			g.reportAll(context.WithoutCancel(ctx))
			return
		case <-g.reports.wake:
		}
		if !g.reportAll(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(retry):
				wake(g.reports.wake)
			}
		}
	}
}

func (g *Gateway) reportAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	done := true
	for id, seen := range g.reports.take() {
		err := g.control.Observe(ctx, id, seen)
		switch {
		case errors.Is(err, tenancy.ErrNotFound), errors.Is(err, tenancy.ErrRefused): // the arrangement was deleted meanwhile
		case err != nil:
			g.log.WarnContext(ctx, "a receiver's answer could not be reported yet", "arrangement", id, "error", err)
			g.reports.add(id, seen)
			done = false
		}
	}
	return done
}

// journal collects entries of the message log and writes them in batches. Entries that could not be written wait for
// the next try, because the log matters most during an incident.
type journal struct {
	mu      sync.Mutex // guards the fields below
	second  int64
	counts  map[string]int // successes of this second, by arrangement ID
	entries []tenancy.Message
	rest    map[string]int // index of the entry that counts the rest, by arrangement ID
	lost    int
	failing bool // the latest try failed, and that was logged
	wake    chan struct{}
}

const (
	// successesPerSecond limits the successes of one arrangement that are logged one by one in a second. The last entry
	// counts the rest. Everything else is logged message by message.
	successesPerSecond = 5
	// mostEntries limits the entries that wait for the database.
	mostEntries = 10000
	// journalEvery is the interval in which entries are written, and journalRetry that after a failure.
	journalEvery, journalRetry = 500 * time.Millisecond, 5 * time.Second
)

// record adds a message to the log. path is the sender's.
func (g *Gateway) record(m *message, path string) {
	m.route.series.count(m)
	a := m.route.standing.Arrangement
	j := &g.journal
	now := g.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if now.Unix() != j.second || j.counts == nil {
		j.second, j.counts, j.rest = now.Unix(), map[string]int{}, map[string]int{}
	}
	success := m.status >= 200 && m.status < 400 && m.attempts < 2
	if success {
		if j.counts[a.ID]++; j.counts[a.ID] > successesPerSecond {
			if i, ok := j.rest[a.ID]; ok && i < len(j.entries) && j.entries[i].ArrangementID == a.ID {
				j.entries[i].Count++
				return
			}
			j.rest[a.ID] = len(j.entries)
		}
	}
	if len(j.entries) >= mostEntries {
		j.lost++
		return
	}
	if m.rest != "" {
		path = m.rest
	}
	j.entries = append(j.entries, tenancy.Message{
		ID: newID(), ArrangementID: a.ID, At: now.UTC(), Method: shortened(m.method, 20), Path: shortened(path, 500),
		Status: m.status, Generation: m.last,
		Attempts: m.attempts, Duration: time.Since(m.started), Outcome: shortened(m.outcome.String(), maxError), Count: 1,
	})
	wake(j.wake)
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// shortened returns at most most bytes of a text, without a part of a character at the end.
func shortened(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// keepJournal writes the collected entries.
func (g *Gateway) keepJournal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			g.writeJournal(context.WithoutCancel(ctx))
			return
		case <-g.journal.wake:
		}
		pause := journalEvery
		g.journal.mu.Lock()
		if g.journal.failing {
			pause = journalRetry
		}
		g.journal.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			g.writeJournal(ctx)
		}
	}
}

// writeJournal writes what was collected. If that fails, it keeps the entries, the earliest up to [mostEntries].
func (g *Gateway) writeJournal(ctx context.Context) {
	j := &g.journal
	j.mu.Lock()
	entries := j.entries
	j.entries, j.rest, j.counts = nil, nil, nil
	j.mu.Unlock()
	var err error
	if len(entries) > 0 {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err = g.control.Record(ctx, entries)
	}
	j.mu.Lock()
	lost, failed := j.lost, j.failing
	if j.failing = err != nil; err != nil {
		all := append(entries, j.entries...)
		j.entries, j.rest, j.counts = all[:min(len(all), mostEntries)], nil, nil
		j.lost += len(all) - len(j.entries)
		wake(j.wake)
	} else {
		j.lost = 0
	}
	j.mu.Unlock()
	switch {
	case err != nil && !failed:
		g.log.WarnContext(ctx, "the message log cannot be written: entries wait", "entries", len(entries), "error", err)
	case err == nil && lost > 0:
		g.log.WarnContext(ctx, "the message log fell behind", "entries_lost", lost)
	case err == nil && failed:
		g.log.InfoContext(ctx, "the message log is written again", "entries", len(entries))
	}
}
