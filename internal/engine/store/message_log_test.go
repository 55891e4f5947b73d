package store

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheMessageLogOfADayIsDroppedWhole(t *testing.T) {
	s, err := Open(t.Context(), migrated.Postgres(t))
	must(t, err)
	defer s.Close()
	day := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)
	add := func(id string, at time.Time) {
		t.Helper()
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddMessages(ctx, []tenancy.Message{{ID: id, ArrangementID: "a", At: at, Count: 1}})
		}))
	}
	partitions := func() []string {
		t.Helper()
		names, err := list(t.Context(), s.Reader, scanOne[string], "SELECT tableoid::regclass::text FROM message_log "+
			"ORDER BY id")
		must(t, err)
		return names
	}
	add("0", day) // before the first service has created a partition
	turn := func(now time.Time) { t.Helper(); must(t, s.TurnMessageLog(t.Context(), now, now.AddDate(0, 0, -30))) }
	turn(day)
	turn(day)
	add("1", day.Add(time.Minute))
	add("2", day.AddDate(0, 0, 1))
	add("3", day.AddDate(0, 0, 3))
	add("4", day.AddDate(0, 0, 4))
	want := []string{"message_log_on_20260301", "message_log_on_20260301", "message_log_on_20260302",
		"message_log_on_20260304", "message_log_other"}
	if got := partitions(); !slices.Equal(got, want) {
		t.Errorf("the entries are in %q", got)
	}
	turn(day.AddDate(0, 0, 1))
	want[4] = "message_log_on_20260305" // a gateway's clock was ahead
	if got := partitions(); !slices.Equal(got, want) {
		t.Errorf("a day later the entries are in %q", got)
	}
	add("5", day.AddDate(0, 0, -1)) // a gateway's clock is behind
	add("6", day.AddDate(0, 0, -2))
	want = append(want, "message_log_other", "message_log_other")
	forget := func(before time.Time) (n int64) {
		t.Helper()
		must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
			n, err = tx.ForgetMessages(ctx, before, 100)
			return err
		}))
		return n
	}
	later := day.AddDate(0, 0, 31) // the 2nd is not yet 30 days old everywhere
	turn(later)
	if n := forget(later.AddDate(0, 0, -30)); n != 2 {
		t.Errorf("%d entries without a partition are deleted, want 2", n)
	}
	if got := partitions(); !slices.Equal(got, want[2:5]) {
		t.Errorf("a day that has not ended 30 days ago: %q are left", got)
	}
	turn(day.AddDate(0, 0, 33))
	if got := partitions(); !slices.Equal(got, want[3:5]) {
		t.Errorf("after 33 days: %q are left", got)
	}
}

// A partition holds a day in UTC, whatever the time at which it is made, and ends with the day.
func TestAPartitionHoldsADayFromMidnightToMidnight(t *testing.T) {
	s, err := Open(t.Context(), migrated.Postgres(t))
	must(t, err)
	defer s.Close()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	elsewhere := time.FixedZone("", 2*3600)
	turn := func(at, before time.Time) (partitions []string) {
		t.Helper()
		must(t, s.TurnMessageLog(t.Context(), at.In(elsewhere), before.In(elsewhere)))
		partitions, err := list(t.Context(), s.Reader, scanOne[string], "SELECT c.relname || ' ' || "+
			"pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = "+
			"'message_log'::regclass AND c.relname <> 'message_log_other' ORDER BY c.relname")
		must(t, err)
		return partitions
	}
	var all []string
	for i := range 4 { // today and three days ahead
		from := day.AddDate(0, 0, i)
		all = append(all, fmt.Sprintf("message_log_on_%s FOR VALUES FROM ('%d') TO ('%d')", from.Format("20060102"),
			from.UnixMicro(), from.AddDate(0, 0, 1).UnixMicro()))
	}
	noon, end := day.Add(12*time.Hour), day.AddDate(0, 0, 1)
	for _, c := range []struct {
		at, before time.Time
		want       []string
	}{{noon, day, all}, {noon, end.Add(-time.Microsecond), all}} {
		if got := turn(c.at, c.before); !slices.Equal(got, c.want) {
			t.Errorf("at %s, before %s: %q, want %q", c.at, c.before, got, c.want)
		}
	}
	if got := turn(end, end); len(got) != 4 || got[0] != all[1] {
		t.Errorf("the day has ended, and %q are left", got)
	}
}

