package web

import (
	"testing"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
)

// One failed look used to hide that a certificate has expired.
func TestASourceThatIsNotReadableDoesNotHideALateRenewal(t *testing.T) {
	v := &view{lang: "en"}
	for stage, want := range map[policy.Stage]string{policy.StageQuiet: "Source not readable",
		policy.StageSoon: "Source not readable", policy.StageDue: "Source not readable",
		policy.StageOverdue: "Renewal overdue", policy.StageExpired: "Expired"} {
		if got := v.watchStage(client.Watched{Stage: stage, LookError: "refused"}); got != (stateOf{"bad", want}) {
			t.Errorf("%s: %+v", stage, got)
		}
	}
}
