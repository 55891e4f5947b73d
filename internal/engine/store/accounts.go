package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const accountColumns = `a.id, a.name, a.role, a.tenant_id, COALESCE((SELECT t.name FROM tenants t WHERE t.id =
	a.tenant_id), ''), a.key_user_id,
	COALESCE((SELECT u.name FROM key_users u WHERE u.id = a.key_user_id), ''), a.password, a.origin, a.zone,
	a.language, a.company_at, a.calendar_hash <> '', a.created_at FROM accounts a `

func scanAccount(s row) (a tenancy.Account, err error) {
	err = s.Scan(&a.ID, &a.Name, &a.Role, &a.TenantID, &a.Tenant, &a.KeyUserID, &a.KeyUser, &a.Password, &a.Origin,
		&a.Zone, &a.Language, instant{&a.CompanyAt}, &a.HasCalendar, instant{&a.CreatedAt})
	return a, err
}

// AccountByName finds the account that a person signs in with.
func (r Reader) AccountByName(ctx context.Context, name string) (tenancy.Account, error) {
	return one(ctx, r, "account "+name, scanAccount, "SELECT "+accountColumns+"WHERE a.name = ?", name)
}

// Account finds an account by its ID.
func (r Reader) Account(ctx context.Context, id string) (tenancy.Account, error) {
	return one(ctx, r, "such account", scanAccount, "SELECT "+accountColumns+"WHERE a.id = ?", id)
}

// HasAccount reports whether an account acts as a key user.
func (r Reader) HasAccount(ctx context.Context, keyUserID string) (bool, error) {
	n, err := one(ctx, r, "account", scanOne[int], "SELECT count(*) FROM accounts WHERE key_user_id = ? AND "+
		"key_user_id <> ''", keyUserID)
	return n > 0, err
}

// AccountByOrigin finds the account that was created from an origin: a token, or an identity at an OpenID Connect
// provider.
func (r Reader) AccountByOrigin(ctx context.Context, origin string) (tenancy.Account, error) {
	return one(ctx, r, "such account", scanAccount, "SELECT "+accountColumns+"WHERE a.origin = ?", origin)
}

// AccountByCalendar finds an account by the hash of its calendar's secret.
func (r Reader) AccountByCalendar(ctx context.Context, hash string) (tenancy.Account, error) {
	return one(ctx, r, "such calendar", scanAccount,
		"SELECT "+accountColumns+"WHERE a.calendar_hash = ? AND a.calendar_hash <> ''", hash)
}

var accountListing = listing[tenancy.Account]{
	query: "SELECT " + accountColumns + "WHERE ",
	scan:  scanAccount,
	id:    "a.id", idOf: func(a tenancy.Account) string { return a.ID },
	orders: map[string]order[tenancy.Account]{
		"name": {column: "a.name", key: func(a tenancy.Account) string { return a.Name }, unique: true}},
	begins: "a.name",
}

// Accounts returns a page of the accounts, in the order of creation or of their names. A text limits it to the accounts
// whose name begins with it.
func (r Reader) Accounts(ctx context.Context, p Page) ([]tenancy.Account, Place, error) {
	return accountListing.read(ctx, r, p, "a.id <> ''")
}

// PreferencesOf reads the preferences of the accounts of key users, by the ID of the key user. If a key user has
// several accounts, those of the first by name count.
func (r Reader) PreferencesOf(ctx context.Context, tenantIDs []string) (map[string]tenancy.Preferences, error) {
	type preferences struct {
		user, tenant string
		tenancy.Preferences
	}
	all, err := groupBy(ctx, r, func(s row) (p preferences, err error) {
		err = s.Scan(&p.user, &p.tenant, &p.Language, &p.Zone)
		return p, err
	}, func(p preferences) string { return p.tenant },
		"SELECT key_user_id, tenant_id, language, zone FROM accounts WHERE key_user_id <> '' AND tenant_id ", tenantIDs,
		" ORDER BY name")
	byUser := map[string]tenancy.Preferences{}
	for _, list := range all {
		for _, p := range list {
			byUser[p.user] = byUser[p.user].Or(p.Preferences)
		}
	}
	return byUser, err
}

// CreateAccount stores an account. It returns [tenancy.ErrConflict] if its name is taken or its origin has created one.
func (t *Tx) CreateAccount(ctx context.Context, a tenancy.Account) error {
	_, err := t.exec(ctx, "INSERT INTO accounts (id, name, role, tenant_id, key_user_id, password, origin, zone, "+
		"language, failures, locked_until, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
		a.ID, a.Name, a.Role, a.TenantID, a.KeyUserID, a.Password, a.Origin, a.Zone, a.Language, micros(a.CreatedAt))
	return err
}

// DeleteAccount removes an account with its sessions and passkeys.
func (t *Tx) DeleteAccount(ctx context.Context, id string) error {
	return t.execOne(ctx, "DELETE FROM accounts WHERE id = ?", id)
}

// SetPreferences stores an account's time zone and language.
func (t *Tx) SetPreferences(ctx context.Context, a tenancy.Account) error {
	return t.execOne(ctx, "UPDATE accounts SET zone = ?, language = ? WHERE id = ?", a.Zone, a.Language, a.ID)
}

// SetRights stores the role of an account, as its sign-in provider reports it.
func (t *Tx) SetRights(ctx context.Context, a tenancy.Account) error {
	return t.execOne(ctx, "UPDATE accounts SET role = ?, tenant_id = ?, key_user_id = ? WHERE id = ?", a.Role, a.TenantID,
		a.KeyUserID, a.ID)
}

// SetCompanyAt records a sign-in at the company's OpenID provider.
func (t *Tx) SetCompanyAt(ctx context.Context, id string, at time.Time) error {
	return t.execOne(ctx, "UPDATE accounts SET company_at = ? WHERE id = ?", micros(at), id)
}

// ClearRights removes the role, the calendar, the passkeys and the sessions of an account.
func (t *Tx) ClearRights(ctx context.Context, id string) error {
	if err := t.execOne(ctx, "UPDATE accounts SET role = '', tenant_id = '', key_user_id = '', calendar_hash = '', "+
		"company_at = 0 WHERE id = ?", id); err != nil {
		return err
	}
	if err := t.deletePasskeys(ctx, id); err != nil {
		return err
	}
	return t.EndSessions(ctx, id, "")
}

// SetPassword stores the hash of a new password.
func (t *Tx) SetPassword(ctx context.Context, id, hash string) error {
	return t.execOne(ctx, "UPDATE accounts SET password = ? WHERE id = ?", hash, id)
}

// SetCalendar stores the hash of the secret of an account's calendar. An empty hash removes the calendar.
func (t *Tx) SetCalendar(ctx context.Context, id, hash string) error {
	return t.execOne(ctx, "UPDATE accounts SET calendar_hash = ? WHERE id = ?", hash, id)
}
