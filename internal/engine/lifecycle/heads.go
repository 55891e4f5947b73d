package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A HeadSink keeps heads of the audit log outside the database. Whoever can change the database can rewrite the whole
// log so that its hashes fit, but not the heads that were sent out before.
type HeadSink interface {
	// Name distinguishes the sinks of an installation. It does not change.
	Name() string
	// Keep stores the head of an instant. It may be called again with the same head after a crash.
	Keep(ctx context.Context, head tenancy.Chain, at time.Time) error
}

// headsKept exceeds a month, because the mail comes once a month.
const headsKept = 62 * 24 * time.Hour

// PublishHead hands the head of the audit log to each sink once a day, and mails it to the hosting team once a month. A
// sink that fails does not delay the others, and is tried again at the next tick.
func (e *Engine) PublishHead(ctx context.Context, now time.Time) error {
	var failures []error
	for _, s := range e.heads {
		if err := e.publishTo(ctx, s, now); err != nil {
			failures = append(failures, fmt.Errorf("the head of the audit log was not kept (%s): %w", s.Name(), err))
		}
	}
	return errors.Join(append(failures, e.mailHead(ctx, now))...)
}

func (e *Engine) publishTo(ctx context.Context, s HeadSink, now time.Time) error {
	subject := s.Name() + "/" + now.UTC().Format(time.DateOnly)
	if done, err := e.store.Claimed(ctx, store.ClaimHead, subject); err != nil || done {
		return err
	}
	head, err := e.store.EventHead(ctx)
	if err != nil {
		return err
	}
	if err := s.Keep(ctx, head, now); err != nil {
		return err
	}
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Claim(ctx, store.ClaimHead, subject, now)
		return err
	})
}

// mailHead sends the monthly mail to the hosting team.
func (e *Engine) mailHead(ctx context.Context, now time.Time) error {
	if len(e.operators) == 0 {
		return nil
	}
	month := now.UTC().Format("2006-01")
	_, err := e.store.Once(ctx, store.ClaimHead, "mail/"+month, now, func(tx *store.Tx) error {
		head, err := tx.EventHead(ctx)
		if err != nil {
			return err
		}
		n := tenancy.Notice{ID: store.NewID(), Kind: tenancy.AuditHead, CreatedAt: now, DedupKey: "audit-head/" + month,
			Subject: "Perennial: the head of the audit log, " + now.UTC().Format("January 2006"), Reason: head.String()}
		return e.write(ctx, tx, e.toOperators(n), now)
	})
	return err
}
