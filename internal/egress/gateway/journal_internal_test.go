package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// A logged gateway has a journal, a clock that stands still, and messages that end as a test demands.
type logged struct {
	*Gateway
	at time.Time
	to map[string]*route
}

func newLogged(t *testing.T, detail LogDetail) *logged {
	t.Helper()
	l := &logged{at: noon, to: map[string]*route{}}
	windows, err := detail.windows()
	if err != nil {
		t.Fatal(err)
	}
	l.Gateway = &Gateway{now: func() time.Time { return l.at }}
	l.journal.windows, l.journal.wake = windows, make(chan struct{}, 1)
	return l
}

func (l *logged) send(arrangement string, n, status, attempts int) {
	if l.to[arrangement] == nil {
		l.to[arrangement] = &route{series: seriesOf("acme/" + arrangement),
			standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: arrangement}}}
	}
	for range n {
		m := newMessage(l.Gateway, l.to[arrangement], "POST", "/orders")
		m.status, m.attempts = status, attempts
		l.record(m, "/orders")
	}
}

// after returns the new entries as "STATUSxCOUNT", once some time has passed.
func (l *logged) after(d time.Duration) (got []string) {
	l.at = l.at.Add(d)
	l.journal.close(l.at)
	for _, e := range l.journal.entries {
		got = append(got, fmt.Sprintf("%dx%d", e.Status, e.Count))
	}
	l.journal.entries = nil
	return got
}

func (l *logged) expect(t *testing.T, what string, d time.Duration, want ...string) {
	t.Helper()
	if got := l.after(d); !slices.Equal(got, want) {
		t.Errorf("%s: the entries are %q, want %q", what, got, want)
	}
}

func TestMessagesOfOneOutcomeShareAnEntryOfAMinute(t *testing.T) {
	l := newLogged(t, LogMinutes)
	l.send("crm", 20, 200, 1)
	l.send("erp", 2, 200, 1)
	l.expect(t, "the first of each arrangement", 59*time.Second, "200x1", "200x1")
	l.send("crm", 3, 200, 1)
	l.expect(t, "the others", time.Second, "200x22", "200x1")
	l.send("crm", 1, 200, 1)
	l.expect(t, "the next minute", 0, "200x1")
	l.expect(t, "a minute with one message", time.Hour)

	l.send("crm", 30, 401, 1)
	l.expect(t, "failures have samples", 0, "401x1", "401x1", "401x1", "401x1", "401x1")
	l.send("crm", 1, 503, 1)
	l.expect(t, "another failure", 0, "503x1")
	l.send("crm", 3, 200, 2)
	l.expect(t, "second attempts", 0, "200x1", "200x1", "200x1")
	l.expect(t, "the other failures", time.Minute, "401x25")
}

// A text must not stand for failures of other causes. A receiver that answers with another text each time must not fill
// the log.
func TestFailuresWithDifferentTextsAreCountedSeparately(t *testing.T) {
	l := newLogged(t, LogMinutes)
	fail := func(n int, detail string) {
		for range n {
			m := newMessage(l.Gateway, l.to["crm"], "POST", "/orders")
			m.status, m.attempts, m.outcome = 502, 1, outcome{kind: unanswered, detail: detail}
			l.record(m, "/orders")
		}
	}
	l.send("crm", 1, 200, 1)
	fail(8, "connection refused")
	fail(3, "timeout")
	fail(2, "connection refused")
	for n := range 20 {
		fail(1, fmt.Sprint("reason ", n))
	}
	l.at = l.at.Add(time.Minute)
	l.journal.close(l.at)
	got := map[string]int{}
	for _, e := range l.journal.entries[1+samplesPerMinute:] {
		got[e.Outcome] = e.Count
	}
	want := map[string]int{"connection refused": 5, "timeout": 3, "reason 0": 1, "reason 1": 1, "reason 2": 1,
		severalReasons.Stored(): 17}
	if !maps.Equal(got, want) {
		t.Errorf("the entries are %v, want %v", got, want)
	}
}

