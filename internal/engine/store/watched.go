package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const watchedColumns = "id, tenant_id, name, owner, policy, expected_in, source, systems, noticed, due_at, " +
	"looked_at, failing_since, look_error, created_at, version"

func scanWatched(s row) (w tenancy.Watched, err error) {
	err = s.Scan(&w.ID, &w.TenantID, &w.Name, &w.Owner, &w.Policy, &w.Window, document{&w.Source}, document{&w.Systems},
		&w.Noticed, instant{&w.DueAt}, instant{&w.LookedAt}, instant{&w.FailingSince}, &w.LookError,
		instant{&w.CreatedAt}, &w.Version)
	return w, err
}

// Watched finds a watched certificate of a tenant by name.
func (r Reader) Watched(ctx context.Context, tenantID, name string) (tenancy.Watched, error) {
	return one(ctx, r, "watched certificate "+name, scanWatched,
		"SELECT "+watchedColumns+" FROM watched WHERE tenant_id = ? AND name = ?", tenantID, name)
}

// WatchedByID reads the watched certificates with these IDs.
func (r Reader) WatchedByID(ctx context.Context, ids []string) (map[string]tenancy.Watched, error) {
	return byID(ctx, r, scanWatched, func(w tenancy.Watched) string { return w.ID },
		"SELECT "+watchedColumns+" FROM watched WHERE id ", ids)
}

var watchedListing = listing[tenancy.Watched]{
	query: "SELECT " + watchedColumns + " FROM watched WHERE ",
	scan:  scanWatched,
	id:    "id", idOf: func(w tenancy.Watched) string { return w.ID },
	// A tenant watches few certificates, so that other orders need no index.
	orders: map[string]order[tenancy.Watched]{
		"name": {column: "name", key: func(w tenancy.Watched) string { return w.Name }}},
	texts: []string{"name", "owner"},
}

// WatchedOf returns a page of the watched certificates of a tenant, in the order of creation or of their names. A text
// is looked for in the name and the owner.
func (r Reader) WatchedOf(ctx context.Context, tenantID string, p Page) ([]tenancy.Watched, Place, error) {
	return watchedListing.read(ctx, r, p, "tenant_id = ?", tenantID)
}

// DueWatched lists the watched certificates that need an action at now, in rounds with one of each tenant, so that no
// tenant delays the others. Within a round and within a tenant, those that have waited longest come first.
func (r Reader) DueWatched(ctx context.Context, now time.Time, limit int) ([]tenancy.Watched, error) {
	return list(ctx, r, scanWatched, "SELECT "+watchedColumns+" FROM (SELECT "+watchedColumns+", ROW_NUMBER() OVER "+
		"(PARTITION BY tenant_id ORDER BY due_at, id) AS round FROM watched WHERE due_at > 0 AND due_at <= ?) AS due ORDER "+
		"BY round, due_at, id LIMIT ?", micros(now), limit)
}

// CountWatched counts the watched certificates of a tenant.
func (r Reader) CountWatched(ctx context.Context, tenantID string) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM watched WHERE tenant_id = ?", tenantID)
}

// CountWatchedProblems counts the watched certificates of all tenants whose renewal is overdue, those that have
// expired, and those whose source cannot be read.
func (r Reader) CountWatchedProblems(ctx context.Context) (overdue, expired, unread int, err error) {
	err = r.explain(r.q.QueryRowContext(ctx, r.sql("SELECT COUNT(CASE WHEN noticed = ? THEN 1 END), COUNT(CASE WHEN "+
		"noticed = ? THEN 1 END), COUNT(CASE WHEN failing_since > 0 THEN 1 END) FROM watched"),
		string(tenancy.WatchOverdue), string(tenancy.WatchExpired)).Scan(&overdue, &expired, &unread))
	return overdue, expired, unread, err
}

// CreateWatched stores a watched certificate. It returns [tenancy.ErrConflict] if the name is taken.
func (t *Tx) CreateWatched(ctx context.Context, w tenancy.Watched) error {
	_, err := t.exec(ctx, "INSERT INTO watched ("+watchedColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		w.ID, w.TenantID, w.Name, w.Owner, w.Policy, w.Window, document{w.Source}, document{w.Systems},
		string(w.Noticed), micros(w.DueAt), micros(w.LookedAt), micros(w.FailingSince), storable(w.LookError),
		micros(w.CreatedAt), w.Version)
	return err
}

