package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// LockParked makes other transactions that count the parked messages of a tenant wait for this one, and returns the
// tenant's usage. SQLite has one writer at a time anyway.
func (t *Tx) LockParked(ctx context.Context, tenantID string) (tenancy.ParkedUsage, error) {
	if t.engine == Postgres {
		if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('parked/' || ?, 0))", tenantID); err != nil {
			return tenancy.ParkedUsage{}, err
		}
	}
	return t.ParkedUsage(ctx, tenantID)
}

// ReserveParkedBody begins a body of at least some bytes.
func (t *Tx) ReserveParkedBody(ctx context.Context, id, tenantID string, bytes int64, at time.Time) error {
	_, err := t.exec(ctx, "INSERT INTO parked_bodies (id, tenant_id, bytes, written_at) VALUES (?, ?, ?, ?)", id, tenantID,
		bytes, micros(at))
	return err
}

// TouchParkedBody records that a body has at least some bytes and was written to at an instant. It returns
// [tenancy.ErrStale] if the body was deleted.
func (t *Tx) TouchParkedBody(ctx context.Context, id string, bytes int64, at time.Time) error {
	return t.execOne(ctx, "UPDATE parked_bodies SET bytes = CASE WHEN bytes < ? THEN ? ELSE bytes END, written_at = ? "+
		"WHERE id = ?", bytes, bytes, micros(at), id)
}

// AddParkedChunk stores a sealed chunk of a body.
func (t *Tx) AddParkedChunk(ctx context.Context, bodyID string, n int, sealed []byte) error {
	_, err := t.exec(ctx, "INSERT INTO parked_chunks (body_id, n, sealed) VALUES (?, ?, ?)", bodyID, n, sealed)
	return err
}

// ParkedChunk returns a sealed chunk of a body.
func (r Reader) ParkedChunk(ctx context.Context, bodyID string, n int) ([]byte, error) {
	return one(ctx, r, "such chunk of the body of message "+bodyID, scanOne[[]byte],
		"SELECT sealed FROM parked_chunks WHERE body_id = ? AND n = ?", bodyID, n)
}

// ResealParkedChunk replaces a sealed chunk, unless it was deleted.
func (t *Tx) ResealParkedChunk(ctx context.Context, bodyID string, n int, sealed []byte) error {
	_, err := t.exec(ctx, "UPDATE parked_chunks SET sealed = ? WHERE body_id = ? AND n = ?", sealed, bodyID, n)
	return err
}

// DropParkedBody deletes chunks of a body, up to a limit, and the body itself with its last one. It reports whether it
// is gone. A body whose message waits stays: kept is true then. The caller has called [Tx.LockParked].
func (t *Tx) DropParkedBody(ctx context.Context, id string, limit int) (gone, kept bool, err error) {
	waiting, err := one(ctx, t.Reader, "count", scanOne[int],
		"SELECT count(*) FROM parked WHERE id = ? AND state = 'waiting'", id)
	if err != nil || waiting > 0 {
		return false, waiting > 0, err
	}
	n, err := t.exec(ctx, "DELETE FROM parked_chunks WHERE body_id = ? AND n IN (SELECT n FROM parked_chunks WHERE "+
		"body_id = ? ORDER BY n LIMIT ?)", id, id, limit)
	if err != nil || int(n) == limit {
		return false, false, err
	}
	_, err = t.exec(ctx, "DELETE FROM parked_bodies WHERE id = ?", id)
	return true, false, err
}

// A ParkedBody is a stored body without its chunks.
type ParkedBody struct {
	ID       string
	TenantID string
}

// UnusedParkedBodies lists bodies that were last written to before an instant, and whose message does not wait: it was
// not completed, or has ended.
func (r Reader) UnusedParkedBodies(ctx context.Context, before time.Time, limit int) ([]ParkedBody, error) {
	return list(ctx, r, func(s row) (b ParkedBody, err error) {
		err = s.Scan(&b.ID, &b.TenantID)
		return b, err
	},
		`SELECT id, tenant_id FROM parked_bodies AS b WHERE written_at < ? AND NOT EXISTS
		(SELECT 1 FROM parked WHERE parked.id = b.id AND state = 'waiting') ORDER BY written_at LIMIT ?`, micros(before),
		limit)
}

// usages counts the waiting messages, and the bodies that are arriving, by tenant. Both sums come from indexes.
const (
	used = `(SELECT tenant_id, 1 AS messages, bytes FROM parked WHERE state = 'waiting'
	UNION ALL SELECT tenant_id, 0, bytes FROM parked_bodies) AS used`
	usages = "SELECT tenant_id, SUM(messages), SUM(bytes) FROM " + used
)

func scanUsage(s row) (u tenancy.ParkedUsage, err error) {
	err = s.Scan(&u.TenantID, &u.Messages, &u.Bytes)
	return u, err
}

// ParkedUsage returns the usage of a tenant.
func (r Reader) ParkedUsage(ctx context.Context, tenantID string) (tenancy.ParkedUsage, error) {
	all, err := list(ctx, r, scanUsage, usages+" WHERE tenant_id = ? GROUP BY tenant_id", tenantID)
	if err != nil || len(all) == 0 {
		return tenancy.ParkedUsage{TenantID: tenantID}, err
	}
	return all[0], nil
}

var usageListing = listing[tenancy.ParkedUsage]{
	query: usages + " WHERE ",
	scan:  scanUsage,
	id:    "tenant_id", idOf: func(u tenancy.ParkedUsage) string { return u.TenantID },
	texts: []string{tenantName("used.tenant_id")},
	group: " GROUP BY tenant_id",
}

// ParkedUsages returns a page of the usage of every tenant with waiting messages, by its ID. A text is looked for in
// the name of the tenant.
func (r Reader) ParkedUsages(ctx context.Context, p Page) ([]tenancy.ParkedUsage, Place, error) {
	return usageListing.read(ctx, r, p, "tenant_id <> ''")
}

// ParkedTotals returns the total usage, and the largest number of messages and bytes of one tenant.
func (r Reader) ParkedTotals(ctx context.Context) (total, largest tenancy.ParkedUsage, err error) {
	_, err = one(ctx, r, "sum", func(s row) (struct{}, error) {
		return struct{}{}, s.Scan(&total.Messages, &total.Bytes, &largest.Messages, &largest.Bytes)
	}, "SELECT COALESCE(SUM(m), 0), COALESCE(SUM(b), 0), COALESCE(MAX(m), 0), COALESCE(MAX(b), 0) FROM (SELECT "+
		"SUM(messages) AS m, SUM(bytes) AS b FROM "+used+" GROUP BY tenant_id) AS each_tenant")
	return total, largest, err
}

// ParkedSizes returns the sizes of messages by their IDs, with their bodies.
func (r Reader) ParkedSizes(ctx context.Context, all []tenancy.Parked) (map[string]int64, error) {
	type sized struct {
		id    string
		bytes int64
	}
	ids := make([]string, len(all))
	for i, p := range all {
		ids[i] = p.ID
	}
	bodies, err := byID(ctx, r, func(s row) (v sized, err error) {
		err = s.Scan(&v.id, &v.bytes)
		return v, err
	},
		func(v sized) string { return v.id }, "SELECT id, bytes FROM parked_bodies WHERE id ", ids)
	sizes := make(map[string]int64, len(all))
	for _, p := range all {
		sizes[p.ID] = p.Bytes + bodies[p.ID].bytes
	}
	return sizes, err
}
