package rollovers

import (
	"context"
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
		return t, tenancy.Errorf(tenancy.ErrNotFound, "this token is no longer valid")
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

// OnChange calls a function with the ID of every tenant whose roll-overs change, until stop is called.
func (o *Rollovers) OnChange(listen func(tenantID string)) (stop func()) {
	return o.store.OnChange(listen)
}
