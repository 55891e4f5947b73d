package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// failing runs one step while each of the tables is missing in turn, and while each refuses changes. The step must
// report every failure, and succeed afterwards.
func (f *fixture) failing(read, written []string, step func() error) {
	f.t.Helper()
	testenv.FailsWithout(f.t, f.store.DB(), read, step)
	testenv.FailsIfReadOnly(f.t, f.store.DB(), written, step)
	check(f.t, step())
}

// A run, a reminder or a renewal that could not read or store a part of its work must not look as if it had succeeded.
// It is repeated, and does what was left.
func TestEveryStepOfTheLifeCycleReportsAFailingDatabaseAndIsRepeated(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	ctx := t.Context()
	f.failing(nil, []string{"tenants", "scoping_projects", "certificates", "events"}, func() error {
		_, err := f.CreateTenant(ctx, tenancy.Tenant{Name: "empty", DisplayName: "E", KeyType: tenancy.P256}, "test",
			date("2026-01-15"))
		return err
	})
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	tick := func(day string) func() error { return func() error { return f.Tick(ctx, date(day)) } }
	people := []string{"tenants", "key_users", "it_contacts", "scoping_answers", "arrangements", "evidence"}
	check(t, f.Tick(ctx, date("2026-01-15")))

	february := date("2026-02-01")
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"INSERT ON runs", "INSERT ON run_parts", "DELETE ON run_parts",
		"events", "UPDATE ON runs"}, func() error {
		february = february.Add(DefaultPartLease) // for a part that was not released
		return f.Tick(ctx, february)
	})
	f.failing([]string{"settings", "runs", "authorities", "run_parts", "certificates"}, nil, tick("2026-03-01"))
	f.failing(append([]string{"runs", "run_parts", "certificates", "notices", "tasks", "mails", "events"}, people...),
		[]string{"runs", "run_parts", "certificates", "notices", "tasks", "mails", "events"}, tick("2026-11-01"))
	if got := len(f.tasks(acme)); got != 3 {
		t.Errorf("%d tasks after the warning, want one for each key user", got)
	}
	f.failing(append([]string{"runs", "run_parts", "certificates", "notices", "tasks", "mails", "events"}, people...),
		[]string{"run_parts", "UPDATE ON certificates", "INSERT ON certificates", "notices", "tasks", "mails", "events"},
		tick("2026-12-01"))
	if got := len(f.tasks(acme)); got != 6 {
		t.Errorf("%d tasks after the renewal, want two for each key user", got)
	}
	f.failing([]string{"claims", "certificates", "tenants", "key_users", "it_contacts", "scoping_answers", "arrangements",
		"evidence"}, []string{"claims", "notices", "tasks", "mails", "events"}, tick("2026-12-16"))
	if subjects, _ := f.reminders(acme); len(subjects) != 1 {
		t.Errorf("reminders %q", subjects)
	}
	for _, task := range f.tasks(acme) {
		closed := task.Version == 2 && task.ClosedFor == tenancy.ClosedRenewed
		open := task.Version == 1 && task.State == tenancy.TaskOpen
		if past := task.Kind == tenancy.Expiring; past && !closed || !past && !open {
			t.Errorf("a task is %+v", task)
		}
	}
	mails, err := f.store.Mails(ctx, acme.ID, "", "", 100)
	check(t, err)
	if len(mails) != 7 { // two for each contact about the M-user, and three for the subscribed key user
		t.Errorf("mails %q", f.mailed(acme))
	}
	for _, m := range mails {
		if f.mails.queued[m.ID] == 0 || m.State != tenancy.MailQueued || m.MessageID != m.ID+"@p.example.com" {
			t.Errorf("the mail %q to %s is not queued: %s", m.Subject, m.Address, m.State)
		}
	}

	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-12-17"))
	testenv.FailsWithout(t, f.store.DB(), []string{"authorities", "run_parts"}, func() error {
		return f.RunPart(ctx, date("2026-12-01"), 1, date("2026-12-18"))
	})
	expired := f.standing(acme, "bank").Certificates[0].NotAfter
	f.failing([]string{"tenants", "arrangements", "evidence", "certificates"},
		[]string{"arrangements", "INSERT ON evidence", "certificates", "events"}, func() error {
			return f.Roll(ctx, expired)
		})
	if got := f.actions("acme", "acme/tenant/1"); !slices.Contains(got, "certificate.retired") {
		t.Errorf("the events of an expired generation are %q", got)
	}
	f.failing([]string{"tenants", "certificates", "key_users", "it_contacts", "scoping_answers", "arrangements",
		"evidence"},
		[]string{"UPDATE ON certificates", "INSERT ON certificates", "notices", "tasks", "events"}, func() error {
			_, err := f.RenewByHand(ctx, "acme", tenancy.ForTenant, Compromised, "test", expired)
			return err
		})
	if got := f.actions("acme", "acme/tenant/2"); !slices.Contains(got, "certificate.revoked") {
		t.Errorf("the events of a compromised generation are %q", got)
	}
	f.failing([]string{"tenants", "arrangements", "evidence", "certificates"}, nil, func() error {
		return f.Open(ctx, date("2026-12-01"), func(standing.Standing) {})
	})
	f.failing([]string{"arrangements", "evidence", "certificates"}, nil, func() error {
		_, err := f.RollTenant(ctx, acme, expired)
		return err
	})
	f.failing([]string{"claims", "messages", "message_log", "parked"}, nil, func() error { return f.Prune(ctx, expired) })
}

