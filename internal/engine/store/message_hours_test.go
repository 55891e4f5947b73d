package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestMessagesAreCountedByHourAndOutcome(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		hour := now.Truncate(time.Hour)
		entry := func(at time.Time, status, attempts, count int) tenancy.Message {
			return tenancy.Message{ArrangementID: "a", ID: IDAt(at), At: at, Status: status, Attempts: attempts, Count: count}
		}
		other := entry(hour, 200, 1, 1000)
		other.ArrangementID = "b"
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "INSERT INTO messages VALUES (?, 'a', ?, 'POST', '/', 302, 1, 1, 5, '', 3)", IDAt(hour),
				micros(hour)); err != nil { // by a replica of an earlier release
				return err
			}
			return tx.AddMessages(ctx, []tenancy.Message{other, entry(hour.Add(-time.Minute), 200, 1, 500),
				entry(hour, 200, 1, 40), entry(hour.Add(59*time.Minute), 204, 2, 7), entry(hour.Add(time.Minute), 401, 2, 5),
				entry(hour.Add(2*time.Minute), 0, 1, 1), entry(hour.Add(3*time.Minute), 499, 1, 2),
				entry(hour.Add(2*time.Hour), 500, 1, 9)})
		}))
		got, err := s.MessagesByHour(t.Context(), "a", hour)
		must(t, err)
		for i := range got {
			got[i].At = got[i].At.UTC()
		}
		want := []MessageHour{{At: hour.UTC(), Delivered: 43, Retried: 7, Failed: 6, Cancelled: 2},
			{At: hour.Add(2 * time.Hour).UTC(), Failed: 9}}
		if !slices.Equal(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	})
}

// The scan ends with the entries of the time that is asked for, however long the log is kept.
func TestTheCountByHourReadsOnlyTheEntriesOfItsTime(t *testing.T) {
	s := lite(t)
	plan, err := list(t.Context(), s.Reader, func(r row) (detail string, err error) {
		var id, parent, unused int
		err = r.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, "EXPLAIN QUERY PLAN "+countByHour, "a", "0", 0, "a", "0", 0)
	must(t, err)
	searches := 0
	for _, step := range plan {
		if strings.Contains(step, "arrangement_id=? AND id>?") {
			searches++
		} else if strings.HasPrefix(step, "SCAN message") {
			t.Errorf("the whole table is read: %s", step)
		}
	}
	if searches != 2 {
		t.Errorf("%d of 2 tables are searched by the time of their IDs: %q", searches, plan)
	}
}
