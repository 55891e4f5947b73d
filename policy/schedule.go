package policy

import (
	"errors"
	"fmt"
	"time"
)

// Every is how often a schedule runs.
type Every string

const (
	Month Every = "month"
	Week  Every = "week"
	Daily Every = "day"
)

// A Schedule says when the background job runs: at a time of day in a zone, every day, every week on a weekday, or
// every month on a day. Where a month is shorter than Day, its last day is the run date. A time of day that a change to
// daylight saving skips is run at the first instant after the gap; one that occurs twice is run the first time.
type Schedule struct {
	Every   Every
	Day     int          // 1 to 31, for Month
	Weekday time.Weekday // for Week
	Hour    int          // 0 to 23
	Minute  int          // 0 to 59
	Zone    *time.Location
}

// Check says what is wrong with the schedule, or nil.
func (s Schedule) Check() error {
	switch {
	case s.Every != Month && s.Every != Week && s.Every != Daily:
		return fmt.Errorf("schedule: every is %q; allowed are month, week and day", s.Every)
	case s.Every == Month && (s.Day < 1 || s.Day > 31):
		return fmt.Errorf("schedule: day is %d; allowed are 1 to 31", s.Day)
	case s.Every == Week && (s.Weekday < time.Sunday || s.Weekday > time.Saturday):
		return fmt.Errorf("schedule: weekday is %d; allowed are sunday to saturday", s.Weekday)
	case s.Hour < 0 || s.Hour > 23 || s.Minute < 0 || s.Minute > 59:
		return fmt.Errorf("schedule: at is %02d:%02d; allowed are 00:00 to 23:59", s.Hour, s.Minute)
	case s.Zone == nil:
		return errors.New("schedule: zone is missing; write an IANA name such as UTC or Europe/Berlin")
	}
	return nil
}

// Next is the first run strictly after t, in UTC.
func (s Schedule) Next(t time.Time) time.Time {
	for i := -1; ; i++ {
		if run := s.run(t, i); run.After(t) {
			return run
		}
	}
}

// Latest is the last run at or before t, in UTC.
func (s Schedule) Latest(t time.Time) time.Time {
	for i := 1; ; i-- {
		if run := s.run(t, i); !run.After(t) {
			return run
		}
	}
}

// run is the run of the period that lies i periods from the one t is in.
func (s Schedule) run(t time.Time, i int) time.Time {
	y, m, d := t.In(s.Zone).Date()
	switch s.Every {
	case Month:
		first := time.Date(y, m+time.Month(i), 1, 12, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		return s.at(first.Year(), first.Month(), min(s.Day, last))
	case Week:
		noon := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		return s.at(y, m, d+int(s.Weekday-noon.Weekday())+7*i)
	default:
		return s.at(y, m, d+i)
	}
}

// at resolves a civil time to an instant. time.Date alone leaves open which instant it picks around a change of offset.
func (s Schedule) at(y int, m time.Month, d int) time.Time {
	civil := time.Date(y, m, d, s.Hour, s.Minute, 0, 0, time.UTC)
	// The offsets in force around that day; a change of offset lies between them.
	_, before := civil.Add(-26 * time.Hour).In(s.Zone).Zone()
	_, after := civil.Add(26 * time.Hour).In(s.Zone).Zone()
	early := civil.Add(-time.Duration(max(before, after)) * time.Second)
	late := civil.Add(-time.Duration(min(before, after)) * time.Second)
	same := func(t time.Time) bool {
		l := t.In(s.Zone)
		return l.Hour() == s.Hour && l.Minute() == s.Minute && l.Day() == civil.Day()
	}
	switch {
	case same(early):
		return early.UTC()
	case same(late):
		return late.UTC()
	}
	// Skipped: early lies before the gap, late behind it. Find the first instant with the later offset.
	lo, hi := early, late
	_, was := lo.In(s.Zone).Zone()
	for hi.Sub(lo) > time.Second {
		mid := lo.Add(hi.Sub(lo) / 2).Truncate(time.Second)
		if _, o := mid.In(s.Zone).Zone(); o == was {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi.UTC()
}

// String says the schedule in words, for people.
func (s Schedule) String() string {
	when := fmt.Sprintf("at %02d:%02d %s", s.Hour, s.Minute, s.Zone)
	switch s.Every {
	case Month:
		return fmt.Sprintf("on day %d of every month %s", s.Day, when)
	case Week:
		return fmt.Sprintf("every %s %s", s.Weekday, when)
	default:
		return "every day " + when
	}
}
