package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/publish"
)

// A workFilter is a choice above the work list.
type workFilter struct {
	name, text string
	count      int
}

// tenants shows the tenants with what is to be done for each.
func (c *console) tenants(v *view) error {
	list, err := paged[client.TenantWork](c, v, v.workPath())
	if err != nil {
		return err
	}
	counts, err := get[client.WorkCounts](c, v, "/worklist/counts")
	if err != nil && !isCounting(err) {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tenants"), tenantsPage(v, list, v.workFilters(counts)))
}

// workPath is that of the API for the filter and the search of the page.
func (v *view) workPath() string {
	q := v.r.URL.Query()
	return "/worklist?filter=" + escape(q.Get("filter")) + "&q=" + escape(q.Get("q"))
}

func (v *view) workFilters(n client.WorkCounts) []workFilter {
	return []workFilter{{"", v.T("All"), n.All}, {"at-risk", v.T("At risk"), n.AtRisk},
		{"unwarned", v.T("Without key users"), n.Unwarned}}
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

// exportTenants writes the work list as CSV, page by page.
func (c *console) exportTenants(v *view) error {
	path := v.workPath() + "&limit=500"
	list, err := get[client.Page[client.TenantWork]](c, v, path) // before the first byte, so that a refusal gets a page
	if err != nil {
		return err
	}
	if err := http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(exportTime)); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="tenants.csv"`)
	table := csv.NewWriter(v.w)
	table.Write([]string{"tenant", "display_name", "state", "arrangements", "at_risk", "deadline", "not_after",
		"next_action", "next_at", "key_users", "subscribed"})
	instant := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for {
		for _, t := range list.Items {
			table.Write([]string{t.Tenant, publish.SpreadsheetCell(t.DisplayName), t.State, fmt.Sprint(t.Arrangements),
				fmt.Sprint(t.AtRisk), instant(t.Deadline), instant(t.NotAfter), t.NextAction, instant(t.NextAt),
				fmt.Sprint(t.KeyUsers), fmt.Sprint(t.Subscribed)})
		}
		if table.Flush(); table.Error() != nil || list.Next == "" {
			return nil // the connection failed
		}
		if list, err = get[client.Page[client.TenantWork]](c, v, path+"&cursor="+escape(list.Next)); err != nil {
			panic(http.ErrAbortHandler) // half a list must not look complete
		}
	}
}
