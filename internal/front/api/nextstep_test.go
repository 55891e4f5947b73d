package api

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestEachStateOfARolloverHasOneNextStep(t *testing.T) {
	survives := &client.Renewal{Survival: tenancy.Survives}
	knows := func(v rollover.Verdict, by rollover.Source) client.RolloverKnowledge {
		return client.RolloverKnowledge{Generation: 2, Verdict: v, Source: by}
	}
	probe := tenancy.Probe{Method: "GET", Path: "/ping"}
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	reached := map[string]bool{}
	for _, c := range []struct {
		r      client.Rollover
		newest client.RolloverKnowledge
		probe  tenancy.Probe
		want   client.NextStep
	}{
		{client.Rollover{AtRisk: true, Exposed: true, Stopped: true, State: rollover.Announced},
			knows(rollover.Refused, rollover.Probe), probe, client.NextStep{Reason: "stopped", Turn: "operator"}},
		{client.Rollover{AtRisk: true, Exposed: true, State: rollover.CutOver}, knows(rollover.Refused, rollover.Probe),
			probe, client.NextStep{Reason: "exposed-refused", Turn: "receiver", Action: "send-link"}},
		{client.Rollover{AtRisk: true, Exposed: true, State: rollover.CutOver}, knows("", ""), probe,
			client.NextStep{Reason: "exposed", Turn: "owner", Action: "test"}},
		{client.Rollover{AtRisk: true, State: rollover.Announced, Renewal: survives}, knows("", ""), probe,
			client.NextStep{Reason: "survives", Turn: "owner", Action: "test"}},
		{client.Rollover{AtRisk: true, State: rollover.Announced}, knows(rollover.Unclear, rollover.Probe), probe,
			client.NextStep{Reason: "test-unclear", Turn: "owner", Action: "set-probe"}},
		{client.Rollover{AtRisk: true, State: rollover.Announced}, knows(rollover.Unclear, rollover.Traffic),
			tenancy.Probe{}, client.NextStep{Reason: "message-unclear", Turn: "owner", Action: "set-probe"}},
		{client.Rollover{AtRisk: true, State: rollover.Claimed}, knows("", ""), probe,
			client.NextStep{Reason: "claimed", Turn: "owner", Action: "test"}},
		{client.Rollover{AtRisk: true, State: rollover.CutOver}, knows("", ""), probe,
			client.NextStep{Reason: "cut-over-unproved", Turn: "owner", Action: "test"}},
		{client.Rollover{State: rollover.Settled}, knows(rollover.Accepted, rollover.Traffic), probe,
			client.NextStep{Reason: "settled", Turn: "none"}},
		{client.Rollover{State: rollover.CutOver}, knows(rollover.Accepted, rollover.Traffic), probe,
			client.NextStep{Reason: "cut-over", Turn: "none"}},
		{client.Rollover{State: rollover.Trusted, Strategy: tenancy.Manual},
			client.RolloverKnowledge{Generation: 2, Verdict: rollover.Accepted, Choosable: true}, probe,
			client.NextStep{Reason: "choose", Turn: "owner", Action: "choose"}},
		{client.Rollover{State: rollover.Trusted, Strategy: tenancy.Manual}, knows(rollover.Accepted, rollover.Probe), probe,
			client.NextStep{Reason: "choose-later", Turn: "none"}},
		{client.Rollover{State: rollover.Trusted}, knows(rollover.Accepted, rollover.Probe), probe,
			client.NextStep{Reason: "ready", Turn: "none"}},
		{client.Rollover{State: rollover.Trusted},
			client.RolloverKnowledge{Generation: 2, Verdict: rollover.Accepted, NoticedUntil: now.Add(1)}, probe,
			client.NextStep{Reason: "ready-later", Turn: "none"}},
		{client.Rollover{AtRisk: true, State: rollover.Regressed}, knows(rollover.Refused, rollover.Traffic), probe,
			client.NextStep{Reason: "regressed", Turn: "receiver", Action: "send-link"}},
		{client.Rollover{AtRisk: true, State: rollover.RefusedBy, Renewal: survives},
			knows(rollover.Refused, rollover.Traffic), probe,
			client.NextStep{Reason: "refused", Turn: "receiver", Action: "send-link"}},
		{client.Rollover{AtRisk: true, State: rollover.Announced}, knows("", ""), tenancy.Probe{},
			client.NextStep{Reason: "waiting", Turn: "receiver", Action: "send-link"}},
	} {
		c.r.Generations = []client.RolloverKnowledge{{Generation: 1}, c.newest}
		if got := nextStep(c.r, c.probe, now); *got != c.want {
			t.Errorf("%s: %+v, want %+v", c.r.State, *got, c.want)
		}
		reached[c.want.Reason] = true
	}
	for _, s := range steps {
		if !reached[s.next.Reason] {
			t.Errorf("no case ends at %s", s.next.Reason)
		}
	}
}
