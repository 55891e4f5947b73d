package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const testItemColumns = "round_id, arrangement_id, host, generation, taken_until, done_at, result, detail"

func scanTestItem(s row) (i tenancy.TestItem, err error) {
	err = s.Scan(&i.RoundID, &i.ArrangementID, &i.Host, &i.Generation, instant{&i.TakenUntil}, instant{&i.DoneAt},
		&i.Result, &i.Detail)
	return i, err
}

var insertTestItems = bulkInsert("test_items", "round_id text", "arrangement_id text", "host text", "generation bigint",
	"taken_until bigint", "done_at bigint", "result text", "detail text")

func (t *Tx) addTestItems(ctx context.Context, items []tenancy.TestItem) error {
	_, err := insertTestItems.write(ctx, t, len(items), func(n int) []any {
		i := items[n]
		return []any{i.RoundID, i.ArrangementID, i.Host, int64(i.Generation), micros(i.TakenUntil), micros(i.DoneAt),
			i.Result, storable(i.Detail)}
	})
	return err
}

var testItemListing = listing[tenancy.TestItem]{
	query: "SELECT " + testItemColumns + " FROM test_items WHERE ",
	scan:  scanTestItem,
	id:    "arrangement_id", idOf: func(i tenancy.TestItem) string { return i.ArrangementID },
	texts: []string{"host", arrangementName("test_items.arrangement_id")},
	ids:   "SELECT arrangement_id FROM test_items WHERE ",
}

// TestItems returns a page of the tests of a round with a result ("": all; [tenancy.TestWaiting]: without one), by the
// ID of the arrangement. A text is looked for in the host and in the name of the arrangement.
func (r Reader) TestItems(ctx context.Context, roundID, result string, p Page) ([]tenancy.TestItem, Place, error) {
	part := selection{"round_id = ?", []any{roundID}}
	switch result {
	case "":
	case tenancy.TestWaiting:
		part.and("done_at = 0")
	default:
		part.and("result = ?", result)
	}
	return testItemListing.read(ctx, r, p, part.condition, part.args...)
}

// WaitingTests lists tests of a round that no replica asks at the moment.
func (r Reader) WaitingTests(ctx context.Context, roundID string, now time.Time,
	limit int) ([]tenancy.TestItem, error) {
	return list(ctx, r, scanTestItem, "SELECT "+testItemColumns+" FROM test_items WHERE round_id = ? AND done_at = 0 AND "+
		"taken_until <= ? ORDER BY arrangement_id LIMIT ?", roundID, micros(now), limit)
}

// A TestCount is the number of tests of a round with a result; without one for those that wait.
type TestCount struct {
	RoundID, Result string
	Tests           int
}

// CountTests counts the tests of rounds by their result.
func (r Reader) CountTests(ctx context.Context, roundIDs []string) (map[string][]TestCount, error) {
	return groupBy(ctx, r, func(s row) (c TestCount, err error) {
		err = s.Scan(&c.RoundID, &c.Result, &c.Tests)
		return c, err
	}, func(c TestCount) string { return c.RoundID },
		"SELECT round_id, result, count(*) FROM test_items WHERE round_id ", roundIDs, " GROUP BY round_id, result")
}

// TestedSince returns which of the arrangements wait in a round, or were asked in one since an instant.
func (r Reader) TestedSince(ctx context.Context, arrangementIDs []string,
	since time.Time) (map[string][]string, error) {
	return groupBy(ctx, r, scanOne[string], func(id string) string { return id }, "SELECT arrangement_id FROM test_items "+
		"WHERE (done_at = 0 OR done_at >= ?) AND result <> ? AND arrangement_id ", arrangementIDs, "", micros(since),
		tenancy.TestSkipped)
}

// TakeTest reserves a test for this replica until an instant. It reports false if another one was faster.
func (t *Tx) TakeTest(ctx context.Context, i tenancy.TestItem, now, until time.Time) (bool, error) {
	n, err := t.exec(ctx, "UPDATE test_items SET taken_until = ? WHERE round_id = ? AND arrangement_id = ? AND "+
		"done_at = 0 AND taken_until <= ?", micros(until), i.RoundID, i.ArrangementID, micros(now))
	return n > 0, err
}

// EndTest stores the result of a test.
func (t *Tx) EndTest(ctx context.Context, i tenancy.TestItem) error {
	_, err := t.exec(ctx, "UPDATE test_items SET done_at = ?, taken_until = 0, result = ?, detail = ? WHERE round_id = ? "+
		"AND arrangement_id = ? AND done_at = 0", micros(i.DoneAt), i.Result, storable(i.Detail), i.RoundID, i.ArrangementID)
	return err
}
