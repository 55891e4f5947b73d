package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestACertificateIsRenewedAMonthAfterItsWarningAndBothAreNotified(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		check(t, f.Tick(t.Context(), date("2026-01-15"))) // the installation begins here
		check(t, f.Tick(t.Context(), date("2026-11-01").Add(time.Hour)))
		if got := f.tasks(acme); len(got) != 3 || got[0].Subject != "Tenant Certificate is going to expire soon" ||
			got[0].DueAt != date("2026-12-01") {
			t.Errorf("tasks after the warning: %+v", got)
		}
		want := []string{
			"alice: Tenant Certificate is going to expire soon",
			"first: M-user Certificate is going to expire soon", "second: M-user Certificate is going to expire soon",
		}
		if got := f.mailed(acme); !slices.Equal(got, want) {
			t.Errorf("mails after the warning: %q", got)
		}
		check(t, f.Tick(t.Context(), date("2026-12-01").Add(time.Hour)))
		if got := f.tasks(acme); len(got) != 6 || got[5].Subject != "Tenant Certificate has been renewed" {
			t.Errorf("tasks after the renewal: %+v", got)
		}
		if got := f.mailed(acme); len(got) != 6 {
			t.Errorf("mails after the renewal: %q", got)
		}
		for _, p := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
			c := f.newest(acme, p)
			if c.Generation != 2 || c.State != tenancy.Active ||
				c.NotBefore != date("2026-12-01").Add(time.Hour-local.Backdate) {
				t.Errorf("%s: %+v", p, c)
			}
			old, _ := f.store.Certificate(t.Context(), acme.ID, p, 1)
			if old.State != tenancy.Retired || old.SuccessorID != c.ID || old.Subject != c.Subject ||
				old.Fingerprint == c.Fingerprint {
				t.Errorf("%s: the old one is %+v", p, old)
			}
			if _, err := f.PrivateKey(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		for id, n := range f.mails.queued {
			if n != 1 {
				t.Errorf("mail %s was queued %d times", id, n)
			}
		}
		run, err := f.store.Run(t.Context(), date("2026-12-01"))
		check(t, err)
		if run.Renewed != 2 || run.FinishedAt.IsZero() || len(f.mails.queued) != 6 {
			t.Errorf("run %+v, %d mails queued", run, len(f.mails.queued))
		}
		if _, err := f.store.VerifyEvents(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestARunDateIsExecutedOnceAlsoWhenTheClockJumpsBack(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	for _, at := range []time.Time{date("2026-11-01"), date("2026-11-01"), date("2026-10-31"),
		date("2026-11-01").Add(time.Hour), date("2026-11-30")} {
		check(t, f.Tick(t.Context(), at))
	}
	if got := f.tasks(acme); len(got) != 3 {
		t.Errorf("%d tasks", len(got))
	}
	if _, err := f.Run(t.Context(), date("2026-11-01"), date("2026-11-02")); err != nil {
		t.Error(err)
	}
	if got := f.tasks(acme); len(got) != 3 {
		t.Errorf("%d tasks after the run was asked for again", len(got))
	}
	if _, err := f.Run(t.Context(), date("2027-01-01"), date("2026-11-02")); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("a run of the future: %v", err)
	}
}

func TestARunByHandDoesNotReplaceAScheduledOne(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	check(t, f.Tick(t.Context(), date("2026-10-01")))
	_, err := f.Run(t.Context(), date("2026-11-05"), date("2026-11-05")) // down on the first of November
	check(t, err)
	check(t, f.Tick(t.Context(), date("2026-11-06")))
	if r, err := f.store.Run(t.Context(), date("2026-11-01")); err != nil || r.FinishedAt.IsZero() {
		t.Errorf("the scheduled run: %+v, %v", r, err)
	}
	f.policy.Schedule.Day = 15 // a changed schedule begins after the latest run
	check(t, f.Tick(t.Context(), date("2026-11-20")))
	runs, _ := f.store.Runs(t.Context(), time.Time{}, 100)
	if len(runs) != 12 || !runs[0].RunDate.Equal(date("2026-11-15")) {
		t.Errorf("%d runs, the latest %+v", len(runs), runs[0])
	}
}

func TestTheNextRunIsInThePastUntilAMissedRunIsExecuted(t *testing.T) {
	noon := func(p *policy.Policy) { p.Schedule.Hour = 12 }
	for _, c := range []struct {
		name      string
		change    func(*policy.Policy)
		next      time.Time // after the installation
		afterTick time.Time // after a tick on 1 March
	}{
		{"monthly", noon, date("2026-02-01"), date("2026-03-01")},
		{"weekly", func(p *policy.Policy) {
			noon(p)
			p.Schedule.Every, p.Schedule.Weekday = policy.Week, time.Monday
		}, date("2026-01-19"), date("2026-03-02")},
		{"daily", func(p *policy.Policy) {
			noon(p)
			p.Schedule.Every = policy.Daily
		}, date("2026-01-15"), date("2026-03-01")},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := sqlite(t, "perennial", date("2026-01-15"))
			c.change(&f.policy)
			expect := func(want, now time.Time) {
				t.Helper()
				if next, err := f.NextRun(t.Context(), now); err != nil || !next.Equal(want.Add(12*time.Hour)) {
					t.Errorf("at %s the next run is %s, %v", now, next, err)
				}
			}
			expect(c.next, date("2026-01-15"))
			check(t, f.Tick(t.Context(), date("2026-01-15")))
			expect(c.next, date("2026-01-15"))
			expect(c.next, date("2026-03-01")) // no service ran since
			check(t, f.Tick(t.Context(), date("2026-03-01")))
			expect(c.afterTick, date("2026-03-01"))
		})
	}
}

