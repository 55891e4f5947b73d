package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
)

// The views of the roll-over board.
const (
	boardColumnsView = ""
	boardHostsView   = "receiver"
	boardLeftView    = "days"
	boardListView    = "list"
)

// A boardOf holds the content of the roll-over board of the fleet or of a tenant.
type boardOf struct {
	path   string // of the page, and of the API
	fleet  bool
	view   string
	counts client.RolloverBoard
	list   client.Page[client.Rollover]
	hosts  client.Page[client.RolloverHost]
}

// board shows the roll-overs of a tenant.
func (c *console) board(v *view) error {
	name := v.r.PathValue("tenant")
	t, err := get[client.Tenant](c, v, in(name))
	if err != nil {
		return err
	}
	v.tenant = &t
	return c.showBoard(v, boardOf{path: in(name, "rollovers")})
}

// fleetBoard shows the roll-overs of the fleet.
func (c *console) fleetBoard(v *view) error {
	return c.showBoard(v, boardOf{path: "/rollovers", fleet: true})
}

func (c *console) showBoard(v *view, b boardOf) (err error) {
	q := v.r.URL.Query()
	switch b.view = q.Get("by"); {
	case boardFilter(q) != "":
		b.view = boardListView
	case b.view != boardHostsView && b.view != boardLeftView && b.view != boardListView:
		b.view = boardColumnsView
	}
	if b.counts, err = get[client.RolloverBoard](c, v, b.path+"/board"); err != nil {
		return err
	}
	switch b.view {
	case boardHostsView:
		b.hosts, err = paged[client.RolloverHost](c, v, b.path+"/hosts")
	case boardListView:
		b.list, err = paged[client.Rollover](c, v, b.path+"?"+boardFilter(q))
	}
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Roll-overs"), rolloverBoard(v, b))
}

// boardCrumbs returns the pages above the board, with their paths. Above a part of it is the whole board.
func (v *view) boardCrumbs(b boardOf) []string {
	above := []string{v.T("Overview"), "/"}
	if !b.fleet {
		above[1] = in(v.tenantName())
	}
	if boardFilter(v.r.URL.Query()) != "" {
		above = append(above, v.T("Roll-overs"), b.path)
	}
	return above
}

// boardFilter returns the parameters that limit the list of roll-overs; empty if there are none.
func boardFilter(q url.Values) string {
	filter := url.Values{}
	for _, name := range []string{"state", "host", "left", "q"} {
		if value := q.Get(name); value != "" {
			filter.Set(name, value)
		}
	}
	return filter.Encode()
}

// filtered names the filters of the list.
func (v *view) filtered() string {
	var all []string
	q := v.r.URL.Query()
	if state := q.Get("state"); state != "" {
		all = append(all, v.columnState(rollover.State(state)).word)
	}
	if host := q.Get("host"); host != "" {
		all = append(all, host)
	}
	if left := q.Get("left"); left != "" {
		all = append(all, v.leftText(left))
	}
	if text := q.Get("q"); text != "" {
		all = append(all, v.T("“%s”", text))
	}
	return strings.Join(all, ", ")
}

// columnState returns the name of a column.
func (v *view) columnState(s rollover.State) stateOf { return v.rolling(client.Rollover{State: s}) }

// laneState returns the heading of a column. One without roll-overs does not draw attention.
func (v *view) laneState(s client.BoardState) stateOf {
	state := v.columnState(s.State)
	if s.Count == 0 {
		state.tone = "off"
	}
	return state
}

// atRisk returns the number of roll-overs at risk.
func (b boardOf) atRisk() (n int) {
	for _, l := range b.counts.Left {
		n += l.Count
	}
	return n
}

// open returns the number of roll-overs that are not settled.
func (b boardOf) open() (n int) {
	for _, s := range b.counts.States {
		if s.State != rollover.Settled {
			n += s.Count
		}
	}
	return n
}

// all returns the number of roll-overs.
func (b boardOf) all() int {
	n := b.open()
	for _, s := range b.counts.States {
		if s.State == rollover.Settled {
			n += s.Count
		}
	}
	return n
}

// tabs returns the views of the board with their numbers.
func (b boardOf) tabs(v *view) []tab {
	listed := b.open()
	if !b.fleet {
		listed = b.all()
	}
	of := func(view, text string, count int) tab { return tab{text, count, boardPath(b, view), view == b.view} }
	return []tab{of(boardColumnsView, v.T("By state"), b.open()), of(boardHostsView, v.T("By receiver"), b.counts.Hosts),
		of(boardLeftView, v.T("By days left"), b.atRisk()), of(boardListView, v.T("As a list"), listed)}
}

// listOf returns the path of the list of a column. It is empty if the roll-overs of the column are not listed.
func (b boardOf) listOf(s rollover.State) string {
	if b.fleet && s == rollover.Settled {
		return ""
	}
	return b.path + "?state=" + escape(string(s))
}

