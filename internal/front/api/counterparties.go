package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// OneCounterparty holds the path parameter of a counterparty.
type OneCounterparty struct {
	Name string `path:"counterparty" maxLength:"63"`
}

func registerCounterparties(r *router) {
	const one = "/counterparties/{counterparty}"
	register(r, endpoint{
		method: http.MethodGet, path: "/counterparties", access: operators,
		summary: "List the counterparties by name, all or those with a host or a text in the name",
	}, (*server).listCounterparties)
	register(r, endpoint{
		method: http.MethodPost, path: "/counterparties", access: operators, status: http.StatusCreated,
		summary: "Create a counterparty, and link the receivers of all tenants with its hosts",
	}, (*server).createCounterparty)
	register(r, endpoint{
		method: http.MethodGet, path: one, access: operators, summary: "Get a counterparty with its contacts and its state",
	}, (*server).getCounterparty)
	register(r, endpoint{
		method: http.MethodPut, path: one, access: operators,
		summary: "Change a counterparty. If its hosts change, the receivers are linked again",
	}, (*server).changeCounterparty)
	register(r, endpoint{
		method: http.MethodDelete, path: one, access: operators, status: http.StatusNoContent,
		summary: "Delete a counterparty with its contacts and its page",
	}, (*server).deleteCounterparty)
	register(r, endpoint{
		method: http.MethodGet, path: one + "/lines", access: operators,
		summary: "List the certificates that its receivers must accept, the worst first",
	}, (*server).listCounterpartyLines)
	register(r, endpoint{
		method: http.MethodPost, path: one + "/link", access: operators,
		summary: "Give the page of a counterparty a new address. The former one ends at once",
	}, (*server).linkCounterparty)
	register(r, endpoint{
		method: http.MethodDelete, path: one + "/link", access: operators, status: http.StatusNoContent,
		summary: "Revoke the address of the page of a counterparty",
	}, (*server).revokeCounterpartyLink)
	register(r, endpoint{
		method: http.MethodPost, path: one + "/unlink", access: operators, status: http.StatusNoContent,
		summary: "End the link of one receiver to a counterparty",
	}, (*server).unlinkReceiver)
	registerCounterpartyPeople(r)
	registerCounterpartyFeed(r)
}

func viewPerson(c tenancy.CounterpartyContact) client.CounterpartyContact {
	return client.CounterpartyContact{ID: c.ID, Name: c.Name, Email: c.Email, Language: c.Language, Zone: c.Zone,
		ProposedBy: c.ProposedBy, ConfirmedAt: c.ConfirmedAt}
}

func viewPeople(all []tenancy.CounterpartyContact) []client.CounterpartyContact {
	views := make([]client.CounterpartyContact, len(all))
	for i, c := range all {
		views[i] = viewPerson(c)
	}
	return views
}

// viewCounterparty shows a counterparty without its contacts and its state.
func viewCounterparty(c tenancy.Counterparty, tenants int) client.Counterparty {
	return client.Counterparty{Name: c.Name, DisplayName: c.DisplayName, Hosts: c.Hosts, Product: c.Product,
		Tenants: tenants, LinkedAt: c.LinkedAt, LinkedBy: c.LinkedBy, VisitedAt: c.VisitedAt, CreatedAt: c.CreatedAt}
}

