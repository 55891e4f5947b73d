package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const accountColumns = `a.id, a.name, a.role, a.tenant_id, COALESCE((SELECT t.name FROM tenants t WHERE t.id = a.tenant_id), ''), a.key_user_id,
	COALESCE((SELECT u.name FROM key_users u WHERE u.id = a.key_user_id), ''), a.password, a.token_id, a.zone, a.failures, a.locked_until, a.created_at FROM accounts a `

func scanAccount(s row) (a tenancy.Account, err error) {
	return a, s.Scan(&a.ID, &a.Name, &a.Role, &a.TenantID, &a.Tenant, &a.KeyUserID, &a.KeyUser, &a.Password, &a.TokenID, &a.Zone, &a.Failures, instant{&a.LockedUntil}, instant{&a.CreatedAt})
}

// AccountByName finds the account that a person signs in with.
func (r Reader) AccountByName(ctx context.Context, name string) (tenancy.Account, error) {
	return one(ctx, r, "account "+name, scanAccount, "SELECT "+accountColumns+"WHERE a.name = ?", name)
}

// CreateAccount stores an account; [tenancy.ErrConflict] where its name is taken or its token has made one.
func (t *Tx) CreateAccount(ctx context.Context, a tenancy.Account) error {
	_, err := t.exec(ctx, "INSERT INTO accounts (id, name, role, tenant_id, key_user_id, password, token_id, zone, failures, locked_until, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)",
		a.ID, a.Name, a.Role, a.TenantID, a.KeyUserID, a.Password, a.TokenID, a.Zone, micros(a.CreatedAt))
	return err
}

// SetZone stores an account's time zone.
func (t *Tx) SetZone(ctx context.Context, id, zone string) error {
	return t.execOne(ctx, "UPDATE accounts SET zone = ? WHERE id = ?", zone, id)
}

// SetFailures stores how many wrong passwords there were, and until when no try is taken.
func (t *Tx) SetFailures(ctx context.Context, id string, failures int, lockedUntil time.Time) error {
	return t.execOne(ctx, "UPDATE accounts SET failures = ?, locked_until = ? WHERE id = ?", failures, micros(lockedUntil), id)
}

const sessionColumns = "s.id, s.account_id, s.agent, s.address, s.created_at, s.seen_at, s.expires_at"

func scanSession(r row) (s tenancy.Session, err error) {
	return s, r.Scan(&s.ID, &s.AccountID, &s.Agent, &s.Address, instant{&s.CreatedAt}, instant{&s.SeenAt}, instant{&s.ExpiresAt})
}

// CreateSession stores a session with the hash of its secret.
func (t *Tx) CreateSession(ctx context.Context, s tenancy.Session, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO sessions (id, account_id, hash, agent, address, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		s.ID, s.AccountID, hash, s.Agent, s.Address, micros(s.CreatedAt), micros(s.SeenAt), micros(s.ExpiresAt))
	return err
}

// SessionByHash finds a session, and whose it is, by the hash of its secret, whether or not it has expired. The account of a
// key user who is gone has no name of a key user.
func (r Reader) SessionByHash(ctx context.Context, hash string) (s tenancy.Session, a tenancy.Account, err error) {
	if s, err = one(ctx, r, "such session", scanSession, "SELECT "+sessionColumns+" FROM sessions s WHERE s.hash = ?", hash); err == nil {
		a, err = one(ctx, r, "such account", scanAccount, "SELECT "+accountColumns+"WHERE a.id = ?", s.AccountID)
	}
	return s, a, err
}

// Sessions lists the sessions of an account, the latest first.
func (r Reader) Sessions(ctx context.Context, accountID string) ([]tenancy.Session, error) {
	return list(ctx, r, scanSession, "SELECT "+sessionColumns+" FROM sessions s WHERE s.account_id = ? ORDER BY s.id DESC LIMIT 200", accountID)
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