func TestEntriesOfTheReleaseBeforeAreReadAndForgotten(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			for _, id := range []string{"1", "3"} {
				if _, err := tx.exec(ctx, "INSERT INTO messages VALUES (?, 'a', ?, 'POST', '/', 200, 1, 1, 5, '', 1)", id,
					micros(now)); err != nil {
					return err
				}
			}
			return tx.AddMessages(ctx, []tenancy.Message{{ID: "2", ArrangementID: "a", At: now, Count: 7},
				{ID: "4", ArrangementID: "a", At: now.Add(time.Hour), Count: 8}})
		}))
		ids := func(before string, limit int) (ids []string) {
			t.Helper()
			all, err := s.Messages(t.Context(), "a", before, limit)
			must(t, err)
			for _, m := range all {
				ids = append(ids, m.ID)
			}
			return ids
		}
		if all, page := ids("", 10), ids("4", 2); !slices.Equal(all, []string{"4", "3", "2", "1"}) ||
			!slices.Equal(page, []string{"3", "2"}) {
			t.Errorf("%q and %q before the latest", all, page)
		}
		for _, want := range []int64{2, 1, 0} {
			var n int64
			must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				n, err = tx.ForgetMessages(ctx, now.Add(time.Minute), 2)
				return err
			}))
			if n != want {
				t.Errorf("%d entries are forgotten, want %d", n, want)
			}
		}
		if left := ids("", 10); !slices.Equal(left, []string{"4"}) {
			t.Errorf("%q are left", left)
		}
	})
}

func TestTrafficIsThatOfAnArrangementOrOfATenant(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "INSERT INTO messages VALUES ('1', 'a', ?, 'POST', '/', 200, 1, 1, 5, '', 3)",
				micros(now)); err != nil {
				return err
			}
			return tx.AddMessages(ctx, []tenancy.Message{{ID: "2", ArrangementID: "a", At: now.Add(-time.Hour), Count: 100},
				{ID: "3", ArrangementID: "a", At: now.Add(time.Hour), Count: 7},
				{ID: "4", ArrangementID: "b", At: now, Count: 50}})
		}))
		n, latest, err := s.Traffic(t.Context(), "t", "a", now)
		if err != nil || n != 10 || !latest.Equal(now.Add(time.Hour)) {
			t.Errorf("%d messages, the latest at %s, %v", n, latest, err)
		}
		n, latest, err = s.Traffic(t.Context(), "a tenant without arrangements", "", now)
		if err != nil || n != 0 || !latest.IsZero() {
			t.Errorf("%d messages of nothing, the latest at %s, %v", n, latest, err)
		}
	})
}

func TestAnArrangementFailsIfItsMessagesFailAndNoneSucceedsAfterwards(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		entry := func(arrangement, id string, age time.Duration, status, count int) tenancy.Message {
			return tenancy.Message{ArrangementID: arrangement, ID: id, At: now.Add(-age), Status: status, Count: count}
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddMessages(ctx, []tenancy.Message{
				entry("fails", "1", 9*time.Minute, 200, 50), entry("fails", "2", time.Minute, 401, 1),
				entry("fails", "3", time.Second, 0, 2),
				entry("recovered", "1", time.Minute, 401, 10), entry("recovered", "2", time.Second, 204, 1),
				entry("few", "1", time.Second, 500, 2),
				entry("long-ago", "1", 6*time.Minute, 500, 20),
				entry("impatient", "1", time.Second, 499, 20),
				entry("fine", "1", time.Second, 302, 20),
				entry("elsewhere", "1", time.Minute, 401, 10),
			})
		}))
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { // by a replica of the release before
			_, err := tx.exec(ctx, "INSERT INTO messages VALUES ('2', 'elsewhere', ?, 'POST', '/', 200, 1, 1, 5, '', 1)",
				micros(now))
			return err
		}))
		got, err := s.FailingArrangements(t.Context(), now.Add(-5*time.Minute), 3, 10)
		must(t, err)
		if !slices.Equal(got, []string{"fails"}) {
			t.Errorf("%q fail", got)
		}
	})
}

// The figures are those of docs/operations.md: a table and its index, with identifiers and a path as they are in use.
func TestAnEntryOfTheMessageLogTakesFewBytes(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, s.TurnMessageLog(t.Context(), now, now.AddDate(0, 0, -30)))
		arrangements := make([]string, 1000)
		for i := range arrangements {
			arrangements[i] = NewID()
		}
		size := func() (n int) {
			t.Helper()
			query := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
			if s.engine == Postgres {
				query = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('message_log')"
			}
			n, err := one(t.Context(), s.Reader, "size", scanOne[int], query)
			must(t, err)
			return n
		}
		const batch, batches = 1000, 60 // each of the arrangements sends a message a minute
		before := size()
		for minute := range batches {
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
				all := make([]tenancy.Message, batch)
				for i := range all {
					all[i] = tenancy.Message{ArrangementID: arrangements[i], ID: NewID(),
						At: now.Add(time.Duration(minute) * time.Minute), Method: "POST", Path: "/orders/4711", Status: 200,
						Generation: 1, Attempts: 1, Duration: 40 * time.Millisecond, Count: 1}
				}
				return tx.AddMessages(ctx, all)
			}))
		}
		bytes := (size() - before) / (batch * batches)
		t.Logf("%s: %d bytes an entry", s.engine, bytes)
		if most := map[Engine]int{SQLite: 260, Postgres: 330}[s.engine]; bytes > most || bytes < 100 {
			t.Errorf("%s: an entry takes %d bytes, want at most %d", s.engine, bytes, most)
		}
	})
}

func TestPartitionsThatCannotBeMadeAreAnError(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, s.Close())
		if err := s.TurnMessageLog(t.Context(), now, now); (err != nil) != (s.engine == Postgres) {
			t.Errorf("%s: %v", s.engine, err)
		}
	})
}
