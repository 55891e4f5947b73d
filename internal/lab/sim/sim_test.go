package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// many simulates many more seeds: make properties
var many = flag.Bool("many", false, "simulate many more fleets")

func config(t testing.TB, preset string, strategy tenancy.Strategy, tenants int) Config {
	t.Helper()
	p, err := policy.Preset(preset)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Policy: p, Strategy: strategy, Tenants: tenants, Arrangements: 3, Years: 3,
		Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Seed: 1,
		Receivers: Receivers{CA: 0.3, Subject: 0.1, Pin: 0.6}, Orders: Orders{0.5, 0.5}, ReactionMin: 3 * policy.Day,
		ReactionMax: 45 * policy.Day, Idle: 0.05, Interval: time.Hour,
	}
}

func simulate(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r *Result) string {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %v", data, r.FailedByMonth)
}

// inMode returns the result of a simulation in another mode.
func inMode(t *testing.T, c Config, m mode) string {
	t.Helper()
	r, err := run(t.Context(), c, m)
	if err != nil {
		t.Fatal(err)
	}
	return text(t, r)
}

func TestASeedGivesTheSameResultOnAnyNumberOfCores(t *testing.T) {
	c := config(t, "sap-c4c", tenancy.Adaptive, 4)
	c.Years, c.Arrangements, c.Receivers = 2, 2, Receivers{CA: 0.1, Pin: 0.3, Follow: 0.3, Guard: 0.3}
	first := inMode(t, c, mode{shard: 1})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if second := inMode(t, c, mode{shard: 3}); second != first {
		t.Errorf("on one core:\n%s\nbefore:\n%s", second, first)
	}
	c.Seed = 2
	if other := inMode(t, c, mode{shard: 4}); other == first {
		t.Error("another seed gives the same result")
	}
}

// The simulation calls the engine only at the hours at which it has something to do.
func TestCallingTheEngineEveryHourChangesNothing(t *testing.T) {
	c := config(t, "perennial", tenancy.Adaptive, 2)
	c.Years, c.Idle, c.Arrangements, c.Receivers = 1, 0.3, 3, Receivers{Pin: 0.4, Follow: 0.3, Guard: 0.3}
	hourly := inMode(t, c, mode{shard: 1, checks: everyHour})
	if seldom := inMode(t, c, mode{shard: 1, checks: whenDue}); hourly != seldom {
		t.Errorf("every hour:\n%s\nseldom:\n%s", hourly, seldom)
	}
}

func TestWhileSomeGenerationIsAcceptedOnlyImmediateFails(t *testing.T) {
	for _, validity := range []time.Duration{47 * policy.Day, 398 * policy.Day} {
		for _, strategy := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive} {
			c := config(t, "sap-c4c", strategy, 2)
			c.Years, c.Idle, c.Receivers = 2, 0.4, Receivers{Pin: 1}
			c.Policy.Validity = validity
			if validity == 47*policy.Day {
				c.Policy, c.Years = weekly, 1
			}
			r := simulate(t, c)
			if got := r.FailedWhileAccepted; (got > 0) != (strategy == tenancy.Immediate) {
				t.Errorf("%s, %s: %d messages failed while some generation was accepted", strategy, r.Validity, got)
			}
			if r.Failed == 0 || r.ExpiredInUse != 0 {
				t.Errorf("%s, %s: %s", strategy, r.Validity, text(t, r))
			}
		}
	}
}

// The first certificates are valid for longer than those that the policy issues, so they expire after their successors.
// Receivers that still accept them get them again if a later generation is not installed in time.
func TestACertificateThatOutlivesItsSuccessorsIsStillPresented(t *testing.T) {
	c := config(t, "short-lived", tenancy.Adaptive, 20)
	c.Arrangements, c.Years, c.Idle, c.Receivers, c.Orders = 1, 1, 0.2, Receivers{Pin: 1}, Orders{Add: 1}
	if r := simulate(t, c); r.FailedWhileAccepted != 0 || r.Failed == 0 {
		t.Errorf("%s", text(t, r))
	}
}

