package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// party stores a counterparty with hosts.
func (r rows) party(id string, hosts ...string) tenancy.Counterparty {
	r.t.Helper()
	c := tenancy.Counterparty{ID: id, Name: id, DisplayName: "The " + id, Hosts: hosts, CreatedAt: now, Version: 1}
	r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateCounterparty(ctx, c) })
	return c
}

// sends stores an arrangement with a host and a receiver of its own, whose ID is that of the arrangement.
func (r rows) sends(of tenancy.Tenant, id, endpoint string) tenancy.Arrangement {
	r.t.Helper()
	a := tenancy.Arrangement{ID: id, TenantID: of.ID, ReceiverID: id, Name: id, Endpoint: endpoint,
		Authentication: tenancy.ClientCertificate, CreatedAt: now, Version: 1}
	to := tenancy.Receiver{ID: id, TenantID: of.ID, Name: id, DisplayName: id, CreatedAt: now, Version: 1}
	r.write(func(ctx context.Context, tx *Tx) error {
		return errors.Join(tx.CreateReceivers(ctx, to), tx.CreateArrangements(ctx, a))
	})
	return a
}

func (r rows) proposed() (all []string) {
	r.t.Helper()
	proposals, _, err := r.Proposals(r.t.Context(), Page{Limit: 100})
	must(r.t, err)
	for _, p := range proposals {
		all = append(all, fmt.Sprintf("%s %q %d/%d", p.Host, p.CounterpartyID, p.Tenants, p.Receivers))
	}
	return all
}

func TestCounterpartiesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		bank, post := r.party("bank", ".bank.example", "pay.example"), r.party("post", "post.example")
		got, err := r.Counterparty(ctx, "bank")
		r.same("by name", err, got, bank)
		all, _, err := r.Counterparties(ctx, "", Page{Limit: 10, Sort: "name"})
		r.same("all", err, all, []tenancy.Counterparty{bank, post})
		all, _, err = r.Counterparties(ctx, "", Page{After: Place{Key: "bank"}, Limit: 10, Sort: "name"})
		r.same("after the first", err, all, []tenancy.Counterparty{post})
		all, _, err = r.Counterparties(ctx, "eu.pay.bank.example", Page{Limit: 10, Sort: "name"})
		r.same("of a host below a suffix", err, all, []tenancy.Counterparty{bank})
		all, _, err = r.Counterparties(ctx, "other.example", Page{Limit: 10, Sort: "name"})
		r.same("of an unknown host", err, all, []tenancy.Counterparty(nil))
		all, _, err = r.Counterparties(ctx, "", Page{Limit: 10, Text: "HE P", Sort: "name"})
		r.same("by a part of the display name", err, all, []tenancy.Counterparty{post})
		all, _, err = r.Counterparties(ctx, "", Page{Limit: 10, Text: "%", Sort: "name"})
		r.same("by a text that is not a pattern", err, all, []tenancy.Counterparty(nil))

		r.refused("a name that is taken", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateCounterparty(ctx, tenancy.Counterparty{ID: "x", Name: "bank"})
		})
		r.refused("a host that is taken", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateCounterparty(ctx, tenancy.Counterparty{ID: "x", Name: "x", Hosts: []string{"post.example"}})
		})
		bank.DisplayName, bank.Product, bank.Hosts = "House Bank", "nginx", []string{"pay.example"}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateCounterparty(ctx, bank) })
		bank.Version++
		got, err = r.Counterparty(ctx, "bank")
		r.same("changed", err, got, bank)
		r.refused("a change of an old version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.UpdateCounterparty(ctx, tenancy.Counterparty{ID: "bank", Version: 1})
		})
		byID, err := r.CounterpartiesByID(ctx, []string{"post", "x"})
		post.Hosts = nil
		r.same("by ID", err, byID, map[string]tenancy.Counterparty{"post": post})
		ofHosts, err := r.CounterpartiesOfHosts(ctx, []string{"post.example", "nobody.example"})
		r.same("of hosts", err, ofHosts, map[string]tenancy.Counterparty{"post.example": post})
	})
}

