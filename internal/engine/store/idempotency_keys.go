package store

import (
	"context"
	"time"
)

// A Remembered is the answer to a request that carried an Idempotency-Key.
type Remembered struct {
	RequestHash string
	Status      int // 0 until the first request is answered
	Header      string
	Body        []byte
}

func scanRemembered(s row) (v Remembered, err error) {
	err = s.Scan(&v.RequestHash, &v.Status, &v.Header, &v.Body)
	return v, err
}

// Remember stores a key before its request is worked on. If the key is stored already, found is its stored answer.
func (t *Tx) Remember(ctx context.Context, tokenID, name, requestHash string, now time.Time) (found *Remembered,
	err error) {
	n, err := t.exec(ctx, "INSERT INTO idempotency_keys (token_id, name, request_hash, status, header, body, "+
		"created_at) VALUES (?, ?, ?, 0, '', ?, ?) ON CONFLICT (token_id, name) DO NOTHING",
		tokenID, name, requestHash, []byte{}, micros(now))
	if err != nil || n == 1 {
		return nil, err
	}
	v, err := one(ctx, t.Reader, "key", scanRemembered, "SELECT request_hash, status, header, body FROM "+
		"idempotency_keys WHERE token_id = ? AND name = ?", tokenID, name)
	return &v, err
}

// RememberAnswer stores the answer to a key's request.
func (t *Tx) RememberAnswer(ctx context.Context, tokenID, name string, v Remembered) error {
	return t.execOne(ctx, "UPDATE idempotency_keys SET status = ?, header = ?, body = ? WHERE token_id = ? AND name = ?",
		v.Status, v.Header, v.Body, tokenID, name)
}

// Forget deletes a key whose request has no answer worth keeping, and all keys from before the instant.
func (t *Tx) Forget(ctx context.Context, tokenID, name string, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM idempotency_keys WHERE (token_id = ? AND name = ?) OR created_at < ?", tokenID,
		name, micros(before))
	return err
}
