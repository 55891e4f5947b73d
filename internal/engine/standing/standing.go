// Package standing holds the values that a gateway and the engine exchange: the state of an arrangement's roll-over,
// the certificates that may be presented, and what receivers answered.
//
// It promises to stay light. It imports the vocabulary and nothing that reads, writes or schedules, so that a gateway
// that runs apart from the service does not link the engine.
package standing

import (
	"crypto/tls"
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Standing is an arrangement with the state of its roll-over and the certificates that can be presented, oldest
// first.
type Standing struct {
	Tenant       tenancy.Tenant
	Arrangement  tenancy.Arrangement
	Rollover     rollover.Rollover
	Certificates []tenancy.Certificate
	Evidence     []Evidence
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

// AtRisk reports whether messages will fail when the old generation expires, because the receiver has not shown that it
// accepts the newest one. left is the time until then.
func (s Standing) AtRisk(now time.Time) (left time.Duration, risk bool) {
	n := len(s.Rollover.Generations)
	if n < 2 {
		return 0, false
	}
	newest := s.Rollover.Generations[n-1]
	var last time.Time // when the last older generation expires
	for _, g := range s.Rollover.Generations[:n-1] {
		if !g.Revoked && g.NotAfter.After(last) {
			last = g.NotAfter
		}
	}
	return last.Sub(now), newest.Verdict != rollover.Accepted && last.After(now)
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
}

// An Observation is evidence about a receiver, with its answer.
type Observation struct {
	rollover.Evidence
	Detail string
}

// An Identity is one generation with its private key, ready for a TLS handshake.
type Identity struct {
	Generation  int
	Certificate tls.Certificate
}