func TestThePageOfACounterpartyHasOneAddressUntilItIsRevoked(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		t := r.t
		bank := r.party("bank", "bank.example")
		r.party("post", "post.example")
		link := func(hash string) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.LinkCounterparty(ctx, "bank", hash, "olga", now) })
			bank.Version++
		}
		unknown := func(hash string) {
			t.Helper()
			if c, _, err := r.CounterpartyByHash(ctx, hash, now); !isKind(err, tenancy.ErrNotFound) {
				t.Errorf("%q finds %+v, %v", hash, c, err)
			}
		}
		unknown("")
		link("one")
		link("two")
		unknown("one")
		bank.LinkedBy, bank.LinkedAt = "olga", now
		got, who, err := r.CounterpartyByHash(ctx, "two", now)
		r.same("by its address", err, got, bank)
		r.same("the address of nobody", nil, who, "")
		ada := tenancy.CounterpartyContact{ID: "ada", CounterpartyID: "bank", Name: "Ada", Email: "ada@bank.example"}
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.AddCounterpartyContact(ctx, ada); err != nil {
				return err
			}
			return tx.LinkContact(ctx, ada, "hers", "olga", now)
		})
		got, who, err = r.CounterpartyByHash(ctx, "hers", now)
		r.same("by the address of a contact", err, got, bank)
		r.same("the contact", nil, who, "ada")
		if _, _, err := r.CounterpartyByHash(ctx, "hers", now.AddDate(0, 0, 400)); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("the address of a contact is valid after 400 days: %v", err)
		}
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.LinkContact(ctx, ada, "next", "olga", now.AddDate(0, 0, 401))
		})
		unknown("hers")
		for _, visit := range []struct{ at, recorded time.Duration }{{0, 0}, {time.Minute, 0},
			{2 * time.Hour, 2 * time.Hour}} {
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.VisitCounterparty(ctx, "bank", now.Add(visit.at-time.Hour), now.Add(visit.at))
			})
			bank.VisitedAt = now.Add(visit.recorded)
			got, err = r.Counterparty(ctx, "bank")
			r.same("visited", err, got, bank)
		}
		link("")
		unknown("two")
		unknown("next")
		unknown("")
		if got, err := r.Counterparty(ctx, "bank"); err != nil || !got.LinkedAt.IsZero() || got.LinkedBy != "" {
			t.Errorf("revoked: %+v, %v", got, err)
		}
	})
}

func TestContactsHaveAnOrderAndAreLimited(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.party("bank")
		r.party("post")
		add := func(id, by string) error {
			return write(t, r.Store, func(ctx context.Context, tx *Tx) error {
				return tx.AddCounterpartyContact(ctx, tenancy.CounterpartyContact{ID: id, CounterpartyID: "bank", Name: id,
					Email: id + "@bank.example", Language: "de", Zone: "Europe/Berlin", ProposedBy: by, CreatedAt: now})
			})
		}
		ids := func() (all string) {
			contacts, err := r.CounterpartyContacts(ctx, []string{"bank", "post"})
			must(t, err)
			for _, c := range contacts["bank"] {
				all += c.ID + c.ProposedBy + " "
			}
			return all
		}
		must(t, errors.Join(add("b", ""), add("a", ""), add("c", "page")))
		wants(t, add("a", ""), tenancy.ErrConflict)
		if got := ids(); got != "b a cpage " {
			t.Errorf("in the order %s", got)
		}
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.AcceptCounterpartyContact(ctx, "bank", "c"), tx.RemoveCounterpartyContact(ctx, "bank", "b"))
		})
		if got := ids(); got != "a c " {
			t.Errorf("after a removal: %s", got)
		}
		for _, id := range []string{"b", "c"} { // one is removed, the other one is that of another counterparty
			r.refused("a contact that does not exist", tenancy.ErrNotFound, func(ctx context.Context, tx *Tx) error {
				return tx.RemoveCounterpartyContact(ctx, "post", id)
			})
		}
		confirm := func(at time.Time) (did bool) {
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				did, err = tx.ConfirmCounterpartyContact(ctx, "bank", "a", at.Add(-time.Hour), at)
				return err
			}))
			return did
		}
		if !confirm(now) || confirm(now.Add(time.Minute)) || !confirm(now.Add(2*time.Hour)) {
			t.Error("a confirmation is recorded once an hour here")
		}
		for i := range mostProposedContacts {
			must(t, add(fmt.Sprint("p", i), "page"))
		}
		wants(t, add("too-many", "page"), tenancy.ErrRefused)
		for i := range tenancy.MostCounterpartyContacts - mostProposedContacts - 2 {
			must(t, add(fmt.Sprint("o", i), ""))
		}
		wants(t, add("too-many", ""), tenancy.ErrRefused)
	})
}

