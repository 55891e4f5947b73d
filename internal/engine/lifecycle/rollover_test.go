package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// arrangement makes an arrangement that presents generation 1.
func (f *fixture) arrangement(t tenancy.Tenant, name string, s tenancy.Strategy) tenancy.Arrangement {
	f.t.Helper()
	return f.arrange(tenancy.Arrangement{TenantID: t.ID, Name: "crm-to-" + name, Endpoint: "https://" + name, Strategy: s,
		CreatedAt: t.CreatedAt})
}

// arrangementOf creates an arrangement that presents a credential.
func (f *fixture) arrangementOf(t tenancy.Tenant, name string, c tenancy.Purpose) tenancy.Arrangement {
	f.t.Helper()
	return f.arrange(tenancy.Arrangement{TenantID: t.ID, Name: "crm-to-" + name, Endpoint: "https://" + name,
		Credential: c, Strategy: tenancy.Adaptive, CreatedAt: t.CreatedAt})
}

func (f *fixture) arrange(a tenancy.Arrangement) tenancy.Arrangement {
	f.t.Helper()
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) (err error) {
		a, err = tenanttest.Arrangement(f.t.Context(), tx, a)
		return err
	}))
	return a
}

// renews runs the background job: it warns on November 1st and renews on December 1st.
func (f *fixture) renews() {
	f.t.Helper()
	for _, day := range []string{"2026-01-15", "2026-11-01", "2026-12-01"} {
		check(f.t, f.Tick(f.t.Context(), date(day)))
	}
}

func (f *fixture) standing(t tenancy.Tenant, name string) standing.Standing {
	f.t.Helper()
	a, err := f.store.Arrangement(f.t.Context(), t.ID, "crm-to-"+name)
	check(f.t, err)
	s, err := f.Standing(f.t.Context(), f.store.Reader, t, a)
	check(f.t, err)
	return s
}

func (f *fixture) sees(a tenancy.Arrangement, generation int, v rollover.Verdict, by rollover.Source,
	now time.Time) standing.Standing {
	f.t.Helper()
	s, err := f.Observe(f.t.Context(), a.ID, "test", []standing.Observation{{Detail: "200 OK",
		Evidence: rollover.Evidence{Generation: generation, Verdict: v, By: by, At: now}}}, now)
	check(f.t, err)
	return s
}

func (f *fixture) actions(tenant, object string) (all []string) {
	f.t.Helper()
	events, err := f.store.Events(f.t.Context(), tenant, 0, 1000)
	check(f.t, err)
	for _, e := range events {
		if e.Object == object {
			all = append(all, e.Action)
		}
	}
	return all
}

func TestARenewalReachesEveryArrangementByItsStrategy(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		bank := f.arrangement(acme, "bank", tenancy.Adaptive)
		f.arrangement(acme, "erp", tenancy.Immediate)
		shop := f.arrangement(acme, "shop", tenancy.Manual)
		f.renews()

		if got := f.standing(acme, "erp"); got.Rollover.Presents != 2 ||
			got.Rollover.State(date("2026-12-01")) != rollover.CutOver {
			t.Errorf("immediate: %+v", got.Rollover)
		}
		if got := f.actions("acme", "acme/crm-to-erp"); !slices.Equal(got, []string{"arrangement.cut-over"}) {
			t.Errorf("events %v", got)
		}
		for _, name := range []string{"bank", "shop"} {
			if got := f.standing(acme, name); got.Rollover.Presents != 1 ||
				got.Rollover.State(date("2026-12-01")) != rollover.Announced || len(got.Rollover.Order(date("2026-12-01"))) != 2 {
				t.Errorf("%s: %+v", name, got.Rollover)
			}
		}

		// The bank replaces the old certificate by the new one. For shop, a user chooses the new one.
		f.sees(bank, 1, rollover.Refused, rollover.Traffic, date("2026-12-05"))
		if got := f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-05")); got.Rollover.Presents != 2 ||
			got.Arrangement.Generation != 2 {
			t.Errorf("bank: %+v", got.Rollover)
		}
		if got := f.actions("acme", "acme/crm-to-bank"); !slices.Equal(got,
			[]string{"arrangement.refused", "arrangement.accepted", "arrangement.cut-over"}) {
			t.Errorf("events %v", got)
		}
		f.sees(shop, 2, rollover.Accepted, rollover.Traffic, date("2026-12-05"))
		if got := f.standing(acme, "shop"); got.Rollover.Presents != 1 ||
			got.Rollover.State(date("2026-12-05")) != rollover.Trusted {
			t.Errorf("shop: %+v", got.Rollover)
		}
		if _, err := f.Choose(t.Context(), shop.ID, 2, "alice", date("2026-12-06")); err != nil {
			t.Error(err)
		}
		old, err := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
		check(t, err)
		if _, err := f.PrivateKey(t.Context(), old); err != nil || old.State != tenancy.Active {
			t.Errorf("the old generation is out of reach: %s, %v", old.State, err)
		}
	})
}

