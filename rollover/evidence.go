package rollover

import "time"

const (
	// Reconsider is the time after which a probe can put a message's verdict in doubt. A receiver may accept the probe's
	// GET and refuse the messages' POST, and must not be switched back and forth with every probe.
	Reconsider = 24 * time.Hour
	// Alternation is the time within which a second contradiction between messages shows a receiver with several nodes
	// that are configured differently.
	Alternation = time.Hour
)

// Verdict states whether a receiver accepts a generation, as far as that is proved.
type Verdict string

// A verdict is unknown until the receiver has been asked. It is unclear if the answers prove neither acceptance nor
// refusal, or contradict each other.
const (
	Unknown  Verdict = ""
	Accepted Verdict = "accepted"
	Refused  Verdict = "refused"
	Unclear  Verdict = "unclear"
)

// Source is the kind of evidence. Each overrules those after it, and none before it.
type Source string

// Traffic is the tenant's own messages. A probe is a question to the receiver. A person is an administrator of the
// receiver or the tenant who reports that the certificate is installed, which is a claim and not a proof.
const (
	Traffic Source = "traffic"
	Probe   Source = "probe"
	Person  Source = "person"
)

// Evidence is an observation of the receiver's answer to one generation.
type Evidence struct {
	Generation int
	Verdict    Verdict
	By         Source
	At         time.Time
	// Unasked is set if the receiver delivered a message without asking for a certificate.
	Unasked bool
}

// Observe adds evidence. Evidence that is older than the present verdict is ignored, so that it may arrive late, twice,
// or in any order. Evidence about an unknown generation is ignored too. Evidence never overrules a stronger kind: it
// becomes a claim instead. Observe does not change the presented generation: [Rollover.At] does.
func (r Rollover) Observe(e Evidence) Rollover {
	known, ok := r.Generation(e.Generation)
	if !ok {
		return r
	}
	if e.Unasked {
		if e.At.After(r.UnaskedAt) {
			r.UnaskedAt = e.At
		}
		return r
	}
	if e.At.Before(known.VerdictAt) || e.Verdict == Unknown {
		return r
	}
	next := known.observe(e)
	if next == known {
		return r
	}
	r = r.with(e.Generation, func(g *Generation) { *g = next })
	if e.By == Person {
		return r
	}
	if e.Verdict != Unclear {
		r.UnaskedAt = time.Time{} // an answer that depends on the certificate
	}
	if e.By == Traffic && e.Verdict == Accepted && e.Generation != r.newest().Number && r.newest().Verdict == Refused {
		r.NeededOldAt = e.At
	}
	if r.NewestOnly && next.Verdict == Accepted {
		r = r.lockedOut(e)
	}
	return r
}

// observe returns the generation with evidence that is not older than its verdict.
func (g Generation) observe(e Evidence) Generation {
	switch {
	case e.By == Traffic:
		return g.answered(e)
	case e.By == Person, g.By == Traffic && (proves(g.Verdict) || g.alternates()):
		return g.weighed(e)
	case e.Verdict == Unclear && (proves(g.Verdict) || g.By == Traffic):
		return g // a question that proves nothing overrules nothing
	}
	g.Verdict, g.VerdictAt, g.By = e.Verdict, e.At, e.By
	return g
}

// weighed returns the generation with evidence that is too weak to be its verdict. A probe that contradicts a message
// of more than [Reconsider] ago makes the verdict unclear, until a message or another probe decides.
func (g Generation) weighed(e Evidence) Generation {
	if e.Verdict == Accepted && !e.At.Before(g.ClaimedAt) {
		g.ClaimedAt, g.ClaimedBy = e.At, e.By
	}
	switch {
	case e.By != Probe || !proves(e.Verdict):
	case e.Verdict != g.Latest && proves(g.Verdict) && e.At.Sub(g.VerdictAt) >= Reconsider:
		g.Verdict = Unclear
	case e.Verdict == g.Latest && g.alternates() && e.At.Sub(g.TurnedAt) >= Alternation:
		g.Verdict = g.Latest
	}
	return g
}

// answered returns the generation with what a message proves. If messages contradict each other twice within
// [Alternation], the verdict is unclear until they have agreed for that long.
func (g Generation) answered(e Evidence) Generation {
	if e.Verdict == Unclear && g.By == Traffic && g.Verdict == Accepted {
		return g // an answer that proves nothing overrules nothing
	}
	if g.By == Probe && g.Verdict == Accepted && !g.VerdictAt.Before(g.ClaimedAt) {
		g.ClaimedAt, g.ClaimedBy = g.VerdictAt, Probe
	}
	turned := proves(e.Verdict) && proves(g.Latest) && g.Latest != e.Verdict
	again := !g.TurnedAt.IsZero() && e.At.Sub(g.TurnedAt) < Alternation
	verdict := e.Verdict
	if again && (turned || g.alternates()) {
		verdict = Unclear
	}
	if turned {
		g.TurnedAt = e.At
	}
	g.Verdict, g.VerdictAt, g.By, g.Latest = verdict, e.At, Traffic, e.Verdict
	return g
}

// lockedOut returns the roll-over after a receiver that accepts only the newest certificate has accepted a generation.
func (r Rollover) lockedOut(e Evidence) Rollover {
	for _, older := range r.Generations {
		if older.Number < e.Generation && older.Verdict != Refused && !e.At.Before(older.VerdictAt) {
			r = r.with(older.Number, func(g *Generation) { g.Verdict, g.VerdictAt, g.By = Refused, e.At, e.By })
		}
	}
	return r
}

// MayAsk reports whether a question may present a generation. A receiver that accepts only the newest certificate is
// not asked with a generation that messages do not present yet, because that would lock out the presented one.
func (r Rollover) MayAsk(number int) bool { return !r.NewestOnly || number <= r.Presents }

func proves(v Verdict) bool { return v == Accepted || v == Refused }

// alternates reports whether messages contradicted each other.
func (g Generation) alternates() bool { return g.Verdict == Unclear && proves(g.Latest) }

// leans reports whether the verdict is v, or was v by the latest of messages that contradict each other.
func (g Generation) leans(v Verdict) bool { return g.Verdict == v || g.alternates() && g.Latest == v }

// doubted reports whether the messages since the cut-over leave open whether the receiver accepts the generation.
func (g Generation) doubted() bool {
	return g.Verdict == Unclear && g.By == Traffic && !g.alternates() && !g.claimed()
}

// claimed reports whether a claim is a reason to try the generation, although nothing proves that it is accepted.
func (g Generation) claimed() bool {
	switch {
	case g.ClaimedAt.IsZero() || g.Verdict == Accepted:
		return false
	case g.Verdict == Unknown || g.By != Traffic && g.Verdict == Unclear:
		return true
	case g.ClaimedBy == Probe:
		return g.ClaimedAt.Sub(g.VerdictAt) >= Reconsider
	}
	return g.ClaimedAt.After(g.VerdictAt)
}

// acceptance returns the source of the evidence that the receiver accepts the generation, if there is any.
func (g Generation) acceptance() (by Source, ok bool) {
	if g.Verdict == Accepted {
		return g.By, true
	}
	return g.ClaimedBy, g.claimed()
}

// confirmation returns the source of the evidence other than messages, if there is any.
func (g Generation) confirmation() (by Source, ok bool) {
	if g.Verdict == Accepted && g.By != Traffic {
		return g.By, true
	}
	return g.ClaimedBy, !g.ClaimedAt.IsZero() && (g.Verdict == Accepted || g.claimed())
}
