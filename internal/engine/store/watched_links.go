package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const watchLinkColumns = "id, tenant_id, watched_id, certificate_id, system_name, created_by, created_at, " +
	"expires_at, revoked_at, used_at"

func scanWatchLink(s row) (l tenancy.WatchLink, err error) {
	err = s.Scan(&l.ID, &l.TenantID, &l.WatchedID, &l.CertificateID, &l.System, &l.CreatedBy, instant{&l.CreatedAt},
		instant{&l.ExpiresAt}, instant{&l.RevokedAt}, instant{&l.UsedAt})
	return l, err
}

// CreateWatchLink stores a link with the hash of its secret.
func (t *Tx) CreateWatchLink(ctx context.Context, l tenancy.WatchLink, hash string) error {
	_, err := t.exec(ctx, "INSERT INTO watched_links ("+watchLinkColumns+", hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "+
		"?)", l.ID, l.TenantID, l.WatchedID, l.CertificateID, l.System, l.CreatedBy, micros(l.CreatedAt),
		micros(l.ExpiresAt), micros(l.RevokedAt), micros(l.UsedAt), hash)
	return err
}

// WatchLinkByHash finds a link by the hash of its secret, whether or not it is still valid.
func (r Reader) WatchLinkByHash(ctx context.Context, hash string) (tenancy.WatchLink, error) {
	return one(ctx, r, "such link", scanWatchLink, "SELECT "+watchLinkColumns+" FROM watched_links WHERE hash = ?", hash)
}

var watchLinkListing = listing[tenancy.WatchLink]{
	query: "SELECT " + watchLinkColumns + " FROM watched_links WHERE ",
	scan:  scanWatchLink,
	id:    "id", idOf: func(l tenancy.WatchLink) string { return l.ID },
	texts: []string{"system_name", "created_by"},
}

// WatchLinks returns a page of the links of a watched certificate. A text is looked for in the name of the system and
// in that of the creator.
func (r Reader) WatchLinks(ctx context.Context, watchedID string, p Page) ([]tenancy.WatchLink, Place, error) {
	return watchLinkListing.read(ctx, r, p, "watched_id = ?", watchedID)
}

// CountWatchLinks counts the links to a certificate that are valid.
func (r Reader) CountWatchLinks(ctx context.Context, certificateID string, now time.Time) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM watched_links WHERE certificate_id = ? AND "+
		"revoked_at = 0 AND expires_at > ?", certificateID, micros(now))
}

// WatchInstalled reads when a certificate was last reported as installed, by the name of the system. The reports of
// links that are revoked do not count.
func (r Reader) WatchInstalled(ctx context.Context, certificateID string) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := forEach(ctx, r, scanWatchLink, func(l tenancy.WatchLink) {
		if l.UsedAt.After(all[l.System]) {
			all[l.System] = l.UsedAt
		}
	}, "SELECT "+watchLinkColumns+" FROM watched_links WHERE certificate_id = ? AND used_at > 0 AND revoked_at = 0",
		certificateID)
	return all, err
}

// ForgetWatchLinks deletes the revoked links to a certificate, except the newest ones. The audit log keeps their
// events.
func (t *Tx) ForgetWatchLinks(ctx context.Context, certificateID string, keep int) error {
	_, err := t.exec(ctx, "DELETE FROM watched_links WHERE certificate_id = ? AND revoked_at > 0 AND id NOT IN "+
		"(SELECT id FROM watched_links WHERE certificate_id = ? AND revoked_at > 0 ORDER BY id DESC LIMIT ?)", certificateID,
		certificateID, keep)
	return err
}

// RevokeWatchLink revokes a link of a watched certificate. It returns [tenancy.ErrNotFound] if there is no such link,
// or it is revoked already.
func (t *Tx) RevokeWatchLink(ctx context.Context, watchedID, id string, now time.Time) error {
	n, err := t.exec(ctx, "UPDATE watched_links SET revoked_at = ? WHERE watched_id = ? AND id = ? AND revoked_at = 0",
		micros(now), watchedID, id)
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrNotFound, "there is no such link, or it is revoked already")
	}
	return err
}

// UseWatchLink records that a link was used to report an installation. It reports false if the link is not valid any
// longer, or was used after the instant before.
func (t *Tx) UseWatchLink(ctx context.Context, id string, before, now time.Time) (used bool, err error) {
	n, err := t.exec(ctx, "UPDATE watched_links SET used_at = ? WHERE id = ? AND revoked_at = 0 AND expires_at > ? AND "+
		"used_at <= ?", micros(now), id, micros(now), micros(before))
	return n > 0, err
}

// deleteWatchLinks deletes the links of a watched certificate.
func (t *Tx) deleteWatchLinks(ctx context.Context, watchedID string) error {
	_, err := t.exec(ctx, "DELETE FROM watched_links WHERE watched_id = ?", watchedID)
	return err
}

// deleteWatchLinksTo deletes the links to a certificate.
func (t *Tx) deleteWatchLinksTo(ctx context.Context, certificateID string) error {
	_, err := t.exec(ctx, "DELETE FROM watched_links WHERE certificate_id = ?", certificateID)
	return err
}
