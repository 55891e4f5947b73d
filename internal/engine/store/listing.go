package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
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
	// Notations are other notations of the text, such as those of a serial number. A row that contains one fits as well.
	Notations []string
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

// searchWindow is the number of rows that the search of one page reads in a list that grows with the fleet or with
// time, so that the cost of a page does not grow.
const searchWindow = 20000

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
	// ids is the query for the IDs alone, up to the condition, for lists that grow with the fleet or with time. A page
	// with a text then reads a window of such a list, so that it can be empty although there is a next page. These lists
	// have the order of creation only.
	ids string
	// window is the number of rows in a window; searchWindow if it is 0.
	window int
	group  string // of rows, after the condition
}

// A selection is the part of a list that a query reads.
type selection struct {
	condition string
	args      []any
}

func (s *selection) and(condition string, args ...any) {
	s.condition += " AND " + condition
	s.args = append(s.args, args...)
}

// read returns a page of the rows that meet a condition, and the place of its last row if there is a next page.
func (l listing[T]) read(ctx context.Context, r Reader, p Page, condition string, args ...any) (rows []T, next Place,
	err error) {
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
	part := selection{condition, args}
	if p.After != (Place{}) {
		keys, err := l.keys(by, known, p.After)
		if err != nil {
			return nil, next, err
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
		part.and("("+strings.Join(columns, ", ")+")"+compare+"("+marks+")", keys...)
	}
	ordered := " ORDER BY " + strings.Join(columns, direction+", ") + direction
	if next, err = l.search(ctx, r, p, &part, ordered, descending); err != nil {
		return nil, next, err
	}
	rows, err = list(ctx, r, l.scan, l.query+part.condition+l.group+ordered+" LIMIT ?", append(part.args, p.Limit+1)...)
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

// search limits a part of a list to the rows with the text of a page. If the list has more rows than a window, it also
// limits the part to the window, and returns the place of its end.
func (l listing[T]) search(ctx context.Context, r Reader, p Page, part *selection, ordered string,
	descending bool) (end Place, err error) {
	if p.Text == "" {
		return end, nil
	}
	if l.ids != "" {
		found, err := list(ctx, r, scanOne[string], l.ids+part.condition+ordered+" LIMIT 1 OFFSET ?",
			append(slices.Clip(part.args), cmp.Or(l.window, searchWindow)-1)...)
		if err != nil {
			return end, err
		}
		if len(found) > 0 {
			end.ID = found[0]
			compare := " <= ?"
			if descending {
				compare = " >= ?"
			}
			part.and(l.id+compare, end.ID)
		}
	}
	if l.begins != "" {
		begin := asciiLower(p.Text)
		part.and(l.begins+" >= ? AND "+l.begins+" < ?", begin, begin+last)
		return end, nil
	}
	var matching []string
	var patterns []any
	for _, text := range append([]string{p.Text}, p.Notations...) {
		contains, pattern := containing(l.texts, text)
		matching, patterns = append(matching, contains), append(patterns, pattern...)
	}
	part.and("("+strings.Join(matching, " OR ")+")", patterns...)
	return end, nil
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

// containingInJSON is [containing] for a column that may contain JSON, in which "&" and some other characters are
// escaped.
func containingInJSON(column, text string) (condition string, args []any) {
	condition, args = containing([]string{column}, text)
	encoded, _ := json.Marshal(text) // a string always has a form
	if form := string(encoded[1 : len(encoded)-1]); form != text {
		escaped, more := containing([]string{column}, form)
		return "(" + condition + " OR " + escaped + ")", append(args, more...)
	}
	return condition, args
}

// The names by which lists are searched, as expressions. column holds the ID of the tenant or of the arrangement.

func tenantName(column string) string {
	return "(SELECT name FROM tenants WHERE tenants.id = " + column + ")"
}

func arrangementName(column string) string {
	return "(SELECT n.name || '/' || a.name FROM arrangements a JOIN tenants n ON n.id = a.tenant_id WHERE a.id = " +
		column + ")"
}