func TestAfterDowntimeEveryRunDateIsCaughtUpAndNoWarningIsFalse(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	check(t, f.Tick(t.Context(), date("2026-12-10"))) // down since January
	runs, err := f.store.Runs(t.Context(), time.Time{}, 100)
	check(t, err)
	if len(runs) != 11 {
		t.Errorf("%d runs in the ledger", len(runs))
	}
	for _, task := range f.tasks(acme) {
		if task.Kind != tenancy.Renewed {
			t.Errorf("a warning of a renewal that had happened: %+v", task)
		}
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 {
		t.Errorf("generation %d", c.Generation)
	}
}

func TestACertificateThatExpiredDuringDowntimeIsRenewedAndCountedAsLate(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	check(t, f.Tick(t.Context(), date("2027-03-05")))
	runs, _ := f.store.Runs(t.Context(), time.Time{}, 100)
	late := 0
	for _, r := range runs {
		late += r.Late
	}
	if c := f.newest(acme, tenancy.ForTenant); late != 2 || c.NotBefore.Before(date("2027-03-04")) {
		t.Errorf("%d late, newest %+v", late, c)
	}
}

func TestARunRenewsWhatExpiredBeforeItsDate(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	run, err := f.Run(t.Context(), date("2027-03-01"), date("2027-03-01")) // the first run that this certificate meets
	check(t, err)
	if c := f.newest(acme, tenancy.ForTenant); run.Renewed != 2 || run.Late != 2 || c.Generation != 2 ||
		c.State != tenancy.Active {
		t.Errorf("run %+v, newest %+v", run, c)
	}
	if got := f.tasks(acme); len(got) != 3 || got[0].Subject != "Tenant Certificate has been renewed" ||
		got[0].DueAt != date("2027-03-01") {
		t.Errorf("tasks %+v", got)
	}
}

func TestASubscriptionAndAScopeAnswerApplyFromTheNextNoticeOn(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.scope(acme, false, date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	for _, m := range f.mailed(acme) {
		if strings.HasPrefix(m, "alice") {
			t.Error("mailed out of scope: " + m)
		}
	}
	f.scope(acme, true, date("2026-11-05"))
	bob, err := f.store.KeyUser(t.Context(), acme.ID, "bob")
	check(t, err)
	bob.SubscribedAt = date("2026-11-20")
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateKeyUser(t.Context(), bob) }))
	check(t, f.Tick(t.Context(), date("2026-12-01")))
	got := slices.DeleteFunc(f.mailed(acme), func(m string) bool { return strings.Contains(m, "M-user") })
	if want := []string{"alice: Tenant Certificate has been renewed",
		"bob: Tenant Certificate has been renewed"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestThePresetsMailITContactsAsPublished(t *testing.T) {
	for _, c := range []struct {
		preset, issued, run string
		want                []string
	}{
		{"sap-c4c", "2023-11-20", "2024-09-01", nil}, // before 2024-11-01 no mail was sent about the M-user
		{"sap-c4c", "2024-01-20", "2024-11-01", []string{"first: M-user Certificate is going to expire soon",
			"second: M-user Certificate is going to expire soon"}},
		{"sap-c4c-92", "2024-02-01", "2024-11-01", []string{
			"first: M-user Certificate is going to expire soon", "first: Tenant Certificate is going to expire soon",
			"second: M-user Certificate is going to expire soon", "second: Tenant Certificate is going to expire soon",
		}},
	} {
		f := sqlite(t, c.preset, date(c.issued))
		acme := f.tenant("acme", date(c.issued))
		f.scope(acme, false, date(c.issued))
		if _, err := f.Run(t.Context(), date(c.run), date(c.run)); err != nil {
			t.Fatal(err)
		}
		if len(f.tasks(acme)) != 3 {
			t.Errorf("%s, run %s: %d tasks", c.preset, c.run, len(f.tasks(acme)))
		}
		if got := f.mailed(acme); !slices.Equal(got, c.want) {
			t.Errorf("%s, run %s: %q", c.preset, c.run, got)
		}
	}
}

func TestAFailureDoesNotDelayOtherRenewalsAndIsTriedAgain(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	a, b := f.tenant("a", date("2026-01-15")), f.tenant("b", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-11-15")))
	f.down["a"] = true
	err := f.Tick(t.Context(), date("2026-12-01"))
	if err == nil || !strings.Contains(err.Error(), "2 certificates could not be renewed and will be retried") ||
		!strings.Contains(err.Error(), "of a: issue: the CA is down") {
		t.Errorf("got %v", err)
	}
	if f.newest(a, tenancy.ForTenant).Generation != 1 || f.newest(b, tenancy.ForTenant).Generation != 2 {
		t.Error("the wrong one was renewed")
	}
	run, _ := f.store.Run(t.Context(), date("2026-12-01"))
	if run.Failed != 2 || run.LastError == "" || !run.FinishedAt.IsZero() {
		t.Errorf("run %+v", run)
	}
	f.down["a"] = false
	check(t, f.Tick(t.Context(), date("2026-12-01").Add(time.Hour)))
	if f.newest(a, tenancy.ForTenant).Generation != 2 || f.newest(b, tenancy.ForTenant).Generation != 2 {
		t.Error("the second try did not renew exactly what was left")
	}
	if run, _ = f.store.Run(t.Context(), date("2026-12-01")); run.Renewed != 4 || run.FinishedAt.IsZero() ||
		run.Failed != 0 {
		t.Errorf("run %+v", run)
	}
}

func TestReplicasThatRunTogetherRenewOnce(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		var tenants []tenancy.Tenant
		for i := range 40 {
			tenants = append(tenants, f.tenant(fmt.Sprintf("t%d", i), date("2026-01-15")))
		}
		var replicas sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			e := f.replica(date("2026-01-15"))
			replicas.Go(func() { _, errs[i] = e.Run(t.Context(), date("2026-12-01"), date("2026-12-01")) })
		}
		replicas.Wait()
		check(t, errors.Join(errs...))
		for _, tenant := range tenants {
			all, _ := f.store.Certificates(t.Context(), tenant.ID, "", 100)
			if tasks := f.tasks(tenant); len(all) != 4 || len(tasks) != 3 {
				t.Fatalf("%s: %d certificates, %d tasks", tenant.Name, len(all), len(tasks))
			}
		}
		run, _ := f.store.Run(t.Context(), date("2026-12-01"))
		if run.Renewed != 80 {
			t.Errorf("run %+v", run)
		}
		if _, err := f.store.VerifyEvents(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRenewByHandIsRefusedWithTheReasonUnlessAnOperatorGivesOne(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, "", "alice", date("2026-06-01"))
	if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(),
		"Renew is possible from 2026-10-13 23:55 UTC on") {
		t.Errorf("got %v", err)
	}
	if _, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, "because", "alice",
		date("2026-06-01")); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	c, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "operator", date("2026-06-01"))
	check(t, err)
	old, _ := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
	if c.Generation != 2 || c.State != tenancy.Active || old.State != tenancy.Revoked || old.RevokedFor != "compromised" {
		t.Errorf("new %+v, old %+v", c, old)
	}
	if _, err := f.PrivateKey(t.Context(), old); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the compromised key is still there: %v", err)
	}
	if got := f.tasks(acme); len(got) != 3 || got[0].Kind != tenancy.Renewed {
		t.Errorf("tasks %+v", got)
	}
	revoked, err := f.store.RevokedBy(t.Context(), old.IssuerID, date("2026-06-02"))
	if err != nil || len(revoked) != 1 {
		t.Errorf("revoked: %v, %v", revoked, err)
	}
	if c, err = f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, "", "alice", date("2027-04-01")); err != nil ||
		c.Generation != 3 {
		t.Errorf("little validity left: %+v, %v", c, err)
	}
	if _, err := f.RenewByHand(t.Context(), "nobody", tenancy.ForTenant, "", "alice", date("2027-04-01")); !errors.Is(err,
		tenancy.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestMailsWaitWhileThereIsNoMailServer(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.outbox = nil
	acme := f.tenant("acme", date("2026-01-15"))
	_, err := f.Run(t.Context(), date("2026-11-01"), date("2026-11-01"))
	check(t, err)
	waiting, err := f.store.Mails(t.Context(), acme.ID, tenancy.MailWaiting, "", 10)
	if err != nil || len(waiting) != 3 {
		t.Errorf("%d waiting, %v", len(waiting), err)
	}
}

func TestATenantsNameIsTakenOnce(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.tenant("acme", date("2026-01-15"))
	_, err := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "A", KeyType: tenancy.P256}, "test",
		date("2026-01-16"))
	if !errors.Is(err, tenancy.ErrConflict) || !strings.Contains(err.Error(), "a tenant acme already exists") {
		t.Errorf("got %v", err)
	}
	if _, err := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "UPPER", DisplayName: "A", KeyType: tenancy.P256},
		"test", date("2026-01-16")); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an invalid name: %v", err)
	}
}

