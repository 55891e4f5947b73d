package web

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
)

// policy shows the rules of the built-in policies in words, and the result of the audit of each.
func (c *console) policy(v *view) error {
	o, err := get[client.Overview](c, v, "/overview")
	if err != nil {
		return err
	}
	all, err := audits()
	if err != nil {
		return err
	}
	chosen := func(name string, instead int) audited {
		for _, one := range all {
			if one.policy.Name == v.r.URL.Query().Get(name) {
				return one
			}
		}
		return all[instead]
	}
	return c.show(v, http.StatusOK, v.T("Policy"), policyPage(v, o.Policy, all, chosen("a", 0), chosen("b", 1)))
}

// comparePolicies returns the rules of two policies side by side.
func comparePolicies(v *view, a, b audited) []difference {
	row := func(field string, of func(audited) string) difference { return difference{field, of(a), of(b)} }
	return []difference{
		row(v.T("Runs"), func(a audited) string { return v.schedule(a.policy.Schedule) }),
		row(v.T("Warns"), func(a audited) string { return v.warns(a.policy) }),
		row(v.T("Renews"), func(a audited) string { return v.renews(a.policy) }),
		row(v.T("Validity of new certificates"), func(a audited) string { return v.Days(a.policy.Validity.Hours() / 24) }),
		row(v.T("Without a warning, in the long run"), func(a audited) string {
			return v.percent(a.report.SteadyState.Share)
		}),
		row(v.T("Share of expiry dates without a warning"),
			func(a audited) string { return v.percent(a.report.Single.Share) }),
	}
}

type audited struct {
	policy policy.Policy
	report policy.AuditReport
}

// audits returns the audits of the built-in policies. They never change.
var audits = sync.OnceValues(func() (all []audited, err error) {
	for _, p := range policy.Presets() {
		report, err := policy.Audit(p)
		if err != nil {
			return nil, err
		}
		all = append(all, audited{p, report})
	}
	return all, nil
})

// schedule describes when the job runs, such as "on day 1 of every month at 00:00 UTC".
func (v *view) schedule(s policy.Schedule) string {
	at := fmt.Sprintf("%02d:%02d %s", s.Hour, s.Minute, s.Zone)
	switch s.Every {
	case policy.Month:
		return v.T("on day %d of every month at %s", s.Day, at)
	case policy.Week:
		return v.T("every %s at %s", v.weekday(s.Weekday), at)
	default:
		return v.T("every day at %s", at)
	}
}

// germanWeekdays holds the names of the days of the week, because package time has only English ones.
var germanWeekdays = [...]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"}

func (v *view) weekday(d time.Weekday) string {
	if v.lang == "de" {
		return germanWeekdays[d]
	}
	return d.String()
}

// warns describes with which validity left a certificate is announced.
func (v *view) warns(p policy.Policy) string {
	return v.T("with %s to %s left", v.span(p.WarnFrom), v.span(p.WarnTo))
}

// renews describes with which validity left a certificate is renewed.
func (v *view) renews(p policy.Policy) string {
	return v.T("with at most %s left", v.span(p.RenewWithin))
}

// span formats a length of validity, such as "62 days" or "33 % of the lifetime".
func (v *view) span(s policy.Span) string {
	switch {
	case s.Share != 0:
		return v.T("%s %% of the lifetime", v.decimal(strconv.FormatFloat(100*s.Share, 'g', 4, 64)))
	case s.Fixed%policy.Day == 0:
		return v.Days(s.Fixed.Hours() / 24)
	default:
		return s.String()
	}
}