func TestTheOldGenerationIsRetiredWhenEveryArrangementIsSettled(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank, erp := f.arrangement(acme, "bank", tenancy.Adaptive), f.arrangement(acme, "erp", tenancy.Adaptive)
	state := func() tenancy.State {
		c, err := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
		check(t, err)
		if _, err := f.PrivateKey(t.Context(), c); (c.State == tenancy.Retired) != errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s, and its key: %v", c.State, err)
		}
		return c.State
	}
	f.renews()
	// the second one is after the cut-over, which the first one causes
	for _, day := range []string{"2026-12-02", "2026-12-03"} {
		f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date(day))
		f.sees(erp, 2, rollover.Accepted, rollover.Probe, date(day))
	}
	check(t, f.Tick(t.Context(), date("2026-12-29")))
	if got := state(); got != tenancy.Active {
		t.Fatalf("%s after 27 days", got)
	}
	f.sees(bank, 2, rollover.Refused, rollover.Traffic, date("2026-12-29")) // it went back
	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-12-29"))
	check(t, f.Tick(t.Context(), date("2026-12-31")))
	if got := state(); got != tenancy.Active || f.standing(acme, "bank").Rollover.Presents != 1 {
		t.Fatalf("%s although the bank needs it", got)
	}
	// The bank never acts. The arrangement leaves the old generation three days before that expires, and then it is
	// retired.
	check(t, f.Tick(t.Context(), date("2027-01-13")))
	if got := f.standing(acme, "bank"); got.Rollover.Presents != 2 ||
		!slices.Equal(got.Rollover.Order(date("2027-01-13")), []int{1, 2}) {
		t.Errorf("%+v", got.Rollover)
	}
	check(t, f.Tick(t.Context(), date("2027-01-16")))
	if got := state(); got != tenancy.Retired {
		t.Errorf("%s after it expired", got)
	}
	if got := f.newest(acme, tenancy.ForTenant); got.State != tenancy.Active {
		t.Errorf("the newest is %s", got.State)
	}
}

// A generation can be retired in several ways: with its renewal, if no arrangement presents it, when its roll-over has
// settled, or when the last arrangement is gone. The key goes with each.
func TestARetiredGenerationHasNoKeyHoweverItWasRetired(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	idle, settled := f.tenant("idle", date("2026-01-15")), f.tenant("settled", date("2026-01-15"))
	left := f.tenant("left", date("2026-01-15"))
	bank, gone := f.arrangement(settled, "bank", tenancy.Adaptive), f.arrangement(left, "bank", tenancy.Adaptive)
	f.renews()
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.DeleteArrangement(t.Context(), gone) }))
	check(t, f.Tick(t.Context(), date("2026-12-31")))
	retired := map[tenancy.Purpose]int{}
	for _, tenant := range []tenancy.Tenant{idle, settled, left} {
		certs, err := f.store.Certificates(t.Context(), tenant.ID, "", 100)
		check(t, err)
		for _, c := range certs {
			key, err := f.store.SealedKey(t.Context(), c.ID)
			check(t, err)
			if (c.State == tenancy.Retired) != (len(key) == 0) {
				t.Errorf("%s: generation %d of %s is %s, and its key has %d bytes", tenant.Name, c.Generation, c.Purpose, c.State,
					len(key))
			}
			if c.State == tenancy.Retired {
				retired[c.Purpose]++
			}
		}
	}
	if retired[tenancy.ForMUser] != 3 || retired[tenancy.ForTenant] != 3 {
		t.Errorf("retired: %v", retired)
	}
}

