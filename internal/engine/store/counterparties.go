package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const counterpartyColumns = "id, name, display_name, product, linked_by, linked_at, visited_at, created_at, version"

func scanCounterparty(s row) (c tenancy.Counterparty, err error) {
	err = s.Scan(&c.ID, &c.Name, &c.DisplayName, &c.Product, &c.LinkedBy, instant{&c.LinkedAt}, instant{&c.VisitedAt},
		instant{&c.CreatedAt}, &c.Version)
	return c, err
}

// withHosts adds the hosts to counterparties.
func (r Reader) withHosts(ctx context.Context, all []tenancy.Counterparty, err error) ([]tenancy.Counterparty, error) {
	if err != nil || len(all) == 0 {
		return all, err
	}
	type entry struct{ host, id string }
	ids := make([]string, len(all))
	for i, c := range all {
		ids[i] = c.ID
	}
	hosts, err := groupBy(ctx, r, func(s row) (e entry, err error) {
		err = s.Scan(&e.host, &e.id)
		return e, err
	}, func(e entry) string { return e.id }, "SELECT host, counterparty_id FROM counterparty_hosts WHERE counterparty_id ",
		ids, " ORDER BY host")
	for i := range all {
		for _, e := range hosts[all[i].ID] {
			all[i].Hosts = append(all[i].Hosts, e.host)
		}
	}
	return all, err
}

func (r Reader) oneCounterparty(ctx context.Context, what, condition string, args ...any) (tenancy.Counterparty,
	error) {
	c, err := one(ctx, r, what, scanCounterparty, "SELECT "+counterpartyColumns+" FROM counterparties WHERE "+condition,
		args...)
	if err != nil {
		return c, err
	}
	all, err := r.withHosts(ctx, []tenancy.Counterparty{c}, nil)
	return all[0], err
}

// Counterparty finds a counterparty by its name.
func (r Reader) Counterparty(ctx context.Context, name string) (tenancy.Counterparty, error) {
	return r.oneCounterparty(ctx, "counterparty "+name, "name = ?", name)
}

// CounterpartyByHash finds a counterparty by the hash of the secret of its page. If the address is that of one contact,
// which is valid for 400 days, it also returns the ID of the contact.
func (r Reader) CounterpartyByHash(ctx context.Context, hash string, now time.Time) (c tenancy.Counterparty,
	contactID string, err error) {
	c, err = r.oneCounterparty(ctx, "such page", "hash = ? AND hash <> ''", hash)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return c, "", err
	}
	contactID, err = one(ctx, r, "such page", scanOne[string],
		"SELECT contact_id FROM counterparty_links WHERE hash = ? AND created_at > ?", hash,
		micros(now.Add(-contactLinkKept)))
	if err != nil {
		return c, "", err
	}
	c, err = r.oneCounterparty(ctx, "such page", "id = (SELECT counterparty_id FROM counterparty_links WHERE hash = ?)",
		hash)
	return c, contactID, err
}

// CounterpartiesByID reads the counterparties with these IDs, without their hosts.
func (r Reader) CounterpartiesByID(ctx context.Context, ids []string) (map[string]tenancy.Counterparty, error) {
	return byID(ctx, r, scanCounterparty, func(c tenancy.Counterparty) string { return c.ID },
		"SELECT "+counterpartyColumns+" FROM counterparties WHERE id ", ids)
}

// ownersOf returns the IDs of the counterparties that hosts belong to, by host. The most exact entry wins.
func (r Reader) ownersOf(ctx context.Context, hosts []string) (map[string]string, error) {
	var patterns []string
	for _, host := range hosts {
		patterns = append(patterns, tenancy.HostPatterns(host)...)
	}
	type entry struct{ host, id string }
	owners, err := byID(ctx, r, func(s row) (e entry, err error) {
		err = s.Scan(&e.host, &e.id)
		return e, err
	}, func(e entry) string { return e.host },
		"SELECT host, counterparty_id FROM counterparty_hosts WHERE host ", patterns)
	found := map[string]string{}
	for _, host := range hosts {
		for _, pattern := range tenancy.HostPatterns(host) {
			if e, owned := owners[pattern]; owned && found[host] == "" {
				found[host] = e.id
			}
		}
	}
	return found, err
}

// CounterpartiesOfHosts reads the counterparties that hosts belong to, by host, without their hosts.
func (r Reader) CounterpartiesOfHosts(ctx context.Context, hosts []string) (map[string]tenancy.Counterparty, error) {
	owners, err := r.ownersOf(ctx, hosts)
	if err != nil {
		return nil, err
	}
	byID, err := r.CounterpartiesByID(ctx, slices.Compact(slices.Sorted(maps.Values(owners))))
	found := map[string]tenancy.Counterparty{}
	for host, id := range owners {
		found[host] = byID[id]
	}
	return found, err
}

var counterpartyListing = listing[tenancy.Counterparty]{
	query: "SELECT " + counterpartyColumns + " FROM counterparties WHERE ",
	scan:  scanCounterparty,
	id:    "id", idOf: func(c tenancy.Counterparty) string { return c.ID },
	orders: map[string]order[tenancy.Counterparty]{
		"name": {column: "name", key: func(c tenancy.Counterparty) string { return c.Name }, unique: true}},
	texts: []string{"name", "display_name"},
}

