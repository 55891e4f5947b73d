package parties_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
)

// A world has tenants with arrangements that present a certificate to the bank.
type world struct {
	t       testing.TB
	engine  *enginetest.Installation
	parties *parties.Parties
	now     time.Time
	bank    tenancy.Counterparty
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: begin}
	w.engine, _ = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), begin)
	w.bank = tenancy.Counterparty{ID: "bank", Name: "bank", DisplayName: "Bank", Hosts: []string{"bank.example"},
		CreatedAt: begin, Version: 1}
	w.write(func(ctx context.Context, tx *store.Tx) error { return tx.CreateCounterparty(ctx, w.bank) })
	var err error
	w.parties, err = parties.New(w.engine.Store)
	check(t, err)
	return w
}

func (w *world) write(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	check(w.t, w.engine.Store.InTx(w.t.Context(), func(tx *store.Tx) error { return fn(w.t.Context(), tx) }))
}

// sends gives a tenant an arrangement with the bank.
func (w *world) sends(t tenancy.Tenant, name string) tenancy.Arrangement {
	w.t.Helper()
	a := w.engine.Arrangement(w.t, tenancy.Arrangement{TenantID: t.ID, Name: name,
		Endpoint: "https://bank.example/" + name})
	w.link()
	return a
}

// link links every receiver with the host of the bank.
func (w *world) link() {
	w.write(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.LinkReceivers(ctx, "bank", "bank.example")
		return err
	})
}

func (w *world) renew(t tenancy.Tenant) {
	w.t.Helper()
	_, err := w.engine.RenewByHand(w.t.Context(), t.Name, tenancy.ForTenant, lifecycle.Reissue, "test", w.now)
	check(w.t, err)
}

// see records evidence about the new certificate.
func (w *world) see(a tenancy.Arrangement, v rollover.Verdict, by rollover.Source) {
	w.t.Helper()
	_, err := w.engine.Observe(w.t.Context(), a.ID, "test", []standing.Observation{{Evidence: rollover.Evidence{
		Generation: 2, Verdict: v, By: by, At: w.now}}}, w.now)
	check(w.t, err)
}

// list returns the keys and states of the list in its order.
func (w *world) list() (parties.List, string) {
	w.t.Helper()
	list, err := w.parties.Read(w.t.Context(), "bank", w.now)
	check(w.t, err)
	var all []string
	for _, l := range list.Lines {
		all = append(all, l.Key()+" "+string(l.State))
	}
	return list, strings.Join(all, ", ")
}

func TestTheWorstCertificateIsFirstAndTheNumbersCountTheList(t *testing.T) {
	w := newWorld(t)
	names := []string{"quiet", "needed", "refused", "claimed", "done"}
	for _, name := range names {
		tenant := w.engine.Tenant(t, name, w.now)
		a := w.sends(tenant, "pay")
		if name == "quiet" {
			continue
		}
		w.renew(tenant)
		switch name {
		case "refused":
			w.see(a, rollover.Refused, rollover.Traffic)
		case "claimed":
			w.see(a, rollover.Accepted, rollover.Person)
		case "done":
			w.see(a, rollover.Accepted, rollover.Probe)
		}
	}
	w.engine.Tenant(t, "stranger", w.now) // sends nothing to the bank
	w.now = w.now.Add(time.Hour)
	list, got := w.list()
	want := "refused/tenant refused, needed/tenant needed, claimed/tenant claimed, done/tenant done, quiet/tenant quiet"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if fmt.Sprint(list.Counts) != "map[claimed:1 done:1 needed:1 quiet:1 refused:1]" || list.OpenLines() != 3 {
		t.Errorf("counted %v", list.Counts)
	}
	needed := list.Lines[1]
	if needed.New.Generation != 2 || needed.Old.Generation != 1 || needed.Old.Fingerprint == needed.New.Fingerprint ||
		!needed.Deadline.Equal(needed.Old.NotAfter) || !list.First.Equal(needed.Deadline) {
		t.Errorf("a certificate that is needed: %+v", needed)
	}
	if n := list.Position("claimed/tenant"); n != 3 || list.Position("") != 0 || list.Position("unknown/tenant") != 0 {
		t.Errorf("the position after the third line is %d", n)
	}
}

