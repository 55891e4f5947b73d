package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/perennial-pki/perennial/tenancy"
)

// errUnstorable is returned for a text of a caller that PostgreSQL does not take, such as a search for NUL. It is
// returned for SQLite, too, because both engines give the same answers.
var errUnstorable = tenancy.Errorf(tenancy.ErrInvalid, "a text contains NUL or is not valid UTF-8: correct it")

// explain turns an error of the database into one of the kinds of package tenancy if a caller decides by it. If an
// administrator can fix another error, it adds the fix.
func (r Reader) explain(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return tenancy.Errorf(tenancy.ErrNotFound, "not found")
	case errors.As(err, &pg):
		switch pg.Code {
		case "23505":
			return tenancy.Errorf(tenancy.ErrConflict, "it already exists")
		case "23503":
			return tenancy.Errorf(tenancy.ErrConflict, "it is still in use")
		case "22021":
			return errUnstorable
		}
	case errors.As(err, &lite):
		switch lite.Code() {
		case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE
			return tenancy.Errorf(tenancy.ErrConflict, "it already exists")
		case 787: // SQLITE_CONSTRAINT_FOREIGNKEY
			return tenancy.Errorf(tenancy.ErrConflict, "it is still in use")
		}
	}
	if better := plain(err); better != nil {
		return better
	}
	return err
}

// Queries are written with ?. For PostgreSQL, each is numbered once.
var numbered sync.Map

func (r Reader) sql(query string) string {
	if r.engine != Postgres {
		return query
	}
	if q, ok := numbered.Load(query); ok {
		return q.(string)
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
		} else {
			b.WriteRune(c)
		}
	}
	numbered.Store(query, b.String())
	return b.String()
}

// forUpdate ends a query whose rows are locked until the transaction ends.
func (t *Tx) forUpdate() string {
	if t.engine == Postgres {
		return " FOR UPDATE"
	}
	return "" // a transaction on SQLite writes alone anyway
}

// exec executes a statement and returns how many rows it changed.
func (t *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, t.sql(query), args...)
	if err != nil {
		return 0, t.explain(err)
	}
	return res.RowsAffected()
}

// execOne executes a statement that must change one row. It returns [tenancy.ErrStale] if the statement changes none.
func (t *Tx) execOne(ctx context.Context, query string, args ...any) error {
	n, err := t.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrStale, "it was changed or deleted in the meantime: read it again")
	}
	return err
}

type row interface{ Scan(...any) error }

// list reads all rows of a query.
func list[T any](ctx context.Context, r Reader, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := forEach(ctx, r, scan, func(v T) { all = append(all, v) }, query, args...)
	return all, err
}

// forEach calls use with every row of a query.
func forEach[T any](ctx context.Context, r Reader, scan func(row) (T, error), use func(T), query string,
	args ...any) error {
	rows, err := r.q.QueryContext(ctx, r.sql(query), args...)
	if err != nil {
		return r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return err
		}
		use(v)
	}
	return r.explain(rows.Err())
}

// one reads the row of a query that has at most one. It returns [tenancy.ErrNotFound] with the name of what was looked
// for if there is none.
func one[T any](ctx context.Context, r Reader, what string, scan func(row) (T, error), query string, args ...any) (T,
	error) {
	v, err := scan(r.q.QueryRowContext(ctx, r.sql(query), args...))
	if errors.Is(err, sql.ErrNoRows) {
		return v, tenancy.Errorf(tenancy.ErrNotFound, "there is no %s", what)
	}
	return v, r.explain(err)
}

// countUpTo counts the rows of a query, but no more than limit, so that the cost of a count has a bound.
func (r Reader) countUpTo(ctx context.Context, limit int, from string, args ...any) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT COUNT(*) FROM (SELECT 1 FROM "+from+" LIMIT ?) AS counted",
		append(args, limit)...)
}

func scanOne[T any](s row) (v T, err error) {
	err = s.Scan(&v)
	return v, err
}

// micros returns the stored form of an instant: microseconds since 1970, or 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// An instant scans what micros returned.
type instant struct{ t *time.Time }

func (i instant) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("instant: got %T", v)
	}
	*i.t = time.Time{}
	if n != 0 {
		*i.t = time.UnixMicro(n).UTC()
	}
	return nil
}

// A document stores a value as JSON.
type document struct{ v any }

func (d document) Scan(v any) error {
	switch v := v.(type) {
	case string:
		return json.Unmarshal([]byte(v), d.v)
	case []byte:
		return json.Unmarshal(v, d.v)
	}
	return fmt.Errorf("document: got %T", v)
}

// Value implements [driver.Valuer].
func (d document) Value() (driver.Value, error) { return d.text() }

func (d document) text() (string, error) {
	data, err := json.Marshal(d.v)
	return string(data), err
}

// bit returns the stored form of a boolean. Both engines have integers.
func bit(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// among returns the condition that a column is one of the IDs, with its arguments. SQLite gets a list, PostgreSQL one
// array, so that it prepares the statement once.
func (r Reader) among(ids []string) (string, []any) {
	if r.engine == Postgres {
		return "= ANY (?)", []any{ids}
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return "IN (" + strings.Repeat("?, ", len(ids)-1) + "?)", args
}

// groupBy reads the rows of a query and groups them. The query must end in a column that is compared with the IDs.
// before are the arguments in front of the IDs.
func groupBy[T any](ctx context.Context, r Reader, scan func(row) (T, error), key func(T) string, query string,
	ids []string, order string, before ...any) (map[string][]T, error) {
	groups := map[string][]T{}
	if len(ids) == 0 {
		return groups, nil
	}
	in, args := r.among(ids)
	err := forEach(ctx, r, scan, func(v T) { groups[key(v)] = append(groups[key(v)], v) }, query+in+order,
		append(before, args...)...)
	return groups, err
}

func byID[T any](ctx context.Context, r Reader, scan func(row) (T, error), key func(T) string, query string,
	ids []string) (map[string]T, error) {
	found := make(map[string]T, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	in, args := r.among(ids)
	err := forEach(ctx, r, scan, func(v T) { found[key(v)] = v }, query+in, args...)
	return found, err
}

// isStorable reports whether PostgreSQL stores a text.
func isStorable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// storable returns an external text without the bytes that PostgreSQL does not store: invalid UTF-8, and NUL. One such
// text would make a whole batch fail.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
}
