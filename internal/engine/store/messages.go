package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertMessages = bulkInsert("messages", "id text", "arrangement_id text", "at bigint", "method text", "path text",
	"status bigint", "generation bigint", "attempts bigint", "micros bigint", "outcome text", "count bigint").oncePer("id")

// AddMessages adds to the message log. Entries that are stored already are left out, because a gateway repeats what was
// not confirmed.
func (t *Tx) AddMessages(ctx context.Context, all []tenancy.Message) error {
	_, err := insertMessages.write(ctx, t, len(all), func(i int) []any {
		m := &all[i]
		return []any{m.ID, m.ArrangementID, micros(m.At), storable(m.Method), storable(m.Path), int64(m.Status),
			int64(m.Generation), int64(m.Attempts), m.Duration.Microseconds(), storable(m.Outcome), int64(m.Count)}
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

// Messages lists the message log of an arrangement before the given ID ("": all), the latest first.
func (r Reader) Messages(ctx context.Context, arrangementID, before string, limit int) ([]tenancy.Message, error) {
	if before == "" {
		before = "~" // after every UUID
	}
	return list(ctx, r, scanMessage, "SELECT id, arrangement_id, at, method, path, status, generation, attempts, "+
		"micros, outcome, count FROM messages WHERE arrangement_id = ? AND id < ? ORDER BY id DESC LIMIT ?", arrangementID,
		before, limit)
}

// ForgetMessages deletes entries of the message log from before an instant, at most limit of them, and returns their
// number.
func (t *Tx) ForgetMessages(ctx context.Context, before time.Time, limit int) (int64, error) {
	return t.exec(ctx, "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE at < ? ORDER BY at LIMIT ?)",
		micros(before), limit)
}
