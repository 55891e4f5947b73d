// Package standing holds the values that a gateway and the engine exchange: the state of an arrangement's roll-over,
// the certificates that may be presented, and the answers of receivers.
//
// It stays small: it imports the vocabulary and nothing that reads, writes or schedules, so that a stand-alone gateway
// does not link the engine.
package standing

import (
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// followTime is the time that a receiver has to fetch a new generation from its feed before the strategy immediate
// presents it. Followers fetch every hour, or once a day as a cron job. A tenth of the lifetime is the limit for
// short-lived certificates.
const followTime = 48 * time.Hour

// A Standing is an arrangement with the state of its roll-over and the certificates that can be presented, oldest
// first.
type Standing struct {
	Tenant       tenancy.Tenant
	Arrangement  tenancy.Arrangement
	Rollover     rollover.Rollover
	Certificates []tenancy.Certificate
	// Revoked are the revoked certificates of the roll-over. A stand-alone gateway does not get them.
	Revoked  []tenancy.Certificate
	Evidence []Evidence
}

// Assemble returns the standing of an arrangement from what is stored about it. inReach are the generations that are
// not retired, oldest first. Those of other credentials are left out. Those that are revoked are part of the roll-over
// if the arrangement may have presented them.
func Assemble(t tenancy.Tenant, a tenancy.Arrangement, inReach []tenancy.Certificate, evidence []Evidence) Standing {
	certs := ofCredential(inReach, a.Presents())
	r := rollover.Rollover{Strategy: a.Strategy, Presents: a.Generation, NeededOldAt: a.NeededOldAt,
		UnaskedAt: a.Learned.UnaskedAt, NewestOnly: a.Egress.TakesNewestOnly() || !a.Learned.NewestOnlyAt.IsZero(),
		Generations: make([]rollover.Generation, 0, len(certs))}
	presentable := make([]tenancy.Certificate, 0, len(certs))
	var revoked []tenancy.Certificate
	for _, c := range certs {
		switch {
		case c.State != tenancy.Revoked:
			presentable = append(presentable, c)
		case c.NotAfter.Before(certs[len(certs)-1].NotBefore), beforeUse(a, c, evidence):
			continue // it expired long ago, or the arrangement never used it
		default:
			revoked = append(revoked, c)
		}
		g := rollover.Generation{Number: c.Generation, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			Revoked: c.State == tenancy.Revoked, NoticedUntil: noticedUntil(a, c)}
		for _, known := range evidence {
			if known.Generation == c.Generation {
				g.PresentedAt, g.Verdict, g.VerdictAt, g.By = known.PresentedAt, known.Verdict, known.VerdictAt, known.Source
				g.ClaimedAt, g.ClaimedBy, g.Latest, g.TurnedAt = known.ClaimedAt, known.ClaimedBy, known.Latest, known.TurnedAt
			}
		}
		r.Generations = append(r.Generations, g)
	}
	return Standing{Tenant: t, Arrangement: a, Rollover: r, Certificates: presentable, Revoked: revoked,
		Evidence: evidence}
}

// ToRemove returns the revoked certificates that have not expired at now. The receiver must not accept them any longer.
func (s Standing) ToRemove(now time.Time) (revoked []tenancy.Certificate) {
	for _, c := range s.Revoked {
		if now.Before(c.NotAfter) {
			revoked = append(revoked, c)
		}
	}
	return revoked
}

// beforeUse reports whether an arrangement never used a generation, because it began with a later one: it has no
// evidence about it, and was never cut over to the one that it presents.
func beforeUse(a tenancy.Arrangement, c tenancy.Certificate, evidence []Evidence) bool {
	return c.Generation < a.Generation && !slices.ContainsFunc(evidence, func(e Evidence) bool {
		return e.Generation == c.Generation || e.Generation == a.Generation && !e.PresentedAt.IsZero()
	})
}

// noticedUntil returns the end of the notice of a generation: that of the key users and, with the strategy immediate,
// of a receiver that follows the feed. The other strategies wait for evidence.
func noticedUntil(a tenancy.Arrangement, c tenancy.Certificate) time.Time {
	if a.Strategy != tenancy.Immediate || a.Learned.FollowedAt.IsZero() {
		return c.NoticedUntil
	}
	followed := c.CreatedAt.Add(min(followTime, c.NotAfter.Sub(c.NotBefore)/10))
	if followed.After(c.NoticedUntil) {
		return followed
	}
	return c.NoticedUntil
}

// ofCredential returns the certificates of one credential. Most tenants have no other.
func ofCredential(inReach []tenancy.Certificate, name tenancy.Purpose) []tenancy.Certificate {
	other := func(c tenancy.Certificate) bool { return c.Purpose != name }
	if !slices.ContainsFunc(inReach, other) {
		return inReach
	}
	return slices.DeleteFunc(slices.Clone(inReach), other)
}

// Name is the arrangement's full name, TENANT/ARRANGEMENT.
func (s Standing) Name() string { return s.Tenant.Name + "/" + s.Arrangement.Name }

// Certificate finds a generation among those that can be presented.
func (s Standing) Certificate(generation int) (c tenancy.Certificate, ok bool) {
	for _, c := range s.Certificates {
		if c.Generation == generation {
			return c, true
		}
	}
	return c, false
}

// Evidence is the latest verdict on one generation at the receiver of one arrangement.
type Evidence struct {
	ArrangementID string
	Generation    int
	PresentedAt   time.Time // when the arrangement was last cut over to it
	Verdict       rollover.Verdict
	VerdictAt     time.Time
	Source        rollover.Source
	Detail        string // the receiver's answer
	ClaimedAt     time.Time
	ClaimedBy     rollover.Source
	Latest        rollover.Verdict
	TurnedAt      time.Time
	// Kinds are the kinds of answers that accepted messages got with the generation.
	Kinds []string
}

// An Observation is evidence about a receiver, with its answer.
type Observation struct {
	rollover.Evidence
	Detail string
	// Kind is the kind of the answer to an accepted message; empty if it is known.
	Kind string
}

// ErrNoSignature is returned by a private key that is elsewhere and does not sign at the moment. It is not an answer of
// the receiver.
var ErrNoSignature = errors.New(NoSignature.String())

// NoSignature is the text of [ErrNoSignature].
var NoSignature = tenancy.Say("the service or token that holds the private key does not sign at the moment")

// An Identity is one generation with its private key, ready for a TLS handshake.
type Identity struct {
	Generation  int
	Certificate tls.Certificate
	// KeyStays is set if the private key signs and cannot be copied.
	KeyStays bool
}
