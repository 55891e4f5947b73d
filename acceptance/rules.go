package acceptance

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/perennial-pki/perennial/policy"
)

// A candidate is a certificate with what verification has shown about it.
type candidate struct {
	Known
	weakness string
	chain    verification
}

// A check returns why a certificate is not accepted; empty if there is no reason.
type check func(p *partner, c candidate, now time.Time) (reason string)

// A ground is a reason not to accept a certificate.
type ground struct {
	code    Code
	outcome Outcome
	holds   check
}

// forKnown are the grounds against a known certificate.
var forKnown = []ground{
	{Expired, Refuse, isExpired},
	{NotYetValid, Refuse, isNotYetValid},
	{Declined, Refuse, isDeclined},
	{Revoked, Refuse, isRevoked},
}

// forAll are the grounds against every other certificate with the partner's names.
var forAll = []ground{
	{Expired, Refuse, isExpired},
	{NotYetValid, Refuse, isNotYetValid},
	{OtherSubject, Refuse, isOther},
	{Declined, Refuse, isDeclined},
	{NotForClients, Refuse, isNotForClients},
	{WeakKey, Refuse, isWeak},
	{BrokenChain, Refuse, isBroken},
	{Revoked, Refuse, isRevoked},
}

// fromTrust is the ground against certificates of a CA that is not trusted.
var fromTrust = ground{OtherCA, Hold, isUntrusted}

// grounds are those against a certificate that is not known, by the rule of the partner. The first that holds counts,
// so those that a person can overrule come last.
var grounds = map[Rule][]ground{
	Pin:       {{NotListed, Refuse, isNotListed}},
	Authority: slices.Concat(forAll, []ground{fromTrust}),
	Successor: slices.Concat(forAll, []ground{
		{Older, Refuse, isOlder},
		{WeakKey, Refuse, isWeaker},
		fromTrust,
		{SecondSuccessor, Hold, isSecond},
		{OutsideWindow, Hold, isOutside},
	}),
}

// accepted holds the code of an accepted certificate that was not known, by the rule of the partner.
var accepted = map[Rule]Code{Successor: IsSuccessor, Authority: FromAuthority}

// decideKnown decides about a known certificate.
func (p *partner) decideKnown(k Known, chain []*x509.Certificate, now time.Time) Decision {
	d := p.judge(candidate{Known: k, chain: p.revocation(chain)}, forKnown, Pinned, now)
	if p.Source == (Source{}) {
		return d
	}
	for _, listed := range p.Known {
		if listed.Fingerprint == k.Fingerprint {
			d.Arrangements = listed.Arrangements
		}
	}
	return d
}

// decideNew decides about a certificate that is not known and has the partner's names.
func (p *partner) decideNew(k Known, chain []*x509.Certificate, now time.Time) Decision {
	c := candidate{Known: k, weakness: weakness(chain[0])}
	if p.Rule != Pin {
		c.chain = p.verify(chain, now)
	}
	return p.judge(c, grounds[p.Rule], accepted[p.Rule], now)
}

// judge returns the first ground that holds against a certificate, or accepts it with a code.
func (p *partner) judge(c candidate, grounds []ground, otherwise Code, now time.Time) Decision {
	d := Decision{Outcome: Accept, Partner: p.Name, Source: p.Source, Code: otherwise, Reason: reasons[otherwise]}
	for _, g := range grounds {
		reason := g.holds(p, c, now)
		if reason == "" {
			continue
		}
		d.Outcome, d.Code, d.Reason = g.outcome, g.code, printable(reason)
		if g.outcome == Hold && g.code != OtherCA {
			d.AcceptedUntil = p.heldUntil(c.Body, now)
		}
		break
	}
	if otherwise == IsSuccessor && d.Outcome != Refuse {
		if before, found := p.predecessor(c.Known); found {
			d.Predecessor = &before
		}
	}
	return d
}

// maxReason limits a reason, in bytes, because callers choose the names in it.
const maxReason = 400

