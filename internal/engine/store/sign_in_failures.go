package store

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// failuresKept is the time after which a name and a network without further attempts are forgotten.
const failuresKept = 24 * time.Hour

// CountSignIn counts an attempt to sign in with a name from a network as failed. [Tx.ForgetSignIns] takes it back if
// the password was right. lock returns how long a number of failures locks the pair. If the pair is locked, the attempt
// is not counted and lockedUntil is set. Attempts at the same time are counted one after the other.
func (t *Tx) CountSignIn(ctx context.Context, name, network string, now time.Time,
	lock func(failures int) time.Duration) (failures int, lockedUntil time.Time, err error) {
	if _, err := t.exec(ctx, "DELETE FROM sign_in_failures WHERE at < ?", micros(now.Add(-failuresKept))); err != nil {
		return 0, time.Time{}, err
	}
	hash := tenancy.HashSecret(name)
	failures, err = one(ctx, t.Reader, "such pair", scanOne[int], "INSERT INTO sign_in_failures (name_hash, network, "+
		"failures, locked_until, at) VALUES (?, ?, 1, 0, ?) ON CONFLICT (name_hash, network) DO UPDATE SET failures = "+
		"sign_in_failures.failures + 1, at = excluded.at WHERE sign_in_failures.locked_until <= excluded.at "+
		"RETURNING failures", hash, network, micros(now))
	if errors.Is(err, tenancy.ErrNotFound) {
		lockedUntil, err = one(ctx, t.Reader, "lock", func(s row) (at time.Time, err error) {
			err = s.Scan(instant{&at})
			return at, err
		}, "SELECT locked_until FROM sign_in_failures WHERE name_hash = ? AND network = ?", hash, network)
		return 0, lockedUntil, err
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	if wait := lock(failures); wait > 0 {
		if err := t.execOne(ctx, "UPDATE sign_in_failures SET locked_until = ? WHERE name_hash = ? AND network = ?",
			micros(now.Add(wait)), hash, network); err != nil {
			return 0, time.Time{}, err
		}
	}
	return failures, time.Time{}, nil
}

// UncountSignIn takes back one attempt whose password was not checked. A pair with fewer than locks failures is no
// longer locked.
func (t *Tx) UncountSignIn(ctx context.Context, name, network string, locks int) error {
	_, err := t.exec(ctx, "UPDATE sign_in_failures SET failures = failures - 1, locked_until = CASE WHEN failures <= "+
		"? THEN 0 ELSE locked_until END WHERE name_hash = ? AND network = ? AND failures > 0", locks,
		tenancy.HashSecret(name),
		network)
	return err
}

// ForgetSignIns forgets the failed attempts to sign in with a name from a network.
func (t *Tx) ForgetSignIns(ctx context.Context, name, network string) error {
	_, err := t.exec(ctx, "DELETE FROM sign_in_failures WHERE name_hash = ? AND network = ?", tenancy.HashSecret(name),
		network)
	return err
}