// weekly is a policy for 47-day certificates, whose warning comes only a week before the renewal.
var weekly = policy.Policy{
	Name: "weekly", Schedule: policy.Schedule{Every: policy.Week, Weekday: time.Monday, Zone: time.UTC},
	RenewWithin: policy.Days(16), WarnFrom: policy.Days(16), WarnTo: policy.Days(23), Validity: 47 * policy.Day,
}

func TestReceiversThatTrustTheCANeverNoticeARenewal(t *testing.T) {
	c := config(t, "sap-c4c", tenancy.Immediate, 6)
	c.Receivers = Receivers{CA: 0.5, Subject: 0.5}
	if r := simulate(t, c); r.Failed != 0 || r.Renewals < 15 || r.CutOvers != r.Renewals*c.Arrangements {
		t.Error(text(t, r))
	}
}

// Certificates of 47 days are renewed so often that administrators are too slow. In this test, none of them acts.
func TestReceiversThatFollowTheirFeedOrHaveAGuardLoseNoMessageWithAnyStrategy(t *testing.T) {
	for name, receivers := range map[string]Receivers{"feed": {Follow: 1}, "guard": {Guard: 1}} {
		for _, strategy := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive} {
			c := config(t, "short-lived", strategy, 2)
			c.Receivers, c.Steady, c.Arrangements, c.Years, c.Idle = receivers, true, 1, 1, 1
			if r := simulate(t, c); r.Failed != 0 || r.Held != 0 || r.Renewals < 2*10 || r.CutOvers < 9*r.Renewals/10 {
				t.Errorf("%s, %s: %s", name, strategy, text(t, r))
			}
		}
	}
}

func TestAGuardUnderstandsTheRenewalsOfEveryPolicy(t *testing.T) {
	for _, p := range policy.Presets() {
		c := config(t, p.Name, tenancy.Immediate, 4)
		c.Receivers, c.Steady, c.Arrangements = Receivers{Guard: 1}, true, 1
		if r := simulate(t, c); r.Failed != 0 || r.Held != 0 || r.Renewals < 4 {
			t.Errorf("%s: %s", p.Name, text(t, r))
		}
	}
}

// A fleet that changes from certificates of a year to those of 47 days renews several times in the window in which the
// successor of the last long certificate is expected. The rule accepts the first one.
func TestAGuardAsksAPersonIfSeveralSuccessorsFollowOneCertificate(t *testing.T) {
	c := config(t, "short-lived", tenancy.Immediate, 3)
	c.Receivers, c.Arrangements, c.Years, c.Idle = Receivers{Guard: 1}, 1, 2, 0
	c.ReactionMin, c.ReactionMax = policy.Day, policy.Day
	r := simulate(t, c)
	if r.Held == 0 || r.Failed == 0 || r.Failed > int64(r.Held*3*24) {
		t.Errorf("a person who reacts in a day: %s", text(t, r))
	}
	c.ReactionMax = 20 * policy.Day
	if slow := simulate(t, c); slow.Failed <= r.Failed {
		t.Errorf("a slower person loses fewer messages: %s", text(t, slow))
	}
}

// The fleet and its people are the same, and only the way of the notice differs.
func TestAdministratorsWhoAreMailedAreReadyEarlierThanThoseWhoWaitForAKeyUser(t *testing.T) {
	results := map[Notified]*Result{}
	for _, how := range []Notified{AtOnce, Forwarded, Mailed} {
		c := config(t, "perennial", tenancy.Adaptive, 20)
		c.Years, c.Notified, c.Forgotten, c.ForwardMin, c.ForwardMax = 2, how, 0.1, policy.Day, 14*policy.Day
		results[how] = simulate(t, c)
	}
	mailed, forwarded := results[Mailed], results[Forwarded]
	if mailed.AtThirtyDays < 40 || mailed.AtThirtyDays != forwarded.AtThirtyDays ||
		mailed.ReadyAtThirtyDays <= forwarded.ReadyAtThirtyDays ||
		mailed.ReadyAtThirtyDays != results[AtOnce].ReadyAtThirtyDays {
		t.Errorf("ready are %d of %d, and if key users forward, %d of %d", mailed.ReadyAtThirtyDays, mailed.AtThirtyDays,
			forwarded.ReadyAtThirtyDays, forwarded.AtThirtyDays)
	}
	// Every renewal is announced, and reported with the certificate, to each of three administrators.
	if least := 2 * 3 * mailed.Renewals; mailed.AdministratorMails < least || forwarded.AdministratorMails != 0 {
		t.Errorf("%d renewals caused %d mails to administrators, and %d if key users forward", mailed.Renewals,
			mailed.AdministratorMails, forwarded.AdministratorMails)
	}
}

