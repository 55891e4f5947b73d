package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const accountColumns = `a.id, a.name, a.role, a.tenant_id, COALESCE((SELECT t.name FROM tenants t WHERE t.id = a.tenant_id), ''), a.key_user_id,
	COALESCE((SELECT u.name FROM key_users u WHERE u.id = a.key_user_id), ''), a.password, a.origin, a.zone, a.language, a.calendar_hash <> '', a.failures, a.locked_until, a.created_at FROM accounts a `

func scanAccount(s row) (a tenancy.Account, err error) {
	return a, s.Scan(&a.ID, &a.Name, &a.Role, &a.TenantID, &a.Tenant, &a.KeyUserID, &a.KeyUser, &a.Password, &a.Origin,
		&a.Zone, &a.Language, &a.HasCalendar, &a.Failures, instant{&a.LockedUntil}, instant{&a.CreatedAt})
}

// AccountByName finds the account that a person signs in with.
func (r Reader) AccountByName(ctx context.Context, name string) (tenancy.Account, error) {
	return one(ctx, r, "account "+name, scanAccount, "SELECT "+accountColumns+"WHERE a.name = ?", name)
}

// Account finds an account by its ID.
func (r Reader) Account(ctx context.Context, id string) (tenancy.Account, error) {
	return one(ctx, r, "such account", scanAccount, "SELECT "+accountColumns+"WHERE a.id = ?", id)
}

// AccountByOrigin finds the account that something made.
func (r Reader) AccountByOrigin(ctx context.Context, origin string) (tenancy.Account, error) {
	return one(ctx, r, "such account", scanAccount, "SELECT "+accountColumns+"WHERE a.origin = ?", origin)
}

// AccountByCalendar finds the account whose calendar has a secret, by its hash.
func (r Reader) AccountByCalendar(ctx context.Context, hash string) (tenancy.Account, error) {
	return one(ctx, r, "such calendar", scanAccount,
		"SELECT "+accountColumns+"WHERE a.calendar_hash = ? AND a.calendar_hash <> ''", hash)
}

// Accounts lists accounts by name, after one.
func (r Reader) Accounts(ctx context.Context, after string, limit int) ([]tenancy.Account, error) {
	return list(ctx, r, scanAccount, "SELECT "+accountColumns+"WHERE a.name > ? ORDER BY a.name LIMIT ?", after, limit)
}

// CreateAccount stores an account; [tenancy.ErrConflict] where its name is taken or its origin has made one.
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

// SetRights stores what an account may see, as the provider that it signs in with says.
func (t *Tx) SetRights(ctx context.Context, a tenancy.Account) error {
	return t.execOne(ctx, "UPDATE accounts SET role = ?, tenant_id = ?, key_user_id = ? WHERE id = ?", a.Role, a.TenantID,
		a.KeyUserID, a.ID)
}

// SetPassword stores the hash of a new password.
func (t *Tx) SetPassword(ctx context.Context, id, hash string) error {
	return t.execOne(ctx, "UPDATE accounts SET password = ? WHERE id = ?", hash, id)
}

// SetCalendar stores the hash of the secret of an account's calendar; "" takes the address away.
func (t *Tx) SetCalendar(ctx context.Context, id, hash string) error {
	return t.execOne(ctx, "UPDATE accounts SET calendar_hash = ? WHERE id = ?", hash, id)
}

// SetFailures stores how many wrong passwords there were, and until when no try is taken.
func (t *Tx) SetFailures(ctx context.Context, id string, failures int, lockedUntil time.Time) error {
	return t.execOne(ctx, "UPDATE accounts SET failures = ?, locked_until = ? WHERE id = ?", failures, micros(lockedUntil),
		id)
}

const sessionColumns = "s.id, s.account_id, s.agent, s.address, s.created_at, s.seen_at, s.expires_at"

func scanSession(r row) (s tenancy.Session, err error) {
	return s, r.Scan(&s.ID, &s.AccountID, &s.Agent, &s.Address, instant{&s.CreatedAt}, instant{&s.SeenAt},
		instant{&s.ExpiresAt})
}

// CreateSession stores a session with the hash of its secret.
func (t *Tx) CreateSession(ctx context.Context, s tenancy.Session, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO sessions (id, account_id, hash, agent, address, created_at, seen_at, expires_at) "+
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		s.ID, s.AccountID, hash, s.Agent, s.Address, micros(s.CreatedAt), micros(s.SeenAt), micros(s.ExpiresAt))
	return err
}

