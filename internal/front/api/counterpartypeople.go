package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// OneContact holds the path parameters of a contact of a counterparty.
type OneContact struct {
	OneCounterparty
	Contact string `path:"contact" maxLength:"36"`
}

func registerCounterpartyPeople(r *router) {
	const contacts = "/counterparties/{counterparty}/contacts"
	register(r, endpoint{
		method: http.MethodPost, path: contacts, access: operators, status: http.StatusCreated,
		summary: "Add a contact to a counterparty, after the others",
	}, (*server).addCounterpartyContact)
	register(r, endpoint{
		method: http.MethodPost, path: contacts + "/{contact}/accept", access: operators, status: http.StatusNoContent,
		summary: "Accept a contact that the page of the counterparty has proposed",
	}, (*server).acceptCounterpartyContact)
	register(r, endpoint{
		method: http.MethodPost, path: contacts + "/{contact}/link", access: operators,
		summary: "Create an address of the page for one contact, in the language and time zone of the contact",
	}, (*server).linkCounterpartyContact)
	register(r, endpoint{
		method: http.MethodPost, path: contacts + "/{contact}/resume", access: operators, status: http.StatusNoContent,
		summary: "Mail a contact again whose address was reported as not existing",
	}, (*server).resumeCounterpartyContact)
	register(r, endpoint{
		method: http.MethodDelete, path: contacts + "/{contact}", access: operators, status: http.StatusNoContent,
		summary: "Remove a contact of a counterparty",
	}, (*server).removeCounterpartyContact)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/receivers/{receiver}/counterparty", access: members,
		summary: "Get the counterparty of a receiver. It contains nothing of other tenants",
	}, (*server).getReceiverCounterparty)
}

// newContact returns a contact with what a caller may set.
func (s *server) newContact(in client.CounterpartyContact, counterpartyID string) (tenancy.CounterpartyContact, error) {
	c := tenancy.CounterpartyContact{ID: store.NewID(), CounterpartyID: counterpartyID, Name: in.Name, Email: in.Email,
		Language: in.Language, Zone: in.Zone, CreatedAt: s.now()}
	return c, c.Check()
}

func (s *server) addCounterpartyContact(ctx context.Context, in *struct {
	OneCounterparty
	Body client.CounterpartyContact
}) (*Created[client.CounterpartyContact], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	contact, err := s.newContact(in.Body, c.ID)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "counterparty.contact-added", "", c.Name, map[string]any{"contact": contact.Email},
		func(tx *store.Tx) error { return tx.AddCounterpartyContact(ctx, contact) })
	return &Created[client.CounterpartyContact]{Location: prefix + "/counterparties/" + c.Name,
		Body: viewPerson(contact)}, err
}

func (s *server) acceptCounterpartyContact(ctx context.Context, in *OneContact) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "counterparty.contact-accepted", "", c.Name, map[string]any{"contact": in.Contact},
		func(tx *store.Tx) error { return tx.AcceptCounterpartyContact(ctx, c.ID, in.Contact) })
}

func (s *server) linkCounterpartyContact(ctx context.Context,
	in *OneContact) (*Entity[client.CounterpartyPageLink], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if c.LinkedAt.IsZero() {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the page of %s has no address: create it first", c.Name)
	}
	contacts, err := s.store.CounterpartyContacts(ctx, []string{c.ID})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(contacts[c.ID], func(p tenancy.CounterpartyContact) bool {
		return p.ID == in.Contact && p.IsAccepted()
	})
	if i < 0 {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "%s has no such contact that an operator has accepted", c.Name)
	}
	secret := rand.Text()
	err = s.change(ctx, "counterparty.contact-linked", "", c.Name, map[string]any{"contact": contacts[c.ID][i].Email},
		func(tx *store.Tx) error {
			return tx.LinkContact(ctx, contacts[c.ID][i], tenancy.HashSecret(secret), actor(ctx), s.now())
		})
	return &Entity[client.CounterpartyPageLink]{Body: client.CounterpartyPageLink{
		URL: s.baseURL + counterpartyPagePath + secret}}, err
}

func (s *server) removeCounterpartyContact(ctx context.Context, in *OneContact) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "counterparty.contact-removed", "", c.Name, map[string]any{"contact": in.Contact},
		func(tx *store.Tx) error { return tx.RemoveCounterpartyContact(ctx, c.ID, in.Contact) })
}

func (s *server) getReceiverCounterparty(ctx context.Context,
	in *OneReceiver) (*Entity[client.ReceiverCounterparty], error) {
	t, r, err := s.receiver(ctx, *in)
	if err != nil {
		return nil, err
	}
	found, err := s.store.CounterpartiesByID(ctx, []string{r.CounterpartyID})
	if err != nil {
		return nil, err
	}
	c, linked := found[r.CounterpartyID]
	if !linked {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "the receiver %s of %s is linked to no counterparty", r.Name, t.Name)
	}
	contacts, err := s.store.CounterpartyContacts(ctx, []string{c.ID})
	if err != nil {
		return nil, err
	}
	accepted := slices.DeleteFunc(contacts[c.ID], func(p tenancy.CounterpartyContact) bool { return !p.IsAccepted() })
	people, err := s.viewMailed(ctx, c.ID, accepted)
	return &Entity[client.ReceiverCounterparty]{Body: client.ReceiverCounterparty{Name: c.Name,
		DisplayName: c.DisplayName, Contacts: people}}, err
}

