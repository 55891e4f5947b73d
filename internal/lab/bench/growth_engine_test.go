package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/lab/sim"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var small, large = []int{100, 1000, 10_000}, []int{1000, 10_000, 100_000}

const cpuSeconds = "CPU seconds"

// growths returns the costs to measure.
func growths(t *testing.T) []*growth {
	fleets := newMonths(t)
	return slices.Concat([]*growth{
		{work: "renewals", of: "due certificates", unit: cpuSeconds, sizes: small, measure: growRenewals},
		{work: "first of the month", of: "tenants", unit: cpuSeconds, sizes: []int{1200, 12_000, 120_000},
			measure: func(t *testing.T, n int) float64 { return fleets.of(t, n).run }},
		{work: "nine runs, nothing due", of: "certificates", unit: cpuSeconds, sizes: large, measure: growSweep},
		{work: "delivery of mails", of: "queued mails", unit: cpuSeconds, sizes: small, measure: growMails},
		{work: "walk of the board", of: "open roll-overs", unit: cpuSeconds, sizes: small, measure: growWalk},
		{work: "hour without reminders", of: "open roll-overs", unit: cpuSeconds, sizes: small,
			measure: func(t *testing.T, n int) float64 { return growRoll(t, n, nothingNew) }},
		{work: "hour with reminders", of: "open roll-overs", unit: cpuSeconds, sizes: small,
			measure: func(t *testing.T, n int) float64 { return growRoll(t, n, remindersDue) }},
		{work: "100 pages of the work list", of: "tenants", unit: cpuSeconds, sizes: large, measure: growWorkList},
	}, gatewayGrowths(), guardGrowths(), []*growth{
		{work: "import, checked and applied", of: "tenants", unit: cpuSeconds, sizes: small, measure: growImport},
		{work: "simulation of a year", of: "tenants", unit: cpuSeconds, sizes: small, measure: growSimulation},
		{work: "start until ready", of: "tenants", unit: cpuSeconds, sizes: []int{1200, 12_000, 120_000},
			measure: func(t *testing.T, n int) float64 { return startCPU(t, fleets.of(t, n).dir) }},
		{work: "verification of the audit log", of: "entries", unit: cpuSeconds, sizes: large, measure: growAudit},
		{work: "message log, written", of: "entries", unit: cpuSeconds, sizes: large,
			measure: func(t *testing.T, n int) float64 { written, _ := growLog(t, n); return written }},
		{work: "1,000 pages of the message log", of: "entries", unit: cpuSeconds, sizes: large,
			measure: func(t *testing.T, n int) float64 { _, read := growLog(t, n); return read }},
	})
}

// grown returns a new fleet.
func grown(t *testing.T, tenants, due, arranged int, with recipients) *fleet {
	t.Helper()
	f, err := newFleet(t.Context(), "")
	testenv.Check(t, err)
	t.Cleanup(f.close)
	testenv.Check(t, f.fill(t.Context(), tenants, due, arranged, with))
	return f
}

// run executes the run of the fleet.
func (f *fleet) run(t *testing.T, due int) {
	t.Helper()
	r, err := f.engine.Run(t.Context(), runDate, runDate)
	testenv.Check(t, err)
	if r.Renewed != due {
		t.Fatalf("%d certificates were renewed, want %d", r.Renewed, due)
	}
}

func growRenewals(t *testing.T, n int) float64 {
	f := grown(t, n, n, 0, threeUsers)
	return cpu(t, func() { f.run(t, n) })
}

func growSweep(t *testing.T, n int) float64 {
	f := grown(t, n, 0, 0, noUsers)
	return cpu(t, func() {
		for i := range 9 {
			_, err := f.engine.Run(t.Context(), runDate.Add(-time.Duration(i)*time.Hour), runDate)
			testenv.Check(t, err)
		}
	})
}

func growMails(t *testing.T, n int) float64 {
	var began float64
	_, err := deliver(t, "smtp://"+smtpSink(t)+"?tls=none", n, func() { began = used(t) })
	testenv.Check(t, err)
	return used(t) - began
}

// growWalk measures the walk over the open roll-overs that serves the board, and the receivers at risk.
func growWalk(t *testing.T, n int) float64 {
	f := grown(t, n, n, n, noUsers)
	f.run(t, n)
	return cpu(t, func() {
		seen := 0
		testenv.Check(t, f.engine.Open(t.Context(), runDate.Add(time.Hour), func(standing.Standing) { seen++ }))
		if seen != n {
			t.Fatalf("%d roll-overs are open, want %d", seen, n)
		}
	})
}

// hour is the kind of an hour of open roll-overs.
type hour int

const (
	nothingNew hour = iota
	remindersDue
)

// growRoll measures what an hour does with open roll-overs. All old certificates expire 32 to 61 days after the run, so
// that within the week of the first reminders some are due for each.
func growRoll(t *testing.T, n int, what hour) float64 {
	f := grown(t, n, n, n, threeUsers)
	f.run(t, n)
	now := runDate.Add(time.Hour)
	if what == remindersDue {
		now = runDate.Add(30 * policy.Day)
	}
	return cpu(t, func() { testenv.Check(t, f.engine.Roll(t.Context(), now)) })
}

func growWorkList(t *testing.T, n int) float64 {
	f := grown(t, n, n/12, n/3, threeUsers)
	f.run(t, n/12)
	console, now, err := f.console(t.Context())
	testenv.Check(t, err)
	cookie, err := signIn(t.Context(), f.store, console, tenancy.RoleOperator, now)
	testenv.Check(t, err)
	countedFleet(console, cookie)
	ask(console, cookie, "/tenants")
	return cpu(t, func() {
		for range 100 {
			if got := ask(console, cookie, "/tenants").Code; got != 200 {
				t.Fatalf("the work list is answered %d", got)
			}
		}
	})
}

