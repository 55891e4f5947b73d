package policy

import (
	"fmt"
	"time"
)

// Every is the period of a schedule.
type Every string

const (
	Month Every = "month"
	Week  Every = "week"
	Daily Every = "day"
)

// A Schedule defines the runs of the background job: at a time of day in a zone, every day, every week on a weekday, or
// every month on a day. In a month shorter than Day, the last day is the run date. If a change to daylight saving time
// skips the time of day, the job runs at the first instant after the gap. If the time of day occurs twice, the job runs
// the first time.
type Schedule struct {
	Every   Every
	Day     int          // 1 to 31, for Month
	Weekday time.Weekday // for Week
	Hour    int          // 0 to 23
	Minute  int          // 0 to 59
	Zone    *time.Location
}

// Check returns a [*KeyError] if the schedule is not valid.
func (s Schedule) Check() error {
	switch {
	case s.Every != Month && s.Every != Week && s.Every != Daily:
		return keyErrorf("schedule.every", "schedule: every is %q; use month, week or day", s.Every)
	case s.Every == Month && (s.Day < 1 || s.Day > 31):
		return keyErrorf("schedule.day", "schedule: day is %d; use 1 to 31", s.Day)
	case s.Every == Week && (s.Weekday < time.Sunday || s.Weekday > time.Saturday):
		return keyErrorf("schedule.day", "schedule: weekday is %d; use sunday to saturday", s.Weekday)
	case s.Hour < 0 || s.Hour > 23 || s.Minute < 0 || s.Minute > 59:
		return keyErrorf("schedule.at", "schedule: at is %02d:%02d; use 00:00 to 23:59", s.Hour, s.Minute)
	case s.Zone == nil:
		return keyErrorf("schedule.zone", "schedule: zone is missing; use an IANA name such as UTC or Europe/Berlin")
	}
	return nil
}

// Next returns the first run strictly after t, in UTC.
func (s Schedule) Next(t time.Time) time.Time {
	for i := -1; ; i++ {
		if run := s.run(t, i); run.After(t) {
			return run
		}
	}
}

// Latest returns the last run at or before t, in UTC.
func (s Schedule) Latest(t time.Time) time.Time {
	for i := 1; ; i-- {
		if run := s.run(t, i); !run.After(t) {
			return run
		}
	}
}

// run returns the run of the period that is i periods after the one of t.
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

// at resolves a civil time to an instant. Around a change of offset, time.Date does not guarantee which instant it
// picks.
func (s Schedule) at(y int, m time.Month, d int) time.Time {
	civil := time.Date(y, m, d, s.Hour, s.Minute, 0, 0, time.UTC)
	// The offsets before and after that day. If they differ, the change is between them.
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
	// The time of day is skipped: early is before the gap, late is after it. Find the first instant of the later offset.
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

// String describes the schedule in words.
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
