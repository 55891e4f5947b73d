package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const sessionColumns = "s.id, s.account_id, s.agent, s.address, s.created_at, s.seen_at, s.expires_at"

func scanSession(r row) (s tenancy.Session, err error) {
	err = r.Scan(&s.ID, &s.AccountID, &s.Agent, &s.Address, instant{&s.CreatedAt}, instant{&s.SeenAt},
		instant{&s.ExpiresAt})
	return s, err
}

// CreateSession stores a session with the hash of its secret.
func (t *Tx) CreateSession(ctx context.Context, s tenancy.Session, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO sessions (id, account_id, hash, agent, address, created_at, seen_at, expires_at) "+
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		s.ID, s.AccountID, hash, s.Agent, s.Address, micros(s.CreatedAt), micros(s.SeenAt), micros(s.ExpiresAt))
	return err
}

// SessionByHash finds a session with its account by the hash of its secret, whether or not it has expired. The account
// of a deleted key user has no key user's name.
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

// SeeSession records the use of a session.
func (t *Tx) SeeSession(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE sessions SET seen_at = ? WHERE id = ?", micros(now), id)
}

// EndSession ends a session of an account.
func (t *Tx) EndSession(ctx context.Context, accountID, id string) error {
	return t.execOne(ctx, "DELETE FROM sessions WHERE account_id = ? AND id = ?", accountID, id)
}

// ForgetSessions deletes sessions that expired before an instant.
func (t *Tx) ForgetSessions(ctx context.Context, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM sessions WHERE expires_at < ?", micros(before))
	return err
}

// KeepSessions ends the oldest sessions of an account, so that no more than a number of them is left.
func (t *Tx) KeepSessions(ctx context.Context, accountID string, most int) error {
	_, err := t.exec(ctx, "DELETE FROM sessions WHERE account_id = ? AND id NOT IN (SELECT id FROM sessions WHERE "+
		"account_id = ? ORDER BY id DESC LIMIT ?)", accountID, accountID, most)
	return err
}

// EndSessions ends all sessions of an account except one.
func (t *Tx) EndSessions(ctx context.Context, accountID, but string) error {
	_, err := t.exec(ctx, "DELETE FROM sessions WHERE account_id = ? AND id <> ?", accountID, but)
	return err
}