// printable cuts a text, and replaces characters that would change a terminal or a log.
func printable(text string) string {
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

var reasons = map[Code]string{
	Pinned:        "it is a known certificate of the partner",
	IsSuccessor:   "it succeeds a known certificate of the partner: same CA, same names, in the window of a renewal",
	FromAuthority: "the partner's CA has issued it to the partner",
}

// heldUntil returns the time until which a held certificate is accepted; zero if it is refused.
func (p *partner) heldUntil(body Fingerprint, now time.Time) (until time.Time) {
	if p.OnHold == 0 {
		return until
	}
	for _, h := range p.Held {
		if h.Body == body {
			return h.Since.Add(p.OnHold)
		}
	}
	if len(p.Held) >= MostHeld { // it cannot be remembered, so its time would never end
		return until
	}
	return now.Add(p.OnHold)
}

// line returns the known certificates with the same names, and those with the same names as these.
func (p *partner) line(c Known) (all []Known) {
	in := make([]bool, len(p.Known))
	for more := true; more; {
		more = false
		for i, k := range p.Known {
			if !in[i] && (k.names(c) || slices.ContainsFunc(all, k.names)) {
				all, in[i], more = append(all, k), true, true
			}
		}
	}
	return all
}

// newest returns the known certificate with the same names that was issued last. There is one, unless isOther holds.
func (p *partner) newest(c Known) (newest Known) {
	for _, k := range p.line(c) {
		if k.NotBefore.After(newest.NotBefore) {
			newest = k
		}
	}
	return newest
}

// Expected returns when a successor of a certificate is expected. The policy never lets the window cover the first
// quarter of the lifetime, so that two successors cannot follow each other at once.
func (p Partner) Expected(k Known) (from, until time.Time) {
	e := p.expectation(k)
	return e.From, e.NotAfter
}

func (p Partner) expectation(k Known) policy.Expectation {
	return policy.ExpectWithin(p.Window, policy.Validity{NotBefore: k.NotBefore, NotAfter: k.NotAfter})
}

// expects reports whether a certificate was issued when the successor of another one is expected.
func (p *partner) expects(before, c Known) bool {
	return p.expectation(before).Covers(c.NotBefore) && !c.NotBefore.After(before.NotAfter)
}

// successor returns the known certificate that was issued when the successor of another one is expected.
func (p *partner) successor(before Known) (next Known, ok bool) {
	for _, k := range p.line(before) {
		if k.NotBefore.After(before.NotBefore) && p.expects(before, k) {
			return k, true
		}
	}
	return next, false
}

// predecessor returns the known certificate that a certificate succeeds: the newest that has no successor and expects
// it. A partner may have several certificates with the same names at a time.
func (p *partner) predecessor(c Known) (before Known, found bool) {
	for _, k := range p.line(c) {
		if _, succeeded := p.successor(k); !succeeded && p.expects(k, c) && (!found || k.NotBefore.After(before.NotBefore)) {
			before, found = k, true
		}
	}
	return before, found
}

func isExpired(_ *partner, c candidate, now time.Time) string {
	if now.After(c.NotAfter) {
		return "it expired on " + moment(c.NotAfter)
	}
	return ""
}

func isNotYetValid(_ *partner, c candidate, now time.Time) string {
	if now.Before(c.NotBefore) {
		return "it is valid from " + moment(c.NotBefore) + " on"
	}
	return ""
}

func isRevoked(_ *partner, c candidate, _ time.Time) string {
	if c.chain.result == withdrawn {
		return c.chain.reason
	}
	return ""
}

func isDeclined(p *partner, c candidate, _ time.Time) string {
	if slices.Contains(p.Declined, c.Body) {
		return "a person has refused it"
	}
	return ""
}

func isNotListed(p *partner, _ candidate, _ time.Time) string {
	if p.Source.Feed != "" {
		return "it is not listed in the feed " + p.Source.Feed
	}
	return "it is not listed, and the partner's rule is " + string(Pin)
}

func isOther(p *partner, c candidate, _ time.Time) string {
	if len(p.line(c.Known)) == 0 {
		return "it has another subject or other alternative names than the partner's certificates"
	}
	return ""
}

// isNotForClients also holds if the partner's certificates have been limited to clients, and this one is not limited.
func isNotForClients(p *partner, c candidate, _ time.Time) string {
	newest := p.newest(c.Known)
	switch {
	case c.clients == notForClients:
		return "it is not a certificate for clients (extended key usage clientAuth, key usage digitalSignature, not a CA)"
	case c.clients == unlimited && newest.clients != unlimited:
		return "its extended key usage is not limited to clients, unlike the partner's certificate before it"
	case c.chain.result == notClient:
		return "a CA above it does not issue certificates for clients: " + c.chain.reason
	}
	return ""
}

func isWeak(_ *partner, c candidate, _ time.Time) string {
	if c.chain.result == tooWeak {
		return c.chain.reason
	}
	return c.weakness
}

func isBroken(_ *partner, c candidate, _ time.Time) string {
	if c.chain.result == broken {
		return "its chain is not valid: " + c.chain.reason
	}
	return ""
}

func isUntrusted(p *partner, c candidate, _ time.Time) string {
	switch {
	case c.chain.result != untrusted:
		return ""
	case len(p.Trust) == 0:
		return "the CA of the partner's known certificates did not issue it, or its chain lacks that CA's certificate"
	}
	return "no trust anchor of the partner issued it: " + c.chain.reason
}

func isOlder(p *partner, c candidate, _ time.Time) string {
	if newest := p.newest(c.Known); !c.NotBefore.After(newest.NotBefore) {
		return "it was issued on " + moment(c.NotBefore) + ", not later than the partner's certificate of " +
			moment(newest.NotBefore)
	}
	return ""
}

func isWeaker(p *partner, c candidate, _ time.Time) string {
	if newest := p.newest(c.Known); c.key.isWeakerThan(newest.key) {
		return fmt.Sprintf("its key (%s) is weaker than that of the partner's certificate before it (%s)", c.key, newest.key)
	}
	return ""
}

// isSecond does not hold for the successor of a successor, which may be issued before the first one expires, unless
// lifetimes become so short that many could follow each other in one window.
func isSecond(p *partner, c candidate, _ time.Time) string {
	succeeds, found := p.predecessor(c.Known)
	for _, before := range p.line(c.Known) {
		if found && 2*succeeds.lifetime() >= before.lifetime() {
			continue
		}
		if next, ok := p.successor(before); ok && p.expects(before, c.Known) {
			return "the partner's certificate that expires on " + moment(before.NotAfter) +
				" has a successor already, issued on " + moment(next.NotBefore)
		}
	}
	return ""
}

func isOutside(p *partner, c candidate, _ time.Time) string {
	if _, found := p.predecessor(c.Known); found {
		return ""
	}
	from, until := p.Expected(p.newest(c.Known))
	return "it was issued on " + moment(c.NotBefore) + ", but the partner's certificate is renewed between " +
		moment(from) + " and " + moment(until)
}

// moment returns an instant as every sentence of the product has it.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }
