package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// untilWaiting waits until a transaction has ended, or waits for a lock.
func untilWaiting(ctx context.Context, s *Store, ended <-chan error) (err error, done bool) {
	deadline := time.After(30 * time.Second)
	for {
		select {
		case err := <-ended:
			return err, true
		case <-deadline:
			return errors.New("the other transaction neither ends nor waits"), false
		case <-time.After(5 * time.Millisecond):
		}
		waiting, err := one(ctx, s.Reader, "lock", scanOne[int], "SELECT count(*) FROM pg_stat_activity WHERE "+
			"wait_event_type = 'Lock' AND datname = current_database()")
		if err != nil || waiting > 0 {
			return err, false
		}
	}
}

func TestAnArrangementThatIsWrittenWhileItsHostIsAcceptedIsLinkedOrProposed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		if r.engine != Postgres {
			return // transactions on SQLite write one after the other
		}
		of, _ := r.tenants()
		receiver := func(id string) tenancy.Receiver {
			return tenancy.Receiver{ID: id, TenantID: of.ID, Name: id, DisplayName: id, CreatedAt: now, Version: 1}
		}
		writes := func(id, host string) func(tx *Tx) error {
			return func(tx *Tx) error {
				return errors.Join(tx.CreateReceivers(ctx, receiver(id)), tx.CreateArrangements(ctx, tenancy.Arrangement{ID: id,
					TenantID: of.ID, ReceiverID: id, Name: id, Endpoint: "https://" + host + "/",
					Authentication: tenancy.ClientCertificate, CreatedAt: now, Version: 1}))
			}
		}
		accepts := func(id, host string) func(tx *Tx) error {
			return func(tx *Tx) error {
				if err := tx.CreateCounterparty(ctx, tenancy.Counterparty{ID: id, Name: id, DisplayName: id,
					Hosts: []string{host}, CreatedAt: now, Version: 1}); err != nil {
					return err
				}
				if err := tx.LockLinks(ctx); err != nil {
					return err
				}
				if _, err := tx.LinkReceivers(ctx, id, host); err != nil {
					return err
				}
				return tx.DecideProposal(ctx, tenancy.CounterpartyProposal{Host: host, State: tenancy.ProposalAccepted,
					CounterpartyID: id, DecidedBy: "olga", DecidedAt: now})
			}
		}
		for name, c := range map[string]struct{ first, second func(tx *Tx) error }{
			"written-first":  {writes("r-written-first", "written-first.example"), accepts("a", "written-first.example")},
			"accepted-first": {accepts("b", "accepted-first.example"), writes("r-accepted-first", "accepted-first.example")},
		} {
			ended := make(chan error, 1)
			over := false
			must(t, r.InTx(ctx, func(tx *Tx) error {
				if err := c.first(tx); err != nil {
					return err
				}
				go func() { ended <- r.InTx(ctx, c.second) }()
				err, done := untilWaiting(ctx, r.Store, ended)
				over = done
				return err
			}))
			if !over {
				must(t, <-ended)
			}
			stored, err := r.Receiver(ctx, of.ID, "r-"+name)
			must(t, err)
			proposals, _, err := r.Proposals(ctx, Page{Limit: 10})
			must(t, err)
			open := false
			for _, p := range proposals {
				open = open || p.Host == name+".example"
			}
			if stored.CounterpartyID == "" && !open {
				t.Errorf("%s: the arrangement is neither linked nor proposed", name)
			}
		}
	})
}

func TestOneOfTwoReplicasRecordsTheFirstFetchOfAFeed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		if r.engine != Postgres {
			return // transactions on SQLite write one after the other
		}
		r.party("bank", "bank.example")
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.CreateCounterpartyFeed(ctx, tenancy.CounterpartyFeed{CounterpartyID: "bank", CreatedBy: "olga",
				CreatedAt: now}, "hash")
		})
		var first [2]bool
		fetch := func(replica int) func(tx *Tx) error {
			return func(tx *Tx) (err error) {
				first[replica], err = tx.RecordCounterpartyFetch(ctx, "bank", "follow", now.Add(-time.Hour), now)
				return err
			}
		}
		ended := make(chan error, 1)
		over := false
		must(t, r.InTx(ctx, func(tx *Tx) (err error) {
			if err := fetch(0)(tx); err != nil {
				return err
			}
			go func() { ended <- r.InTx(ctx, fetch(1)) }()
			err, over = untilWaiting(ctx, r.Store, ended)
			return err
		}))
		if !over {
			must(t, <-ended)
		}
		if first != [2]bool{true, false} {
			t.Errorf("the first fetch is that of the replicas %v", first)
		}
	})
}
