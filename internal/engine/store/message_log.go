package store

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertMessages = bulkInsert("message_log", "arrangement_id text", "id text", "at bigint", "micros bigint",
	"status bigint", "generation bigint", "attempts bigint", "count bigint", "method text", "path text",
	"outcome text").oncePer("arrangement_id, id, at")

// AddMessages adds to the message log. Entries that are already stored are left out, because a gateway repeats
// unconfirmed entries.
func (t *Tx) AddMessages(ctx context.Context, all []tenancy.Message) error {
	_, err := insertMessages.write(ctx, t, len(all), func(i int) []any {
		m := &all[i]
		return []any{m.ArrangementID, m.ID, micros(m.At), m.Duration.Microseconds(), int64(m.Status),
			int64(m.Generation), int64(m.Attempts), int64(m.Count), storable(m.Method), storable(m.Path), storable(m.Outcome)}
	})
	return err
}

func scanMessage(s row) (m tenancy.Message, err error) {
	var micros int64
	err = s.Scan(&m.ID, &m.ArrangementID, instant{&m.At}, &m.Method, &m.Path, &m.Status, &m.Generation, &m.Attempts,
		&micros, &m.Outcome, &m.Count)
	m.Duration = time.Duration(micros) * time.Microsecond
	return m, err
}

// latestMessages selects the latest entries of one table that can hold them.
func latestMessages(table string) string {
	return "SELECT * FROM (SELECT id, arrangement_id, at, method, path, status, generation, attempts, micros, outcome, " +
		"count FROM " + table + " WHERE arrangement_id = ? AND id < ? ORDER BY id DESC LIMIT ?) AS of_" + table
}

var selectMessages = latestMessages("message_log") + " UNION ALL " + latestMessages("messages") +
	" ORDER BY id DESC LIMIT ?"

// afterIDs is after every UUID.
const afterIDs = "~"

// failedMessage is the condition that a message failed. Status 499 is that of a message that its sender cancelled.
const failedMessage = "(status = 0 OR status >= 400) AND status <> 499"

// MessagesBefore returns a value for [Reader.Messages] that lists the messages before an instant.
func MessagesBefore(at time.Time) string { return idsFrom(at) }

// Messages lists the message log of an arrangement before the given ID ("": all), the latest first.
func (r Reader) Messages(ctx context.Context, arrangementID, before string, limit int) ([]tenancy.Message, error) {
	before = cmp.Or(before, afterIDs)
	return list(ctx, r, scanMessage, selectMessages, arrangementID, before, limit, arrangementID, before, limit, limit)
}

// A MessageChoice selects entries of the message log. Its zero value selects all.
type MessageChoice struct {
	Failed bool // only messages that failed, without those that their sender cancelled
	// Text has words that method, path, status or outcome contain, in upper or lower case. They are looked for one by one,
	// because an outcome is stored as a format and its data.
	Text string
}

// SearchMessages lists the chosen messages of an arrangement before the given ID ("": all), the latest first. It reads
// a bounded part of the log. next is the ID to continue before; empty at the beginning of the log.
func (r Reader) SearchMessages(ctx context.Context, arrangementID string, c MessageChoice, before string,
	limit int) (found []tenancy.Message, next string, err error) {
	return r.searchMessages(ctx, arrangementID, c, before, limit, searchWindow)
}

func (r Reader) searchMessages(ctx context.Context, arrangementID string, c MessageChoice, before string, limit,
	window int) (found []tenancy.Message, next string, err error) {
	before = cmp.Or(before, afterIDs)
	args := []any{arrangementID, before, window, arrangementID, before, window, window}
	end, err := list(ctx, r, scanOne[string], "SELECT id FROM ("+selectMessages+") AS w ORDER BY id DESC LIMIT 1 OFFSET ?",
		append(args, window-1)...)
	if err != nil {
		return nil, "", err
	}
	part := selection{"id <> ''", args}
	if c.Failed {
		part.and(failedMessage)
	}
	for _, word := range strings.Fields(c.Text) {
		contains, pattern := containingInJSON("method || ' ' || path || ' ' || status || ' ' || outcome", word)
		part.and(contains, pattern...)
	}
	found, err = list(ctx, r, scanMessage, "SELECT * FROM ("+selectMessages+") AS w WHERE "+part.condition+
		" ORDER BY id DESC LIMIT ?", append(part.args, limit+1)...)
	switch {
	case len(found) > limit:
		found, next = found[:limit], found[limit-1].ID
	case len(end) > 0:
		next = end[0]
	}
	return found, next, err
}

