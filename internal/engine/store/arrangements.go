package store

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Presenting lists the tenants that have an arrangement with a client certificate, after the given tenant ID.
func (r Reader) Presenting(ctx context.Context, after string, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT DISTINCT tenant_id FROM arrangements WHERE authentication = "+
		"'client-certificate' AND tenant_id > ? ORDER BY tenant_id LIMIT ?", after, limit)
}

// CountPresenting counts the arrangements with a client certificate, by an index.
func (r Reader) CountPresenting(ctx context.Context) (n int, err error) {
	return one(ctx, r, "count", scanOne[int], "SELECT COUNT(*) FROM arrangements WHERE authentication = "+
		"'client-certificate'")
}

// ArrangementNames returns the names of arrangements, TENANT/ARRANGEMENT, by ID.
func (r Reader) ArrangementNames(ctx context.Context, ids []string) (map[string]string, error) {
	type named struct{ id, name string }
	rows, err := byID(ctx, r, func(s row) (n named, err error) {
		err = s.Scan(&n.id, &n.name)
		return n, err
	}, func(n named) string { return n.id },
		"SELECT a.id, t.name || '/' || a.name FROM arrangements a JOIN tenants t ON t.id = a.tenant_id WHERE a.id ", ids)
	names := map[string]string{}
	for id, n := range rows {
		names[id] = n.name
	}
	return names, err
}

// LockArrangement reads an arrangement by its ID and locks it until the transaction ends.
func (t *Tx) LockArrangement(ctx context.Context, id string) (tenancy.Arrangement, error) {
	query := "SELECT " + arrangementColumns + " FROM arrangements WHERE id = ?" + t.forUpdate()
	return one(ctx, t.Reader, "such arrangement", scanArrangement, query, id)
}

// SetNeededOld stores when a message last needed an old generation.
func (t *Tx) SetNeededOld(ctx context.Context, arrangementID string, at time.Time) error {
	_, err := t.exec(ctx, "UPDATE arrangements SET needed_old_at = ? WHERE id = ?", micros(at), arrangementID)
	return err
}

// SetLearned stores the facts that the answers of an arrangement's receiver showed.
func (t *Tx) SetLearned(ctx context.Context, arrangementID string, l tenancy.Learned) error {
	_, err := t.exec(ctx, "UPDATE arrangements SET learned = ? WHERE id = ?", document{&l}, arrangementID)
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
		each: "INSERT INTO evidence (" + evidenceColumns + ") VALUES (?, ?, ?, '', 0, '', '', 0, '', '', 0, '') " +
			"ON CONFLICT (arrangement_id, generation) DO UPDATE SET presented_at = excluded.presented_at",
		all: "INSERT INTO evidence (" +
			evidenceColumns + `) SELECT id, generation, at, '', 0, '', '', 0, '', '', 0, '' FROM unnest($1::text[], $2::bigint[],
				$3::bigint[]) AS v (id, generation, at)
			ON CONFLICT (arrangement_id, generation) DO UPDATE SET presented_at = excluded.presented_at`,
		columns: 3,
	}
)

// CutOver stores the generation that each of the arrangements presents from now on.
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

// OwnedArrangement finds an arrangement of any tenant, and the tenant.
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

// ArrangementsByID reads the arrangements with these IDs.
func (r Reader) ArrangementsByID(ctx context.Context, ids []string) (map[string]tenancy.Arrangement, error) {
	return byID(ctx, r, scanArrangement, func(a tenancy.Arrangement) string { return a.ID },
		"SELECT "+arrangementColumns+" FROM arrangements WHERE id ", ids)
}

const arrangementColumns = "id, tenant_id, receiver_id, name, scenario, endpoint, authentication, strategy, " +
	"generation, needed_old_at, egress, created_at, version, learned, credential"

func scanArrangement(s row) (a tenancy.Arrangement, err error) {
	err = s.Scan(&a.ID, &a.TenantID, &a.ReceiverID, &a.Name, &a.Scenario, &a.Endpoint, &a.Authentication, &a.Strategy,
		&a.Generation, instant{&a.NeededOldAt}, document{&a.Egress}, instant{&a.CreatedAt}, &a.Version,
		document{&a.Learned}, &a.Credential)
	return a, err
}

// Arrangement finds an arrangement of a tenant by name.
func (r Reader) Arrangement(ctx context.Context, tenantID, name string) (tenancy.Arrangement, error) {
	return one(ctx, r, "arrangement "+name, scanArrangement,
		"SELECT "+arrangementColumns+" FROM arrangements WHERE tenant_id = ? AND name = ?", tenantID, name)
}

var arrangementListing = listing[tenancy.Arrangement]{
	query: "SELECT " + arrangementColumns + " FROM arrangements WHERE ",
	scan:  scanArrangement,
	id:    "id", idOf: func(a tenancy.Arrangement) string { return a.ID },
	orders: map[string]order[tenancy.Arrangement]{
		"name": {column: "name", key: func(a tenancy.Arrangement) string { return a.Name }, unique: true}},
	texts: []string{"name", "scenario", "endpoint"},
}

// Arrangements returns a page of the arrangements of a tenant, in the order of creation or of their names. The ID of a
// receiver limits it to the arrangements of that receiver. A text is looked for in name, scenario and endpoint.
func (r Reader) Arrangements(ctx context.Context, tenantID, receiverID string, p Page) ([]tenancy.Arrangement, Place,
	error) {
	if receiverID != "" {
		return arrangementListing.read(ctx, r, p, "tenant_id = ? AND receiver_id = ?", tenantID, receiverID)
	}
	return arrangementListing.read(ctx, r, p, "tenant_id = ?", tenantID)
}