func TestAnAnnouncementReportsAFailingDatabaseAndIsRepeated(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	a := f.announce(now)
	announce := func() error { return f.Announce(t.Context(), now) }
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"claims", "events"}, announce) // that the present one signs
	f.failing([]string{"authorities", "claims", "announcements", "arrangements", "certificates", "tenants", "key_users",
		"it_contacts", "scoping_answers", "evidence", "notices", "tasks", "mails", "events"},
		[]string{"announcements", "notices", "tasks", "mails", "events"}, announce)
	if got := f.announcements(acme); len(got) != 3 {
		t.Errorf("announced as %q", got)
	}
	now = now.Add(standardNotice + time.Hour)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		arrangements, err := tx.ArrangementsOf(t.Context(), []string{acme.ID})
		if err != nil {
			return err
		}
		return tx.SetTrust(t.Context(), a.ID, store.ReceiverTrust{ArrangementID: arrangements[acme.ID][0].ID,
			Verdict: tenancy.Trusted, At: now})
	}))
	f.failing([]string{"authorities", "trust", "arrangements"}, []string{"authorities", "events"}, announce)
	if got := f.actions("", a.ID); !slices.Contains(got, "authority.brought-forward") {
		t.Errorf("events %q", got)
	}
	if signs, ok := f.Signing(now); !ok || signs.ID != a.ID {
		t.Errorf("%s signs, want %s", signs.ID, a.ID)
	}
}

func TestResealingReportsAFailingDatabaseAndContinues(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	f.tenant("acme", date("2026-01-15"))
	request := tenancy.AuthorityRequest{ID: "requested", CSR: []byte{1}, CreatedAt: date("2026-01-15")}
	var err error
	request.SealedKey, err = f.seal.Seal([]byte("key"), request.SealContext())
	check(t, err)
	check(t, f.store.AddAuthorityRequest(t.Context(), request))
	check(t, f.seal.Rotate(t.Context()))
	var sealed, progress int
	reseal := func() error {
		n, err := Reseal(t.Context(), f.store, f.seal, func(n int) { progress = n })
		sealed += n
		return err
	}
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"authorities", "authority_requests", "certificates"}, reseal)
	f.failing([]string{"authorities", "authority_requests", "certificates"}, nil, reseal)
	// Two authorities, the request of another one, and a tenant with two certificates.
	if sealed != 5 || progress == 0 {
		t.Errorf("%d keys were sealed again, and the progress is %d", sealed, progress)
	}
	n, err := Reseal(t.Context(), f.store, f.seal, func(int) {})
	if err != nil || n != 0 {
		t.Errorf("%d keys were sealed again after that, %v", n, err)
	}
}

// A full queue is an outbox that takes no mail.
type fullQueue struct{}

func (fullQueue) Enqueue(context.Context, *sql.Tx, []tenancy.Mail) error {
	return errors.New("the queue is full")
}

func TestARunStoresNothingOfAPageWhoseMailsCannotBeQueued(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	f.outbox = fullQueue{}
	if err := f.Tick(t.Context(), date("2026-11-01")); err == nil || !strings.Contains(err.Error(), "queue mails") {
		t.Errorf("got %v", err)
	}
	if tasks, mails := f.tasks(acme), f.mailed(acme); len(tasks)+len(mails) != 0 {
		t.Errorf("%d tasks and the mails %q are stored", len(tasks), mails)
	}
	f.outbox = f.mails
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	if tasks, mails := f.tasks(acme), f.mailed(acme); len(tasks) != 3 || len(mails) != 3 {
		t.Errorf("%d tasks and the mails %q are stored", len(tasks), mails)
	}
}