func TestASettledTenantIsRetiredEarly(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
	check(t, f.Tick(t.Context(), date("2026-12-31")))
	if c, _ := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1); c.State != tenancy.Retired {
		t.Errorf("%s, 29 days after the cut-over", c.State)
	}
	if got := f.standing(acme, "bank"); got.Rollover.State(date("2026-12-31")) != rollover.Settled ||
		got.Rollover.Open(date("2026-12-31")) {
		t.Errorf("%+v", got.Rollover)
	}
}

// After a change to a shorter validity, the old generation expires after its successors. The receiver may accept it
// when the next one is refused, so it is kept until a settled generation lasts as long.
func TestAGenerationThatOutlivesItsSuccessorIsNotRetired(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15")) // it expires on 2027-01-14
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	shorter, err := policy.Preset("short-lived") // 47 days
	check(t, err)
	f.policy = shorter
	settle := func(generation int, on, settled string) {
		t.Helper()
		_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "alice", date(on))
		check(t, err)
		for range 2 { // the second one is after the cut-over, which the first one causes after the notice period
			f.sees(bank, generation, rollover.Accepted, rollover.Traffic, date(on).Add(14*policy.Day))
		}
		check(t, f.Roll(t.Context(), date(settled)))
		if got := f.standing(acme, "bank").Rollover; got.State(date(settled)) != rollover.Settled {
			t.Fatalf("on %s the roll-over is %s: %+v", settled, got.State(date(settled)), got)
		}
	}
	first := func() tenancy.Certificate {
		t.Helper()
		c, err := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
		check(t, err)
		return c
	}
	settle(2, "2026-10-01", "2026-11-15") // it expires on 2026-11-17
	if _, err := f.PrivateKey(t.Context(), first()); err != nil {
		t.Fatalf("the generation is %s, and its key: %v", first().State, err)
	}
	now := f.standing(acme, "bank")
	if order := now.Rollover.Order(date("2026-11-16")); !slices.Equal(order, []int{2, 1}) {
		t.Errorf("generations %v are tried", order)
	}
	if next := NextRoll([]standing.Standing{now}, date("2026-11-15")); !next.After(date("2026-11-15")) {
		t.Errorf("the next roll is due at %s, although nothing can be retired", next)
	}
	settle(3, "2026-12-01", "2027-01-13") // it expires on 2027-01-17
	if got := first(); got.State != tenancy.Retired {
		t.Errorf("the generation is %s after one was settled that lasts longer", got.State)
	}
}

func TestACompromisedGenerationIsLeftAtOnceByEveryStrategy(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		f.arrangement(acme, string(s), s)
	}
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "alice", date("2026-06-01"))
	check(t, err)
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		if got := f.standing(acme, string(s)); got.Rollover.Presents != 2 ||
			!slices.Equal(got.Rollover.Order(date("2026-06-01")), []int{2}) {
			t.Errorf("%s: %+v", s, got.Rollover)
		}
	}
	events, err := f.store.Events(t.Context(), "acme", 0, 1000)
	if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
		return e.Action == "arrangement.cut-over" && e.Object == "acme/crm-to-manual" &&
			e.Detail == `{"from":1,"generation":2,"may_break_delivery":true,"strategy":"manual",`+
				`"why":"generation 1 was revoked"}`
	}) || err != nil {
		t.Errorf("it does not say so: %v %v", events, err)
	}
}

