package rollovers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// droppedAtOnce is the number of chunks that one transaction deletes, so that other writes do not wait for long.
	droppedAtOnce = 16
	// bodiesKept exceeds the pause between two chunks of a body whose sender is as slow as a gateway allows.
	bodiesKept = time.Hour
)

// A request is sealed for its message. One with chunks has a context of its own, so that an earlier release, which
// would send it without its body, cannot open it.
func parkedContext(id string, chunks int) string {
	if chunks > 0 {
		return "parked-head/" + id
	}
	return "parked/" + id
}

func digestContext(id string) string { return "parked-digest/" + id }

// chunkContext binds a chunk to its message and its place, and the last one to the end of the body. Chunks that were
// swapped, truncated or taken from another message do not open.
func chunkContext(id string, part tenancy.ParkedPart) string {
	end := "more"
	if part.Last {
		end = "last"
	}
	return fmt.Sprintf("parked-chunk/%s/%d/%s", id, part.N, end)
}

// Park seals a message and stores it for delivery, once for each Idempotency-Key of an arrangement. It returns the
// message that is stored under the key. It returns [tenancy.ErrConflict] if that is a different message, and
// [tenancy.ErrQuota] if the tenant has no room for another one. The chunks of its body are stored already.
func (o *Rollovers) Park(ctx context.Context, p tenancy.Parked, request []byte,
	quota tenancy.ParkedQuota) (stored tenancy.Parked, err error) {
	digest := p.Digest
	p.Bytes = int64(len(request))
	sealed, err1 := o.seal.Seal(request, parkedContext(p.ID, p.Chunks))
	p.Digest, err = o.seal.Seal(digest, digestContext(p.ID)) // the digest of a short message would reveal it
	if err = errors.Join(err1, err); err != nil {
		return p, err
	}
	err = o.store.InTx(ctx, func(tx *store.Tx) error {
		used, err := tx.LockParked(ctx, p.TenantID)
		if err != nil {
			return err
		}
		if stored, err = tx.Park(ctx, p, sealed); err != nil || stored.ID != p.ID {
			return err
		}
		if p.Chunks > 0 {
			if err := tx.TouchParkedBody(ctx, p.ID, 0, p.CreatedAt); err != nil {
				return err
			}
		}
		used.Messages++
		used.Bytes += p.Bytes
		return quota.Check(used)
	})
	if err != nil || stored.ID == p.ID || len(stored.Digest) == 0 {
		return stored, err
	}
	before, err := o.seal.Open(stored.Digest, digestContext(stored.ID))
	if err == nil && !bytes.Equal(before, digest) {
		err = tenancy.Errorf(tenancy.ErrConflict, "this Idempotency-Key was used for another message: use a new one")
	}
	return stored, err
}

// ReserveParked begins to store a body of at least p.Bytes in chunks, and returns p. If a message is stored under its
// Idempotency-Key already, it returns that one and reserves nothing. It returns [tenancy.ErrQuota] if the tenant has no
// room for the body.
func (o *Rollovers) ReserveParked(ctx context.Context, p tenancy.Parked, quota tenancy.ParkedQuota,
	now time.Time) (stored tenancy.Parked, err error) {
	if p.Bytes < 0 {
		return p, tenancy.Errorf(tenancy.ErrInvalid, "a parked body has %d bytes", p.Bytes)
	}
	err = o.store.InTx(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.ParkedUnder(ctx, p.ArrangementID, p.IdempotencyKey)
		if !errors.Is(err, tenancy.ErrNotFound) {
			return err
		}
		stored = p
		used, err := tx.LockParked(ctx, p.TenantID)
		if err != nil {
			return err
		}
		used.Messages++
		used.Bytes += p.Bytes
		if err := quota.Check(used); err != nil {
			return err
		}
		return tx.ReserveParkedBody(ctx, p.ID, p.TenantID, p.Bytes, now)
	})
	return stored, err
}

// mostChunks limits the chunks of a body. It exceeds what any arrangement may keep.
const mostChunks = 1 << 20

