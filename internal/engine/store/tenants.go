package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const tenantColumns = "id, name, display_name, key_type, mails_administrators, created_at, version"

func scanTenant(s row) (t tenancy.Tenant, err error) {
	var mails int64
	err = s.Scan(&t.ID, &t.Name, &t.DisplayName, &t.KeyType, &mails, instant{&t.CreatedAt}, &t.Version)
	t.MailsAdministrators = mails == 1
	return t, err
}

// Tenant finds a tenant by its name. It returns [tenancy.ErrNotFound] if there is none.
func (r Reader) Tenant(ctx context.Context, name string) (tenancy.Tenant, error) {
	return one(ctx, r, "tenant "+name, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE name = ?", name)
}

// Tenants lists at most limit tenants in the order of their creation, after the given ID ("": from the first).
func (r Reader) Tenants(ctx context.Context, after string, limit int) ([]tenancy.Tenant, error) {
	return list(ctx, r, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// UnwarnedTenants lists at most limit tenants without a key user, in the order of their creation, after the given ID.
// No person is warned about their certificates.
func (r Reader) UnwarnedTenants(ctx context.Context, after string, limit int) ([]tenancy.Tenant, error) {
	return list(ctx, r, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE id > ? AND NOT EXISTS (SELECT 1 FROM "+
		"key_users WHERE tenant_id = tenants.id) ORDER BY id LIMIT ?", after, limit)
}

// CountTenants counts all tenants, and those without a key user. It reads the whole table.
func (r Reader) CountTenants(ctx context.Context) (all, unwarned int, err error) {
	err = r.explain(r.q.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(CASE WHEN NOT EXISTS (SELECT 1 FROM key_users WHERE "+
		"tenant_id = tenants.id) THEN 1 END) FROM tenants").Scan(&all, &unwarned))
	return all, unwarned, err
}

// TenantsByID reads the tenants with these IDs.
func (r Reader) TenantsByID(ctx context.Context, ids []string) (map[string]tenancy.Tenant, error) {
	return byID(ctx, r, scanTenant, func(t tenancy.Tenant) string {
		return t.ID
	}, "SELECT "+tenantColumns+" FROM tenants WHERE id ", ids)
}

// TenantsNamed reads the tenants with these names, by name.
func (r Reader) TenantsNamed(ctx context.Context, names []string) (map[string]tenancy.Tenant, error) {
	return byID(ctx, r, scanTenant, func(t tenancy.Tenant) string {
		return t.Name
	}, "SELECT "+tenantColumns+" FROM tenants WHERE name ", names)
}

// KeyTypes lists the key types that tenants and their credentials use.
func (r Reader) KeyTypes(ctx context.Context) ([]tenancy.KeyType, error) {
	return list(ctx, r, scanOne[tenancy.KeyType], "SELECT key_type FROM tenants UNION "+
		"SELECT key_type FROM credentials WHERE key_type <> ''")
}

var insertTenants = bulkInsert("tenants", "id text", "name text", "display_name text", "key_type text",
	"mails_administrators bigint", "created_at bigint", "version bigint")

// CreateTenants stores new tenants. It returns [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateTenants(ctx context.Context, tenants ...tenancy.Tenant) error {
	if _, err := insertTenants.write(ctx, t, len(tenants), func(i int) []any {
		v := &tenants[i]
		return []any{v.ID, v.Name, v.DisplayName, string(v.KeyType), bit(v.MailsAdministrators),
			micros(v.CreatedAt), v.Version}
	}); err != nil {
		return err
	}
	return t.indexTenants(ctx, tenants...)
}

// UpdateTenant stores a change. It returns [tenancy.ErrStale] if the tenant's version is no longer v.Version.
func (t *Tx) UpdateTenant(ctx context.Context, v tenancy.Tenant) error {
	if err := t.execOne(ctx, "UPDATE tenants SET display_name = ?, key_type = ?, mails_administrators = ?, version = "+
		"version + 1 WHERE id = ? AND version = ?", v.DisplayName, v.KeyType, bit(v.MailsAdministrators), v.ID,
		v.Version); err != nil {
		return err
	}
	return t.reindexTenant(ctx, v)
}
