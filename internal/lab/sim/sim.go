// Package sim simulates years of a fleet in minutes: the real engine on SQLite in memory under a virtual clock, with
// simulated receivers, administrators and senders.
//
// The same configuration and seed give the same result, byte for byte, on any number of cores. Strategies and policies
// are compared with the same fleet, whose administrators and receivers behave the same in each. A result is returned
// only if the invariants of the engine held all the time, as far as the simulation can check them. Messages are not
// sent one by one: between two changes they all have the same outcome, and are counted. docs/simulation.md describes
// the model.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Config describes a fleet and its world.
type Config struct {
	Policy   policy.Policy
	Strategy tenancy.Strategy // immediate, confirmed or adaptive
	Tenants  int
	// Arrangements of each tenant.
	Arrangements int
	Years        int
	Start        time.Time
	// Steady gives the first certificates the validity of the policy, and an age at which no warning is due yet.
	// Otherwise, they expire 93 to 458 days after the start, whatever the policy: the fleet changes to it.
	Steady bool
	Seed   uint64
	// Receivers and Orders are the shares of the kinds of receivers, and of the ways to change a pinned certificate.
	Receivers Receivers
	Orders    Orders
	// The time from the notice to the reaction of an administrator is uniformly distributed between these bounds.
	ReactionMin, ReactionMax time.Duration
	// Idle is the share of administrators who react only two days after the first failed message.
	Idle float64
	// Notified selects who notifies administrators of a renewal.
	Notified Notified
	// The time until a key user forwards the notice is uniformly distributed between these bounds, and Forgotten is the
	// share of notices that are never forwarded. Both are used only if the key users forward.
	ForwardMin, ForwardMax time.Duration
	Forgotten              float64
	// Interval is the time between two messages of an arrangement.
	Interval time.Duration
}

// Notified selects who notifies the administrators of receivers of a renewal.
type Notified string

// The ways.
const (
	// AtOnce leaves open who notifies them: they are notified when the key users are.
	AtOnce Notified = "at-once"
	// Forwarded has the key users forward the notice.
	Forwarded Notified = "forwarded"
	// Mailed has the engine mail the administrators.
	Mailed Notified = "mailed"
)

// Receivers contains shares of 1: receivers that accept every certificate of the CA, every certificate of the subject,
// or only installed certificates. Others follow the feed of their arrangement, or are behind a guard with the rule
// successor.
type Receivers struct{ CA, Subject, Pin, Follow, Guard float64 }

// Orders contains shares of 1: administrators who add the new certificate to the old one, or who replace the old one.
type Orders struct{ Add, Replace float64 }

// A Result contains the counts of a simulation. Its JSON is the output of "perennial simulate".
type Result struct {
	Policy       string           `json:"policy"`
	Strategy     tenancy.Strategy `json:"strategy"`
	Validity     string           `json:"validity"`
	Tenants      int              `json:"tenants"`
	Arrangements int              `json:"arrangements"`
	Years        int              `json:"years"`
	Messages     int64            `json:"messages"`
	Failed       int64            `json:"failed"`
	// FailedByRenewal counts failed messages that would have been delivered without the renewal, because the previous
	// certificate was still valid.
	FailedByRenewal int64 `json:"failed_by_renewal"`
	// FailedWhileAccepted counts messages that failed although the receiver accepted a valid generation at that instant.
	// The promise of the product is that it is 0.
	FailedWhileAccepted int64 `json:"failed_while_some_generation_was_accepted"`
	// OutageHours is the sum over all arrangements of the time without delivery.
	OutageHours    float64 `json:"outage_hours"`
	Renewals       int     `json:"renewals"`
	WarnedRenewals int     `json:"warned_renewals"`
	// ExpiredInUse counts certificates that an arrangement still presented when they expired.
	ExpiredInUse int `json:"expired_in_use"`
	Tasks        int `json:"tasks"`
	Mails        int `json:"mails"`
	CutOvers     int `json:"cut_overs"`
	// AtThirtyDays counts the receivers whose administrator has to install the new certificate, at the instants 30 days
	// before the old one expires, and ReadyAtThirtyDays those among them that accept the new one then.
	AtThirtyDays      int `json:"at_30_days"`
	ReadyAtThirtyDays int `json:"ready_at_30_days"`
	// AdministratorMails counts the mails to administrators, which are not in Mails.
	AdministratorMails int `json:"administrator_mails"`
	// Held counts certificates that a guard did not accept by its rule, and about which it asked a person.
	Held int `json:"held"`

	// FailedByMonth counts the failed messages of each month from the start on.
	FailedByMonth []int64 `json:"-"`

	outage int64 // in milliseconds, because the sum can exceed the 292 years of a time.Duration
}

// Limits of a simulation, so that a typing error does not use up the memory.
const (
	mostTenants      = 10_000_000
	mostArrangements = 100
	mostYears        = 100
)

