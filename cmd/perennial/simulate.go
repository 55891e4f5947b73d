package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/lab/sim"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

type simulateCmd struct {
	Policy       []string `default:"perennial" env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file. Several, separated by commas, are compared."`
	Strategy     string   `default:"all" help:"immediate, confirmed, adaptive, or all."`
	Tenants      int      `default:"1000" help:"Number of tenants."`
	Arrangements int      `default:"3" help:"Number of arrangements of each tenant."`
	Years        int      `default:"3" help:"Simulated years."`
	Start        string   `default:"2026-01-01" placeholder:"DATE" help:"The first day. The first certificates expire 93 to 458 days later."`
	Steady       bool     `help:"The first certificates have the policy's validity instead, and different ages."`
	Seed         uint64   `default:"1" help:"The same seed gives the same output."`
	Receivers    string   `default:"ca=0.3,subject=0.1,pin=0.6" help:"Shares of receivers by what they check: ca, subject, pin (installed by a person), follow (fetched from the feed), or guard (accepted by a rule)."`
	Reaction     string   `default:"3d..45d" help:"Time between the notice and the action of a receiver's administrator."`
	Order        string   `default:"add=0.5,replace=0.5" help:"Shares of administrators who add the new certificate, and who replace the old one with it."`
	Idle         float64  `default:"0.05" help:"Share of administrators who act only two days after messages begin to fail."`
	Notified     string   `enum:"at-once,forwarded,mailed" default:"at-once" help:"How the administrators of receivers are notified: at-once (by anyone, when the key users are), forwarded (by the key users) or mailed (by the service)."`
	Forward      string   `default:"1d..14d" help:"Time until a key user forwards a notice, with --notified forwarded."`
	Forgotten    float64  `default:"0.1" help:"Share of notices that key users never forward, with --notified forwarded."`
	Validity     []string `placeholder:"DURATION" help:"Validity of certificates, instead of the policy's. Several, separated by commas, are compared."`
	Rate         string   `default:"24/day" help:"Messages that an arrangement sends."`
	Output       string   `enum:"table,json,svg" default:"table" help:"table, json or svg."`
}

func (c simulateCmd) Run(e env) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	strategies, err := c.strategies()
	if err != nil {
		return err
	}
	policies, err := c.policies()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The simulation produces much garbage and keeps little. Collecting it less often saves a seventh of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(1600))
	var all []*sim.Result
	for _, p := range policies {
		for _, s := range strategies {
			config.Policy, config.Strategy = p, s
			r, err := sim.Run(ctx, config)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
	}
	switch c.Output {
	case "json":
		return writeJSON(e.out, all)
	case "svg":
		return sim.Picture(e.out, config, all)
	}
	return sim.Table(e.out, config, all)
}

func (c simulateCmd) strategies() ([]tenancy.Strategy, error) {
	all := []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive}
	if c.Strategy == "all" {
		return all, nil
	}
	if s := tenancy.Strategy(c.Strategy); slices.Contains(all, s) {
		return []tenancy.Strategy{s}, nil
	}
	return nil, misused("--strategy: %q is not allowed: use immediate, confirmed, adaptive or all", c.Strategy)
}

// policies returns the policies to compare: each one with each validity.
func (c simulateCmd) policies() (all []policy.Policy, err error) {
	for _, name := range c.Policy {
		p, err := service.LoadPolicy(name)
		if err != nil {
			return nil, err
		}
		if len(c.Validity) == 0 {
			all = append(all, p)
		}
		for _, v := range c.Validity {
			if p.Validity, err = policy.ParseDuration(v); err != nil {
				return nil, misused("--validity: %w", err)
			}
			if err := p.Check(); err != nil {
				return nil, misused("--validity %s: %w", v, err)
			}
			all = append(all, p)
		}
	}
	return all, nil
}

func (c simulateCmd) config() (s sim.Config, err error) {
	s = sim.Config{Tenants: c.Tenants, Arrangements: c.Arrangements, Years: c.Years, Seed: c.Seed,
		Steady: c.Steady, Idle: c.Idle, Notified: sim.Notified(c.Notified), Forgotten: c.Forgotten}
	if s.Start, err = parseInstant(c.Start); err != nil {
		return s, misused("--start: %w", err)
	}
	receivers, err := parseShares(c.Receivers, "ca", "subject", "pin", "follow", "guard")
	if err != nil {
		return s, misused("--receivers: %w", err)
	}
	s.Receivers = sim.Receivers{CA: receivers[0], Subject: receivers[1], Pin: receivers[2], Follow: receivers[3],
		Guard: receivers[4]}
	orders, err := parseShares(c.Order, "add", "replace")
	if err != nil {
		return s, misused("--order: %w", err)
	}
	s.Orders = sim.Orders{Add: orders[0], Replace: orders[1]}
	if s.ReactionMin, s.ReactionMax, err = parseRange(c.Reaction); err != nil {
		return s, misused("--reaction: %w", err)
	}
	if s.ForwardMin, s.ForwardMax, err = parseRange(c.Forward); err != nil {
		return s, misused("--forward: %w", err)
	}
	if s.Interval, err = parseRate(c.Rate); err != nil {
		return s, misused("--rate: %w", err)
	}
	return s, nil
}

// parseShares parses shares such as "a=0.3,b=0.7". A name that is left out has 0, and the sum must be 1.
func parseShares(s string, names ...string) ([]float64, error) {
	shares := make([]float64, len(names))
	sum := 0.0
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		v, err := strconv.ParseFloat(value, 64)
		i := slices.Index(names, name)
		if i < 0 || err != nil || !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("invalid share %q: use %s=0.5, with one of %s and a number from 0 to 1", part, names[0],
				strings.Join(names, ", "))
		}
		shares[i] = v
		sum += v
	}
	if math.Abs(sum-1) > 1e-6 {
		return nil, fmt.Errorf("the shares in %q add up to %g: they must add up to 1", s, sum)
	}
	return shares, nil
}

// parseRange parses a range such as "3d..45d", or one duration.
func parseRange(s string) (from, to time.Duration, err error) {
	first, last, several := strings.Cut(s, "..")
	if from, err = policy.ParseDuration(first); err != nil {
		return 0, 0, err
	}
	if !several {
		return from, from, nil
	}
	if to, err = policy.ParseDuration(last); err == nil && (from < 0 || to < from) {
		err = fmt.Errorf("invalid range %q: the shorter duration comes first", s)
	}
	return from, to, err
}

// parseRate parses a rate such as "24/day" and returns the time between two messages.
func parseRate(s string) (time.Duration, error) {
	count, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(count, 64)
	per, ok := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": policy.Day,
		"week": 7 * policy.Day}[unit]
	if err != nil || !ok || !(n > 0) {
		return 0, fmt.Errorf("invalid rate %q: use 24/day, or per minute, hour or week", s)
	}
	interval := float64(per) / n
	if interval < float64(time.Second) || interval > float64(10*365*policy.Day) {
		return 0, fmt.Errorf("rate %q is out of range: use at most one message per second, and at least one in ten years", s)
	}
	return time.Duration(interval), nil
}
