package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const testRoundColumns = "id, choice, created_by, created_at, finished_at"

func scanTestRound(s row) (r tenancy.TestRound, err error) {
	err = s.Scan(&r.ID, document{&r.Choice}, &r.CreatedBy, instant{&r.CreatedAt}, instant{&r.FinishedAt})
	return r, err
}

// TestRound finds a round of tests.
func (r Reader) TestRound(ctx context.Context, id string) (tenancy.TestRound, error) {
	return one(ctx, r, "such round of tests", scanTestRound, "SELECT "+testRoundColumns+" FROM test_rounds WHERE id = ?",
		id)
}

var testRoundListing = listing[tenancy.TestRound]{
	query: "SELECT " + testRoundColumns + " FROM test_rounds WHERE ",
	scan:  scanTestRound,
	id:    "id", idOf: func(r tenancy.TestRound) string { return r.ID },
	texts: []string{"created_by"},
}

// TestRounds returns a page of the rounds of tests. A text is looked for in the name of who started them.
func (r Reader) TestRounds(ctx context.Context, p Page) ([]tenancy.TestRound, Place, error) {
	return testRoundListing.read(ctx, r, p, "id <> ''")
}

// CreateTestRound stores a round with its tests, and deletes the rounds that were created before an instant.
func (t *Tx) CreateTestRound(ctx context.Context, r tenancy.TestRound, items []tenancy.TestItem,
	before time.Time) error {
	if _, err := t.exec(ctx, "DELETE FROM test_rounds WHERE created_at < ?", micros(before)); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "INSERT INTO test_rounds ("+testRoundColumns+") VALUES (?, ?, ?, ?, ?)", r.ID,
		document{&r.Choice}, r.CreatedBy, micros(r.CreatedAt), micros(r.FinishedAt)); err != nil {
		return err
	}
	return t.addTestItems(ctx, items)
}

// FinishTestRound ends a round in which every test has a result. It reports false if one has none, or if the round has
// ended already.
func (t *Tx) FinishTestRound(ctx context.Context, id string, now time.Time) (bool, error) {
	n, err := t.exec(ctx, "UPDATE test_rounds SET finished_at = ? WHERE id = ? AND finished_at = 0 AND NOT EXISTS "+
		"(SELECT 1 FROM test_items WHERE round_id = test_rounds.id AND done_at = 0)", micros(now), id)
	return n > 0, err
}
