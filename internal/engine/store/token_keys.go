package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Key is a private key of a tenant in the form of the database: sealed, or the URI of one in a PKCS#11 token. It is
// empty if the key was destroyed.
type Key struct {
	Sealed []byte
	URI    string
	PKIX   []byte // the public key of one in a token that has no certificate yet
}

func scanKey(s row) (k Key, err error) {
	err = s.Scan(&k.Sealed, &k.URI)
	return k, err
}

// A TokenKey is a key in a PKCS#11 token that no certificate has or will have.
type TokenKey struct {
	URI       string
	LastError string // of the latest attempt to destroy it
}

func scanTokenKey(s row) (k TokenKey, err error) {
	err = s.Scan(&k.URI, &k.LastError)
	return k, err
}

// AddTokenKey records a key before it is created in a token. Unless a certificate or a request is stored with it, it is
// destroyed when it is due.
func (t *Tx) AddTokenKey(ctx context.Context, uri string, due time.Time) error {
	_, err := t.exec(ctx, "INSERT INTO token_keys (uri, due_at, doomed, last_error) VALUES (?, ?, 0, '')", uri,
		micros(due))
	return err
}

// useTokenKeys removes the records of keys with which certificates or requests are stored. It returns
// [tenancy.ErrConflict] if one of them must be destroyed.
func (t *Tx) useTokenKeys(ctx context.Context, uris ...string) error {
	if len(uris) == 0 {
		return nil
	}
	in, args := t.among(uris)
	n, err := t.exec(ctx, "DELETE FROM token_keys WHERE doomed = 0 AND uri "+in, args...)
	if err == nil && n != int64(len(uris)) {
		err = tenancy.Errorf(tenancy.ErrConflict, "the new private key took too long to be used, and is destroyed: try again")
	}
	return err
}

// doomCertificateKeys records that the keys in tokens of the certificates that a condition selects must be destroyed.
func (t *Tx) doomCertificateKeys(ctx context.Context, condition string, args ...any) error {
	_, err := t.exec(ctx, "INSERT INTO token_keys (uri, due_at, doomed, last_error) SELECT key_uri, 0, 1, '' FROM "+
		"certificates WHERE key_uri <> '' AND "+condition, args...)
	return err
}

// releaseRequestKey records the key in a token of a request. It must be destroyed when it is due, unless a certificate
// is stored with it before.
func (t *Tx) releaseRequestKey(ctx context.Context, id string, due time.Time) error {
	_, err := t.exec(ctx, "INSERT INTO token_keys (uri, due_at, doomed, last_error) SELECT key_uri, "+
		"CAST(? AS BIGINT), 0, '' FROM requests WHERE key_uri <> '' AND id = ?", micros(due), id)
	return err
}

// doomRequestKeys records that the keys in tokens of the requests that a condition selects must be destroyed.
func (t *Tx) doomRequestKeys(ctx context.Context, condition string, args ...any) error {
	_, err := t.exec(ctx, "INSERT INTO token_keys (uri, due_at, doomed, last_error) SELECT key_uri, 0, 1, '' FROM "+
		"requests WHERE key_uri <> '' AND "+condition, args...)
	return err
}

// HasTokenKeysDue reports whether a key in a token must be destroyed at now.
func (r Reader) HasTokenKeysDue(ctx context.Context, now time.Time) (bool, error) {
	due, err := list(ctx, r, scanOne[string], "SELECT uri FROM token_keys WHERE due_at <= ? LIMIT 1", micros(now))
	return len(due) > 0, err
}

// DoomTokenKeys records that no certificate may use the keys that are due at now any longer.
func (t *Tx) DoomTokenKeys(ctx context.Context, now time.Time) error {
	_, err := t.exec(ctx, "UPDATE token_keys SET doomed = 1 WHERE doomed = 0 AND due_at <= ?", micros(now))
	return err
}

// DoomedTokenKeys lists the keys that must be destroyed at now, by URI.
func (r Reader) DoomedTokenKeys(ctx context.Context, now time.Time, after string, limit int) ([]TokenKey, error) {
	return list(ctx, r, scanTokenKey, "SELECT uri, last_error FROM token_keys WHERE doomed = 1 AND due_at <= ? AND "+
		"uri > ? ORDER BY uri LIMIT ?", micros(now), after, limit)
}

// RemoveTokenKey removes a key that was destroyed. It returns [tenancy.ErrStale] if another replica has removed it.
func (t *Tx) RemoveTokenKey(ctx context.Context, uri string) error {
	return t.execOne(ctx, "DELETE FROM token_keys WHERE doomed = 1 AND uri = ?", uri)
}

// PostponeTokenKey records why a key was not destroyed, and the time of the next attempt.
func (t *Tx) PostponeTokenKey(ctx context.Context, uri, reason string, until time.Time) error {
	_, err := t.exec(ctx, "UPDATE token_keys SET due_at = ?, last_error = ? WHERE doomed = 1 AND uri = ?", micros(until),
		storable(reason), uri)
	return err
}

// CountDoomedTokenKeys counts the keys that must be destroyed.
func (r Reader) CountDoomedTokenKeys(ctx context.Context) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM token_keys WHERE doomed = 1")
}
