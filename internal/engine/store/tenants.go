package store

import (
	"context"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const tenantColumns = "id, name, display_name, key_type, created_at, version"

func scanTenant(s row) (t tenancy.Tenant, err error) {
	return t, s.Scan(&t.ID, &t.Name, &t.DisplayName, &t.KeyType, instant{&t.CreatedAt}, &t.Version)
}

// Tenant finds a tenant by its name; [tenancy.ErrNotFound] where there is none.
func (r Reader) Tenant(ctx context.Context, name string) (tenancy.Tenant, error) {
	return one(ctx, r, "tenant "+name, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE name = ?", name)
}

// Tenants lists tenants in the order of their creation, at most limit, after the one with the given ID ("" for the
// first).
func (r Reader) Tenants(ctx context.Context, after string, limit int) ([]tenancy.Tenant, error) {
	return list(ctx, r, scanTenant, "SELECT "+tenantColumns+" FROM tenants WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

// TenantsByID reads the tenants with these IDs.
func (r Reader) TenantsByID(ctx context.Context, ids []string) (map[string]tenancy.Tenant, error) {
	return byID(ctx, r, scanTenant, func(t tenancy.Tenant) string {
		return t.ID
	}, "SELECT "+tenantColumns+" FROM tenants WHERE id ", ids)
}

// KeyTypes lists the key types that tenants use.
func (r Reader) KeyTypes(ctx context.Context) ([]tenancy.KeyType, error) {
	return list(ctx, r, scanOne[tenancy.KeyType], "SELECT DISTINCT key_type FROM tenants")
}

// CreateTenant stores a new tenant; [tenancy.ErrConflict] where its name is taken.
func (t *Tx) CreateTenant(ctx context.Context, v tenancy.Tenant) error {
	_, err := t.exec(ctx, "INSERT INTO tenants ("+tenantColumns+") VALUES (?, ?, ?, ?, ?, ?)", v.ID, v.Name, v.DisplayName,
		v.KeyType, micros(v.CreatedAt), v.Version)
	return err
}

// UpdateTenant stores a change to v.Version; [tenancy.ErrStale] where another came first.
func (t *Tx) UpdateTenant(ctx context.Context, v tenancy.Tenant) error {
	return t.execOne(ctx, "UPDATE tenants SET display_name = ?, key_type = ?, version = version + 1 WHERE id = ? AND "+
		"version = ?", v.DisplayName, v.KeyType, v.ID, v.Version)
}

const keyUserColumns = "id, tenant_id, name, email, subscribed_at, unsubscribe_token, created_at, version"

func scanKeyUser(s row) (u tenancy.KeyUser, err error) {
	return u, s.Scan(&u.ID, &u.TenantID, &u.Name, &u.Email, instant{&u.SubscribedAt}, &u.UnsubscribeToken,
		instant{&u.CreatedAt}, &u.Version)
}

// KeyUser finds a key user of a tenant by name.
func (r Reader) KeyUser(ctx context.Context, tenantID, name string) (tenancy.KeyUser, error) {
	return one(ctx, r, "key user "+name, scanKeyUser,
		"SELECT "+keyUserColumns+" FROM key_users WHERE tenant_id = ? AND name = ?", tenantID, name)
}

// KeyUserByUnsubscribeToken finds the key user whose one-click link carries the token.
func (r Reader) KeyUserByUnsubscribeToken(ctx context.Context, token string) (tenancy.KeyUser, error) {
	return one(ctx, r, "subscription for this link", scanKeyUser,
		"SELECT "+keyUserColumns+" FROM key_users WHERE unsubscribe_token = ?", token)
}

// KeyUsers lists the key users of a tenant.
func (r Reader) KeyUsers(ctx context.Context, tenantID, after string, limit int) ([]tenancy.KeyUser, error) {
	return list(ctx, r, scanKeyUser, "SELECT "+keyUserColumns+" FROM key_users WHERE tenant_id = ? AND id > ? ORDER BY "+
		"id LIMIT ?", tenantID, after, limit)
}

// KeyUsersOf reads the key users of many tenants, by tenant ID.
func (r Reader) KeyUsersOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.KeyUser, error) {
	return groupBy(ctx, r, scanKeyUser, func(u tenancy.KeyUser) string {
		return u.TenantID
	}, "SELECT "+keyUserColumns+" FROM key_users WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

// CreateKeyUser stores a new key user; [tenancy.ErrConflict] where the name is taken.
func (t *Tx) CreateKeyUser(ctx context.Context, u tenancy.KeyUser) error {
	_, err := t.exec(ctx, "INSERT INTO key_users ("+keyUserColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		u.ID, u.TenantID, u.Name, u.Email, micros(u.SubscribedAt), u.UnsubscribeToken, micros(u.CreatedAt), u.Version)
	return err
}

// UpdateKeyUser stores a change of the address or of the subscription.
func (t *Tx) UpdateKeyUser(ctx context.Context, u tenancy.KeyUser) error {
	return t.execOne(ctx, "UPDATE key_users SET email = ?, subscribed_at = ?, version = version + 1 WHERE id = ? AND "+
		"version = ?", u.Email, micros(u.SubscribedAt), u.ID, u.Version)
}

// DeleteKeyUser removes a key user, the user's tasks and tokens.
func (t *Tx) DeleteKeyUser(ctx context.Context, u tenancy.KeyUser) error {
	for _, owned := range []string{"tokens", "tasks"} {
		if _, err := t.exec(ctx, "DELETE FROM "+owned+" WHERE tenant_id = ? AND key_user_id = ?", u.TenantID,
			u.ID); err != nil {
			return err
		}
	}
	return t.execOne(ctx, "DELETE FROM key_users WHERE id = ? AND version = ?", u.ID, u.Version)
}

const itContactColumns = "id, tenant_id, position, name, email, created_at, version"

func scanITContact(s row) (c tenancy.ITContact, err error) {
	return c, s.Scan(&c.ID, &c.TenantID, &c.Position, &c.Name, &c.Email, instant{&c.CreatedAt}, &c.Version)
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

// SetITContacts makes these the tenant's IT contacts, in this order.
func (t *Tx) SetITContacts(ctx context.Context, tenantID string, contacts []tenancy.ITContact) error {
	if _, err := t.exec(ctx, "DELETE FROM it_contacts WHERE tenant_id = ?", tenantID); err != nil {
		return err
	}
	for i, c := range contacts {
		if _, err := t.exec(ctx, "INSERT INTO it_contacts ("+itContactColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)", c.ID,
			tenantID, i+1, c.Name, c.Email, micros(c.CreatedAt), c.Version); err != nil {
			return err
		}
	}
	return nil
}

const receiverColumns = "id, tenant_id, name, display_name, contact_name, contact_email, created_at, version"

func scanReceiver(s row) (v tenancy.Receiver, err error) {
	return v, s.Scan(&v.ID, &v.TenantID, &v.Name, &v.DisplayName, &v.ContactName, &v.ContactEmail, instant{&v.CreatedAt},
		&v.Version)
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

// CreateReceiver stores a new receiver; [tenancy.ErrConflict] where the name is taken.
func (t *Tx) CreateReceiver(ctx context.Context, v tenancy.Receiver) error {
	_, err := t.exec(ctx, "INSERT INTO receivers ("+receiverColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		v.ID, v.TenantID, v.Name, v.DisplayName, v.ContactName, v.ContactEmail, micros(v.CreatedAt), v.Version)
	return err
}

// UpdateReceiver stores a change of all but the name.
func (t *Tx) UpdateReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "UPDATE receivers SET display_name = ?, contact_name = ?, contact_email = ?, version = "+
		"version + 1 WHERE id = ? AND version = ?",
		v.DisplayName, v.ContactName, v.ContactEmail, v.ID, v.Version)
}

// DeleteReceiver removes a receiver; [tenancy.ErrConflict] where an arrangement uses it.
func (t *Tx) DeleteReceiver(ctx context.Context, v tenancy.Receiver) error {
	return t.execOne(ctx, "DELETE FROM receivers WHERE id = ? AND version = ?", v.ID, v.Version)
}

const arrangementColumns = "id, tenant_id, receiver_id, name, scenario, endpoint, authentication, strategy, " +
	"generation, needed_old_at, egress, created_at, version"

func scanArrangement(s row) (a tenancy.Arrangement, err error) {
	return a, s.Scan(&a.ID, &a.TenantID, &a.ReceiverID, &a.Name, &a.Scenario, &a.Endpoint, &a.Authentication, &a.Strategy,
		&a.Generation, instant{&a.NeededOldAt}, document{&a.Egress}, instant{&a.CreatedAt}, &a.Version)
}

// Arrangement finds an arrangement of a tenant by name.
func (r Reader) Arrangement(ctx context.Context, tenantID, name string) (tenancy.Arrangement, error) {
	return one(ctx, r, "arrangement "+name, scanArrangement,
		"SELECT "+arrangementColumns+" FROM arrangements WHERE tenant_id = ? AND name = ?", tenantID, name)
}

// Arrangements lists the arrangements of a tenant.
func (r Reader) Arrangements(ctx context.Context, tenantID, after string, limit int) ([]tenancy.Arrangement, error) {
	return list(ctx, r, scanArrangement, "SELECT "+arrangementColumns+" FROM arrangements WHERE tenant_id = ? AND id > "+
		"? ORDER BY id LIMIT ?", tenantID, after, limit)
}

// ArrangementsOf reads the arrangements of many tenants, by tenant ID.
func (r Reader) ArrangementsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Arrangement, error) {
	return groupBy(ctx, r, scanArrangement, func(a tenancy.Arrangement) string {
		return a.TenantID
	}, "SELECT "+arrangementColumns+" FROM arrangements WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

// CreateArrangement stores a new arrangement; [tenancy.ErrConflict] where the name is taken.
func (t *Tx) CreateArrangement(ctx context.Context, a tenancy.Arrangement) error {
	_, err := t.exec(ctx, "INSERT INTO arrangements ("+arrangementColumns+
		") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.ID, a.TenantID, a.ReceiverID, a.Name, a.Scenario, a.Endpoint, a.Authentication, a.Strategy, a.Generation,
		micros(a.NeededOldAt), document{&a.Egress}, micros(a.CreatedAt), a.Version)
	return err
}

// UpdateArrangement stores a change of all but the name.
func (t *Tx) UpdateArrangement(ctx context.Context, a tenancy.Arrangement) error {
	return t.execOne(ctx, "UPDATE arrangements SET receiver_id = ?, scenario = ?, endpoint = ?, authentication = ?, "+
		"strategy = ?, generation = ?, egress = ?, version = version + 1 WHERE id = ? AND version = ?",
		a.ReceiverID, a.Scenario, a.Endpoint, a.Authentication, a.Strategy, a.Generation, document{&a.Egress}, a.ID,
		a.Version)
}

// DeleteArrangement removes an arrangement.
func (t *Tx) DeleteArrangement(ctx context.Context, a tenancy.Arrangement) error {
	return t.execOne(ctx, "DELETE FROM arrangements WHERE id = ? AND version = ?", a.ID, a.Version)
}

// among is the condition that a column is one of the IDs, and its arguments: a list for SQLite, one array for
// PostgreSQL, which then prepares the statement once.
func (r Reader) among(ids []string) (string, []any) {
	if r.engine == Postgres {
		return "= ANY (?)", []any{ids}
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return "IN (" + strings.Repeat("?, ", len(ids)-1) + "?)", args
}

// groupBy reads the rows of a query that ends in a column that is among the IDs, and groups them. before are arguments
// that come before the IDs.
func groupBy[T any](ctx context.Context, r Reader, scan func(row) (T, error), key func(T) string, query string,
	ids []string, order string, before ...any) (map[string][]T, error) {
	groups := map[string][]T{}
	if len(ids) == 0 {
		return groups, nil
	}
	in, args := r.among(ids)
	err := forEach(ctx, r, scan, func(v T) { groups[key(v)] = append(groups[key(v)], v) }, query+in+order,
		append(before, args...)...)
	return groups, err
}

func byID[T any](ctx context.Context, r Reader, scan func(row) (T, error), key func(T) string, query string,
	ids []string) (map[string]T, error) {
	found := make(map[string]T, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	in, args := r.among(ids)
	err := forEach(ctx, r, scan, func(v T) { found[key(v)] = v }, query+in, args...)
	return found, err
}

const tokenColumns = "t.id, t.name, t.role, t.tenant_id, COALESCE(n.name, ''), t.key_user_id, COALESCE(u.name, ''), " +
	"t.created_at, t.expires_at, t.last_used_at, t.revoked_at"

const tokenTables = " FROM tokens t LEFT JOIN tenants n ON n.id = t.tenant_id LEFT JOIN key_users u ON u.id = " +
	"t.key_user_id "

func scanToken(s row) (t tenancy.Token, err error) {
	return t, s.Scan(&t.ID, &t.Name, &t.Role, &t.TenantID, &t.Tenant, &t.KeyUserID, &t.KeyUser, instant{&t.CreatedAt},
		instant{&t.ExpiresAt}, instant{&t.LastUsedAt}, instant{&t.RevokedAt})
}

// TokenByHash finds a token by the hash of its secret, whether or not it is still valid.
func (r Reader) TokenByHash(ctx context.Context, hash string) (tenancy.Token, error) {
	return one(ctx, r, "such token", scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.hash = ?", hash)
}

// Token finds a token by its ID.
func (r Reader) Token(ctx context.Context, id string) (tenancy.Token, error) {
	return one(ctx, r, "token "+id, scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.id = ?", id)
}

// Tokens lists all tokens.
func (r Reader) Tokens(ctx context.Context, after string, limit int) ([]tenancy.Token, error) {
	return list(ctx, r, scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.id > ? ORDER BY t.id LIMIT ?", after, limit)
}

// CreateToken stores a token with the hash of its secret.
func (t *Tx) CreateToken(ctx context.Context, v tenancy.Token, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO tokens (id, name, role, tenant_id, key_user_id, hash, created_at, expires_at, "+
		"last_used_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
		v.ID, v.Name, v.Role, v.TenantID, v.KeyUserID, hash, micros(v.CreatedAt), micros(v.ExpiresAt))
	return err
}

// RevokeToken ends a token.
func (t *Tx) RevokeToken(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at = 0", micros(now), id)
}

// TouchToken notes when a token was used last.
func (t *Tx) TouchToken(ctx context.Context, id string, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE tokens SET last_used_at = ? WHERE id = ?", micros(now), id)
	return err
}
