// Package acceptance decides which certificates of its partners a receiver accepts. It is the mirror of rollover: a
// sender renews its certificate, and the receiver recognises the successor without being told.
//
// It guarantees for the rule successor: a certificate that is not known is accepted only if a trust anchor of the
// partner issued it to the same subject or identity, for clients, later than every known one, with a key that is not
// weaker, and within the window in which the partner renews. Each certificate has at most one successor. It guarantees
// for all rules: known certificates are accepted until they expire or are revoked, so old and new ones are accepted
// together.
//
// A chain of successors is followed only if the receiver sees each of them: a partner that sends nothing for the whole
// time of one certificate is not recognised by the one after it.
//
// It cannot tell the partner from a CA that misissues its certificate within the window. The package reads no clock and
// does no I/O. Values are never changed in place. The tests explore every reachable state, alone and together with
// every strategy of rollover.
package acceptance

import (
	"crypto/x509"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

// Rule states which certificates of a partner are accepted besides those that it is known by.
type Rule string

// The rules: none, a successor of a known one, and every one of a CA with the partner's names.
const (
	Pin       Rule = "pin"
	Successor Rule = "successor"
	Authority Rule = "authority"
)

// Outcome is the result of a decision.
type Outcome string

// The outcomes. A held certificate may be the partner's, but only a person can know: it is refused until then, unless
// the partner has a time for which held certificates are accepted.
const (
	Accept Outcome = "accept"
	Hold   Outcome = "hold"
	Refuse Outcome = "refuse"
)

// Code is the reason of a decision, for programs.
type Code string

// The codes of accepted certificates.
const (
	Pinned        Code = "pinned" // known
	IsSuccessor   Code = "successor"
	FromAuthority Code = "authority"
)

// The codes of held and refused certificates.
const (
	OtherCA         Code = "other-ca"
	OtherSubject    Code = "other-subject"
	Older           Code = "older"
	Expired         Code = "expired"
	NotYetValid     Code = "not-yet-valid"
	NotForClients   Code = "not-for-clients"
	WeakKey         Code = "weak-key"
	OutsideWindow   Code = "outside-window"
	SecondSuccessor Code = "second-successor"
	Revoked         Code = "revoked"
	BrokenChain     Code = "broken-chain"
	NotListed       Code = "not-listed"
	Declined        Code = "declined"
	Malformed       Code = "malformed"
	// Ambiguous is the code of a successor after which the partner could not be distinguished from another one.
	Ambiguous Code = "ambiguous"
)

// A Partner is an organisation that calls the receiver with client certificates.
type Partner struct {
	Name string
	// Source is set for a partner that the feed of a counterparty lists: see [NewListed].
	Source Source
	Rule   Rule
	// Known are the certificates that the partner is known by, at least one.
	Known []Known
	// Trust are its trust anchors: the names and keys of CAs. Without them, they are the issuers of the known
	// certificates.
	Trust []*x509.Certificate
	// CAs complete chains that lack them. They are not trusted for that.
	CAs []*x509.Certificate
	// Window is the time before the expiry of a known certificate in which its successor is expected.
	Window policy.Span
	// OnHold is the time for which a held certificate is accepted, from its first use on; 0 to refuse it. It does not
	// count for certificates of another CA, which any stranger can create.
	OnHold time.Duration
	// Held are the certificates that were held before. Further ones are not accepted on hold once there are 16.
	Held []Held
	// Declined are the certificates, by their [Known.Body], that a person has refused. They are never accepted.
	Declined []Fingerprint
	// CRLs are revocation lists. Each is signed by one of Trust or CAs.
	CRLs []*Revocations
}

// A Source is where a partner comes from that the feed of a counterparty lists. It is zero for every other partner.
type Source struct {
	Feed   string // the receiver's name of the feed
	Tenant string // of the sender
}

// A Held is a certificate about which a person is asked.
type Held struct {
	Body  Fingerprint // [Known.Body]
	Since time.Time
}

// A Decision is the answer to a certificate.
type Decision struct {
	Outcome Outcome
	// Partner is the name of the partner; empty if the certificate belongs to none.
	Partner string
	// Source is that of the partner, and Arrangements are those of the sender for which its feed lists the certificate,
	// separated by a comma and a space.
	Source       Source
	Arrangements string
	Code         Code
	// Reason explains the code to a person.
	Reason string
	// Predecessor is the known certificate that the certificate succeeds; nil if it is another kind of certificate.
	Predecessor *Known
	// AcceptedUntil is the time until which a held certificate is accepted; zero if it is refused.
	AcceptedUntil time.Time
}

// Accepts reports whether the certificate is accepted at now.
func (d Decision) Accepts(now time.Time) bool {
	return d.Outcome == Accept || d.Outcome == Hold && now.Before(d.AcceptedUntil)
}
