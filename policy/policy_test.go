package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func preset(t testing.TB, name string) Policy {
	t.Helper()
	p, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// year returns the validity of a certificate of one year that expires at the instant.
func year(notAfter time.Time) Validity { return Validity{notAfter.AddDate(-1, 0, 0), notAfter} }

func TestDecideKeepsBothBoundsOfTheWindows(t *testing.T) {
	run := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		policy string
		left   time.Duration
		want   Action
	}{
		{"sap-c4c", -time.Second, Expired},
		{"sap-c4c", 0, Renew},
		{"sap-c4c", 59 * Day, Renew},
		{"sap-c4c", 60 * Day, Renew}, // both at once: renewing wins
		{"sap-c4c", 62 * Day, Renew},
		{"sap-c4c", 62*Day + time.Second, Warn},
		{"sap-c4c", 90 * Day, Warn},
		{"sap-c4c", 90*Day + time.Second, Wait},
		{"sap-c4c-60", 60 * Day, Renew},
		{"sap-c4c-60", 60*Day + time.Second, Warn},
		{"sap-c4c-60", 90 * Day, Warn},
		{"sap-c4c-92", 62 * Day, Renew},
		{"sap-c4c-92", 92 * Day, Warn},
		{"sap-c4c-92", 92*Day + time.Second, Wait},
		{"perennial", 93 * Day, Warn},
		{"perennial", 93*Day + time.Second, Wait},
	} {
		if got := preset(t, c.policy).Decide(year(run.Add(c.left)), run); got != c.want {
			t.Errorf("%s with %s left: %s, want %s", c.policy, c.left, got, c.want)
		}
	}
}

// Every expiry instant of four years (one of them a leap year), hour by hour, is compared with a plain walk over the
// runs that does not use the horizon.
func TestEveryExpiryOfFourYearsIsRenewedBeforeItExpires(t *testing.T) {
	for _, p := range Presets() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			var runs []time.Time
			for run := p.Schedule.Next(epoch.AddDate(-2, 0, 0)); run.Before(epoch.AddDate(4, 1, 0)); run = p.Schedule.Next(run) {
				runs = append(runs, run)
			}
			surprises := 0
			for notAfter := epoch; notAfter.Before(epoch.AddDate(4, 0, 0)); notAfter = notAfter.Add(time.Hour) {
				v := Validity{notAfter.Add(-p.Validity), notAfter}
				var want []Event
				first, _ := slices.BinarySearchFunc(runs, v.NotBefore, time.Time.Compare)
				for _, run := range runs[first:] {
					left := notAfter.Sub(run)
					within, from, to := p.RenewWithin.Of(p.Validity), p.WarnFrom.Of(p.Validity), p.WarnTo.Of(p.Validity)
					if left <= within {
						want = append(want, Event{run, Renew, left.Hours() / 24})
						break
					}
					if left >= from && left <= to && (!p.WarnOnce || len(want) == 0) {
						want = append(want, Event{run, Warn, left.Hours() / 24})
					}
				}
				f := p.Forecast(v, v.NotBefore)
				if !slices.Equal(f.Events, want) {
					t.Fatalf("expiry %s: events %v, want %v", notAfter, f.Events, want)
				}
				last := f.Events[len(f.Events)-1]
				if last.Action != Renew || last.At.After(notAfter) {
					t.Fatalf("expiry %s is not renewed in time: %v", notAfter, f.Events)
				}
				if f.Surprise != (len(f.Events) == 1) {
					t.Fatalf("expiry %s: surprise is %v with %v", notAfter, f.Surprise, f.Events)
				}
				if f.Surprise {
					surprises++
				}
			}
			if none := p.Name == "perennial" || p.Name == "short-lived"; none != (surprises == 0) {
				t.Errorf("%d renewals without a warning", surprises)
			}
		})
	}
}

func TestShortLivedCertificatesOf7To90DaysAreWarnedAboutBeforeEveryRenewal(t *testing.T) {
	p := preset(t, "short-lived")
	for days := 7; days <= 90; days++ {
		p.Validity = time.Duration(days) * Day
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		for h := range 24 * 7 {
			notBefore := epoch.Add(time.Duration(h) * time.Hour)
			v := Validity{notBefore, notBefore.Add(p.Validity)}
			if f := p.Forecast(v, notBefore); f.Surprise || f.Events[len(f.Events)-1].Action != Renew {
				t.Fatalf("%d days from %s: %v", days, notBefore, f.Events)
			}
		}
	}
}

func TestAnExpiredCertificateHasOneEvent(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f := preset(t, "perennial").Forecast(year(at.Add(-36*time.Hour)), at)
	if len(f.Events) != 1 || f.Events[0] != (Event{at, Expired, -1.5}) || f.Surprise {
		t.Errorf("got %+v", f)
	}
}

