package web

import (
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/client"
)

// A chart shows warnings and renewals by month. Heights are proportional to the numbers, however small they are.
type chart struct {
	text     string // describes the picture
	months   []month
	drawings []drawing // for wide and for narrow screens
}

// A month holds the warnings and renewals of one month.
type month struct {
	name, full  string
	first       bool // of a year, or of the picture
	warn, renew int
}

// A drawing is the chart at one width.
type drawing struct {
	class              string
	width, left, right float64
	ticks              []tick
	columns            []monthColumn
}

// A monthColumn holds the bars of a month.
type monthColumn struct {
	middle float64
	label  string // empty if there is no room for it
	bars   []chartBar
}

// A chartBar is a bar with its number above it.
type chartBar struct {
	class, title, label string // no label on a narrow screen
	x, y, width, height float64
}

// A tick is a number at the vertical axis.
type tick struct {
	y     float64
	label string
}

// The vertical measures of the chart, in user units, and the largest number of its intervals.
const (
	chartTop, chartBase = 22.0, 172.0
	chartHeight         = 200.0
	chartTicks          = 4
)

// forecastChart returns the chart of the next twelve months, starting with the current one.
func (v *view) forecastChart(runs []client.RunForecast) chart {
	c := chart{months: v.months(runs)}
	warned, renewed := 0, 0
	for _, m := range c.months {
		warned, renewed = warned+m.warn, renewed+m.renew
	}
	c.text = v.T("Warnings and renewals by month: %d and %d in twelve months. The table below has the numbers.", warned,
		renewed)
	c.drawings = []drawing{v.drawChart(c.months, drawing{class: "wide", width: 720, left: 48, right: 716}),
		v.drawChart(c.months, drawing{class: "narrow", width: 340, left: 40, right: 336})}
	return c
}

// drawChart draws the months between the left and the right of a drawing.
func (v *view) drawChart(months []month, d drawing) drawing {
	most := 0
	for _, m := range months {
		most = max(most, m.warn, m.renew)
	}
	step := tickStep(most)
	top := step * max(1, (most+step-1)/step)
	scale := (chartBase - chartTop) / float64(top)
	for n := 0; n <= top; n += step {
		d.ticks = append(d.ticks, tick{chartBase - float64(n)*scale, v.N(n)})
	}
	slot := (d.right - d.left) / float64(len(months))
	for i, m := range months {
		column := monthColumn{middle: d.left + slot*(float64(i)+.5), label: m.name}
		full := i == 0 || i > 2 && i < len(months)-1
		if d.class == "wide" {
			full = i > 0 || !months[1].first // two years side by side have no room
		}
		switch {
		case m.first && full:
			column.label = m.full
		case d.class != "wide":
			column.label = ""
		}
		add := func(n int, x float64, class, title string) {
			if n == 0 {
				return
			}
			b := chartBar{class: class, title: title, x: x, y: chartBase - float64(n)*scale, width: slot * .36,
				height: float64(n) * scale}
			if d.class == "wide" {
				b.label = v.short(n)
			}
			column.bars = append(column.bars, b)
		}
		add(m.warn, column.middle-slot*.4, "warned", v.T("%s, warnings: %d", m.full, m.warn))
		add(m.renew, column.middle+slot*.04, "renewed", v.T("%s, renewals: %d", m.full, m.renew))
		d.columns = append(d.columns, column)
	}
	return d
}

func (v *view) months(runs []client.RunForecast) []month {
	start := time.Date(v.now.UTC().Year(), v.now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	all := make([]month, 12)
	for i := range all {
		at := start.AddDate(0, i, 0)
		all[i].name = v.monthName(at.Month())
		all[i].full = fmt.Sprintf("%s %d", all[i].name, at.Year())
		all[i].first = i == 0 || at.Month() == time.January
		for _, r := range runs {
			if r.RunDate.UTC().Year() == at.Year() && r.RunDate.UTC().Month() == at.Month() {
				all[i].warn += r.Warn
				all[i].renew += r.Renew
			}
		}
	}
	return all
}

// tickStep returns the distance of the numbers at an axis: 1, 2 or 5 times a power of ten.
func tickStep(most int) int {
	for power := 1; ; power *= 10 {
		for _, step := range []int{power, 2 * power, 5 * power} {
			if most <= step*chartTicks {
				return step
			}
		}
	}
}

// short formats a number in at most three digits and a unit, such as "950", "2.2k" or "14k".
func (v *view) short(n int) string {
	size, unit := float64(n), ""
	for _, next := range []string{"k", "M"} {
		if size >= 999.5 {
			size, unit = size/1000, next
		}
	}
	digits := 0
	if unit != "" && size < 9.95 {
		digits = 1
	}
	return v.decimal(fmt.Sprintf("%.*f", digits, size)) + unit
}