// The hosting team is notified when an outage is near.
func TestTheAuditLogHasTheReceiversAtRisk(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.arrangement(acme, "shop", tenancy.Adaptive)
	f.renews()
	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	f.sees(bank, 2, rollover.Refused, rollover.Traffic, date("2026-12-02"))
	expires := f.standing(acme, "bank").Certificates[0].NotAfter
	for _, c := range []struct {
		left int
		want string
	}{
		{30, `"hosting_team":false,"refused":["crm-to-bank"],"stage_days":30}`},
		{3, `"hosting_team":true,"refused":["crm-to-bank"],"stage_days":3}`},
	} {
		check(t, f.Tick(t.Context(), expires.Add(-time.Duration(c.left)*policy.Day+time.Hour)))
		events, err := f.store.Events(t.Context(), "acme", 0, 1000)
		check(t, err)
		detail := ""
		for _, e := range events {
			if e.Action == "arrangements.at-risk" && e.Actor == "roll-over" && e.Object == "acme" {
				detail = e.Detail
			}
		}
		if !strings.HasPrefix(detail, `{"arrangements":["crm-to-bank","crm-to-shop"],"expires":"2027-01-`) ||
			!strings.HasSuffix(detail, c.want) {
			t.Errorf("%d days before: %s", c.left, detail)
		}
	}
}

func TestTheNoticeOfAShortLivedCertificateIsAQuarterOfItsLife(t *testing.T) {
	for validity, want := range map[time.Duration]time.Duration{365 * policy.Day: 28 * policy.Day,
		112 * policy.Day: 28 * policy.Day, 111 * policy.Day: 111 * policy.Day / 4, 8 * policy.Day: 2 * policy.Day} {
		if got := NoticeUnder(policy.Policy{Validity: validity}); got != want {
			t.Errorf("%v: %v, want %v", validity, got, want)
		}
	}
}

// A user renews outside of a run, at the time of the request.
func TestITContactsAreMailedAboutARenewalByHand(t *testing.T) {
	f := sqlite(t, "sap-c4c", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForMUser, Reissue, "test", date("2026-06-01"))
	check(t, err)
	if got := f.mailed(acme); !slices.Equal(got, []string{"first: M-user Certificate has been renewed",
		"second: M-user Certificate has been renewed"}) {
		t.Errorf("mails %q", got)
	}
}

func TestARunWhosePartsCannotBeQueuedIsAnErrorAndIsResumed(t *testing.T) {
	f, s := split(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	full := errors.New("the queue is full")
	tick := func() error { return f.Tick(t.Context(), date("2026-12-01")) }
	s.err = full
	if err := tick(); !errors.Is(err, full) {
		t.Errorf("a run that begins: %v", err)
	}
	s.err = nil
	check(t, tick())
	s.err = full
	if err := tick(); !errors.Is(err, full) {
		t.Errorf("a run that is resumed: %v", err)
	}
	s.err, s.parts = nil, nil
	check(t, tick())
	if len(s.parts) < 3 {
		t.Errorf("%d parts are queued again", len(s.parts))
	}
}

// A rate limit that cannot be asked delays the renewals, and nothing else.
func TestARunWithoutItsRateLimitRenewsNothingAndWarns(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	asked := 0
	f.pace = func(_ context.Context, n int) error {
		if asked += n; n == 0 {
			t.Error("the limit is asked for nothing")
		}
		return errors.New("no limit today")
	}
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	if tasks := f.tasks(acme); len(tasks) != 3 {
		t.Errorf("%d tasks after the warning, want one for each key user", len(tasks))
	}
	if err := f.Tick(t.Context(), date("2026-12-01")); err == nil || !strings.Contains(err.Error(), "no limit today") ||
		!strings.Contains(err.Error(), "2 certificates could not be renewed") {
		t.Errorf("got %v", err)
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 || asked != 2 {
		t.Errorf("generation %d is the newest, and the limit was asked for %d", c.Generation, asked)
	}
	f.pace = func(context.Context, int) error { return nil }
	check(t, f.Tick(t.Context(), date("2026-12-01")))
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 {
		t.Errorf("generation %d is the newest", c.Generation)
	}
}

// A renewal is due when its predecessor expires, or at once if a receiver gets only the new certificate from now on.
func TestARenewalThatCutsOverIsDueAtOnce(t *testing.T) {
	for strategy, atOnce := range map[tenancy.Strategy]bool{tenancy.Immediate: true, tenancy.Adaptive: false} {
		f := sqlite(t, "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		f.arrangement(acme, "bank", strategy)
		old := f.newest(acme, tenancy.ForTenant)
		f.renews()
		want := old.NotAfter
		if atOnce {
			want = date("2026-12-01")
		}
		found := 0
		for _, task := range f.tasks(acme) {
			if task.Kind == tenancy.Renewed {
				found++
				if !task.DueAt.Equal(want) {
					t.Errorf("%s: due on %s, want %s", strategy, task.DueAt, want)
				}
			}
		}
		if found != 3 {
			t.Errorf("%s: %d tasks", strategy, found)
		}
	}
}
