// Package diagnose names the cause of failing messages of one arrangement, with the evidence and the next step.
//
// It promises to ask the receiver itself, with every generation that can be presented and with none, over fresh
// connections that change nothing there. It names a cause only if the answers show it, and otherwise reports that they
// do not.
package diagnose

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Diagnosis is the cause of failing messages, with the evidence.
type Diagnosis struct {
	Cause    Cause
	Summary  tenancy.Text
	Evidence []tenancy.Text
	NextStep tenancy.Text
	// Action is the next step for programs, and Command the command line for it. Both may be empty.
	Action  Action
	Command string
	// Answers are those to the questions that were asked.
	Answers outbound.Answers
	// Rule would make the gateway recognise the receiver's refusals; nil if it already does.
	Rule *tenancy.RefusalRule
}

// Run asks the receiver and names the cause. recent are the latest entries of the message log, the newest first.
func Run(ctx context.Context, n *outbound.Network, s standing.Standing, identities []standing.Identity,
	recent []tenancy.Message, now time.Time) Diagnosis {
	answers, err := outbound.Question(ctx, n, s, identities)
	if err != nil {
		return Diagnosis{Cause: Unknown, Summary: tenancy.Say("the endpoint is not a valid URL"),
			NextStep: tenancy.Say("correct the arrangement's endpoint"), Action: ChangeArrangement}
	}
	f := findings{standing: s, now: now, recent: recent, all: answers.Results, none: answers.Control}
	d := f.conclude()
	d.Answers = answers
	return d
}

// findings are the answers, and the data with which they are compared.
type findings struct {
	standing standing.Standing
	now      time.Time
	all      []outbound.Result // one for each generation, the oldest first
	none     outbound.Result   // without a certificate
	recent   []tenancy.Message
}

// conclude takes the first matching cause of the table, and adds the evidence.
func (f findings) conclude() Diagnosis {
	d := Diagnosis{Cause: Unknown, Summary: tenancy.Say("the answers do not show the cause"),
		NextStep: tenancy.Say("check the evidence, and ask the receiver's administrator for its log of %s", moment(f.now))}
	for _, fits := range causes {
		if found, ok := fits(f); ok {
			d = found
			break
		}
	}
	for _, r := range f.all {
		if r.Verdict == rollover.Refused && r.Meaning == outbound.Answered && d.Rule == nil {
			d.Rule = r.Kind.Rule()
		}
		d.Evidence = append(d.Evidence, tenancy.Say("with generation %d: %s", r.Generation, answer(r)))
	}
	d.Evidence = append(d.Evidence, tenancy.Say("without a certificate: %s", answer(f.none)))
	if slices.ContainsFunc(f.all, func(r outbound.Result) bool { return r.Late }) {
		d.Evidence = append(d.Evidence, tenancy.Say("the receiver asks for the certificate late, so it is held at TLS 1.2"))
	}
	if names := f.namedCAs(); len(names) > 0 {
		d.Evidence = append(d.Evidence, tenancy.Say("the receiver names these CAs: %s", strings.Join(names, "; ")))
	}
	if m, ok := f.lastFailure(); ok {
		failed := tenancy.Say("the latest message that failed: %s %s at %s, %d with generation %d", m.Method, m.Path,
			m.At.UTC().Format("2006-01-02 15:04:05 MST"), m.Status, m.Generation)
		if m.Outcome != "" {
			failed = tenancy.Say("%s: %s", failed, tenancy.ReadText(m.Outcome))
		}
		d.Evidence = append(d.Evidence, failed)
	}
	return d
}

// answer describes a result for a person.
func answer(r outbound.Result) tenancy.Text {
	question := tenancy.Say("the probe")
	if r.Handshake {
		question = tenancy.Say("the handshake")
	}
	switch {
	case r.Meaning == outbound.Suspicious:
		return tenancy.Say("the receiver closed the connection without an answer")
	case r.Handshake && r.Meaning == outbound.Answered:
		return tenancy.Say("the handshake was completed, which proves nothing about the application")
	case r.Verdict == rollover.Accepted:
		return tenancy.Say("%s was accepted (%s)", question, r.Text())
	case r.Verdict == rollover.Refused, r.Meaning == outbound.Refused:
		return tenancy.Say("%s was refused (%s)", question, r.Text())
	}
	return r.Text()
}

// first is the answer to the oldest generation; the zero result if none can be presented.
func (f findings) first() outbound.Result {
	if len(f.all) == 0 {
		return outbound.Result{}
	}
	return f.all[0]
}

