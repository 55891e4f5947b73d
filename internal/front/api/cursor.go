package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// Cursors are made and read in this file, except those that are an ID or a sequence number. Clients must not interpret
// them.

// Paged holds the parameters of a page.
type Paged struct {
	Cursor string `query:"cursor" maxLength:"2000" doc:"Start of the page: next of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

// Searched holds the parameters of a page of a list that can be searched.
type Searched struct {
	Paged
	Query string `query:"q" maxLength:"200" doc:"Only items that contain this text, in upper or lower case."`
}

// Begun holds the parameters of a page of a list of the whole installation, which an index searches by its beginning.
type Begun struct {
	Paged
	Query string `query:"q" maxLength:"200" doc:"Only items whose name begins with this text, in upper or lower case."`
}

// Grown holds the parameters of a page of a list that grows with the fleet or with time.
type Grown struct {
	Paged
	Query string `query:"q" maxLength:"200" doc:"Only items that contain this text, in upper or lower case. A page then covers a limited part of the list, so it may be empty and still have a next page."`
}

// ByAge holds the order of a list that has only one, and its reverse.
type ByAge struct {
	Sort string `query:"sort" enum:"created,-created" doc:"Order. A minus sign reverses it."`
}

// ByName holds the order of a list that can be sorted by creation or by name.
type ByName struct {
	Sort string `query:"sort" enum:"created,-created,name,-name" doc:"Order: by creation, or by name. A minus sign reverses it."`
}

var errCursor = tenancy.Invalid("cursor", "is not a cursor of this service")

// A cursor is the place of a page in a list: the row before the page, and the order to which the place belongs.
type cursor struct {
	Key   string `json:"k,omitempty"` // of the last row before the page, in the order of the list
	ID    string `json:"i,omitempty"` // orders equal keys
	Count int    `json:"n,omitempty"` // of the rows before the page
	Sort  string `json:"s,omitempty"`
}

func parseCursor(text string) (c cursor, err error) {
	if text == "" {
		return c, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, &c) != nil || c.Count < 0 {
		return c, errCursor
	}
	return c, nil
}

func (c cursor) String() string {
	data, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(data)
}

// page returns the page of a list in an order. In the order of creation, a cursor is an ID.
func (p Paged) page(sort, text string) (store.Page, error) {
	page := store.Page{Limit: p.Limit, Sort: sort, Text: strings.TrimSpace(text)}
	if byAge(sort) {
		page.After.ID = p.Cursor
		return page, nil
	}
	c, err := parseCursor(p.Cursor)
	if err != nil {
		return page, err
	}
	if p.Cursor != "" && c.Sort != sort {
		return page, tenancy.Invalid("cursor", "belongs to a list in another order: begin with the first page")
	}
	page.After = store.Place{Key: c.Key, ID: c.ID}
	return page, nil
}

// matching returns those of some rows that have a text in one of their words, in upper or lower case. It returns the
// rows themselves if the text is empty.
func matching[T any](rows []T, text string, words func(T) []string) []T {
	if text = strings.ToLower(strings.TrimSpace(text)); text == "" {
		return rows
	}
	var found []T
	for _, row := range rows {
		if contains(text, words(row)...) {
			found = append(found, row)
		}
	}
	return found
}

// contains reports whether one of the words contains a text, which is in lower case.
func contains(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(word), text) })
}

func byAge(sort string) bool { return strings.TrimPrefix(sort, "-") == "created" || sort == "" }

// nextPage returns the cursor of the page after a place; nothing for the zero place.
func nextPage(next store.Place, sort string) string {
	switch {
	case next == (store.Place{}):
		return ""
	case byAge(sort):
		return next.ID
	}
	return cursor{Key: next.Key, ID: next.ID, Sort: sort}.String()
}

// List is an answer with a page.
type List[T any] struct {
	Body client.Page[T]
}

// listed returns a page that the store has read.
func listed[T, V any](rows []T, next store.Place, sort string, view func(T) V) *List[V] {
	out := pageOf(rows, len(rows), nil, view)
	out.Body.Next = nextPage(next, sort)
	return out
}

// pageOf returns a page of at most limit rows. The caller has read one row more, if there is one.
func pageOf[T, V any](rows []T, limit int, cursor func(T) string, view func(T) V) *List[V] {
	out := &List[V]{client.Page[V]{Items: []V{}}}
	for i, row := range rows {
		if i == limit {
			out.Body.Next = cursor(rows[i-1])
			break
		}
		out.Body.Items = append(out.Body.Items, view(row))
	}
	return out
}

// pageAt returns a page of rows that are in memory. Its cursor is the number of the rows before it.
func pageAt[T, V any](rows []T, page Paged, view func(T) V) (*List[V], error) {
	start, err := page.offset()
	if err != nil {
		return nil, err
	}
	start = min(start, len(rows))
	return pageOf(rows[start:], page.Limit, func(T) string { return strconv.Itoa(start + page.Limit) }, view), nil
}

// offset returns the number of rows before a page of rows that are in memory.
func (p Paged) offset() (int, error) {
	if p.Cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(p.Cursor)
	if err != nil || n < 0 {
		return 0, errCursor
	}
	return n, nil
}

// position returns the place of a certificate after which a page begins, or first for the first page.
func (p Paged) position(first store.Position) (store.Position, error) {
	if p.Cursor == "" {
		return first, nil
	}
	at, rest, _ := strings.Cut(p.Cursor, "-")
	micros, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return first, errCursor
	}
	return store.Position{NotAfter: time.UnixMicro(micros), ID: rest}, nil
}

func positionCursor(p store.Position) string {
	return fmt.Sprintf("%d-%s", p.NotAfter.UnixMicro(), p.ID)
}
