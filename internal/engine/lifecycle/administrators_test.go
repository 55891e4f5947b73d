package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// reaching is a fixture whose engine can mail administrators.
func reaching(t *testing.T, now time.Time) *fixture {
	t.Helper()
	f := sqlite(t, policy.Default, now)
	key, err := links.Open(t.Context(), f.store, f.seal)
	check(t, err)
	f.config.LinkKey = key
	f.Engine, err = New(f.config)
	check(t, err)
	return f
}

// allows lets a tenant mail the administrators of its receivers.
func (f *fixture) allows(t tenancy.Tenant, allowed bool) tenancy.Tenant {
	f.t.Helper()
	all, err := f.store.TenantsByID(f.t.Context(), []string{t.ID})
	check(f.t, err)
	t = all[t.ID]
	t.MailsAdministrators = allowed
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return tx.UpdateTenant(f.t.Context(), t) }))
	t.Version++
	return t
}

// administers sets the administrator of the receiver of an arrangement.
func (f *fixture) administers(address string, a tenancy.Arrangement) {
	f.t.Helper()
	v, err := f.store.Receiver(f.t.Context(), a.TenantID, a.Name)
	check(f.t, err)
	v.ContactName, v.ContactEmail = strings.ToUpper(address[:1]), address
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return tx.UpdateReceiver(f.t.Context(), v) }))
}

// told lists "address: kind" of the mails to administrators that were not listed before.
func (f *fixture) told(seen map[string]bool) (all []string) {
	f.t.Helper()
	mails, err := f.store.Mails(f.t.Context(), "", "", "", 1000)
	check(f.t, err)
	for _, m := range mails {
		if m.AdministratorID != "" && !seen[m.ID] {
			seen[m.ID] = true
			kind, _ := strings.CutPrefix(string(m.Kind), "administrator-")
			all = append(all, m.Address+": "+kind)
		}
	}
	slices.Sort(all)
	return all
}

func (f *fixture) tells(what string, seen map[string]bool, want ...string) {
	f.t.Helper()
	slices.Sort(want)
	if got := f.told(seen); !slices.Equal(got, want) {
		f.t.Errorf("%s: the mails are %q, want %q", what, got, want)
	}
}

func (f *fixture) ticks(days ...string) {
	f.t.Helper()
	for _, day := range days {
		check(f.t, f.Tick(f.t.Context(), date(day)))
	}
}