func growImport(t *testing.T, n int) float64 {
	f, err := newFleet(t.Context(), "")
	testenv.Check(t, err)
	defer f.close()
	seal, err := keyring.Ephemeral()
	testenv.Check(t, err)
	m, err := importing.New(f.engine, f.store, seal, func() time.Time { return runDate })
	testenv.Check(t, err)
	var names, people, arrangements strings.Builder
	for i := range n {
		tenant := fmt.Sprintf("t%d", i)
		fmt.Fprintln(&names, tenant)
		for _, p := range []string{"alice", "bob"} {
			fmt.Fprintf(&people, "%s,key-user,%s,%[2]s@example.com,yes\n", tenant, p)
		}
		fmt.Fprintf(&arrangements, "%s,orders,erp,https://erp.example.com\n", tenant)
	}
	files := importing.Files{Tenants: "name\n" + names.String(), People: "tenant,role,name,email,subscribed\n" +
		people.String(), Arrangements: "tenant,name,receiver,endpoint\n" + arrangements.String()}
	return cpu(t, func() {
		i, err := m.Check(t.Context(), files, "bench")
		testenv.Check(t, err)
		testenv.Check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.MoveImport(t.Context(), i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		}))
		testenv.Check(t, m.Work(t.Context(), i.ID))
	})
}

func growSimulation(t *testing.T, n int) float64 {
	p, err := policy.Preset(policy.Default)
	testenv.Check(t, err)
	c := sim.Config{Policy: p, Strategy: tenancy.Adaptive, Tenants: n, Arrangements: 1, Years: 1, Start: runDate, Seed: 1,
		Receivers: sim.Receivers{CA: 0.3, Subject: 0.4, Pin: 0.3}, Orders: sim.Orders{Add: 0.5, Replace: 0.5},
		ReactionMin: policy.Day, ReactionMax: 45 * policy.Day, Idle: 0.05, Interval: time.Hour}
	return cpu(t, func() {
		_, err := sim.Run(t.Context(), c)
		testenv.Check(t, err)
	})
}

func growAudit(t *testing.T, n int) float64 {
	f := grown(t, 1, 0, 0, noUsers)
	const page = 1000
	for from := 0; from < n; from += page {
		testenv.Check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			events := make([]tenancy.Event, page)
			for i := range events {
				name := fmt.Sprintf("tenant-%d", from+i)
				events[i] = tenancy.Event{At: runDate, Actor: "run", Action: "certificate.renewed", Tenant: name,
					Object: name + "/tenant/2", Detail: `{"serial":"5e0000","not_after":"2027-11-01T00:00:00Z"}`}
			}
			return tx.Audit(t.Context(), events...)
		}))
	}
	return cpu(t, func() {
		_, err := f.store.VerifyEvents(t.Context())
		testenv.Check(t, err)
	})
}

// growLog measures how entries of ten arrangements are written, and how their latest ones are read.
func growLog(t *testing.T, n int) (written, read float64) {
	f := grown(t, 10, 0, 10, noUsers)
	arrangements := make([]string, 10)
	for i := range arrangements {
		of, err := f.store.Tenant(t.Context(), fmt.Sprintf("tenant-%d", i))
		testenv.Check(t, err)
		a, err := f.store.Arrangement(t.Context(), of.ID, "crm-to-erp")
		testenv.Check(t, err)
		arrangements[i] = a.ID
	}
	const page = 1000
	written = cpu(t, func() {
		for from := 0; from < n; from += page {
			testenv.Check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
				all := make([]tenancy.Message, page)
				for i := range all {
					all[i] = tenancy.Message{ID: store.NewID(), ArrangementID: arrangements[i%10], At: runDate, Method: "POST",
						Path: "/orders", Status: 200, Generation: 1, Attempts: 1, Count: 60}
				}
				return tx.AddMessages(t.Context(), all)
			}))
		}
	})
	read = cpu(t, func() {
		for i := range 1000 {
			got, err := f.store.Messages(t.Context(), arrangements[i%10], "", 50)
			testenv.Check(t, err)
			if len(got) != 50 {
				t.Fatalf("%d entries on a page", len(got))
			}
		}
	})
	return written, read
}

// months are fleets after the first of a month, each in a folder of its own.
type months struct {
	base  string
	known map[int]month
}

type month struct {
	dir string
	run float64 // CPU seconds of the run
}

func newMonths(t *testing.T) *months { return &months{t.TempDir(), map[int]month{}} }

// of returns a fleet of n tenants, of whom a twelfth was due.
func (m *months) of(t *testing.T, n int) month {
	t.Helper()
	if one, ok := m.known[n]; ok {
		return one
	}
	one := month{dir: filepath.Join(m.base, fmt.Sprint(n))}
	testenv.Check(t, os.Mkdir(one.dir, 0o700))
	f, err := newFleetIn(t.Context(), "", one.dir, func() {})
	testenv.Check(t, err)
	defer f.close()
	testenv.Check(t, f.fill(t.Context(), n, n/12, 0, threeUsers))
	one.run = cpu(t, func() { f.run(t, n/12) })
	m.known[n] = one
	return one
}

// startCPU returns the CPU seconds of the service from its start until it is ready.
func startCPU(t *testing.T, dir string) float64 {
	t.Helper()
	pid, stop := startService(t, dir)
	defer stop()
	return cpuOf(t, pid).Seconds()
}
