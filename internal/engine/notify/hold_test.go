package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// held stores a hold.
func (w *world) held(hold tenancy.MailHold) {
	w.t.Helper()
	check(w.t, w.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		if err := tx.ReleaseMails(w.t.Context()); err != nil {
			return err
		}
		_, err := tx.HoldMails(w.t.Context(), hold)
		return err
	}))
}

func TestAHeldMailNamesTheInstantAndTheReason(t *testing.T) {
	at, reason := date(2026, 11, 1), errors.New("554 relay denied")
	err := error(&HeldError{at, reason})
	later := (*HeldError)(nil)
	if !errors.Is(err, reason) || !errors.As(err, &later) || !later.Until().Equal(at) ||
		err.Error() != "mails are not sent before 2026-11-01T00:00:00Z: 554 relay denied" {
		t.Errorf("%v until %v", err, later.Until())
	}
	refusal := error(&Refusal{Fault: Ours, Reply: reason})
	if !errors.Is(refusal, reason) || refusal.Error() != "554 relay denied" {
		t.Errorf("%v", refusal)
	}
}

func TestHeldMailsAreTestedWhenTheirTimeComes(t *testing.T) {
	w, d, _ := queuedMails(t, &answers{})
	now := date(2026, 11, 1)
	strict := []tenancy.Mail{{Address: "a@Strict.example"}}
	mixed := []tenancy.Mail{{Address: "a@strict.example"}, {Address: "b@other.example"}}
	for _, c := range []struct {
		name   string
		retry  time.Duration // from now on
		domain string
		mails  []tenancy.Mail
		held   bool
		claims bool
	}{
		{"it is too early", time.Second, "", mixed, true, false}, {"its time has come", 0, "", mixed, false, true},
		{"the longest pause", heldPause, "", mixed, true, false},
		{"a clock was ahead", heldPause + time.Second, "", mixed, false, true},
		{"one domain shows it", time.Second, "strict.example", strict, true, false},
		{"one domain shows it, and its time has come", 0, "strict.example", strict, false, true},
		{"a mail to another domain", time.Second, "strict.example", mixed, false, false},
	} {
		hold := tenancy.MailHold{Since: now.Add(-time.Hour), RetryAt: now.Add(c.retry), Reason: "554", Domain: c.domain}
		w.held(hold)
		got, err := d.mayTry(t.Context(), c.mails, now)
		stored, readErr := w.Store.MailHold(t.Context())
		check(t, readErr)
		if errors.As(err, new(*HeldError)) != c.held || (err == nil) == c.held || got.Since.IsZero() ||
			stored.RetryAt.Equal(now.Add(heldPause)) != (c.claims || c.retry == heldPause) ||
			got.Domain != c.domain || !got.RetryAt.Equal(stored.RetryAt) {
			t.Errorf("%s: %v, stored %+v", c.name, err, stored)
		}
		later := (*HeldError)(nil)
		if errors.As(err, &later) && !later.At.Equal(hold.RetryAt) {
			t.Errorf("%s: until %v", c.name, later.At)
		}
		if !c.claims {
			continue
		}
		later = nil
		if _, err := d.claimTest(t.Context(), hold, now); !errors.As(err, &later) || !later.At.Equal(now.Add(heldPause)) ||
			!errors.Is(err, errTestFailed) {
			t.Errorf("%s: another worker claims the same test: %v", c.name, err)
		}
	}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.ReleaseMails(t.Context()) }))
	if hold, err := d.mayTry(t.Context(), mixed, now); err != nil || !hold.Since.IsZero() {
		t.Errorf("mails that are not held: %+v, %v", hold, err)
	}
	check(t, w.Store.Close())
	if _, err := d.mayTry(t.Context(), mixed, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("a closed database: %v", err)
	}
	if _, err := d.claimTest(t.Context(), tenancy.MailHold{}, now); err == nil || errors.As(err, new(*HeldError)) {
		t.Errorf("a closed database: %v", err)
	}
}

// A refusal for another domain shows that it is not about the first one.
func TestAFailedTestProlongsTheHold(t *testing.T) {
	w, d, logged := queuedMails(t, &answers{})
	now, reason := date(2026, 11, 1), errors.New("554 relay denied")
	for address, domain := range map[string]string{"a@Strict.example": "strict.example", "b@other.example": ""} {
		hold := tenancy.MailHold{Since: now.Add(-time.Hour), RetryAt: now, Reason: "554", Domain: "strict.example"}
		w.held(hold)
		err := d.stillHeld(t.Context(), hold, tenancy.Mail{Address: address}, now, reason)
		later := (*HeldError)(nil)
		if !errors.As(err, &later) || !later.At.Equal(now.Add(heldPause)) || !errors.Is(err, reason) {
			t.Errorf("%s: %v", address, err)
		}
		stored, err := w.Store.MailHold(t.Context())
		if err != nil || stored.Domain != domain || !stored.RetryAt.Equal(now.Add(heldPause)) ||
			!stored.Since.Equal(hold.Since) {
			t.Errorf("%s: stored %+v, %v", address, stored, err)
		}
	}
	check(t, w.Store.Close())
	for _, err := range []error{d.stillHeld(t.Context(), tenancy.MailHold{Since: now}, tenancy.Mail{}, now, reason),
		d.hold(t.Context(), reason, "", now), d.release(t.Context(), now)} {
		if err == nil || errors.Is(err, reason) {
			t.Errorf("a closed database: %v", err)
		}
	}
	if logged.Len() > 0 {
		t.Errorf("logged although nothing is stored: %s", logged)
	}
}

