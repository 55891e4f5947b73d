package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const receiverColumns = "id, tenant_id, name, display_name, contact_name, contact_email, created_at, version, " +
	"counterparty_id, contact_language, contact_zone"

func scanReceiver(s row) (v tenancy.Receiver, err error) {
	err = s.Scan(&v.ID, &v.TenantID, &v.Name, &v.DisplayName, &v.ContactName, &v.ContactEmail, instant{&v.CreatedAt},
		&v.Version, &v.CounterpartyID, &v.Contact.Language, &v.Contact.Zone)
	return v, err
}

// Receiver finds a receiver of a tenant by name.
func (r Reader) Receiver(ctx context.Context, tenantID, name string) (tenancy.Receiver, error) {
	return one(ctx, r, "receiver "+name, scanReceiver,
		"SELECT "+receiverColumns+" FROM receivers WHERE tenant_id = ? AND name = ?", tenantID, name)
}

var receiverListing = listing[tenancy.Receiver]{
	query: "SELECT " + receiverColumns + " FROM receivers WHERE ",
	scan:  scanReceiver,
	id:    "id", idOf: func(v tenancy.Receiver) string { return v.ID },
	orders: map[string]order[tenancy.Receiver]{
		"name": {column: "name", key: func(v tenancy.Receiver) string { return v.Name }, unique: true}},
	texts: []string{"name", "display_name", "contact_name", "contact_email"},
}

// Receivers returns a page of the receivers of a tenant, in the order of creation or of their names. A text is looked
// for in the names, and in the name and address of the administrator.
func (r Reader) Receivers(ctx context.Context, tenantID string, p Page) ([]tenancy.Receiver, Place, error) {
	return receiverListing.read(ctx, r, p, "tenant_id = ?", tenantID)
}

// ReceiversOf reads the receivers of many tenants, by tenant ID.
func (r Reader) ReceiversOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Receiver, error) {
	return groupBy(ctx, r, scanReceiver, func(v tenancy.Receiver) string {
		return v.TenantID
	}, "SELECT "+receiverColumns+" FROM receivers WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

// CountReceivers counts the receivers of a tenant, up to a limit.
func (r Reader) CountReceivers(ctx context.Context, tenantID string, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "receivers WHERE tenant_id = ?", tenantID)
}

var insertReceivers = bulkInsert("receivers", "id text", "tenant_id text", "name text", "display_name text",
	"contact_name text", "contact_email text", "created_at bigint", "version bigint", "counterparty_id text",
	"contact_language text", "contact_zone text")

// CreateReceivers stores new receivers. It returns [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateReceivers(ctx context.Context, receivers ...tenancy.Receiver) error {
	_, err := insertReceivers.write(ctx, t, len(receivers), func(i int) []any {
		v := &receivers[i]
		return []any{v.ID, v.TenantID, v.Name, v.DisplayName, v.ContactName, v.ContactEmail, micros(v.CreatedAt), v.Version,
			v.CounterpartyID, v.Contact.Language, v.Contact.Zone}
	})
	return err
}

// UpdateReceiver stores a change of everything except the name.
func (t *Tx) UpdateReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "UPDATE receivers SET display_name = ?, contact_name = ?, contact_email = ?, "+
		"contact_language = ?, contact_zone = ?, counterparty_id = ?, version = version + 1 WHERE id = ? AND version = ?",
		v.DisplayName, v.ContactName, v.ContactEmail, v.Contact.Language, v.Contact.Zone, v.CounterpartyID, v.ID, v.Version)
}

// DeleteReceiver deletes a receiver. It returns [tenancy.ErrConflict] if an arrangement uses it.
func (t *Tx) DeleteReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "DELETE FROM receivers WHERE id = ? AND version = ?", v.ID, v.Version)
}

// LinkReceivers links the receivers of all tenants that have an arrangement with a host to a counterparty, unless they
// are linked to one, or were unlinked from this one. It returns their number.
func (t *Tx) LinkReceivers(ctx context.Context, counterpartyID, host string) (int64, error) {
	return t.exec(ctx, "UPDATE receivers SET counterparty_id = ?, version = version + 1 WHERE counterparty_id = '' AND "+
		"unlinked_from <> ? AND id IN (SELECT receiver_id FROM arrangements WHERE host = ?)", counterpartyID, counterpartyID,
		host)
}

// UnlinkReceiver ends the link of a receiver to its counterparty, if it has one. The receiver is not proposed for this
// counterparty again.
func (t *Tx) UnlinkReceiver(ctx context.Context, receiverID string) error {
	_, err := t.exec(ctx, "UPDATE receivers SET unlinked_from = counterparty_id, counterparty_id = '', version = "+
		"version + 1 WHERE id = ? AND counterparty_id <> ''", receiverID)
	return err
}

// ForgetUnlinked lets receivers with a host be linked to a counterparty again from which they were unlinked.
func (t *Tx) ForgetUnlinked(ctx context.Context, counterpartyID, host string) error {
	_, err := t.exec(ctx, "UPDATE receivers SET unlinked_from = '' WHERE unlinked_from = ? AND unlinked_from <> '' AND "+
		"id IN (SELECT receiver_id FROM arrangements WHERE host = ?)", counterpartyID, host)
	return err
}

// UnlinkStray ends the link of a receiver to its counterparty if none of its arrangements names a host of the
// counterparty any longer.
func (t *Tx) UnlinkStray(ctx context.Context, receiverID string) error {
	_, err := t.exec(ctx, "UPDATE receivers SET counterparty_id = '', version = version + 1 WHERE id = ? AND "+
		"counterparty_id <> '' AND NOT EXISTS (SELECT 1 FROM arrangements a JOIN counterparty_hosts h ON h.host = a.host OR "+
		"(h.host LIKE '.%' AND length(a.host) > length(h.host) AND substr(a.host, length(a.host) - length(h.host) + 1) = "+
		"h.host) WHERE a.receiver_id = receivers.id AND h.counterparty_id = receivers.counterparty_id)", receiverID)
	return err
}

// unlinkReceivers ends the links of all receivers to a counterparty.
func (t *Tx) unlinkReceivers(ctx context.Context, counterpartyID string) error {
	_, err := t.exec(ctx, "UPDATE receivers SET counterparty_id = '', version = version + 1 WHERE "+
		"counterparty_id = ? AND counterparty_id <> ''", counterpartyID)
	return err
}

// CounterpartyTenants lists the IDs of the tenants with a receiver that is linked to a counterparty, after one of them.
func (r Reader) CounterpartyTenants(ctx context.Context, counterpartyID, after string, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT DISTINCT tenant_id FROM receivers WHERE counterparty_id = ? AND "+
		"counterparty_id <> '' AND tenant_id > ? ORDER BY tenant_id LIMIT ?", counterpartyID, after, limit)
}

// CountLinked counts the tenants with receivers that are linked to counterparties, by the ID of the counterparty.
func (r Reader) CountLinked(ctx context.Context, counterpartyIDs []string) (map[string]int, error) {
	type count struct {
		id string
		n  int
	}
	rows, err := byID(ctx, r, func(s row) (c count, err error) {
		err = s.Scan(&c.id, &c.n)
		return c, err
	}, func(c count) string { return c.id }, "SELECT id, (SELECT count(DISTINCT tenant_id) FROM receivers WHERE "+
		"counterparty_id = counterparties.id AND counterparty_id <> '') FROM counterparties WHERE id ", counterpartyIDs)
	counts := map[string]int{}
	for id, c := range rows {
		counts[id] = c.n
	}
	return counts, err
}
