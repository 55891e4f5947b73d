package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const parkedColumns = "id, arrangement_id, tenant_id, idempotency_key, sealed_digest, method, path, state, attempts, " +
	"next_at, status, last_error, created_at, ended_at, bytes, chunks"

func scanParked(s row) (p tenancy.Parked, err error) {
	err = s.Scan(&p.ID, &p.ArrangementID, &p.TenantID, &p.IdempotencyKey, &p.Digest, &p.Method, &p.Path, &p.State,
		&p.Attempts, instant{&p.NextAt}, &p.Status, &p.LastError, instant{&p.CreatedAt}, instant{&p.EndedAt}, &p.Bytes,
		&p.Chunks)
	return p, err
}

// Park stores a message for delivery, once for each Idempotency-Key of an arrangement. It returns the message that is
// stored under the key.
func (t *Tx) Park(ctx context.Context, p tenancy.Parked, sealed []byte) (tenancy.Parked, error) {
	if _, err := t.exec(ctx, "INSERT INTO parked ("+parkedColumns+", sealed_request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, "+
		"?, 0, '', ?, 0, ?, ?, ?) ON CONFLICT (arrangement_id, idempotency_key) DO NOTHING",
		p.ID, p.ArrangementID, p.TenantID, p.IdempotencyKey, p.Digest, p.Method, p.Path, p.State, micros(p.NextAt),
		micros(p.CreatedAt), p.Bytes, p.Chunks, sealed); err != nil {
		return p, err
	}
	return t.ParkedUnder(ctx, p.ArrangementID, p.IdempotencyKey)
}

// ParkedUnder finds the message of an arrangement that is stored under an Idempotency-Key.
func (r Reader) ParkedUnder(ctx context.Context, arrangementID, key string) (tenancy.Parked, error) {
	return one(ctx, r, "such message", scanParked, "SELECT "+parkedColumns+" FROM parked WHERE arrangement_id = ? AND "+
		"idempotency_key = ?", arrangementID, key)
}

// Parked finds a parked message of an arrangement.
func (r Reader) Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error) {
	return one(ctx, r, "message "+id, scanParked,
		"SELECT "+parkedColumns+" FROM parked WHERE arrangement_id = ? AND id = ?", arrangementID, id)
}

// ParkedRequest returns the sealed request of a parked message. It is empty once the message has ended.
func (r Reader) ParkedRequest(ctx context.Context, id string) ([]byte, error) {
	return one(ctx, r, "message "+id, scanOne[[]byte], "SELECT sealed_request FROM parked WHERE id = ?", id)
}

// DueParked lists the first waiting message of each arrangement if its next attempt is due. The messages behind it
// wait, so that they are delivered in order. The first one of every tenant is listed before the second one of any.
func (r Reader) DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	return list(ctx, r, scanParked,
		"SELECT "+parkedColumns+` FROM parked WHERE state = 'waiting' AND next_at <= ? AND id IN
		(SELECT MIN(id) FROM parked WHERE state = 'waiting' GROUP BY arrangement_id)
		ORDER BY ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY id), id LIMIT ?`, micros(now), limit)
}

var parkedListing = listing[tenancy.Parked]{
	query: "SELECT " + parkedColumns + " FROM parked WHERE ",
	scan:  scanParked,
	id:    "id", idOf: func(p tenancy.Parked) string { return p.ID },
	texts: []string{"path", "last_error", arrangementName("parked.arrangement_id")},
	ids:   "SELECT id FROM parked WHERE ",
}

// WaitingParked returns a page of the messages that wait for delivery. A text is looked for in the path, the error and
// the name of the arrangement.
func (r Reader) WaitingParked(ctx context.Context, p Page) ([]tenancy.Parked, Place, error) {
	return parkedListing.read(ctx, r, p, "state = 'waiting'")
}

// CountParked counts the waiting messages.
func (r Reader) CountParked(ctx context.Context) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT COUNT(*) FROM parked WHERE state = 'waiting'")
}

// ClaimParked claims a due message for one attempt, until an instant. It returns false if another gateway was faster,
// or if p has no chunks and the stored message has: a gateway of an earlier release would send it without its body.
func (t *Tx) ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (bool, error) {
	n, err := t.exec(ctx, "UPDATE parked SET next_at = ?, attempts = attempts + 1 WHERE id = ? AND state = 'waiting' "+
		"AND next_at = ? AND chunks = ?", micros(until), p.ID, micros(p.NextAt), p.Chunks)
	return n == 1, err
}

// UpdateParked stores the result of an attempt. The request is deleted when the message has ended.
func (t *Tx) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	_, err := t.exec(ctx, "UPDATE parked SET state = ?, next_at = ?, status = ?, last_error = ?, ended_at = ?, "+
		"sealed_request = CASE WHEN ? = 'waiting' THEN sealed_request ELSE NULL END WHERE id = ?",
		p.State, micros(p.NextAt), p.Status, p.LastError, micros(p.EndedAt), string(p.State), p.ID)
	return err
}

// ForgetParked deletes messages that ended before an instant.
func (t *Tx) ForgetParked(ctx context.Context, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM parked WHERE state <> 'waiting' AND ended_at < ?", micros(before))
	return err
}

// A SealedParked holds the sealed parts of a parked message, except its chunks. Request is empty once it has ended.
type SealedParked struct {
	ID      string
	Request []byte
	Digest  []byte
	Chunks  int
}

// SealedParked lists the sealed parts of parked messages, after the given ID. The chunks of a message that has ended
// are not counted.
func (r Reader) SealedParked(ctx context.Context, after string, limit int) ([]SealedParked, error) {
	return list(ctx, r, func(s row) (v SealedParked, err error) {
		err = s.Scan(&v.ID, &v.Request, &v.Digest, &v.Chunks)
		return v, err
	}, "SELECT id, sealed_request, sealed_digest, CASE WHEN state = 'waiting' THEN chunks ELSE 0 END FROM parked WHERE "+
		"id > ? ORDER BY id LIMIT ?", after, limit)
}

// ResealParked replaces the sealed parts of a message. The request of a message that has ended in the meantime stays
// deleted.
func (t *Tx) ResealParked(ctx context.Context, v SealedParked) error {
	// The column in the condition gives the parameter its type, on PostgreSQL.
	_, err := t.exec(ctx, "UPDATE parked SET sealed_digest = ?, sealed_request = CASE WHEN sealed_request IS NULL THEN "+
		"sealed_request ELSE ? END WHERE id = ?", v.Digest, v.Request, v.ID)
	return err
}
