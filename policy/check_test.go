package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Every bound is tried at both sides: the value at the bound is accepted, and the next one is an error about its key.
func TestAnInvalidValueIsAnErrorWithItsKey(t *testing.T) {
	for _, c := range []struct {
		key      string
		accepted func(*Policy)
		refused  func(*Policy)
	}{
		{"name", func(p *Policy) { p.Name = "a" }, func(p *Policy) { p.Name = "" }},
		{"schedule.every", func(p *Policy) { p.Schedule.Every = Month }, func(p *Policy) { p.Schedule.Every = "year" }},
		{"schedule.day", func(p *Policy) { p.Schedule.Day = 1 }, func(p *Policy) { p.Schedule.Day = 0 }},
		{"schedule.day", func(p *Policy) { p.Schedule.Day = 31 }, func(p *Policy) { p.Schedule.Day = 32 }},
		{"schedule.day", func(p *Policy) { p.Schedule.Every, p.Schedule.Weekday = Week, time.Sunday },
			func(p *Policy) { p.Schedule.Every, p.Schedule.Weekday = Week, time.Sunday-1 }},
		{"schedule.day", func(p *Policy) { p.Schedule.Every, p.Schedule.Weekday = Week, time.Saturday },
			func(p *Policy) { p.Schedule.Every, p.Schedule.Weekday = Week, time.Saturday+1 }},
		{"schedule.at", func(p *Policy) { p.Schedule.Hour = 0 }, func(p *Policy) { p.Schedule.Hour = -1 }},
		{"schedule.at", func(p *Policy) { p.Schedule.Hour = 23 }, func(p *Policy) { p.Schedule.Hour = 24 }},
		{"schedule.at", func(p *Policy) { p.Schedule.Minute = 0 }, func(p *Policy) { p.Schedule.Minute = -1 }},
		{"schedule.at", func(p *Policy) { p.Schedule.Minute = 59 }, func(p *Policy) { p.Schedule.Minute = 60 }},
		{"schedule.zone", func(p *Policy) { p.Schedule.Zone = time.UTC }, func(p *Policy) { p.Schedule.Zone = nil }},
		{"validity", func(p *Policy) { p.Validity = 3650 * Day }, func(p *Policy) { p.Validity = 3650*Day + 1 }},
		{"validity", func(p *Policy) { hourly(p); p.Validity = time.Hour },
			func(p *Policy) { hourly(p); p.Validity = time.Hour - 1 }},
		{"spread", func(p *Policy) { p.Spread = 0 }, func(p *Policy) { p.Spread = -1 }},
		{"spread", func(p *Policy) { p.Schedule.Every, p.Spread = Daily, Day-time.Second },
			func(p *Policy) { p.Schedule.Every, p.Spread = Daily, Day }},
		{"renew_within", func(p *Policy) { p.RenewWithin = Days(62) }, func(p *Policy) { p.RenewWithin = Days(0) }},
		{"renew_within", func(p *Policy) { p.RenewWithin, p.WarnTo = Span{Fixed: 365*Day - 2}, Span{Fixed: 365*Day - 1} },
			func(p *Policy) { p.RenewWithin = Days(365) }},
		{"warn_from", func(p *Policy) { p.WarnFrom = Days(0) }, func(p *Policy) { p.WarnFrom = Span{Fixed: -1} }},
		{"warn_to", func(p *Policy) { p.WarnFrom, p.WarnTo = Days(93), Days(93) },
			func(p *Policy) { p.WarnFrom, p.WarnTo = Span{Fixed: 93*Day + 1}, Days(93) }},
		{"warn_to", func(p *Policy) { p.WarnTo = Span{Fixed: 62*Day + 1} }, func(p *Policy) { p.WarnTo = Days(62) }},
		{"warn_to", func(p *Policy) { p.WarnTo = Span{Fixed: 365*Day - 1} }, func(p *Policy) { p.WarnTo = Days(365) }},
	} {
		p := preset(t, Default)
		c.accepted(&p)
		var problem *KeyError
		if err := p.Check(); errors.As(err, &problem) {
			t.Errorf("%s, at the bound: %v", c.key, err)
		}
		p = preset(t, Default)
		c.refused(&p)
		err := p.Check()
		last := c.key[strings.LastIndex(c.key, ".")+1:]
		if !errors.As(err, &problem) || problem.Key != c.key || !strings.Contains(err.Error(), last) {
			t.Errorf("%s, beyond the bound: %v, %+v", c.key, err, problem)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "policy "+p.Name+": ") {
			t.Errorf("%q does not name the policy", err)
		}
	}
}

