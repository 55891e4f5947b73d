package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/lab/picture"
)

// A panel shows one growth. Both of its axes are logarithmic and as long as each other in decades, so that a line of 45
// degrees is linear.
const (
	panelWidth, panelHeight = 300, 300
	plotLeft, plotTop       = 40, 62
	plotSize                = 190
	panelsInARow            = 4
	decades                 = 2.8 // on each axis
)

// drawGrowth draws a panel for each growth.
func drawGrowth(w io.Writer, all []*growth) error {
	rows := (len(all) + panelsInARow - 1) / panelsInARow
	const top = 64
	p := picture.New(panelsInARow*panelWidth+picture.Left, top+rows*panelHeight, "How costs grow",
		"How costs grow with the size of an installation", describedGrowth(all))
	p.Draw(`<text x="%d" y="48">Both axes are logarithmic, with the same scale. The dashed line is linear growth, `+
		`the number is the exponent.</text>`+"\n", picture.Left)
	for i, g := range all {
		drawPanel(p, g, picture.Left+i%panelsInARow*panelWidth, top+i/panelsInARow*panelHeight)
	}
	_, err := p.WriteTo(w)
	return err
}

func drawPanel(p *picture.Picture, g *growth, left, top int) {
	x0, y1 := float64(left+plotLeft), float64(top+plotTop+plotSize)
	perDecade := plotSize / decades
	x := func(size int) float64 {
		return x0 + perDecade*((decades-2)/2+math.Log10(float64(size)/float64(g.sizes[0])))
	}
	// Half of the axis is above the middle of the costs.
	middle := (math.Log10(slices.Min(g.costs)) + math.Log10(slices.Max(g.costs))) / 2
	at := func(log float64) float64 { return y1 - plotSize/2 - perDecade*(log-middle) }
	color := "#2e7d5b"
	if g.exponent > mostExponent {
		color = "#c0392b"
	}
	p.Draw(`<text x="%[1]d" y="%[2]d" font-weight="bold">%[3]s</text><text x="%[1]d" y="%[4]d">%[5]s, by %[6]s</text>`+
		`<text x="%[7]d" y="%[4]d" text-anchor="end" font-weight="bold" fill="%[8]s">%.2[9]f</text>`+"\n", left, top+22,
		html.EscapeString(g.work), top+42, html.EscapeString(g.unit), html.EscapeString(g.of), left+panelWidth-24, color,
		g.exponent)
	p.Draw(`<rect x="%.1f" y="%d" width="%d" height="%d" fill="none" stroke="#999"/>`+"\n", x0, top+plotTop, plotSize,
		plotSize)
	first, last := g.sizes[0], g.sizes[len(g.sizes)-1]
	span := math.Log10(float64(last) / float64(first))
	p.Draw(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#999" stroke-dasharray="4 3"/>`, x(first),
		at(middle-span/2), x(last), at(middle+span/2))
	mean := 0.0 // of the logarithms, through which the fitted line goes
	for _, c := range g.costs {
		mean += math.Log10(c) / float64(len(g.costs))
	}
	p.Draw(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"/>`+"\n", x(first),
		at(mean-g.exponent*span/2), x(last), at(mean+g.exponent*span/2), color)
	for i, size := range g.sizes {
		y := at(math.Log10(g.costs[i]))
		p.Draw(`<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`, x(size), y, color)
		for _, label := range []struct {
			y    float64
			text string
		}{{y - 9, brief(g.costs[i])}, {y1 + 15, grouped(size)}} {
			p.Draw(`<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10">%s</text>`+"\n", x(size), label.y, label.text)
		}
	}
}

// describedGrowth returns the text alternative of the picture.
func describedGrowth(all []*growth) string {
	parts := make([]string, len(all))
	for i, g := range all {
		parts[i] = fmt.Sprintf("%s (%s) grows with the number of %s to the power of %.2f", g.work, g.unit, g.of, g.exponent)
	}
	return strings.Join(parts, "; ") + "."
}

func TestEachGrowthHasAPanelWithItsExponent(t *testing.T) {
	all := []*growth{
		{work: "a & b", of: "things", unit: "MB", sizes: []int{1, 10, 100}, costs: []float64{1, 10, 100}, exponent: 1},
		{work: "worse", of: "things", unit: "CPU s", sizes: []int{1000, 10_000, 100_000}, costs: []float64{1, 100, 10_000},
			exponent: 2},
	}
	var out strings.Builder
	if err := drawGrowth(&out, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a &amp; b</text>", "CPU s, by things", `fill="#2e7d5b">1.00<`, `fill="#c0392b">2.00<`,
		">100,000<", "worse (CPU s) grows with the number of things to the power of 2.00."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the picture lacks %q:\n%s", want, out.String())
		}
	}
}