// Check returns an error if the configuration is not valid.
func (c Config) Check() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	one := func(v ...float64) bool {
		sum := 0.0
		for _, x := range v {
			if !share(x) {
				return false
			}
			sum += x
		}
		return math.Abs(sum-1) < 1e-6
	}
	switch {
	case c.Strategy != tenancy.Immediate && c.Strategy != tenancy.Confirmed && c.Strategy != tenancy.Adaptive:
		return fmt.Errorf("strategy %q cannot be simulated: use immediate, confirmed or adaptive", c.Strategy)
	case c.Tenants < 1 || c.Tenants > mostTenants:
		return fmt.Errorf("%d tenants: use 1 to %d", c.Tenants, mostTenants)
	case c.Arrangements < 1 || c.Arrangements > mostArrangements:
		return fmt.Errorf("%d arrangements for each tenant: use 1 to %d", c.Arrangements, mostArrangements)
	case c.Years < 1 || c.Years > mostYears:
		return fmt.Errorf("%d years: use 1 to %d", c.Years, mostYears)
	case !one(c.Receivers.CA, c.Receivers.Subject, c.Receivers.Pin, c.Receivers.Follow, c.Receivers.Guard):
		return errors.New("the shares of receivers (ca, subject, pin, follow, guard) must each be 0 to 1, with a sum " +
			"of 1")
	case !one(c.Orders.Add, c.Orders.Replace):
		return errors.New("the shares of orders (add, replace) must each be 0 to 1, with a sum of 1")
	case !share(c.Idle):
		return fmt.Errorf("the idle share is %v: use 0 to 1", c.Idle)
	case c.Notified != "" && c.Notified != AtOnce && c.Notified != Forwarded && c.Notified != Mailed:
		return fmt.Errorf("administrators cannot be notified %q: use at-once, forwarded or mailed", c.Notified)
	case !share(c.Forgotten):
		return fmt.Errorf("the forgotten share is %v: use 0 to 1", c.Forgotten)
	case c.ForwardMin < 0 || c.ForwardMax < c.ForwardMin:
		return fmt.Errorf("the time to forward is %s..%s: use the shorter one first", policy.FormatDuration(c.ForwardMin),
			policy.FormatDuration(c.ForwardMax))
	case c.ReactionMin < 0 || c.ReactionMax < c.ReactionMin:
		return fmt.Errorf("the reaction time is %s..%s: use the shorter one first", policy.FormatDuration(c.ReactionMin),
			policy.FormatDuration(c.ReactionMax))
	case c.Interval < time.Second:
		return errors.New("an arrangement cannot send more than one message per second: use a longer interval")
	}
	return c.Policy.Check()
}

// mode configures the execution of a simulation. It does not affect the result.
type mode struct {
	// shard is the number of tenants that share a database in memory.
	shard  int
	checks checks
}

// checks are the hours at which the roll-overs of a tenant are checked.
type checks int

const (
	// whenDue checks only at the hours at which the engine has something to do.
	whenDue checks = iota
	// everyHour checks every hour while a roll-over is open, as the service does.
	everyHour
)

// Run simulates the years on all cores. The error reports an invalid configuration, or a broken invariant with its
// tenant and time.
func Run(ctx context.Context, c Config) (*Result, error) {
	return run(ctx, c, mode{shard: 250})
}

func run(ctx context.Context, c Config, m mode) (*Result, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	report, err := policy.Audit(c.Policy)
	if err != nil {
		return nil, err
	}
	notice := time.Duration(0)
	if report.SurpriseFree {
		notice = lifecycle.NoticeUnder(c.Policy)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shards := make([]*Result, (c.Tenants+m.shard-1)/m.shard)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(len(shards), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(shards) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				r, err := newWorld(c, notice, m.checks).live(ctx, i*m.shard, min(m.shard, c.Tenants-i*m.shard))
				if err != nil {
					cancel(err)
					return
				}
				shards[i] = r
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	sum := newResult(c)
	for _, r := range shards {
		sum.add(r)
	}
	sum.OutageHours = math.Round(float64(sum.outage)/36_000) / 100
	return sum, nil
}

func newResult(c Config) *Result {
	return &Result{
		Policy: c.Policy.Name, Strategy: c.Strategy, Validity: policy.FormatDuration(c.Policy.Validity), Tenants: c.Tenants,
		Arrangements: c.Tenants * c.Arrangements, Years: c.Years,
		FailedByMonth: make([]int64, 12*c.Years),
	}
}

func (r *Result) add(o *Result) {
	r.Messages += o.Messages
	r.Failed += o.Failed
	r.FailedByRenewal += o.FailedByRenewal
	r.FailedWhileAccepted += o.FailedWhileAccepted
	r.outage += o.outage
	r.Renewals += o.Renewals
	r.WarnedRenewals += o.WarnedRenewals
	r.ExpiredInUse += o.ExpiredInUse
	r.Tasks += o.Tasks
	r.Mails += o.Mails
	r.CutOvers += o.CutOvers
	r.Held += o.Held
	r.AtThirtyDays += o.AtThirtyDays
	r.ReadyAtThirtyDays += o.ReadyAtThirtyDays
	r.AdministratorMails += o.AdministratorMails
	for i, n := range o.FailedByMonth {
		r.FailedByMonth[i] += n
	}
}
