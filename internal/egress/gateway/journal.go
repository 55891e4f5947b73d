package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/perennial-pki/perennial/tenancy"
)

// A LogDetail selects the detail of the message log.
type LogDetail string

// The first message of an outcome in a minute has an entry of its own, and a second entry counts the others. With
// [LogHours], messages that succeed at the first attempt are counted by the hour. With [LogAll], every message has an
// entry.
const (
	LogMinutes LogDetail = "minute"
	LogHours   LogDetail = "hour"
	LogAll     LogDetail = "all"
)

// windows returns the time that one entry covers, for messages that succeed at the first attempt and for all others; 0
// for one message.
func (d LogDetail) windows() (w [2]time.Duration, err error) {
	switch d {
	case LogMinutes, "":
		return [2]time.Duration{time.Minute, time.Minute}, nil
	case LogHours:
		return [2]time.Duration{time.Hour, time.Minute}, nil
	case LogAll:
		return w, nil
	}
	return w, fmt.Errorf("the message log has no detail %q: use minute, hour or all", d)
}

// A kind identifies the messages that share an entry.
type kind struct {
	arrangementID      string
	status, generation int
	again              bool // it was tried more than once
	outcome            outcomeKind
}

// class is the index of the kind's window: 0 for a success at the first attempt.
func (k kind) class() int {
	if k.status >= 200 && k.status < 400 && !k.again {
		return 0
	}
	return 1
}

// A group are the messages of one kind in one window. It begins with the first of them.
type group struct {
	kind    kind
	ends    time.Time
	samples int
	rest    []counted // the messages without an entry of their own, by their text
}

// severalReasons is the text of an entry that counts messages with different texts.
var severalReasons = tenancy.Say("several reasons: the other entries of this minute show some of them")

// count counts a message. Its text must not stand for messages with another one.
func (o *group) count(entry tenancy.Message) {
	i := slices.IndexFunc(o.rest, func(c counted) bool { return c.first.Outcome == entry.Outcome })
	switch {
	case i >= 0:
	case len(o.rest) < samplesPerMinute:
		i, o.rest = len(o.rest), append(o.rest, counted{})
	default:
		i = samplesPerMinute
		entry.Outcome = severalReasons.Stored()
		if len(o.rest) == i {
			o.rest = append(o.rest, counted{})
		}
	}
	o.rest[i].add(entry)
}

// counted is an entry that stands for many messages.
type counted struct {
	first tenancy.Message
	total time.Duration
}

func (c *counted) add(entry tenancy.Message) {
	if c.first.Count == 0 {
		c.first = entry
	} else {
		c.first.Count += entry.Count
	}
	c.total += entry.Duration * time.Duration(entry.Count)
}

// entry returns the entry with the mean duration.
func (c *counted) entry() tenancy.Message {
	m := c.first
	m.Duration = c.total / time.Duration(m.Count)
	return m
}

// turns are the changes between success and failure of one arrangement in the minute that begins at since.
type turns struct {
	since time.Time
	class int
	count int
}

// journal collects entries of the message log and writes them in pages. Entries that could not be written wait for the
// next attempt, because the log matters most during an incident. If too many wait, later ones are counted by their
// kind, so that every kind appears.
type journal struct {
	windows [2]time.Duration // by class
	mu      sync.Mutex       // guards the fields below
	open    map[kind]*group
	order   [2][]*group       // the open groups by class, those that end first in front
	turns   map[string]*turns // by arrangement ID
	entries []tenancy.Message
	beyond  map[kind]*counted // what did not fit into entries
	lost    int               // messages that did not fit into either
	failing bool              // the latest try failed, and that was logged
	wake    chan struct{}
}

const (
	// samplesPerMinute limits the failures of one kind of an arrangement that are logged one by one in a minute, the texts
	// by which others are counted, and the changes between success and failure. Another entry counts the rest.
	samplesPerMinute = 5
	// mostGroups limits the memory for counting. Messages beyond it are logged one by one.
	mostGroups = 200000
	// mostEntries limits the entries that wait for the database, and the kinds that are counted beyond them.
	mostEntries = 10000
	// journalPage is the number of entries that are written at once.
	journalPage = 1000
	// journalEvery is the interval in which entries are written, and journalRetry that after a failure.
	journalEvery, journalRetry = 500 * time.Millisecond, 5 * time.Second
)

// record adds a message to the log. path is the sender's.
func (g *Gateway) record(m *message, path string) {
	took := time.Since(m.started)
	m.route.series.count(m)
	messageSeconds.Observe(took.Seconds())
	if !m.sent.IsZero() {
		addedSeconds.Observe(m.sent.Sub(m.started).Seconds())
	}
	if m.rest != "" {
		path = m.rest
	}
	now := g.now()
	entry := tenancy.Message{
		ID: newID(), ArrangementID: m.route.standing.Arrangement.ID, At: now.UTC(), Method: shortened(m.method, 20),
		Path: shortened(path, 500), Status: m.status, Generation: m.last, Attempts: m.attempts, Duration: took,
		Outcome: m.outcome.stored(), Count: 1,
	}
	j := &g.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(kind{entry.ArrangementID, m.status, m.last, m.attempts > 1, m.outcome.kind}, entry)
	wake(j.wake)
}

// add logs a message, or counts it. The caller holds mu.
func (j *journal) add(k kind, entry tenancy.Message) {
	class := k.class()
	window := j.windows[class]
	if window == 0 {
		j.append(k, entry)
		return
	}
	j.close(entry.At)
	if j.open == nil {
		j.open, j.turns = map[kind]*group{}, map[string]*turns{}
	}
	turned := j.turned(k, entry.At)
	o := j.open[k]
	if o == nil {
		j.append(k, entry)
		if len(j.open) < mostGroups {
			o = &group{kind: k, ends: entry.At.Add(window), samples: 1}
			j.open[k], j.order[class] = o, append(j.order[class], o)
		}
		return
	}
	if turned || class == 1 && o.samples < samplesPerMinute {
		o.samples++
		j.append(k, entry)
		return
	}
	o.count(entry)
}

// turned reports whether to log a change between success and failure of an arrangement, up to a limit per minute. A
// reader of the log sees at once whether messages succeed again.
func (j *journal) turned(k kind, now time.Time) bool {
	t := j.turns[k.arrangementID]
	if t == nil {
		if len(j.turns) < mostGroups {
			j.turns[k.arrangementID] = &turns{since: now, class: k.class()}
		}
		return false
	}
	if t.class == k.class() {
		return false
	}
	if now.Sub(t.since) >= time.Minute {
		t.since, t.count = now, 0
	}
	t.class = k.class()
	t.count++
	return t.count <= samplesPerMinute
}

// append adds an entry to those that wait. The caller holds mu.
func (j *journal) append(k kind, entry tenancy.Message) {
	if len(j.entries) < mostEntries {
		j.entries = append(j.entries, entry)
		return
	}
	c := j.beyond[k]
	if c == nil {
		if len(j.beyond) >= mostEntries {
			j.lost += entry.Count
			return
		}
		if j.beyond == nil {
			j.beyond = map[kind]*counted{}
		}
		c = &counted{}
		j.beyond[k] = c
	}
	c.add(entry)
}

// take removes the next page of those that wait. The caller holds mu.
func (j *journal) take() (page []tenancy.Message) {
	if len(j.entries) == 0 {
		for _, c := range j.beyond {
			j.entries = append(j.entries, c.entry())
		}
		j.beyond = nil
	}
	n := min(len(j.entries), journalPage)
	page, j.entries = j.entries[:n:n], j.entries[n:]
	return page
}

// close ends the groups whose window has ended, and logs their counts. It also ends those that began while the clock
// was ahead, because the groups behind them would wait for that instant. The caller holds mu.
func (j *journal) close(now time.Time) {
	for class, order := range j.order {
		ended := 0
		for ; ended < len(order) && (!now.Before(order[ended].ends) ||
			order[ended].ends.Sub(now) > j.windows[class]); ended++ {
			j.end(order[ended])
		}
		if j.order[class] = order[ended:]; len(j.order[class]) == 0 {
			j.order[class] = nil // releases the memory of those that have ended
		}
	}
	if len(j.open) == 0 {
		j.turns = map[string]*turns{}
	}
}

// end logs the count of a group.
func (j *journal) end(o *group) {
	delete(j.open, o.kind)
	for _, c := range o.rest {
		j.append(o.kind, c.entry())
	}
}

// closeAll ends every group before its time.
func (j *journal) closeAll() {
	for class, order := range j.order {
		for _, o := range order {
			j.end(o)
		}
		j.order[class] = nil
	}
}

// next returns the end of the group that ends first.
func (j *journal) next() (at time.Time, ok bool) {
	for _, order := range j.order {
		if len(order) > 0 && (!ok || order[0].ends.Before(at)) {
			at, ok = order[0].ends, true
		}
	}
	return at, ok
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
	j := &g.journal
	for {
		// A group ends without another message.
		j.mu.Lock()
		var ends <-chan time.Time
		if at, ok := j.next(); ok {
			ends = time.After(max(at.Sub(g.now()), journalEvery))
		}
		j.mu.Unlock()
		select {
		case <-ctx.Done():
			j.mu.Lock()
			j.closeAll()
			j.mu.Unlock()
			g.writeJournal(context.WithoutCancel(ctx))
			return
		case <-ends:
		case <-j.wake:
		}
		pause := journalEvery
		j.mu.Lock()
		if j.failing {
			pause = journalRetry
		}
		j.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			g.writeJournal(ctx)
		}
	}
}

// writeJournal writes the collected entries. Those that cannot be written wait.
func (g *Gateway) writeJournal(ctx context.Context) {
	j := &g.journal
	j.mu.Lock()
	j.close(g.now())
	j.mu.Unlock()
	written := 0
	var err error
	for err == nil {
		j.mu.Lock()
		page := j.take()
		j.mu.Unlock()
		if len(page) == 0 {
			break
		}
		if err = g.writePage(ctx, page); err == nil {
			written += len(page)
			continue
		}
		j.mu.Lock()
		j.entries = append(page, j.entries...)
		j.mu.Unlock()
	}
	j.mu.Lock()
	lost, failed, waiting := j.lost, j.failing, len(j.entries)+len(j.beyond)
	if j.failing = err != nil; err != nil {
		wake(j.wake)
	} else {
		j.lost = 0
	}
	j.mu.Unlock()
	switch {
	case err != nil && !failed:
		g.log.WarnContext(ctx, "the message log cannot be written: entries wait", "entries", waiting, "error", err)
	case err == nil && lost > 0:
		g.log.WarnContext(ctx, "the message log fell behind", "messages_lost", lost)
	case err == nil && failed:
		g.log.InfoContext(ctx, "the message log is written again", "entries", written)
	}
}

func (g *Gateway) writePage(ctx context.Context, page []tenancy.Message) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return g.control.Record(ctx, page)
}
