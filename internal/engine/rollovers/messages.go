package rollovers

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// tokenUse is the precision of the last use of a token: gateways look it up once a minute each.
	tokenUse = time.Hour
	// tokenUsePatience limits the time for which a message waits until the use of its token is recorded.
	tokenUsePatience = 200 * time.Millisecond
)

// Token finds a token by the hash of its secret, for a sender that uses it. It returns [tenancy.ErrNotFound] if the
// token is not valid at now. The use is recorded, at most once an hour. The message continues if that fails.
func (o *Rollovers) Token(ctx context.Context, hash string, now time.Time) (tenancy.Token, error) {
	t, err := o.store.TokenByHash(ctx, hash)
	if err != nil {
		return t, err
	}
	if !t.Valid(now) {
		return t, tenancy.Errorf(tenancy.ErrNotFound, "this token is not valid any more")
	}
	if now.Sub(t.LastUsedAt) >= tokenUse {
		ctx, cancel := context.WithTimeout(ctx, tokenUsePatience)
		defer cancel()
		if err := o.store.InTx(ctx, func(tx *store.Tx) error { return tx.TouchToken(ctx, t.ID, now) }); err != nil {
			o.log.WarnContext(ctx, "the use of a token could not be recorded", "token", t.ID, "error", err)
		}
	}
	return t, nil
}

// Record adds messages to the message log.
func (o *Rollovers) Record(ctx context.Context, messages []tenancy.Message) error {
	return o.store.InTx(ctx, func(tx *store.Tx) error { return tx.AddMessages(ctx, messages) })
}

func parkedContext(id string) string { return "parked/" + id }

func digestContext(id string) string { return "parked-digest/" + id }

// Park seals a message and stores it for delivery, once for each Idempotency-Key of an arrangement. It returns the
// message that is stored under the key. It returns [tenancy.ErrConflict] if that is a different message.
func (o *Rollovers) Park(ctx context.Context, p tenancy.Parked, request []byte) (stored tenancy.Parked, err error) {
	digest := p.Digest
	sealed, err1 := o.seal.Seal(request, parkedContext(p.ID))
	p.Digest, err = o.seal.Seal(digest, digestContext(p.ID)) // the digest of a short message would reveal it
	if err = errors.Join(err1, err); err != nil {
		return p, err
	}
	err = o.store.InTx(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.Park(ctx, p, sealed)
		return err
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
		request, err = o.seal.Open(request, parkedContext(p.ID))
	}
	return claimed, request, err
}

// UpdateParked stores the result of an attempt to deliver a parked message.
func (o *Rollovers) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	return o.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateParked(ctx, p) })
}

// OnChange calls a function with the ID of every tenant whose roll-overs change, until stop is called.
func (o *Rollovers) OnChange(listen func(tenantID string)) (stop func()) {
	return o.store.OnChange(listen)
}