// ArrangementsOf reads the arrangements of many tenants, by tenant ID.
func (r Reader) ArrangementsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Arrangement, error) {
	return groupBy(ctx, r, scanArrangement, func(a tenancy.Arrangement) string {
		return a.TenantID
	}, "SELECT "+arrangementColumns+" FROM arrangements WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

// CountArrangements counts the arrangements of a tenant, up to a limit.
func (r Reader) CountArrangements(ctx context.Context, tenantID string, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "arrangements WHERE tenant_id = ?", tenantID)
}

var insertArrangements = bulkInsert("arrangements", "id text", "tenant_id text", "receiver_id text", "name text",
	"scenario text", "endpoint text", "authentication text", "strategy text", "generation bigint",
	"needed_old_at bigint", "egress text", "created_at bigint", "version bigint", "learned text", "credential text")

// CreateArrangements stores new arrangements, and proposes a counterparty for their hosts. It returns
// [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateArrangements(ctx context.Context, arrangements ...tenancy.Arrangement) error {
	egress, learned := make([]string, len(arrangements)), make([]string, len(arrangements))
	for i, a := range arrangements {
		var err1, err2 error
		egress[i], err1 = document{&a.Egress}.text()
		learned[i], err2 = document{&a.Learned}.text()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
	}
	_, err := insertArrangements.write(ctx, t, len(arrangements), func(i int) []any {
		a := &arrangements[i]
		return []any{a.ID, a.TenantID, a.ReceiverID, a.Name, a.Scenario, a.Endpoint, string(a.Authentication),
			string(a.Strategy), int64(a.Generation), micros(a.NeededOldAt), egress[i], micros(a.CreatedAt), a.Version,
			learned[i], string(a.Presents())}
	})
	if err != nil {
		return err
	}
	return t.propose(ctx, arrangements...)
}

// UpdateArrangement stores a change of everything except the name, and proposes a counterparty for the host.
func (t *Tx) UpdateArrangement(ctx context.Context, a tenancy.Arrangement) error {
	if err := t.execOne(ctx, "UPDATE arrangements SET receiver_id = ?, scenario = ?, endpoint = ?, authentication = ?, "+
		"strategy = ?, generation = ?, egress = ?, version = version + 1 WHERE id = ? AND version = ?",
		a.ReceiverID, a.Scenario, a.Endpoint, a.Authentication, a.Strategy, a.Generation, document{&a.Egress}, a.ID,
		a.Version); err != nil {
		return err
	}
	return t.propose(ctx, a)
}

// CounterpartyArrangements reads the arrangements of tenants that present a certificate to a receiver of a
// counterparty, by tenant ID.
func (r Reader) CounterpartyArrangements(ctx context.Context, counterpartyID string,
	tenantIDs []string) (map[string][]tenancy.Arrangement, error) {
	return groupBy(ctx, r, scanArrangement, func(a tenancy.Arrangement) string { return a.TenantID },
		"SELECT "+arrangementColumns+" FROM arrangements WHERE authentication = 'client-certificate' AND receiver_id IN "+
			"(SELECT id FROM receivers WHERE counterparty_id = ? AND counterparty_id <> '') AND tenant_id ", tenantIDs,
		" ORDER BY id", counterpartyID)
}

// LinkedArrangements returns those of some arrangements that present a client certificate to a receiver that is linked
// to a counterparty, by ID.
func (r Reader) LinkedArrangements(ctx context.Context, counterpartyID string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := r.among(ids)
	return list(ctx, r, scanOne[string], "SELECT id FROM arrangements WHERE authentication = 'client-certificate' AND "+
		"receiver_id IN (SELECT id FROM receivers WHERE counterparty_id = ? AND counterparty_id <> '') AND id "+in+
		" ORDER BY id", append([]any{counterpartyID}, args...)...)
}

// A LinkedArrangement is an arrangement that is linked to a counterparty.
type LinkedArrangement struct {
	CounterpartyID, Tenant, Arrangement string // the last two are names
	Credential                          string // that it presents
}

// LinkedTo lists the arrangements of the tenants with these names that present a client certificate to a receiver of
// one of the counterparties with these IDs.
func (r Reader) LinkedTo(ctx context.Context, counterpartyIDs, tenants []string) ([]LinkedArrangement, error) {
	ofParties, ids := r.among(counterpartyIDs)
	ofTenants, names := r.among(tenants)
	return list(ctx, r, func(s row) (l LinkedArrangement, err error) {
		err = s.Scan(&l.CounterpartyID, &l.Tenant, &l.Arrangement, &l.Credential)
		return l, err
	}, "SELECT r.counterparty_id, t.name, a.name, CASE a.credential WHEN '' THEN 'tenant' ELSE a.credential END FROM "+
		"receivers r JOIN tenants t ON t.id = r.tenant_id JOIN arrangements a ON a.receiver_id = r.id AND "+
		"a.authentication = 'client-certificate' WHERE r.counterparty_id "+ofParties+" AND t.name "+ofTenants+
		" ORDER BY a.id", append(ids, names...)...)
}

// DeleteArrangement removes an arrangement. Its receiver leaves its counterparty if no other arrangement of the
// receiver has a host there.
func (t *Tx) DeleteArrangement(ctx context.Context, a tenancy.Arrangement) error {
	if err := t.execOne(ctx, "DELETE FROM arrangements WHERE id = ? AND version = ?", a.ID, a.Version); err != nil {
		return err
	}
	return t.UnlinkStray(ctx, a.ReceiverID)
}
