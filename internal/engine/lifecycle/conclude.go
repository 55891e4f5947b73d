package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// conclude notifies a tenant's people once of the end of a roll-over: if every receiver is proved to accept the newest
// generation, and if an older one has expired before that. It is called before expired generations are retired.
func (e *Engine) conclude(ctx context.Context, t tenancy.Tenant, all []standing.Standing,
	inReach []tenancy.Certificate, now time.Time) error {
	var failures []error
	for name, certs := range byCredential(inReach) {
		presenting := slices.DeleteFunc(slices.Clone(all), func(s standing.Standing) bool {
			return s.Arrangement.Presents() != name
		})
		newest := certs[len(certs)-1]
		if len(presenting) == 0 || newest.State == tenancy.Revoked || !now.Before(newest.NotAfter) {
			continue
		}
		open := unproved(presenting, newest.Generation)
		i := slices.IndexFunc(certs, func(c tenancy.Certificate) bool { return c.SuccessorID == newest.ID })
		if len(open) == 0 && i >= 0 && acceptsOne(presenting, newest.Generation) {
			failures = append(failures, e.concludeDone(ctx, t, certs[i], newest, len(presenting), now))
		}
		for _, c := range certs[:len(certs)-1] {
			if c.State != tenancy.Revoked && c.SuccessorID != "" && !now.Before(c.NotAfter) {
				failures = append(failures, e.concludeOver(ctx, t, c, newest, without(open, now), now))
			}
		}
	}
	return errors.Join(failures...)
}

// unproved returns the arrangements whose receiver is not proved to accept a generation.
func unproved(all []standing.Standing, generation int) (open []standing.Standing) {
	for _, s := range all {
		if !s.Rollover.Proved(generation) {
			open = append(open, s)
		}
	}
	return open
}

// acceptsOne reports whether a receiver has accepted a generation. Without one, all of them ask for no certificate, and
// the notice of the renewal said that there is nothing to do.
func acceptsOne(all []standing.Standing, generation int) bool {
	return slices.ContainsFunc(all, func(s standing.Standing) bool {
		g, _ := s.Rollover.Generation(generation)
		return g.Verdict == rollover.Accepted
	})
}

// without returns the names of the arrangements that have no other generation that may be accepted.
func without(open []standing.Standing, now time.Time) (names []string) {
	for _, s := range open {
		if risk, at := s.Rollover.Risk(now); !at || risk.Exposed {
			names = append(names, s.Arrangement.Name)
		}
	}
	slices.Sort(names)
	return names
}

// concludeDone reports that nothing is left to do.
func (e *Engine) concludeDone(ctx context.Context, t tenancy.Tenant, old, newest tenancy.Certificate, systems int,
	now time.Time) error {
	return e.concludeOnce(ctx, t, "done/"+newest.ID, now, func(b *batch, p audience) {
		which := fmt.Sprintf("All %d receivers accept", systems)
		if systems == 1 {
			which = "The receiver accepts"
		}
		e.notify(b, p, old, tenancy.Notice{Kind: tenancy.Done, CertificateID: old.ID, SuccessorID: newest.ID, DueAt: now,
			Subject: which + " the new " + newest.Purpose.Noun(), DedupKey: "done"}, cause{actor: "roll-over"}, now)
		b.events = append(b.events, tenancy.NewEvent(now, "roll-over", "arrangements.ready", t.Name,
			object(t, newest), map[string]any{"arrangements": systems}))
	})
}

// concludeOver reports that the last certificate that receivers are known to accept has expired. names are the
// arrangements of these receivers.
func (e *Engine) concludeOver(ctx context.Context, t tenancy.Tenant, old, newest tenancy.Certificate, names []string,
	now time.Time) error {
	if len(names) == 0 {
		return nil
	}
	return e.concludeOnce(ctx, t, "over/"+old.ID, now, func(b *batch, p audience) {
		which := names[0] + " is not known to accept"
		if others := len(names) - 1; others > 0 {
			which = fmt.Sprintf("%s and %d more are not known to accept", names[0], others)
		}
		e.notify(b, p, old, tenancy.Notice{Kind: tenancy.Over, CertificateID: old.ID, SuccessorID: newest.ID, DueAt: now,
			Subject:  "Urgent: the old certificate has expired, and " + which + " the new one",
			DedupKey: "over"}, cause{actor: "roll-over"}, now)
		e.toAdministrators(b, p, old, tenancy.Notice{Kind: tenancy.AdministratorUnready, CertificateID: old.ID,
			SuccessorID: newest.ID, DueAt: now}, concern{names: names}, now)
		b.events = append(b.events, tenancy.NewEvent(now, "roll-over", "arrangements.unready", t.Name, object(t, old),
			map[string]any{"arrangements": names, "expired": old.NotAfter}))
	})
}

// concludeOnce writes a notice to a tenant's people, unless this or another replica did so before.
func (e *Engine) concludeOnce(ctx context.Context, t tenancy.Tenant, subject string, now time.Time,
	fill func(b *batch, p audience)) error {
	err := e.remindOnce(ctx, t, subject, now, fill)
	if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
		return nil
	}
	return err
}
