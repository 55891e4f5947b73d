package lifecycle

import (
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// concluded returns the subjects of the notices of a kind, and the mails and tasks that they caused.
func (f *fixture) concluded(t tenancy.Tenant, kind tenancy.NoticeKind) (subjects, mailed []string, tasks int) {
	f.t.Helper()
	notices, err := f.store.Notices(f.t.Context(), t.ID, "", 100)
	check(f.t, err)
	mails, err := f.store.Mails(f.t.Context(), t.ID, "", "", 100)
	check(f.t, err)
	for _, n := range notices {
		if n.Kind != kind {
			continue
		}
		subjects = append(subjects, n.Subject)
		for _, m := range mails {
			if m.NoticeID == n.ID {
				mailed = append(mailed, m.Name)
			}
		}
	}
	for _, task := range f.tasks(t) {
		if task.Kind == kind {
			tasks++
		}
		if task.Kind == kind && (task.State == tenancy.TaskCompleted) != (kind == tenancy.Done) {
			f.t.Errorf("the task of %s is %s", task.KeyUser, task.State)
		}
	}
	return subjects, mailed, tasks
}

// The mail that nothing is left to do is sent once, when the last receiver is proved to accept the new certificate. It
// asks for nothing, so its tasks are completed.
func TestSubscribersAreNotifiedOnceWhenEveryReceiverAcceptsTheNewCertificate(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	shop := f.arrangement(acme, "shop", tenancy.Confirmed)
	f.renews()
	f.sees(bank, 2, rollover.Accepted, rollover.Probe, date("2026-12-02"))
	f.sees(shop, 2, rollover.Accepted, rollover.Person, date("2026-12-02")) // a claim is not a proof
	check(t, f.Tick(t.Context(), date("2026-12-03")))
	if got, _, _ := f.concluded(acme, tenancy.Done); len(got) != 0 {
		t.Fatalf("a claim counts as a proof: %q", got)
	}
	f.sees(shop, 2, rollover.Accepted, rollover.Traffic, date("2026-12-04"))
	for _, day := range []string{"2026-12-04", "2026-12-05", "2027-01-14", "2027-01-20"} {
		check(t, f.Tick(t.Context(), date(day)))
	}
	got, mailed, tasks := f.concluded(acme, tenancy.Done)
	if want := []string{"All 2 receivers accept the new Tenant Certificate"}; !slices.Equal(got, want) {
		t.Errorf("the notices are %q", got)
	}
	if !slices.Equal(mailed, []string{"alice"}) || tasks != 3 {
		t.Errorf("mails to %q, and %d tasks", mailed, tasks)
	}
	if got, _, _ := f.concluded(acme, tenancy.Over); len(got) != 0 {
		t.Errorf("a notice about an expiry that harms no one: %q", got)
	}
}

// If the old certificate expires before a receiver accepts the new one, key users get one task, and subscribers one
// mail.
func TestKeyUsersAreNotifiedOnceWhenTheOldCertificateExpiresTooEarly(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.arrangement(acme, "shop", tenancy.Confirmed)
	f.renews()
	f.sees(bank, 2, rollover.Accepted, rollover.Probe, date("2026-12-02"))
	expires := f.standing(acme, "bank").Certificates[0].NotAfter
	check(t, f.Tick(t.Context(), expires.Add(-time.Minute)))
	if got, _, _ := f.concluded(acme, tenancy.Over); len(got) != 0 {
		t.Fatalf("before the expiry: %q", got)
	}
	for _, after := range []time.Duration{0, time.Hour, 48 * time.Hour} {
		check(t, f.Tick(t.Context(), expires.Add(after)))
	}
	got, mailed, tasks := f.concluded(acme, tenancy.Over)
	if want := []string{"Urgent: the old certificate has expired, and crm-to-shop is not known to accept the new " +
		"one"}; !slices.Equal(got, want) {
		t.Errorf("the notices are %q", got)
	}
	keyUsers, _, err := f.store.KeyUsers(t.Context(), acme.ID, store.Page{Limit: 100})
	check(t, err)
	if !slices.Equal(mailed, []string{"alice"}) || tasks != len(keyUsers) {
		t.Errorf("mails to %q, and %d tasks for %d key users", mailed, tasks, len(keyUsers))
	}
}

// A tenant without receivers had nothing to do from the start.
func TestNoNoticeStatesThatNothingIsLeftToDoIfNothingWasToBeDone(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.renews()
	check(t, f.Tick(t.Context(), date("2026-12-03")))
	for _, kind := range []tenancy.NoticeKind{tenancy.Done, tenancy.Over} {
		if got, _, _ := f.concluded(acme, kind); len(got) != 0 {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
