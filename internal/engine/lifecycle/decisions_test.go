package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAStageIsReachedWhenItsDaysAreLeft(t *testing.T) {
	const day = policy.Day
	for left, want := range map[time.Duration]int{60 * day: 30, 30*day + 1: 30, 30 * day: 30, 14*day + 1: 30, 14 * day: 14,
		7*day + 1: 14, 7 * day: 7, 3*day + 1: 7, 3 * day: 3, day + 1: 3, day: 1, 0: 1, -day: 1} {
		if got := stageOf(left); got != want {
			t.Errorf("%v before the deadline: %d, want %d", left, got, want)
		}
	}
}

func TestTheSubjectOfAReminderNamesOneArrangementAndCountsTheOthers(t *testing.T) {
	for _, c := range []struct {
		names, refused []string
		days, stage    int
		want           string
	}{
		{[]string{"a"}, nil, 30, 30, "a is not known to accept the new certificate, 30 days left"},
		{[]string{"a", "b"}, nil, 7, 7, "a and 1 more are not known to accept the new certificate, 7 days left"},
		{[]string{"a", "b", "c"}, nil, 4, 4, "a and 2 more are not known to accept the new certificate, 4 days left"},
		{[]string{"a"}, nil, 3, 3, "Urgent: a is not known to accept the new certificate, 3 days left"},
		{[]string{"a"}, nil, 1, 1, "Urgent: a is not known to accept the new certificate, 1 day left"},
		{[]string{"a", "b"}, []string{"b"}, 2, 3, "Urgent: b refuses the new certificate, 2 days left"},
		{[]string{"a", "b", "c"}, []string{"b", "c"}, 0, 1,
			"LAST CALL: b and 1 more refuse the new certificate, 0 days left"},
	} {
		if got := unreadySubject(lateGroup{names: c.names, refused: c.refused}, c.days, c.stage); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestTextsNameWhatTheyAreAbout(t *testing.T) {
	at := time.Date(2026, 12, 1, 1, 0, 0, 0, time.FixedZone("", 3600))
	later := &NotYetError{RunDate: at, Part: 3, At: at.Add(time.Minute)}
	if !later.Until().Equal(later.At) ||
		later.Error() != "part 3 of run 2026-12-01T00:00:00Z cannot be claimed before 2026-12-01T00:01:00Z" {
		t.Errorf("%v until %v", later, later.Until())
	}
	if date, by := runDateText(at), actor(at); date != "2026-12-01T00:00:00Z" || by != "run "+date ||
		runDateText(time.Time{}) != "" {
		t.Errorf("%q, %q", date, by)
	}
	token := tenancy.Token{ID: "1", Name: "crm", Role: tenancy.RoleSender, Tenant: "acme", ExpiresAt: at}
	if got := tokenLine(token); got != "crm (sender of acme, ID 1) expires on 1 December 2026, 00:00 UTC" {
		t.Errorf("%q", got)
	}
	token.Role = tenancy.RoleGateway
	if got := tokenLine(token); got != "crm (gateway, ID 1) expires on 1 December 2026, 00:00 UTC" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		kind    tenancy.NoticeKind
		purpose tenancy.Purpose
		want    string
	}{
		{tenancy.Expiring, tenancy.ForTenant, "Tenant Certificate is going to expire soon"},
		{tenancy.Renewed, tenancy.ForTenant, "Tenant Certificate has been renewed"},
		{tenancy.Expiring, tenancy.ForMUser, "M-user Certificate is going to expire soon"},
		{tenancy.Renewed, tenancy.ForMUser, "M-user Certificate has been renewed"},
	} {
		if got := subject(c.kind, c.purpose); !strings.EqualFold(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	for reason, want := range map[string]bool{Lost: true, Compromised: true, AuthorityRevoked: true, Reissue: false,
		"": false} {
		if revokes(reason) != want {
			t.Errorf("a renewal because of %q revokes: %v", reason, !want)
		}
	}
}

func TestTheNoticeOfASuccessorBeginsWithTheWarning(t *testing.T) {
	now := date("2026-12-01")
	f := sqlite(t, policy.Default, date("2026-01-15"))
	run := cause{runDate: now}
	day := policy.Day
	for name, c := range map[string]struct {
		warned time.Duration // before now; 0: never
		why    cause
		free   bool // the policy warns of every renewal
		err    error
		want   time.Duration // after now
	}{
		"warned a month before":                  {warned: 30 * day, why: run, want: 0},
		"warned a week before":                   {warned: 7 * day, why: run, want: 21 * day},
		"warned as long before as it takes":      {warned: 28 * day, why: run, want: 0},
		"warned, and renewed by hand":            {warned: 7 * day, want: 21 * day},
		"a run that should have warned":          {why: run, free: true, want: 28 * day},
		"a policy that does not always warn":     {why: run, want: 0},
		"by hand":                                {want: 28 * day},
		"a policy whose audit could not be made": {why: run, err: errors.New("no audit"), want: 0},
	} {
		f.surpriseFree = func() (bool, error) { return c.free, c.err }
		old := tenancy.Certificate{}
		if c.warned > 0 {
			old.WarnedAt = now.Add(-c.warned)
		}
		got, err := f.noticedUntil(old, c.why, now)
		if !errors.Is(err, c.err) || !got.Equal(now.Add(c.want)) {
			t.Errorf("%s: %v after the renewal, %v", name, got.Sub(now), err)
		}
	}
	p := f.policy
	p.Validity = 40 * day
	if got := NoticeUnder(p); got != 10*day {
		t.Errorf("the notice of a certificate that lives for 40 days is %v", got)
	}
}

func TestTheFirstRenewalOfAnAdoptedCertificateIsForeseen(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	adopted := func(validity time.Duration) Adopted { return f.adopted("acme", tenancy.ForTenant, validity, now) }
	tenant := tenancy.Tenant{Name: "acme", KeyType: tenancy.P384}
	for validity, want := range map[time.Duration][2]time.Time{
		365 * policy.Day: {date("2026-11-01"), date("2026-12-01")}, // it expires on January 15th
		40 * policy.Day:  {{}, date("2026-02-01")},                 // too late for a warning
	} {
		got, err := f.FirstRenewal(tenant, "", adopted(validity), now)
		check(t, err)
		if !got.WarnedAt.Equal(want[0]) || !got.At.Equal(want[1]) || got.KeyType != tenancy.P384 || !got.Foreseen {
			t.Errorf("%v: warned %v, renewed %v, %+v", validity, got.WarnedAt, got.At, got)
		}
	}
}

func TestTheRevocationOfAnAuthorityReportsAFailingDatabase(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	first, _ := f.Signing(now)
	next := f.announce(now)
	revoke := func() error { return f.RevokeAuthority(t.Context(), next.ID, Compromised, "alice", now) }
	f.failing(nil, []string{"authorities", "events"}, revoke)
	if got := f.actions("", next.ID); !slices.Contains(got, "authority.revoked") {
		t.Errorf("events %q", got)
	}
	next = f.announce(now)
	sign := func() error { return f.SignFrom(t.Context(), next.ID, "alice", now) }
	f.failing(nil, []string{"authorities", "events"}, sign)
	if err := sign(); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("an authority that signs already: %v", err)
	}
	check(t, f.RevokeAuthority(t.Context(), first.ID, Superseded, "alice", now))
	renew := func() error { return f.RenewRevoked(t.Context(), now) }
	testenv.FailsWithout(t, f.store.DB(), []string{"tenants", "certificates"}, renew)
	f.failing(nil, []string{"certificates", "notices", "events"}, renew)
	for _, c := range f.certificates(acme) {
		if (c.State == tenancy.Revoked) != (c.IssuerID == first.ID) {
			t.Errorf("generation %d of %s is %s", c.Generation, c.Purpose, c.State)
		}
	}
}
