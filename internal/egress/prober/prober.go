// Package prober asks receivers whether they accept the generations of a tenant's certificate, or certificates of an
// announced authority, and lets the engine record the answers.
package prober

import (
	"context"
	"errors"
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

// A Prober asks receivers and lets the engine know what they answered.
type Prober struct {
	Engine  *lifecycle.Engine
	Store   *store.Store
	Network *outbound.Network
	Now     func() time.Time
}

// Probe asks the receiver of an arrangement with the given generations, or with all where none is given, and returns
// where the roll-over stands then.
func (p *Prober) Probe(ctx context.Context, s standing.Standing, actor string, generations ...int) ([]outbound.Result,
	standing.Standing, error) {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return nil, s, err
	}
	identities, err := p.Engine.Identities(ctx, s)
	if err != nil {
		return nil, s, err
	}
	var results []outbound.Result
	var seen []standing.Observation
	for _, id := range identities {
		if len(generations) > 0 && !slices.Contains(generations, id.Generation) {
			continue
		}
		asked := p.Now()
		r := outbound.Ask(ctx, p.Network, endpoint, s.Arrangement.Egress, &id)
		results = append(results, r)
		o := standing.Observation{Evidence: rollover.Evidence{Generation: id.Generation, By: rollover.Probe, At: asked},
			Detail: r.Detail}
		switch r.Proves() {
		case outbound.Accepted:
			o.Verdict = rollover.Accepted
		case outbound.Refused:
			o.Verdict = rollover.Refused
		default:
			continue
		}
		seen = append(seen, o)
	}
	// A receiver that refuses all of them has other reasons, unless TLS says that it is the certificate.
	if !slices.ContainsFunc(results, func(r outbound.Result) bool { return r.Meaning == outbound.Accepted }) && len(results) > 1 {
		seen = slices.DeleteFunc(seen, func(o standing.Observation) bool {
			return slices.ContainsFunc(results, func(r outbound.Result) bool { return r.Generation == o.Generation && r.Status != 0 })
		})
	}
	if len(seen) > 0 {
		if s, err = p.Engine.Observe(ctx, s.Arrangement.ID, actor, seen, p.Now()); err != nil {
			return results, s, err
		}
	}
	return results, s, nil
}

// ProbeOpen asks the receivers of all roll-overs that wait for the receiver: of those arrangements that have a probe of
// their own. Bare handshakes are not made unasked.
func (p *Prober) ProbeOpen(ctx context.Context) error {
	var failures []error
	err := p.Engine.Open(ctx, func(s standing.Standing) {
		state := s.Rollover.State(p.Now())
		if s.Arrangement.Egress.Probe.Method == "" || state == rollover.Settled || state == rollover.Trusted &&
			s.Arrangement.Strategy != tenancy.Confirmed {
			return
		}
		if _, _, err := p.Probe(ctx, s, "probe"); err != nil {
			failures = append(failures, err)
		}
	})
	return errors.Join(append(failures, err)...)
}
