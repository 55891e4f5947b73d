package policy

import (
	"testing"
	"time"
)

func TestASpreadDistributesRenewalsEvenlyAndKeepsTheWarnings(t *testing.T) {
	for _, p := range Presets() {
		for _, day := range []int{20, 102, 131} { // of November 2026
			issued := time.Date(2026, 11, day, 9, 0, 0, 0, time.UTC)
			const n = 10_000
			ends := p.SpreadExpiry(n, issued)
			runs := map[time.Time]int{}
			full := p.Forecast(Validity{NotBefore: issued, NotAfter: issued.Add(p.Validity)}, issued)
			for i, end := range ends {
				f := p.Forecast(Validity{NotBefore: issued, NotAfter: end}, issued)
				last := f.Last()
				if end.After(issued.Add(p.Validity)) || last.Action != Renew || f.Surprise && !full.Surprise {
					t.Fatalf("%s, issued %s: certificate %d ends at %s: %+v", p.Name, issued, i, end, f)
				}
				if notice := last.At.Sub(f.Events[0].At); notice < 28*Day && !full.Surprise && p.Validity >= 365*Day {
					t.Fatalf("%s: the warning comes %s before the renewal of %s", p.Name, notice, last.At)
				}
				runs[last.At]++
			}
			if len(ends) != n {
				t.Fatalf("%s: %d ends", p.Name, len(ends))
			}
			for run, size := range runs {
				if size > n/len(runs)+1 {
					t.Errorf("%s, issued %s: the run of %s renews %d of %d certificates, with %d runs", p.Name,
						issued.Format(time.DateOnly), run.Format(time.DateOnly), size, n, len(runs))
				}
			}
			if p.Validity == 365*Day && len(runs) < 8 {
				t.Errorf("%s, issued %s: %d runs only", p.Name, issued.Format(time.DateOnly), len(runs))
			}
			t.Logf("%s, issued %s: %d runs", p.Name, issued.Format(time.DateOnly), len(runs))
		}
	}
}
