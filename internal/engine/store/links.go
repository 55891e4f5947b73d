package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const linkColumns = "id, arrangement_id, generation, created_by, created_at, expires_at, revoked_at, used_at"

func scanLink(s row) (l tenancy.Link, err error) {
	err = s.Scan(&l.ID, &l.ArrangementID, &l.Generation, &l.CreatedBy, instant{&l.CreatedAt}, instant{&l.ExpiresAt},
		instant{&l.RevokedAt}, instant{&l.UsedAt})
	return l, err
}

// CreateLink stores a link with the hash of its secret.
func (t *Tx) CreateLink(ctx context.Context, l tenancy.Link, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO links (id, arrangement_id, generation, hash, created_by, created_at, expires_at, "+
		"revoked_at, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)",
		l.ID, l.ArrangementID, l.Generation, hash, l.CreatedBy, micros(l.CreatedAt), micros(l.ExpiresAt))
	return err
}

// LinkByHash finds a link by the hash of its secret, whether or not it is still valid.
func (r Reader) LinkByHash(ctx context.Context, hash string) (tenancy.Link, error) {
	return one(ctx, r, "such link", scanLink, "SELECT "+linkColumns+" FROM links WHERE hash = ?", hash)
}

// Links lists the links of an arrangement.
func (r Reader) Links(ctx context.Context, arrangementID, after string, limit int) ([]tenancy.Link, error) {
	return list(ctx, r, scanLink, "SELECT "+linkColumns+" FROM links WHERE arrangement_id = ? AND id > ? ORDER BY id "+
		"LIMIT ?", arrangementID, after, limit)
}

// RevokeLink revokes a link of an arrangement. It returns [tenancy.ErrNotFound] if there is no such link, or it is
// revoked already.
func (t *Tx) RevokeLink(ctx context.Context, arrangementID, id string, now time.Time) error {
	n, err := t.exec(ctx, "UPDATE links SET revoked_at = ? WHERE arrangement_id = ? AND id = ? AND revoked_at = 0",
		micros(now), arrangementID, id)
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrNotFound, "there is no such link, or it is revoked already")
	}
	return err
}

// UseLink records that a link was used to report an installation.
func (t *Tx) UseLink(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE links SET used_at = ? WHERE id = ?", micros(now), id)
}
