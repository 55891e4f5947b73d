package lifecycle

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// closed counts the tasks of a tenant by why the service closed them. Those that are open count as "open".
func (f *fixture) closed(t tenancy.Tenant) map[tenancy.TaskClosing]int {
	f.t.Helper()
	counts := map[tenancy.TaskClosing]int{}
	for _, task := range f.tasks(t) {
		switch {
		case task.State == tenancy.TaskOpen:
			counts["open"]++
		case task.CompletedAt.IsZero():
			f.t.Errorf("task %q is %s, without a time", task.Subject, task.State)
		default:
			counts[task.ClosedFor]++
		}
	}
	return counts
}

func TestTasksCloseThemselvesWhenEveryReceiverAcceptsTheNewCertificate(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme, globex := f.tenant("acme", date("2026-01-15")), f.tenant("globex", date("2026-01-15"))
	bank, erp := f.arrangement(acme, "bank", tenancy.Adaptive), f.arrangement(acme, "erp", tenancy.Manual)
	f.renews()
	tick := func(at time.Time) {
		t.Helper()
		check(t, f.Tick(t.Context(), at))
	}
	tick(date("2026-12-16")) // a reminder
	before := f.closed(acme)
	if before["open"] == 0 || before[tenancy.ClosedRenewed] == 0 || len(before) != 2 {
		t.Fatalf("tasks after the renewal: %v", before)
	}
	f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-17"))
	tick(date("2026-12-17"))
	if got := f.closed(acme); got["open"] < before["open"] || got[tenancy.ClosedAccepted] > 0 {
		t.Errorf("one of two receivers accepts it: %v, before %v", got, before)
	}
	f.sees(erp, 2, rollover.Accepted, rollover.Person, date("2026-12-18"))
	tick(date("2026-12-18"))
	if got := f.closed(acme); got[tenancy.ClosedAccepted] > 0 {
		t.Errorf("a claim closes tasks: %v", got)
	}
	f.sees(erp, 2, rollover.Accepted, rollover.Probe, date("2026-12-18"))
	tick(date("2026-12-18"))
	all := f.closed(acme)
	if all["open"] > 0 || all[tenancy.ClosedAccepted] < before["open"] {
		t.Errorf("every receiver accepts it: %v", all)
	}
	f.eventsOf("tasks.closed", 2)
	tick(date("2026-12-19"))
	f.eventsOf("tasks.closed", 2)
	if got := f.closed(globex); got["open"] == 0 || len(got) != 1 {
		t.Errorf("without an arrangement, nothing shows that nothing is left to do: %v", got)
	}
}