// Counterparties returns a page of the counterparties, in the order of creation or of their names. A host limits it to
// the counterparty that the host belongs to. A text is looked for in name and display name.
func (r Reader) Counterparties(ctx context.Context, host string, p Page) ([]tenancy.Counterparty, Place, error) {
	condition, args := "id <> ''", []any(nil)
	if host != "" {
		in, patterns := r.among(tenancy.HostPatterns(host))
		condition += " AND id IN (SELECT counterparty_id FROM counterparty_hosts WHERE host " + in + ")"
		args = append(args, patterns...)
	}
	all, next, err := counterpartyListing.read(ctx, r, p, condition, args...)
	all, err = r.withHosts(ctx, all, err)
	return all, next, err
}

// CreateCounterparty stores a counterparty without a page. It returns [tenancy.ErrConflict] if its name or one of its
// hosts is taken.
func (t *Tx) CreateCounterparty(ctx context.Context, c tenancy.Counterparty) error {
	_, err := t.exec(ctx, "INSERT INTO counterparties ("+counterpartyColumns+", hash) VALUES (?, ?, ?, ?, '', 0, 0, ?, "+
		"?, '')", c.ID, c.Name, c.DisplayName, c.Product, micros(c.CreatedAt), c.Version)
	if errors.Is(err, tenancy.ErrConflict) {
		return tenancy.Errorf(tenancy.ErrConflict, "there is a counterparty %s already: choose another name", c.Name)
	} else if err != nil {
		return err
	}
	return t.setHosts(ctx, c)
}

// UpdateCounterparty stores a change of the display name, the hosts and the product.
func (t *Tx) UpdateCounterparty(ctx context.Context, c tenancy.Counterparty) error {
	if err := t.execOne(ctx, "UPDATE counterparties SET display_name = ?, product = ?, version = version + 1 WHERE id = "+
		"? AND version = ?", c.DisplayName, c.Product, c.ID, c.Version); err != nil {
		return err
	}
	return t.setHosts(ctx, c)
}

