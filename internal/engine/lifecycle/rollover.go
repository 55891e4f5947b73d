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

// standardNotice is how long key users know of a new generation before it is presented without need. Where certificates
// live for weeks, it is a quarter of their lifetime.
const standardNotice = 28 * policy.Day

// NoticeUnder is how long key users know of a new generation before it is presented without need, where the policy
// warns of every renewal.
func NoticeUnder(p policy.Policy) time.Duration { return min(standardNotice, p.Validity/4) }

// noticedUntil is when the notice of a successor ends. It began with the warning where one was given: that of a monthly
// run is notice enough, that of a weekly one may not be. Where the policy gives none, none is due; only a run that is
// late, and a person, may renew without warning.
func (e *Engine) noticedUntil(old tenancy.Certificate, why cause, now time.Time) time.Time {
	notice := NoticeUnder(e.Policy)
	switch {
	case !old.WarnedAt.IsZero() && old.WarnedAt.Add(notice).After(now):
		return old.WarnedAt.Add(notice)
	case !old.WarnedAt.IsZero(), !why.runDate.IsZero() && !e.surpriseFree():
		return now
	default:
		return now.Add(notice)
	}
}

// assemble puts together where an arrangement stands.
func assemble(a tenancy.Arrangement, certs []tenancy.Certificate, evidence []standing.Evidence) rollover.Rollover {
	r := rollover.Rollover{Strategy: a.Strategy, Presents: a.Generation, NeededOldAt: a.NeededOldAt,
		Generations: make([]rollover.Generation, len(certs))}
	for i, c := range certs {
		g := rollover.Generation{Number: c.Generation, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			Revoked: c.State == tenancy.Revoked, NoticedUntil: c.NoticedUntil}
		for _, known := range evidence {
			if known.Generation == c.Generation {
				g.PresentedAt, g.Verdict, g.VerdictAt, g.By = known.PresentedAt, known.Verdict, known.VerdictAt, known.Source
			}
		}
		r.Generations[i] = g
	}
	return r
}

// Standings reads where arrangements of a tenant stand: of all that present a certificate, or of one.
func (e *Engine) Standings(ctx context.Context, r store.Reader, t tenancy.Tenant,
	arrangements []tenancy.Arrangement) ([]standing.Standing, error) {
	var presenting []tenancy.Arrangement
	var ids []string
	for _, a := range arrangements {
		if a.Authentication == tenancy.ClientCertificate {
			presenting, ids = append(presenting, a), append(ids, a.ID)
		}
	}
	certs, err1 := r.InReachOf(ctx, []string{t.ID})
	evidence, err2 := r.EvidenceOf(ctx, ids)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	all := make([]standing.Standing, len(presenting))
	for i, a := range presenting {
		all[i] = standing.Standing{Tenant: t, Arrangement: a, Rollover: assemble(a, certs[t.ID], evidence[a.ID]),
			Certificates: certs[t.ID], Evidence: evidence[a.ID]}
	}
	return all, nil
}

// Standing reads where an arrangement stands; [tenancy.ErrRefused] where it presents no certificate.
func (e *Engine) Standing(ctx context.Context, r store.Reader, t tenancy.Tenant,
	a tenancy.Arrangement) (s standing.Standing, err error) {
	all, err := e.Standings(ctx, r, t, []tenancy.Arrangement{a})
	switch {
	case err != nil:
		return s, err
	case len(all) == 0:
		return s, tenancy.Errorf(tenancy.ErrRefused, "arrangement %s/%s presents no client certificate", t.Name, a.Name)
	case len(all[0].Certificates) == 0:
		return s, tenancy.Errorf(tenancy.ErrRefused, "tenant %s has no certificate that could be presented", t.Name)
	}
	return all[0], nil
}

// Observe takes in what was found out about an arrangement's receiver, moves the roll-over on where that says so, and
// returns where it stands then. What is known already costs one read.
func (e *Engine) Observe(ctx context.Context, arrangementID, actor string, seen []standing.Observation,
	now time.Time) (s standing.Standing, err error) {
	return e.step(ctx, arrangementID, actor, now, func(tx *store.Tx, s *standing.Standing) (*rollover.Move, error) {
		for _, o := range seen {
			o.At = o.At.UTC().Truncate(time.Microsecond)
			before, known := s.Rollover.Generation(o.Generation)
			if !known {
				continue
			}
			s.Rollover = s.Rollover.Observe(o.Evidence)
			after, _ := s.Rollover.Generation(o.Generation)
			if after == before {
				continue
			}
			row := standing.Evidence{ArrangementID: arrangementID, Generation: o.Generation, PresentedAt: after.PresentedAt,
				Verdict: after.Verdict, VerdictAt: after.VerdictAt, Source: after.By, Detail: o.Detail}
			if err := tx.SetEvidence(ctx, row); err != nil {
				return nil, err
			}
			if after.Verdict != before.Verdict {
				event := tenancy.NewEvent(now, actor, "arrangement."+string(after.Verdict), s.Tenant.Name, s.Name(),
					map[string]any{"generation": o.Generation, "source": o.By, "detail": o.Detail})
				if err := tx.Audit(ctx, event); err != nil {
					return nil, err
				}
			}
		}
		if s.Rollover.NeededOldAt != s.Arrangement.NeededOldAt {
			if err := tx.SetNeededOld(ctx, arrangementID, s.Rollover.NeededOldAt); err != nil {
				return nil, err
			}
		}
		var move *rollover.Move
		s.Rollover, move = s.Rollover.At(now)
		return move, nil
	})
}

