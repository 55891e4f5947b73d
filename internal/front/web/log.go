package web

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/publish"
)

// eventsPath returns the API path of the audit log that the page is about: all of it, or that of a tenant.
func (v *view) eventsPath() string {
	if name := v.tenantName(); name != "" {
		return in(name, "events")
	}
	return "/events"
}

func (c *console) events(v *view) error {
	list, err := paged[client.Event](c, v, v.listPath(v.eventsPath()+"?order=latest", "object", "actor", "own"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Audit log"), eventsPage(v, list, c.verified.Load()))
}

func (c *console) verifyEvents(v *view) error {
	verified, err := post[client.Verified](c, v, "/events/verify", nil)
	if err != nil {
		return err
	}
	c.verified.Store(&verified)
	if !verified.Unbroken {
		return c.done(v, "/log", v.T("The log is broken: %s", verified.Problem))
	}
	return c.done(v, "/log", v.T("All %d entries have been verified: none is missing or changed.", verified.Seq))
}

// exportTime limits an export.
const exportTime = 10 * time.Minute

// exportEvents writes the whole log as JSON Lines or CSV, page by page, because it may be long.
func (c *console) exportEvents(v *view) error {
	format := v.r.PathValue("format")
	if format != "csv" && format != "jsonl" {
		return &refusal{http.StatusNotFound, ""}
	}
	path := v.eventsPath() + "?limit=500"
	list, err := get[client.Page[client.Event]](c, v, path) // before the first byte, so that a refusal gets its own page
	if err != nil {
		return err
	}
	if err := http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(exportTime)); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", map[string]string{"csv": "text/csv; charset=utf-8",
		"jsonl": "application/jsonl"}[format])
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "audit-log."+format))
	table, lines := csv.NewWriter(v.w), json.NewEncoder(v.w)
	if format == "csv" {
		table.Write([]string{"seq", "at", "actor", "action", "tenant", "object", "detail", "hash"})
	}
	for {
		for _, e := range list.Items {
			if format == "jsonl" {
				err = lines.Encode(e)
			} else {
				err = table.Write([]string{fmt.Sprint(e.Seq), e.At.Format(time.RFC3339Nano), publish.SpreadsheetCell(e.Actor),
					e.Action, e.Tenant, publish.SpreadsheetCell(e.Object), detailCell(e.Detail), e.Hash})
			}
		}
		if table.Flush(); err != nil || list.Next == "" {
			return nil // the connection failed
		}
		if list, err = get[client.Page[client.Event]](c, v, path+"&cursor="+escape(list.Next)); err != nil {
			panic(http.ErrAbortHandler) // half a log must not look complete
		}
	}
}

// detailCell returns a detail for a CSV file, as the same JSON without semicolons, at which some spreadsheets separate
// fields.
func detailCell(detail json.RawMessage) string {
	return strings.ReplaceAll(string(detail), ";", `\u003b`)
}