// UpdateWatched stores a change of everything except the name. It returns [tenancy.ErrStale] if another change was
// faster.
func (t *Tx) UpdateWatched(ctx context.Context, w tenancy.Watched) error {
	return t.execOne(ctx, "UPDATE watched SET owner = ?, policy = ?, expected_in = ?, source = ?, systems = ?, noticed "+
		"= ?, due_at = ?, looked_at = ?, failing_since = ?, look_error = ?, version = version + 1 WHERE id = ? AND version "+
		"= ?", w.Owner, w.Policy, w.Window, document{w.Source}, document{w.Systems}, string(w.Noticed), micros(w.DueAt),
		micros(w.LookedAt), micros(w.FailingSince), storable(w.LookError), w.ID, w.Version)
}

// DeleteWatched deletes a watched certificate with its history and its links.
func (t *Tx) DeleteWatched(ctx context.Context, w tenancy.Watched) error {
	if err := t.deleteWatchLinks(ctx, w.ID); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "DELETE FROM watched_certificates WHERE watched_id = ?", w.ID); err != nil {
		return err
	}
	return t.execOne(ctx, "DELETE FROM watched WHERE id = ? AND version = ?", w.ID, w.Version)
}

const watchedCertificateColumns = "id, tenant_id, watched_id, position, fingerprint, der, chain, not_before, " +
	"not_after, seen_at, seen_by, surprises, adopted"

func scanWatchedCertificate(s row) (c tenancy.WatchedCertificate, err error) {
	var adopted int64
	err = s.Scan(&c.ID, &c.TenantID, &c.WatchedID, &c.Position, &c.Fingerprint, &c.DER, &c.Chain, instant{&c.NotBefore},
		instant{&c.NotAfter}, instant{&c.SeenAt}, &c.SeenBy, document{&c.Surprises}, &adopted)
	c.Adopted = adopted != 0
	return c, err
}

// AddWatchedCertificate stores a certificate that was seen. It returns [tenancy.ErrConflict] if it, or another one of
// its position, is stored already.
func (t *Tx) AddWatchedCertificate(ctx context.Context, c tenancy.WatchedCertificate) error {
	_, err := t.exec(ctx, "INSERT INTO watched_certificates ("+watchedCertificateColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, "+
		"?, ?, ?, ?, ?, ?)", c.ID, c.TenantID, c.WatchedID, c.Position, c.Fingerprint, c.DER, c.Chain, micros(c.NotBefore),
		micros(c.NotAfter), micros(c.SeenAt), c.SeenBy, document{c.Surprises},
		bit(c.Adopted))
	return err
}

// AdoptWatchedCertificate lets a certificate that was seen count as the watched one.
func (t *Tx) AdoptWatchedCertificate(ctx context.Context, id string) error {
	return t.execOne(ctx, "UPDATE watched_certificates SET adopted = 1 WHERE id = ?", id)
}

// DropWatchedCertificate deletes a certificate from the history of a watched one, with the links to it.
func (t *Tx) DropWatchedCertificate(ctx context.Context, id string) error {
	if err := t.deleteWatchLinksTo(ctx, id); err != nil {
		return err
	}
	return t.execOne(ctx, "DELETE FROM watched_certificates WHERE id = ?", id)
}

// NewestWatched reads the adopted certificate of watched ones that was issued last, by the ID of the watched one.
func (r Reader) NewestWatched(ctx context.Context, watchedIDs []string) (map[string]tenancy.WatchedCertificate, error) {
	return byID(ctx, r, scanWatchedCertificate, func(c tenancy.WatchedCertificate) string { return c.WatchedID },
		"SELECT "+watchedCertificateColumns+" FROM watched_certificates AS c WHERE adopted = 1 AND NOT EXISTS (SELECT 1 "+
			"FROM watched_certificates AS n WHERE n.watched_id = c.watched_id AND n.adopted = 1 AND (n.not_before > "+
			"c.not_before OR n.not_before = c.not_before AND n.position > c.position)) AND watched_id ", watchedIDs)
}

// WatchedCertificates reads all certificates that were seen of watched ones, by the ID of the watched one, in the order
// in which they were seen.
func (r Reader) WatchedCertificates(ctx context.Context, watchedIDs []string) (
	map[string][]tenancy.WatchedCertificate, error) {
	return groupBy(ctx, r, scanWatchedCertificate, func(c tenancy.WatchedCertificate) string { return c.WatchedID },
		"SELECT "+watchedCertificateColumns+" FROM watched_certificates WHERE watched_id ", watchedIDs, " ORDER BY position")
}
