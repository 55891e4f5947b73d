package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/publish"
)

// A work is the page of the work list.
type work struct {
	list    client.WorkPage
	filters []tab
	filter  string
	query   string
	sort    string
}

// tenants shows the tenants with what is to be done for each.
func (c *console) tenants(v *view) error {
	q := v.r.URL.Query()
	list, err := get[client.WorkPage](c, v, v.workPath()+"&limit="+strconv.Itoa(mostRows)+"&cursor="+
		escape(q.Get("from")))
	if err != nil {
		return err
	}
	counts, err := get[client.WorkCounts](c, v, "/worklist/counts")
	if err != nil && !isCounting(err) {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tenants"), tenantsPage(v, work{list, v.workFilters(counts), q.Get("filter"),
		q.Get("q"), q.Get("sort")}))
}

// workPath is that of the API for the filter, the search and the order of the page.
func (v *view) workPath() string {
	q := v.r.URL.Query()
	path := "/worklist?filter=" + escape(q.Get("filter")) + "&q=" + escape(q.Get("q"))
	if sort := q.Get("sort"); sort != "" {
		path += "&sort=" + escape(sort)
	}
	return path
}

// workFilters returns the filters of the list. None is current during a search.
func (v *view) workFilters(n client.WorkCounts) []tab {
	q := v.r.URL.Query()
	of := func(filter, text string, count int) tab {
		return tab{text, count, "/tenants?filter=" + filter, q.Get("filter") == filter && q.Get("q") == ""}
	}
	return []tab{of("", v.T("All"), n.All), of(client.WorkFilterAtRisk, v.T("At risk"), n.AtRisk),
		of(client.WorkFilterUnwarned, v.T("Without key users"), n.Unwarned)}
}

// sorts returns the orders of the list that fit its filter.
func (w work) sorts(v *view) []option {
	byName := []option{{client.WorkByName, v.T("Name, A to Z")}, {"-" + client.WorkByName, v.T("Name, Z to A")}}
	byAge := []option{{client.WorkByAge, v.T("Oldest first")}, {"-" + client.WorkByAge, v.T("Newest first")}}
	byExpiry := []option{{client.WorkByExpiry, v.T("Certificate ends first")},
		{"-" + client.WorkByExpiry, v.T("Certificate ends last")}}
	switch {
	case w.filter == client.WorkFilterAtRisk:
		return append(append([]option{{client.WorkByDeadline, v.T("Most urgent first")},
			{"-" + client.WorkByDeadline, v.T("Most urgent last")}}, byName...), byAge...)
	case w.filter == client.WorkFilterUnwarned:
		return append(append(byAge, byName...), byExpiry...)
	}
	return append(append(append(byAge, option{client.WorkByDeadline, v.T("Most urgent first")}), byName...), byExpiry...)
}

// address returns the address of the first page of the list in an order.
func (w work) address(sort string) string {
	q := url.Values{}
	for name, value := range map[string]string{"filter": w.filter, "q": w.query, "sort": sort} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return strings.TrimSuffix("/tenants?"+q.Encode(), "?")
}

// by returns the heading of a column that sorts the list. A second click reverses the order if that is possible.
func (w work) by(v *view, h head, sort string) head {
	fits := func(sort string) bool {
		for _, o := range w.sorts(v) {
			if o.value == sort {
				return true
			}
		}
		return false
	}
	now := w.sort
	if now == "" {
		now = w.sorts(v)[0].value
	}
	switch {
	case now == sort && fits("-"+sort):
		h.sorted, h.href = "ascending", w.address("-"+sort)
	case now == sort:
		h.sorted = "ascending"
	case now == "-"+sort:
		h.sorted, h.href = "descending", w.address(sort)
	case fits(sort):
		h.href = w.address(sort)
	}
	return h
}

// position states which part of the list the page shows.
func (w work) position(v *view) string {
	return v.T("%s to %s of %s", v.N(w.list.First), v.N(w.list.First+len(w.list.Items)-1), v.N(w.list.Total))
}

// matching states how many tenants match. The total of a search counts its first page only.
func (w work) matching(v *view) string {
	if w.query != "" && w.list.Next != "" {
		return v.T("All that match: more than %s", v.N(w.list.Total))
	}
	return v.T("All that match: %s", v.N(w.list.Total))
}

// heads returns the headings of the list.
func (w work) heads(v *view) []head {
	return []head{w.by(v, column(v.T("Tenant")), client.WorkByName), column(v.T("State")), number(v.T("At risk")),
		w.by(v, column(v.T("Deadline")), client.WorkByDeadline),
		w.by(v, column(v.T("Valid until")), client.WorkByExpiry), column(v.T("Next event")), number(v.T("Key users"))}
}

// workState returns the worst state of a tenant.
func (v *view) workState(t client.TenantWork) stateOf {
	switch {
	case t.State == client.WorkAtRisk:
		return stateOf{"bad", v.T("At risk")}
	case t.State == client.WorkRolling:
		return stateOf{"wait", v.T("Roll-over open")}
	case t.Arrangements == 0:
		return stateOf{"off", v.T("No arrangement")}
	}
	return stateOf{"good", v.T("Settled")}
}

// workNext returns what the background job does next for a tenant.
func (v *view) workNext(t client.TenantWork) string {
	switch t.NextAction {
	case "warn":
		return v.T("Warning")
	case "renew":
		return v.T("Renewal")
	case "expired":
		return v.T("Expiry")
	}
	return ""
}

// exportPath is that of the API for the tenants that are exported: those of a link, or those that a form has chosen.
func (v *view) exportPath() string {
	if v.r.Method != http.MethodPost {
		return v.workPath()
	}
	s := v.selection()
	path := "/worklist?filter=" + escape(s.Filter) + "&q=" + escape(s.Query)
	for _, name := range s.Tenants {
		path += "&tenant=" + escape(name)
	}
	return path
}

// exportTenants writes the work list as CSV, page by page.
func (c *console) exportTenants(v *view) error {
	path := v.exportPath() + "&limit=500"
	list, err := get[client.WorkPage](c, v, path) // before the first byte, so that a refusal gets a page
	if err != nil {
		return err
	}
	table, err := c.beginTable(v, "tenants.csv", "tenant", "display_name", "state", "arrangements", "at_risk", "deadline",
		"not_after", "next_action", "next_at", "key_users", "subscribed")
	if err != nil {
		return err
	}
	for {
		for _, t := range list.Items {
			table.Write([]string{t.Tenant, publish.SpreadsheetCell(t.DisplayName), t.State, fmt.Sprint(t.Arrangements),
				fmt.Sprint(t.AtRisk), stamp(t.Deadline), stamp(t.NotAfter), t.NextAction, stamp(t.NextAt),
				fmt.Sprint(t.KeyUsers), fmt.Sprint(t.Subscribed)})
		}
		if table.Flush(); table.Error() != nil || list.Next == "" {
			return nil // the connection failed
		}
		if list, err = get[client.WorkPage](c, v, path+"&cursor="+escape(list.Next)); err != nil {
			panic(http.ErrAbortHandler) // half a list must not look complete
		}
	}
}

// beginTable begins an answer that is a CSV file.
func (c *console) beginTable(v *view, name string, columns ...string) (*csv.Writer, error) {
	if err := http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(exportTime)); err != nil {
		return nil, err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	table := csv.NewWriter(v.w)
	return table, table.Write(columns)
}

// stamp formats an instant in a CSV file.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
