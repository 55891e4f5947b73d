// Package publish writes files that other systems read: calendars and certificates.
package publish

import (
	"fmt"
	"io"
	"time"

	ics "github.com/arran4/golang-ical"
)

// A CalendarEntry is one planned event.
type CalendarEntry struct {
	UID         string // stable, so that importers update the entry
	At          time.Time
	Summary     string
	Description string
}

// Calendar writes entries as an iCalendar object (RFC 5545) that Outlook, Google and Apple calendars import. stamp is
// its time of creation (DTSTAMP). Entries last 15 minutes, so that every client shows them. They do not block time.
func Calendar(w io.Writer, name string, entries []CalendarEntry, stamp time.Time) error {
	cal := ics.NewCalendarFor("Perennial")
	cal.SetMethod(ics.MethodPublish)
	cal.SetXWRCalName(name)
	for _, e := range entries {
		ev := cal.AddEvent(e.UID)
		ev.SetDtStampTime(stamp)
		ev.SetStartAt(e.At)
		ev.SetEndAt(e.At.Add(15 * time.Minute))
		ev.SetSummary(e.Summary)
		ev.SetDescription(e.Description)
		ev.SetTimeTransparency(ics.TransparencyTransparent)
	}
	if err := cal.SerializeTo(w, ics.WithNewLineWindows); err != nil {
		return fmt.Errorf("write the calendar: %w", err)
	}
	return nil
}
