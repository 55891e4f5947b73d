package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

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
				Summary: v.T("Run (renewals: %d, warnings: %d)", r.Renew, r.Warn), Description: c.baseURL + "/forecast",
			})
		}
	}
	return entries, err
}

func (c *console) tenantEntries(v *view, tenant string) (entries []publish.CalendarEntry, err error) {
	f, err := get[client.TenantForecast](c, v, in(tenant, "forecast"))
	if err != nil {
		return nil, err
	}
	for _, cert := range f.Certificates {
		for _, e := range cert.Events {
			summary := v.T("%s: renewal", v.purpose(cert.Purpose))
			if e.Action == policy.Warn {
				summary = v.T("%s: warning, renewal in the next run", v.purpose(cert.Purpose))
			}
			entries = append(entries, publish.CalendarEntry{
				UID: c.calendarUID(fmt.Sprintf("%s-%s-%d-%s", tenant, cert.Purpose, cert.Generation, e.Action)), At: e.At,
				Summary: summary, Description: c.baseURL + in(tenant, "certificates"),
			})
		}
	}
	watched, err := c.watchedEntries(v, tenant)
	if err != nil {
		return nil, err
	}
	entries = append(entries, watched...)
	rollovers, err := get[client.Page[client.Rollover]](c, v, in(tenant, "rollovers"))
	for _, r := range rollovers.Items {
		if r.AtRisk && !r.Exposed {
			entries = append(entries, publish.CalendarEntry{
				UID:         c.calendarUID(fmt.Sprintf("%s-wanted-%d", strings.ReplaceAll(r.Arrangement, "/", "-"), r.Wanted)),
				At:          r.Deadline,
				Summary:     v.T("%s: deadline for the new certificate (%s)", short(r.Arrangement), v.rolling(r).word),
				Description: c.baseURL + arrangementPath(r.Arrangement),
			})
		}
	}
	return entries, err
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
			UID: c.calendarUID(fmt.Sprintf("%s-watched-%s-%s", tenant, w.Name, w.Newest.Fingerprint[:16])), At: renewalDay(w),
			Summary: summary, Description: v.expected(w) + "\n" + c.baseURL + in(tenant, "watched", w.Name),
		})
	}
	return entries, refused(err)
}
