package web

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

func TestRulesAreDescribedInTheReadersLanguage(t *testing.T) {
	english, german := &view{lang: "en"}, &view{lang: "de"}
	monthly, err := policy.Preset(policy.Default)
	if err != nil {
		t.Fatal(err)
	}
	shares, err := policy.Preset("short-lived")
	if err != nil {
		t.Fatal(err)
	}
	monday := policy.Schedule{Every: policy.Week, Weekday: time.Monday, Hour: 6, Zone: time.UTC}
	for _, c := range []struct{ got, want string }{
		{english.schedule(monthly.Schedule), "on day 1 of every month at 00:00 UTC"},
		{german.schedule(monthly.Schedule), "am 1. jedes Monats um 00:00 UTC"},
		{english.schedule(monday), "every Monday at 06:00 UTC"},
		{german.schedule(monday), "jeden Montag um 06:00 UTC"},
		{german.schedule(shares.Schedule), "täglich um 00:00 UTC"},
		{english.warns(monthly), "with 60 days to 93 days left"},
		{german.renews(monthly), "höchstens 62 Tage vor Ablauf"},
		{english.renews(shares), "with at most 33 % of the lifetime left"},
		{german.span(policy.Share(0.125)), "12,5 % der Laufzeit"},
		{german.span(policy.Span{Fixed: 36 * time.Hour}), "36h"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
