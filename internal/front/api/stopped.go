package api

import (
	"context"
	"slices"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// stoppedContacts returns the contacts of counterparties that get no mails, by the ID of the counterparty and by
// address.
func (s *server) stoppedContacts(ctx context.Context,
	counterpartyIDs []string) (map[string]map[string]tenancy.Administrator, error) {
	all, err := s.store.AdministratorsOfCounterparties(ctx, counterpartyIDs)
	stopped := map[string]map[string]tenancy.Administrator{}
	for id, administrators := range all {
		stopped[id] = map[string]tenancy.Administrator{}
		for _, a := range administrators {
			if !a.StoppedAt.IsZero() {
				stopped[id][a.Address] = a
			}
		}
	}
	return stopped, err
}

// viewMailed shows contacts of a counterparty, with those that get no mails.
func (s *server) viewMailed(ctx context.Context, counterpartyID string,
	contacts []tenancy.CounterpartyContact) ([]client.CounterpartyContact, error) {
	stopped, err := s.stoppedContacts(ctx, []string{counterpartyID})
	views := viewPeople(contacts)
	for i, c := range contacts {
		if a, found := stopped[counterpartyID][tenancy.MailKey(c.Email)]; found {
			views[i].StoppedAt, views[i].StoppedFor = a.StoppedAt, string(a.StoppedFor)
		}
	}
	return views, err
}

// unreached returns the contact that stopped its mails last if no contact of a counterparty gets mails any more.
func unreached(contacts []tenancy.CounterpartyContact,
	stopped map[string]tenancy.Administrator) (last tenancy.Administrator, none bool) {
	for _, c := range contacts {
		if !c.IsAccepted() {
			continue
		}
		a, found := stopped[tenancy.MailKey(c.Email)]
		if !found {
			return last, false
		}
		if a.StoppedAt.After(last.StoppedAt) {
			last = a
		}
	}
	return last, !last.StoppedAt.IsZero()
}

// resumeCounterpartyContact is for an address that exists after all, as [server.resumeAdministrator].
func (s *server) resumeCounterpartyContact(ctx context.Context, in *OneContact) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	contacts, err := s.store.CounterpartyContacts(ctx, []string{c.ID})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(contacts[c.ID], func(p tenancy.CounterpartyContact) bool { return p.ID == in.Contact })
	if i < 0 {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "%s has no such contact", c.Name)
	}
	stopped, err := s.stoppedContacts(ctx, []string{c.ID})
	if err != nil {
		return nil, err
	}
	contact := contacts[c.ID][i]
	a, found := stopped[c.ID][tenancy.MailKey(contact.Email)]
	switch {
	case !found:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "mails to %s are not stopped", contact.Email)
	case a.StoppedFor != tenancy.Bounced:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "%s wants no more mails, and can undo that with the link in the last "+
			"mail: add another contact of %s", contact.Email, c.Name)
	}
	return nil, s.engine.ResumeAdministrator(ctx, a.ID, actor(ctx), s.clock())
}
