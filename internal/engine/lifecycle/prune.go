package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	// DefaultMessagesKept is the retention time of the message log unless [Config] sets another one.
	DefaultMessagesKept = 30 * 24 * time.Hour
	// LeastMessagesKept is the shortest retention time of the message log. The diagnosis reads the latest entries.
	LeastMessagesKept = 24 * time.Hour
	// parkedKept is the retention time of parked messages that have ended.
	parkedKept = 30 * 24 * time.Hour
	// remindersKept exceeds the time in which a reminder can come again: the first one is sent 30 days before a
	// certificate expires.
	remindersKept = 90 * 24 * time.Hour
	// silencesKept is the time after which a feed that is still silent is reported again.
	silencesKept = 90 * 24 * time.Hour
	// questionsKept exceeds a day, because receivers are asked daily. It is also the time for claims of a day.
	questionsKept = 7 * 24 * time.Hour
	// prunePage is the maximum number of messages that one transaction deletes.
	prunePage = 5000
)

// Prune deletes messages, bodies and claims of replicas that are past their retention time, and proposals for hosts
// that no receiver names any longer. Call it as often as [Engine.Tick].
func (e *Engine) Prune(ctx context.Context, now time.Time) error {
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.PruneClaims(ctx, store.ClaimReminder, now.Add(-remindersKept)),
			tx.PruneClaims(ctx, store.ClaimTrustQuestions, now.Add(-questionsKept)),
			tx.PruneClaims(ctx, store.ClaimTokenEnd, now.Add(-remindersKept)),
			tx.PruneClaims(ctx, store.ClaimAuthorityAwaited, now.Add(-remindersKept)),
			tx.PruneClaims(ctx, store.ClaimRunFailed, now.Add(-remindersKept)),
			tx.PruneClaims(ctx, store.ClaimFeedSilent, now.Add(-silencesKept)),
			tx.PruneClaims(ctx, store.ClaimNews, now.Add(-newsKept)), tx.ForgetNews(ctx, now.Add(-newsKept)),
			tx.PruneClaims(ctx, store.ClaimResumed, now.Add(-questionsKept)),
			tx.PruneClaims(ctx, store.ClaimHeld, now),
			tx.PruneClaims(ctx, store.ClaimHead, now.Add(-headsKept)),
			tx.PruneProposals(ctx))
	})
	if err != nil {
		return err
	}
	if err := e.shared.PruneParked(ctx, now); err != nil {
		return err
	}
	before := now.Add(-e.messagesKept)
	if err := e.store.TurnMessageLog(ctx, now, before); err != nil {
		return err
	}
	for {
		var n int64
		err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if n, err = tx.ForgetMessages(ctx, before, prunePage); err != nil {
				return err
			}
			return tx.ForgetParked(ctx, now.Add(-parkedKept))
		})
		if err != nil || n < prunePage {
			return err
		}
	}
}
