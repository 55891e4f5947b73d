package store

import (
	"context"
	"errors"
	"fmt"
)

// Exclusively runs fn while this process holds a lock of the database. On PostgreSQL, replicas that ask for the same
// lock run one after the other. On SQLite there is one process, and fn runs at once.
func (s *Store) Exclusively(ctx context.Context, lock int64, fn func() error) (err error) {
	if s.engine != Postgres {
		return fn()
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return fmt.Errorf("wait for the other replicas: %w", err)
	}
	defer func() {
		_, unlock := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lock)
		err = errors.Join(err, unlock)
	}()
	return fn()
}

// ReleaseLost releases the work that the previous process on a SQLite file left when it ended: jobs of the queue, and
// parts of runs. It must run before the queue starts.
func (t *Tx) ReleaseLost(ctx context.Context) error {
	if _, err := t.exec(ctx, "UPDATE run_parts SET claimed_until = 0"); err != nil {
		return err
	}
	_, err := t.exec(ctx, "UPDATE river_job SET state = 'available' WHERE state = 'running'")
	return err
}

// MailsBefore reports whether deliveries with a lower priority number are running, or wait for their turn. Those that
// wait after a failure do not count.
func (r Reader) MailsBefore(ctx context.Context, priority int) (bool, error) {
	if priority <= 1 {
		return false, nil
	}
	n, err := one(ctx, r, "count", scanOne[int], "SELECT COUNT(*) FROM (SELECT 1 FROM river_job WHERE queue = 'mail' "+
		"AND state IN ('available', 'running') AND priority < ? LIMIT 1) AS urgent", priority)
	return n > 0, err
}

// hurryDeliveries makes the deliveries due that wait for their next attempt. The instant is in the past.
func (t *Tx) hurryDeliveries(ctx context.Context) error {
	_, err := t.exec(ctx, "UPDATE river_job SET state = 'available', scheduled_at = created_at "+
		"WHERE kind = 'deliver_mails' AND state IN ('scheduled', 'retryable')")
	return err
}
