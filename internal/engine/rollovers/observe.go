package rollovers

import (
	"context"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostKinds limits the kinds of answers that are stored for one generation. The latest are kept.
const mostKinds = 16

// Observe stores new evidence about an arrangement's receiver and cuts the arrangement over if the evidence calls for
// it. It returns the state after that. Evidence that is already stored costs one read.
func (o *Rollovers) Observe(ctx context.Context, arrangementID, actor string, seen []standing.Observation,
	now time.Time) (s standing.Standing, err error) {
	return o.step(ctx, arrangementID, actor, now, func(tx *store.Tx, s *standing.Standing) (*rollover.Move, error) {
		for _, one := range seen {
			if err := observe(ctx, tx, s, one, actor, now); err != nil {
				return nil, err
			}
		}
		if s.Rollover.NeededOldAt != s.Arrangement.NeededOldAt {
			if err := tx.SetNeededOld(ctx, arrangementID, s.Rollover.NeededOldAt); err != nil {
				return nil, err
			}
		}
		if s.Rollover.UnaskedAt != s.Arrangement.Learned.UnaskedAt {
			s.Arrangement.Learned.UnaskedAt = s.Rollover.UnaskedAt
			if err := tx.SetLearned(ctx, arrangementID, s.Arrangement.Learned); err != nil {
				return nil, err
			}
		}
		var move *rollover.Move
		s.Rollover, move = s.Rollover.At(now)
		return move, nil
	})
}

// observe adds one observation to the state, and stores what it changes.
func observe(ctx context.Context, tx *store.Tx, s *standing.Standing, seen standing.Observation, actor string,
	now time.Time) error {
	seen.At = seen.At.UTC().Truncate(time.Microsecond)
	before := s.Rollover
	s.Rollover = before.Observe(seen.Evidence)
	for i, after := range s.Rollover.Generations { // Observe keeps the generations
		kind := ""
		if after.Number == seen.Generation {
			kind = seen.Kind
		}
		if err := record(ctx, tx, s, before.Generations[i], after, seen, kind); err != nil {
			return err
		}
		if event := eventOf(before.Generations[i], after); event != "" {
			if err := tx.Audit(ctx, tenancy.NewEvent(now, actor, event, s.Tenant.Name, s.Name(),
				map[string]any{"generation": after.Number, "source": seen.By,
					"detail": tenancy.ReadText(seen.Detail).String()})); err != nil {
				return err
			}
		}
	}
	return nil
}

// verdictEvents names the audit events of new verdicts.
var verdictEvents = map[rollover.Verdict]string{
	rollover.Accepted: "arrangement.accepted",
	rollover.Refused:  "arrangement.refused",
	rollover.Unclear:  "arrangement.unclear",
}

// eventOf names the audit event of new evidence; empty if it only confirms what is recorded.
func eventOf(before, after rollover.Generation) string {
	switch {
	case after.Verdict != before.Verdict && after.Verdict != rollover.Unknown:
		return verdictEvents[after.Verdict]
	case after.ClaimedAt != before.ClaimedAt && after.ClaimedBy == rollover.Person:
		return "arrangement.claimed"
	}
	return ""
}

// record stores the evidence about one generation if it changed.
func record(ctx context.Context, tx *store.Tx, s *standing.Standing, before, after rollover.Generation,
	seen standing.Observation, kind string) error {
	i := slices.IndexFunc(s.Evidence, func(e standing.Evidence) bool { return e.Generation == after.Number })
	row := standing.Evidence{ArrangementID: s.Arrangement.ID, Generation: after.Number}
	if i >= 0 {
		row = s.Evidence[i]
	}
	isNew := kind != "" && !slices.Contains(row.Kinds, kind)
	if after == before && !isNew {
		return nil
	}
	if isNew {
		row.Kinds = append(slices.Clone(row.Kinds), kind)
		row.Kinds = row.Kinds[max(0, len(row.Kinds)-mostKinds):]
	}
	row.PresentedAt, row.Verdict, row.VerdictAt, row.Source = after.PresentedAt, after.Verdict, after.VerdictAt, after.By
	row.ClaimedAt, row.ClaimedBy, row.Latest, row.TurnedAt = after.ClaimedAt, after.ClaimedBy, after.Latest, after.TurnedAt
	if after.VerdictAt != before.VerdictAt || after.Verdict != before.Verdict || row.Detail == "" {
		row.Detail = seen.Detail
	}
	if i >= 0 {
		s.Evidence = slices.Clone(s.Evidence)
		s.Evidence[i] = row
	} else {
		s.Evidence = append(slices.Clone(s.Evidence), row)
	}
	return tx.SetEvidence(ctx, row)
}

// LearnNewestOnly stores that the receiver of an arrangement accepts nothing older than what it accepted last.
func (o *Rollovers) LearnNewestOnly(ctx context.Context, arrangementID, actor string,
	now time.Time) (standing.Standing, error) {
	return o.step(ctx, arrangementID, actor, now, func(tx *store.Tx, s *standing.Standing) (*rollover.Move, error) {
		if s.Rollover.NewestOnly {
			return nil, nil
		}
		s.Rollover.NewestOnly = true
		s.Arrangement.Learned.NewestOnlyAt = now
		if err := tx.SetLearned(ctx, arrangementID, s.Arrangement.Learned); err != nil {
			return nil, err
		}
		return nil, tx.Audit(ctx, tenancy.NewEvent(now, actor, "arrangement.newest-only", s.Tenant.Name, s.Name(), nil))
	})
}