func TestARecoveryIsLoggedAtOnce(t *testing.T) {
	for _, detail := range []LogDetail{LogMinutes, LogHours} {
		l := newLogged(t, detail)
		l.send("crm", 5, 200, 1)
		l.expect(t, "successes", 0, "200x1")
		l.send("crm", 10, 401, 1)
		l.expect(t, "failures", 0, "401x1", "401x1", "401x1", "401x1", "401x1")
		l.send("crm", 3, 200, 1)
		l.expect(t, "a recovery", 0, "200x1")
		l.send("crm", 3, 401, 1)
		l.expect(t, "a relapse", 0, "401x1")
		for range 100 {
			l.send("crm", 1, 200, 1)
			l.send("crm", 1, 401, 1)
		}
		if got := l.after(0); len(got) != 2 {
			t.Errorf("%s: an unsteady receiver has the entries %q", detail, got)
		}
		total := 0
		l.journal.closeAll()
		for _, e := range l.journal.entries {
			total += e.Count
		}
		if total != 5+10+3+3+200-(1+5+1+1+2) {
			t.Errorf("%s: the others count %d", detail, total)
		}
	}
}

func TestSuccessesCanBeCountedByTheHour(t *testing.T) {
	l := newLogged(t, LogHours)
	for range 60 {
		l.send("crm", 1, 200, 1)
		l.at = l.at.Add(59 * time.Second)
	}
	l.expect(t, "an hour", time.Minute, "200x1", "200x59")
	l.send("crm", 7, 500, 1)
	l.expect(t, "failures", time.Minute, "500x1", "500x1", "500x1", "500x1", "500x1", "500x2")
}

func TestEveryMessageCanHaveAnEntry(t *testing.T) {
	l := newLogged(t, LogAll)
	l.send("crm", 3, 200, 1)
	l.send("crm", 2, 500, 1)
	l.expect(t, "all", 0, "200x1", "200x1", "200x1", "500x1", "500x1")
	if _, err := LogDetail("second").windows(); err == nil {
		t.Error("an unknown detail is accepted")
	}
}

func TestTheLogOfManyArrangementsIsBounded(t *testing.T) {
	l := newLogged(t, LogMinutes)
	for i := range mostGroups + 10 {
		k := kind{arrangementID: fmt.Sprint(i), status: 200}
		l.journal.add(k, tenancy.Message{At: noon, Status: 200, Count: 1})
	}
	if len(l.journal.open) != mostGroups || len(l.journal.turns) != mostGroups {
		t.Errorf("%d groups, %d arrangements", len(l.journal.open), len(l.journal.turns))
	}
	if n := len(l.journal.entries) + len(l.journal.beyond) + l.journal.lost; n != mostGroups+10 {
		t.Errorf("%d messages are logged or counted as lost", n)
	}
	l.journal.close(noon.Add(time.Minute))
	if len(l.journal.open)+len(l.journal.turns)+len(l.journal.order[0]) != 0 {
		t.Error("groups are kept after their minute")
	}
}

// The last minute of an arrangement is written without another message, and what is counted when the gateway ends too.
func TestCountedMessagesAreWrittenWhenTheirMinuteEndsOrTheGatewayDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogged(t, LogMinutes)
		control := &failing{}
		l.control, l.now = control, time.Now
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(ended); l.keepJournal(ctx) }()
		written := func() (n int) {
			synctest.Wait()
			control.recording.Lock()
			defer control.recording.Unlock()
			for _, e := range control.entries {
				n += e.Count
			}
			control.entries = nil
			return n
		}
		l.send("crm", 20, 200, 1)
		time.Sleep(time.Second)
		if n := written(); n != 1 {
			t.Errorf("%d messages are written at once, want the first", n)
		}
		time.Sleep(time.Minute)
		if n := written(); n != 19 {
			t.Errorf("%d messages are written after the minute, want the others", n)
		}
		l.send("crm", 5, 200, 1)
		cancel()
		<-ended
		if n := written(); n != 5 {
			t.Errorf("%d messages are written at the end", n)
		}
	})
}

// Otherwise the messages of all arrangements would be counted until that day.
func TestAClockThatWasAheadDoesNotHoldBackTheLog(t *testing.T) {
	l := newLogged(t, LogMinutes)
	j := &l.journal
	add := func(arrangement string, at time.Time) {
		j.add(kind{arrangementID: arrangement, status: 200},
			tenancy.Message{ID: newID(), ArrangementID: arrangement, At: at, Status: 200, Count: 1})
	}
	add("ahead", noon.AddDate(0, 0, 1))
	for i := range 10 {
		add("crm", noon.Add(time.Duration(i)*time.Second))
	}
	j.close(noon.Add(2 * time.Minute))
	logged := 0
	for _, e := range j.entries {
		logged += e.Count
	}
	if logged != 11 {
		t.Errorf("%d of 11 messages are logged", logged)
	}
}
