package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const proposalColumns = "host, state, counterparty_id, decided_by, decided_at"

func scanProposal(s row) (p tenancy.CounterpartyProposal, err error) {
	err = s.Scan(&p.Host, &p.State, &p.CounterpartyID, &p.DecidedBy, instant{&p.DecidedAt})
	return p, err
}

// propose opens proposals for the hosts of arrangements that were written: for a host that two tenants name, for one
// that belongs to a counterparty, and again for one that was accepted. A host that was dismissed is not proposed again,
// and neither is one whose receivers here are linked.
func (t *Tx) propose(ctx context.Context, written ...tenancy.Arrangement) error {
	hosts, err := t.unlinkedHosts(ctx, written)
	if err != nil || len(hosts) == 0 {
		return err
	}
	if err := t.lockLinks(ctx, "pg_advisory_xact_lock_shared"); err != nil {
		return err
	}
	in, args := t.among(hosts)
	known, err := list(ctx, t.Reader, scanProposal,
		"SELECT "+proposalColumns+" FROM counterparty_proposals WHERE host "+in, args...)
	if err != nil {
		return err
	}
	for _, p := range known {
		if p.State == tenancy.ProposalAccepted {
			if _, err := t.exec(ctx, "UPDATE counterparty_proposals SET state = 'open' WHERE host = ?", p.Host); err != nil {
				return err
			}
		}
		hosts = slices.DeleteFunc(hosts, func(host string) bool { return host == p.Host })
	}
	found, err := t.proposable(ctx, hosts)
	for host, counterpartyID := range found {
		if err == nil {
			_, err = t.exec(ctx, "INSERT INTO counterparty_proposals ("+proposalColumns+") VALUES (?, 'open', ?, '', 0) ON "+
				"CONFLICT (host) DO NOTHING", host, counterpartyID)
		}
	}
	return err
}

// LockLinks makes the transaction wait for those that write arrangements, and new ones wait for it, until it ends. Call
// it before hosts are linked to a counterparty. Otherwise, an arrangement that is written at the same time would be
// neither linked nor proposed: each of both transactions does not see yet what the other one writes.
func (t *Tx) LockLinks(ctx context.Context) error { return t.lockLinks(ctx, "pg_advisory_xact_lock") }

func (t *Tx) lockLinks(ctx context.Context, lock string) error {
	if t.engine != Postgres { // a transaction on SQLite writes alone anyway
		return nil
	}
	_, err := t.exec(ctx, "SELECT "+lock+"(hashtextextended('counterparty links', 0))")
	return err
}

