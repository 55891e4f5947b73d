//go:build !race

package bench

import (
	"database/sql"
	"runtime"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Counts are reproducible, and times are not. These are the costs of a renewal. The test fails if one of them rises by
// more than 15 %.
func TestARenewalCostsWhatItDidBefore(t *testing.T) {
	const due = 2000
	count := func(name string, got, want float64) {
		t.Helper()
		t.Logf("%s: %.2f a renewal, %.2f written down", name, got, want)
		if got > 1.15*want {
			t.Errorf("%s: %.2f per renewal, want %.2f", name, got, want)
		}
	}
	run := func(url string, before, after func()) {
		f, err := newFleet(t.Context(), url)
		testenv.Check(t, err)
		defer f.close()
		testenv.Check(t, f.fill(t.Context(), due, due, 0, threeUsers))
		before()
		_, err = f.engine.Run(t.Context(), runDate, runDate)
		testenv.Check(t, err)
		after()
	}
	var start, end runtime.MemStats
	run("", func() { runtime.ReadMemStats(&start) }, func() { runtime.ReadMemStats(&end) })
	count("allocations, SQLite", float64(end.Mallocs-start.Mallocs)/due, allocationsSQLite)
	count("bytes allocated, SQLite", float64(end.TotalAlloc-start.TotalAlloc)/due, bytesSQLite)

	url := testenv.Postgres(t)
	db, err := sql.Open("pgx", url)
	testenv.Check(t, err)
	defer db.Close()
	type counts struct{ inserted, updated float64 }
	var trips atomic.Int64
	counted := relay(t, url, 0, func() { trips.Add(1) })
	read := func() (c counts) {
		// PostgreSQL updates the counters when a session is idle for a moment, or reads them itself.
		testenv.Check(t, db.QueryRow("SELECT pg_stat_clear_snapshot()::text").Scan(new(string)))
		testenv.Check(t, db.QueryRow("SELECT sum(n_tup_ins), sum(n_tup_upd) FROM pg_stat_user_tables").Scan(&c.inserted,
			&c.updated))
		return c
	}
	var before counts
	settled := func(want func(counts) bool) (c counts) {
		testenv.Eventually(t, func() bool { c = read(); return want(c) })
		return c
	}
	var sent int64
	run(counted, func() {
		sent = trips.Load()
		runtime.ReadMemStats(&start)
		before = settled(func(c counts) bool { return c.inserted >= 6*due }) // tenants, projects, answers, key users
	}, func() {
		runtime.ReadMemStats(&end)
		sent = trips.Load() - sent
		after := settled(func(c counts) bool {
			return c.updated-before.updated >= due && c.inserted-before.inserted >= 7*due
		})
		count("allocations, PostgreSQL's client", float64(end.Mallocs-start.Mallocs)/due, allocationsPostgres)
		count("round trips, PostgreSQL", float64(sent)/due, roundTrips)
		count("rows inserted, PostgreSQL", (after.inserted-before.inserted)/due, rowsInserted)
		count("rows updated, PostgreSQL", (after.updated-before.updated)/due, rowsUpdated)
	})
}

const (
	allocationsSQLite   = 593 // 77 of them to check the certificate
	bytesSQLite         = 46_250
	allocationsPostgres = 596
	roundTrips          = 0.085 // statements are for pages, and not for rows
	rowsInserted        = 7.02  // certificate, notice, three tasks, mail, event; and the jobs
	rowsUpdated         = 1.01  // the old certificate; and the run
)
