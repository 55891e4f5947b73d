package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// The job queue creates its table. This one has the columns that the store uses.
func withJobs(r rows) {
	_, err := r.DB().ExecContext(r.t.Context(), "CREATE TABLE river_job (id BIGINT, kind TEXT, state TEXT, "+
		"created_at BIGINT, scheduled_at BIGINT, queue TEXT, priority INT)")
	must(r.t, err)
	for i, state := range []string{"running", "scheduled", "retryable", "completed"} {
		for j, kind := range []string{"deliver_mails", "tick"} {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.exec(ctx, "INSERT INTO river_job VALUES (?, ?, ?, 1, 2, ?, 2)", 2*i+j, kind, state,
					[]string{"mail", "default"}[j])
				return err
			})
		}
	}
}

// jobs lists the jobs that can run now.
func jobs(r rows) (ids []int) {
	ids, err := list(
		r.t.Context(),
		r.Reader,
		scanOne[int],
		"SELECT id FROM river_job WHERE state = 'available' ORDER BY id",
	)
	must(r.t, err)
	return ids
}

func TestWorkOfAProcessThatEndedIsReleased(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		withJobs(r)
		part := Part{RunDate: now, Number: 1, Until: End(now), BeginsAt: now}
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.StartRun(ctx, tenancy.Run{RunDate: now, StartedAt: now})
			return errors.Join(err, tx.AddParts(ctx, []Part{part}))
		})
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.ClaimPart(ctx, now, 1, now, time.Hour)
			return err
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ReleaseLost(ctx) })
		got, err := r.Part(ctx, now, 1)
		r.same("the part", err, got, part)
		if got := jobs(r); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("jobs %v are available", got)
		}
	})
}

func TestDeliveriesAreDueWhenMailsAreReleased(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		withJobs(r)
		hold := tenancy.MailHold{Since: now.Truncate(time.Second), RetryAt: now.Add(time.Hour).Truncate(time.Second),
			Reason: "535 login failed"}
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.HoldMails(ctx, hold)
			return err
		})
		again := func() {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.exec(ctx, "UPDATE river_job SET state = 'retryable', scheduled_at = 2 WHERE state = 'available'")
				return err
			})
		}
		due := func(what string) {
			t.Helper()
			if got := jobs(r); !slices.Equal(got, []int{2, 4}) {
				t.Errorf("%s: jobs %v are available", what, got)
			}
			at, err := one(ctx, r.Reader, "job", scanOne[int], "SELECT scheduled_at FROM river_job WHERE id = 2")
			r.same(what+": its instant", err, at, 1)
			again()
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RetryMails(ctx, now.Add(time.Minute)) })
		due("a retry while mails are held")
		hold.RetryAt = now.Add(time.Minute).Truncate(time.Second)
		got, err := r.MailHold(ctx)
		r.same("the hold", err, got, hold)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ReleaseMails(ctx) })
		due("a release")
		got, err = r.MailHold(ctx)
		r.same("no hold", err, got, tenancy.MailHold{})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RetryMails(ctx, now) })
		due("a retry")
		got, err = r.MailHold(ctx)
		r.same("still no hold", err, got, tenancy.MailHold{})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, mailHold, "{") })
		if err := write(t, r.Store, func(ctx context.Context, tx *Tx) error { return tx.RetryMails(ctx, now) }); err == nil {
			t.Error("a hold that cannot be read gives no error")
		}
	})
}

func TestATenantIsErasedAndOthersStay(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		acme(t, r.Store, "acme", now)
		other, cert := acme(t, r.Store, "globex", now)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EraseTenant(ctx, "t-acme") })
		all, err := r.Tenants(ctx, "", 10)
		r.same("tenants", err, all, []tenancy.Tenant{other})
		for id, want := range map[string]int{"t-acme": 0, "t-globex": 2} {
			users, _, err := r.KeyUsers(ctx, id, Page{Limit: 10})
			r.same("key users of "+id, err, len(users), want)
		}
		certs, err := r.Certificates(ctx, other.ID, "", 10)
		r.same("certificates", err, certs, []tenancy.Certificate{cert})
	})
}

func TestListenersAreCalledAfterEachCommitUntilTheyStop(t *testing.T) {
	s := lite(t)
	var a, b int
	stop := s.OnCommit(func() { a++ })
	defer s.OnCommit(func() { b++ })()
	nothing := func(context.Context, *Tx) error { return nil }
	must(t, write(t, s, nothing))
	if err := write(t, s, func(context.Context, *Tx) error { return errors.New("no room") }); err == nil {
		t.Error("no error")
	}
	stop()
	must(t, write(t, s, nothing))
	if a != 1 || b != 2 {
		t.Errorf("called %d and %d times", a, b)
	}
	var changed []string
	stop = s.OnChange(func(string) { t.Error("a listener that has stopped is called") })
	defer s.OnChange(func(id string) { changed = append(changed, id) })()
	stop()
	must(t, write(t, s, func(_ context.Context, tx *Tx) error { tx.Changed("a"); return nil }))
	if !slices.Equal(changed, []string{"a"}) {
		t.Errorf("notified of %q", changed)
	}
}

func TestOnlyDeliveriesThatCanRunTakePrecedence(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		withJobs(r) // one delivery with priority 2 is running
		for _, c := range []struct {
			priority int
			running  string
			want     bool
		}{{1, "running", false}, {2, "running", false}, {3, "running", true}, {3, "available", true},
			{3, "completed", false}} { // those that are scheduled, or failed, are left
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.exec(ctx, "UPDATE river_job SET state = ? WHERE id = 0", c.running)
				return err
			})
			got, err := r.MailsBefore(ctx, c.priority)
			r.same(fmt.Sprintf("before priority %d while one is %s", c.priority, c.running), err, got, c.want)
		}
	})
}
