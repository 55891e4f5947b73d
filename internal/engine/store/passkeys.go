package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func scanPasskey(r row) (p tenancy.Passkey, err error) {
	err = r.Scan(&p.ID, &p.AccountID, &p.Name, &p.Credential, instant{&p.CreatedAt}, instant{&p.UsedAt})
	return p, err
}

// Passkeys lists the passkeys of an account.
func (r Reader) Passkeys(ctx context.Context, accountID string) ([]tenancy.Passkey, error) {
	return list(ctx, r, scanPasskey, "SELECT id, account_id, name, credential, created_at, used_at FROM passkeys WHERE "+
		"account_id = ? ORDER BY created_at, id", accountID)
}

// CreatePasskey stores a passkey. It returns [tenancy.ErrConflict] if it is stored already.
func (t *Tx) CreatePasskey(ctx context.Context, p tenancy.Passkey) error {
	_, err := t.exec(ctx, "INSERT INTO passkeys (id, account_id, name, credential, created_at, used_at) VALUES (?, ?, "+
		"?, ?, ?, ?)", p.ID, p.AccountID, p.Name, p.Credential, micros(p.CreatedAt), micros(p.UsedAt))
	return err
}

// UsePasskey records the use of a passkey with the new state of its authenticator.
func (t *Tx) UsePasskey(ctx context.Context, id, credential string, now time.Time) error {
	return t.execOne(ctx, "UPDATE passkeys SET credential = ?, used_at = ? WHERE id = ?", credential, micros(now), id)
}

// DeletePasskey removes a passkey of an account.
func (t *Tx) DeletePasskey(ctx context.Context, accountID, id string) error {
	return t.execOne(ctx, "DELETE FROM passkeys WHERE account_id = ? AND id = ?", accountID, id)
}

func (t *Tx) deletePasskeys(ctx context.Context, accountID string) error {
	_, err := t.exec(ctx, "DELETE FROM passkeys WHERE account_id = ?", accountID)
	return err
}
