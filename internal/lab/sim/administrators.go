package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

const (
	// idleWaits is the time from the first failed message until an administrator acts who did not act on the notice.
	idleWaits = 2 * policy.Day
	// confirms is the share of administrators who report the installation within a day. The others leave it to the
	// messages.
	confirms = 0.5
	// Production systems are changed in the daytime, between these hours (UTC).
	opens, closes = 8, 17
)

// draws returns the random numbers for one object of the world. They depend on the seed and the object alone, so all
// strategies and policies are compared in the same world.
func draws(seed uint64, tenant, arrangement, generation int) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[0:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(tenant))
	binary.LittleEndian.PutUint64(key[16:], uint64(arrangement))
	binary.LittleEndian.PutUint64(key[24:], uint64(generation))
	return rand.New(rand.NewChaCha8(key))
}

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Float64()*float64(to-from))
}

// A plan is the reaction of a receiver's administrator to one renewal.
type plan struct {
	idle      bool
	at        time.Time     // of the installation of the new certificate; unused if idle
	confirms  bool          // reports the installation
	confirmIn time.Duration // from the installation to the report
}

// planFor draws the plan of an administrator who was notified of a renewal at noticed, and can get the certificate from
// renewed on.
func (c Config) planFor(r *rand.Rand, noticed, renewed time.Time) plan {
	p := plan{idle: r.Float64() < c.Idle}
	at := noticed.Add(between(r, c.ReactionMin, c.ReactionMax))
	share := r.Float64()
	p.confirms = r.Float64() < confirms
	p.confirmIn = between(r, 0, policy.Day)
	// These are drawn last, so that the administrators are the same however they are notified.
	forgotten, forwardIn := r.Float64() < c.Forgotten, between(r, c.ForwardMin, c.ForwardMax)
	if c.Notified == Forwarded {
		p.idle, at = p.idle || forgotten, at.Add(forwardIn)
	}
	if at.Before(renewed) {
		at = renewed
	}
	p.at = daytime(at, share)
	return p
}

// daytime moves an instant at night into the next daytime, at the given share of its length.
func daytime(t time.Time, share float64) time.Time {
	if h := t.Hour(); h >= opens && h < closes {
		return t
	}
	day := t.Truncate(policy.Day)
	if t.Hour() >= closes {
		day = day.Add(policy.Day)
	}
	return day.Add(opens*time.Hour + time.Duration(share*float64((closes-opens)*time.Hour)))
}

// A sender sends a message every interval.
type sender struct {
	first    time.Time
	interval time.Duration
}

// next returns the time of the first message at or after t.
func (s sender) next(t time.Time) time.Time {
	return s.first.Add(time.Duration(s.sentBefore(t)) * s.interval)
}

// sentBefore returns the number of messages before t.
func (s sender) sentBefore(t time.Time) int64 {
	if !t.After(s.first) {
		return 0
	}
	return int64((t.Sub(s.first) + s.interval - 1) / s.interval)
}
