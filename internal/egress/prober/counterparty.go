package prober

import (
	"context"
	"errors"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// askGroup is the number of questions in one call of [Prober.AskCounterparty], and askAtOnce of them are open at the
	// same time. The receivers of a counterparty are often one system.
	askGroup, askAtOnce = 8, 4
	// askTime limits one question. It is long enough for a receiver that lets every attempt of it time out, because an
	// answer that was cut off must not look like one.
	askTime = 5 * outbound.AskTimeout
	// askLease is the time for which a question is reserved: longer than it takes.
	askLease = 2 * askTime
)

// AskCounterparty tests receivers that the page of a counterparty wants tested, and records what the answers prove. A
// report of an installation is recorded as a claim, unless the receiver contradicts it. It reports whether more
// questions are waiting.
func (p *Prober) AskCounterparty(ctx context.Context, id string) (more bool, err error) {
	waiting, err := p.store.WaitingQuestions(ctx, id, p.now(), askGroup+1)
	if err != nil {
		return false, err
	}
	if more = len(waiting) > askGroup; more {
		waiting = waiting[:askGroup]
	}
	return more, together(waiting, askAtOnce, func(q tenancy.CounterpartyQuestion) error { return p.askWanted(ctx, q) })
}

// askWanted reserves a question, asks it and stores the result.
func (p *Prober) askWanted(ctx context.Context, q tenancy.CounterpartyQuestion) error {
	now := p.now()
	taken := false
	err := p.store.InTx(ctx, func(tx *store.Tx) (err error) {
		taken, err = tx.TakeQuestion(ctx, q, now, now.Add(askLease))
		return err
	})
	if err != nil || !taken {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	q.Result, q.Answer, err = p.answer(asked, q)
	if err != nil {
		q.Result, q.Answer = "", ""
	}
	q.DoneAt = p.now()
	// The result is stored even if the job has to end, so that the page does not wait for it.
	ending := context.WithoutCancel(ctx)
	stored := p.store.InTx(ending, func(tx *store.Tx) error { return tx.EndQuestion(ending, q) })
	if unanswerable(err) || asked.Err() != nil {
		return stored
	}
	return errors.Join(err, stored)
}

// unanswerable reports whether a question cannot be asked because the arrangement was deleted or presents no
// certificate any longer, or because the key that it needs does not sign at the moment.
func unanswerable(err error) bool {
	return errors.Is(err, tenancy.ErrNotFound) || errors.Is(err, tenancy.ErrRefused) ||
		errors.Is(err, standing.ErrNoSignature)
}

// answer asks a question, and returns its result and the receiver's answer.
func (p *Prober) answer(ctx context.Context, q tenancy.CounterpartyQuestion) (result, answer string, err error) {
	t, a, err := p.store.OwnedArrangement(ctx, q.ArrangementID)
	if err != nil {
		return "", "", err
	}
	s, err := p.engine.Standing(ctx, p.store.Reader, t, a)
	if err != nil {
		return "", "", err
	}
	parties, err := p.store.CounterpartiesByID(ctx, []string{q.CounterpartyID})
	if err != nil {
		return "", "", err
	}
	actor := "counterparty " + parties[q.CounterpartyID].Name
	var answers outbound.Answers
	if _, known := s.Certificate(q.Generation); q.Claimed && known {
		var claim Claim
		claim, _, err = p.Confirm(ctx, s, q.Generation, actor, "the counterparty reports it as installed")
		answers = claim.Answers
	} else {
		answers, _, err = p.Probe(ctx, s, actor)
	}
	if err != nil {
		return "", "", err
	}
	for _, r := range answers.Results {
		if r.Generation == q.Generation {
			verdict, _ := r.Outcome()
			return string(verdict), r.Text().Stored(), nil
		}
	}
	return "", "", nil
}