// OneProposal holds the path parameter of a proposal.
type OneProposal struct {
	Host string `path:"host" maxLength:"253"`
}

func registerCounterpartyProposals(r *router) {
	const proposals = "/counterparty-proposals"
	register(r, endpoint{
		method: http.MethodGet, path: proposals, access: operators,
		summary: "List the hosts that several tenants name, and those of counterparties with receivers that are not linked",
	}, (*server).listProposals)
	register(r, endpoint{
		method: http.MethodPost, path: proposals + "/{host}/accept", access: operators,
		summary: "Link the receivers of all tenants with a host to a counterparty, which is created if there is none",
	}, (*server).acceptProposal)
	register(r, endpoint{
		method: http.MethodPost, path: proposals + "/{host}/dismiss", access: operators, status: http.StatusNoContent,
		summary: "Dismiss the proposal for a host. It is not proposed again",
	}, (*server).dismissProposal)
}

func (s *server) listProposals(ctx context.Context, in *Searched) (*List[client.CounterpartyProposal], error) {
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Proposals(ctx, page)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range rows {
		if p.CounterpartyID != "" {
			ids = append(ids, p.CounterpartyID)
		}
	}
	owners, err := s.store.CounterpartiesByID(ctx, ids)
	return listed(rows, next, "", func(p tenancy.CounterpartyProposal) client.CounterpartyProposal {
		return client.CounterpartyProposal{Host: p.Host, Counterparty: owners[p.CounterpartyID].Name, Tenants: p.Tenants,
			Receivers: p.Receivers}
	}), err
}

func (s *server) acceptProposal(ctx context.Context, in *struct {
	OneProposal
	Body client.AcceptProposal
}) (*Entity[client.Counterparty], error) {
	p, err := s.store.Proposal(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	owners, err := s.store.CounterpartiesByID(ctx, []string{p.CounterpartyID})
	if err != nil {
		return nil, err
	}
	name := cmp.Or(in.Body.Counterparty, owners[p.CounterpartyID].Name)
	if name == "" {
		return nil, tenancy.Invalid("counterparty", "is missing: the host %s belongs to no counterparty yet, so name one",
			p.Host)
	}
	var c tenancy.Counterparty
	err = s.change(ctx, "counterparty.proposal-accepted", "", name, map[string]any{"host": p.Host},
		func(tx *store.Tx) (err error) {
			if c, err = s.counterpartyFor(ctx, tx, p.Host, name, in.Body.DisplayName); err != nil {
				return err
			}
			if p.CounterpartyID != c.ID { // the host is added to it
				err = forgetUnlinked(ctx, tx, c, []string{p.Host})
			}
			return errors.Join(err, s.linkHosts(ctx, tx, c, []string{p.Host}))
		})
	if err != nil {
		return nil, err
	}
	s.parties.Forget(c.ID)
	view, err := s.counterpartyView(ctx, c)
	return &Entity[client.Counterparty]{Body: view}, err
}

// ofProposal names the field of the request in an error about the name of a counterparty.
func ofProposal(err error) error {
	rule := (*tenancy.RuleError)(nil)
	if !errors.As(err, &rule) || rule.Field != "name" {
		return err
	}
	named := *rule
	named.Field = "counterparty"
	return &named
}

// counterpartyFor returns the counterparty with a name, which gets the host, or is created with it.
func (s *server) counterpartyFor(ctx context.Context, tx *store.Tx, host, name,
	displayName string) (tenancy.Counterparty, error) {
	c, err := tx.Counterparty(ctx, name)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		c = tenancy.Counterparty{ID: store.NewID(), Name: name, DisplayName: cmp.Or(displayName, name),
			Hosts: []string{host}, CreatedAt: s.now(), Version: 1}
		if err := c.Check(); err != nil {
			return c, ofProposal(err)
		}
		return c, tx.CreateCounterparty(ctx, c)
	case err != nil:
		return c, err
	case slices.ContainsFunc(tenancy.HostPatterns(host), func(p string) bool { return slices.Contains(c.Hosts, p) }):
		return c, nil
	}
	c.Hosts = append(c.Hosts, host)
	if err := c.Check(); err != nil {
		return c, err
	}
	return c, tx.UpdateCounterparty(ctx, c)
}

func (s *server) dismissProposal(ctx context.Context, in *OneProposal) (*struct{}, error) {
	p, err := s.store.Proposal(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "counterparty.proposal-dismissed", "", p.Host, nil, func(tx *store.Tx) error {
		return tx.DismissProposal(ctx, p.Host, actor(ctx), s.now())
	})
}
