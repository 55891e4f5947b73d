package prober

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Prober asks receivers and lets the engine know what they answered.
type Prober struct {
	Engine  *lifecycle.Engine
	Network *outbound.Network
	Now     func() time.Time
}

// Identities opens the generations of an arrangement that are within reach.
func Identities(ctx context.Context, e *lifecycle.Engine, s lifecycle.Standing) (all []outbound.Identity, err error) {
	for _, c := range s.Certificates {
		presentable, err := e.Presentable(ctx, c)
		if errors.Is(err, tenancy.ErrNotFound) { // retired a moment ago
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, outbound.Identity{Generation: c.Generation, Certificate: presentable})
	}
	return all, nil
}

// Probe asks the receiver of an arrangement with the given generations, or with all where none is given, and returns
// where the roll-over stands then.
func (p *Prober) Probe(ctx context.Context, s lifecycle.Standing, actor string, generations ...int) ([]Result,
	lifecycle.Standing, error) {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return nil, s, err
	}
	identities, err := Identities(ctx, p.Engine, s)
	if err != nil {
		return nil, s, err
	}
	var results []Result
	var seen []lifecycle.Observation
	for _, id := range identities {
		if len(generations) > 0 && !slices.Contains(generations, id.Generation) {
			continue
		}
		asked := p.Now()
		r := Ask(ctx, p.Network, endpoint, s.Arrangement.Egress, &id)
		results = append(results, r)
		o := lifecycle.Observation{Evidence: rollover.Evidence{Generation: id.Generation, By: rollover.Probe, At: asked},
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
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Meaning == outbound.Accepted }) && len(results) > 1 {
		seen = slices.DeleteFunc(seen, func(o lifecycle.Observation) bool {
			return slices.ContainsFunc(results, func(r Result) bool { return r.Generation == o.Generation && r.Status != 0 })
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
	err := p.Engine.Open(ctx, func(s lifecycle.Standing) {
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
