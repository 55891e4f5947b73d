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
	UID string // stable, so that importers update the entry
	At  time.Time
	// AllDay is set if the entry is about the day of At, in the location of At, not about the instant.
	AllDay      bool
	Summary     string
	Description string
	URL         string // of a page about it; may be empty
	// RemindDays are the days before the entry on which calendars show a reminder.
	RemindDays []int
	// Ready is set if nothing is left to do.
	Ready bool
}

// refreshEvery is the suggestion to subscribers for how often to fetch a calendar.
const refreshEvery = "PT12H"

// Calendar writes entries as an iCalendar object (RFC 5545) that Outlook, Google and Apple calendars import. stamp is
// its time of creation (DTSTAMP). Entries last a day or 15 minutes, so that every client shows them. They do not block
// time.
func Calendar(w io.Writer, name string, entries []CalendarEntry, stamp time.Time) error {
	cal := ics.NewCalendarFor("Perennial")
	cal.SetMethod(ics.MethodPublish)
	cal.SetXWRCalName(name)
	cal.SetRefreshInterval(refreshEvery) // RFC 7986, section 5.7
	cal.SetXPublishedTTL(refreshEvery)   // for Outlook
	for _, e := range entries {
		e.add(cal, stamp)
	}
	if err := cal.SerializeTo(w, ics.WithNewLineWindows); err != nil {
		return fmt.Errorf("write the calendar: %w", err)
	}
	return nil
}

func (e CalendarEntry) add(cal *ics.Calendar, stamp time.Time) {
	ev := cal.AddEvent(e.UID)
	ev.SetDtStampTime(stamp)
	if e.AllDay {
		ev.SetAllDayStartAt(e.At)
		ev.SetAllDayEndAt(e.At.AddDate(0, 0, 1))
	} else {
		ev.SetStartAt(e.At)
		ev.SetEndAt(e.At.Add(15 * time.Minute))
	}
	ev.SetSummary(e.Summary)
	ev.SetDescription(e.Description)
	if e.URL != "" {
		ev.SetURL(e.URL)
	}
	ev.SetTimeTransparency(ics.TransparencyTransparent)
	if e.Ready {
		ev.SetStatus(ics.ObjectStatusConfirmed)
		return
	}
	for _, days := range e.RemindDays {
		alarm := ev.AddAlarm()
		alarm.SetAction(ics.ActionDisplay)
		alarm.SetDescription(e.Summary)
		alarm.SetTrigger(fmt.Sprintf("-P%dD", days))
	}
}

// LastWorkday returns the last day from Monday to Friday before the day of an instant, in its location. Holidays are
// not known.
func LastWorkday(before time.Time) time.Time {
	day := before.AddDate(0, 0, -1)
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, -1)
	}
	return day
}
