package lifecycle

import (
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestALinkInAMailEndsAndResumesASubscription(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	user := func(name string) tenancy.KeyUser {
		t.Helper()
		u, err := f.store.KeyUser(t.Context(), acme.ID, name)
		check(t, err)
		return u
	}
	alice := user("alice")
	object := "acme/alice"
	mails := func(want ...string) {
		t.Helper()
		if got := f.mailed(acme); !slices.Equal(got, want) {
			t.Errorf("mails %q, want %q", got, want)
		}
	}
	ask := func() error { return f.AskToStop(t.Context(), alice, now) }
	testenv.FailsWithout(t, f.store.DB(), []string{"tenants"}, ask)
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"notices", "mails"}, ask)
	const asked = "alice: Please confirm: no more mails about acme"
	for range 2 { // one a day
		check(t, ask())
		mails(asked)
	}
	now = now.AddDate(0, 0, 1)
	check(t, ask())
	mails(asked, asked)
	if u := user("alice"); !u.SubscribedAt.Equal(alice.SubscribedAt) || len(f.actions("acme", object)) != 0 {
		t.Errorf("who asks changes the subscription: %+v", u)
	}

	stop := func() error { return f.StopMails(t.Context(), alice.ID, now) }
	testenv.FailsWithout(t, f.store.DB(), []string{"tenants", "key_users"}, stop)
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"key_users", "notices", "mails", "events"}, stop)
	const stopped = "alice: You will no longer get mails about acme"
	for range 2 { // the second time does nothing
		check(t, stop())
		mails(asked, asked, stopped)
	}
	if u := user("alice"); !u.SubscribedAt.IsZero() || u.UnsubscribeToken != alice.UnsubscribeToken {
		t.Errorf("after the end of the subscription: %+v", u)
	}
	all, err := f.store.Mails(t.Context(), acme.ID, "", "", 100)
	check(t, err)
	for _, m := range all {
		if m.KeyUserID != alice.ID || m.Address != alice.Email || m.State != tenancy.MailQueued ||
			m.MessageID != m.ID+"@p.example.com" || f.mails.queued[m.ID] == 0 {
			t.Errorf("the mail %q is %+v", m.Subject, m)
		}
	}
	if tasks := f.tasks(acme); len(tasks) != 0 {
		t.Errorf("the mails cause %d tasks", len(tasks))
	}

	at := now.Add(time.Hour + 1) // with a nanosecond, which no database stores
	resume := func() error { return f.ResumeMails(t.Context(), alice.ID, at) }
	testenv.FailsWithout(t, f.store.DB(), []string{"tenants", "key_users"}, resume)
	testenv.FailsIfReadOnly(t, f.store.DB(), []string{"key_users", "events"}, resume)
	check(t, resume())
	resumed := user("alice")
	if !resumed.SubscribedAt.Equal(at.Truncate(time.Microsecond)) || resumed.UnsubscribeToken == alice.UnsubscribeToken ||
		resumed.UnsubscribeToken == "" {
		t.Errorf("resumed as %+v", resumed)
	}
	check(t, resume()) // it does nothing
	if again := user("alice"); again != resumed {
		t.Errorf("resumed again as %+v", again)
	}
	if got := f.actions("acme", object); !slices.Equal(got, []string{"key-user.unsubscribed", "key-user.subscribed"}) {
		t.Errorf("events %q", got)
	}
	events, err := f.store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	if last := events[len(events)-1]; last.Actor != "link in a mail to acme/alice" || !last.At.Equal(at.Truncate(1000)) {
		t.Errorf("the event %+v", last)
	}
	bob := user("bob") // who never subscribed
	check(t, f.StopMails(t.Context(), bob.ID, now))
	if got := f.actions("acme", "acme/bob"); len(got) != 0 {
		t.Errorf("events %q", got)
	}
}
