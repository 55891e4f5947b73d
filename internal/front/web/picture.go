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

// A timeline shows generations as bars, with their overlap, today, and the planned events.
type timeline struct {
	class  string // for wide or for narrow screens
	label  string // description of the picture
	width  float64
	height float64
	bars   []bar
	years  []point
	today  float64
	runs   []point
	dots   []point
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

type point struct {
	x, y  float64
	text  string
	class string
}

const (
	lineTop   = 34.0
	lineRow   = 34.0
	lineBar   = 22.0
	yearRoom  = 36.0
	todayRoom = 44.0
	// letter is the mean width of a letter of a label.
	letter = 6.7
)

// lines draws the latest four generations of the tenant certificate, and the next one if it is planned, for wide and
// for narrow screens.
func (v *view) lines(certs []client.Certificate, f client.TenantForecast, rollovers []client.Rollover) []timeline {
	return []timeline{v.line(timeline{class: "wide", width: 720}, certs, f, rollovers),
		v.line(timeline{class: "narrow", width: 340}, certs, f, rollovers)}
}

// line draws the generations into a timeline that has a width.
func (v *view) line(t timeline, certs []client.Certificate, f client.TenantForecast,
	rollovers []client.Rollover) timeline {
	var shown []client.Certificate
	for _, c := range certs {
		if c.Purpose == tenancy.ForTenant {
			shown = append(shown, c)
		}
	}
	if len(shown) == 0 {
		return t
	}
	slices.SortFunc(shown, func(a, b client.Certificate) int { return a.Generation - b.Generation })
	shown = shown[max(0, len(shown)-4):]
	var renewal, warning time.Time
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
	newest := shown[len(shown)-1]
	from, to := shown[0].NotBefore, newest.NotAfter
	planned := renewal.Add(newest.NotAfter.Sub(newest.NotBefore))
	if !renewal.IsZero() && planned.After(to) {
		to = planned
	}
	if to.Before(v.now) {
		to = v.now
	}
	pad := to.Sub(from) / 40
	from, to = from.Add(-pad), to.Add(pad)
	scale := func(at time.Time) float64 {
		return t.width * float64(min(max(at.Sub(from), 0), to.Sub(from))) / float64(to.Sub(from))
	}
	add := func(start, end time.Time, class, label, title string) {
		b := bar{x: scale(start), width: math.Max(2, scale(end)-scale(start)), y: lineTop + lineRow*float64(len(t.bars)),
			class: class, label: label, title: title, anchor: "start"}
		room := letter*float64(utf8.RuneCountInString(label)) + 18
		b.inside = b.width > room
		b.labelX = b.x + 12 // beside the dot of a cut-over at the start
		if !b.inside {
			if b.labelX = b.x + b.width + 6; b.labelX > t.width-room {
				b.labelX, b.anchor = max(b.x-6, room-8), "end"
			}
		}
		t.bars = append(t.bars, b)
	}
	for _, c := range shown {
		class := map[tenancy.State]string{tenancy.Active: "bar-now", tenancy.Standby: "bar-next",
			tenancy.Revoked: "bar-bad"}[c.State]
		if class == "" {
			class = "bar-old"
		}
		for _, r := range rollovers { // each arrangement's cut-over to this generation
			for _, g := range r.Generations {
				if g.Generation == c.Generation && !g.PresentedAt.IsZero() {
					t.dots = append(t.dots, point{x: scale(g.PresentedAt), y: lineTop + lineRow*float64(len(t.bars)) + lineBar/2,
						text: v.T("%s: cut over on %s", short(r.Arrangement), v.Day(g.PresentedAt))})
				}
			}
		}
		add(c.NotBefore, c.NotAfter, class, v.T("Generation %d", c.Generation),
			v.T("Generation %d: valid from %s to %s, %s", c.Generation, v.Day(c.NotBefore), v.Day(c.NotAfter),
				v.certificateState(c).word))
	}
	if !renewal.IsZero() {
		add(renewal, planned, "bar-next", v.T("Generation %d, planned", newest.Generation+1),
			v.T("Generation %d: planned for %s", newest.Generation+1, v.Day(renewal)))
		t.runs = append(t.runs, point{x: scale(renewal), text: v.T("renewal on %s", v.Day(renewal)), class: "renewed"})
	}
	if !warning.IsZero() {
		t.runs = append(t.runs, point{x: scale(warning), text: v.T("warning on %s", v.Day(warning)), class: "warned"})
	}
	t.today = scale(v.now)
	for year := from.UTC().Year() + 1; year <= to.UTC().Year(); year++ {
		if x := scale(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)); x < t.width-yearRoom {
			t.years = append(t.years, point{x: x, text: fmt.Sprint(year)})
		}
	}
	t.label = v.T("Generations over time: each bar is the validity of one generation, and the line is today. " +
		"The text below has the dates.")
	t.height = lineTop + lineRow*float64(len(t.bars)) + 26
	return t
}

// num formats a coordinate.
func num(f float64) string { return fmt.Sprintf("%.1f", f) }

// exact formats a length that may be far below one unit.
func exact(f float64) string { return fmt.Sprintf("%.4f", f) }