// Choose cuts an arrangement over, or back, because a person says so.
func (e *Engine) Choose(ctx context.Context, arrangementID string, generation int, actor string,
	now time.Time) (standing.Standing, error) {
	return e.step(ctx, arrangementID, actor, now, func(_ *store.Tx, s *standing.Standing) (move *rollover.Move, err error) {
		s.Rollover, move, err = s.Rollover.Choose(generation, now)
		return move, err
	})
}

// step does one step of a roll-over in a transaction that keeps others from it.
func (e *Engine) step(ctx context.Context, arrangementID, actor string, now time.Time,
	do func(*store.Tx, *standing.Standing) (*rollover.Move, error)) (s standing.Standing, err error) {
	var move *rollover.Move
	err = e.Store.InTx(ctx, func(tx *store.Tx) error {
		a, err := tx.LockArrangement(ctx, arrangementID)
		if err != nil {
			return err
		}
		tenants, err := tx.TenantsByID(ctx, []string{a.TenantID})
		if err != nil {
			return err
		}
		if s, err = e.Standing(ctx, tx.Reader, tenants[a.TenantID], a); err != nil {
			return err
		}
		if move, err = do(tx, &s); err != nil || move == nil {
			tx.Changed(a.TenantID) // what is known may order the tries anew
			return err
		}
		return e.moved(ctx, tx, &s, *move, actor, now)
	})
	if err == nil && move != nil {
		e.tellAll(ctx, []cutOver{{s.Name(), s.Arrangement, *move}})
	}
	return s, err
}

// moved stores a move and says so.
func (e *Engine) moved(ctx context.Context, tx *store.Tx, s *standing.Standing, m rollover.Move,
	actor string, now time.Time) error {
	s.Arrangement.Generation = m.To
	if err := tx.CutOver(ctx, []tenancy.Arrangement{s.Arrangement}, now); err != nil {
		return err
	}
	s.Arrangement.Version++ // as CutOver does
	if err := tx.Activate(ctx, s.Tenant.ID, m.To); err != nil {
		return err
	}
	tx.Changed(s.Tenant.ID)
	return tx.Audit(ctx, moveEvent(now, actor, s.Tenant.Name, s.Arrangement, m))
}

// tellAll logs moves once they are stored: loudly where one may break delivery.
func (e *Engine) tellAll(ctx context.Context, all []cutOver) {
	for _, c := range all {
		if c.move.Forced {
			e.Log.ErrorContext(ctx, "a revoked certificate was left at once: messages fail until the receiver knows the new one",
				"arrangement", c.name, "from", c.move.From, "to", c.move.To, "why", c.move.Why)
		} else {
			e.Log.InfoContext(ctx, "cut over", "arrangement", c.name, "from", c.move.From, "to", c.move.To, "why", c.move.Why)
		}
	}
}

func moveEvent(now time.Time, actor, tenant string, a tenancy.Arrangement, m rollover.Move) tenancy.Event {
	detail := map[string]any{"from": m.From, "generation": m.To, "strategy": a.Strategy, "why": m.Why}
	if m.Forced {
		detail["may_break_delivery"] = true
	}
	return tenancy.NewEvent(now, actor, "arrangement.cut-over", tenant, tenant+"/"+a.Name, detail)
}

// rollPage is how many tenants one look at open roll-overs reads at a time.
const rollPage = 200

// Roll brings every open roll-over to now: it leaves what expires, cuts over where the evidence says so, retires the
// generations that nobody needs any more, and reminds people of receivers that do not act. It costs in proportion to
// what is open.
func (e *Engine) Roll(ctx context.Context, now time.Time) error {
	var failures []error
	err := e.rolling(ctx, func(t tenancy.Tenant, arrangements []tenancy.Arrangement) {
		if _, _, err := e.rollTenant(ctx, t, arrangements, now); err != nil {
			failures = append(failures, fmt.Errorf("roll-over of tenant %s: %w", t.Name, err))
		}
	})
	return errors.Join(append(failures, err)...)
}

// RollTenant is [Engine.Roll] for one tenant; it returns where the arrangements stand then.
func (e *Engine) RollTenant(ctx context.Context, t tenancy.Tenant, now time.Time) ([]standing.Standing, error) {
	arrangements, err := e.Store.ArrangementsOf(ctx, []string{t.ID})
	if err != nil {
		return nil, err
	}
	all, retired, err := e.rollTenant(ctx, t, arrangements[t.ID], now)
	if err != nil || !retired {
		return all, err
	}
	current := make([]tenancy.Arrangement, len(all))
	for i, s := range all {
		current[i] = s.Arrangement
	}
	return e.Standings(ctx, e.Store.Reader, t, current)
}

