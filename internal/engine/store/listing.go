package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Page selects a part of a list: the rows after a place in an order, and of these only the rows with a text.
type Page struct {
	// After is the place of the last row before the page; the zero Place for the first page.
	After Place
	Limit int
	// Sort is the name of an order, after a minus sign for the reverse order. Empty is the order of creation.
	Sort string
	// Text limits a list to the rows that contain it, in upper or lower case.
	Text string
}

// A Place is the place of a row in an order. It stays valid if rows before or after it come and go.
type Place struct {
	Key string // value of the sorted column; empty in the order of creation
	ID  string // orders rows with equal keys
}

// byAge is the order of creation, which every list has: IDs sort by the time at which they were made.
const byAge = "created"

// An order sorts the rows of a list by a column that an index has, within the part of the table that is listed.
type order[T any] struct {
	column string
	key    func(T) string
	number bool // the column has integers
	unique bool // no two rows of the list have the same value
}

// A listing reads the pages of a list.
type listing[T any] struct {
	query  string // up to the condition
	scan   func(row) (T, error)
	id     string // column
	idOf   func(T) string
	orders map[string]order[T] // by name, without the order of creation
	texts  []string            // columns that are searched for a text
	// begins is the column whose beginning is compared with a text, in place of texts: an expression that an index has,
	// for lists of the whole installation.
	begins string
}

// read returns a page of the rows that meet a condition, and the place of its last row if there is a next page.
func (l listing[T]) read(ctx context.Context, r Reader, p Page, condition string, args ...any) (rows []T, next Place,
	err error) {
	if p.Text != "" {
		matching, pattern := containing(l.texts, p.Text)
		if l.begins != "" {
			begin := asciiLower(p.Text)
			matching, pattern = l.begins+" >= ? AND "+l.begins+" < ?", []any{begin, begin + last}
		}
		condition, args = condition+" AND "+matching, append(args, pattern...)
	}
	name, descending := strings.CutPrefix(p.Sort, "-")
	by, known := l.orders[name]
	if !known && name != "" && name != byAge {
		return nil, next, tenancy.Invalid("sort", "unknown order %s", name)
	}
	columns := []string{by.column, l.id}
	switch {
	case !known:
		columns = []string{l.id}
	case by.unique:
		columns = []string{by.column}
	}
	compare, direction := " > ", ""
	if descending {
		compare, direction = " < ", " DESC"
	}
	if p.After != (Place{}) {
		keys, err := l.keys(by, known, p.After)
		if err != nil {
			return nil, next, err
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
		condition, args = condition+" AND ("+strings.Join(columns, ", ")+")"+compare+"("+marks+")", append(args, keys...)
	}
	rows, err = list(ctx, r, l.scan, l.query+condition+" ORDER BY "+strings.Join(columns, direction+", ")+direction+
		" LIMIT ?", append(args, p.Limit+1)...)
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		end := rows[p.Limit-1]
		next.ID = l.idOf(end)
		if known {
			next.Key = by.key(end)
		}
	}
	return rows, next, err
}

// keys returns the arguments that a place is compared with.
func (l listing[T]) keys(by order[T], known bool, after Place) ([]any, error) {
	if !known {
		return []any{after.ID}, nil
	}
	keys := []any{after.Key, after.ID}
	if by.number {
		n, err := strconv.ParseInt(after.Key, 10, 64)
		if err != nil {
			return nil, tenancy.Invalid("cursor", "is not a cursor of this service")
		}
		keys[0] = n
	}
	if by.unique {
		keys = keys[:1]
	}
	return keys, nil
}

// containing returns the condition that one of the columns contains a text, in upper or lower case, with its
// arguments. The text is quoted, so that a search for 50% finds that.
func containing(columns []string, text string) (condition string, args []any) {
	quoted := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(asciiLower(text))
	matching := make([]string, len(columns))
	for i, column := range columns {
		matching[i] = "lower(" + column + `) LIKE ? ESCAPE '\'`
		args = append(args, "%"+quoted+"%")
	}
	return "(" + strings.Join(matching, " OR ") + ")", args
}
