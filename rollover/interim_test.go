package rollover

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestMessagesStayOnOpenConnectionsOnlyWithAGenerationThatIsAccepted(t *testing.T) {
	cut := epoch
	for _, c := range []struct {
		name   string
		change func(*Rollover)
		after  time.Duration
		want   bool
	}{
		{"after a cut-over", func(*Rollover) {}, 0, true},
		{"just within the hour", func(*Rollover) {}, Overlap - 1, true},
		{"an hour later", func(*Rollover) {}, Overlap, false},
		{"a clock that jumped back", func(*Rollover) {}, -1, false},
		{"no cut-over", func(r *Rollover) { r.Generations[1].PresentedAt = time.Time{} }, 0, false},
		{"the strategy immediate", func(r *Rollover) { r.Strategy = tenancy.Immediate }, 0, false},
		{"the strategy manual", func(r *Rollover) { r.Strategy = tenancy.Manual }, 0, true},
		{"a receiver that takes the newest only", func(r *Rollover) { r.NewestOnly = true }, 0, false},
		{"the old one is refused", func(r *Rollover) { r.Generations[0].Verdict = Refused }, 0, false},
		{"the old one is unknown", func(r *Rollover) { r.Generations[0].Verdict = Unknown }, 0, false},
		{"the receiver asks for no certificate", func(r *Rollover) {
			r.Generations[0].Verdict, r.UnaskedAt = Unknown, epoch
		}, 0, true},
		{"the old one is revoked", func(r *Rollover) { r.Generations[0].Revoked = true }, 0, false},
		{"the old one has expired", func(r *Rollover) { r.Generations[0].NotAfter = cut }, 0, false},
		{"the new one is refused", func(r *Rollover) { r.Generations[1].Verdict = Refused }, 0, false},
		{"the new one is revoked", func(r *Rollover) { r.Generations[1].Revoked = true }, 0, false},
		{"back to the old one", func(r *Rollover) { r.Presents, r.Generations[0].PresentedAt = 1, cut }, 0, false},
		{"a generation that is gone", func(r *Rollover) { r.Presents = 7 }, 0, false},
	} {
		r := Rollover{Strategy: tenancy.Adaptive, Presents: 2, Generations: []Generation{
			{Number: 1, NotBefore: cut.AddDate(-1, 0, 0), NotAfter: cut.AddDate(0, 1, 0), Verdict: Accepted, By: Traffic},
			{Number: 2, NotBefore: cut.AddDate(0, -1, 0), NotAfter: cut.AddDate(1, 0, 0), Verdict: Accepted, By: Probe,
				PresentedAt: cut},
		}}
		c.change(&r)
		if got, ok := r.Interim(cut.Add(c.after)); ok != c.want || ok && got != 1 {
			t.Errorf("%s: generation %d, %v", c.name, got, ok)
		}
	}
}