// SessionByHash finds a session, and whose it is, by the hash of its secret, whether or not it has expired. The account
// of a key user who is gone has no name of a key user.
func (r Reader) SessionByHash(ctx context.Context, hash string) (s tenancy.Session, a tenancy.Account, err error) {
	if s, err = one(ctx, r, "such session", scanSession, "SELECT "+sessionColumns+" FROM sessions s WHERE s.hash = ?",
		hash); err == nil {
		a, err = r.Account(ctx, s.AccountID)
	}
	return s, a, err
}

// Sessions lists the sessions of an account, the latest first.
func (r Reader) Sessions(ctx context.Context, accountID string) ([]tenancy.Session, error) {
	return list(ctx, r, scanSession, "SELECT "+sessionColumns+" FROM sessions s WHERE s.account_id = ? ORDER BY s.id "+
		"DESC LIMIT 200", accountID)
}

// SeeSession notes that a session was used.
func (t *Tx) SeeSession(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE sessions SET seen_at = ? WHERE id = ?", micros(now), id)
}

// EndSession ends a session of an account.
func (t *Tx) EndSession(ctx context.Context, accountID, id string) error {
	return t.execOne(ctx, "DELETE FROM sessions WHERE account_id = ? AND id = ?", accountID, id)
}

// ForgetSessions removes sessions that expired before an instant.
func (t *Tx) ForgetSessions(ctx context.Context, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM sessions WHERE expires_at < ?", micros(before))
	return err
}

// EndSessions ends all sessions of an account but one.
func (t *Tx) EndSessions(ctx context.Context, accountID, but string) error {
	_, err := t.exec(ctx, "DELETE FROM sessions WHERE account_id = ? AND id <> ?", accountID, but)
	return err
}

func scanPasskey(r row) (p tenancy.Passkey, err error) {
	return p, r.Scan(&p.ID, &p.AccountID, &p.Name, &p.Credential, instant{&p.CreatedAt}, instant{&p.UsedAt})
}

// Passkeys lists the passkeys of an account.
func (r Reader) Passkeys(ctx context.Context, accountID string) ([]tenancy.Passkey, error) {
	return list(ctx, r, scanPasskey, "SELECT id, account_id, name, credential, created_at, used_at FROM passkeys WHERE "+
		"account_id = ? ORDER BY created_at, id", accountID)
}

// CreatePasskey stores a passkey; [tenancy.ErrConflict] where it is known.
func (t *Tx) CreatePasskey(ctx context.Context, p tenancy.Passkey) error {
	_, err := t.exec(ctx, "INSERT INTO passkeys (id, account_id, name, credential, created_at, used_at) VALUES (?, ?, "+
		"?, ?, ?, ?)", p.ID, p.AccountID, p.Name, p.Credential, micros(p.CreatedAt), micros(p.UsedAt))
	return err
}

// UsePasskey notes that a passkey was used, and what its authenticator counts now.
func (t *Tx) UsePasskey(ctx context.Context, id, credential string, now time.Time) error {
	return t.execOne(ctx, "UPDATE passkeys SET credential = ?, used_at = ? WHERE id = ?", credential, micros(now), id)
}

// DeletePasskey removes a passkey of an account.
func (t *Tx) DeletePasskey(ctx context.Context, accountID, id string) error {
	return t.execOne(ctx, "DELETE FROM passkeys WHERE account_id = ? AND id = ?", accountID, id)
}

// BeginCeremony keeps the first half of a ceremony, as JSON, until an instant; and forgets those that nobody finished.
func (t *Tx) BeginCeremony(ctx context.Context, hash, kind, data string, now, until time.Time) error {
	if _, err := t.exec(ctx, "DELETE FROM ceremonies WHERE expires_at < ?", micros(now)); err != nil {
		return err
	}
	_, err := t.exec(ctx, "INSERT INTO ceremonies (hash, kind, data, expires_at) VALUES (?, ?, ?, ?)", hash, kind, data,
		micros(until))
	return err
}

// TakeCeremony returns the first half of a ceremony, once; [tenancy.ErrNotFound] where there is none of the kind that
// is valid.
func (t *Tx) TakeCeremony(ctx context.Context, hash, kind string, now time.Time) (string, error) {
	return one(ctx, t.Reader, "such ceremony", scanOne[string], "DELETE FROM ceremonies WHERE hash = ? AND kind = ? AND "+
		"expires_at >= ? RETURNING data", hash, kind, micros(now))
}