// hourly fits the windows into a certificate of an hour.
func hourly(p *Policy) {
	p.Schedule.Every = Daily
	p.RenewWithin, p.WarnFrom, p.WarnTo = Span{Fixed: time.Minute}, Span{}, Span{Fixed: 2 * time.Minute}
}

func TestInvalidDurationsAndSharesAreRefused(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"62d": 62 * Day, "1.5d": 36 * time.Hour, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute, "-1d": -Day, "0d": 0,
		"36500d": 36500 * Day, "-36500d": -36500 * Day,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "NaNd", "36500.5d", "-36500.5d", "Infd", "1y", "62 days"} {
		if got, err := ParseDuration(in); err == nil || got != 0 {
			t.Errorf("%q is read as %s", in, got)
		}
	}
	for in, want := range map[string]Span{"0.33": Share(0.33), "62d": Days(62), "0.999": Share(0.999)} {
		if got, err := ParseSpan(in); err != nil || got != want || got.String() != in {
			t.Errorf("%s: %+v, written as %s, %v", in, got, got, err)
		}
	}
	for _, in := range []string{"0", "1", "1.5", "-0.1", "NaN", "62x"} {
		if got, err := ParseSpan(in); err == nil {
			t.Errorf("%q is read as %+v", in, got)
		}
	}
	if got := Share(1.0 / 3).Of(10 * time.Second); got != 3*time.Second {
		t.Errorf("a third of ten seconds is %s", got)
	}
	if !(Span{}).IsZero() || Days(1).IsZero() || Share(0.1).IsZero() {
		t.Error("IsZero")
	}
	for d, want := range map[time.Duration]string{62 * Day: "62d", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m",
		90 * time.Second: "1m30s", 0: "0d"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%s is written as %s", d, got)
		}
	}
}

func TestNoticesHaveTheSubjectsOfThePublishedRules(t *testing.T) {
	for a, want := range map[Action]string{Warn: "Tenant Certificate is going to expire soon",
		Renew: "Tenant Certificate has been renewed", Wait: "", Expired: ""} {
		if got := a.Subject(); got != want {
			t.Errorf("%s: %q", a, got)
		}
	}
}

func TestTheITContactsAreMailedAsThePolicySays(t *testing.T) {
	p := preset(t, "sap-c4c-92")
	run := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]bool{92 * Day: true, 92*Day + 1: false} {
		if got := p.MailsITContacts(year(run.Add(left)), run); got != want {
			t.Errorf("with %s left: %v", left, got)
		}
	}
	if p := preset(t, Default); p.MailsITContacts(year(run), run) || !p.MailsMUser(time.Time{}) {
		t.Error("the default mails IT contacts about the tenant certificate, or not about the M-user's")
	}
	since := time.Date(2024, 11, 1, 0, 0, 0, 0, time.UTC)
	if p.MailsMUser(since.Add(-1)) || !p.MailsMUser(since) {
		t.Error("mails about the M-user do not begin with November 2024")
	}
}

func TestASpanIsSharedOutOverTheLifetime(t *testing.T) {
	p := Policy{RenewWithin: Share(0.33), WarnTo: Share(0.5)}
	if got := p.Horizon(100 * Day); got != 50*Day {
		t.Errorf("the horizon is %s", got)
	}
	p.RenewWithin = Share(0.6)
	if got := p.Horizon(100 * Day); got != 60*Day {
		t.Errorf("the horizon is %s", got)
	}
}

func TestASchedulesTextNamesItsPeriod(t *testing.T) {
	for _, c := range []struct {
		schedule Schedule
		want     string
	}{
		{Schedule{Every: Month, Day: 2, Hour: 3, Minute: 4, Zone: time.UTC}, "on day 2 of every month at 03:04 UTC"},
		{Schedule{Every: Week, Weekday: time.Friday, Zone: time.UTC}, "every Friday at 00:00 UTC"},
		{Schedule{Every: Daily, Zone: time.UTC}, "every day at 00:00 UTC"},
	} {
		if got := c.schedule.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
