package notify

import (
	"context"
	"errors"
	"slices"

	"github.com/perennial-pki/perennial/tenancy"
)

// toldTogether are the kinds of notices to key users that come with a notice to the administrators of receivers.
var toldTogether = []tenancy.NoticeKind{tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.Over}

// mailed holds the administrators whom the service mails, so that key users read who is informed without them.
type mailed struct {
	// stopped has the administrators who get no more mails, by the ID of the tenant or counterparty and their address.
	stopped map[[2]string]bool
	parties map[string]string // the names of the counterparties that are mailed, by their ID
}

// readMailed reads whom the service mails for the tenants of some letters.
func (d *Deliverer) readMailed(ctx context.Context, all records) (m mailed, err error) {
	var tenantIDs, partyIDs []string
	for id, t := range all.tenants {
		if !t.MailsAdministrators || d.linkKey == nil {
			continue
		}
		tenantIDs = append(tenantIDs, id)
		for _, r := range all.receivers[id] {
			if r.CounterpartyID != "" && !slices.Contains(partyIDs, r.CounterpartyID) {
				partyIDs = append(partyIDs, r.CounterpartyID)
			}
		}
	}
	if len(tenantIDs) == 0 {
		return m, nil
	}
	m.stopped, m.parties = map[[2]string]bool{}, map[string]string{}
	ofTenants, err1 := d.store.AdministratorsOf(ctx, tenantIDs)
	ofParties, err2 := d.store.AdministratorsOfCounterparties(ctx, partyIDs)
	parties, err3 := d.store.CounterpartiesByID(ctx, partyIDs)
	contacts, err4 := d.store.CounterpartyContacts(ctx, partyIDs)
	for _, byOwner := range []map[string][]tenancy.Administrator{ofTenants, ofParties} {
		for owner, administrators := range byOwner {
			for _, a := range administrators {
				m.stopped[[2]string{owner, a.Address}] = !a.StoppedAt.IsZero()
			}
		}
	}
	for id, party := range parties {
		reached := slices.ContainsFunc(contacts[id], func(c tenancy.CounterpartyContact) bool {
			return c.IsAccepted() && !m.stopped[[2]string{id, tenancy.MailKey(c.Email)}]
		})
		if reached && !party.LinkedAt.IsZero() {
			m.parties[id] = party.DisplayName
		}
	}
	return m, errors.Join(err1, err2, err3, err4)
}

// mark notes whether the service mails the administrator of an arrangement's receiver. Such an administrator has a link
// to its page, or belongs to a counterparty that is mailed about all its tenants.
func (m mailed) mark(a *Affected, t tenancy.Tenant, r tenancy.Receiver, links []tenancy.Link) {
	if !t.MailsAdministrators {
		return
	}
	if party, found := m.parties[r.CounterpartyID]; found {
		a.Mailed = true
		if r.ContactName == "" && r.ContactEmail == "" {
			a.contactName = party
		}
		return
	}
	address := tenancy.MailKey(r.ContactEmail)
	a.Mailed = address != "" && !m.stopped[[2]string{t.ID, address}] &&
		slices.ContainsFunc(links, func(l tenancy.Link) bool { return l.Address == address })
}

// Told reports whether the service mails an administrator of systems that need something.
func (l Letter) Told() bool {
	return slices.ContainsFunc(l.groups(), func(g Group) bool { return g.Mailed })
}

// Untold reports whether the service does not mail an administrator of systems that need something.
func (l Letter) Untold() bool {
	return slices.ContainsFunc(l.groups(), func(g Group) bool { return !g.Mailed })
}
