package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// claimSetting writes the claim of a release without the table of claims, and reports whether it is the first.
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

// LongestValidity returns the longest validity of the certificates that this installation ever stored, issued or
// imported, or the validity that is issued now, if that is longer. It limits how far ahead a run looks. A policy that
// counts in shares of the lifetime acts earlier on a certificate that lives longer.
func (s *Store) LongestValidity(ctx context.Context, now time.Duration) (longest time.Duration, err error) {
	longest, err = s.longestLifetime(ctx)
	if err == nil && longest == 0 { // an earlier release did not remember it
		err = s.InTx(ctx, func(tx *Tx) error { return tx.findLongestLifetime(ctx, now) })
		if err == nil {
			longest, err = s.longestLifetime(ctx)
		}
	}
	if err != nil {
		return 0, err
	}
	if longest >= now {
		s.longest.Store(int64(longest))
		return longest, nil
	}
	return now, s.InTx(ctx, func(tx *Tx) error { return tx.rememberLifetime(ctx, now) })
}

const longestLifetime = "longest_lifetime"

func (r Reader) longestLifetime(ctx context.Context) (time.Duration, error) {
	v, err := r.Setting(ctx, longestLifetime)
	if err != nil || v == "" {
		return 0, err
	}
	seconds, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the setting %s is not a number of seconds: %w", longestLifetime, err)
	}
	return time.Duration(seconds) * time.Second, nil
}

// findLongestLifetime reads all certificates and remembers the longest lifetime, at least atLeast.
func (t *Tx) findLongestLifetime(ctx context.Context, atLeast time.Duration) error {
	micros, err := one(ctx, t.Reader, "longest lifetime", scanOne[int64],
		"SELECT COALESCE(MAX(not_after - not_before), 0) FROM certificates")
	if err != nil {
		return err
	}
	return t.rememberLifetime(ctx, max(time.Duration(micros)*time.Microsecond, atLeast))
}

// rememberLifetime raises the stored longest lifetime. The digits have a fixed length, so that the database can compare
// them.
func (t *Tx) rememberLifetime(ctx context.Context, lifetime time.Duration) error {
	seconds := int64((lifetime + time.Second - 1) / time.Second)
	_, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "+
		"excluded.value WHERE settings.value < excluded.value", longestLifetime, fmt.Sprintf("%012d", seconds))
	return err
}

// learnLifetimes remembers the longest lifetime of new certificates, if no longer one is known.
func (t *Tx) learnLifetimes(ctx context.Context, certs []SealedCertificate) error {
	longest := time.Duration(0)
	for i := range certs {
		longest = max(longest, certs[i].NotAfter.Sub(certs[i].NotBefore))
	}
	if int64(longest) <= t.longest.Load() {
		return nil
	}
	known, err := t.longestLifetime(ctx)
	switch {
	case err != nil || known >= longest:
		return err
	case known == 0:
		return t.findLongestLifetime(ctx, longest)
	}
	return t.rememberLifetime(ctx, longest)
}
