package web

import "github.com/perennial-pki/perennial/client"

// An hourChart shows the messages of 24 hours by outcome. Delivered messages are above the axis, and the others below
// it, so that the outcomes differ without their colours. Heights are proportional to the numbers.
type hourChart struct {
	text     string // describes the picture
	total    client.MessageHour
	hours    []client.MessageHour
	drawings []hourDrawing // for wide and for narrow screens
}

// An hourDrawing is the chart at one width.
type hourDrawing struct {
	class                string
	width, left, right   float64
	height, axis, bottom float64 // bottom is the end of the bars, above the hours
	ticks                []tick
	columns              []hourColumn
}

// An hourColumn holds the bars of an hour.
type hourColumn struct {
	middle float64
	label  string // empty if there is no room for it
	title  string
	path   string // of the list of the hour's messages; empty if there are none
	bars   []chartBar
}

// The vertical measures of the chart, in user units.
const (
	hoursTop, hoursPlot = 16.0, 120.0
	hoursFoot           = 28.0
	hourTicks           = 3
)

// hourChart returns the chart of the hours. Its text is empty if there was no message.
func (v *view) hourChart(hours []client.MessageHour) (c hourChart) {
	c.hours = hours
	for _, h := range hours {
		c.total.Delivered += h.Delivered
		c.total.Retried += h.Retried
		c.total.Failed += h.Failed
		c.total.Cancelled += h.Cancelled
	}
	if c.total.Delivered+c.total.Retried+c.total.Failed+c.total.Cancelled == 0 {
		return c
	}
	c.text = v.T("Messages of the last 24 hours by hour. The table below has the numbers.")
	c.drawings = []hourDrawing{v.drawHours(hours, hourDrawing{class: "wide", width: 720, left: 48, right: 716}),
		v.drawHours(hours, hourDrawing{class: "narrow", width: 340, left: 40, right: 336})}
	return c
}

// drawHours draws the hours between the left and the right of a drawing.
func (v *view) drawHours(hours []client.MessageHour, d hourDrawing) hourDrawing {
	above, below := 0, 0
	for _, h := range hours {
		above, below = max(above, h.Delivered+h.Retried), max(below, h.Failed+h.Cancelled)
	}
	step := tickStep(max(above, below))
	up, down := (above+step-1)/step, (below+step-1)/step
	scale := hoursPlot / float64((up+down)*step)
	d.axis = hoursTop + float64(up*step)*scale
	d.bottom = hoursTop + hoursPlot
	if down > 0 {
		d.bottom += 10 // for the numbers of failures
	}
	d.height = d.bottom + hoursFoot
	every := max(1, (up+down+hourTicks-1)/hourTicks)
	for n := -down; n <= up; n++ {
		if n%every == 0 {
			d.ticks = append(d.ticks, tick{d.axis - float64(n*step)*scale, v.N(max(n, -n) * step)})
		}
	}
	slot := (d.right - d.left) / float64(len(hours))
	for i, h := range hours {
		d.columns = append(d.columns, v.hourColumn(h, d, d.left+slot*float64(i), slot, scale))
	}
	return d
}

// hourColumn returns the bars of an hour, in a slot that begins at x.
func (v *view) hourColumn(h client.MessageHour, d hourDrawing, x, slot, scale float64) hourColumn {
	column := hourColumn{middle: x + slot/2, title: v.hourTitle(h)}
	if h.At.In(v.zone).Hour()%6 == 0 {
		column.label = v.Clock(h.At)
	}
	if h.Cursor != "" {
		column.path = v.of("/messages?from=" + escape(h.Cursor))
	}
	width, top, low := slot*.7, d.axis, d.axis
	add := func(n int, class string, up bool) {
		if n == 0 {
			return
		}
		b := chartBar{class: class, x: column.middle - width/2, y: low, width: width, height: float64(n) * scale}
		if up {
			top -= b.height
			b.y = top
		} else {
			low += b.height
			if class == "failed" && d.class == "wide" {
				b.label = v.short(n)
			}
		}
		column.bars = append(column.bars, b)
	}
	add(h.Delivered, "delivered", true)
	add(h.Retried, "retried", true)
	add(h.Failed, "failed", false)
	add(h.Cancelled, "cancelled", false)
	return column
}

// hourTitle states the numbers of an hour.
func (v *view) hourTitle(h client.MessageHour) string {
	return v.T("%s: delivered %s, after another attempt %s, failed %s, cancelled %s", v.Clock(h.At), v.N(h.Delivered),
		v.N(h.Retried), v.N(h.Failed), v.N(h.Cancelled))
}
