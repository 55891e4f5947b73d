package prober

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// roundGroup is the number of tests in one call of [Prober.WorkRound], and roundAtOnce of them run at the same time.
	// At most hostGroup are of the same host, so that one receiver gets few connections at once, and a slow one does not
	// hold up the others.
	roundGroup, roundAtOnce, hostGroup = 16, 8, 4
	// roundWindow is the number of waiting tests from which a group is chosen.
	roundWindow = 256
	// RoundPause is the time between two groups. Together with the size of a group, it bounds the tests per second of
	// a round, and of each host in it.
	RoundPause = time.Second
)

// WorkRound tests the next receivers of a round, and records what the answers prove. It returns the time after which it
// must be called again; 0 at the end of the round. A test that fails does not end its round: it is skipped, and the
// error is returned with the time.
func (p *Prober) WorkRound(ctx context.Context, id string) (again time.Duration, err error) {
	waiting, err := p.store.WaitingTests(ctx, id, p.now(), roundWindow)
	if err != nil {
		return 0, err
	}
	if len(waiting) == 0 {
		return p.finishRound(ctx, id)
	}
	return RoundPause, together(chooseGroup(waiting), roundAtOnce, func(item tenancy.TestItem) error {
		return p.test(ctx, item)
	})
}

// chooseGroup returns the first tests with few of each host.
func chooseGroup(waiting []tenancy.TestItem) (group []tenancy.TestItem) {
	ofHost := map[string]int{}
	for _, item := range waiting {
		if ofHost[item.Host]++; ofHost[item.Host] <= hostGroup && len(group) < roundGroup {
			group = append(group, item)
		}
	}
	return group
}

// finishRound ends a round, unless another replica still has a test of it.
func (p *Prober) finishRound(ctx context.Context, id string) (again time.Duration, err error) {
	round, err := p.store.TestRound(ctx, id)
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && !round.FinishedAt.IsZero() {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	counts, err := p.store.CountTests(ctx, []string{id})
	if err != nil {
		return 0, err
	}
	detail := map[string]any{"round": id}
	for _, c := range counts[id] {
		detail[c.Result] = c.Tests
	}
	ended, now := false, p.now()
	err = p.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if ended, err = tx.FinishTestRound(ctx, id, now); err != nil || !ended {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, round.CreatedBy, "tests.finished", "", id, detail))
	})
	if err == nil && !ended {
		again = RoundPause
	}
	return again, err
}

// test reserves a test, asks the receiver and stores the result.
func (p *Prober) test(ctx context.Context, item tenancy.TestItem) error {
	now := p.now()
	taken := false
	err := p.store.InTx(ctx, func(tx *store.Tx) (err error) {
		taken, err = tx.TakeTest(ctx, item, now, now.Add(askLease))
		return err
	})
	if err != nil || !taken {
		return err
	}
	round, err := p.store.TestRound(ctx, item.RoundID)
	if err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	item.Result, item.Detail, err = p.outcome(asked, item, round.CreatedBy)
	if ctx.Err() != nil { // the job has to end: the receiver is asked again when the reservation has ended
		return ctx.Err()
	}
	if err != nil {
		item.Result, item.Detail = tenancy.TestSkipped, tenancy.SkippedFailed
	}
	item.DoneAt = p.now()
	stored := p.store.InTx(ctx, func(tx *store.Tx) error { return tx.EndTest(ctx, item) })
	return errors.Join(err, stored)
}

// outcome asks a receiver whether it accepts the generation that it is to accept.
func (p *Prober) outcome(ctx context.Context, item tenancy.TestItem, actor string) (result, detail string, err error) {
	skipped := func(reason string) (string, string, error) { return tenancy.TestSkipped, reason, nil }
	t, a, err := p.store.OwnedArrangement(ctx, item.ArrangementID)
	if errors.Is(err, tenancy.ErrNotFound) {
		return skipped(tenancy.SkippedGone)
	}
	if err != nil {
		return "", "", err
	}
	s, err := p.engine.Standing(ctx, p.store.Reader, t, a)
	if errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrRefused) {
		return skipped(tenancy.SkippedGone)
	}
	if err != nil {
		return "", "", err
	}
	risk, at := s.Rollover.Risk(p.now())
	switch {
	case !at:
		return skipped(tenancy.SkippedSettled)
	case !s.Rollover.MayAsk(risk.Wanted):
		return skipped(tenancy.SkippedNewestOnly)
	}
	answers, _, err := p.Probe(ctx, s, actor)
	switch {
	case errors.Is(err, standing.ErrNoSignature):
		return skipped(tenancy.SkippedNoKey)
	case err != nil && ctx.Err() != nil:
		return tenancy.TestUnclear, tenancy.Say("no answer in time").Stored(), nil
	case err != nil:
		return "", "", err
	}
	return resultOf(answers, risk.Wanted)
}

// resultOf returns the result of a generation, and the receiver's answer in its stored form.
func resultOf(answers outbound.Answers, generation int) (result, detail string, err error) {
	for _, r := range answers.Results {
		if r.Generation == generation {
			verdict, answer := r.Outcome()
			return string(verdict), answer.Stored(), nil
		}
	}
	return tenancy.TestUnclear, "", nil
}
