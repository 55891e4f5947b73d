package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/perennial-pki/perennial/policy"
)

const (
	// idleWaits is how long after the first failed message an administrator acts who did not act on the notice.
	idleWaits = 2 * policy.Day
	// confirms is the share of administrators who say "installed" after they have acted, within a day: the others let the
	// messages show it.
	confirms = 0.5
	// People change production systems in the daytime: between these hours, UTC.
	opens, closes = 8, 17
)

// draws are the random numbers of one thing in the world. They depend on the seed and on what they are for, and on
// nothing that a strategy or a policy does: so all are compared in the same world.
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

// A plan is what a receiver's administrator does about one renewal.
type plan struct {
	idle      bool
	at        time.Time     // when the new certificate is installed; not for the idle
	confirms  bool          // says so afterwards
	confirmIn time.Duration // how long afterwards
}

// planFor draws what an administrator does who was noticed of a certificate at noticed, and can have it from renewed
// on.
func (c Config) planFor(r *rand.Rand, noticed, renewed time.Time) plan {
	p := plan{idle: r.Float64() < c.Idle}
	at := noticed.Add(between(r, c.ReactionMin, c.ReactionMax))
	if at.Before(renewed) {
		at = renewed
	}
	p.at = daytime(at, r.Float64())
	p.confirms = r.Float64() < confirms
	p.confirmIn = between(r, 0, policy.Day)
	return p
}

// daytime moves an instant outside of the daytime into the next one, a share of its length in.
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

// A receiver checks the certificate of a sender.
type receiver struct {
	pins      bool // only what was installed; the others accept every generation, whose CA and subject are the same
	replaces  bool // installing takes away what was there
	installed map[int]bool
}

// newReceiver draws a receiver that knows generation 1.
func (c Config) newReceiver(r *rand.Rand) receiver {
	return receiver{pins: r.Float64() >= c.Receivers.CA+c.Receivers.Subject, replaces: r.Float64() >= c.Orders.Add,
		installed: map[int]bool{1: true}}
}

func (v receiver) accepts(generation int) bool { return !v.pins || v.installed[generation] }

func (v receiver) install(generation int) {
	if v.replaces {
		clear(v.installed)
	}
	v.installed[generation] = true
}

// A sender sends a message every interval.
type sender struct {
	first    time.Time
	interval time.Duration
}

// next is the first message at or after t.
func (s sender) next(t time.Time) time.Time {
	return s.first.Add(time.Duration(s.sentBefore(t)) * s.interval)
}

// sentBefore is how many messages were sent before t.
func (s sender) sentBefore(t time.Time) int64 {
	if !t.After(s.first) {
		return 0
	}
	return int64((t.Sub(s.first) + s.interval - 1) / s.interval)
}
