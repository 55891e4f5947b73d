package policy

import (
	"slices"
	"time"
)

const (
	// spreadSteps is the number of lifetimes that [Policy.SpreadExpiry] considers.
	spreadSteps = 360
	// spreadNotice is the least time from a warning to the renewal: the shortest interval of a monthly schedule.
	spreadNotice = 28 * Day
	// spreadMargin is the time by which a CA may end a certificate earlier than requested, because it backdates it.
	spreadMargin = time.Hour
)

// SpreadExpiry returns the ends of n certificates that are issued at the same time, so that their first renewals are
// distributed evenly over the runs of a cycle. No certificate lives longer than Validity. Each is warned about at least
// 28 days before its renewal, or as early as a certificate with the full Validity. Neighbours in the list are renewed
// by different runs. Later generations have the full validity, so the renewals stay distributed.
func (p Policy) SpreadExpiry(n int, issued time.Time) []time.Time {
	full := Validity{NotBefore: issued, NotAfter: issued.Add(p.Validity)}
	least := min(spreadNotice, notice(p.Forecast(full, issued)))
	ends := map[time.Time][]time.Time{} // by the run that renews
	for step := spreadSteps; step > 0; step-- {
		v := Validity{NotBefore: issued, NotAfter: issued.Add(p.Validity / spreadSteps * time.Duration(step))}
		sooner := Validity{NotBefore: issued, NotAfter: v.NotAfter.Add(-spreadMargin)}
		f, g := p.Forecast(v, issued), p.Forecast(sooner, issued)
		last := f.Last()
		if last.Action == Renew && last.At.Equal(g.Last().At) && min(notice(f), notice(g)) >= least {
			ends[last.At] = append(ends[last.At], v.NotAfter)
		}
	}
	if len(ends) == 0 {
		return slices.Repeat([]time.Time{full.NotAfter}, n)
	}
	runs := make([]time.Time, 0, len(ends))
	for run := range ends {
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b time.Time) int { return b.Compare(a) }) // the longest lives first
	all := make([]time.Time, n)
	for i := range all {
		of := ends[runs[i%len(runs)]]
		all[i] = of[i/len(runs)%len(of)]
	}
	return all
}

// notice returns the time from the first warning of a forecast to the renewal; 0 if there is no warning.
func notice(f Forecast) time.Duration {
	return f.Last().At.Sub(f.Events[0].At)
}
