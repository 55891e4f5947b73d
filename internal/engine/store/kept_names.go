package store

import (
	"context"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// A NameOwner is the tenant whose certificates keep a name.
type NameOwner struct {
	Name   string // as certfile.Names.Claims returns it
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
			strings.Repeat(", ?", len(names)-1)+") ORDER BY k.name", args...)
}

// KeepNames stores the names that the certificates of a tenant keep. It returns [tenancy.ErrConflict] if another tenant
// has one of them.
func (t *Tx) KeepNames(ctx context.Context, tenantID string, names []string) error {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		n, err := t.exec(ctx, "INSERT INTO kept_names (name, tenant_id) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name,
			tenantID)
		if err != nil {
			return err
		}
		if n == 0 {
			return tenancy.Errorf(tenancy.ErrConflict, "another tenant has certificates with %s", name)
		}
	}
	return nil
}
