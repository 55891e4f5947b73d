package api

import (
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A situation holds what a next step depends on.
type situation struct {
	client.Rollover
	newest client.RolloverKnowledge
	// noticed is set if the notice to the key users about the newest generation has ended.
	noticed bool
	// probes is set if the receiver is tested with a request, and not with a TLS handshake alone.
	probes bool
}

// steps decides who moves a roll-over on, and how. The first entry that fits wins. The overview, the pages of an
// arrangement and the command line show this decision, and none of them makes its own.
var steps = []struct {
	fits func(p situation) bool
	next client.NextStep
}{
	{func(p situation) bool { return p.Stopped },
		client.NextStep{Reason: "stopped", Turn: client.TurnOperator}},
	{func(p situation) bool { return p.Exposed && p.newest.Verdict == rollover.Refused },
		client.NextStep{Reason: "exposed-refused", Turn: client.TurnReceiver, Action: client.ActionLink}},
	{func(p situation) bool { return p.Exposed },
		client.NextStep{Reason: "exposed", Turn: client.TurnOwner, Action: client.ActionTest}},
	{func(p situation) bool {
		return p.AtRisk && p.Renewal != nil && p.Renewal.Survival == tenancy.Survives &&
			p.newest.Verdict == rollover.Unknown
	}, client.NextStep{Reason: "survives", Turn: client.TurnOwner, Action: client.ActionTest}},
	{func(p situation) bool { return p.AtRisk && p.newest.Verdict == rollover.Unclear && p.probes },
		client.NextStep{Reason: "test-unclear", Turn: client.TurnOwner, Action: client.ActionProbe}},
	{func(p situation) bool {
		return p.AtRisk && p.newest.Verdict == rollover.Unclear && p.newest.Source == rollover.Traffic
	}, client.NextStep{Reason: "message-unclear", Turn: client.TurnOwner, Action: client.ActionProbe}},
	{func(p situation) bool { return p.State == rollover.Claimed },
		client.NextStep{Reason: "claimed", Turn: client.TurnOwner, Action: client.ActionTest}},
	{func(p situation) bool { return p.AtRisk && p.State == rollover.CutOver },
		client.NextStep{Reason: "cut-over-unproved", Turn: client.TurnOwner, Action: client.ActionTest}},
	{func(p situation) bool { return p.State == rollover.Settled },
		client.NextStep{Reason: "settled", Turn: client.TurnNone}},
	{func(p situation) bool { return p.State == rollover.CutOver },
		client.NextStep{Reason: "cut-over", Turn: client.TurnNone}},
	{func(p situation) bool {
		return p.State == rollover.Trusted && p.Strategy == tenancy.Manual && p.newest.Choosable
	}, client.NextStep{Reason: "choose", Turn: client.TurnOwner, Action: client.ActionChoose}},
	{func(p situation) bool { return p.State == rollover.Trusted && p.Strategy == tenancy.Manual },
		client.NextStep{Reason: "choose-later", Turn: client.TurnNone}},
	{func(p situation) bool { return p.State == rollover.Trusted && !p.noticed },
		client.NextStep{Reason: "ready-later", Turn: client.TurnNone}},
	{func(p situation) bool { return p.State == rollover.Trusted },
		client.NextStep{Reason: "ready", Turn: client.TurnNone}},
	{func(p situation) bool { return p.State == rollover.Regressed },
		client.NextStep{Reason: "regressed", Turn: client.TurnReceiver, Action: client.ActionLink}},
	{func(p situation) bool { return p.State == rollover.RefusedBy },
		client.NextStep{Reason: "refused", Turn: client.TurnReceiver, Action: client.ActionLink}},
	{func(situation) bool { return true },
		client.NextStep{Reason: "waiting", Turn: client.TurnReceiver, Action: client.ActionLink}},
}

// nextStep returns what moves a roll-over on.
func nextStep(r client.Rollover, probe tenancy.Probe, now time.Time) *client.NextStep {
	p := situation{Rollover: r, probes: probe.Method != ""}
	if n := len(r.Generations); n > 0 {
		p.newest = r.Generations[n-1]
		p.noticed = !p.newest.NoticedUntil.After(now)
	}
	for _, s := range steps {
		if s.fits(p) {
			return &s.next
		}
	}
	return nil
}
