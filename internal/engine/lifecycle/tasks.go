package lifecycle

import (
	"context"
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