func (t *Tx) setHosts(ctx context.Context, c tenancy.Counterparty) error {
	if _, err := t.exec(ctx, "DELETE FROM counterparty_hosts WHERE counterparty_id = ?", c.ID); err != nil {
		return err
	}
	for _, host := range c.Hosts {
		if _, err := t.exec(ctx, "INSERT INTO counterparty_hosts (host, counterparty_id) VALUES (?, ?)", host,
			c.ID); errors.Is(err, tenancy.ErrConflict) {
			return tenancy.Errorf(tenancy.ErrConflict, "the host %s belongs to another counterparty: remove it there first",
				host)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// SetCounterpartyProduct stores what the receivers of a counterparty run.
func (t *Tx) SetCounterpartyProduct(ctx context.Context, id, product string) error {
	return t.execOne(ctx, "UPDATE counterparties SET product = ?, version = version + 1 WHERE id = ?", product, id)
}

// DeleteCounterparty deletes a counterparty with its hosts, contacts, feed and webhooks, and ends the links to it.
func (t *Tx) DeleteCounterparty(ctx context.Context, c tenancy.Counterparty) error {
	if err := t.UnlinkCounterparty(ctx, c.ID); err != nil {
		return err
	}
	if err := errors.Join(t.deleteQuestions(ctx, c.ID), t.deleteAdministrators(ctx, c.ID),
		t.deleteWebhooksOf(ctx, c.ID)); err != nil {
		return err
	}
	return t.execOne(ctx, "DELETE FROM counterparties WHERE id = ? AND version = ?", c.ID, c.Version)
}

// UnlinkCounterparty ends the links of all receivers to a counterparty, and proposes its hosts again.
func (t *Tx) UnlinkCounterparty(ctx context.Context, id string) error {
	if err := t.unlinkReceivers(ctx, id); err != nil {
		return err
	}
	return t.forgetProposals(ctx, id)
}

// LinkCounterparty gives the page of a counterparty an address, with the hash of its secret. A former address and those
// of contacts end at once. An empty hash ends the page.
func (t *Tx) LinkCounterparty(ctx context.Context, id, hash, by string, now time.Time) error {
	if hash == "" {
		by, now = "", time.Time{}
	}
	if _, err := t.exec(ctx, "DELETE FROM counterparty_links WHERE counterparty_id = ?", id); err != nil {
		return err
	}
	return t.execOne(ctx, "UPDATE counterparties SET hash = ?, linked_by = ?, linked_at = ?, version = version + 1 WHERE "+
		"id = ?", hash, by, micros(now), id)
}

// contactLinkKept limits the validity of the address of a contact: a year, so that it works until the next renewal, and
// a month.
const contactLinkKept = 400 * 24 * time.Hour

// LinkContact adds an address of the page for a contact, with the hash of its secret, and deletes the addresses of the
// contact that are older than 400 days.
func (t *Tx) LinkContact(ctx context.Context, contact tenancy.CounterpartyContact, hash, by string,
	now time.Time) error {
	if _, err := t.exec(ctx, "DELETE FROM counterparty_links WHERE contact_id = ? AND created_at < ?", contact.ID,
		micros(now.Add(-contactLinkKept))); err != nil {
		return err
	}
	_, err := t.exec(ctx, "INSERT INTO counterparty_links (hash, counterparty_id, contact_id, created_by, created_at) "+
		"VALUES (?, ?, ?, ?, ?)", hash, contact.CounterpartyID, contact.ID, by, micros(now))
	return err
}

// VisitCounterparty records a visit of the page of a counterparty, unless one was recorded since the instant before.
func (t *Tx) VisitCounterparty(ctx context.Context, id string, before, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE counterparties SET visited_at = ? WHERE id = ? AND visited_at < ?", micros(now), id,
		micros(before))
	return err
}

const contactColumns = "id, counterparty_id, position, name, email, language, zone, proposed_by, confirmed_at, " +
	"created_at"

func scanContact(s row) (c tenancy.CounterpartyContact, err error) {
	err = s.Scan(&c.ID, &c.CounterpartyID, &c.Position, &c.Name, &c.Email, &c.Language, &c.Zone, &c.ProposedBy,
		instant{&c.ConfirmedAt}, instant{&c.CreatedAt})
	return c, err
}

// CounterpartyContacts reads the contacts of counterparties, by the ID of the counterparty, in their order.
func (r Reader) CounterpartyContacts(ctx context.Context,
	counterpartyIDs []string) (map[string][]tenancy.CounterpartyContact, error) {
	return groupBy(ctx, r, scanContact, func(c tenancy.CounterpartyContact) string { return c.CounterpartyID },
		"SELECT "+contactColumns+" FROM counterparty_contacts WHERE counterparty_id ", counterpartyIDs,
		" ORDER BY position, id")
}

// mostProposedContacts limits the contacts that a page has proposed, so that operators can always add one.
const mostProposedContacts = 5

// AddCounterpartyContact stores a contact after the others. It returns [tenancy.ErrConflict] if the counterparty has
// one with the same address, and [tenancy.ErrRefused] if it has too many contacts, or too many that are proposed.
func (t *Tx) AddCounterpartyContact(ctx context.Context, c tenancy.CounterpartyContact) error {
	all, err := t.CounterpartyContacts(ctx, []string{c.CounterpartyID})
	if err != nil {
		return err
	}
	contacts := all[c.CounterpartyID]
	proposed := 0
	for _, other := range contacts {
		if other.ProposedBy != "" {
			proposed++
		}
	}
	switch {
	case len(contacts) >= tenancy.MostCounterpartyContacts:
		return tenancy.Errorf(tenancy.ErrRefused, "the counterparty has %d contacts, which is the maximum: remove one first",
			len(contacts))
	case c.ProposedBy != "" && proposed >= mostProposedContacts:
		return tenancy.Errorf(tenancy.ErrRefused, "%d proposed contacts wait for the platform's operators already: ask them",
			proposed)
	}
	c.Position = 1
	if n := len(contacts); n > 0 {
		c.Position = contacts[n-1].Position + 1
	}
	_, err = t.exec(ctx, "INSERT INTO counterparty_contacts ("+contactColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.CounterpartyID, c.Position, c.Name, c.Email, c.Language, c.Zone, c.ProposedBy, micros(c.ConfirmedAt),
		micros(c.CreatedAt))
	if errors.Is(err, tenancy.ErrConflict) {
		err = tenancy.Errorf(tenancy.ErrConflict, "the counterparty has a contact with the address %s already", c.Email)
	}
	return err
}

// RemoveCounterpartyContact deletes a contact of a counterparty.
func (t *Tx) RemoveCounterpartyContact(ctx context.Context, counterpartyID, id string) error {
	n, err := t.exec(ctx, "DELETE FROM counterparty_contacts WHERE counterparty_id = ? AND id = ?", counterpartyID, id)
	return foundContact(n, err)
}

// AcceptCounterpartyContact makes a proposed contact a contact.
func (t *Tx) AcceptCounterpartyContact(ctx context.Context, counterpartyID, id string) error {
	n, err := t.exec(ctx, "UPDATE counterparty_contacts SET proposed_by = '' WHERE counterparty_id = ? AND id = ?",
		counterpartyID, id)
	return foundContact(n, err)
}

// ConfirmCounterpartyContact records that the data of a contact were confirmed on the page. It reports false if
// the contact does not exist, or if they were confirmed after the instant before.
func (t *Tx) ConfirmCounterpartyContact(ctx context.Context, counterpartyID, id string, before,
	now time.Time) (confirmed bool, err error) {
	n, err := t.exec(ctx, "UPDATE counterparty_contacts SET confirmed_at = ? WHERE counterparty_id = ? AND id = ? AND "+
		"confirmed_at <= ?", micros(now), counterpartyID, id, micros(before))
	return n > 0, err
}

func foundContact(changed int64, err error) error {
	if err == nil && changed == 0 {
		err = tenancy.Errorf(tenancy.ErrNotFound, "the counterparty has no such contact")
	}
	return err
}
