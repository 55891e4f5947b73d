package store

import (
	"context"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const runColumns = "run_date, policy, started_at, finished_at, warned, renewed, late, failed, last_error"

func scanRun(s row) (r tenancy.Run, err error) {
	err = s.Scan(instant{&r.RunDate}, &r.Policy, instant{&r.StartedAt}, instant{&r.FinishedAt}, &r.Warned, &r.Renewed,
		&r.Late, &r.Failed, &r.LastError)
	return r, err
}

// Run finds the run of a run date.
func (r Reader) Run(ctx context.Context, runDate time.Time) (tenancy.Run, error) {
	return one(ctx, r, "run for "+runDate.UTC().Format(time.RFC3339), scanRun,
		"SELECT "+runColumns+" FROM runs WHERE run_date = ?", micros(runDate))
}

// LatestRun finds the run with the latest run date. It returns [tenancy.ErrNotFound] if there was no run yet.
func (r Reader) LatestRun(ctx context.Context) (tenancy.Run, error) {
	return one(ctx, r, "run yet", scanRun, "SELECT "+runColumns+" FROM runs ORDER BY run_date DESC LIMIT 1")
}

// Runs lists runs before the given run date (zero: all), the latest first.
func (r Reader) Runs(ctx context.Context, before time.Time, limit int) ([]tenancy.Run, error) {
	end := micros(before)
	if end == 0 {
		end = 1 << 62
	}
	return list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE run_date < ? ORDER BY run_date DESC LIMIT ?", end,
		limit)
}

var runListing = listing[tenancy.Run]{
	query: "SELECT " + runColumns + " FROM runs WHERE ",
	scan:  scanRun,
	id:    "run_date", idOf: runKey,
	orders: map[string]order[tenancy.Run]{
		"date": {column: "run_date", key: runKey, number: true, unique: true}},
	texts: []string{"policy", "last_error"},
}

func runKey(r tenancy.Run) string { return strconv.FormatInt(micros(r.RunDate), 10) }

// SearchRuns returns a page of the runs, in the order "date". A text is looked for in the policy and the error.
func (r Reader) SearchRuns(ctx context.Context, p Page) ([]tenancy.Run, Place, error) {
	return runListing.read(ctx, r, p, "run_date > 0")
}

// UnfinishedRuns lists the runs that have not processed every due certificate, the earliest first.
func (r Reader) UnfinishedRuns(ctx context.Context) ([]tenancy.Run, error) {
	return list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE finished_at = 0 ORDER BY run_date")
}

// StartRun enters a run date in the ledger. started is false if it is already there.
func (t *Tx) StartRun(ctx context.Context, run tenancy.Run) (started bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO runs ("+runColumns+") VALUES (?, ?, ?, 0, 0, 0, 0, 0, '') ON CONFLICT (run_date) "+
		"DO NOTHING", micros(run.RunDate), run.Policy, micros(run.StartedAt))
	return n == 1, err
}

// CountRun adds to the counters of a run.
func (t *Tx) CountRun(ctx context.Context, runDate time.Time, warned, renewed, late int) error {
	return t.execOne(ctx, "UPDATE runs SET warned = warned + ?, renewed = renewed + ?, late = late + ? WHERE run_date = ?",
		warned, renewed, late, micros(runDate))
}

// FinishRun records that a run has processed every certificate.
func (t *Tx) FinishRun(ctx context.Context, runDate, at time.Time) error {
	return t.execOne(ctx, "UPDATE runs SET finished_at = ?, failed = 0, last_error = '' WHERE run_date = ?", micros(at),
		micros(runDate))
}