// A job that runs late decides by its run date, not by the clock.
func TestARunDateDecidesTheSameHoweverLateItRuns(t *testing.T) {
	p := preset(t, "perennial")
	run := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	late := run.Add(40 * Day)
	v := year(run.Add(93 * Day))
	if got := p.Decide(v, run); got != Warn {
		t.Errorf("at its date: %s", got)
	}
	if got := p.Decide(v, late); got != Renew {
		t.Errorf("the run after the outage: %s", got)
	}
}

func genSchedule(t *rapid.T) Schedule {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo",
		"America/Santiago", "Pacific/Apia", "Asia/Beirut"}
	zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	return Schedule{
		Every: rapid.SampledFrom([]Every{Month, Week, Daily}).Draw(t, "every"), Day: rapid.IntRange(1, 31).Draw(t, "day"),
		Weekday: time.Weekday(rapid.IntRange(0, 6).Draw(t, "weekday")), Hour: rapid.IntRange(0, 23).Draw(t, "hour"),
		Minute: rapid.IntRange(0, 59).Draw(t, "minute"), Zone: zone,
	}
}

func genInstant(t *rapid.T) time.Time {
	return epoch.Add(time.Duration(rapid.Int64Range(0, 20*365*86400).Draw(t, "instant")) * time.Second)
}

func TestRunsOfAScheduleAreRegularInEveryZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, at := genSchedule(t), genInstant(t)
		next, latest := s.Next(at), s.Latest(at)
		if !next.After(at) || latest.After(at) {
			t.Fatalf("next %s and latest %s around %s", next, latest, at)
		}
		if s.Next(latest) != next {
			t.Fatalf("a run lies between %s and %s", latest, next)
		}
		if s.Latest(next) != next {
			t.Fatalf("%s is not a run itself", next)
		}
		if gap := next.Sub(latest); gap > longestPeriod[s.Every] {
			t.Fatalf("%s between two runs", gap)
		}
		if local := next.In(s.Zone); s.Every == Month && local.Day() != s.Day && local.AddDate(0, 0, 1).Day() != 1 &&
			local.Day() != s.Day+1 {
			t.Fatalf("day %d became %s", s.Day, local)
		}
	})
}

func TestTimesOfDayAroundDaylightSaving(t *testing.T) {
	zone := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	for _, c := range []struct {
		name     string
		schedule Schedule
		after    string
		want     string
	}{
		{"skipped: the first instant after the gap", Schedule{Every: Daily, Hour: 2, Minute: 30,
			Zone: zone("Europe/Berlin")}, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"twice: the first time", Schedule{Every: Daily, Hour: 2, Minute: 30, Zone: zone("Europe/Berlin")},
			"2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"the day after", Schedule{Every: Daily, Hour: 2, Minute: 30, Zone: zone("Europe/Berlin")},
			"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"midnight is skipped", Schedule{Every: Daily, Zone: zone("America/Santiago")}, "2026-09-05T12:00:00Z",
			"2026-09-06T04:00:00Z"},
		{"half an hour of daylight saving", Schedule{Every: Daily, Hour: 2, Minute: 15, Zone: zone("Australia/Lord_Howe")},
			"2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		{"day 31 in February", Schedule{Every: Month, Day: 31, Zone: time.UTC}, "2027-02-01T00:00:00Z",
			"2027-02-28T00:00:00Z"},
		{"day 29 in a leap year", Schedule{Every: Month, Day: 29, Zone: time.UTC}, "2028-02-01T00:00:00Z",
			"2028-02-29T00:00:00Z"},
		{"day 29 in another year", Schedule{Every: Month, Day: 29, Zone: time.UTC}, "2027-02-01T00:00:00Z",
			"2027-02-28T00:00:00Z"},
		{"day 30 in April", Schedule{Every: Month, Day: 31, Zone: time.UTC}, "2027-04-01T00:00:00Z", "2027-04-30T00:00:00Z"},
		{"weekly", Schedule{Every: Week, Weekday: time.Monday, Hour: 6, Zone: time.UTC}, "2026-11-24T00:00:00Z",
			"2026-11-30T06:00:00Z"},
		{"exactly at a run: the next one", Schedule{Every: Month, Day: 1, Zone: time.UTC}, "2026-11-01T00:00:00Z",
			"2026-12-01T00:00:00Z"},
	} {
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := c.schedule.Next(after).Format(time.RFC3339); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// longestPeriod bounds the time between two runs, whatever the zone.
var longestPeriod = map[Every]time.Duration{Month: 31*Day + 25*time.Hour, Week: 7*Day + 25*time.Hour,
	Daily: 2*Day + time.Hour}

// genPolicy draws a policy with valid windows. Its renewals fit every period between two runs, or only a part of one,
// so that about half of the policies are sound.
func genPolicy(t *rapid.T) Policy {
	hours := func(label string, from, to time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(from/time.Hour), int64(to/time.Hour)).Draw(t, label)) * time.Hour
	}
	p := Policy{Name: "drawn", Schedule: genSchedule(t)}
	period := longestPeriod[p.Schedule.Every]
	renew := hours("renew", time.Hour, period/2)
	if rapid.Bool().Draw(t, "generous") {
		renew = hours("generous renew", period-25*time.Hour, period+20*Day)
	}
	from := hours("from", 0, renew)
	to := renew + hours("to", time.Hour, 60*Day)
	p.RenewWithin, p.WarnFrom, p.WarnTo = Span{Fixed: renew}, Span{Fixed: from}, Span{Fixed: to}
	p.Validity = to + hours("validity", time.Hour, 400*Day)
	if rapid.Bool().Draw(t, "spread") {
		p.Spread = hours("spread length", 0, 12*time.Hour)
	}
	return p
}

