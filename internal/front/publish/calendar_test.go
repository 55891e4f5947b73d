package publish

import (
	"strings"
	"testing"
	"time"
)

func calendar(t *testing.T, entries ...CalendarEntry) string {
	t.Helper()
	var out strings.Builder
	if err := Calendar(&out, "Perennial", entries, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestADeadlineIsAllDayAndRemindsUntilItIsReady(t *testing.T) {
	e := CalendarEntry{UID: "x@p", At: time.Date(2027, 1, 8, 23, 30, 0, 0, time.FixedZone("CET", 3600)), AllDay: true,
		Summary: "DEADLINE", URL: "https://p.example.com", RemindDays: []int{7, 1}}
	open := calendar(t, e)
	for _, want := range []string{"DTSTART;VALUE=DATE:20270108\r\n", "DTEND;VALUE=DATE:20270109\r\n",
		"TRIGGER:-P7D\r\n", "TRIGGER:-P1D\r\n", "TRANSP:TRANSPARENT\r\n", "URL:https://p.example.com\r\n",
		"REFRESH-INTERVAL;VALUE=DURATION:PT12H\r\n"} {
		if !strings.Contains(open, want) {
			t.Errorf("%q is missing in\n%s", want, open)
		}
	}
	e.Ready = true
	if ready := calendar(t, e); strings.Contains(ready, "VALARM") || !strings.Contains(ready, "STATUS:CONFIRMED") {
		t.Errorf("ready, and still an alarm:\n%s", ready)
	}
}

func TestTheLastWorkdayIsNeverOnAWeekend(t *testing.T) {
	for before, want := range map[string]string{"2027-01-14": "2027-01-13", "2027-01-11": "2027-01-08",
		"2027-01-10": "2027-01-08", "2027-01-09": "2027-01-08"} {
		at, err := time.Parse(time.DateOnly, before)
		if err != nil {
			t.Fatal(err)
		}
		if got := LastWorkday(at).Format(time.DateOnly); got != want {
			t.Errorf("before %s: %s, want %s", before, got, want)
		}
	}
}
