package store

import (
	"context"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// A NameOwner is a tenant whose certificates keep a name.
type NameOwner struct {
	Name   string
	Tenant string // its name
}

// NameOwners returns the tenants that keep one of the names.
func (r Reader) NameOwners(ctx context.Context, names []string) ([]NameOwner, error) {
	if len(names) == 0 {
		return nil, nil
	}
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	return list(ctx, r, func(s row) (o NameOwner, err error) { return o, s.Scan(&o.Name, &o.Tenant) },
		"SELECT k.name, t.name FROM kept_names k JOIN tenants t ON t.id = k.tenant_id WHERE k.name IN (?"+
			strings.Repeat(", ?", len(names)-1)+") ORDER BY k.name, t.name", args...)
}

// LockNames makes other transactions that keep names wait for the end of this one, so that each sees the names of the
// others. SQLite has one writer at a time, and any statement that writes makes it this one.
func (t *Tx) LockNames(ctx context.Context) error {
	lock := "DELETE FROM kept_names WHERE name = ''"
	if t.engine == Postgres {
		lock = "LOCK TABLE kept_names IN SHARE ROW EXCLUSIVE MODE"
	}
	_, err := t.exec(ctx, lock)
	return err
}

// KeepNames stores the names that the certificates of a tenant keep, for it alone. It returns [tenancy.ErrConflict] if
// another tenant has one of them. The caller holds [Tx.LockNames].
func (t *Tx) KeepNames(ctx context.Context, tenantID string, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	owners, err := t.NameOwners(ctx, names)
	if err != nil {
		return err
	}
	if len(owners) > 0 {
		return tenancy.Errorf(tenancy.ErrConflict, "the tenant %s has certificates with the same name (%s)",
			owners[0].Tenant, owners[0].Name)
	}
	for _, name := range names {
		if err := t.ShareName(ctx, tenantID, name); err != nil {
			return err
		}
	}
	return nil
}

// ShareName stores a name that the certificates of a tenant keep, and that those of others may have, too.
func (t *Tx) ShareName(ctx context.Context, tenantID, name string) error {
	_, err := t.exec(ctx, "INSERT INTO kept_names (name, tenant_id) VALUES (?, ?) ON CONFLICT (name, tenant_id) DO "+
		"NOTHING", name, tenantID)
	return err
}
