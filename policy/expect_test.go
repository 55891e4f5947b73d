package policy

import (
	"testing"
	"time"
)

func midnight(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

func aYear(from string) Validity {
	return Validity{NotBefore: midnight(from), NotAfter: midnight(from).Add(365 * Day)}
}

func TestAnOwnerWithAScheduleIsExpectedToRenewInARun(t *testing.T) {
	p := preset(t, "sap-c4c")
	// The certificate expires on 25 December 2026. The run on 1 November is the first with at most 62 days left.
	e := p.Expect(aYear("2025-12-25"))
	for name, times := range map[string][2]time.Time{
		"warning":     {e.WarnAt, midnight("2026-10-01")}, // the owner's own warning, 85 days before the expiry
		"window":      {e.From, midnight("2026-10-24")},
		"renewal":     {e.RenewsAt, midnight("2026-11-01")},
		"overdue":     {e.OverdueAt, midnight("2026-11-04")},
		"end of life": {e.NotAfter, midnight("2026-12-25")},
	} {
		if !times[0].Equal(times[1]) {
			t.Errorf("%s: %s, want %s", name, times[0], times[1])
		}
	}
}

// The published policy warns in no run before some renewals.
func TestAnOwnerWhoDoesNotWarnIsExpectedWithAWarning(t *testing.T) {
	p := preset(t, "sap-c4c")
	surprises := 0
	for i := range 366 {
		v := aYear("2025-01-01")
		v.NotBefore, v.NotAfter = v.NotBefore.Add(time.Duration(i)*Day), v.NotAfter.Add(time.Duration(i)*Day)
		if p.Forecast(v, v.NotBefore).Surprise {
			surprises++
		}
		if e := p.Expect(v); e.RenewsAt.Sub(e.WarnAt) < lead {
			t.Errorf("valid until %s: warned %s before the renewal", v.NotAfter, e.RenewsAt.Sub(e.WarnAt))
		}
	}
	if surprises == 0 {
		t.Error("the policy has no surprise that this test needs")
	}
}

func TestAnOwnerWithoutAScheduleIsExpectedInAWindow(t *testing.T) {
	e := ExpectWithin(Days(93), aYear("2025-12-25"))
	if !e.From.Equal(midnight("2026-09-23")) || !e.WarnAt.Equal(midnight("2026-08-26")) || !e.RenewsAt.IsZero() ||
		!e.OverdueAt.Equal(midnight("2026-12-11")) {
		t.Errorf("%+v", e)
	}
	if e := ExpectWithin(Days(400), aYear("2025-12-25")); !e.From.Equal(midnight("2026-03-26").Add(6 * time.Hour)) {
		t.Errorf("a window that is longer than the lifetime begins on %s", e.From)
	}
}

// A policy that renews too late for a certificate leaves its window.
func TestACertificateThatThePolicyLosesIsExpectedInTheWindow(t *testing.T) {
	p := preset(t, "sap-c4c")
	v := Validity{NotBefore: midnight("2026-03-02"), NotAfter: midnight("2026-03-12")}
	if e := p.Expect(v); !e.RenewsAt.IsZero() || e != ExpectWithin(p.RenewWithin, v) {
		t.Errorf("%+v", e)
	}
}

func TestStagesFollowEachOtherUntilTheExpiry(t *testing.T) {
	p := preset(t, "sap-c4c")
	v := aYear("2025-12-25")
	for name, e := range map[string]Expectation{"run": p.Expect(v), "window": ExpectWithin(Days(93), v)} {
		var stages []Stage
		for at := v.NotBefore; !at.IsZero(); at = e.Next(at) {
			stages = append(stages, e.Stage(at))
			if len(stages) > 9 {
				t.Fatalf("%s: the stages never end: %v", name, stages)
			}
		}
		want := []Stage{StageQuiet, StageSoon, StageDue, StageOverdue, StageExpired}
		if len(stages) != len(want) {
			t.Fatalf("%s: %v, want %v", name, stages, want)
		}
		for i := range want {
			if stages[i] != want[i] {
				t.Errorf("%s: %v, want %v", name, stages, want)
			}
		}
		if s := e.Stage(v.NotAfter); s != StageOverdue { // RFC 5280, section 4.1.2.5: it is valid then
			t.Errorf("%s: at the end of the validity: %s", name, s)
		}
	}
}

// The properties hold for every expiry and for lifetimes from a day to centuries, as far as dates go.
func TestAnExpectationIsInOrder(t *testing.T) {
	checked := 0
	for _, p := range Presets() {
		for _, lifetime := range []time.Duration{Day, 7 * Day, 47 * Day, 90 * Day, 200 * Day, 365 * Day, 1095 * Day,
			1<<63 - 1} {
			for i := range 400 {
				begin := midnight("2026-01-01").Add(time.Duration(i) * 7 * time.Hour)
				v := Validity{NotBefore: begin, NotAfter: begin.Add(lifetime)}
				for _, e := range []Expectation{p.Expect(v), ExpectWithin(p.RenewWithin, v)} {
					checked++
					due := e.RenewsAt
					if due.IsZero() {
						due = e.From
					}
					if e.WarnAt.Before(v.NotBefore) || e.WarnAt.After(due) || e.From.After(due) || e.OverdueAt.Before(due) ||
						e.OverdueAt.After(v.NotAfter) || !e.Covers(due) || e.Covers(v.NotBefore) && lifetime > 90*Day {
						t.Fatalf("%s, %s from %s: %+v", p.Name, lifetime, begin, e)
					}
				}
			}
		}
	}
	if checked < 30000 {
		t.Errorf("only %d expectations were checked", checked)
	}
}

func TestASuccessorFromBeforeTheWindowIsNotExpected(t *testing.T) {
	e := ExpectWithin(Days(93), aYear("2025-12-25"))
	for at, want := range map[time.Time]bool{
		e.From: true, e.From.Add(-Day): true, e.From.Add(-Day - time.Second): false, e.NotAfter.Add(Day): true,
	} {
		if got := e.Covers(at); got != want {
			t.Errorf("begins on %s: %v", at, got)
		}
	}
}
