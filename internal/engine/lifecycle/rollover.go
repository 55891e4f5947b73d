package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// standardNotice is the minimum time between the first notice of a new generation and its use, unless there is a need.
// For certificates that live for weeks, the minimum is a quarter of their lifetime.
const standardNotice = 28 * policy.Day

// NoticeUnder returns the minimum time between the first notice of a new generation and its use, under a policy that
// warns about every renewal.
func NoticeUnder(p policy.Policy) time.Duration { return min(standardNotice, p.Validity/4) }

// noticedUntil returns the end of the notice of a successor. The notice begins with the warning. The warning of a
// monthly run is notice enough, that of a weekly run may not be. If the policy gives no warning, no notice is due.
// Otherwise, only a late run or a user renews without a warning.
func (e *Engine) noticedUntil(old tenancy.Certificate, why cause, now time.Time) (time.Time, error) {
	notice := NoticeUnder(e.policy)
	switch {
	case !old.WarnedAt.IsZero() && old.WarnedAt.Add(notice).After(now):
		return old.WarnedAt.Add(notice), nil
	case !old.WarnedAt.IsZero():
		return now, nil
	case !why.runDate.IsZero():
		if free, err := e.surpriseFree(); err != nil || !free {
			return now, err
		}
	}
	return now.Add(notice), nil
}

// rollPage is the number of tenants that are read at a time.
const rollPage = 200

// Roll updates every open roll-over as of now. It cuts over from generations that expire and where the evidence calls
// for it, retires the generations that are no longer needed, sends reminders about receivers that have not acted, and
// reports the end of a roll-over.
// Its cost is proportional to the number of open roll-overs.
func (e *Engine) Roll(ctx context.Context, now time.Time) error {
	var failures []error
	err := e.rolling(ctx, now, func(p rollingPage) error {
		warned, err := e.store.TenantsWithOpenTask(ctx, p.ids, tenancy.Expiring)
		if err != nil {
			return err
		}
		for _, id := range p.ids {
			if _, _, err := e.rollTenant(ctx, p.tenants[id], p.arrangements[id], warned[id], now); err != nil {
				failures = append(failures, fmt.Errorf("roll-over of tenant %s: %w", p.tenants[id].Name, err))
			}
		}
		return nil
	})
	return errors.Join(append(failures, err)...)
}

// RollTenant is [Engine.Roll] for one tenant. It returns the state of the arrangements after that.
func (e *Engine) RollTenant(ctx context.Context, t tenancy.Tenant, now time.Time) ([]standing.Standing, error) {
	arrangements, err := e.store.ArrangementsOf(ctx, []string{t.ID})
	if err != nil {
		return nil, err
	}
	all, retired, err := e.rollTenant(ctx, t, arrangements[t.ID], true, now)
	if err != nil || !retired {
		return all, err
	}
	current := make([]tenancy.Arrangement, len(all))
	for i, s := range all {
		current[i] = s.Arrangement
	}
	return e.Standings(ctx, e.store.Reader, t, current)
}

// NextRoll returns the earliest instant at which [Engine.Roll] may have something to do for the tenant of these
// arrangements, if there is no new evidence before. It returns zero if there is no such instant.
func NextRoll(all []standing.Standing, now time.Time) (next time.Time) {
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	settled := map[tenancy.Purpose]bool{} // credentials with a generation that can be retired if it is true
	for _, s := range all {
		if len(s.Certificates) < 2 {
			continue
		}
		old := s.Certificates[:len(s.Certificates)-1]
		retires := slices.ContainsFunc(old, func(c tenancy.Certificate) bool { return !outlives(c, s.Certificates, now) })
		consider(s.Rollover.Next(now))
		if risk, at := s.Rollover.Risk(now); at {
			last, _ := cadence(s, risk)
			for _, days := range stages {
				if stage := last.NotAfter.Add(-time.Duration(days) * policy.Day); stage.After(now) {
					consider(stage)
				}
			}
		}
		name := s.Arrangement.Presents()
		before, open := settled[name]
		settled[name] = (before || !open) && retires && s.Rollover.State(now) == rollover.Settled
	}
	for _, all := range settled {
		if all {
			return now
		}
	}
	return next
}

// A rollingPage has some tenants with an open roll-over, by their IDs.
type rollingPage struct {
	ids          []string
	tenants      map[string]tenancy.Tenant
	arrangements map[string][]tenancy.Arrangement
}