// AddParkedChunk seals and stores the next chunk of a body. Each chunk but the last has [tenancy.ParkedChunk] bytes. It
// returns [tenancy.ErrQuota] if the body has become too large for the tenant's quota.
func (o *Rollovers) AddParkedChunk(ctx context.Context, p tenancy.Parked, part tenancy.ParkedPart,
	quota tenancy.ParkedQuota, now time.Time) error {
	size := len(part.Data)
	if part.N < 0 || part.N > mostChunks || p.Bytes < 0 || size == 0 || size > tenancy.ParkedChunk ||
		!part.Last && size != tenancy.ParkedChunk {
		return tenancy.Errorf(tenancy.ErrInvalid, "chunk %d of a parked body has %d bytes", part.N, size)
	}
	sealed, err := o.seal.Seal(part.Data, chunkContext(p.ID, part))
	if err != nil {
		return err
	}
	before := int64(part.N) * tenancy.ParkedChunk
	total := before + int64(size)
	return o.store.InTx(ctx, func(tx *store.Tx) error {
		if total > p.Bytes { // more than was reserved
			used, err := tx.LockParked(ctx, p.TenantID)
			if err != nil {
				return err
			}
			used.Bytes += total - max(before, p.Bytes)
			if err := quota.Check(used); err != nil {
				return err
			}
		}
		if err := tx.TouchParkedBody(ctx, p.ID, total, now); err != nil {
			return err
		}
		return tx.AddParkedChunk(ctx, p.ID, part.N, sealed)
	})
}

// ParkedChunk opens a chunk of the body of a message, which has p.Chunks of them.
func (o *Rollovers) ParkedChunk(ctx context.Context, p tenancy.Parked, n int) ([]byte, error) {
	sealed, err := o.store.ParkedChunk(ctx, p.ID, n)
	if err != nil {
		return nil, err
	}
	return o.seal.Open(sealed, chunkContext(p.ID, tenancy.ParkedPart{N: n, Last: n == p.Chunks-1}))
}

// DropParked deletes the stored body of a message that does not wait.
func (o *Rollovers) DropParked(ctx context.Context, p tenancy.Parked) error {
	for {
		var gone, kept bool
		err := o.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if _, err := tx.LockParked(ctx, p.TenantID); err != nil {
				return err
			}
			gone, kept, err = tx.DropParkedBody(ctx, p.ID, droppedAtOnce)
			return err
		})
		if err != nil || gone || kept {
			return err
		}
	}
}

// PruneParked deletes bodies that were not completed, or whose message has ended.
func (o *Rollovers) PruneParked(ctx context.Context, now time.Time) error {
	const page = 100
	for {
		unused, err := o.store.UnusedParkedBodies(ctx, now.Add(-bodiesKept), page)
		if err != nil {
			return err
		}
		for _, b := range unused {
			if err := o.DropParked(ctx, tenancy.Parked{ID: b.ID, TenantID: b.TenantID}); err != nil {
				return err
			}
		}
		if len(unused) < page {
			return nil
		}
	}
}

// Parked finds a parked message of an arrangement.
func (o *Rollovers) Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error) {
	return o.store.Parked(ctx, arrangementID, id)
}

// DueParked lists the parked messages whose next attempt is due, one for each arrangement.
func (o *Rollovers) DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	return o.store.DueParked(ctx, now, limit)
}

// ParkedAddress returns the names that a parked message is addressed to, and the timeout of its arrangement.
func (o *Rollovers) ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string,
	timeout time.Duration, err error) {
	t, a, err := o.store.OwnedArrangement(ctx, p.ArrangementID)
	return t.Name, a.Name, a.Egress.Timeout(), err
}

// ClaimParked claims a due message for one attempt until an instant, and opens its request. claimed is false if another
// gateway was faster.
func (o *Rollovers) ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte,
	err error) {
	err = o.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if claimed, err = tx.ClaimParked(ctx, p, until); err == nil && claimed {
			request, err = tx.ParkedRequest(ctx, p.ID)
		}
		return err
	})
	if err == nil && claimed {
		request, err = o.seal.Open(request, parkedContext(p.ID, p.Chunks))
	}
	return claimed, request, err
}

// UpdateParked stores the result of an attempt to deliver a parked message. Its body is deleted when it has ended.
func (o *Rollovers) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	err := o.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateParked(ctx, p) })
	if err != nil || p.Chunks == 0 || p.State == tenancy.ParkedWaiting {
		return err
	}
	if err := o.DropParked(ctx, p); err != nil {
		o.log.WarnContext(ctx, "the body of a finished parked message could not be deleted: it will be deleted within two "+
			"hours", "message", p.ID, "error", err)
	}
	return nil
}