func TestInTheSteadyStateNoCertificateIsOlderThanThePolicyAllows(t *testing.T) {
	c := config(t, "perennial", tenancy.Adaptive, 100)
	c.Steady = true
	earliest, latest := c.firstExpiry()
	if earliest != 93*policy.Day || latest != c.Policy.Validity {
		t.Errorf("%s to %s", earliest, latest)
	}
	c = config(t, "short-lived", tenancy.Immediate, 5)
	c.Steady, c.Years, c.Receivers = true, 1, Receivers{CA: 1}
	if r := simulate(t, c); r.Renewals < 5*11 { // one every 32 days: 47, and 15 are left
		t.Errorf("%d renewals", r.Renewals)
	}
}

// If every receiver pins, and every administrator reacts ten days after the notice in the daytime, the failures under
// the strategy immediate can be computed: every message from the renewal to the installation.
func TestImmediateFailsUntilTheCertificateIsInstalled(t *testing.T) {
	c := config(t, "sap-c4c", tenancy.Immediate, 10)
	c.Receivers, c.Idle, c.ReactionMin, c.ReactionMax = Receivers{Pin: 1}, 0, 10*policy.Day, 10*policy.Day
	r := simulate(t, c)
	unwarned, warned := r.Renewals-r.WarnedRenewals, r.WarnedRenewals
	// Administrators who were warned install it on the day of the renewal, the others ten days later.
	low := time.Duration(unwarned*c.Arrangements)*(10*policy.Day+opens*time.Hour) +
		time.Duration(warned*c.Arrangements)*opens*time.Hour
	high := low + time.Duration(r.Renewals*c.Arrangements)*(closes-opens)*time.Hour
	low -= time.Duration(r.Renewals*c.Arrangements) * runTakes // the renewal was five minutes after midnight
	low -= 10 * policy.Day * 3                                 // the last installations may be after the end
	if r.OutageHours < low.Hours() || r.OutageHours > high.Hours() {
		t.Errorf("%v hours without delivery, want %v to %v", r.OutageHours, low.Hours(), high.Hours())
	}
	if math.Abs(float64(r.Failed)-r.OutageHours) > float64(r.Renewals*c.Arrangements) || r.Failed != r.FailedByRenewal ||
		r.Failed != r.FailedWhileAccepted {
		t.Error(text(t, r))
	}
	var sum int64
	for _, n := range r.FailedByMonth {
		sum += n
	}
	if sum != r.Failed {
		t.Errorf("%d failed, and %d by month", r.Failed, sum)
	}
}

func TestTheShareOfWarnedRenewalsIsThatOfThePolicysAudit(t *testing.T) {
	for _, name := range []string{"sap-c4c", "perennial"} {
		c := config(t, name, tenancy.Immediate, 12)
		c.Arrangements, c.Years, c.Receivers = 1, 8, Receivers{CA: 1}
		report, err := policy.Audit(c.Policy)
		if err != nil {
			t.Fatal(err)
		}
		r := simulate(t, c)
		// The first renewals replace certificates that the job did not issue.
		got := 1 - float64(r.WarnedRenewals)/float64(r.Renewals)
		first := float64(c.Tenants) / float64(r.Renewals)
		want := report.SteadyState.Share*(1-first) + report.Single.Share*first
		if math.Abs(got-want) > 0.1 {
			t.Errorf("%s: %.3f of the renewals come without a warning, %.3f according to the audit", name, got, want)
		}
	}
}

func TestACertificateThatLivesLongerThanThePolicyIssuesIsWarnedAbout(t *testing.T) {
	c := config(t, "short-lived", tenancy.Adaptive, 4)
	c.Policy.Validity, c.Years = 47*policy.Day, 3
	if r := simulate(t, c); r.WarnedRenewals != r.Renewals || r.Renewals < 4*20 {
		t.Errorf("%d of %d renewals were warned about", r.WarnedRenewals, r.Renewals)
	}
}