// newest is the answer to the newest generation; the zero result if none can be presented.
func (f findings) newest() outbound.Result {
	if len(f.all) == 0 {
		return outbound.Result{}
	}
	return f.all[len(f.all)-1]
}

// certificate is the certificate of a generation.
func (f findings) certificate(generation int) tenancy.Certificate {
	c, _ := f.standing.Certificate(generation)
	return c
}

// accepts reports whether a generation is accepted, as far as the question can show.
func accepts(r outbound.Result) bool {
	return r.Verdict == rollover.Accepted || r.Handshake && r.Meaning == outbound.Answered
}

// refuses reports whether a generation got an answer that refuses it.
func refuses(r outbound.Result) bool {
	return r.Verdict == rollover.Refused || r.Meaning == outbound.Refused || r.Meaning == outbound.Suspicious
}

// accepted lists the generations that the receiver accepts.
func (f findings) accepted() (generations []int) {
	for _, r := range f.all {
		if accepts(r) {
			generations = append(generations, r.Generation)
		}
	}
	return generations
}

// answered lists the generations that got an answer that is not a refusal.
func (f findings) answered() (generations []int) {
	for _, r := range f.all {
		if r.Meaning == outbound.Answered && !refuses(r) {
			generations = append(generations, r.Generation)
		}
	}
	return generations
}

// refused lists the generations that the receiver refuses, with an answer or by closing the connection.
func (f findings) refused() (generations []int) {
	for _, r := range f.all {
		if refuses(r) {
			generations = append(generations, r.Generation)
		}
	}
	return generations
}

// accepts reports whether the receiver accepts at least one generation.
func (f findings) accepts() bool { return len(f.accepted()) > 0 }

// acceptsAll reports whether the receiver accepts every generation.
func (f findings) acceptsAll() bool { return len(f.all) > 0 && len(f.accepted()) == len(f.all) }

// refusesAll reports whether the receiver refuses every generation.
func (f findings) refusesAll() bool { return len(f.all) > 0 && len(f.refused()) == len(f.all) }

// acceptsNewest reports whether the receiver accepts the newest generation.
func (f findings) acceptsNewest() bool { return accepts(f.newest()) }

// refusesNewest reports whether the receiver refuses the newest generation, or gave no answer to it.
func (f findings) refusesNewest() bool {
	r := f.newest()
	return refuses(r) || r.Err != nil
}

// asksForCertificates reports whether the receiver asked for a client certificate in TLS.
func (f findings) asksForCertificates() bool {
	return slices.ContainsFunc(f.all, func(r outbound.Result) bool { return r.Asked })
}

// namedCAs are the CAs whose certificates the receiver accepts, as it named them in TLS.
func (f findings) namedCAs() (names []string) {
	for _, r := range append(slices.Clone(f.all), f.none) {
		for _, n := range r.AcceptableCAs {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// namesOthers reports whether the receiver names CAs, and neither an issuer nor one of its organisation is among them.
func (f findings) namesOthers(issuer string) bool {
	names := f.namedCAs()
	_, organization, _ := strings.Cut(issuer, ",")
	return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool {
		return n == issuer || organization != "" && strings.HasSuffix(n, organization)
	})
}

// lastFailure is the latest message that failed.
func (f findings) lastFailure() (m tenancy.Message, ok bool) {
	for _, m := range f.recent {
		if f.failed(m) {
			return m, true
		}
	}
	return m, false
}

// failed reports whether a message got no answer, an error, or a redirect that accepted generations are not known to
// get.
func (f findings) failed(m tenancy.Message) bool {
	switch {
	case m.Status == 0, m.Status >= 400:
		return true
	case m.Status < 300, m.Status == http.StatusNotModified:
		return false
	}
	for _, e := range f.standing.Evidence {
		for _, text := range e.Kinds {
			if k, err := outbound.ParseKind(text); err == nil && k.Status == m.Status {
				return false
			}
		}
	}
	return true
}

// failing is the latest message if it failed.
func (f findings) failing() (m tenancy.Message, fails bool) {
	if len(f.recent) == 0 || !f.failed(f.recent[0]) {
		return m, false
	}
	return f.recent[0], true
}

// lastDenied is the latest message that the receiver's application answered with 401 or 403.
func (f findings) lastDenied() (m tenancy.Message, ok bool) {
	for _, m := range f.recent {
		if m.Status == 401 || m.Status == 403 {
			return m, true
		}
	}
	return m, false
}

// sameAnswer reports whether two answers of HTTP are the same.
func sameAnswer(a, b outbound.Result) bool {
	return a.Status != 0 && a.Kind == b.Kind && a.Reason == b.Reason && a.Meaning == b.Meaning
}