func TestAHostIsProposedWhenASecondTenantNamesItAndAgainAfterItWasAccepted(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		r.sends(a, "a1", "https://Pay.Bank.example:8443/x")
		r.sends(a, "a2", "https://pay.bank.example/y")
		for _, endpoint := range []string{"https://10.0.0.1/", "https://localhost/", "https://[::1]/"} {
			r.sends(a, "a"+endpoint, endpoint)
			r.sends(b, "b"+endpoint, endpoint)
		}
		if got := r.proposed(); len(got) > 0 {
			t.Errorf("one tenant, and hosts that may belong to anyone: %q", got)
		}
		r.sends(b, "b1", "https://pay.bank.example/z")
		if got := fmt.Sprint(r.proposed()); got != `[pay.bank.example "" 2/3]` {
			t.Errorf("two tenants: %s", got)
		}
		r.party("bank", "pay.bank.example")
		accept := func() {
			r.write(func(ctx context.Context, tx *Tx) error {
				if _, err := tx.LinkReceivers(ctx, "bank", "pay.bank.example"); err != nil {
					return err
				}
				return tx.DecideProposal(ctx, tenancy.CounterpartyProposal{Host: "pay.bank.example",
					State: tenancy.ProposalAccepted, CounterpartyID: "bank", DecidedBy: "olga", DecidedAt: now})
			})
		}
		accept()
		linked, err := r.CounterpartyTenants(ctx, "bank", "", 10)
		r.same("linked tenants", err, linked, []string{"a", "b"})
		counts, err := r.CountLinked(ctx, []string{"bank"})
		r.same("their number", err, counts, map[string]int{"bank": 2})
		arrangements, err := r.CounterpartyArrangements(ctx, "bank", []string{"a", "b"})
		if err != nil || len(arrangements["a"]) != 2 || len(arrangements["b"]) != 1 {
			t.Errorf("linked arrangements: %+v, %v", arrangements, err)
		}
		if got := r.proposed(); len(got) > 0 {
			t.Errorf("accepted: %q", got)
		}
		second := r.sends(b, "b2", "https://pay.bank.example/new")
		if got := fmt.Sprint(r.proposed()); got != `[pay.bank.example "bank" 1/1]` {
			t.Errorf("a receiver that is not linked: %s", got)
		}
		accept()
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UnlinkReceiver(ctx, "b2") })
		if got := r.proposed(); len(got) > 0 {
			t.Errorf("an operator has unlinked one: %q", got)
		}
		second.Endpoint = "https://pay.bank.example/again"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateArrangement(ctx, second) })
		if got := r.proposed(); len(got) > 0 {
			t.Errorf("an arrangement of an unlinked receiver was written: %q", got)
		}
		accept()
		if got, err := r.Receiver(ctx, "b", "b2"); err != nil || got.CounterpartyID != "" {
			t.Errorf("an unlinked receiver is linked again: %+v, %v", got, err)
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetUnlinked(ctx, "bank", "pay.bank.example") })
		accept()
		if got, err := r.Receiver(ctx, "b", "b2"); err != nil || got.CounterpartyID != "bank" {
			t.Errorf("the host was added again: %+v, %v", got, err)
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UnlinkReceiver(ctx, "b2") })
		dismiss := func(ctx context.Context, tx *Tx) error {
			return tx.DismissProposal(ctx, "pay.bank.example", "olga", now)
		}
		r.refused("dismissing an accepted host", tenancy.ErrConflict, dismiss)
		r.sends(b, "b3", "https://pay.bank.example/newer")
		r.write(dismiss)
		r.sends(b, "b4", "https://pay.bank.example/newest")
		if got := r.proposed(); len(got) > 0 {
			t.Errorf("dismissed: %q", got)
		}
	})
}

