package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/api"
)

// T says something to the reader. The texts of pages go through it, so that another language finds them in one place; what is
// data (the table of checks, the instructions) does not.
func (v *view) T(text string, args ...any) string {
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// Day is a date in the reader's zone: "1 March 2027".
func (v *view) Day(t time.Time) string { return t.In(v.zone).Format("2 January 2006") }

// When is an instant with its zone.
func (v *view) When(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return v.Day(t) + t.In(v.zone).Format(", 15:04 MST")
}

// UTC is an instant for machines and for hovering.
func UTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// Away is how far an instant is away: "in 12 days", "3 hours ago".
func (v *view) Away(t time.Time) string {
	d := t.Sub(v.now)
	past := d < 0
	if past {
		d = -d
	}
	n, unit := int64(d/(24*time.Hour)), "days"
	switch {
	case d < time.Minute:
		return v.T("now")
	case d < time.Hour:
		n, unit = int64(d/time.Minute), "minutes"
	case d < 48*time.Hour:
		n, unit = int64(d/time.Hour), "hours"
	}
	if n == 1 {
		unit = strings.TrimSuffix(unit, "s")
	}
	if past {
		return v.T("%d "+unit+" ago", n)
	}
	return v.T("in %d "+unit, n)
}

// Days is a number of days as people say it.
func (v *view) Days(days float64) string {
	switch {
	case days < 1:
		return v.T("less than a day")
	case days < 2:
		return v.T("1 day")
	}
	return v.T("%d days", int(days))
}

// percent writes a share as people read it.
func (v *view) percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// said is what a receiver last answered about the newest generation.
func said(v *view, r api.Rollover) string {
	n := newestOf(r)
	if n.Verdict == "" {
		return v.T("nothing yet")
	}
	return strings.TrimSpace(n.Answer + " " + v.source(n.Source))
}