// label returns the name of an arrangement, with its tenant on a page of the fleet.
func (b boardOf) label(r client.Rollover) string {
	if b.fleet {
		return r.Arrangement
	}
	return short(r.Arrangement)
}

// leftText names a number of days left, as in [client.BoardLeft].
func (v *view) leftText(left string) string {
	switch left {
	case "now":
		return v.T("no days left")
	case "7":
		return v.T("1 to 7 days left")
	case "14":
		return v.T("8 to 14 days left")
	case "30":
		return v.T("15 to 30 days left")
	case "60":
		return v.T("31 to 60 days left")
	}
	return v.T("more than 60 days left")
}

// leftLabels are the names of the bars at the axis of the days left.
var leftLabels = map[string]string{"now": "0", "7": "1–7", "14": "8–14", "30": "15–30", "60": "31–60", "more": "> 60"}

// A leftChart shows the roll-overs at risk by the days left. Heights are proportional to the numbers.
type leftChart struct {
	text     string // describes the picture
	drawings []leftDrawing
}

// A leftDrawing is the chart at one width.
type leftDrawing struct {
	class              string
	width, left, right float64
	ticks              []tick
	bars               []leftBar
}

// A leftBar is a bar with its name below and its number above.
type leftBar struct {
	chartBar
	middle     float64
	name, path string
}

func (v *view) leftChart(b boardOf) leftChart {
	return leftChart{v.T("Roll-overs at risk by the days left. The table below has the numbers."), []leftDrawing{
		v.drawLeft(b, leftDrawing{class: "wide", width: 720, left: 48, right: 716}),
		v.drawLeft(b, leftDrawing{class: "narrow", width: 340, left: 40, right: 336})}}
}

// drawLeft draws the bars between the left and the right of a drawing.
func (v *view) drawLeft(b boardOf, d leftDrawing) leftDrawing {
	most := 0
	for _, l := range b.counts.Left {
		most = max(most, l.Count)
	}
	step := tickStep(most)
	top := step * max(1, (most+step-1)/step)
	scale := (chartBase - chartTop) / float64(top)
	for n := 0; n <= top; n += step {
		d.ticks = append(d.ticks, tick{chartBase - float64(n)*scale, v.N(n)})
	}
	slot := (d.right - d.left) / float64(len(b.counts.Left))
	for i, l := range b.counts.Left {
		bar := leftBar{middle: d.left + slot*(float64(i)+.5), name: leftLabels[l.Left]}
		bar.class = "delivered"
		if l.Left == "now" || l.Left == "7" {
			bar.class = "failed"
		}
		bar.width, bar.height = slot*.6, float64(l.Count)*scale
		bar.x, bar.y = bar.middle-bar.width/2, chartBase-bar.height
		bar.title = v.leftText(l.Left) + ": " + v.N(l.Count)
		if l.Count > 0 {
			bar.label, bar.path = v.N(l.Count), b.path+"?left="+l.Left
			if d.class == "narrow" {
				bar.label = v.short(l.Count)
			}
		}
		d.bars = append(d.bars, bar)
	}
	return d
}

// boardPath returns the path of a view of the board.
func boardPath(b boardOf, view string) string {
	if view == boardColumnsView {
		return b.path
	}
	return b.path + "?by=" + view
}

// cardMark returns the mark of what is known of a generation: a proof, or else what a person or a test claims.
func cardMark(g client.RolloverKnowledge) proofMark {
	if m := verdictMark(g); m != "" || g.ClaimedAt.IsZero() {
		return m
	}
	return markOf(g.ClaimedBy)
}

// cardEvidence returns what is known of a generation in a few words.
func (v *view) cardEvidence(g client.RolloverKnowledge) string {
	switch {
	case g.Verdict == "" && g.ClaimedBy == rollover.Person && !g.ClaimedAt.IsZero():
		return v.T("said by a person")
	case g.Verdict == "":
		return v.T("no answer yet")
	}
	return evidence(v, g)
}

// timeLeft returns the days until the deadline of a roll-over at risk.
func (v *view) timeLeft(r client.Rollover) stateOf {
	switch {
	case r.Exposed:
		return stateOf{"bad", v.T("no days left")}
	case r.DaysLeft <= 30:
		return stateOf{"bad", v.T("%s left", v.Days(r.DaysLeft))}
	}
	return stateOf{"wait", v.T("%s left", v.Days(r.DaysLeft))}
}

// boardHostHeads returns the columns of the receivers. A tenant sees no counterparty and no other tenant.
func boardHostHeads(v *view, b boardOf) []head {
	heads := []head{column(v.T("Host"))}
	if b.fleet {
		heads = append(heads, column(v.T("Counterparty")), number(v.T("Tenants")))
	}
	return append(heads, number(v.T("Arrangements")), column(v.T("Deadline")), column(v.T("State")))
}