func (s *server) listCounterparties(ctx context.Context, in *struct {
	Searched
	Host   string `query:"host" maxLength:"253" doc:"Only the counterparty that this host belongs to."`
	Text   string `query:"name" maxLength:"200" doc:"As q, for earlier clients." deprecated:"true"`
	Sort   string `query:"sort" enum:"created,-created,name,-name" default:"name" doc:"Order: by creation, or by name. A minus sign reverses it."`
	Counts bool   `query:"counts" doc:"Also count the certificates of each. A page then has at most 20 counterparties."`
}) (*List[client.Counterparty], error) {
	if in.Counts {
		in.Limit = min(in.Limit, mostCounted)
	}
	page, err := in.page(in.Sort, cmp.Or(in.Query, in.Text))
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Counterparties(ctx, strings.ToLower(in.Host), page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, c := range rows {
		ids[i] = c.ID
	}
	tenants, err := s.store.CountLinked(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := listed(rows, next, in.Sort, func(c tenancy.Counterparty) client.Counterparty {
		return viewCounterparty(c, tenants[c.ID])
	})
	for i := range out.Body.Items {
		if in.Counts {
			counts, _, err := s.counterpartyCounts(ctx, rows[i].ID)
			if err != nil {
				return nil, err
			}
			out.Body.Items[i].Counts = &counts
		}
	}
	return out, nil
}

// mostCounted limits the counterparties whose certificates one request counts.
const mostCounted = 20

// applyCounterparty sets what a caller may set.
func applyCounterparty(in client.Counterparty, c tenancy.Counterparty) tenancy.Counterparty {
	c.DisplayName, c.Product = cmp.Or(in.DisplayName, c.Name), in.Product
	c.Hosts = make([]string, len(in.Hosts))
	for i, host := range in.Hosts {
		c.Hosts[i] = strings.ToLower(strings.TrimSpace(host))
	}
	slices.Sort(c.Hosts)
	return c
}

func (s *server) createCounterparty(ctx context.Context,
	in *struct{ Body client.Counterparty }) (*Created[client.Counterparty], error) {
	c := applyCounterparty(in.Body, tenancy.Counterparty{ID: store.NewID(), Name: in.Body.Name, CreatedAt: s.now(),
		Version: 1})
	if err := c.Check(); err != nil {
		return nil, err
	}
	err := s.change(ctx, "counterparty.created", "", c.Name, map[string]any{"hosts": c.Hosts}, func(tx *store.Tx) error {
		if err := tx.CreateCounterparty(ctx, c); err != nil {
			return err
		}
		return s.linkHosts(ctx, tx, c, c.Hosts)
	})
	if err != nil {
		return nil, err
	}
	view, err := s.counterpartyView(ctx, c)
	return &Created[client.Counterparty]{ETag: etag(1), Location: prefix + "/counterparties/" + c.Name, Body: view}, err
}

// linkHosts links the receivers of all tenants that name hosts of a counterparty, and closes the proposals for these
// hosts.
func (s *server) linkHosts(ctx context.Context, tx *store.Tx, c tenancy.Counterparty, patterns []string) error {
	if err := tx.LockLinks(ctx); err != nil {
		return err
	}
	for _, pattern := range patterns {
		hosts, err := hostsOfPattern(ctx, tx, pattern)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if _, err := tx.LinkReceivers(ctx, c.ID, host); err != nil {
				return err
			}
			if err := tx.DecideProposal(ctx, tenancy.CounterpartyProposal{Host: host, State: tenancy.ProposalAccepted,
				CounterpartyID: c.ID, DecidedBy: actor(ctx), DecidedAt: s.now()}); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostsOfPattern returns the hosts that a host of a counterparty stands for.
func hostsOfPattern(ctx context.Context, tx *store.Tx, pattern string) ([]string, error) {
	if strings.HasPrefix(pattern, ".") {
		return tx.HostsBelow(ctx, pattern)
	}
	return []string{pattern}, nil
}

// forgetUnlinked lets receivers be linked again that an operator has unlinked, if their host is added again.
func forgetUnlinked(ctx context.Context, tx *store.Tx, c tenancy.Counterparty, added []string) error {
	for _, pattern := range added {
		hosts, err := hostsOfPattern(ctx, tx, pattern)
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if err := tx.ForgetUnlinked(ctx, c.ID, host); err != nil {
				return err
			}
		}
	}
	return nil
}

// counterpartyView shows a counterparty with its contacts and its state.
func (s *server) counterpartyView(ctx context.Context, c tenancy.Counterparty) (v client.Counterparty, err error) {
	tenants, err1 := s.store.CountLinked(ctx, []string{c.ID})
	contacts, err2 := s.store.CounterpartyContacts(ctx, []string{c.ID})
	counts, _, err3 := s.counterpartyCounts(ctx, c.ID)
	v = viewCounterparty(c, tenants[c.ID])
	people, err4 := s.viewMailed(ctx, c.ID, contacts[c.ID])
	v.Contacts, v.Counts = people, &counts
	var err5 error
	v.Feed, err5 = s.counterpartyFeed(ctx, c)
	return v, errors.Join(err1, err2, err3, err4, err5)
}

// counterpartyCounts returns the numbers of a counterparty with the list that they count.
func (s *server) counterpartyCounts(ctx context.Context, id string) (client.CounterpartyCounts, parties.List, error) {
	list, err1 := s.parties.Read(ctx, id, s.clock())
	waiting, err2 := s.store.CountWaitingQuestions(ctx, id)
	return client.CounterpartyCounts{
		Exposed: list.Counts[parties.Exposed], Refused: list.Counts[parties.Refused], Needed: list.Counts[parties.Needed],
		Claimed: list.Counts[parties.Claimed], Done: list.Counts[parties.Done], Quiet: list.Counts[parties.Quiet],
		All: len(list.Lines), First: list.First, Waiting: waiting, AsOf: list.At,
	}, list, errors.Join(err1, err2)
}

func (s *server) getCounterparty(ctx context.Context, in *OneCounterparty) (*Entity[client.Counterparty], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	view, err := s.counterpartyView(ctx, c)
	return &Entity[client.Counterparty]{etag(c.Version), view}, err
}

func (s *server) changeCounterparty(ctx context.Context, in *struct {
	OneCounterparty
	Guarded
	Body client.Counterparty
}) (*Entity[client.Counterparty], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := sameName(in.Body.Name, c.Name); err != nil {
		return nil, err
	}
	if c.Version, err = in.version(); err != nil {
		return nil, err
	}
	before := c.Hosts
	c = applyCounterparty(in.Body, c)
	if err := c.Check(); err != nil {
		return nil, err
	}
	err = s.change(ctx, "counterparty.changed", "", c.Name, map[string]any{"display_name": c.DisplayName,
		"hosts": c.Hosts, "product": c.Product}, func(tx *store.Tx) error {
		if err := tx.UpdateCounterparty(ctx, c); err != nil || slices.Equal(before, c.Hosts) {
			return err
		}
		if err := tx.UnlinkCounterparty(ctx, c.ID); err != nil {
			return err
		}
		added := slices.DeleteFunc(slices.Clone(c.Hosts), func(host string) bool { return slices.Contains(before, host) })
		return errors.Join(forgetUnlinked(ctx, tx, c, added), s.linkHosts(ctx, tx, c, c.Hosts))
	})
	if err != nil {
		return nil, err
	}
	s.parties.Forget(c.ID)
	view, err := s.counterpartyView(ctx, c)
	return &Entity[client.Counterparty]{etag(c.Version + 1), view}, err
}

func (s *server) deleteCounterparty(ctx context.Context, in *struct {
	OneCounterparty
	Guarded
}) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if c.Version, err = in.version(); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "counterparty.deleted", "", c.Name, nil, func(tx *store.Tx) error {
		return tx.DeleteCounterparty(ctx, c)
	})
}

func (s *server) linkCounterparty(ctx context.Context,
	in *OneCounterparty) (*Entity[client.CounterpartyPageLink], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	secret := rand.Text()
	err = s.change(ctx, "counterparty.linked", "", c.Name, nil, func(tx *store.Tx) error {
		return tx.LinkCounterparty(ctx, c.ID, tenancy.HashSecret(secret), actor(ctx), s.now())
	})
	return &Entity[client.CounterpartyPageLink]{Body: client.CounterpartyPageLink{
		URL: s.baseURL + counterpartyPagePath + secret}}, err
}

func (s *server) revokeCounterpartyLink(ctx context.Context, in *OneCounterparty) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if c.LinkedAt.IsZero() {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "the counterparty %s has no page", c.Name)
	}
	return nil, s.change(ctx, "counterparty.link-revoked", "", c.Name, nil, func(tx *store.Tx) error {
		return tx.LinkCounterparty(ctx, c.ID, "", "", time.Time{})
	})
}