// The policy renews when 131 days are left, and the first certificates expire from 93 days after the start on.
func TestACertificateThatIsDueAtTheStartIsRenewedInTheFirstRun(t *testing.T) {
	c := config(t, "short-lived", tenancy.Adaptive, 3)
	c.Policy.Validity, c.Years, c.Arrangements = 398*policy.Day, 1, 1
	if r := simulate(t, c); r.Renewals < 3 || r.WarnedRenewals >= r.Renewals {
		t.Error(text(t, r))
	}
}

func TestMessagesAreCountedAsASenderSendsThem(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := sender{start.Add(7 * time.Minute), 13 * time.Minute}
	var sent int64
	for at := start; at.Before(start.Add(3 * time.Hour)); at = at.Add(time.Minute) {
		if got := s.sentBefore(at); got != sent {
			t.Fatalf("%s: %d sent, want %d", at, got, sent)
		}
		if at.Equal(s.next(at)) {
			sent++
		}
	}
	if sent != 14 {
		t.Errorf("%d messages", sent)
	}
}

func TestAdministratorsActInTheDaytime(t *testing.T) {
	c := config(t, "perennial", tenancy.Adaptive, 1)
	renewed := time.Date(2026, 5, 1, 0, 5, 0, 0, time.UTC)
	for n := range 500 {
		p := c.planFor(draws(1, n, 1, 2), renewed.AddDate(0, 0, -30), renewed)
		if h := p.at.Hour(); h < opens || h >= closes || p.at.Before(renewed) || p.at.After(renewed.AddDate(0, 0, 17)) {
			t.Errorf("acts at %s", p.at)
		}
	}
}

func TestAConfigurationThatCannotBeSimulatedIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"a strategy that waits for a person": func(c *Config) { c.Strategy = tenancy.Manual },
		"no tenants":                         func(c *Config) { c.Tenants = 0 },
		"too many arrangements":              func(c *Config) { c.Arrangements = 3000 },
		"no years":                           func(c *Config) { c.Years = 0 },
		"shares that are not one":            func(c *Config) { c.Receivers.Pin = 0.7 },
		"a negative share":                   func(c *Config) { c.Orders = Orders{-1, 2} },
		"not a number":                       func(c *Config) { c.Idle = math.NaN() },
		"a reaction that ends before":        func(c *Config) { c.ReactionMax = 1 },
		"a flood":                            func(c *Config) { c.Interval = 1 },
		"an unsound policy":                  func(c *Config) { c.Policy.RenewWithin = policy.Days(5) },
	} {
		c := config(t, "perennial", tenancy.Adaptive, 1)
		spoil(&c)
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestFleetsOfManySeedsKeepThePromise(t *testing.T) {
	seeds := 3
	if *many {
		seeds = 200
	}
	renewals := 0
	for seed := range seeds {
		r := draws(uint64(seed), 0, 0, 0)
		c := config(t, []string{"perennial", "sap-c4c", "sap-c4c-60", "sap-c4c-92", "short-lived"}[r.IntN(5)],
			tenancy.Adaptive, 2)
		c.Years = 2
		c.Seed, c.Idle, c.Orders = uint64(seed), r.Float64(), Orders{Add: 1}
		if add := r.Float64(); add < 1 {
			c.Orders = Orders{add, 1 - add}
		}
		c.Policy.Validity = time.Duration(94+r.IntN(305)) * policy.Day
		c.ReactionMax = c.ReactionMin + time.Duration(r.IntN(120))*policy.Day
		got := simulate(t, c)
		renewals += got.Renewals
		if got.FailedWhileAccepted != 0 || got.ExpiredInUse != 0 {
			t.Errorf("seed %d: %s", seed, text(t, got))
		}
	}
	if renewals < 4*seeds { // two tenants over two years
		t.Errorf("%d renewals with %d seeds: this checks too little", renewals, seeds)
	}
}

func BenchmarkAdaptive(b *testing.B) {
	c := config(b, "perennial", tenancy.Adaptive, 250)
	for b.Loop() {
		if _, err := Run(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
