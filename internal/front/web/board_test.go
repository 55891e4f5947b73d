package web

import (
	"math"
	"testing"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
)

func TestTheChartOfTheDaysLeftIsToScaleAndLeadsToItsLists(t *testing.T) {
	v := &view{lang: "en"}
	b := boardOf{path: "/rollovers", counts: client.RolloverBoard{Left: []client.BoardLeft{{Left: "now", Count: 2},
		{Left: "7"}, {Left: "14", Count: 2170}, {Left: "30"}, {Left: "60"}, {Left: "more", Count: 1085}}}}
	for _, d := range v.leftChart(b).drawings {
		few, none, many, half := d.bars[0], d.bars[1], d.bars[2], d.bars[5]
		if math.Abs(many.height-1085*few.height) > .001 || math.Abs(many.height-2*half.height) > .001 {
			t.Errorf("%s: the heights are %f, %f and %f", d.class, few.height, many.height, half.height)
		}
		if many.y < chartTop || math.Abs(many.y+many.height-chartBase) > .001 || d.ticks[0].label != "0" {
			t.Errorf("%s: %+v with the axis %+v", d.class, many, d.ticks)
		}
		if few.path != "/rollovers?left=now" || none.path != "" || few.label != "2" || none.label != "" {
			t.Errorf("%s: %+v, %+v", d.class, few, none)
		}
	}
}

func TestACardShowsAProofBeforeAClaim(t *testing.T) {
	v, at := &view{lang: "en"}, renewedAt
	for _, c := range []struct {
		g    client.RolloverKnowledge
		mark proofMark
		text string
	}{
		{client.RolloverKnowledge{}, "", "no answer yet"},
		{client.RolloverKnowledge{ClaimedBy: rollover.Person, ClaimedAt: at}, byPerson, "said by a person"},
		{client.RolloverKnowledge{Verdict: rollover.Refused, Source: rollover.Probe, Answer: "401 Unauthorized",
			ClaimedBy: rollover.Person, ClaimedAt: at}, isRefused, "401 Unauthorized (test)"},
		{client.RolloverKnowledge{Verdict: rollover.Accepted, Source: rollover.Traffic, Answer: "200 OK"}, byMessages,
			"200 OK (message)"},
		{client.RolloverKnowledge{Verdict: rollover.Accepted, Source: rollover.Probe, Answer: "200 OK"}, byQuestion,
			"200 OK (test)"},
	} {
		if mark, text := cardMark(c.g), v.cardEvidence(c.g); mark != c.mark || text != c.text {
			t.Errorf("%+v: %s %q, want %s %q", c.g, mark, text, c.mark, c.text)
		}
	}
}
