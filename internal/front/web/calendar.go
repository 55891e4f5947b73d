package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// calendar serves the planned events of an account to anyone who has its secret address.
func (c *console) calendar(v *view) error {
	secret, _ := strings.CutSuffix(v.r.PathValue("secret"), ".ics")
	a, err := c.identity.CalendarOwner(v.ctx(), secret)
	if errors.Is(err, tenancy.ErrNotFound) {
		http.Error(v.w, "this calendar does not exist or was revoked", http.StatusNotFound)
		return nil
	} else if err != nil {
		return err
	}
	v.account, v.zone = a, a.Location()
	v.setLanguage(a)
	var entries []publish.CalendarEntry
	name := "Perennial"
	if a.Role == tenancy.RoleOperator {
		entries, err = c.fleetEntries(v)
	} else {
		name += " · " + a.Tenant
		entries, err = c.tenantEntries(v, a.Tenant)
	}
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := publish.Calendar(&out, name, entries, v.now); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/calendar; charset=utf-8")
	_, err = v.w.Write(out.Bytes())
	return err
}

// calendarUID returns an identifier that no other installation uses (RFC 7986, section 5.3): a person may subscribe to
// the calendars of a test and of a production system.
func (c *console) calendarUID(name string) string {
	_, host, _ := strings.Cut(c.baseURL, "://")
	return name + "@" + host
}

func (c *console) fleetEntries(v *view) (entries []publish.CalendarEntry, err error) {
	f, err := get[client.FleetForecast](c, v, "/forecast")
	for _, r := range f.Runs {
		if r.Warn+r.Renew > 0 {
			entries = append(entries, publish.CalendarEntry{
				UID: c.calendarUID("run-" + r.RunDate.UTC().Format("20060102T150405Z")), At: r.RunDate,
				Summary: v.T("Certificate run (renewals: %d, warnings: %d)", r.Renew, r.Warn),
				URL:     c.baseURL + "/forecast", Description: c.baseURL + "/forecast",
			})
		}
	}
	return entries, err
}

// tenantEntries returns what the people of a tenant have to do, and when.
func (c *console) tenantEntries(v *view, tenant string) (entries []publish.CalendarEntry, err error) {
	f, err := get[client.TenantForecast](c, v, in(tenant, "forecast"))
	if err != nil {
		return nil, err
	}
	t, err := get[client.Tenant](c, v, in(tenant))
	if err != nil {
		return nil, err
	}
	rollovers, err := get[client.Page[client.Rollover]](c, v, in(tenant, "rollovers"))
	if err != nil {
		return nil, err
	}
	for _, cert := range f.Certificates {
		systems := 0
		if cert.Purpose == tenancy.ForTenant {
			systems = len(rollovers.Items)
		}
		for _, e := range cert.Events {
			entries = append(entries, c.renewalEntry(v, t, cert, e, systems))
		}
	}
	watched, err := c.watchedEntries(v, tenant)
	if err != nil {
		return nil, err
	}
	return slices.Concat(entries, watched, c.deadlineEntries(v, t, rollovers.Items)), nil
}

// renewalEntry returns the entry for a warning or a renewal. systems is the number of systems that know the
// certificate.
func (c *console) renewalEntry(v *view, t client.Tenant, cert client.CertificateForecast, e client.ForecastEvent,
	systems int) publish.CalendarEntry {
	page := c.baseURL + in(t.Name, "certificates")
	entry := publish.CalendarEntry{
		UID: c.calendarUID(fmt.Sprintf("%s-%s-%d-%s", t.Name, cert.Purpose, cert.Generation, e.Action)),
		At:  e.At.In(v.zone), AllDay: true, URL: page,
	}
	what := t.DisplayName
	if cert.Purpose != tenancy.ForTenant {
		what += ", " + v.purpose(cert.Purpose)
	}
	switch {
	case e.Action == policy.Expired:
		entry.Summary = v.T("%s: the certificate expires without a renewal", what)
		entry.Description = v.T("It is not renewed in time. Renew it by hand now.")
	case t.MailsAdministrators && systems > 0:
		entry.Summary = v.T("%s: new certificate today", what)
		if e.Action == policy.Warn {
			entry.Summary = v.T("%s: warning, renewal soon", what)
		}
		entry.Description = v.T("The administrators of your receivers are mailed on this day. Inform those whose address " +
			"is not known.")
		page = c.baseURL + in(t.Name, "administrators")
		entry.URL = page
	case e.Action == policy.Warn && systems > 0:
		entry.Summary = v.T("%s: inform the administrators of your receivers (%d), renewal soon", what, systems)
		entry.Description = v.T("You get a task with the date of the renewal.")
	case e.Action == policy.Warn:
		entry.Summary = v.T("%s: warning, renewal soon", what)
		entry.Description = v.T("You get a task with the date of the renewal.")
	case systems > 0:
		entry.Summary = v.T("%s: new certificate today, send it to the administrators of your receivers (%d)", what, systems)
		entry.Description = v.T("The certificate is renewed on this day. After that, the page of the roll-overs lists the " +
			"receivers that are not known to accept it, and their deadlines.")
	default:
		entry.Summary = v.T("%s: new certificate today", what)
		entry.Description = v.T("The certificate is renewed on this day.")
	}
	entry.Description += "\n" + page
	return entry
}