func TestAHostOfACounterpartyIsProposedForOneTenant(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		bank := r.party("bank", ".bank.example")
		moved := r.sends(a, "a1", "https://other.example/")
		r.sends(a, "a2", "https://eu.pay.bank.example/")
		if got := fmt.Sprint(r.proposed()); got != `[eu.pay.bank.example "bank" 1/1]` {
			t.Errorf("a new arrangement: %s", got)
		}
		moved.Endpoint = "https://us.pay.bank.example/"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateArrangement(ctx, moved) })
		if got := fmt.Sprint(r.proposed()); got != `[eu.pay.bank.example "bank" 1/1 us.pay.bank.example "bank" 1/1]` {
			t.Errorf("a changed arrangement: %s", got)
		}
		below, err := r.HostsBelow(ctx, ".bank.example")
		r.same("hosts below", err, below, []string{"eu.pay.bank.example", "us.pay.bank.example"})
		n, err := r.CountProposals(ctx)
		r.same("their number", err, n, 2)

		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.LinkReceivers(ctx, "bank", "eu.pay.bank.example")
			return err
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteCounterparty(ctx, bank) })
		if got, err := r.Receiver(ctx, "a", "a2"); err != nil || got.CounterpartyID != "" || got.Version != 3 {
			t.Errorf("a receiver of a counterparty that is deleted: %+v, %v", got, err)
		}
		if p, err := r.Proposal(ctx, "eu.pay.bank.example"); err != nil || p.CounterpartyID != "" {
			t.Errorf("a proposal of a counterparty that is deleted: %+v, %v", p, err)
		}
	})
}

// A tenant could otherwise fill the list of the operators, and what needs their attention.
func TestAHostThatNoReceiverNamesAnyLongerIsNotProposed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		r.party("bank", ".bank.example")
		moving := r.sends(a, "a1", "https://0.bank.example/")
		for i := range 3 {
			moving.Endpoint, moving.Version = fmt.Sprintf("https://%d.bank.example/", i+1), int64(i+1)
			r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateArrangement(ctx, moving) })
		}
		if got := fmt.Sprint(r.proposed()); got != `[3.bank.example "bank" 1/1]` {
			t.Errorf("an arrangement that moves: %s", got)
		}
		n, err := r.CountProposals(ctx)
		r.same("their number", err, n, 1)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.PruneProposals(ctx) })
		if _, err := r.Proposal(ctx, "2.bank.example"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("a proposal without a receiver is kept: %v", err)
		}
		if _, err := r.Proposal(ctx, "3.bank.example"); err != nil {
			t.Errorf("a proposal with a receiver is deleted: %v", err)
		}
	})
}

func TestAReceiverLeavesItsCounterpartyWithItsLastArrangementThere(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		r.party("bank", "pay.bank.example", ".eu.example")
		here := r.sends(a, "a1", "https://pay.bank.example/")
		below := tenancy.Arrangement{ID: "a2", TenantID: a.ID, ReceiverID: "a1", Name: "a2",
			Endpoint: "https://x.eu.example/", CreatedAt: now, Version: 1}
		other := below
		other.ID, other.Name, other.Endpoint = "a3", "a3", "https://not-eu.example/"
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.LinkReceivers(ctx, "bank", "pay.bank.example")
			return errors.Join(err, tx.CreateArrangements(ctx, below, other))
		})
		for _, c := range []struct {
			gone   tenancy.Arrangement
			linked string
		}{{here, "bank"}, {below, ""}, {other, ""}} {
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.DeleteArrangement(ctx, c.gone)
			})
			got, err := r.Receiver(ctx, a.ID, "a1")
			r.same("the counterparty without "+c.gone.Endpoint, err, got.CounterpartyID, c.linked)
		}
	})
}

