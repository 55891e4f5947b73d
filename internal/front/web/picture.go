package web

import (
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A timeline shows generations as bars, with their overlaps, today, and the planned events.
type timeline struct {
	class    string // for wide or for narrow screens
	label    string // description of the picture
	width    float64
	height   float64
	from, to time.Time
	bars     []bar
	overlaps []overlap
	years    []point
	today    float64
	runs     []point
	dots     []point
}

type bar struct {
	x, y, width float64
	class       string
	label       string
	title       string
	labelX      float64
	anchor      string // "start", or "end" if the label is before the bar
	inside      bool
}

// An overlap is the time in which two generations are valid, so that a receiver can accept one after the other.
type overlap struct {
	x, y, width, height float64
	label               string
	labelX, labelY      float64
	anchor              string
	text                string // for the caption
}

type point struct {
	x, y  float64
	text  string
	class string
}

// A span is the validity of one generation.
type span struct {
	from, to    time.Time
	class       string // of its bar
	name, title string
	usable      bool // false for a revoked generation, which overlaps with nothing
}

// A chronicle is what a timeline shows.
type chronicle struct {
	spans []span // the oldest first
	runs  []instantOf
	// cuts are the cut-overs to the generation at each index of spans.
	cuts map[int][]instantOf
}

// An instantOf is an event with its text.
type instantOf struct {
	at          time.Time
	text, class string
}

const (
	lineTop   = 34.0
	lineRow   = 42.0
	lineBar   = 22.0
	yearRoom  = 36.0
	todayRoom = 44.0
	// letter is the mean width of a letter of a label.
	letter = 6.7
)

// lines draws the latest four generations of the tenant certificate, and the next one if it is planned, for wide and
// for narrow screens.
func (v *view) lines(certs []client.Certificate, f client.TenantForecast, rollovers []client.Rollover) []timeline {
	var shown []client.Certificate
	for _, c := range certs {
		if c.Purpose == tenancy.ForTenant {
			shown = append(shown, c)
		}
	}
	if len(shown) == 0 {
		return nil
	}
	slices.SortFunc(shown, func(a, b client.Certificate) int { return a.Generation - b.Generation })
	shown = shown[max(0, len(shown)-4):]
	c := v.chronicle(shown, rollovers)
	renewal, warning := planned(f)
	newest := shown[len(shown)-1]
	if !renewal.IsZero() {
		c.spans = append(c.spans, span{renewal, renewal.Add(newest.NotAfter.Sub(newest.NotBefore)), "bar-next",
			v.T("Generation %d, planned", newest.Generation+1),
			v.T("Generation %d: planned for %s", newest.Generation+1, v.Day(renewal)), true})
		c.runs = append(c.runs, instantOf{renewal, v.T("renewal on %s", v.Day(renewal)), "renewed"})
	}
	if !warning.IsZero() {
		c.runs = append(c.runs, instantOf{warning, v.T("warning on %s", v.Day(warning)), "warned"})
	}
	return v.draw(c)
}

// planned returns the next renewal and the next warning of the tenant certificate; zero if there is none.
func planned(f client.TenantForecast) (renewal, warning time.Time) {
	for _, c := range f.Certificates {
		if c.Purpose != tenancy.ForTenant {
			continue
		}
		for _, e := range c.Events {
			if e.Action == policy.Renew && renewal.IsZero() {
				renewal = e.At
			}
			if e.Action == policy.Warn && warning.IsZero() {
				warning = e.At
			}
		}
	}
	return renewal, warning
}

// chronicle returns generations with the cut-overs of arrangements to them.
func (v *view) chronicle(certs []client.Certificate, rollovers []client.Rollover) chronicle {
	c := chronicle{cuts: map[int][]instantOf{}}
	for i, cert := range certs {
		class := map[tenancy.State]string{tenancy.Active: "bar-now", tenancy.Standby: "bar-next",
			tenancy.Revoked: "bar-bad"}[cert.State]
		if class == "" {
			class = "bar-old"
		}
		for _, r := range rollovers {
			for _, g := range r.Generations {
				if g.Generation == cert.Generation && !g.PresentedAt.IsZero() {
					c.cuts[i] = append(c.cuts[i], instantOf{at: g.PresentedAt,
						text: v.T("%s: cut over on %s", short(r.Arrangement), v.Day(g.PresentedAt))})
				}
			}
		}
		c.spans = append(c.spans, span{cert.NotBefore, cert.NotAfter, class, v.T("Generation %d", cert.Generation),
			v.T("Generation %d: valid from %s to %s, %s", cert.Generation, v.Day(cert.NotBefore), v.Day(cert.NotAfter),
				v.certificateState(cert).word), cert.State != tenancy.Revoked})
	}
	return c
}

// draw draws a chronicle for wide and for narrow screens.
func (v *view) draw(c chronicle) []timeline {
	from, to := c.spans[0].from, v.now
	for _, s := range c.spans {
		if s.to.After(to) {
			to = s.to
		}
	}
	pad := to.Sub(from) / 40
	from, to = from.Add(-pad), to.Add(pad)
	return []timeline{v.line(timeline{class: "wide", width: 720, from: from, to: to}, c),
		v.line(timeline{class: "narrow", width: 340, from: from, to: to}, c)}
}

// scale returns the horizontal position of an instant.
func (t *timeline) scale(at time.Time) float64 {
	whole := t.to.Sub(t.from)
	return t.width * float64(min(max(at.Sub(t.from), 0), whole)) / float64(whole)
}

// line draws a chronicle into a timeline that has a width.
func (v *view) line(t timeline, c chronicle) timeline {
	for i, s := range c.spans {
		for _, cut := range c.cuts[i] {
			t.dots = append(t.dots, point{x: t.scale(cut.at), y: lineTop + lineRow*float64(i) + lineBar/2, text: cut.text})
		}
		t.add(s)
		if i > 0 {
			v.addOverlap(&t, i, c.spans[i-1], s)
		}
	}
	for _, r := range c.runs {
		t.runs = append(t.runs, point{x: t.scale(r.at), text: r.text, class: r.class})
	}
	t.today = t.scale(v.now)
	for year := t.from.UTC().Year() + 1; year <= t.to.UTC().Year(); year++ {
		if x := t.scale(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); x < t.width-yearRoom {
			t.years = append(t.years, point{x: x, text: fmt.Sprint(year)})
		}
	}
	t.label = v.T("Generations over time: each bar is the validity of one generation, shaded areas are overlaps, and " +
		"the line is today. The text below has the dates.")
	t.height = lineTop + lineRow*float64(len(t.bars)) + 18
	return t
}

// add draws the next bar.
func (t *timeline) add(s span) {
	x := t.scale(s.from)
	b := bar{x: x, width: math.Max(2, t.scale(s.to)-x), y: lineTop + lineRow*float64(len(t.bars)), class: s.class,
		label: s.name, title: s.title, anchor: "start"}
	room := letter*float64(utf8.RuneCountInString(s.name)) + 18
	b.inside = b.width > room
	b.labelX = b.x + 12 // beside the dot of a cut-over at the start
	if !b.inside {
		if b.labelX = b.x + b.width + 6; b.labelX > t.width-room {
			b.labelX, b.anchor = max(b.x-6, room-8), "end"
		}
	}
	t.bars = append(t.bars, b)
}

// addOverlap draws the overlap of the bars at i-1 and i, if there is one. Its name is between them.
func (v *view) addOverlap(t *timeline, i int, older, newer span) {
	end := older.to
	if newer.to.Before(end) {
		end = newer.to
	}
	if !older.usable || !newer.usable || !newer.from.Before(end) {
		return
	}
	days := int(math.Round(end.Sub(newer.from).Hours() / 24))
	o := overlap{x: t.scale(newer.from), y: t.bars[i-1].y - 6, height: lineRow + lineBar + 12, anchor: "start",
		label: v.T("both valid: %s", v.Days(float64(days))),
		text: v.T("%s and %s are both valid from %s to %s (%s)", older.name, newer.name, v.Day(newer.from), v.Day(end),
			v.Days(float64(days)))}
	o.width = math.Max(1, t.scale(end)-o.x)
	o.labelX, o.labelY = o.x+4, t.bars[i].y-6
	if room := letter * float64(utf8.RuneCountInString(o.label)); o.labelX+room > t.width-4 {
		o.labelX, o.anchor = o.x+o.width-4, "end"
	}
	t.overlaps = append(t.overlaps, o)
}

// num formats a coordinate.
func num(f float64) string { return fmt.Sprintf("%.1f", f) }

// exact formats a length that may be far below one unit.
func exact(f float64) string { return fmt.Sprintf("%.4f", f) }