// During a roll-over, two generations can be presented, and the key of either may be stolen.
func TestBothGenerationsOfARollOverAreRevokedIfTheCertificateIsCompromised(t *testing.T) {
	for _, reason := range []string{Lost, Compromised} {
		f := sqlite(t, "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		f.arrangement(acme, "erp", tenancy.Adaptive)
		_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "alice", date("2026-06-01"))
		check(t, err)
		if got := f.standing(acme, "erp"); got.Rollover.Presents != 1 {
			t.Fatalf("before: %+v", got.Rollover)
		}
		at := date("2026-06-02")
		_, err = f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, reason, "alice", at)
		check(t, err)
		all, err := f.store.Certificates(t.Context(), acme.ID, "", 10)
		check(t, err)
		for _, c := range all {
			if c.Purpose == tenancy.ForTenant && (c.State == tenancy.Revoked) != (c.Generation < 3) {
				t.Errorf("%s: generation %d is %s", reason, c.Generation, c.State)
			}
		}
		if got := f.standing(acme, "erp"); got.Rollover.Presents != 3 || !slices.Equal(got.Rollover.Order(at), []int{3}) {
			t.Errorf("%s: %+v", reason, got.Rollover)
		}
		events, err := f.store.Events(t.Context(), "acme", 0, 1000)
		check(t, err)
		for _, object := range []string{"acme/tenant/1", "acme/tenant/2"} {
			if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
				return e.Action == "certificate.revoked" && e.Object == object
			}) {
				t.Errorf("%s: there is no event that %s was revoked", reason, object)
			}
		}
	}
}

func TestAReissueIsNotPresentedBeforeTheKeyUsersHadTheirNotice(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.arrangement(acme, "erp", tenancy.Immediate)
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "alice", date("2026-06-01"))
	check(t, err)
	for _, step := range []struct {
		day  string
		want int
	}{{"2026-06-02", 1}, {"2026-06-28", 1}, {"2026-06-29", 2}} {
		check(t, f.Tick(t.Context(), date(step.day)))
		if got := f.standing(acme, "erp"); got.Rollover.Presents != step.want {
			t.Errorf("%s: presents %d", step.day, got.Rollover.Presents)
		}
	}
}

func TestRemindersAboutReceiversThatDoNotActGrowInUrgency(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.arrangement(acme, "bank", tenancy.Adaptive)
	shop := f.arrangement(acme, "shop", tenancy.Confirmed)
	f.renews()
	f.sees(shop, 2, rollover.Accepted, rollover.Probe, date("2026-12-02"))
	subjects := func() (all []string) {
		for _, task := range f.tasks(acme) {
			if task.Kind == tenancy.Unready && task.KeyUser == "alice" {
				all = append(all, task.Subject)
			}
		}
		return all
	}
	// It expires on January 14th at 23:55. Two stages pass while the service is down.
	for _, day := range []string{"2026-12-10", "2026-12-16", "2026-12-16", "2026-12-17", "2027-01-08", "2027-01-12",
		"2027-01-14"} {
		check(t, f.Tick(t.Context(), date(day)))
	}
	want := []string{
		"crm-to-bank is not known to accept the new certificate, 30 days left",
		"crm-to-bank is not known to accept the new certificate, 7 days left",
		"Urgent: crm-to-bank is not known to accept the new certificate, 3 days left",
		"Urgent: crm-to-bank is not known to accept the new certificate, 1 day left",
	}
	if got := subjects(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	subscribed := 0
	mails, err := f.store.Mails(t.Context(), acme.ID, "", "", 100)
	check(t, err)
	for _, m := range mails {
		if slices.Contains(want, m.Subject) && m.Name == "alice" {
			subscribed++
		}
	}
	if subscribed != len(want) {
		t.Errorf("%d reminders to the subscriber", subscribed)
	}
	if got := len(f.tasks(acme)); got != 3*(2+len(want)) { // warned, renewed and these, each to three key users
		t.Errorf("%d tasks", got)
	}
}

func TestOnlyAMessageThatNeedsTheOldGenerationKeepsItInUse(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	needed := func() time.Time {
		a, err := f.store.ArrangementByID(t.Context(), bank.ID)
		check(t, err)
		return a.NeededOldAt
	}
	for _, c := range []struct {
		generation int
		verdict    rollover.Verdict
		by         rollover.Source
		day        string
		want       time.Time
	}{
		{2, rollover.Accepted, rollover.Traffic, "2026-12-02", time.Time{}},
		{1, rollover.Accepted, rollover.Traffic, "2026-12-03", time.Time{}}, // it takes both
		{2, rollover.Refused, rollover.Traffic, "2026-12-04", time.Time{}},
		{1, rollover.Accepted, rollover.Traffic, "2026-12-05", date("2026-12-05")},
		{2, rollover.Accepted, rollover.Traffic, "2026-12-06", date("2026-12-05")},
	} {
		s := f.sees(bank, c.generation, c.verdict, c.by, date(c.day))
		if got := needed(); !got.Equal(c.want) || !s.Rollover.NeededOldAt.Equal(c.want) {
			t.Errorf("%s, generation %d %s: the old one was needed at %s, want %s", c.day, c.generation, c.verdict, got, c.want)
		}
	}
}

func TestTheNextRollIsWhenSomethingCanChange(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	if next := NextRoll([]standing.Standing{f.standing(acme, "bank")}, date("2026-01-16")); !next.IsZero() {
		t.Errorf("without a roll-over: %s", next)
	}
	if next := NextRoll(nil, date("2026-01-16")); !next.IsZero() {
		t.Errorf("without arrangements: %s", next)
	}
	f.renews()
	now := date("2026-12-02")
	open := f.standing(acme, "bank")
	// The first reminder is due 30 days before the old certificate expires on January 14th at 23:55.
	want := open.Certificates[0].NotAfter.AddDate(0, 0, -30)
	if next := NextRoll([]standing.Standing{open}, now); !next.Equal(want) {
		t.Errorf("of an open roll-over: %s, want %s", next, want)
	}
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, now)
	settled := f.sees(bank, 2, rollover.Accepted, rollover.Traffic, now)
	at := date("2027-01-05")
	if settled.Rollover.State(at) != rollover.Settled {
		t.Fatalf("the roll-over is %s", settled.Rollover.State(at))
	}
	if next := NextRoll([]standing.Standing{settled}, at); !next.Equal(at) {
		t.Errorf("of a settled roll-over, whose old generation can be retired now: %s", next)
	}
}

