package store

import (
	"context"
	"time"
)

// Reserve reserves n operations of a rate limit that all replicas share. If the limit is used up, it reserves nothing
// and returns the time to wait before the next attempt. Otherwise, wait is zero.
func (s *Store) Reserve(ctx context.Context, name string, n int, perSecond float64, now time.Time) (wait time.Duration,
	err error) {
	takes := time.Duration(float64(n) / perSecond * float64(time.Second))
	err = s.InTx(ctx, func(tx *Tx) error {
		wait = 0
		taken, err := tx.exec(ctx, "INSERT INTO limits (name, free_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "+
			"free_at = excluded.free_at WHERE limits.free_at <= ?",
			name, micros(now.Add(takes)), micros(now))
		if err != nil || taken > 0 {
			return err
		}
		free, err := one(ctx, tx.Reader, "limit", func(s row) (t time.Time, err error) {
			err = s.Scan(instant{&t})
			return t, err
		}, "SELECT free_at FROM limits WHERE name = ?", name)
		if err != nil {
			return err
		}
		if wait = free.Sub(now); wait <= takes+time.Hour {
			return nil
		}
		wait = 0 // the clock of another replica was wrong
		_, err = tx.exec(ctx, "UPDATE limits SET free_at = ? WHERE name = ?", micros(now.Add(takes)), name)
		return err
	})
	return wait, err
}
