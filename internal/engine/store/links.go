package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const linkColumns = "id, arrangement_id, generation, address, created_by, created_at, expires_at, revoked_at, " +
	"opened_at, tested_at, used_at"

func scanLink(s row) (l tenancy.Link, err error) {
	err = s.Scan(&l.ID, &l.ArrangementID, &l.Generation, &l.Address, &l.CreatedBy, instant{&l.CreatedAt},
		instant{&l.ExpiresAt}, instant{&l.RevokedAt}, instant{&l.OpenedAt}, instant{&l.TestedAt}, instant{&l.UsedAt})
	return l, err
}

// CreateLink stores a link with the hash of its secret.
func (t *Tx) CreateLink(ctx context.Context, l tenancy.Link, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO links (id, arrangement_id, generation, address, hash, created_by, created_at, "+
		"expires_at, revoked_at, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
		l.ID, l.ArrangementID, l.Generation, l.Address, hash, l.CreatedBy, micros(l.CreatedAt), micros(l.ExpiresAt))
	return err
}

// EnsureLink stores a link with the hash of its secret, unless there is one with that hash, valid or not, or the
// arrangement is gone.
func (t *Tx) EnsureLink(ctx context.Context, l tenancy.Link, hash string) (created bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO links (id, arrangement_id, generation, address, hash, created_by, created_at, "+
		"expires_at, revoked_at, used_at) SELECT ?, id, CAST(? AS bigint), ?, ?, ?, CAST(? AS bigint), CAST(? AS bigint), "+
		"0, 0 FROM arrangements WHERE id = ? ON CONFLICT (hash) DO NOTHING", l.ID, l.Generation, l.Address, hash, l.CreatedBy,
		micros(l.CreatedAt), micros(l.ExpiresAt), l.ArrangementID)
	return n > 0, err
}

// LinkByHash finds a link by the hash of its secret, whether or not it is still valid.
func (r Reader) LinkByHash(ctx context.Context, hash string) (tenancy.Link, error) {
	return one(ctx, r, "such link", scanLink, "SELECT "+linkColumns+" FROM links WHERE hash = ?", hash)
}

var linkListing = listing[tenancy.Link]{
	query: "SELECT " + linkColumns + " FROM links WHERE ",
	scan:  scanLink,
	id:    "id", idOf: func(l tenancy.Link) string { return l.ID },
	texts: []string{"address", "created_by"},
}

// Links returns a page of the links of an arrangement. A text is looked for in the address and in the name of the
// creator.
func (r Reader) Links(ctx context.Context, arrangementID string, p Page) ([]tenancy.Link, Place, error) {
	return linkListing.read(ctx, r, p, "arrangement_id = ?", arrangementID)
}

// LinksOf reads the links of arrangements that are valid at now, by the ID of the arrangement, the oldest first.
func (r Reader) LinksOf(ctx context.Context, arrangementIDs []string,
	now time.Time) (map[string][]tenancy.Link, error) {
	all, err := groupBy(ctx, r, scanLink, func(l tenancy.Link) string { return l.ArrangementID },
		"SELECT "+linkColumns+" FROM links WHERE revoked_at = 0 AND arrangement_id ", arrangementIDs, " ORDER BY id")
	for id, links := range all {
		var valid []tenancy.Link
		for _, l := range links {
			if now.Before(l.ExpiresAt) {
				valid = append(valid, l)
			}
		}
		all[id] = valid
	}
	return all, err
}

// CountLinks counts the valid links of an arrangement, up to a limit.
func (r Reader) CountLinks(ctx context.Context, arrangementID string, now time.Time, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "links WHERE arrangement_id = ? AND revoked_at = 0 AND expires_at > ?", arrangementID,
		micros(now))
}

// ForgetLinks deletes the links of an arrangement that are revoked or expired, except the newest ones. The audit log
// keeps their events.
func (t *Tx) ForgetLinks(ctx context.Context, arrangementID string, keep int, now time.Time) error {
	const old = "arrangement_id = ? AND (revoked_at > 0 OR expires_at <= ?)"
	_, err := t.exec(ctx, "DELETE FROM links WHERE "+old+" AND id NOT IN (SELECT id FROM links WHERE "+old+
		" ORDER BY id DESC LIMIT ?)", arrangementID, micros(now), arrangementID, micros(now), keep)
	return err
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

// ExtendLink moves the expiry of a link to a later time.
func (t *Tx) ExtendLink(ctx context.Context, id string, until time.Time) error {
	_, err := t.exec(ctx, "UPDATE links SET expires_at = ? WHERE id = ? AND expires_at < ?", micros(until), id,
		micros(until))
	return err
}

// OpenLink records that the page of a link was opened, unless that was recorded since the instant before.
func (t *Tx) OpenLink(ctx context.Context, id string, before, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE links SET opened_at = ? WHERE id = ? AND opened_at < ?", micros(now), id, micros(before))
	return err
}

// TestLink records a test on the page of a link.
func (t *Tx) TestLink(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE links SET tested_at = ? WHERE id = ?", micros(now), id)
}

// UseLink records that a link was used to report an installation, which is tested.
func (t *Tx) UseLink(ctx context.Context, id string, now time.Time) error {
	return t.execOne(ctx, "UPDATE links SET used_at = ?, tested_at = ? WHERE id = ?", micros(now), micros(now), id)
}
