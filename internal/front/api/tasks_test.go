package api

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestATaskNamesItsArrangementIfItIsExactlyOne(t *testing.T) {
	now := day("2026-12-01")
	presenting := func(name string, purpose tenancy.Purpose, verdict rollover.Verdict) standing.Standing {
		a := tenancy.Arrangement{Name: name, Credential: purpose}
		return standing.Standing{Arrangement: a, Rollover: rollover.Rollover{Presents: 1, Generations: []rollover.Generation{
			{Number: 1, NotAfter: now.Add(30 * 24 * time.Hour), Verdict: rollover.Accepted},
			{Number: 2, NotAfter: now.Add(300 * 24 * time.Hour), Verdict: verdict}}}}
	}
	ready := presenting("ready", tenancy.ForTenant, rollover.Accepted)
	late := presenting("late", tenancy.ForTenant, rollover.Refused)
	later := presenting("later", tenancy.ForTenant, rollover.Refused)
	other := presenting("other", tenancy.ForMUser, rollover.Refused)
	for _, c := range []struct {
		name  string
		kind  tenancy.NoticeKind
		state tenancy.TaskState
		all   []standing.Standing
		want  string
	}{
		{"the only one with the credential", tenancy.Renewed, tenancy.TaskOpen, []standing.Standing{ready, other}, "ready"},
		{"two with the credential", tenancy.Renewed, tenancy.TaskOpen, []standing.Standing{ready, late}, ""},
		{"none", tenancy.Renewed, tenancy.TaskOpen, nil, ""},
		{"the only one at risk", tenancy.Unready, tenancy.TaskOpen, []standing.Standing{late, ready, other}, "late"},
		{"two at risk", tenancy.Over, tenancy.TaskOpen, []standing.Standing{late, ready, later}, ""},
		{"none at risk any longer", tenancy.Unready, tenancy.TaskOpen, []standing.Standing{ready}, ""},
		{"completed", tenancy.Unready, tenancy.TaskCompleted, []standing.Standing{late, ready}, ""},
		{"a new CA", tenancy.NewAuthority, tenancy.TaskOpen, []standing.Standing{ready, other}, ""},
	} {
		task := tenancy.Task{Kind: c.kind, State: c.state, Purpose: tenancy.ForTenant}
		if got := onlyArrangement(task, c.all, now); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
