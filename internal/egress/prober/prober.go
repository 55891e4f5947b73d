// Package prober asks receivers whether they accept the generations of a tenant's certificate, or certificates of an
// announced authority, and lets the engine record the answers.
package prober

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Prober asks receivers and records their answers.
type Prober struct {
	engine  *lifecycle.Engine
	store   *store.Store
	network *outbound.Network
	now     func() time.Time
}

// New returns a prober.
func New(e *lifecycle.Engine, s *store.Store, n *outbound.Network, now func() time.Time) *Prober {
	return &Prober{engine: e, store: s, network: n, now: now}
}

// Probe asks the receiver of an arrangement its question, and records what the answers prove. It returns the answers,
// and the state of the roll-over after them.
func (p *Prober) Probe(ctx context.Context, s standing.Standing, actor string) (outbound.Answers, standing.Standing,
	error) {
	identities, err := p.engine.Identities(ctx, s)
	if err != nil {
		return outbound.Answers{}, s, err
	}
	asked := p.now()
	answers, err := outbound.Question(ctx, p.network, s, identities)
	if err != nil {
		return answers, s, err
	}
	s, err = p.Record(ctx, s, actor, answers, asked)
	return answers, s, err
}

// Record stores the evidence in answers. It returns the state of the roll-over after them.
func (p *Prober) Record(ctx context.Context, s standing.Standing, actor string, answers outbound.Answers,
	asked time.Time) (standing.Standing, error) {
	seen := answers.Observations(asked)
	if len(seen) == 0 {
		return s, nil
	}
	if answers.NewestOnly {
		if _, err := p.engine.LearnNewestOnly(ctx, s.Arrangement.ID, actor, p.now()); err != nil {
			return s, err
		}
	}
	return p.engine.Observe(ctx, s.Arrangement.ID, actor, seen, p.now())
}

// A Claim is the report of a person that a receiver has installed a generation, with the receiver's answer.
type Claim struct {
	// Answers are those to the question that was asked first; zero if the arrangement has none.
	Answers outbound.Answers
	// Contradicted is set if the receiver was proved to refuse the generation. In that case, the claim was not recorded.
	Contradicted bool
	// Detail is the answer that contradicts it.
	Detail tenancy.Text
}

// Confirm records that a person reports a generation as installed. If the arrangement has a question, the receiver is
// asked first: a claim that it contradicts is not recorded.
func (p *Prober) Confirm(ctx context.Context, s standing.Standing, generation int, actor, detail string) (c Claim,
	after standing.Standing, err error) {
	if s.Arrangement.Egress.Probe.Method != "" && s.Rollover.MayAsk(generation) {
		if c.Answers, s, err = p.Probe(ctx, s, actor); err != nil {
			return c, s, err
		}
		for _, r := range c.Answers.Results {
			if r.Generation == generation && r.Verdict == rollover.Refused {
				c.Contradicted, c.Detail = true, r.Text()
				return c, s, nil
			}
		}
	}
	now := p.now()
	said := standing.Observation{Evidence: rollover.Evidence{Generation: generation, Verdict: rollover.Accepted,
		By: rollover.Person, At: now}, Detail: detail}
	s, err = p.engine.Observe(ctx, s.Arrangement.ID, actor, []standing.Observation{said}, now)
	return c, s, err
}

// ProbeOpen asks the receivers of the roll-overs that wait for them, if the arrangement has a probe of its own. Bare
// handshakes are made on request only.
func (p *Prober) ProbeOpen(ctx context.Context) error {
	var failures []error
	now := p.now()
	err := p.engine.Open(ctx, now, func(s standing.Standing) {
		_, risk := s.Rollover.Risk(now)
		if s.Arrangement.Egress.Probe.Method == "" || !risk && !waits(s.Rollover.State(now), s.Arrangement.Strategy) {
			return
		}
		if _, _, err := p.Probe(ctx, s, "probe"); err != nil {
			failures = append(failures, fmt.Errorf("probe of %s: %w", s.Name(), err))
		}
	})
	return errors.Join(append(failures, err)...)
}

// waits reports whether a receiver's answer can advance a roll-over.
func waits(state rollover.State, s tenancy.Strategy) bool {
	switch state {
	case rollover.Settled:
		return false
	case rollover.Trusted:
		return s == tenancy.Confirmed
	}
	return true
}