func TestWithoutItsLastArrangementATenantHasOneActiveGeneration(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	if c := f.newest(acme, tenancy.ForTenant); c.State != tenancy.Standby {
		t.Fatalf("generation 2 is %s before", c.State)
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.DeleteArrangement(t.Context(), bank) }))
	check(t, f.Roll(t.Context(), date("2026-12-02")))
	old, err := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
	check(t, err)
	if c := f.newest(acme, tenancy.ForTenant); c.State != tenancy.Active || old.State != tenancy.Retired {
		t.Errorf("generation 2 is %s, and generation 1 %s", c.State, old.State)
	}
}

func TestEveryGenerationBeforeTheSettledOneIsRetiredAtOnce(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	bank := f.arrangement(acme, "bank", tenancy.Immediate)
	now := date("2026-06-01")
	for range 2 {
		_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
		check(t, err)
		now = now.AddDate(0, 0, 40) // more than the notice
	}
	f.sees(bank, 3, rollover.Accepted, rollover.Traffic, now)
	now = now.AddDate(0, 0, 40)
	all, err := f.RollTenant(t.Context(), acme, now)
	check(t, err)
	if len(all) != 1 || len(all[0].Certificates) != 1 || all[0].Certificates[0].Generation != 3 {
		t.Errorf("after the roll-over %+v are left", all)
	}
	for _, n := range []string{"acme/tenant/1", "acme/tenant/2"} {
		if got := f.actions("acme", n); !slices.Contains(got, "certificate.retired") {
			t.Errorf("%s: events %q", n, got)
		}
	}
}

// A racing issuer lets another replica renew first.
type racing struct {
	issuer.Issuer
	before func()
}

func (r *racing) Unwrap() issuer.Issuer { return r.Issuer }

func (r *racing) Issue(ctx context.Context, q issuer.Request) (issuer.Issued, error) {
	if before := r.before; before != nil {
		r.before = nil
		before()
	}
	return r.Issuer.Issue(ctx, q)
}

func TestARenewalByHandThatAnotherReplicaOvertookSaysSo(t *testing.T) {
	now := date("2026-06-01")
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	other := f.replica(now)
	slow := &racing{Issuer: f.config.Issuer}
	f.config.Issuer = slow
	e, err := New(f.config)
	check(t, err)
	slow.before = func() {
		_, err := other.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "other", now)
		check(t, err)
	}
	_, err = e.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
	if !errors.Is(err, tenancy.ErrConflict) ||
		!strings.Contains(err.Error(), "has just renewed the Tenant Certificate of acme") {
		t.Errorf("got %v", err)
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 {
		t.Errorf("generation %d is the newest", c.Generation)
	}
}
