// Package sim lives years of a fleet in minutes: the real engine on SQLite in memory under a virtual clock, with
// simulated receivers, people and senders.
//
// It promises: the same configuration and seed give the same result to the byte, on any number of cores; strategies and
// policies are compared with the same fleet, whose people and receivers do the same in each; and a result is only
// returned where the invariants of the engine held all the way, as far as they can be seen here. Messages are not sent
// one by one: between two changes their fate is the same, and they are counted. What is simulated is said in
// docs/simulation.md.
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

// A Config is a fleet and its world.
type Config struct {
	Policy   policy.Policy
	Strategy tenancy.Strategy // immediate, confirmed or adaptive
	Tenants  int
	// Arrangements of each tenant.
	Arrangements int
	Years        int
	Start        time.Time
	Seed         uint64
	// Receivers are the shares of what receivers check, and Orders those of how a pin is changed.
	Receivers Receivers
	Orders    Orders
	// Reaction is how long after the notice an administrator acts, each length in it as likely as any other.
	ReactionMin, ReactionMax time.Duration
	// Idle is the share of administrators who act only two days after messages began to fail.
	Idle float64
	// Interval is the time between two messages of an arrangement.
	Interval time.Duration
}

// Receivers are shares of 1: receivers that accept every certificate of the CA, every one of the subject, and those
// that were installed.
type Receivers struct{ CA, Subject, Pin float64 }

// Orders are shares of 1: administrators who add the new certificate beside the old one, and who replace it.
type Orders struct{ Add, Replace float64 }

// A Result is what happened. Its JSON is the output of "perennial simulate".
type Result struct {
	Policy       string           `json:"policy"`
	Strategy     tenancy.Strategy `json:"strategy"`
	Validity     string           `json:"validity"`
	Tenants      int              `json:"tenants"`
	Arrangements int              `json:"arrangements"`
	Years        int              `json:"years"`
	Messages     int64            `json:"messages"`
	Failed       int64            `json:"failed"`
	// FailedByRenewal would have been delivered had the certificate not been renewed: the one before was still valid.
	FailedByRenewal int64 `json:"failed_by_renewal"`
	// FailedWhileAccepted failed although the receiver accepted a valid generation at that instant: the promise, as a
	// number.
	FailedWhileAccepted int64 `json:"failed_while_some_generation_was_accepted"`
	// OutageHours are hours in which an arrangement could not deliver, over all arrangements.
	OutageHours    float64 `json:"outage_hours"`
	Renewals       int     `json:"renewals"`
	WarnedRenewals int     `json:"warned_renewals"`
	// ExpiredInUse are certificates that an arrangement still presented when they expired.
	ExpiredInUse int `json:"expired_in_use"`
	Tasks        int `json:"tasks"`
	Mails        int `json:"mails"`
	CutOvers     int `json:"cut_overs"`

	// FailedByMonth are the failed messages of each month from the start on.
	FailedByMonth []int64 `json:"-"`

	outage int64 // milliseconds: a large fleet is without delivery for more than the 292 years of a time.Duration
}

// most is how much one simulation may be asked for: a slip of the keyboard must not take all memory.
const (
	mostTenants      = 10_000_000
	mostArrangements = 100
	mostYears        = 100
)

// Check says what is wrong with the configuration, or nil.
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
		return fmt.Errorf("%d tenants: write 1 to %d", c.Tenants, mostTenants)
	case c.Arrangements < 1 || c.Arrangements > mostArrangements:
		return fmt.Errorf("%d arrangements of each tenant: write 1 to %d", c.Arrangements, mostArrangements)
	case c.Years < 1 || c.Years > mostYears:
		return fmt.Errorf("%d years: write 1 to %d", c.Years, mostYears)
	case !one(c.Receivers.CA, c.Receivers.Subject, c.Receivers.Pin):
		return errors.New("the shares of receivers (ca, subject, pin) must each be 0 to 1, and 1 together")
	case !one(c.Orders.Add, c.Orders.Replace):
		return errors.New("the shares of orders (add, replace) must each be 0 to 1, and 1 together")
	case !share(c.Idle):
		return fmt.Errorf("the idle share %v: write 0 to 1", c.Idle)
	case c.ReactionMin < 0 || c.ReactionMax < c.ReactionMin:
		return fmt.Errorf("the reaction %s..%s: write the shorter one first", policy.FormatDuration(c.ReactionMin),
			policy.FormatDuration(c.ReactionMax))
	case c.Interval < time.Second:
		return errors.New("more than one message a second of each arrangement cannot be simulated")
	}
	return c.Policy.Check()
}

// mode is how a simulation is executed; nothing of it matters to the result.
type mode struct {
	// shard is how many tenants share one database in memory.
	shard int
	// everyHour: the engine is called at every hour for every tenant with an open roll-over, as the service does, and not
	// only at those at which it has something to do.
	everyHour bool
}

// Run lives the years, on all cores. The error says what is wrong with the configuration, or which invariant broke, for
// which tenant and when.
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
				r, err := newWorld(c, notice, m.everyHour).live(ctx, i*m.shard, min(m.shard, c.Tenants-i*m.shard))
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
	for i, n := range o.FailedByMonth {
		r.FailedByMonth[i] += n
	}
}
