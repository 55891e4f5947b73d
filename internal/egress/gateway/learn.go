package gateway

import (
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// learn records that the last of the attempts was accepted, and the consequences for the earlier ones.
func (g *Gateway) learn(r *route, tries []attempt) {
	now := g.now()
	last := tries[len(tries)-1]
	r.mu.Lock()
	defer r.mu.Unlock()
	var seen []standing.Observation
	for _, a := range tries {
		o := standing.Observation{Evidence: rollover.Evidence{Generation: a.generation, Verdict: rollover.Accepted,
			By: rollover.Traffic, At: now, Unasked: a.unasked}, Detail: a.detail}
		switch {
		case a.unasked:
		// After a TLS alert, only the certificate can be the cause.
		case a.meaning == outbound.Refused && (a.reading.Alert != 0 || last.meaning == outbound.Answered):
			o.Verdict = rollover.Refused
		case a.conclusion == outbound.Accepts:
			if r.kinds.Add(a.reading.Kind) {
				o.Kind = a.reading.Kind.String()
			}
		case a.conclusion == outbound.Doubtful:
			o.Verdict = rollover.Unclear
			if rule := a.reading.Kind.Rule(); rule != nil {
				o.Detail = tenancy.Say("%s; if that is a refusal, the rule is %s", tenancy.ReadText(a.detail),
					rule.String()).Stored()
			}
		default:
			continue
		}
		seen = append(seen, o)
	}
	if last.conclusion == outbound.Accepts || last.unasked {
		r.accepted[last.generation] = now
	}
	g.reportNews(r, seen)
}

// learnRefusals records that every generation was refused. It is evidence only if TLS itself refused, because an
// application may have any reason. The refusal is remembered for a while.
func (g *Gateway) learnRefusals(r *route, of string, tries []attempt) {
	g.learn(r, tries)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused.add(of, g.now())
}

// reportNews reports new evidence. The caller holds r.mu. This gateway itself acts on it from the next message on.
func (g *Gateway) reportNews(r *route, seen []standing.Observation) {
	var news []standing.Observation
	for _, o := range seen {
		before, known := r.rollover.Generation(o.Generation)
		if !known {
			continue
		}
		next := r.rollover.Observe(o.Evidence)
		after, _ := next.Generation(o.Generation)
		changed := after.Verdict != before.Verdict || after.ClaimedAt != before.ClaimedAt
		if changed {
			r.changedAt = o.At
			clear(r.refused)
		}
		if changed || o.Kind != "" ||
			next.UnaskedAt.Sub(r.rollover.UnaskedAt) > confirmEvery ||
			next.UnaskedAt.IsZero() != r.rollover.UnaskedAt.IsZero() ||
			after.VerdictAt != before.VerdictAt &&
				(before.VerdictAt.Before(before.PresentedAt) || // the first verdict since the cut-over
					o.At.Sub(before.VerdictAt) > confirmEvery) || // still so
			next.NeededOldAt.Sub(r.rollover.NeededOldAt) > confirmEvery { // the old one is still needed
			r.rollover = next
			news = append(news, o)
		} else if after.Latest != before.Latest { // this gateway follows the latest of contradictory messages by itself
			r.rollover = next
		}
	}
	if len(news) == 0 {
		return
	}
	r.rollover, _ = r.rollover.At(g.now())
	g.reports.add(r.standing.Arrangement.ID, news)
}

// confirmEvery is the interval for reporting evidence that only confirms what is recorded.
const confirmEvery = time.Hour
