package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A drawer is a sink that keeps heads in memory, unless it is stuck.
type drawer struct {
	name  string
	stuck bool
	heads []tenancy.Chain
}

func (d *drawer) Name() string { return d.name }

func (d *drawer) Keep(_ context.Context, head tenancy.Chain, _ time.Time) error {
	if d.stuck {
		return errors.New("the drawer is stuck")
	}
	d.heads = append(d.heads, head)
	return nil
}

func TestTheHeadOfTheAuditLogLeavesOnceADayAndOnceAMonthByMail(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	file, webhook := &drawer{name: "file"}, &drawer{name: "webhook", stuck: true}
	f.config.Heads, f.config.Operators = []HeadSink{webhook, file}, []string{"team@p.example.com", "night@p.example.com"}
	e, err := New(f.config)
	check(t, err)
	other, err := New(f.config) // another replica
	check(t, err)
	mails := func() (all []tenancy.Mail) {
		t.Helper()
		list, err := f.store.Mails(t.Context(), "", "", "", 1000)
		check(t, err)
		for _, m := range list {
			if m.TenantID == "" {
				all = append(all, m)
			}
		}
		return all
	}
	now := date("2026-02-01")
	for range 3 {
		if err := e.PublishHead(t.Context(), now); err == nil || !strings.Contains(err.Error(), "the drawer is stuck") {
			t.Errorf("a sink that fails: %v", err)
		}
	}
	if len(file.heads) != 1 || len(mails()) != 2 {
		t.Errorf("one day: %d heads, %d mails; a stuck sink delays the others", len(file.heads), len(mails()))
	}
	webhook.stuck = false
	check(t, other.Tick(t.Context(), now.Add(time.Hour)))
	if len(file.heads) != 1 || len(webhook.heads) != 1 || len(mails()) != 2 {
		t.Errorf("after the next tick: %d and %d heads, %d mails", len(file.heads), len(webhook.heads), len(mails()))
	}
	for now = now.AddDate(0, 0, 1); now.Before(date("2026-05-01")); now = now.AddDate(0, 0, 1) {
		_, err := f.RenewByHand(t.Context(), acme.Name, tenancy.ForMUser, Reissue, "alice", now)
		check(t, err)
		check(t, e.PublishHead(t.Context(), now))
		check(t, other.PublishHead(t.Context(), now.Add(time.Minute)))
		check(t, e.Prune(t.Context(), now))
	}
	if days := 28 + 31 + 30; len(file.heads) != days || len(webhook.heads) != days || len(mails()) != 3*2 {
		t.Errorf("%d and %d heads, %d mails in %d days and 3 months", len(file.heads), len(webhook.heads), len(mails()), days)
	}
	check(t, f.store.VerifyHeads(t.Context(), file.heads))
	var reported []tenancy.Chain
	for _, m := range mails() {
		notices, err := f.store.NoticesByID(t.Context(), []string{m.NoticeID})
		check(t, err)
		reported = append(reported, tenancy.ParseHeads(notices[m.NoticeID].Reason)...)
		if m.State == tenancy.MailSent || m.Name != "Hosting team" {
			t.Errorf("the mail to %s (%s) is %s", m.Address, m.Name, m.State)
		}
	}
	if len(reported) != 6 {
		t.Errorf("%d heads were reported", len(reported))
	}
	check(t, f.store.VerifyHeads(t.Context(), reported))
}

func TestMailsToTheHostingTeamReportAFailingDatabaseAndAreSentOnce(t *testing.T) {
	now := date("2026-02-01")
	f := sqlite(t, "perennial", now)
	file := &drawer{name: "file"}
	f.config.Operators, f.config.Heads = []string{"team@p.example.com"}, []HeadSink{file}
	e, err := New(f.config)
	check(t, err)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "t", Name: "dmz", Role: tenancy.RoleGateway, CreatedAt: now,
			ExpiresAt: now.AddDate(0, 0, 10)}, "hash")
	}))
	warn := func() error { return e.WarnOfTokens(t.Context(), now) }
	f.failing([]string{"tokens", "claims"}, []string{"claims", "notices", "mails"}, warn)
	publish := func() error {
		now = now.AddDate(0, 1, 0) // a mail a month
		return e.PublishHead(t.Context(), now)
	}
	f.failing([]string{"claims", "event_head"}, []string{"claims", "notices", "mails"}, publish)
	mails, err := f.store.Mails(t.Context(), "", "", "", 100)
	check(t, err)
	var subjects []string
	for _, m := range mails {
		if m.Address != "team@p.example.com" || m.Name != "Hosting team" || m.State != tenancy.MailQueued {
			t.Errorf("%+v", m)
		}
		subjects = append(subjects, m.Subject)
	}
	if want := []string{"Perennial: tokens of senders and gateways expire soon",
		"Perennial: the head of the audit log, " + now.Format("January 2006")}; !slices.Equal(subjects, want) {
		t.Errorf("mails %q, want %q", subjects, want)
	}
}
