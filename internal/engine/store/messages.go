package store

import (
	"context"
	"time"
)

// The table messages has the message log of releases without the table message_log.

// ForgetMessages deletes entries of the message log from before an instant, at most limit of them, and returns their
// number. On PostgreSQL, [Store.TurnMessageLog] drops most entries by the day.
func (t *Tx) ForgetMessages(ctx context.Context, before time.Time, limit int) (int64, error) {
	n, err := t.exec(ctx, "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE at < ? ORDER BY at LIMIT ?)",
		micros(before), limit)
	if err != nil || n == int64(limit) {
		return n, err
	}
	m, err := t.forgetLog(ctx, before, limit-int(n))
	return n + m, err
}