// deadlineEntries returns one entry for each deadline of a tenant, on the last working day before it. It stays, without
// an alarm, when every receiver is ready.
func (c *console) deadlineEntries(v *view, t client.Tenant, all []client.Rollover) (entries []publish.CalendarEntry) {
	type deadline struct {
		at     time.Time
		wanted int
	}
	open, systems := map[deadline]int{}, map[deadline]int{}
	var order []deadline
	for _, r := range all {
		d := deadline{r.Deadline.UTC(), r.Wanted}
		if !r.AtRisk {
			n := len(r.Generations)
			if n < 2 { // no roll-over is open
				continue
			}
			d = deadline{r.Generations[n-2].NotAfter.UTC(), r.Generations[n-1].Generation}
		}
		if r.Exposed || !d.at.After(v.now) {
			continue
		}
		if systems[d]++; systems[d] == 1 {
			order = append(order, d)
		}
		if r.AtRisk {
			open[d]++
		}
	}
	page := c.baseURL + in(t.Name, "rollovers")
	for _, d := range order {
		e := publish.CalendarEntry{
			UID: c.calendarUID(fmt.Sprintf("%s-wanted-%d-%s", t.Name, d.wanted, d.at.Format("20060102"))),
			At:  publish.LastWorkday(d.at.In(v.zone)), AllDay: true, URL: page, RemindDays: []int{7, 1},
			Summary: v.T("DEADLINE %s: receivers without the new certificate: %d of %d", t.DisplayName, open[d], systems[d]),
			Description: v.T("On %s, the certificate expires that these receivers are known to accept. After that, a receiver "+
				"that does not accept the new one refuses your messages.", v.Day(d.at)) + "\n" + page,
		}
		if open[d] == 0 {
			e.Ready = true
			e.Summary = v.T("Ready: every receiver of %s accepts the new certificate", t.DisplayName)
			e.Description = v.T("Nothing is left to do.") + "\n" + page
		}
		entries = append(entries, e)
	}
	return entries
}

// watchedEntries returns the renewals that the owners of watched certificates are expected to make.
func (c *console) watchedEntries(v *view, tenant string) (entries []publish.CalendarEntry, err error) {
	all, err := client.List[client.Watched](v.caller(), c.api, in(tenant, "watched"))
	for _, w := range all {
		if w.Newest == nil || w.Expected == nil || w.Stage == policy.StageExpired {
			continue
		}
		summary := v.T("%s: renewal by its owner", w.Name)
		if w.Owner != "" {
			summary = v.T("%s: renewal by %s", w.Name, w.Owner)
		}
		entries = append(entries, publish.CalendarEntry{
			UID: c.calendarUID(fmt.Sprintf("%s-watched-%s-%s", tenant, w.Name, w.Newest.Fingerprint[:16])),
			At:  renewalDay(w).In(v.zone), AllDay: true, URL: c.baseURL + in(tenant, "watched", w.Name),
			Summary: summary, Description: v.expected(w) + "\n" + c.baseURL + in(tenant, "watched", w.Name),
		})
	}
	return entries, refused(err)
}
