package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// A bulk is a statement that writes many rows in the way that is fastest on each engine. On SQLite, a prepared
// statement writes one row at a time. On PostgreSQL, one statement takes an array for each column. docs/performance.md
// has the measurements.
type bulk struct {
	each, all string
	columns   int
}

// bulkInsert returns an insert statement for columns that are given as "name type", with the types of PostgreSQL.
func bulkInsert(table string, columns ...string) bulk {
	names, marks, arrays := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, " ")
		names[i], marks[i], arrays[i] = name, "?", fmt.Sprintf("$%d::%s[]", i+1, kind)
	}
	into := fmt.Sprintf("INSERT INTO %s (%s) ", table, strings.Join(names, ", "))
	return bulk{
		each:    into + "VALUES (" + strings.Join(marks, ", ") + ")",
		all:     into + "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")",
		columns: len(columns),
	}
}

// oncePer returns the statement without rows that have a value of the column that is stored already.
func (b bulk) oncePer(column string) bulk {
	b.each += " ON CONFLICT (" + column + ") DO NOTHING"
	b.all += " ON CONFLICT (" + column + ") DO NOTHING"
	return b
}

// write executes the statement for n rows and returns how many rows it changed.
func (b bulk) write(ctx context.Context, t *Tx, n int, row func(i int) []any) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	if t.engine == Postgres {
		arrays, err := columns(b.columns, n, row)
		if err != nil {
			return 0, err
		}
		res, err := t.tx.ExecContext(ctx, b.all, arrays...)
		if err != nil {
			return 0, t.explain(err)
		}
		return res.RowsAffected()
	}
	stmt, err := t.tx.PrepareContext(ctx, b.each)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	var changed int64
	// The driver starts a goroutine for every statement that can be cancelled. Check the context between rows instead.
	uncancelled := context.WithoutCancel(ctx)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		res, err := stmt.ExecContext(uncancelled, row(i)...)
		if err != nil {
			return changed, t.explain(err)
		}
		k, err := res.RowsAffected()
		if err != nil {
			return changed, err
		}
		changed += k
	}
	return changed, nil
}

// columns turns rows into one typed slice per column. A typed slice is encoded in a fraction of the time that a slice
// of any takes.
func columns(width, n int, row func(i int) []any) ([]any, error) {
	arrays := make([]any, width)
	for c, v := range row(0) {
		switch v.(type) {
		case string:
			arrays[c] = make([]string, n)
		case int64:
			arrays[c] = make([]int64, n)
		case []byte:
			arrays[c] = make([][]byte, n)
		default:
			return nil, fmt.Errorf("column %d: %T cannot be written in bulk", c, v)
		}
	}
	for i := range n {
		for c, v := range row(i) {
			switch column := arrays[c].(type) {
			case []string:
				column[i] = v.(string)
			case []int64:
				column[i] = v.(int64)
			case [][]byte:
				column[i] = v.([]byte)
			}
		}
	}
	return arrays, nil
}

// Rows are new rows of a fleet.
type Rows struct {
	Tenants      []tenancy.Tenant
	Projects     []tenancy.ScopingProject // with their answers
	KeyUsers     []tenancy.KeyUser
	ITContacts   []tenancy.ITContact
	Credentials  []tenancy.Credential // with settings of their own
	Certificates []SealedCertificate
	KeptNames    []KeptName // see [Tx.KeepNames]
	Receivers    []tenancy.Receiver
	Arrangements []tenancy.Arrangement
}

// Create stores new rows, each after those that it refers to. It stops at the first error, because the next ones would
// only report that a row is missing. The error is [tenancy.ErrConflict] if a row exists.
func (t *Tx) Create(ctx context.Context, r Rows) error {
	for _, write := range []func() error{
		func() error { return t.CreateTenants(ctx, r.Tenants...) },
		func() error { return t.CreateScopingProjects(ctx, r.Projects...) },
		func() error { return t.CreateKeyUsers(ctx, r.KeyUsers...) },
		func() error { return t.AddITContacts(ctx, r.ITContacts...) },
		func() error { return t.CreateCredentials(ctx, r.Credentials...) },
		func() error { return t.AddCertificates(ctx, r.Certificates) },
		func() error { return t.KeepNames(ctx, r.KeptNames...) },
		func() error { return t.CreateReceivers(ctx, r.Receivers...) },
		func() error { return t.CreateArrangements(ctx, r.Arrangements...) },
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
