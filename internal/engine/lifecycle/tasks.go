package lifecycle

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// aboutRollovers are the tasks whose reason is gone when every receiver accepts the new certificate, with the one that
// reports that.
var aboutRollovers = []tenancy.NoticeKind{tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.Over,
	tenancy.Done, tenancy.Differs}

// supersede closes the open tasks about roll-overs from and to revoked certificates of a tenant. They ask to keep one
// of them, or to install it. The notice of the renewal or the revocation states what to do instead.
func (e *Engine) supersede(ctx context.Context, tx *store.Tx, t tenancy.Tenant, revoked []tenancy.Certificate,
	why cause, now time.Time) error {
	topic := store.TaskTopic{TenantID: t.ID,
		Kinds: []tenancy.NoticeKind{tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.Over}}
	for _, c := range revoked {
		topic.CertificateIDs = append(topic.CertificateIDs, c.ID)
		if c.Generation > 1 {
			previous, err := tx.Certificate(ctx, t.ID, c.Purpose, c.Generation-1)
			switch {
			case errors.Is(err, tenancy.ErrNotFound):
			case err != nil:
				return err
			case previous.State != tenancy.Revoked: // a revoked one must still be removed
				topic.CertificateIDs = append(topic.CertificateIDs, previous.ID)
			}
		}
	}
	n, err := tx.CloseTasks(ctx, topic, tenancy.ClosedRevoked, now)
	if err != nil || n == 0 {
		return err
	}
	return tx.Audit(ctx, tenancy.NewEvent(now, why.actor, "tasks.closed", t.Name, object(t, revoked[0]),
		map[string]any{"tasks": n, "reason": tenancy.ClosedRevoked}))
}

// closeTasks closes the tasks about the older generations of a credential when every receiver that gets it accepts the
// newest one. Without a receiver, nothing shows that a person has nothing to do. Until then, it closes only those about
// a coming renewal, because that has happened, and the task about it states what is left to do.
func (e *Engine) closeTasks(ctx context.Context, t tenancy.Tenant, certs []tenancy.Certificate,
	all []standing.Standing, warned bool, now time.Time) error {
	newest := certs[len(certs)-1]
	present := slices.DeleteFunc(slices.Clone(all), func(s standing.Standing) bool {
		return s.Arrangement.Presents() != newest.Purpose
	})
	open := newest.State == tenancy.Revoked || slices.ContainsFunc(present, func(s standing.Standing) bool {
		known, _ := s.Rollover.Generation(newest.Generation)
		return known.Verdict != rollover.Accepted && s.Rollover.UnaskedAt.IsZero()
	})
	if len(certs) < 2 {
		return nil
	}
	topic, why := store.TaskTopic{TenantID: t.ID, Kinds: aboutRollovers}, tenancy.ClosedAccepted
	if open || len(present) == 0 {
		if !warned {
			return nil
		}
		topic.Kinds, why = []tenancy.NoticeKind{tenancy.Expiring}, tenancy.ClosedRenewed
	}
	for _, c := range certs[:len(certs)-1] {
		topic.CertificateIDs = append(topic.CertificateIDs, c.ID)
	}
	if n, err := e.store.CountOpenTasks(ctx, topic); err != nil || n == 0 {
		return err
	}
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.CloseTasks(ctx, topic, why, now)
		if err != nil || n == 0 {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "roll-over", "tasks.closed", t.Name, object(t, newest),
			map[string]any{"tasks": n, "reason": why}))
	})
}
