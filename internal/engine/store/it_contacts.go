package store

import (
	"context"
	"slices"

	"github.com/perennial-pki/perennial/tenancy"
)

const itContactColumns = "id, tenant_id, position, name, email, language, zone, created_at, version"

func scanITContact(s row) (c tenancy.ITContact, err error) {
	err = s.Scan(&c.ID, &c.TenantID, &c.Position, &c.Name, &c.Email, &c.Language, &c.Zone,
		instant{&c.CreatedAt}, &c.Version)
	return c, err
}

// ITContacts lists a tenant's IT contacts in their order.
func (r Reader) ITContacts(ctx context.Context, tenantID string) ([]tenancy.ITContact, error) {
	return list(ctx, r, scanITContact,
		"SELECT "+itContactColumns+" FROM it_contacts WHERE tenant_id = ? ORDER BY position", tenantID)
}

// ITContactsOf reads the IT contacts of many tenants, by tenant ID, each in its order.
func (r Reader) ITContactsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.ITContact, error) {
	return groupBy(ctx, r, scanITContact, func(c tenancy.ITContact) string {
		return c.TenantID
	}, "SELECT "+itContactColumns+" FROM it_contacts WHERE tenant_id ", tenantIDs, " ORDER BY position")
}

// SetITContacts replaces the tenant's IT contacts with these, in this order.
func (t *Tx) SetITContacts(ctx context.Context, tenantID string, contacts []tenancy.ITContact) error {
	if _, err := t.exec(ctx, "DELETE FROM it_contacts WHERE tenant_id = ?", tenantID); err != nil {
		return err
	}
	placed := slices.Clone(contacts)
	for i := range placed {
		placed[i].TenantID, placed[i].Position = tenantID, i+1
	}
	return t.AddITContacts(ctx, placed...)
}

var insertITContacts = bulkInsert("it_contacts", "id text", "tenant_id text", "position bigint", "name text",
	"email text", "language text", "zone text", "created_at bigint", "version bigint")

// AddITContacts stores new IT contacts. It returns [tenancy.ErrConflict] if a position is taken.
func (t *Tx) AddITContacts(ctx context.Context, contacts ...tenancy.ITContact) error {
	_, err := insertITContacts.write(ctx, t, len(contacts), func(i int) []any {
		c := &contacts[i]
		return []any{c.ID, c.TenantID, int64(c.Position), c.Name, c.Email, c.Language, c.Zone,
			micros(c.CreatedAt), c.Version}
	})
	return err
}