// rolling calls each for every page of the tenants with an open roll-over at now. It stops at an error.
func (e *Engine) rolling(ctx context.Context, now time.Time, each func(rollingPage) error) error {
	for after := ""; ; {
		ids, err := e.store.Rolling(ctx, now, after, rollPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		tenants, err1 := e.store.TenantsByID(ctx, ids)
		arrangements, err2 := e.store.ArrangementsOf(ctx, ids)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if err := each(rollingPage{ids, tenants, arrangements}); err != nil {
			return err
		}
	}
}

// Open calls each with the state of every arrangement that has an open roll-over at now.
func (e *Engine) Open(ctx context.Context, now time.Time, each func(standing.Standing)) error {
	var failures []error
	err := e.rolling(ctx, now, func(p rollingPage) error {
		for _, id := range p.ids {
			all, err := e.Standings(ctx, e.store.Reader, p.tenants[id], p.arrangements[id])
			if err != nil {
				failures = append(failures, err)
			}
			for _, s := range all {
				each(s)
			}
		}
		return nil
	})
	return errors.Join(append(failures, err)...)
}

// rollTenant updates the roll-overs of a tenant as of now. warned is false if it has no open task about a warning, so
// that none is looked for. retired reports whether a generation was retired.
func (e *Engine) rollTenant(ctx context.Context, t tenancy.Tenant, arrangements []tenancy.Arrangement, warned bool,
	now time.Time) (all []standing.Standing, retired bool, err error) {
	all, inReach, err := e.StandingsInReach(ctx, e.store.Reader, t, arrangements)
	if err != nil {
		return nil, false, err
	}
	unsettled := map[tenancy.Purpose]bool{} // credentials with an arrangement that is not settled
	for i, s := range all {
		if _, move := s.Rollover.At(now); move != nil {
			if all[i], err = e.Observe(ctx, s.Arrangement.ID, "roll-over", nil, now); err != nil {
				return nil, false, err
			}
		}
		if all[i].Rollover.State(now) != rollover.Settled {
			unsettled[s.Arrangement.Presents()] = true
		}
	}
	if err := e.remind(ctx, t, all, now); err != nil {
		return nil, false, err
	}
	if err := e.conclude(ctx, t, all, inReach, now); err != nil {
		return nil, false, err
	}
	if err := e.concludeAdministrators(ctx, t, all, inReach, now); err != nil {
		return nil, false, err
	}
	for name, certs := range byCredential(inReach) {
		if err := e.closeTasks(ctx, t, certs, all, warned, now); err != nil {
			return all, retired, err
		}
		some, err := e.retire(ctx, t, certs, all, !unsettled[name], now)
		if retired = retired || some; err != nil {
			return all, retired, err
		}
	}
	return all, retired, nil
}

// outlives reports whether a generation has not expired and expires after the newest of its credential, as after a
// change to a shorter validity. A receiver may still accept it when the newest has expired and the next one is not
// installed.
func outlives(c tenancy.Certificate, all []tenancy.Certificate, now time.Time) bool {
	return now.Before(c.NotAfter) && c.NotAfter.After(all[len(all)-1].NotAfter)
}

// byCredential groups the certificates of a tenant in their order.
func byCredential(certs []tenancy.Certificate) map[tenancy.Purpose][]tenancy.Certificate {
	groups := map[tenancy.Purpose][]tenancy.Certificate{}
	for _, c := range certs {
		groups[c.Purpose] = append(groups[c.Purpose], c)
	}
	return groups
}

// retire ends the replaced generations of a credential that have expired. If every arrangement that presents it is
// settled, it ends the others too, except those that outlive the newest one.
func (e *Engine) retire(ctx context.Context, t tenancy.Tenant, certs []tenancy.Certificate, all []standing.Standing,
	allSettled bool, now time.Time) (retired bool, err error) {
	for _, c := range certs {
		needed := now.Before(c.NotAfter) && !allSettled || outlives(c, certs, now)
		if c.State == tenancy.Revoked || c.SuccessorID == "" || needed {
			continue
		}
		err := e.store.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.Retire(ctx, c.ID); err != nil {
				return err
			}
			// The newest one has no successor, so it is another one. If the last arrangement is gone, it is not active yet.
			if err := tx.Activate(ctx, t.ID, c.Purpose, certs[len(certs)-1].Generation); err != nil {
				return err
			}
			tx.Changed(t.ID)
			if err := e.tellRetired(ctx, tx, t, c, certs[len(certs)-1], all, now); err != nil {
				return err
			}
			return tx.Audit(ctx, tenancy.NewEvent(now, "roll-over", "certificate.retired", t.Name, object(t, c),
				certificateDetail(c)))
		})
		if err != nil && !errors.Is(err, tenancy.ErrStale) { // another replica was faster
			return retired, err
		}
		retired = true
	}
	return retired, nil
}
