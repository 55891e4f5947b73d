package web

import (
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/client"
)

// listPath adds the search and the order of the page to the API path of a list, and the parameters of the page with
// these names.
func (v *view) listPath(path string, filters ...string) string {
	q := v.r.URL.Query()
	query := url.Values{}
	for _, name := range append([]string{"q", "sort"}, filters...) {
		if value := strings.TrimSpace(q.Get(name)); value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return path
	}
	if strings.Contains(path, "?") {
		return path + "&" + query.Encode()
	}
	return path + "?" + query.Encode()
}

// chosen reports whether the list of the page is limited or does not begin with its first row.
func (v *view) chosen() bool { return v.r.URL.RawQuery != "" }

// searched reports whether the list of the page is limited to a text.
func (v *view) searched() bool { return v.r.URL.Query().Get("q") != "" }

// fewRows is the number of rows up to which a list within a page needs no search.
const fewRows = 10

// with returns the address of the first page of the list with one parameter changed. An empty value removes it.
func (v *view) with(name, value string) string {
	q := v.r.URL.Query()
	q.Del("from")
	q.Set(name, value)
	if value == "" {
		q.Del(name)
	}
	path := v.r.URL.Path
	if v.page != "" {
		path = v.page
	}
	return strings.TrimSuffix(path+"?"+q.Encode(), "?")
}

// sortBy makes the heading of a column sort the list. usual is the order of the list if none is chosen. A second click
// reverses the order.
func (v *view) sortBy(h head, sort, usual string) head {
	now := v.r.URL.Query().Get("sort")
	if now == "" {
		now = usual
	}
	h.href = v.with("sort", sort)
	switch now {
	case sort:
		h.sorted, h.href = "ascending", v.with("sort", "-"+sort)
	case "-" + sort:
		h.sorted = "descending"
	}
	return h
}

// Orders of lists in the API.
const (
	sortByName   = "name"
	sortByAge    = "created"
	sortByExpiry = "expires"
)

// logOf returns the page of the audit log with the entries of an object: in the log of its tenant, or of the
// installation if it belongs to none.
func logOf(tenant, object string) string {
	if tenant != "" {
		return in(tenant, "log") + "?object=" + escape(object)
	}
	return "/log?own=true&object=" + escape(object)
}

// logFilters returns the filters of the audit log that the page has, each with the address without it.
func (v *view) logFilters(list client.Page[client.Event]) (all []chosenFilter) {
	q := v.r.URL.Query()
	if id := q.Get("object"); id != "" {
		name := id
		if len(list.Items) > 0 { // entries name an object that has an ID only
			name = v.object(list.Items[0]).text
		}
		all = append(all, chosenFilter{v.T("About %s", name), v.with("object", "")})
	}
	if actor := q.Get("actor"); actor != "" {
		all = append(all, chosenFilter{v.T("By %s", v.actor(actor)), v.with("actor", "")})
	}
	if q.Get("own") != "" && q.Get("object") == "" {
		all = append(all, chosenFilter{v.T("Of the installation"), v.with("own", "")})
	}
	return all
}

// A chosenFilter limits the list of the page.
type chosenFilter struct {
	text    string
	without string // address of the list without it
}

// A tab leads to a part or a view of what the page shows, with the number of things there.
type tab struct {
	text    string
	count   int
	path    string
	current bool
}
