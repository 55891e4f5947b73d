package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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

var tenantListing = listing[tenancy.Tenant]{
	query: "SELECT " + tenantColumns + " FROM tenants WHERE ",
	scan:  scanTenant,
	id:    "id", idOf: func(t tenancy.Tenant) string { return t.ID },
	orders: map[string]order[tenancy.Tenant]{
		"name": {column: "name", key: func(t tenancy.Tenant) string { return t.Name }, unique: true}},
	begins: "name",
}

// SearchTenants returns a page of the tenants, in the order of creation or of their names. A text limits it to those
// whose name begins with it.
func (r Reader) SearchTenants(ctx context.Context, p Page) ([]tenancy.Tenant, Place, error) {
	return tenantListing.read(ctx, r, p, "id <> ''")
}

// withoutKeyUser is the condition that a tenant has no key user, so that no person is warned about its certificates.
const withoutKeyUser = "NOT EXISTS (SELECT 1 FROM key_users WHERE tenant_id = tenants.id)"

// UnwarnedTenants lists at most limit tenants without a key user, in the order of their creation, with their places by
// expiry. The place of a tenant without a certificate is zero. It reads the whole table if there are few of them.
func (r Reader) UnwarnedTenants(ctx context.Context, limit int) ([]PlacedTenant, error) {
	return list(ctx, r, scanByExpiry, "SELECT "+expiringColumns+", coalesce(c.not_after, 0), coalesce(c.id, '') FROM "+
		"tenants LEFT JOIN certificates AS c ON c.tenant_id = tenants.id AND c.successor_id = '' AND c.purpose = 'tenant' "+
		"WHERE "+withoutKeyUser+" ORDER BY tenants.id LIMIT ?", limit)
}

// A TenantSort is an order of tenants. Each reads an index.
type TenantSort string

// The orders of tenants.
const (
	TenantsByAge  TenantSort = "created"
	TenantsByName TenantSort = "name"
	// TenantsByExpiry is the order of the expiry of the newest tenant certificate. A tenant without one is left out.
	TenantsByExpiry TenantSort = "not-after"
)

// A TenantPage is a page of the tenants in an order.
type TenantPage struct {
	Sort       TenantSort
	Descending bool
	Unwarned   bool // only tenants without a key user
	// After is the place of the last tenant of the page before; the zero value for the first page.
	After TenantPlace
	Limit int
}

// A TenantPlace is the place of a tenant in an order: its key, and the ID that orders equal keys.
type TenantPlace struct{ Key, ID string }

// A PlacedTenant is a tenant with its place.
type PlacedTenant struct {
	tenancy.Tenant
	Place TenantPlace
}

// TenantPage reads a page of tenants.
func (r Reader) TenantPage(ctx context.Context, p TenantPage) ([]PlacedTenant, error) {
	compare, direction := " > ", ""
	if p.Descending {
		compare, direction = " < ", " DESC"
	}
	query, args, scan := "SELECT "+tenantColumns+" FROM tenants WHERE 1 = 1", []any{}, scanByAge
	if p.Unwarned {
		query += " AND " + withoutKeyUser
	}
	order := " ORDER BY id" + direction
	switch {
	case p.Sort == TenantsByExpiry:
		return r.tenantsByExpiry(ctx, p, compare, direction)
	case p.Sort == TenantsByName:
		scan, order = scanByName, " ORDER BY name"+direction
		if p.After.Key != "" {
			query, args = query+" AND name"+compare+"?", append(args, p.After.Key)
		}
	case p.After.ID != "":
		query, args = query+" AND id"+compare+"?", append(args, p.After.ID)
	}
	return list(ctx, r, scan, query+order+" LIMIT ?", append(args, p.Limit)...)
}

// expiringColumns are those of a tenant that is joined with its certificate.
var expiringColumns = "tenants." + strings.ReplaceAll(tenantColumns, ", ", ", tenants.")

// tenantsByExpiry walks the index of the certificates that can be due.
func (r Reader) tenantsByExpiry(ctx context.Context, p TenantPage, compare, direction string) ([]PlacedTenant, error) {
	query, args := "SELECT "+expiringColumns+", c.not_after, c.id FROM certificates AS c JOIN tenants ON "+
		"tenants.id = c.tenant_id WHERE c.successor_id = '' AND c.purpose = 'tenant'", []any{}
	if p.Unwarned {
		query += " AND " + withoutKeyUser
	}
	if p.After.ID != "" {
		at, err := strconv.ParseInt(p.After.Key, 10, 64)
		if err != nil {
			return nil, tenancy.Invalid("cursor", "is not a cursor of this service")
		}
		query, args = query+" AND (c.not_after, c.id)"+compare+"(?, ?)", append(args, at, p.After.ID)
	}
	return list(ctx, r, scanByExpiry, query+" ORDER BY c.not_after"+direction+", c.id"+direction+" LIMIT ?",
		append(args, p.Limit)...)
}

func scanByAge(s row) (p PlacedTenant, err error) {
	p.Tenant, err = scanTenant(s)
	p.Place = TenantPlace{Key: p.ID, ID: p.ID}
	return p, err
}

func scanByName(s row) (p PlacedTenant, err error) {
	p.Tenant, err = scanTenant(s)
	p.Place = TenantPlace{Key: p.Name, ID: p.ID}
	return p, err
}

// A longer row has more columns behind those that a function scans.
type longer struct {
	row
	more []any
}

func (l longer) Scan(columns ...any) error { return l.row.Scan(append(columns, l.more...)...) }

func scanByExpiry(s row) (p PlacedTenant, err error) {
	var notAfter int64
	p.Tenant, err = scanTenant(longer{s, []any{&notAfter, &p.Place.ID}})
	if p.Place.ID != "" {
		p.Place.Key = fmt.Sprintf("%020d", notAfter) // as many digits for each, so that keys can be compared as texts
	}
	return p, err
}

// CountTenants counts all tenants, and those without a key user. It reads the whole table.
func (r Reader) CountTenants(ctx context.Context) (all, unwarned int, err error) {
	err = r.explain(r.q.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(CASE WHEN "+withoutKeyUser+" THEN 1 END) FROM "+
		"tenants").Scan(&all, &unwarned))
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
