package lifecycle

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// reminders returns the subjects of the reminders to one key user, in order, with their due dates.
func (f *fixture) reminders(t tenancy.Tenant) (subjects []string, due []time.Time) {
	f.t.Helper()
	for _, task := range f.tasks(t) {
		if task.Kind == tenancy.Unready && task.KeyUser == "alice" {
			subjects, due = append(subjects, task.Subject), append(due, task.DueAt)
		}
	}
	return subjects, due
}

// A receiver accepts generation 1 only. It was renewed on December 1st, and again by hand before the receiver took the
// first renewal. The deadline stays that of generation 1, and generation 2, which was never presented, is retired.
func TestASecondRenewalKeepsTheDeadlineOfTheGenerationThatTheReceiverAccepts(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	f.sees(bank, 2, rollover.Refused, rollover.Traffic, date("2026-12-02"))
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "alice", date("2026-12-03"))
	check(t, err)
	deadline := f.standing(acme, "bank").Certificates[0].NotAfter
	for _, left := range []int{30, 14, 7, 3, 1} {
		check(t, f.Tick(t.Context(), deadline.Add(-time.Duration(left)*policy.Day+time.Hour)))
	}
	subjects, due := f.reminders(acme)
	want := []string{
		"crm-to-bank is not known to accept the new certificate, 30 days left",
		"crm-to-bank is not known to accept the new certificate, 14 days left",
		"crm-to-bank is not known to accept the new certificate, 7 days left",
		"Urgent: crm-to-bank is not known to accept the new certificate, 3 days left",
		"Urgent: crm-to-bank is not known to accept the new certificate, 1 day left",
	}
	if !slices.Equal(subjects, want) {
		t.Errorf("%q", subjects)
	}
	for _, at := range due {
		if !at.Equal(deadline) {
			t.Errorf("due on %s, want %s", at, deadline)
		}
	}
	now := deadline.Add(time.Hour)
	check(t, f.Tick(t.Context(), now))
	// Generation 1 is retired. Generation 2 was never presented, and is still found as an open roll-over.
	if open := f.open(now); len(open) != 1 {
		t.Errorf("%d open roll-overs at risk after generation 1 expired, want 1", len(open))
	}
	f.sees(bank, 3, rollover.Accepted, rollover.Traffic, now)
	f.sees(bank, 3, rollover.Accepted, rollover.Traffic, now.Add(time.Hour))
	check(t, f.Tick(t.Context(), now.Add(rollover.Quiet+policy.Day)))
	if got := f.standing(acme, "bank"); len(got.Certificates) != 1 || got.Certificates[0].Generation != 3 {
		t.Errorf("%d generations are left, want generation 3 only", len(got.Certificates))
	}
}

// open returns the names of the arrangements that the walk over the fleet finds at risk.
func (f *fixture) open(now time.Time) (names []string) {
	f.t.Helper()
	check(f.t, f.Open(f.t.Context(), now, func(s standing.Standing) {
		if _, at := s.Rollover.Risk(now); at {
			names = append(names, s.Arrangement.Name)
		}
	}))
	slices.Sort(names)
	return names
}

// After a compromise, messages depend on the new certificate at once. The receivers are at risk until they are proved
// to accept it, or until the revoked certificate would have expired.
func TestACompromiseLeavesReceiversAtRiskUntilTheyAcceptTheNewCertificate(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.arrangement(acme, "shop", tenancy.Manual)
	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-02-01"))
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "alice", date("2026-03-01"))
	check(t, err)
	now := date("2026-03-02")
	check(t, f.Tick(t.Context(), now))
	risk, at := f.standing(acme, "bank").Rollover.Risk(now)
	if !at || !risk.Exposed || risk.Wanted != 2 || risk.Days(now) != 0 {
		t.Errorf("%+v, %v", risk, at)
	}
	if got := f.open(now); !slices.Equal(got, []string{"crm-to-bank", "crm-to-shop"}) {
		t.Errorf("%q are found at risk", got)
	}
	s := f.sees(bank, 2, rollover.Accepted, rollover.Traffic, now)
	if len(s.Certificates) != 1 || !slices.Equal(s.Rollover.Order(now), []int{2}) {
		t.Errorf("a revoked generation is presented: %d certificates, order %v", len(s.Certificates), s.Rollover.Order(now))
	}
	if got := f.open(now); !slices.Equal(got, []string{"crm-to-shop"}) {
		t.Errorf("%q are found at risk", got)
	}
	if _, due := f.reminders(acme); len(due) > 0 {
		t.Errorf("%d reminders before an expiry that means nothing", len(due))
	}
	if got := f.open(date("2027-01-15")); len(got) > 0 {
		t.Errorf("%q are found at risk after the revoked certificate would have expired", got)
	}
}