func TestEachAdministratorIsMailedOnceAboutEachEvent(t *testing.T) {
	f := reaching(t, date("2026-01-15"))
	acme := f.allows(f.tenant("acme", date("2026-01-15")), true)
	one, two := f.arrangement(acme, "bank", tenancy.Adaptive), f.arrangement(acme, "fund", tenancy.Adaptive)
	shop := f.arrangement(acme, "shop", tenancy.Adaptive)
	f.arrangement(acme, "unknown", tenancy.Adaptive)
	f.administers("ada@bank.example", one)
	f.administers("Ada@bank.example", two)
	f.administers("bob@shop.example", shop)
	seen := map[string]bool{}

	f.ticks("2026-01-15", "2026-11-01", "2026-11-01", "2026-11-02")
	f.tells("the warning", seen, "ada@bank.example: expiring", "bob@shop.example: expiring")
	f.ticks("2026-12-01", "2026-12-01")
	f.tells("the renewal", seen, "ada@bank.example: renewed", "bob@shop.example: renewed")

	f.sees(one, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	f.ticks("2026-12-02")
	f.tells("one of two systems accepts", seen)
	f.sees(two, 2, rollover.Accepted, rollover.Traffic, date("2026-12-03"))
	f.ticks("2026-12-03", "2026-12-04")
	f.tells("all systems of one administrator accept", seen, "ada@bank.example: done")

	f.ticks("2026-12-16", "2026-12-17")
	f.tells("30 days are left", seen, "bob@shop.example: unready")
	f.ticks("2027-01-01")
	f.tells("14 days are left", seen, "bob@shop.example: unready")
	f.ticks("2027-01-15", "2027-01-16")
	f.tells("the old certificate has expired", seen, "ada@bank.example: retired", "bob@shop.example: unready")

	all, err := f.store.LinksOf(t.Context(), []string{one.ID, two.ID, shop.ID}, date("2027-01-16"))
	check(t, err)
	for _, a := range []tenancy.Arrangement{one, two, shop} {
		found := all[a.ID]
		if len(found) != 1 || found[0].Address != strings.ToLower(found[0].Address) {
			t.Fatalf("%s: the links are %+v", a.Name, found)
		}
		hash := tenancy.HashSecret(f.config.LinkKey.Secret(links.Page, found[0].ID))
		if l, err := f.store.LinkByHash(t.Context(), hash); err != nil || l.ID != found[0].ID {
			t.Errorf("%s: the secret in a mail opens %+v: %v", a.Name, l, err)
		}
	}
	for _, n := range f.mails.queued {
		if n != 1 {
			t.Errorf("a mail was queued %d times", n)
		}
	}
}

func TestWithoutThePermissionOfTheirTenantAdministratorsAreNotMailed(t *testing.T) {
	f := reaching(t, date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.administers("ada@bank.example", f.arrangement(acme, "bank", tenancy.Adaptive))
	seen := map[string]bool{}
	f.ticks("2026-01-15", "2026-11-01")
	f.tells("without the permission", seen)
	f.allows(acme, true)
	f.ticks("2026-12-01")
	f.tells("with the permission", seen, "ada@bank.example: renewed")
	f.allows(acme, false)
	f.ticks("2026-12-16", "2027-01-15")
	f.tells("after the permission was withdrawn", seen)
}

func TestAnAdministratorWhoStopsTheMailsStopsOnlyTheirOwnAndKeyUsersGetATask(t *testing.T) {
	f := reaching(t, date("2026-01-15"))
	acme := f.allows(f.tenant("acme", date("2026-01-15")), true)
	globex := f.allows(f.tenant("globex", date("2026-01-15")), true)
	f.administers("ada@bank.example", f.arrangement(acme, "bank", tenancy.Adaptive))
	f.administers("bob@shop.example", f.arrangement(acme, "shop", tenancy.Adaptive))
	f.administers("ada@bank.example", f.arrangement(globex, "bank", tenancy.Adaptive))
	seen := map[string]bool{}
	f.ticks("2026-01-15", "2026-11-01")
	f.tells("the warning", seen, "ada@bank.example: expiring", "ada@bank.example: expiring", "bob@shop.example: expiring")
	known, err := f.store.Administrators(t.Context(), acme.ID, "")
	check(t, err)
	for range 2 { // the second time changes nothing
		check(t, f.StopAdministrator(t.Context(), known[0].ID, tenancy.PassedOn, "Eve, eve@bank.example", "link",
			date("2026-11-02")))
	}
	f.ticks("2026-12-01")
	f.tells("the renewal", seen, "ada@bank.example: renewed", "bob@shop.example: renewed")
	stopped := 0
	for _, task := range f.tasks(acme) {
		var r tenancy.StopReport
		if task.Kind == tenancy.AdministratorStopped && json.Unmarshal([]byte(task.Reason), &r) == nil &&
			r.Address == "ada@bank.example" && r.Other == "Eve, eve@bank.example" {
			stopped++
		}
	}
	if stopped != 3 {
		t.Errorf("%d key users have a task, want 3", stopped)
	}
	check(t, f.ResumeAdministrator(t.Context(), known[0].ID, "link", date("2026-12-02")))
	check(t, f.StopAdministrator(t.Context(), known[0].ID, tenancy.StopAskedFor, "", "link", date("2026-12-02")))
	if err := f.ResumeAdministrator(t.Context(), known[0].ID, "link", date("2026-12-02")); !errors.Is(err,
		tenancy.ErrRefused) {
		t.Errorf("a second undo on the same day: %v", err)
	}
	check(t, f.ResumeAdministrator(t.Context(), known[0].ID, "link", date("2026-12-03")))
	f.ticks("2026-12-16")
	f.tells("after the undo", seen, "ada@bank.example: unready", "ada@bank.example: unready",
		"bob@shop.example: unready")
}

// bank creates a counterparty with a page and contacts, to which the receivers of arrangements are linked.
func (f *fixture) bank(contacts []string, all ...tenancy.Arrangement) {
	f.t.Helper()
	ctx := f.t.Context()
	c := tenancy.Counterparty{ID: "bank", Name: "bank", DisplayName: "House Bank", CreatedAt: date("2026-01-15"),
		Version: 1}
	check(f.t, f.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.CreateCounterparty(ctx, c); err != nil {
			return err
		}
		for _, address := range contacts {
			if err := tx.AddCounterpartyContact(ctx, tenancy.CounterpartyContact{ID: store.NewID(), CounterpartyID: c.ID,
				Name: address, Email: address, CreatedAt: c.CreatedAt}); err != nil {
				return err
			}
		}
		return tx.LinkCounterparty(ctx, c.ID, "hash", "test", c.CreatedAt)
	}))
	for _, a := range all {
		v, err := f.store.Receiver(ctx, a.TenantID, a.Name)
		check(f.t, err)
		v.CounterpartyID = c.ID
		check(f.t, f.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateReceiver(ctx, v) }))
	}
}

