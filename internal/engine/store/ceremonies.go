package store

import (
	"context"
	"time"
)

// BeginCeremony stores the first half of a ceremony, as JSON, until an instant. It deletes those that have expired.
func (t *Tx) BeginCeremony(ctx context.Context, hash, kind, data string, now, until time.Time) error {
	if _, err := t.exec(ctx, "DELETE FROM ceremonies WHERE expires_at < ?", micros(now)); err != nil {
		return err
	}
	_, err := t.exec(ctx, "INSERT INTO ceremonies (hash, kind, data, expires_at) VALUES (?, ?, ?, ?)", hash, kind, data,
		micros(until))
	return err
}

// RedeemCeremony returns the first half of a ceremony, once. It returns [tenancy.ErrNotFound] if there is no valid one
// of this kind.
func (t *Tx) RedeemCeremony(ctx context.Context, hash, kind string, now time.Time) (string, error) {
	return one(ctx, t.Reader, "such ceremony", scanOne[string], "DELETE FROM ceremonies WHERE hash = ? AND kind = ? AND "+
		"expires_at >= ? RETURNING data", hash, kind, micros(now))
}