func (s *server) unlinkReceiver(ctx context.Context, in *struct {
	OneCounterparty
	Body client.UnlinkReceiver
}) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	t, err := s.store.Tenant(ctx, in.Body.Tenant)
	if err != nil {
		return nil, err
	}
	r, err := s.store.Receiver(ctx, t.ID, in.Body.Receiver)
	if err != nil {
		return nil, err
	}
	if r.CounterpartyID != c.ID {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the receiver %s of %s is not linked to %s", r.Name, t.Name, c.Name)
	}
	err = s.change(ctx, "counterparty.unlinked", t.Name, t.Name+"/"+r.Name, map[string]any{"counterparty": c.Name},
		func(tx *store.Tx) error { return tx.UnlinkReceiver(ctx, r.ID) })
	s.parties.Forget(c.ID)
	return nil, err
}

func (s *server) listCounterpartyLines(ctx context.Context, in *struct {
	OneCounterparty
	LinesPage
}) (*List[client.CounterpartyLine], error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return s.counterpartyLines(ctx, c.ID, in.LinesPage)
}

// LinesPage holds the parameters of a page of the certificates that the receivers of a counterparty must accept.
type LinesPage struct {
	Paged
	Query string        `query:"q" maxLength:"200" doc:"Only certificates whose tenant, endpoint or SHA-256, of the new or of the old certificate, contains this text, in upper or lower case."`
	State parties.State `query:"state" enum:"exposed,refused,needed,claimed,done,quiet" doc:"Only certificates in this state."`
}