func TestAShortLivedCertificateIsWarnedAboutOnce(t *testing.T) {
	f := sqlite(t, "short-lived", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	for day := range 47 {
		check(t, f.Tick(t.Context(), date("2026-01-15").AddDate(0, 0, day)))
	}
	kinds := map[tenancy.NoticeKind]int{}
	for _, task := range f.tasks(acme) {
		kinds[task.Kind]++
	}
	if kinds[tenancy.Expiring] != 3 || kinds[tenancy.Renewed] != 3 {
		t.Errorf("tasks %v", kinds)
	}
}

func TestAnUnsoundPolicyIsRefused(t *testing.T) {
	p, _ := policy.Preset("perennial")
	p.RenewWithin = policy.Days(10)
	var unsound *policy.UnsoundError
	if _, err := New(Config{Policy: p}); !errors.As(err, &unsound) {
		t.Errorf("got %v", err)
	}
}

// SQLite's own limit on the size of the file stands in for a full disk: the error is the same.
func TestAFullDiskStopsARunAndLosesNothing(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	var tenants []tenancy.Tenant
	for i := range 30 {
		tenants = append(tenants, f.tenant(fmt.Sprintf("t%d", i), date("2026-01-15")))
	}
	limit := func(pages string) {
		var n int
		check(t, f.store.DB().QueryRow("PRAGMA max_page_count = "+pages).Scan(&n))
	}
	limit("1") // no smaller than the file is
	_, err := f.Run(t.Context(), date("2026-12-01"), date("2026-12-01"))
	if err == nil || !strings.Contains(err.Error(), "the database's disk is full: free space, nothing was lost") {
		t.Fatalf("got %v", err)
	}
	if c := f.newest(tenants[0], tenancy.ForTenant); c.Generation != 1 {
		t.Errorf("half of a renewal was written: %+v", c)
	}
	limit("1000000")
	_, err = f.Run(t.Context(), date("2026-12-01"), date("2026-12-01"))
	check(t, err)
	for _, tenant := range tenants {
		if c := f.newest(tenant, tenancy.ForTenant); c.Generation != 2 || len(f.tasks(tenant)) != 3 {
			t.Errorf("%s: %+v", tenant.Name, c)
		}
	}
}
