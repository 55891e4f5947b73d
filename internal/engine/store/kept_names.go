package store

import "context"

// A NameOwner is a tenant whose certificates keep a name.
type NameOwner struct {
	Name   string
	Tenant string // its name
}

// NameOwners returns the tenants that keep one of the names, by name and tenant.
func (r Reader) NameOwners(ctx context.Context, names []string) ([]NameOwner, error) {
	if len(names) == 0 {
		return nil, nil
	}
	in, args := r.among(names)
	return list(ctx, r, func(s row) (o NameOwner, err error) {
		err = s.Scan(&o.Name, &o.Tenant)
		return o, err
	},
		"SELECT k.name, t.name FROM kept_names k JOIN tenants t ON t.id = k.tenant_id WHERE k.name "+in+
			" ORDER BY k.name, t.name", args...)
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

var keepNames = bulkInsert("kept_names", "name text", "tenant_id text").oncePer("name, tenant_id")

// A KeptName is a name that the certificates of a tenant keep.
type KeptName struct{ Name, TenantID string }

// KeepNames stores names that certificates keep. The caller holds [Tx.LockNames], and has checked that no other tenant
// has them.
func (t *Tx) KeepNames(ctx context.Context, names ...KeptName) error {
	_, err := keepNames.write(ctx, t, len(names), func(i int) []any { return []any{names[i].Name, names[i].TenantID} })
	return err
}