func TestAReminderStatesARefusalOnlyIfItIsProved(t *testing.T) {
	for _, c := range []struct {
		names, refused []string
		days, stage    int
		want           string
	}{
		{[]string{"a"}, nil, 30, 30, "a is not known to accept the new certificate, 30 days left"},
		{[]string{"a", "b", "c"}, nil, 14, 14, "a and 2 more are not known to accept the new certificate, 14 days left"},
		{[]string{"a"}, []string{"a"}, 7, 7, "a refuses the new certificate, 7 days left"},
		{[]string{"a", "b"}, []string{"b"}, 3, 3, "Urgent: b refuses the new certificate, 3 days left"},
		{[]string{"a", "b"}, []string{"a", "b"}, 1, 1, "LAST CALL: a and 1 more refuse the new certificate, 1 day left"},
		{[]string{"a"}, nil, 1, 1, "Urgent: a is not known to accept the new certificate, 1 day left"},
	} {
		if got := unreadySubject(lateGroup{names: c.names, refused: c.refused}, c.days, c.stage); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Invariant: whatever renewals, reissues, compromises and evidence follow each other, the walk over the fleet finds
// exactly the arrangements that are at risk, and every deadline that passes had its last reminder.
func TestInvariantEveryArrangementAtRiskIsFoundAndReminded(t *testing.T) {
	n, checked, risky := 0, 0, 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		f := setUp(t, "sqlite:"+filepath.Join(t.TempDir(), fmt.Sprintf("%d.db", n)), "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		arrangements := []tenancy.Arrangement{f.arrangement(acme, "bank", tenancy.Adaptive),
			f.arrangement(acme, "shop", tenancy.Manual)}
		now := date("2026-01-15")
		var known map[string]rollover.Risk // at the last tick
		for range rapid.IntRange(10, 40).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"days", "days", "reissue", "compromise", "evidence", "evidence"}).Draw(r,
				"step") {
			case "days":
				for range rapid.IntRange(1, 30).Draw(r, "days") {
					now = now.Add(policy.Day)
					f.passed(acme, known, now)
					check(t, f.Tick(t.Context(), now))
					known = f.deadlines(acme, now)
				}
			case "reissue":
				now = now.Add(time.Hour)
				_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
				check(t, err)
			case "compromise":
				now = now.Add(time.Hour)
				_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "test", now)
				check(t, err)
			case "evidence":
				now = now.Add(time.Minute)
				a := rapid.SampledFrom(arrangements).Draw(r, "arrangement")
				certs := f.standing(acme, strings.TrimPrefix(a.Name, "crm-to-")).Certificates
				f.sees(a, rapid.SampledFrom(certs).Draw(r, "certificate").Generation,
					rapid.SampledFrom([]rollover.Verdict{rollover.Accepted, rollover.Refused}).Draw(r, "verdict"),
					rollover.Traffic, now)
			}
			var want []string
			for _, a := range arrangements {
				if _, at := f.standing(acme, strings.TrimPrefix(a.Name, "crm-to-")).Rollover.Risk(now); at {
					want = append(want, a.Name)
				}
			}
			checked++
			risky += len(want)
			if got := f.open(now); !slices.Equal(got, want) {
				t.Fatalf("%s: the walk finds %q at risk, want %q", now, got, want)
			}
		}
	})
	if checked < 6*n || risky < 2*n {
		t.Errorf("%d states of %d histories were checked, with %d arrangements at risk", checked, n, risky)
	}
}

// deadlines returns the deadlines of the arrangements that are at risk.
func (f *fixture) deadlines(t tenancy.Tenant, now time.Time) map[string]rollover.Risk {
	all := map[string]rollover.Risk{}
	for _, name := range []string{"bank", "shop"} {
		if risk, at := f.standing(t, name).Rollover.Risk(now); at && !risk.Exposed {
			all[name] = risk
		}
	}
	return all
}

// passed checks that a deadline which is now over had a reminder on its last day.
func (f *fixture) passed(t tenancy.Tenant, before map[string]rollover.Risk, now time.Time) {
	f.t.Helper()
	for name, risk := range before {
		if risk.Deadline.After(now) {
			continue
		}
		subjects, due := f.reminders(t)
		if !slices.ContainsFunc(due, func(at time.Time) bool { return at.Equal(risk.Deadline) }) {
			f.t.Fatalf("the deadline %s of %s has passed without a reminder: %q", risk.Deadline, name, subjects)
		}
	}
}
