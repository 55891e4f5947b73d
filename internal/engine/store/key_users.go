package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const keyUserColumns = "id, tenant_id, name, display_name, email, language, zone, subscribed_at, unsubscribe_token, " +
	"created_at, version"

func scanKeyUser(s row) (u tenancy.KeyUser, err error) {
	err = s.Scan(&u.ID, &u.TenantID, &u.Name, &u.DisplayName, &u.Email, &u.Language, &u.Zone, instant{&u.SubscribedAt},
		&u.UnsubscribeToken, instant{&u.CreatedAt}, &u.Version)
	return u, err
}

// KeyUser finds a key user of a tenant by name.
func (r Reader) KeyUser(ctx context.Context, tenantID, name string) (tenancy.KeyUser, error) {
	return one(ctx, r, "key user "+name, scanKeyUser,
		"SELECT "+keyUserColumns+" FROM key_users WHERE tenant_id = ? AND name = ?", tenantID, name)
}

// KeyUserByID finds a key user by ID.
func (r Reader) KeyUserByID(ctx context.Context, id string) (tenancy.KeyUser, error) {
	return one(ctx, r, "key user "+id, scanKeyUser, "SELECT "+keyUserColumns+" FROM key_users WHERE id = ?", id)
}

// KeyUserByUnsubscribeToken finds the key user with a token. Mails of earlier releases have it in their links.
func (r Reader) KeyUserByUnsubscribeToken(ctx context.Context, token string) (tenancy.KeyUser, error) {
	return one(ctx, r, "subscription for this link", scanKeyUser,
		"SELECT "+keyUserColumns+" FROM key_users WHERE unsubscribe_token = ?", token)
}

var keyUserListing = listing[tenancy.KeyUser]{
	query: "SELECT " + keyUserColumns + " FROM key_users WHERE ",
	scan:  scanKeyUser,
	id:    "id", idOf: func(u tenancy.KeyUser) string { return u.ID },
	orders: map[string]order[tenancy.KeyUser]{
		"name": {column: "name", key: func(u tenancy.KeyUser) string { return u.Name }, unique: true}},
	texts: []string{"name", "display_name", "email"},
}

// KeyUsers returns a page of the key users of a tenant, in the order of creation or of their names. A text is looked
// for in name, display name and e-mail address.
func (r Reader) KeyUsers(ctx context.Context, tenantID string, p Page) ([]tenancy.KeyUser, Place, error) {
	return keyUserListing.read(ctx, r, p, "tenant_id = ?", tenantID)
}

// KeyUsersOf reads the key users of many tenants, by tenant ID.
func (r Reader) KeyUsersOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.KeyUser, error) {
	return groupBy(ctx, r, scanKeyUser, func(u tenancy.KeyUser) string {
		return u.TenantID
	}, "SELECT "+keyUserColumns+" FROM key_users WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

// CountKeyUsers counts the key users of a tenant, up to a limit.
func (r Reader) CountKeyUsers(ctx context.Context, tenantID string, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "key_users WHERE tenant_id = ?", tenantID)
}

var insertKeyUsers = bulkInsert("key_users", "id text", "tenant_id text", "name text", "display_name text",
	"email text", "language text", "zone text", "subscribed_at bigint", "unsubscribe_token text", "created_at bigint",
	"version bigint")

// CreateKeyUsers stores new key users. It returns [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateKeyUsers(ctx context.Context, users ...tenancy.KeyUser) error {
	_, err := insertKeyUsers.write(ctx, t, len(users), func(i int) []any {
		u := &users[i]
		return []any{u.ID, u.TenantID, u.Name, u.DisplayName, u.Email, u.Language, u.Zone, micros(u.SubscribedAt),
			u.UnsubscribeToken, micros(u.CreatedAt), u.Version}
	})
	return err
}

// UpdateKeyUser stores a change of the full name, the address, the preferences, or the subscription with its token.
func (t *Tx) UpdateKeyUser(ctx context.Context, u tenancy.KeyUser) error {
	return t.execOne(ctx, "UPDATE key_users SET display_name = ?, email = ?, language = ?, zone = ?, subscribed_at = ?, "+
		"unsubscribe_token = ?, version = version + 1 WHERE id = ? AND version = ?", u.DisplayName, u.Email, u.Language,
		u.Zone, micros(u.SubscribedAt), u.UnsubscribeToken, u.ID, u.Version)
}

// DeleteKeyUser deletes a key user with the user's tasks and tokens.
func (t *Tx) DeleteKeyUser(ctx context.Context, u tenancy.KeyUser) error {
	for _, owned := range []string{"tokens", "tasks"} {
		if _, err := t.exec(ctx, "DELETE FROM "+owned+" WHERE tenant_id = ? AND key_user_id = ?", u.TenantID,
			u.ID); err != nil {
			return err
		}
	}
	return t.execOne(ctx, "DELETE FROM key_users WHERE id = ? AND version = ?", u.ID, u.Version)
}
