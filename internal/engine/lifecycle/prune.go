package lifecycle

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	// messagesKept is how long the message log and the ends of parked messages are kept.
	messagesKept = 30 * 24 * time.Hour
	// prunePage bounds how many messages one transaction deletes.
	prunePage = 5000
)

// Prune deletes messages that are older than they are kept. Call it as often as [Engine.Tick].
func (e *Engine) Prune(ctx context.Context, now time.Time) error {
	before := now.Add(-messagesKept)
	for {
		var n int64
		err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if n, err = tx.ForgetMessages(ctx, before, prunePage); err != nil {
				return err
			}
			return tx.ForgetParked(ctx, before)
		})
		if err != nil || n < prunePage {
			return err
		}
	}
}