// counterpartyLines returns a page of the certificates that the receivers of a counterparty must accept.
func (s *server) counterpartyLines(ctx context.Context, id string, in LinesPage) (*List[client.CounterpartyLine],
	error) {
	list, err := s.parties.Read(ctx, id, s.clock())
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(in.Query)
	texts := append(notations(text), text)
	var lines []parties.Line
	for _, l := range list.Lines[list.Position(in.Cursor):] {
		fits := func(text string) bool { return len(matching([]parties.Line{l}, text, lineWords)) > 0 }
		if (in.State == "" || in.State == l.State) && slices.ContainsFunc(texts, fits) {
			lines = append(lines, l)
		}
		if len(lines) > in.Limit {
			break
		}
	}
	view, err := s.viewLines(ctx, lines)
	return pageOf(lines, in.Limit, parties.Line.Key, view), err
}

// lineWords returns the texts by which a line is found. They are all on the page of the counterparty.
func lineWords(l parties.Line) []string {
	words := []string{l.Tenant, l.DisplayName, l.New.Fingerprint, l.Old.Fingerprint}
	for _, m := range l.Members {
		words = append(words, m.Endpoint)
	}
	return words
}

// mostConnections limits the connections of a line, so that one tenant with many arrangements does not fill the page.
const mostConnections = 20

func shownMembers(l parties.Line) []parties.Member {
	return l.Members[:min(len(l.Members), mostConnections)]
}

// viewLines returns a function that shows lines with their certificates and tests.
func (s *server) viewLines(ctx context.Context, lines []parties.Line) (func(parties.Line) client.CounterpartyLine,
	error) {
	var certIDs, memberIDs []string
	for _, l := range lines {
		certIDs = append(append(certIDs, l.New.ID, l.Old.ID), l.Revoked...)
		for _, m := range shownMembers(l) {
			memberIDs = append(memberIDs, m.ID)
		}
	}
	certs, err1 := s.store.CertificatesByID(ctx, certIDs)
	tests, err2 := s.store.QuestionsOf(ctx, memberIDs)
	changes := s.changesOf(ctx, lines, certs)
	return func(l parties.Line) client.CounterpartyLine {
		members := shownMembers(l)
		v := client.CounterpartyLine{Key: l.Key(), Tenant: l.DisplayName, State: string(l.State),
			Deadline: l.Deadline, New: viewCertificate(certs[l.New.ID]),
			Connections: make([]client.CounterpartyConnection, len(members)), More: len(l.Members) - len(members)}
		if old, known := certs[l.Old.ID]; known {
			shown := viewCertificate(old)
			v.Old = &shown
		}
		if changed, known := changes[l.Key()]; known {
			v.Changes = &changed
		}
		for _, id := range l.Revoked {
			if c, known := certs[id]; known {
				v.Revoked = append(v.Revoked, c.Serial)
			}
		}
		for i, m := range members {
			v.Connections[i] = client.CounterpartyConnection{Endpoint: m.Endpoint, State: string(m.State), Proves: m.Asks}
			if test, asked := tests[m.ID]; asked && test.Generation == m.Wanted {
				v.Connections[i].Waiting, v.Connections[i].TestedAt = test.DoneAt.IsZero(), test.DoneAt
				v.Connections[i].Result, v.Connections[i].Answer = test.Result, said(ctx, test.Answer)
			}
		}
		return v
	}, errors.Join(err1, err2)
}

// changesOf compares the certificates of lines, by their keys.
func (s *server) changesOf(ctx context.Context, lines []parties.Line,
	certs map[string]tenancy.Certificate) map[string]tenancy.Changes {
	known, changes := store.Chains{}, map[string]tenancy.Changes{}
	for _, l := range lines {
		old, exists := certs[l.Old.ID]
		if !exists {
			continue
		}
		if c, comparable := s.changes(ctx, known, l.DisplayName, old, certs[l.New.ID]); comparable {
			changes[l.Key()] = c
		}
	}
	return changes
}
