package importing

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A fleet whose certificates are all issued on one day must not be renewed on one day a year later, and the plan states
// how large the runs will be.
func TestTheExpiryOfManyNewCertificatesIsSpreadAsThePlanStates(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name    string
		tenants int
		spread  *bool
		runs    int // with that of the imported certificate, which is one of the others if these are spread
	}{{"many", 501, nil, 10}, {"many, together", 501, &no, 2}, {"few", 20, nil, 2}, {"few, spread", 20, &yes, 10}} {
		m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
		before := renewals(t, m, e)
		var names strings.Builder
		for n := range c.tenants {
			fmt.Fprintf(&names, "\nt%d", n)
		}
		own := issue(t, now.AddDate(0, 6, 0), 0)
		i, err := m.Check(t.Context(), Files{Tenants: "name" + names.String(), SpreadExpiry: c.spread,
			Certificates: []Certificate{own.client(t, "t0.pem", tenancy.P256, func(*x509.Certificate) {})}}, "test")
		check(t, err)
		if i.Problems != "[]" || len(i.Runs) != c.runs {
			t.Fatalf("%s: %d runs, want %d: %v, %s", c.name, len(i.Runs), c.runs, i.Runs, i.Problems)
		}
		m.now = func() time.Time { return now.Add(1234567 * time.Microsecond) } // certificates end at whole seconds
		m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		check(t, m.Work(t.Context(), i.ID))
		stored, err := e.Store.ImportByID(t.Context(), i.ID)
		check(t, err)
		renewed := renewals(t, m, e)
		for run, n := range before {
			if renewed[run] -= n; renewed[run] == 0 {
				delete(renewed, run)
			}
		}
		for _, run := range stored.Runs {
			if renewed[run.At] != run.Renewals || c.runs > 2 && run.Renewals > 2*c.tenants/c.runs+4 {
				t.Errorf("%s: the run of %s renews %d, and %d by the plan", c.name, run.At, renewed[run.At], run.Renewals)
			}
			delete(renewed, run.At)
		}
		if len(renewed) > 0 {
			t.Errorf("%s: runs that the plan lacks: %v", c.name, renewed)
		}
	}
}

// renewals counts the certificates in the database by the run that renews them.
func renewals(t *testing.T, m *Importer, e *enginetest.Installation) map[time.Time]int {
	t.Helper()
	validities, err := e.Store.CountByValidity(t.Context())
	check(t, err)
	renewed := map[time.Time]int{}
	for _, v := range validities {
		f := m.engine.Policy().Forecast(policy.Validity{NotBefore: v.NotBefore, NotAfter: v.NotAfter}, now)
		renewed[f.Last().At] += v.Count
	}
	return renewed
}
