package sample

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
)

// The run on the first day of a month changes which tenants are in a renewal. The sample shows the same at any time.
func TestTheSampleShowsTheSameOnEveryDay(t *testing.T) {
	for _, now := range []time.Time{
		time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 12, 0, 0, time.UTC),
		time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), time.Date(2026, 12, 2, 3, 0, 0, 0, time.UTC),
		time.Date(2026, 12, 3, 9, 0, 0, 0, time.UTC), time.Date(2026, 12, 18, 9, 0, 0, 0, time.UTC),
		time.Date(2026, 12, 19, 9, 0, 0, 0, time.UTC), time.Date(2026, 12, 28, 9, 0, 0, 0, time.UTC),
		time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC), time.Date(2027, 3, 1, 0, 1, 0, 0, time.UTC),
	} {
		engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now.AddDate(-1, 0, -1))
		if _, err := Fill(t.Context(), engine.Store, engine.Engine, ca, func() time.Time { return now }); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := engine.Engine.Open(t.Context(), now, func(s standing.Standing) {
			_, at := s.Rollover.Risk(now)
			got = append(got, fmt.Sprint(s.Name(), " presents ", s.Rollover.Presents, ", at risk ", at))
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tenant := range []string{"globex", "initech"} {
			of, err := engine.Store.Tenant(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			tasks, _, err := engine.Store.Tasks(t.Context(), store.TaskChoice{TenantID: of.ID}, store.Page{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(tenant, " has ", len(tasks), " tasks"))
		}
		slices.Sort(got)
		want := []string{"acme/crm-to-bank presents 1, at risk true", "acme/crm-to-erp presents 2, at risk false",
			"acme/crm-to-shop presents 2, at risk false", "globex has 2 tasks", "initech has 0 tasks"}
		if !slices.Equal(got, want) {
			t.Errorf("%v: %q", now, got)
		}
	}
}
