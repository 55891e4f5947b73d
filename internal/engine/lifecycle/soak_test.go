package lifecycle

import (
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// records are the tables that keep what happened, and why. Each grows with what happens, by about as much every year.
// No other table may grow, including one that a later release adds.
var records = map[string]string{
	"events":       "the audit log",
	"certificates": "every certificate that was issued, without its key",
	"notices":      "the notices about certificates",
	"tasks":        "the tasks of the notices",
	"mails":        "the mails of the notices",
	"runs":         "the ledger of runs: a run date is executed once",
	"evidence":     "the evidence about each generation at each receiver",
}

// rowsByTable counts the rows of every table of the schema.
func (f *fixture) rowsByTable() map[string]int {
	f.t.Helper()
	db := f.store.DB()
	names, err := db.QueryContext(f.t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE "+
		"'sqlite%'")
	check(f.t, err)
	var tables []string
	for names.Next() {
		var name string
		check(f.t, names.Scan(&name))
		tables = append(tables, name)
	}
	check(f.t, names.Err())
	check(f.t, names.Close())
	counts := map[string]int{}
	for _, name := range tables {
		var n int
		check(f.t, db.QueryRowContext(f.t.Context(), "SELECT count(*) FROM "+name).Scan(&n))
		counts[name] = n
	}
	return counts
}

// A tenant that does the same every year needs no more room every year, apart from its records.
func TestNoTableGrowsWithTimeAlone(t *testing.T) {
	const years = 5
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	acme := f.tenant("acme", begin)
	immediate := f.arrangement(acme, "immediate", tenancy.Immediate)
	silent := f.arrangement(acme, "silent", tenancy.Confirmed) // its receiver never acts
	var counts []map[string]int
	for year := range years {
		for at := begin.AddDate(year, 0, 0); at.Before(begin.AddDate(year+1, 0, 0)); at = at.AddDate(0, 0, 1) {
			check(t, f.Tick(t.Context(), at))
			check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return f.daily(tx, immediate, silent, at) }))
			check(t, f.Prune(t.Context(), at))
		}
		counts = append(counts, f.rowsByTable())
	}
	if len(counts[0]) < 30 {
		t.Fatalf("the schema has %d tables, which cannot be all", len(counts[0]))
	}
	grown := 0
	for table, n := range counts[years-1] {
		before, last := counts[years-2][table]-counts[years-3][table], n-counts[years-2][table]
		switch reason := records[table]; {
		case reason == "" && (last > 0 || before > 0):
			t.Errorf("table %s grew by %d rows in year %d, and by %d in year %d", table, before, years-1, last, years)
		case reason != "" && last > before+before/4+1: // a renewal comes every 11 months
			t.Errorf("table %s (%s) grew by %d rows in year %d, and by %d in year %d", table, reason, before, years-1, last,
				years)
		case last > 0:
			grown++
			t.Logf("table %s (%s) grows by %d rows a year", table, reason, last)
		}
	}
	if grown < len(records) || counts[years-1]["claims"] == 0 || counts[years-1]["message_log"] == 0 {
		t.Errorf("%d tables of records grew, and there are %d claims and %d messages", grown,
			counts[years-1]["claims"], counts[years-1]["message_log"])
	}
}

// daily does what gateways, senders and the prober do in a day.
func (f *fixture) daily(tx *store.Tx, sends, parks tenancy.Arrangement, at time.Time) error {
	ctx := f.t.Context()
	day := at.Format(time.DateOnly)
	if _, err := tx.Claim(ctx, store.ClaimTrustQuestions, day, at); err != nil {
		return err
	}
	if err := tx.AddMessages(ctx, []tenancy.Message{{ID: store.NewID(), ArrangementID: sends.ID, At: at, Method: "POST",
		Count: 1}}); err != nil {
		return err
	}
	p := tenancy.Parked{ID: store.NewID(), ArrangementID: parks.ID, TenantID: parks.TenantID, IdempotencyKey: day,
		Method: "POST", State: tenancy.ParkedWaiting, CreatedAt: at, NextAt: at}
	if _, err := tx.Park(ctx, p, []byte("sealed")); err != nil {
		return err
	}
	p.State, p.EndedAt = tenancy.ParkedDelivered, at
	if err := tx.UpdateParked(ctx, p); err != nil {
		return err
	}
	return tx.ReserveParkedBody(ctx, fmt.Sprint("left behind on ", day), parks.TenantID, 1, at)
}