// reports returns the reports of the mails to a counterparty about a kind of event.
func (f *fixture) reports(kind tenancy.NoticeKind) (all []tenancy.CounterpartyReport) {
	f.t.Helper()
	mails, err := f.store.Mails(f.t.Context(), "", "", "", 1000)
	check(f.t, err)
	for _, m := range mails {
		if m.Kind != kind || m.TenantID != "" {
			continue
		}
		notices, err := f.store.NoticesByID(f.t.Context(), []string{m.NoticeID})
		check(f.t, err)
		var r tenancy.CounterpartyReport
		check(f.t, json.Unmarshal([]byte(notices[m.NoticeID].Reason), &r))
		all = append(all, r)
	}
	return all
}

func TestACounterpartyGetsOneMailAboutAllTenantsThatAllowIt(t *testing.T) {
	f := reaching(t, date("2026-01-15"))
	var all []tenancy.Arrangement
	for i := range 12 {
		tenant := f.tenant(fmt.Sprintf("t%d", i), date("2026-01-15"))
		if i > 0 {
			f.allows(tenant, true)
		}
		a := f.arrangement(tenant, "bank", tenancy.Adaptive)
		f.administers("own@bank.example", a) // the contacts of the counterparty come first
		all = append(all, a)
	}
	f.bank([]string{"ada@bank.example", "bob@bank.example"}, all...)
	seen := map[string]bool{}
	hourly := func(day string) {
		for hour := range 3 {
			check(t, f.Tick(t.Context(), date(day).Add(time.Duration(hour)*time.Hour)))
		}
	}
	f.ticks("2026-01-15")
	hourly("2026-11-01")
	f.tells("the warning", seen, "ada@bank.example: expiring")
	hourly("2026-12-01")
	f.tells("the renewal", seen, "ada@bank.example: renewed")
	reports := f.reports(tenancy.AdministratorRenewed)
	if len(reports) != 1 || reports[0].Total != 11 || len(reports[0].Lines) != tenancy.MostReported ||
		reports[0].DisplayName != "House Bank" || reports[0].First.IsZero() {
		t.Errorf("the mail is about %+v", reports)
	}
	hourly("2026-12-16")
	f.tells("the first reminder", seen, "ada@bank.example: unready")
	hourly("2027-01-08")
	f.tells("7 days are left", seen, "ada@bank.example: unready", "bob@bank.example: unready")

	known, err := f.store.Administrators(t.Context(), "", "bank")
	check(t, err)
	check(t, f.StopAdministrator(t.Context(), known[0].ID, tenancy.Bounced, "", "mail", date("2027-01-09")))
	for _, a := range all {
		f.sees(a, 2, rollover.Accepted, rollover.Traffic, date("2027-01-10"))
	}
	hourly("2027-01-10")
	f.tells("all accept, and the first contact is gone", seen, "bob@bank.example: done")
}

// A key user enters the addresses, so an event must not mail any number of them.
func TestAnEventOfATenantMailsALimitedNumberOfAdministrators(t *testing.T) {
	f := reaching(t, date("2026-01-15"))
	p := audience{reach: &reach{receivers: map[string]tenancy.Receiver{}, known: map[string]tenancy.Administrator{},
		links: map[string][]tenancy.Link{}}}
	for i := range mostMailed + 10 {
		id := fmt.Sprint(i)
		p.reach.receivers[id] = tenancy.Receiver{ID: id, ContactEmail: id + "@x.example"}
		p.reach.arrangements = append(p.reach.arrangements, tenancy.Arrangement{ID: id, Name: id, ReceiverID: id,
			Authentication: tenancy.ClientCertificate, Credential: tenancy.ForTenant})
	}
	b := batchFor(0)
	f.toAdministrators(b, p, tenancy.Certificate{Purpose: tenancy.ForTenant}, tenancy.Notice{
		Kind: tenancy.AdministratorRenewed}, everyone, date("2026-12-01"))
	if len(b.mails) != mostMailed || len(b.links) != mostMailed || len(b.notices) != 1 {
		t.Errorf("%d mails and %d links for %d notices", len(b.mails), len(b.links), len(b.notices))
	}
}