func TestAQuestionWaitsUntilItIsAnsweredAndIsNotAskedAgainTooSoon(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		r.sends(a, "a1", "https://bank.example/")
		r.sends(a, "a2", "https://bank.example/")
		want := func(at time.Time, claimed bool, ids ...string) (n int) {
			var questions []tenancy.CounterpartyQuestion
			for _, id := range ids {
				questions = append(questions, tenancy.CounterpartyQuestion{ArrangementID: id, CounterpartyID: "bank",
					Generation: 2, Claimed: claimed, WantedAt: at})
			}
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				n, err = tx.WantQuestions(ctx, questions, at.Add(-5*time.Minute))
				return err
			}))
			return n
		}
		if n := want(now, false, "a1", "a2"); n != 2 {
			t.Errorf("%d of two questions are new", n)
		}
		if n := want(now.Add(time.Minute), false, "a1"); n != 0 {
			t.Error("a question is asked again after a minute")
		}
		if n := want(now.Add(time.Minute), true, "a1"); n != 1 {
			t.Error("a report within five minutes of a test is lost")
		}
		if n := want(now.Add(time.Hour), false, "a1", "a2"); n != 0 {
			t.Errorf("%d questions that wait go to the end of the queue", n)
		}
		left, err := r.LeftQuestions(ctx, now.Add(time.Second), 10)
		r.same("left for a while", err, left, []string{"bank"})
		left, err = r.LeftQuestions(ctx, now, 10)
		r.same("that have just begun to wait", err, left, []string(nil))
		waiting, err := r.WaitingQuestions(ctx, "bank", now, 10)
		must(t, err)
		if len(waiting) != 2 || waiting[0].ArrangementID != "a2" || !waiting[1].Claimed {
			t.Fatalf("waiting: %+v", waiting)
		}
		take := func(at time.Time) (taken bool) {
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				taken, err = tx.TakeQuestion(ctx, waiting[0], at, at.Add(time.Minute))
				return err
			}))
			return taken
		}
		if !take(now) || take(now.Add(time.Second)) || !take(now.Add(time.Minute)) {
			t.Error("a question is taken by one replica at a time, and again after its lease")
		}
		q := waiting[0]
		q.DoneAt, q.Result, q.Answer = now.Add(time.Hour), "accepted", "200 OK\x00"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndQuestion(ctx, q) })
		n, err := r.CountWaitingQuestions(ctx, "bank")
		r.same("waiting", err, n, 1)
		q.Answer = "200 OK\ufffd"
		got, err := r.QuestionsOf(ctx, []string{"a2"})
		r.same("answered", err, got, map[string]tenancy.CounterpartyQuestion{"a2": q})
		if n := want(now.Add(time.Hour), false, "a2"); n != 1 {
			t.Error("a question cannot be asked again")
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndQuestion(ctx, q) }) // late
		if n, err := r.CountWaitingQuestions(ctx, "bank"); err != nil || n != 2 {
			t.Errorf("a late answer ends the next question: %d, %v", n, err)
		}
		bank := r.party("bank")
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteCounterparty(ctx, bank) })
		if n, err := r.CountWaitingQuestions(ctx, "bank"); err != nil || n != 0 {
			t.Errorf("%d questions of a counterparty that is deleted wait, %v", n, err)
		}
	})
}

// Programs of earlier schemas write endpoints without a host.
func TestTheDatabaseComputesTheSameHostsAsTheVocabulary(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		for i, endpoint := range []string{"https://Pay.BANK.example:8443/a://b:1/", "https://bank.example",
			"http://10.0.0.1:80/", "https://[2001:db8::1]:8443/x", "HTTPS://bücher.example/ä"} {
			id := fmt.Sprint(i)
			r.sends(a, id, endpoint)
			got, err := one(ctx, r.Reader, "host", scanOne[string], "SELECT host FROM arrangements WHERE id = ?", id)
			r.same(endpoint, err, got, tenancy.HostOf(endpoint))
		}
	})
}
