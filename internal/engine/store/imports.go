package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

const importColumns = "id, state, created_by, created_at, total, changing, done, problems, last_error, runs"

// selectImports counts what is done while that changes. To update the column for each page of tenants, SQLite would
// copy the plan each time, which it keeps in the same row. So a whole import would cost the square of its size.
const selectImports = "SELECT id, state, created_by, created_at, total, changing, " +
	"CASE WHEN state IN ('applying', 'undoing') THEN " + importedItems + " ELSE done END, " +
	"problems, last_error, runs FROM imports "

const importedItems = "(SELECT count(*) FROM import_items WHERE import_id = imports.id)"

func scanImport(s row) (i tenancy.Import, err error) {
	err = s.Scan(&i.ID, &i.State, &i.CreatedBy, instant{&i.CreatedAt}, &i.Total, &i.Changing, &i.Done, &i.Problems,
		&i.LastError, document{&i.Runs})
	return i, err
}

// ImportByID finds an import.
func (r Reader) ImportByID(ctx context.Context, id string) (tenancy.Import, error) {
	return one(ctx, r, "such import", scanImport, selectImports+"WHERE id = ?", id)
}

var importListing = listing[tenancy.Import]{
	query: selectImports + "WHERE ",
	scan:  scanImport,
	id:    "id", idOf: func(i tenancy.Import) string { return i.ID },
	texts: []string{"created_by"},
}

// Imports returns a page of the imports, in the order of creation. A state limits it to the imports in that state. A
// text is looked for in the name of the account or token that created them.
func (r Reader) Imports(ctx context.Context, state tenancy.ImportState, p Page) ([]tenancy.Import, Place, error) {
	return importListing.read(ctx, r, p, "(? = '' OR state = ?)", string(state), string(state))
}

// ImportPlan returns the sealed plan of an import. It is nil once the import was applied.
func (r Reader) ImportPlan(ctx context.Context, id string) ([]byte, error) {
	return one(ctx, r, "such import", scanOne[[]byte], "SELECT plan FROM imports WHERE id = ?", id)
}

// ImportPlanned returns the effects of an import as JSON: a list with one entry per tenant.
func (r Reader) ImportPlanned(ctx context.Context, id string) (string, error) {
	return one(ctx, r, "such import", scanOne[string], "SELECT planned FROM imports WHERE id = ?", id)
}

// CreateImport stores an import with its sealed plan, and with the effects of the plan as JSON. It deletes the sealed
// plans that may no longer be applied, because they contain private keys.
func (t *Tx) CreateImport(ctx context.Context, i tenancy.Import, plan []byte, planned string) error {
	if _, err := t.exec(ctx, "UPDATE imports SET plan = NULL WHERE state = 'checked' AND created_at < ?",
		micros(i.CreatedAt.Add(-tenancy.PlanLife))); err != nil {
		return err
	}
	_, err := t.exec(ctx, "INSERT INTO imports ("+importColumns+
		", plan, planned) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		i.ID, i.State, i.CreatedBy, micros(i.CreatedAt), i.Total, i.Changing, i.Done, i.Problems, i.LastError,
		document{&i.Runs}, plan, planned)
	return err
}

// MoveImport changes the state of an import. It returns [tenancy.ErrStale] if the import is not in the state from.
func (t *Tx) MoveImport(ctx context.Context, id string, from, to tenancy.ImportState) error {
	if to == tenancy.ImportApplied || to == tenancy.ImportUndone {
		if _, err := t.exec(ctx, "UPDATE imports SET plan = NULL, done = "+importedItems+" WHERE id = ?",
			id); err != nil {
			return err
		}
	}
	return t.execOne(ctx, "UPDATE imports SET state = ?, last_error = '' WHERE id = ? AND state = ?", to, id, from)
}

// FailImport records why an import cannot continue.
func (t *Tx) FailImport(ctx context.Context, id, reason string) error {
	return t.execOne(ctx, "UPDATE imports SET last_error = ? WHERE id = ?", reason, id)
}

var insertImported = bulkInsert("import_items", "import_id text", "tenant text", "made text")

// AddImported records what an import created for tenants. It returns [tenancy.ErrConflict] if that is recorded already.
func (t *Tx) AddImported(ctx context.Context, id string, items ...tenancy.Imported) error {
	_, err := insertImported.write(ctx, t, len(items), func(i int) []any {
		return []any{id, items[i].Tenant, items[i].Made}
	})
	return err
}

// DropImported deletes the record of what an import created for a tenant, because it was undone.
func (t *Tx) DropImported(ctx context.Context, id, tenant string) error {
	return t.execOne(ctx, "DELETE FROM import_items WHERE import_id = ? AND tenant = ?", id, tenant)
}

// Imported lists what an import created, one entry per tenant, after the given tenant.
func (r Reader) Imported(ctx context.Context, id, after string, limit int) ([]tenancy.Imported, error) {
	return list(ctx, r, func(s row) (i tenancy.Imported, err error) {
		err = s.Scan(&i.Tenant, &i.Made)
		return i, err
	}, "SELECT tenant, made FROM import_items WHERE import_id = ? AND tenant > ? ORDER BY tenant LIMIT ?", id, after,
		limit)
}
