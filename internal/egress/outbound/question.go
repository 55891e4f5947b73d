package outbound

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Answers are a receiver's answers to one question, asked with and without certificates.
type Answers struct {
	// Control is the answer without a certificate.
	Control Result
	// Results are the answers with one generation each, with their verdicts. They are in the order of the identities.
	Results []Result
	// NewestOnly is set if the receiver refused a generation right after it had accepted a newer one, and had accepted
	// the older one right before.
	NewestOnly bool
}

// Question sends the same question to the receiver of an arrangement without a certificate and with each identity, over
// a fresh connection each time, and decides by comparison what the answers prove. Identities that must not be presented
// to the receiver (see [rollover.Rollover.MayAsk]) are left out.
func Question(ctx context.Context, n *Network, s standing.Standing, identities []standing.Identity) (Answers, error) {
	endpoint, err := Endpoint(s.Arrangement.Endpoint)
	if err != nil {
		return Answers{}, tenancy.Invalid("endpoint", "is not a valid URL: %v", err)
	}
	return question(ctx, n.For(s.Tenant.Name), endpoint, s.Arrangement.Egress, s.Rollover, identities), nil
}

func question(ctx context.Context, n *Network, endpoint *url.URL, egress tenancy.Egress, r rollover.Rollover,
	identities []standing.Identity) Answers {
	ask := func(id *standing.Identity) Result {
		r := Ask(ctx, n, endpoint, egress, id)
		// Once is a fault. Twice may be the receiver's way of refusing.
		if r.Meaning == Suspicious || r.Status >= 500 || r.Kind.Temporary() {
			r = Ask(ctx, n, endpoint, egress, id)
		}
		return r
	}
	a := Answers{Control: ask(nil)}
	for _, id := range identities {
		if r.MayAsk(id.Generation) {
			a.Results = append(a.Results, ask(&id))
		}
	}
	a.compare(egress.Probe.Statuses, func(generation int) bool {
		g, _ := r.Generation(generation)
		return g.Verdict == rollover.Accepted
	})
	a.NewestOnly = a.lockedOut(ctx, n, endpoint, egress, r, identities)
	return a
}

// lockedOut asks with the presented generation again if a newer one was accepted after it for the first time.
func (a Answers) lockedOut(ctx context.Context, n *Network, endpoint *url.URL, egress tenancy.Egress,
	r rollover.Rollover, identities []standing.Identity) bool {
	first := func(v rollover.Verdict, newer bool) int {
		return slices.IndexFunc(a.Results, func(res Result) bool {
			g, _ := r.Generation(res.Generation)
			return res.Verdict == v && (res.Generation > r.Presents) == newer && (!newer || g.Verdict != rollover.Accepted)
		})
	}
	old, next := first(rollover.Accepted, false), first(rollover.Accepted, true)
	if old < 0 || next < 0 || r.NewestOnly {
		return false
	}
	i := slices.IndexFunc(identities, func(id standing.Identity) bool {
		return id.Generation == a.Results[old].Generation
	})
	again := Ask(ctx, n, endpoint, egress, &identities[i])
	return !same(again, a.Results[old]) && (again.Meaning == Refused || same(again, a.Control))
}

// compare sets the verdicts. known reports whether a generation was known to be accepted before the question. expected
// are the statuses that a person configured as success; none means those of [Kind.Succeeds].
func (a *Answers) compare(expected []int, known func(int) bool) {
	for i := range a.Results {
		if r := &a.Results[i]; a.differs(*r) && r.succeeds(expected) {
			r.Verdict = rollover.Accepted // provisionally: it may serve as the comparison for another one
		}
	}
	comparisons := slices.Clone(a.Results)
	for i := range a.Results {
		r := &a.Results[i]
		other := a.comparison(comparisons, r.Generation, known)
		if r.Verdict == rollover.Accepted && known(r.Generation) { // it is the measure for the others
			other = nil
		}
		r.Verdict, r.Why = a.verdict(*r, other, expected)
	}
}

