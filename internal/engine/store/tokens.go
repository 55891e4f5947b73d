package store

import (
	"context"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const tokenColumns = "t.id, t.name, t.role, t.tenant_id, COALESCE(n.name, ''), t.key_user_id, COALESCE(u.name, ''), " +
	"t.origin, t.issuer, t.subject, t.created_at, t.expires_at, t.last_used_at, t.revoked_at"

const tokenTables = " FROM tokens t LEFT JOIN tenants n ON n.id = t.tenant_id LEFT JOIN key_users u ON u.id = " +
	"t.key_user_id "

func scanToken(s row) (t tenancy.Token, err error) {
	err = s.Scan(&t.ID, &t.Name, &t.Role, &t.TenantID, &t.Tenant, &t.KeyUserID, &t.KeyUser, &t.Origin,
		&t.Issuer, &t.Subject, instant{&t.CreatedAt}, instant{&t.ExpiresAt}, instant{&t.LastUsedAt}, instant{&t.RevokedAt})
	return t, err
}

// TokenByHash finds a token by the hash of its secret, whether or not it is still valid.
func (r Reader) TokenByHash(ctx context.Context, hash string) (tenancy.Token, error) {
	return one(ctx, r, "such token", scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.hash = ?", hash)
}

// Token finds a token by its ID.
func (r Reader) Token(ctx context.Context, id string) (tenancy.Token, error) {
	return one(ctx, r, "token "+id, scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.id = ?", id)
}

var tokenListing = listing[tenancy.Token]{
	query: "SELECT " + tokenColumns + tokenTables + "WHERE ",
	scan:  scanToken,
	id:    "t.id", idOf: func(t tenancy.Token) string { return t.ID },
	orders: map[string]order[tenancy.Token]{
		"name": {column: "lower(t.name)", key: func(t tenancy.Token) string { return asciiLower(t.Name) }},
		"expires": {column: "t.expires_at", key: func(t tenancy.Token) string {
			return strconv.FormatInt(micros(t.ExpiresAt), 10)
		}, number: true},
	},
	begins: "lower(t.name)",
}

// Tokens returns a page of the tokens, in the order of creation, of their names, or of their expiry. The ID of a tenant
// limits it to the tokens for that tenant, and a text to those whose name begins with it.
func (r Reader) Tokens(ctx context.Context, tenantID string, p Page) ([]tenancy.Token, Place, error) {
	if tenantID != "" {
		return tokenListing.read(ctx, r, p, "t.tenant_id = ?", tenantID)
	}
	return tokenListing.read(ctx, r, p, "t.id <> ''")
}

// CountTokensOf counts the valid tokens of a key user, up to a limit.
func (r Reader) CountTokensOf(ctx context.Context, u tenancy.KeyUser, now time.Time, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "tokens WHERE tenant_id = ? AND tenant_id <> '' AND key_user_id = ? AND revoked_at = "+
		"0 AND (expires_at = 0 OR expires_at > ?)", u.TenantID, u.ID, micros(now))
}

// TokensByOrigin lists the tokens that were created with a credential.
func (r Reader) TokensByOrigin(ctx context.Context, origin string) ([]tenancy.Token, error) {
	return list(ctx, r, scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.origin = ? AND t.origin <> '' ORDER BY "+
		"t.id",
		origin)
}

// ExpiringTokens lists the tokens of senders and gateways that expire between two instants, the earliest first. Tokens
// that are revoked, or that a later token of the same name and owner replaces, are left out.
func (r Reader) ExpiringTokens(ctx context.Context, from, until time.Time) ([]tenancy.Token, error) {
	return list(ctx, r, scanToken, "SELECT "+tokenColumns+tokenTables+"WHERE t.role IN ('sender', 'gateway') AND "+
		"t.revoked_at = 0 AND t.expires_at BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM tokens s WHERE s.name = t.name AND "+
		"s.role = t.role AND s.tenant_id = t.tenant_id AND s.revoked_at = 0 AND (s.expires_at > t.expires_at OR "+
		"s.expires_at = t.expires_at AND s.id > t.id)) ORDER BY t.expires_at, t.id", micros(from), micros(until))
}

// CreateToken stores a token with the hash of its secret. It returns [tenancy.ErrConflict] if there is one.
func (t *Tx) CreateToken(ctx context.Context, v tenancy.Token, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO tokens (id, name, role, tenant_id, key_user_id, hash, origin, issuer, subject, "+
		"created_at, expires_at, last_used_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
		v.ID, v.Name, v.Role, v.TenantID, v.KeyUserID, hash, v.Origin, v.Issuer, v.Subject, micros(v.CreatedAt),
		micros(v.ExpiresAt))
	return err
}

// RevokeToken revokes a token. Its workload can be bound to another one.
func (t *Tx) RevokeToken(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE tokens SET revoked_at = ?, hash = CASE WHEN subject = '' THEN hash ELSE 'revoked ' || "+
		"id END WHERE id = ? AND revoked_at = 0", micros(now), id)
}

// ShortenToken lets a token end at an instant, unless it ends earlier.
func (t *Tx) ShortenToken(ctx context.Context, id string, at time.Time) error {
	_, err := t.exec(ctx, "UPDATE tokens SET expires_at = ? WHERE id = ? AND expires_at > ?", micros(at), id, micros(at))
	return err
}

// TouchToken records the last use of a token.
func (t *Tx) TouchToken(ctx context.Context, id string, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE tokens SET last_used_at = ? WHERE id = ?", micros(now), id)
	return err
}
