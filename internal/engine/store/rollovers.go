package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

const evidenceColumns = "arrangement_id, generation, presented_at, verdict, verdict_at, source, detail"

func scanEvidence(s row) (e standing.Evidence, err error) {
	return e, s.Scan(&e.ArrangementID, &e.Generation, instant{&e.PresentedAt}, &e.Verdict, instant{&e.VerdictAt},
		&e.Source, &e.Detail)
}

// EvidenceOf reads what is known of arrangements, by arrangement ID.
func (r Reader) EvidenceOf(ctx context.Context, arrangementIDs []string) (map[string][]standing.Evidence, error) {
	return groupBy(ctx, r, scanEvidence, func(e standing.Evidence) string {
		return e.ArrangementID
	}, "SELECT "+evidenceColumns+" FROM evidence WHERE arrangement_id ", arrangementIDs, " ORDER BY generation")
}

// SetEvidence stores what is known of a generation.
func (t *Tx) SetEvidence(ctx context.Context, e standing.Evidence) error {
	_, err := t.exec(ctx, "INSERT INTO evidence ("+
		evidenceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (arrangement_id, generation) DO UPDATE SET
		presented_at = excluded.presented_at, verdict = excluded.verdict, verdict_at = excluded.verdict_at, source = excluded.source, detail = excluded.detail`,
		e.ArrangementID, e.Generation, micros(e.PresentedAt), string(e.Verdict), micros(e.VerdictAt), string(e.Source),
		e.Detail)
	return err
}

// ForgetEvidence removes what is known of the receiver of an arrangement, for a receiver that is another one now.
func (t *Tx) ForgetEvidence(ctx context.Context, arrangementID string) error {
	_, err := t.exec(ctx, "DELETE FROM evidence WHERE arrangement_id = ?", arrangementID)
	return err
}

// LockArrangement reads an arrangement by its ID and keeps others from moving it until the transaction ends.
func (t *Tx) LockArrangement(ctx context.Context, id string) (tenancy.Arrangement, error) {
	query := "SELECT " + arrangementColumns + " FROM arrangements WHERE id = ?"
	if t.engine == Postgres { // a transaction on SQLite writes alone anyway
		query += " FOR UPDATE"
	}
	return one(ctx, t.Reader, "such arrangement", scanArrangement, query, id)
}

// SetNeededOld stores when a message last needed an old generation.
func (t *Tx) SetNeededOld(ctx context.Context, arrangementID string, at time.Time) error {
	_, err := t.exec(ctx, "UPDATE arrangements SET needed_old_at = ? WHERE id = ?", micros(at), arrangementID)
	return err
}

var (
	cutOver = bulk{
		each: "UPDATE arrangements SET generation = ?, version = version + 1 WHERE id = ?",
		all: "UPDATE arrangements SET generation = v.generation, version = version + 1 FROM unnest($1::bigint[], " +
			"$2::text[]) AS v (generation, id) WHERE arrangements.id = v.id",
		columns: 2,
	}
	presented = bulk{
		each: "INSERT INTO evidence (" + evidenceColumns + ") VALUES (?, ?, ?, '', 0, '', '') ON CONFLICT (arrangement_id, " +
			"generation) DO UPDATE SET presented_at = excluded.presented_at",
		all: "INSERT INTO evidence (" +
			evidenceColumns + `) SELECT id, generation, at, '', 0, '', '' FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS v (id, generation, at)
			ON CONFLICT (arrangement_id, generation) DO UPDATE SET presented_at = excluded.presented_at`,
		columns: 3,
	}
)

// CutOver stores which generation each of the arrangements presents from now on.
func (t *Tx) CutOver(ctx context.Context, arrangements []tenancy.Arrangement, now time.Time) error {
	if _, err := cutOver.write(ctx, t, len(arrangements), func(i int) []any {
		return []any{int64(arrangements[i].Generation), arrangements[i].ID}
	}); err != nil {
		return err
	}
	_, err := presented.write(ctx, t, len(arrangements), func(i int) []any {
		return []any{arrangements[i].ID, int64(arrangements[i].Generation), micros(now)}
	})
	return err
}

// Rolling lists the tenants with a roll-over under way: an old generation is not retired yet. It costs what it returns.
func (r Reader) Rolling(ctx context.Context, after string, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT DISTINCT tenant_id FROM certificates WHERE purpose = 'tenant' AND "+
		"successor_id <> '' AND state = 'active' AND tenant_id > ? ORDER BY tenant_id LIMIT ?", after, limit)
}

// InReachOf reads the generations of the tenant certificate that are neither retired nor revoked, by tenant ID, the
// oldest first.
func (r Reader) InReachOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Certificate, error) {
	return groupBy(ctx, r, scanCertificate, func(c tenancy.Certificate) string { return c.TenantID },
		"SELECT "+certificateColumns+" FROM certificates WHERE purpose = 'tenant' AND state IN ('standby', 'active') AND "+
			"tenant_id ", tenantIDs, " ORDER BY generation")
}

// Activate notes that a standby generation is presented now.
func (t *Tx) Activate(ctx context.Context, tenantID string, generation int) error {
	_, err := t.exec(ctx, "UPDATE certificates SET state = 'active' WHERE tenant_id = ? AND purpose = 'tenant' AND "+
		"generation = ? AND state = 'standby'", tenantID, generation)
	return err
}

// Retire ends a replaced generation and destroys its key.
func (t *Tx) Retire(ctx context.Context, id string) error {
	return t.execOne(ctx, "UPDATE certificates SET state = 'retired', sealed_key = NULL WHERE id = ? AND state IN "+
		"('standby', 'active') AND successor_id <> ''", id)
}

// OwnedArrangement finds an arrangement of any tenant, and whose it is.
func (r Reader) OwnedArrangement(ctx context.Context, id string) (t tenancy.Tenant, a tenancy.Arrangement, err error) {
	if a, err = r.ArrangementByID(ctx, id); err != nil {
		return t, a, err
	}
	tenants, err := r.TenantsByID(ctx, []string{a.TenantID})
	return tenants[a.TenantID], a, err
}

// ArrangementByID finds an arrangement of any tenant.
func (r Reader) ArrangementByID(ctx context.Context, id string) (tenancy.Arrangement, error) {
	return one(ctx, r, "such arrangement", scanArrangement, "SELECT "+arrangementColumns+" FROM arrangements WHERE id = ?",
		id)
}