// comparison returns the answer to another generation that is accepted: one that is known to be, or else one that this
// question shows to be. It is nil if there is none.
func (a Answers) comparison(all []Result, generation int, known func(int) bool) *Result {
	for _, wanted := range []func(Result) bool{
		func(r Result) bool { return known(r.Generation) && r.Verdict == rollover.Accepted },
		func(r Result) bool { return r.Verdict == rollover.Accepted },
		func(r Result) bool { return known(r.Generation) && a.differs(r) },
	} {
		if i := slices.IndexFunc(all, func(r Result) bool { return r.Generation != generation && wanted(r) }); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

// differs reports whether an answer is one that the receiver does not give without a certificate.
func (a Answers) differs(r Result) bool {
	return r.Meaning == Answered && !a.uncontrolled() && !same(r, a.Control)
}

// uncontrolled reports whether there was no answer without a certificate to compare with.
func (a Answers) uncontrolled() bool {
	return a.Control.Meaning == Nothing && a.Control.Status == 0 || a.Control.Meaning == Answered &&
		a.Control.Kind.Temporary()
}

// verdict decides what an answer proves, by comparison with the answer without a certificate and the one with an
// accepted generation, which may be nil.
func (a Answers) verdict(r Result, other *Result, expected []int) (v rollover.Verdict, why tenancy.Text) {
	isSame := other != nil && same(r, *other)
	mine, control := r.Text(), a.Control.Text()
	bothAlike := func() tenancy.Text { return tenancy.Say("%s with and without a certificate", mine) }
	unlikeOther := func() tenancy.Text {
		return tenancy.Say("%s, and %s with generation %d", mine, other.Text(), other.Generation)
	}
	switch {
	case r.Meaning == Refused && r.Alert != 0 && r.Alert != HandshakeFailure && !isSame:
		return rollover.Refused, mine
	case r.Meaning == Nothing:
		return rollover.Unclear, mine
	case r.Meaning == Answered && r.Kind.Temporary():
		return rollover.Unclear, tenancy.Say("%s, which proves nothing about the certificate", mine)
	case r.Meaning == Refused || r.Meaning == Suspicious:
		if other != nil && !isSame {
			return rollover.Refused, unlikeOther()
		}
		if same(r, a.Control) {
			return rollover.Unclear, bothAlike()
		}
		return rollover.Unclear, tenancy.Say("%s, and no accepted generation to compare with", mine)
	case r.Handshake:
		return rollover.Unclear, tenancy.Say("%s, which proves nothing about the application", mine)
	case a.uncontrolled():
		return rollover.Unclear, tenancy.Say("%s, and there was no answer without a certificate to compare with: %s", mine,
			control)
	case same(r, a.Control) && other != nil && !isSame:
		return rollover.Refused, tenancy.Say("%s as without a certificate, and %s with generation %d", mine, other.Text(),
			other.Generation)
	case same(r, a.Control):
		return rollover.Unclear, bothAlike()
	case isSame:
		return rollover.Accepted, tenancy.Say("%s as with generation %d, and %s without a certificate", mine,
			other.Generation, control)
	case other != nil && other.succeeds(expected) && !r.succeeds(expected):
		return rollover.Refused, unlikeOther()
	case other != nil && other.succeeds(expected):
		return rollover.Unclear, unlikeOther()
	case r.succeeds(expected):
		v = rollover.Accepted
	default:
		v = rollover.Unclear
	}
	return v, tenancy.Say("%s, and %s without a certificate", mine, control)
}

func (r Result) succeeds(expected []int) bool {
	if r.Handshake || r.Meaning != Answered {
		return false
	}
	if len(expected) > 0 {
		return slices.Contains(expected, r.Status)
	}
	return r.Kind.Succeeds()
}

// same reports whether a receiver gave two answers of the same kind.
func same(a, b Result) bool {
	return a.Meaning == b.Meaning && a.Reason == b.Reason && a.Alert == b.Alert && a.Kind == b.Kind
}

// Distinguishes reports whether the question got an answer with some generation that it does not get without a
// certificate. A question for which this is not the case can prove nothing.
func (a Answers) Distinguishes() bool {
	return slices.ContainsFunc(a.Results, func(r Result) bool { return r.Verdict == rollover.Accepted })
}

// Unasked reports whether the receiver gave the same answers without ever asking for a certificate.
func (a Answers) Unasked() bool {
	return !a.Control.Asked && a.Control.Meaning != Nothing && !slices.ContainsFunc(a.Results, func(r Result) bool {
		return r.Asked || r.Meaning != Answered || !same(r, a.Control)
	})
}

// Observations returns the evidence in the answers, as of an instant.
func (a Answers) Observations(at time.Time) (seen []standing.Observation) {
	for _, r := range a.Results {
		detail := r.Text()
		if r.Verdict == rollover.Unclear {
			detail = r.Why
		}
		seen = append(seen, standing.Observation{Detail: detail.Stored(), Evidence: rollover.Evidence{
			Generation: r.Generation, Verdict: r.Verdict, By: rollover.Probe, At: at}})
	}
	return seen
}
