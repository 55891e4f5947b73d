package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const receiverColumns = "id, tenant_id, name, display_name, contact_name, contact_email, created_at, version"

func scanReceiver(s row) (v tenancy.Receiver, err error) {
	err = s.Scan(&v.ID, &v.TenantID, &v.Name, &v.DisplayName, &v.ContactName, &v.ContactEmail, instant{&v.CreatedAt},
		&v.Version)
	return v, err
}

// Receiver finds a receiver of a tenant by name.
func (r Reader) Receiver(ctx context.Context, tenantID, name string) (tenancy.Receiver, error) {
	return one(ctx, r, "receiver "+name, scanReceiver,
		"SELECT "+receiverColumns+" FROM receivers WHERE tenant_id = ? AND name = ?", tenantID, name)
}

// Receivers lists the receivers of a tenant.
func (r Reader) Receivers(ctx context.Context, tenantID, after string, limit int) ([]tenancy.Receiver, error) {
	return list(ctx, r, scanReceiver, "SELECT "+receiverColumns+" FROM receivers WHERE tenant_id = ? AND id > ? ORDER "+
		"BY id LIMIT ?", tenantID, after, limit)
}

// ReceiversOf reads the receivers of many tenants, by tenant ID.
func (r Reader) ReceiversOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Receiver, error) {
	return groupBy(ctx, r, scanReceiver, func(v tenancy.Receiver) string {
		return v.TenantID
	}, "SELECT "+receiverColumns+" FROM receivers WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

var insertReceivers = bulkInsert("receivers", "id text", "tenant_id text", "name text", "display_name text",
	"contact_name text", "contact_email text", "created_at bigint", "version bigint")

// CreateReceivers stores new receivers. It returns [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateReceivers(ctx context.Context, receivers ...tenancy.Receiver) error {
	_, err := insertReceivers.write(ctx, t, len(receivers), func(i int) []any {
		v := &receivers[i]
		return []any{v.ID, v.TenantID, v.Name, v.DisplayName, v.ContactName, v.ContactEmail, micros(v.CreatedAt), v.Version}
	})
	return err
}

// UpdateReceiver stores a change of everything except the name.
func (t *Tx) UpdateReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "UPDATE receivers SET display_name = ?, contact_name = ?, contact_email = ?, version = "+
		"version + 1 WHERE id = ? AND version = ?",
		v.DisplayName, v.ContactName, v.ContactEmail, v.ID, v.Version)
}

// DeleteReceiver deletes a receiver. It returns [tenancy.ErrConflict] if an arrangement uses it.
func (t *Tx) DeleteReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "DELETE FROM receivers WHERE id = ? AND version = ?", v.ID, v.Version)
}