func TestARefusalHoldsMailsIfItIsAboutThisInstallation(t *testing.T) {
	now := date(2026, 11, 1)
	waiting, idle := newWorld(t), newWorld(t)
	check(t, waiting.Tick(t.Context(), now))
	one := tenancy.Mail{Address: "a@One.example", TenantID: "acme"}
	same := tenancy.Mail{Address: "b@one.example", TenantID: "zeta"}
	two := tenancy.Mail{Address: "a@two.example", TenantID: "acme"}
	for _, c := range []struct {
		name     string
		accepted int
		session  bool
		ours     []tenancy.Mail
		domain   string // of the doubt before
		lately   time.Duration
		queued   bool // mails to other domains are
		hold     bool
		shows    string // the domain that shows it
		doubt    string // the domain afterwards
	}{
		{"a mail was accepted", 1, true, []tenancy.Mail{one, two}, "one.example", 0, false, false, "", ""},
		{"the session is refused", 0, true, nil, "", 0, true, true, "", ""},
		{"nothing is refused", 0, false, nil, "one.example", 0, false, false, "", "one.example"},
		{"one domain, and others are queued", 0, false, []tenancy.Mail{one, same}, "", 0, true, false, "one.example",
			"one.example"},
		{"one domain, and no others", 0, false, []tenancy.Mail{one, same}, "", 0, false, true, "one.example", "one.example"},
		{"one domain, and a mail was accepted lately", 0, false, []tenancy.Mail{one}, "", trustAccepted - 1, false, false, "",
			"one.example"},
		{"one domain, and a mail was accepted a day ago", 0, false, []tenancy.Mail{one}, "", trustAccepted, false, true,
			"one.example", "one.example"},
		{"two domains", 0, false, []tenancy.Mail{one, two}, "", 0, true, true, "", "one.example"},
		{"a second domain in the next round", 0, false, []tenancy.Mail{two}, "one.example", 0, true, true, "", "one.example"},
		{"the same domain in the next round", 0, false, []tenancy.Mail{same}, "one.example", 0, true, false, "one.example",
			"one.example"},
		{"a second domain of the same tenant, and one was accepted lately", 0, false, []tenancy.Mail{two}, "one.example",
			time.Hour, true, false, "", "two.example"},
	} {
		w := idle
		if c.queued {
			w = waiting
		}
		d := w.deliverer(&answers{})
		d.doubt.domain, d.doubt.tenant = c.domain, "acme"
		if c.lately > 0 {
			d.doubt.acceptedAt = now.Add(-c.lately)
		}
		r := &round{d: d, accepted: c.accepted, session: c.session, mails: append([]tenancy.Mail{{}}, c.ours...), now: now}
		for i := range c.ours {
			r.ours = append(r.ours, refused{mail: i + 1})
		}
		hold, shows, err := d.suspect(t.Context(), r)
		if err != nil || hold != c.hold || shows != c.shows || d.doubt.domain != c.doubt {
			t.Errorf("%s: hold %v, shown by %q, %v; the doubt is about %q", c.name, hold, shows, err, d.doubt.domain)
		}
		if accepted := d.doubt.acceptedAt.Equal(now); accepted != (c.accepted > 0) {
			t.Errorf("%s: the latest accepted mail is of %v", c.name, d.doubt.acceptedAt)
		}
	}
}

func TestDomainsHaveNoCase(t *testing.T) {
	for address, want := range map[string]int{"a@strict.example": 1, "a@STRICT.example": 1,
		"strict.example@other.example": 0, `"a@b"@strict.example`: 1,
		"a@sub.strict.example": 0} {
		if got := inDomain(tenancy.Mail{Address: address}, "strict.example"); got != want {
			t.Errorf("%s: %d", address, got)
		}
	}
}

func TestAHoldThatCannotBeStoredIsAnError(t *testing.T) {
	w, d, _ := queuedMails(t, &answers{})
	now := date(2026, 11, 1)
	hold := tenancy.MailHold{Since: now.Add(-time.Hour), RetryAt: now, Reason: "554 relay denied"}
	w.held(hold)
	for name, change := range map[string]func() error{
		"claimed":   func() error { _, err := d.claimTest(t.Context(), hold, now); return err },
		"prolonged": func() error { return d.stillHeld(t.Context(), hold, tenancy.Mail{}, now, errors.New("554")) },
		"released":  func() error { return d.release(t.Context(), now) },
	} {
		testenv.FailsIfReadOnly(t, w.Store.DB(), []string{"UPDATE ON settings"}, func() error {
			err := change()
			if errors.As(err, new(*HeldError)) {
				t.Errorf("%s: %v", name, err)
			}
			return err
		})
	}
}

// The answer about one recipient does not show whether the server still refuses this installation.
func TestAHoldLastsIfItsTestFailsForAnotherReason(t *testing.T) {
	answer := error(loginFailed)
	w, d, _ := queuedMails(t, &answers{answer: func(Addressed) error { return answer }})
	ids, now := w.queued(), date(2026, 11, 1)
	if err := d.Deliver(t.Context(), ids, false, now); !errors.As(err, new(*HeldError)) {
		t.Fatalf("the mails are not held: %v", err)
	}
	answer = &Refusal{Fault: OfRecipient, Reply: errors.New("451 try later")}
	err := d.Deliver(t.Context(), ids, false, now.Add(heldPause))
	if err == nil || errors.As(err, new(*HeldError)) || !strings.Contains(err.Error(), "451 try later") {
		t.Errorf("got %v", err)
	}
	hold, err := w.Store.MailHold(t.Context())
	if err != nil || !hold.Since.Equal(now) || !hold.RetryAt.Equal(now.Add(2*heldPause)) {
		t.Errorf("the hold is %+v, %v", hold, err)
	}
}