// unlinkedHosts returns the hosts of arrangements whose receivers are linked to no counterparty, each once.
func (t *Tx) unlinkedHosts(ctx context.Context, written []tenancy.Arrangement) ([]string, error) {
	byReceiver := map[string][]string{}
	for _, a := range written {
		if host := tenancy.HostOf(a.Endpoint); tenancy.Proposable(host) {
			byReceiver[a.ReceiverID] = append(byReceiver[a.ReceiverID], host)
		}
	}
	if len(byReceiver) == 0 {
		return nil, nil
	}
	in, args := t.among(slices.Sorted(maps.Keys(byReceiver)))
	unlinked, err := list(ctx, t.Reader, scanOne[string], "SELECT id FROM receivers WHERE counterparty_id = '' AND id "+in,
		args...)
	var hosts []string
	for _, id := range unlinked {
		hosts = append(hosts, byReceiver[id]...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), err
}

// proposable returns those of some hosts that belong to a counterparty or that two tenants name, with the ID of the
// counterparty.
func (t *Tx) proposable(ctx context.Context, hosts []string) (map[string]string, error) {
	if len(hosts) == 0 {
		return nil, nil
	}
	found, err := t.ownersOf(ctx, hosts)
	if err != nil {
		return nil, err
	}
	in, args := t.among(hosts)
	shared, err := list(ctx, t.Reader, scanOne[string], "SELECT host FROM arrangements WHERE host "+in+
		" GROUP BY host HAVING min(tenant_id) <> max(tenant_id)", args...)
	for _, host := range shared {
		if _, owned := found[host]; !owned {
			found[host] = ""
		}
	}
	return found, err
}

// named limits proposals to hosts that receivers without a link still name. Otherwise, a tenant could fill the list
// with hosts that it names for a moment. Receivers that were unlinked from the counterparty do not count.
const named = "state = 'open' AND EXISTS (SELECT 1 FROM arrangements a JOIN receivers r ON r.id = a.receiver_id " +
	"WHERE a.host = counterparty_proposals.host AND r.counterparty_id = '' AND " +
	"(r.unlinked_from = '' OR r.unlinked_from <> counterparty_proposals.counterparty_id))"

var proposalListing = listing[tenancy.CounterpartyProposal]{
	query: "SELECT " + proposalColumns + " FROM counterparty_proposals WHERE ",
	scan:  scanProposal,
	id:    "host", idOf: func(p tenancy.CounterpartyProposal) string { return p.Host },
	texts: []string{"host"},
}

// Proposals returns a page of the open proposals by host, with the numbers of tenants and receivers that name each host
// and are not linked. A text is looked for in the host.
func (r Reader) Proposals(ctx context.Context, p Page) ([]tenancy.CounterpartyProposal, Place, error) {
	all, next, err := proposalListing.read(ctx, r, p, named)
	if err != nil || len(all) == 0 {
		return all, next, err
	}
	hosts := make([]string, len(all))
	for i, p := range all {
		hosts[i] = p.Host
	}
	type count struct {
		host               string
		tenants, receivers int
	}
	counts, err := groupBy(ctx, r, func(s row) (c count, err error) {
		err = s.Scan(&c.host, &c.tenants, &c.receivers)
		return c, err
	}, func(c count) string { return c.host },
		"SELECT a.host, count(DISTINCT a.tenant_id), count(DISTINCT a.receiver_id) "+
			"FROM arrangements a JOIN receivers r ON r.id = a.receiver_id JOIN counterparty_proposals p ON p.host = a.host "+
			"WHERE r.counterparty_id = '' AND (r.unlinked_from = '' OR r.unlinked_from <> p.counterparty_id) AND a.host ", hosts,
		" GROUP BY a.host")
	for i, p := range all {
		for _, c := range counts[p.Host] {
			all[i].Tenants, all[i].Receivers = c.tenants, c.receivers
		}
	}
	return all, next, err
}

// Proposal finds the proposal for a host, open or not, without its numbers.
func (r Reader) Proposal(ctx context.Context, host string) (tenancy.CounterpartyProposal, error) {
	return one(ctx, r, "proposal for the host "+host, scanProposal, "SELECT "+proposalColumns+" FROM "+
		"counterparty_proposals WHERE host = ?", host)
}

// CountProposals counts the proposals that [Reader.Proposals] lists.
func (r Reader) CountProposals(ctx context.Context) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM counterparty_proposals WHERE "+named)
}

// PruneProposals deletes the open proposals that are not listed.
func (t *Tx) PruneProposals(ctx context.Context) error {
	_, err := t.exec(ctx, "DELETE FROM counterparty_proposals WHERE state = 'open' AND NOT ("+named+")")
	return err
}

// DecideProposal stores the decision about a host. It is not open then.
func (t *Tx) DecideProposal(ctx context.Context, p tenancy.CounterpartyProposal) error {
	_, err := t.exec(ctx, "INSERT INTO counterparty_proposals ("+proposalColumns+") VALUES (?, ?, ?, ?, ?) ON CONFLICT "+
		"(host) DO UPDATE SET state = excluded.state, counterparty_id = excluded.counterparty_id, decided_by = "+
		"excluded.decided_by, decided_at = excluded.decided_at", p.Host, string(p.State), p.CounterpartyID, p.DecidedBy,
		micros(p.DecidedAt))
	return err
}

// DismissProposal closes the open proposal for a host for good. It returns [tenancy.ErrConflict] if another operator
// has decided about it.
func (t *Tx) DismissProposal(ctx context.Context, host, by string, now time.Time) error {
	err := t.execOne(ctx, "UPDATE counterparty_proposals SET state = 'dismissed', decided_by = ?, decided_at = ? WHERE "+
		"host = ? AND state = 'open'", by, micros(now), host)
	if errors.Is(err, tenancy.ErrStale) {
		return tenancy.Errorf(tenancy.ErrConflict, "the host %s is not proposed any longer: another operator has accepted "+
			"or dismissed it", host)
	}
	return err
}

// HostsBelow lists the hosts of arrangements that end in a suffix such as ".bank.example". It reads the index of all
// hosts, so it is for a decision of an operator.
func (r Reader) HostsBelow(ctx context.Context, suffix string) ([]string, error) {
	n := len(suffix)
	return list(ctx, r, scanOne[string], "SELECT DISTINCT host FROM arrangements WHERE length(host) > ? AND "+
		"substr(host, length(host) - ?) = ? ORDER BY host", n, n-1, suffix)
}

// forgetProposals opens the proposals for hosts of a counterparty, without it, unless they were dismissed.
func (t *Tx) forgetProposals(ctx context.Context, counterpartyID string) error {
	_, err := t.exec(ctx, "UPDATE counterparty_proposals SET counterparty_id = '', state = 'open', decided_by = '', "+
		"decided_at = 0 WHERE counterparty_id = ? AND state <> 'dismissed'", counterpartyID)
	return err
}
