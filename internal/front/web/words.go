package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// setLanguage sets the language: that of the account, or else that of the browser.
func (v *view) setLanguage(a tenancy.Account) {
	if v.lang = a.Language; v.lang != "" {
		return
	}
	v.lang = words.Accepted(v.r.Header.Get("Accept-Language"))
}

// T returns a text in the reader's language. All texts of pages go through it. Data does not: the answers of receivers,
// the names of products, and the errors of the API.
func (v *view) T(text string, args ...any) string {
	if v.lang == "de" {
		if translated, ok := german[text]; ok {
			text = translated
		}
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// germanMonths holds the names of the months, because package time has only English ones.
var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September",
	"Oktober", "November", "Dezember"}

// Day formats a date in the reader's zone, such as "1 March 2027".
func (v *view) Day(t time.Time) string {
	t = t.In(v.zone)
	if v.lang == "de" {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	}
	return t.Format("2 January 2006")
}

// shortDay formats a date for lists, such as "1 Mar 2027".
func (v *view) shortDay(t time.Time) string {
	t = t.In(v.zone)
	if v.lang == "de" {
		return fmt.Sprintf("%d. %s %d", t.Day(), v.monthName(t.Month()), t.Year())
	}
	return t.Format("2 Jan 2006")
}

// monthName returns the short name of a month.
func (v *view) monthName(m time.Month) string {
	if v.lang == "de" {
		return string([]rune(germanMonths[m-1])[:3])
	}
	return m.String()[:3]
}

// When formats a date and time with its zone.
func (v *view) When(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return v.Day(t) + ", " + v.clockInZone(t)
}

// clockInZone formats the time of day with its zone, such as "10:42 CET".
func (v *view) clockInZone(t time.Time) string { return t.In(v.zone).Format("15:04 MST") }

// UTC formats a time in UTC, for tooltips.
func UTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// Clock formats a time of today, such as "10:42".
func (v *view) Clock(t time.Time) string { return t.In(v.zone).Format("15:04") }

// Away formats the distance to a time, such as "in 12 days" or "3 hours ago". It is rounded to the nearest unit.
func (v *view) Away(t time.Time) string {
	d := t.Sub(v.now)
	past := d < 0
	if past {
		d = -d
	}
	count := func(n time.Duration, one, many, oneAgo, manyAgo string) string {
		if past {
			one, many = oneAgo, manyAgo
		}
		if n != 1 {
			return v.T(many, int64(n))
		}
		return v.T(one)
	}
	rounded := func(unit time.Duration) time.Duration { return d.Round(unit) / unit }
	switch {
	case d < 30*time.Second:
		return v.T("now")
	case rounded(time.Minute) < 60:
		return count(rounded(time.Minute), "in 1 minute", "in %d minutes", "1 minute ago", "%d minutes ago")
	case rounded(time.Hour) < 48:
		return count(rounded(time.Hour), "in 1 hour", "in %d hours", "1 hour ago", "%d hours ago")
	}
	return count(rounded(24*time.Hour), "in 1 day", "in %d days", "1 day ago", "%d days ago")
}

// Count formats a number of things, such as "1 arrangement" or "1,200 arrangements".
func (v *view) Count(n int, one, many string) string {
	if n == 1 {
		return v.N(n) + " " + v.T(one)
	}
	return v.N(n) + " " + v.T(many)
}

// Days formats a number of days, rounded up.
func (v *view) Days(days float64) string {
	switch {
	case days <= 0:
		return v.T("0 days")
	case days <= 1:
		return v.T("1 day")
	}
	return v.T("%d days", int(math.Ceil(days)))
}

// N formats a number with separators, such as "83,333".
func (v *view) N(n int) string { return message.NewPrinter(language.Make(v.lang)).Sprint(n) }

// percent formats a share in percent.
func (v *view) percent(share float64) string { return v.decimal(fmt.Sprintf("%.1f", 100*share)) + " %" }

// decimal returns a number with the decimal mark of the reader's language.
func (v *view) decimal(number string) string {
	if v.lang == "de" {
		return strings.Replace(number, ".", ",", 1)
	}
	return number
}

// claim returns the evidence of acceptance that proves nothing.
func claim(v *view, g client.RolloverKnowledge) string {
	if g.ClaimedBy == rollover.Person {
		return v.T("reported as installed by a person, not proved yet")
	}
	return v.T("accepted in a test, not proved by a message yet")
}

// evidence returns the receiver's last answer about a generation, with its source: "401 Unauthorized (test)".
func evidence(v *view, g client.RolloverKnowledge) string {
	if g.Verdict == "" {
		return v.T("no answer yet")
	}
	return strings.TrimSpace(g.Answer + " (" + v.source(g.Source) + ")")
}