// Traffic returns the number of messages since an instant, and the time of the latest one: those of an arrangement, or
// of all arrangements of the tenant if its ID is empty.
func (r Reader) Traffic(ctx context.Context, tenantID, arrangementID string, since time.Time) (n int,
	latest time.Time, err error) {
	which, of := "= ?", arrangementID
	if arrangementID == "" {
		which, of = "IN (SELECT id FROM arrangements WHERE tenant_id = ?)", tenantID
	}
	from := func(table string) string {
		return "SELECT count, at FROM " + table + " WHERE arrangement_id " + which + " AND at >= ?"
	}
	_, err = one(ctx, r, "message", func(s row) (_ struct{}, err error) {
		return struct{}{}, s.Scan(&n, instant{&latest})
	}, "SELECT CAST(COALESCE(sum(count), 0) AS BIGINT), COALESCE(max(at), 0) FROM ("+from("message_log")+" UNION ALL "+
		from("messages")+") AS sent", of, micros(since), of, micros(since))
	return n, latest, err
}

// A MessageHour counts the messages of one hour by outcome.
type MessageHour struct {
	At                                    time.Time // start of the hour
	Delivered, Retried, Failed, Cancelled int
}

// idSlack is the largest expected difference between the time of a message and that of its ID, both by the clock of its
// gateway.
const idSlack = time.Hour

// countByHour counts the entries of both tables. IDs begin with their time, so that the index on them limits the scan
// to the entries since an instant.
var countByHour = func() string {
	from := func(table string) string {
		return "SELECT at / 3600000000 AS hour, status, attempts, count FROM " + table +
			" WHERE arrangement_id = ? AND id >= ? AND at >= ?"
	}
	sum := func(condition string) string {
		return ", CAST(sum(CASE WHEN " + condition + " THEN count ELSE 0 END) AS BIGINT)"
	}
	return "SELECT hour * 3600000000" + sum("status BETWEEN 1 AND 399 AND attempts <= 1") +
		sum("status BETWEEN 1 AND 399 AND attempts > 1") + sum(failedMessage) +
		sum("status = 499") + " FROM (" + from("message_log") + " UNION ALL " + from("messages") +
		") AS sent GROUP BY hour ORDER BY hour"
}()

// MessagesByHour counts the messages of an arrangement since an instant by hour (UTC), the earliest first. Hours
// without messages are left out.
func (r Reader) MessagesByHour(ctx context.Context, arrangementID string, since time.Time) ([]MessageHour, error) {
	first := idsFrom(since.Add(-idSlack))
	return list(ctx, r, func(s row) (h MessageHour, err error) {
		err = s.Scan(instant{&h.At}, &h.Delivered, &h.Retried, &h.Failed, &h.Cancelled)
		return h, err
	}, countByHour, arrangementID, first, micros(since), arrangementID, first, micros(since))
}

// FailedSince counts the messages of arrangements that have failed since an instant.
func (r Reader) FailedSince(ctx context.Context, arrangementIDs []string, since time.Time) (int, error) {
	if len(arrangementIDs) == 0 {
		return 0, nil
	}
	in, args := r.among(arrangementIDs)
	return one(ctx, r, "messages", scanOne[int], "SELECT coalesce(sum(count), 0) FROM message_log WHERE arrangement_id "+
		in+" AND at >= ? AND "+failedMessage, append(args, micros(since))...)
}

