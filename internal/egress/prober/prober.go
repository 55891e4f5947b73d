// Package prober asks receivers whether they accept the generations of a tenant's certificate, or certificates of an
// announced authority, and lets the engine record the answers.
package prober

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
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

// New makes a prober.
func New(e *lifecycle.Engine, s *store.Store, n *outbound.Network, now func() time.Time) *Prober {
	return &Prober{engine: e, store: s, network: n, now: now}
}

// Probe asks the receiver of an arrangement with the given generations, or with all if none is given. It returns the
// answers, and the state of the roll-over after them.
func (p *Prober) Probe(ctx context.Context, s standing.Standing, actor string, generations ...int) ([]outbound.Result,
	standing.Standing, error) {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return nil, s, err
	}
	identities, err := p.engine.Identities(ctx, s)
	if err != nil {
		return nil, s, err
	}
	var results []outbound.Result
	var asked []time.Time
	for _, id := range identities {
		if len(generations) > 0 && !slices.Contains(generations, id.Generation) {
			continue
		}
		asked = append(asked, p.now())
		results = append(results, outbound.Ask(ctx, p.network, endpoint, s.Arrangement.Egress, &id))
	}
	if seen := observations(results, asked); len(seen) > 0 {
		if s, err = p.engine.Observe(ctx, s.Arrangement.ID, actor, seen, p.now()); err != nil {
			return results, s, err
		}
	}
	return results, s, nil
}

// observations returns what answers prove. A receiver that gives every generation the status of a refusal has other
// reasons than the certificate, so such statuses prove nothing. An alert of TLS does.
func observations(results []outbound.Result, asked []time.Time) (seen []standing.Observation) {
	comparable := len(results) < 2 || slices.ContainsFunc(results, func(r outbound.Result) bool {
		return r.Meaning == outbound.Accepted
	})
	for i, r := range results {
		o := standing.Observation{Detail: r.Detail, Evidence: rollover.Evidence{Generation: r.Generation,
			By: rollover.Probe, At: asked[i]}}
		switch proved := r.Proves(); {
		case proved == outbound.Accepted:
			o.Verdict = rollover.Accepted
		case proved == outbound.Refused && (comparable || r.Status == 0):
			o.Verdict = rollover.Refused
		default:
			continue
		}
		seen = append(seen, o)
	}
	return seen
}

// ProbeOpen asks the receivers of the roll-overs that wait for them, if the arrangement has a probe of its own. Bare
// handshakes are made on request only.
func (p *Prober) ProbeOpen(ctx context.Context) error {
	var failures []error
	err := p.engine.Open(ctx, func(s standing.Standing) {
		if s.Arrangement.Egress.Probe.Method == "" || !waits(s.Rollover.State(p.now()), s.Arrangement.Strategy) {
			return
		}
		if _, _, err := p.Probe(ctx, s, "probe"); err != nil {
			failures = append(failures, fmt.Errorf("probe of %s: %w", s.Name(), err))
		}
	})
	return errors.Join(append(failures, err)...)
}

// waits reports whether a roll-over can move on with a receiver's answer.
func waits(state rollover.State, s tenancy.Strategy) bool {
	switch state {
	case rollover.Settled:
		return false
	case rollover.Trusted:
		return s == tenancy.Confirmed
	}
	return true
}
