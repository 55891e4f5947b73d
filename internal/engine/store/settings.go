package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// InstalledAt returns the beginning of this installation, before which no run date is due. The first call records now.
func (s *Store) InstalledAt(ctx context.Context, now time.Time) (time.Time, error) {
	const name = "installed_at"
	v, err := s.Setting(ctx, name)
	if err == nil && v == "" {
		err = s.InTx(ctx, func(tx *Tx) (err error) {
			v, err = tx.SetOnce(ctx, name, now.UTC().Format(time.RFC3339Nano))
			return err
		})
	}
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, errors.New("the setting installed_at is not an instant")
	}
	return at, nil
}

// Setting reads a setting. It is empty if it was never written.
func (r Reader) Setting(ctx context.Context, name string) (string, error) {
	v, err := one(ctx, r, "setting", scanOne[string], "SELECT value FROM settings WHERE name = ?", name)
	if errors.Is(err, tenancy.ErrNotFound) {
		return "", nil
	}
	return v, err
}

// SetSetting writes a setting.
func (t *Tx) SetSetting(ctx context.Context, name, value string) error {
	_, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "+
		"excluded.value", name, value)
	return err
}

// SetOnce writes a setting unless it is stored already, and returns the stored value. If several replicas write, the
// first one decides.
func (t *Tx) SetOnce(ctx context.Context, name, value string) (stored string, err error) {
	if _, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name,
		value); err != nil {
		return "", err
	}
	return t.Setting(ctx, name)
}

// claimSetting writes the claim of the release before the table of claims, and reports whether it is the first.
func (t *Tx) claimSetting(ctx context.Context, name string, at time.Time) (first bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name,
		at.UTC().Format(time.RFC3339))
	return n == 1, err
}

// pruneSettings deletes such claims from before an instant.
func (t *Tx) pruneSettings(ctx context.Context, prefix string, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM settings WHERE name LIKE ? AND value < ?", prefix+"%",
		before.UTC().Format(time.RFC3339))
	return err
}

// advanceSetting changes a setting that has the value from. ok is false if it has another one.
func (t *Tx) advanceSetting(ctx context.Context, name, from, to string) (ok bool, err error) {
	n, err := t.exec(ctx, "UPDATE settings SET value = ? WHERE name = ? AND value = ?", to, name, from)
	return n == 1, err
}

// LongestValidity returns the longest validity that certificates of this installation were ever issued with. It takes
// into account the validity that is used now. It limits how far ahead a run looks if a policy counts in shares of the
// lifetime.
func (s *Store) LongestValidity(ctx context.Context, now time.Duration) (longest time.Duration, err error) {
	const name = "longest_validity"
	v, err := s.Setting(ctx, name)
	if err != nil {
		return 0, err
	}
	if v != "" {
		if longest, err = time.ParseDuration(v); err != nil {
			return 0, fmt.Errorf("the setting %s is not a duration: %w", name, err)
		}
		if longest >= now {
			return longest, nil
		}
	}
	return now, s.InTx(ctx, func(tx *Tx) error { return tx.SetSetting(ctx, name, now.String()) })
}