// A receiver that lists single certificates accepts a revoked one until it is removed there.
func TestALineNamesTheRevokedCertificatesOnce(t *testing.T) {
	w := newWorld(t)
	acme := w.engine.Tenant(t, "acme", w.now)
	w.sends(acme, "one")
	w.sends(acme, "two")
	w.now = w.now.Add(time.Hour)
	_, err := w.engine.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 1, lifecycle.Compromised, "test", w.now)
	check(t, err)
	old, err := w.engine.Store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 1)
	check(t, err)
	list, _ := w.list()
	if got := list.Lines[0].Revoked; len(got) != 1 || got[0] != old.ID {
		t.Errorf("%v are named, want %s", got, old.ID)
	}
	w.now = old.NotAfter
	if list, _ := w.list(); len(list.Lines[0].Revoked) != 0 {
		t.Errorf("%v are named after their expiry", list.Lines[0].Revoked)
	}
}

func TestArrangementsWithOneCertificateAreOneLineWithTheWorstState(t *testing.T) {
	w := newWorld(t)
	acme := w.engine.Tenant(t, "acme", w.now)
	one, two := w.sends(acme, "one"), w.sends(acme, "two")
	elsewhere := w.engine.Arrangement(t, tenancy.Arrangement{TenantID: acme.ID, Name: "erp"})
	w.renew(acme)
	w.see(elsewhere, rollover.Refused, rollover.Traffic) // not the concern of the bank
	w.see(one, rollover.Accepted, rollover.Probe)
	list, got := w.list()
	if got != "acme/tenant needed" || len(list.Lines[0].Members) != 2 {
		t.Fatalf("got %s: %+v", got, list.Lines)
	}
	for _, m := range list.Lines[0].Members {
		if want := map[string]parties.State{one.ID: parties.Done, two.ID: parties.Needed}[m.ID]; m.State != want ||
			m.Wanted != 2 {
			t.Errorf("%s is %s, want %s: %+v", m.Name, m.State, want, m)
		}
	}
	w.see(two, rollover.Accepted, rollover.Probe)
	if list, got := w.list(); got != "acme/tenant done" || !list.First.IsZero() || !list.Lines[0].Deadline.IsZero() {
		t.Errorf("got %s, deadline %v", got, list.First)
	}
}

func TestALongListIsReadAgainAfterAWhileOrWhenItIsForgotten(t *testing.T) {
	w := newWorld(t)
	acme := w.engine.Tenant(t, "acme", w.now)
	w.sends(acme, "pay")
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return enginetest.Fill(ctx, tx, acme, "bank", parties.Small, begin)
	})
	lines := func() int {
		list, _ := w.list()
		return len(list.Lines)
	}
	if n := lines(); n != parties.Small+1 {
		t.Fatalf("%d lines", n)
	}
	w.sends(w.engine.Tenant(t, "globex", w.now), "pay")
	if n := lines(); n != parties.Small+1 {
		t.Errorf("%d lines: a long list was read again at once", n)
	}
	w.now = w.now.Add(parties.Age)
	if n := lines(); n != parties.Small+2 {
		t.Errorf("%d lines after a while", n)
	}
	w.sends(w.engine.Tenant(t, "initech", w.now), "pay")
	w.parties.Forget("bank")
	if n := lines(); n != parties.Small+3 {
		t.Errorf("%d lines after it was forgotten", n)
	}
}

// A bank that serves 3,000 tenants, each with two generations.
func BenchmarkAListOf3000Certificates(b *testing.B) {
	w := newWorld(b)
	acme := w.engine.Tenant(b, "acme", w.now)
	w.sends(acme, "pay")
	w.renew(acme)
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return enginetest.Fill(ctx, tx, acme, "bank", 2999, begin)
	})
	for b.Loop() {
		w.parties.Forget("bank")
		if list, _ := w.list(); list.OpenLines() != 3000 {
			b.Fatalf("%d lines need something", list.OpenLines())
		}
	}
}
