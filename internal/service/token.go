package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/tenancy"
)

// hostTokenLifetime is long enough to create other tokens with it.
const hostTokenLifetime = 24 * time.Hour

// CreateOperatorToken creates an operator's token directly in the database, for an installation whose operators have
// all lost their tokens and accounts. A service may use the database at the same time. The caller must have the key
// file, and therefore already has access to every private key. If expires is zero, the token is valid for a day.
func CreateOperatorToken(ctx context.Context, d Database, name string, expires, now time.Time,
	log *slog.Logger) (t tenancy.Token, secret string, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	if expires.IsZero() {
		expires = now.Add(hostTokenLifetime)
	}
	t = tenancy.Token{ID: store.NewID(), Name: name, Role: tenancy.RoleOperator, CreatedAt: now, ExpiresAt: expires}
	switch err := t.Check(); {
	case err != nil:
		return t, "", err
	case !expires.After(now), expires.After(now.Add(api.TokenMaxLifetime)):
		return t, "", errors.New("the token must expire in the future, and within a year")
	}
	s, _, err := d.openServed(ctx, log)
	if err != nil {
		return t, "", err
	}
	defer s.Close()
	secret = api.NewSecret()
	err = s.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.CreateToken(ctx, t, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "token.created", "", t.ID,
			map[string]any{"name": t.Name, "role": t.Role}))
	})
	if err != nil {
		return t, "", fmt.Errorf("create the token %s: %w", name, err)
	}
	return t, secret, nil
}