// The guarantee of the package, for policies of every kind: an accepted policy renews every certificate before it
// expires, and an error about an unsound one shows a certificate that does expire.
func TestAcceptedPoliciesLetNothingExpireAndRefusedOnesShowWhatWould(t *testing.T) {
	var drawn, accepted, unsound int
	rapid.Check(t, func(t *rapid.T) {
		p := genPolicy(t)
		drawn++
		err := p.Check()
		var example *UnsoundError
		switch {
		case errors.As(err, &example):
			unsound++
			from := example.NotAfter.Add(-p.Validity)
			if p.Spread == 0 {
				f := p.Forecast(Validity{from, example.NotAfter}, from)
				if last := f.Events[len(f.Events)-1]; last.Action != Expired {
					t.Fatalf("the counter-example %s is renewed: %v", example.NotAfter, f.Events)
				}
			}
			if !strings.Contains(err.Error(), example.NotAfter.Format(time.RFC3339)) {
				t.Fatalf("the message does not contain the date: %v", err)
			}
			if p.Schedule.Next(example.Before).Add(p.Spread) != example.After || !example.NotAfter.Before(example.After) ||
				example.NotAfter.Sub(example.Before) != example.Left || example.Left <= p.RenewWithin.Of(p.Validity) {
				t.Fatalf("the counter-example is none: %+v", example)
			}
		case err == nil:
			accepted++
			for range 20 {
				notAfter := genInstant(t)
				from := notAfter.Add(-p.Validity)
				f := p.Forecast(Validity{from, notAfter}, from)
				if last := f.Events[len(f.Events)-1]; last.Action != Renew || last.At.Add(p.Spread).After(notAfter) {
					t.Fatalf("a certificate that expires at %s would not be renewed: %v", notAfter, f.Events)
				}
			}
		default:
			t.Fatalf("a policy with valid windows: %v", err)
		}
	})
	if accepted < drawn/4 || unsound < drawn/4 {
		t.Errorf("of %d policies %d were accepted and %d unsound: this checks too little", drawn, accepted, unsound)
	}
}

func TestManualRenewalIsRefusedUntilThePolicyWarns(t *testing.T) {
	p := preset(t, "perennial")
	v := year(time.Date(2027, 1, 15, 6, 0, 0, 0, time.UTC))
	from := v.NotAfter.Add(-93 * Day)
	if ok, at := p.MayRenewByHand(v, from.Add(-time.Second)); ok || at != from {
		t.Errorf("a second early: %v, %s", ok, at)
	}
	if ok, _ := p.MayRenewByHand(v, from); !ok {
		t.Error("refused although the policy warns")
	}
}

func TestASpreadMustLeaveTimeForEveryRenewal(t *testing.T) {
	p, err := Preset(Default)
	if err != nil {
		t.Fatal(err)
	}
	for spread, sound := range map[time.Duration]bool{0: true, 6 * time.Hour: true, 27 * Day: true, 28 * Day: false,
		-time.Hour: false} {
		p.Spread = spread
		if err := p.Check(); (err == nil) != sound {
			t.Errorf("spread %v: %v", spread, err)
		}
		if again, err := Read(strings.NewReader(p.YAML())); spread >= 0 && (err != nil || again.Spread != spread) {
			t.Errorf("spread %v is read as %v, %v", spread, again.Spread, err)
		}
	}
	// A run 33 days before the expiry leaves two days at the next run. A spread of three days would let it expire.
	p.RenewWithin, p.Spread = Days(33), 3*Day
	var unsound *UnsoundError
	if err := p.Check(); !errors.As(err, &unsound) {
		t.Errorf("%v", err)
	}
}