// NextRoll is the earliest instant at which [Engine.Roll] may have something to do for the tenant whose arrangements
// all are, if nobody finds out anything before: zero where there is none.
func NextRoll(all []standing.Standing, now time.Time) (next time.Time) {
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	settled := true
	for _, s := range all {
		if len(s.Rollover.Generations) < 2 {
			return time.Time{}
		}
		consider(s.Rollover.Next(now))
		if left, risk := s.AtRisk(now); risk {
			for _, days := range stages {
				if until := left - time.Duration(days)*policy.Day; until > 0 {
					consider(now.Add(until))
				}
			}
		}
		settled = settled && s.Rollover.State(now) == rollover.Settled
	}
	if settled && len(all) > 0 {
		return now
	}
	return next
}

// rolling hands on every tenant with an open roll-over.
func (e *Engine) rolling(ctx context.Context, each func(tenancy.Tenant, []tenancy.Arrangement)) error {
	for after := ""; ; {
		ids, err := e.Store.Rolling(ctx, after, rollPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		tenants, err1 := e.Store.TenantsByID(ctx, ids)
		arrangements, err2 := e.Store.ArrangementsOf(ctx, ids)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		for _, id := range ids {
			each(tenants[id], arrangements[id])
		}
	}
}

// Open hands on where every arrangement with an open roll-over stands.
func (e *Engine) Open(ctx context.Context, each func(standing.Standing)) error {
	var failures []error
	err := e.rolling(ctx, func(t tenancy.Tenant, arrangements []tenancy.Arrangement) {
		all, err := e.Standings(ctx, e.Store.Reader, t, arrangements)
		if err != nil {
			failures = append(failures, err)
		}
		for _, s := range all {
			each(s)
		}
	})
	return errors.Join(append(failures, err)...)
}

// rollTenant brings the roll-overs of a tenant to now, and says whether a generation was retired.
func (e *Engine) rollTenant(ctx context.Context, t tenancy.Tenant, arrangements []tenancy.Arrangement,
	now time.Time) (all []standing.Standing, retired bool, err error) {
	if all, err = e.Standings(ctx, e.Store.Reader, t, arrangements); err != nil {
		return nil, false, err
	}
	settled := true
	for i, s := range all {
		if _, move := s.Rollover.At(now); move != nil {
			if all[i], err = e.Observe(ctx, s.Arrangement.ID, "roll-over", nil, now); err != nil {
				return nil, false, err
			}
		}
		settled = settled && all[i].Rollover.State(now) == rollover.Settled
	}
	if err := e.remind(ctx, t, all, now); err != nil {
		return nil, false, err
	}
	var certs []tenancy.Certificate
	if len(all) > 0 {
		certs = all[0].Certificates
	} else if inReach, err := e.Store.InReachOf(ctx, []string{t.ID}); err != nil { // its last arrangement is gone
		return nil, false, err
	} else {
		certs = inReach[t.ID]
	}
	retired, err = e.retire(ctx, t, certs, settled, now)
	return all, retired, err
}

// retire ends the replaced generations that are expired or, where every arrangement is settled, not needed any more.
func (e *Engine) retire(ctx context.Context, t tenancy.Tenant, certs []tenancy.Certificate, settled bool,
	now time.Time) (retired bool, err error) {
	for _, c := range certs {
		if c.SuccessorID == "" || !settled && now.Before(c.NotAfter) {
			continue
		}
		err := e.Store.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.Retire(ctx, c.ID); err != nil {
				return err
			}
			if newest := certs[len(certs)-1]; newest.ID != c.ID {
				if err := tx.Activate(ctx, t.ID, newest.Generation); err != nil {
					return err
				}
			}
			tx.Changed(t.ID)
			return tx.Audit(ctx, tenancy.NewEvent(now, "roll-over", "certificate.retired", t.Name, object(t, c), certificateDetail(c)))
		})
		if err != nil && !errors.Is(err, tenancy.ErrStale) { // another replica was faster
			return retired, err
		}
		retired = true
	}
	return retired, nil
}

// renewed is what the arrangements of a tenant do when the successor of a generation exists.
func renewed(p people, old, next tenancy.Certificate, now time.Time) (moved []cutOver) {
	certs := slices.Clone(p.inReach)
	for i, c := range certs {
		if c.ID == old.ID {
			certs[i] = old // it may be revoked
		}
	}
	certs = append(certs, next)
	for _, a := range p.arrangements {
		if a.Authentication != tenancy.ClientCertificate {
			continue
		}
		if _, move := assemble(a, certs, p.evidence[a.ID]).At(now); move != nil {
			a.Generation = move.To
			moved = append(moved, cutOver{p.tenant.Name + "/" + a.Name, a, *move})
		}
	}
	return moved
}