// FailingArrangements lists the IDs of arrangements with at least a number of failed messages since an instant, and no
// success after the first of them.
func (r Reader) FailingArrangements(ctx context.Context, since time.Time, least, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], `SELECT arrangement_id FROM
		(SELECT arrangement_id, min(id) AS first FROM message_log WHERE at >= ? AND `+failedMessage+`
			GROUP BY arrangement_id HAVING sum(count) >= ?) AS failed
		WHERE NOT EXISTS (`+succeededLater("message_log")+`) AND NOT EXISTS (`+succeededLater("messages")+`)
		ORDER BY arrangement_id LIMIT ?`, micros(since), least, limit)
}

func succeededLater(table string) string {
	return "SELECT 1 FROM " + table + " AS later WHERE later.arrangement_id = failed.arrangement_id AND " +
		"later.id > failed.first AND later.status BETWEEN 1 AND 399"
}

// logTable holds the rows that are deleted one by one: on PostgreSQL those of days without a partition.
func (t *Tx) logTable() string {
	if t.engine == Postgres {
		return "message_log_other"
	}
	return "message_log"
}

func (t *Tx) forgetLog(ctx context.Context, before time.Time, limit int) (int64, error) {
	key := "(arrangement_id, id, at)"
	return t.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s IN (SELECT arrangement_id, id, at FROM %s WHERE at < ? "+
		"ORDER BY at LIMIT ?)", t.logTable(), key, t.logTable()), micros(before), limit)
}

// partitionPrefix, followed by a day in UTC, is the name of a partition.
const partitionPrefix = "message_log_on_"

// partitionsAhead is the number of days after today for which partitions are created. The service may be stopped for
// that long while gateways write.
const partitionsAhead = 3

// TurnMessageLog drops the partitions of the message log that end before an instant, and creates those of the coming
// days. SQLite has no partitions. There, [Tx.ForgetMessages] deletes old entries.
func (s *Store) TurnMessageLog(ctx context.Context, now, before time.Time) error {
	if s.engine != Postgres {
		return nil
	}
	err := s.InTx(ctx, func(t *Tx) error {
		// Two replicas do this one after the other, and neither waits long for readers.
		_, err := t.exec(ctx, "SELECT set_config('lock_timeout', '2s', TRUE), pg_advisory_xact_lock("+
			"hashtext('message_log'))")
		if err != nil {
			return err
		}
		there, err := list(ctx, t.Reader, scanOne[string], "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON "+
			"c.oid = i.inhrelid WHERE i.inhparent = 'message_log'::regclass")
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, name := range there {
			known[name] = true
			day, err := time.Parse("20060102", strings.TrimPrefix(name, partitionPrefix))
			if err != nil || day.AddDate(0, 0, 1).After(before) {
				continue
			}
			if _, err := t.exec(ctx, "DROP TABLE "+name); err != nil {
				return err
			}
		}
		today := now.UTC().Truncate(24 * time.Hour)
		for i := range partitionsAhead + 1 {
			if err := t.addPartition(ctx, today.AddDate(0, 0, i), known); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("partitions of the message log: %w", err)
	}
	return nil
}

// addPartition creates the partition of a day, and moves the entries to it that were written before, by a gateway whose
// clock is ahead or while the service was stopped.
func (t *Tx) addPartition(ctx context.Context, day time.Time, known map[string]bool) error {
	name := partitionPrefix + day.Format("20060102")
	if known[name] {
		return nil
	}
	from, to := micros(day), micros(day.AddDate(0, 0, 1))
	for _, statement := range []string{
		"CREATE TABLE %[1]s (LIKE message_log INCLUDING ALL)",
		"WITH early AS (DELETE FROM message_log_other WHERE at >= %[2]d AND at < %[3]d RETURNING *) " +
			"INSERT INTO %[1]s SELECT * FROM early",
		"ALTER TABLE message_log ATTACH PARTITION %[1]s FOR VALUES FROM (%[2]d) TO (%[3]d)",
	} {
		if _, err := t.exec(ctx, fmt.Sprintf(statement, name, from, to)); err != nil {
			return err
		}
	}
	return nil
}
