package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	seeds     = flag.Int("seeds", 0, "how many fault seeds: make faults")
	firstSeed = flag.Int("first-seed", 1, "the first of them")
)

// A fault begins and ends within a month.
type fault struct {
	name     string
	database bool // it needs the first primary
	do       func(w *world)
}

var faults = []fault{
	{"a replica is killed", false, func(w *world) { w.any().restart() }},
	{"a replica stands still for longer than the lease", false, func(w *world) {
		r := w.any()
		r.cmd.Process.Signal(syscall.SIGSTOP)
		pause(5 * time.Second)
		r.cmd.Process.Signal(syscall.SIGCONT)
	}},
	{"a replica is cut off from the database", false, func(w *world) {
		r := w.any()
		for _, way := range r.ways {
			way.cut(true)
		}
		pause(time.Duration(500+w.random.IntN(2500)) * time.Millisecond)
		for _, way := range r.ways {
			way.cut(false)
		}
	}},
	{"the database crashes", true, func(w *world) { w.primary.Crash(w.t) }},
	{"the database is restarted", true, func(w *world) { w.primary.Restart(w.t) }},
	{"the database's disk is full", true, func(w *world) {
		if !w.smallDisk {
			w.note("    (it has no disk of its own here)")
			return
		}
		ballast := filepath.Join(w.primary.Dir(), "ballast")
		f, err := os.Create(ballast)
		check(w.t, err)
		io.Copy(f, zeros{})
		f.Close()
		pause(2 * time.Second)
		check(w.t, os.Remove(ballast))
		w.primary.Crash(w.t) // PostgreSQL may have stopped because it could not write its own log
	}},
	{"the schema gets a column, as an additive migration brings", false, func(w *world) {
		s, err := store.Open(w.t.Context(), w.databases())
		if err != nil {
			return // it is down now
		}
		defer s.Close()
		s.DB().ExecContext(w.t.Context(), fmt.Sprintf("ALTER TABLE certificates ADD COLUMN IF NOT EXISTS later_%d BIGINT "+
			"NOT NULL DEFAULT 0", w.month))
	}},
	{"the mail server takes mails and dies before it says so", false,
		func(w *world) { w.mails.dies.Store(int32(1 + w.random.IntN(5))) }},
	{"the issuer is slow", false, func(w *world) { w.issuerIs("slow") }},
	{"the issuer lies", false, func(w *world) {
		w.issuerIs("lying")
		w.any().restart()
		pause(2 * time.Second)
	}},
	{"the issuer is down for a week", false, func(w *world) {
		w.issuerIs("down")
		w.any().restart()
		pause(2 * time.Second)
		w.pass(7 * policy.Day)
		w.any().restart()
		pause(time.Second)
	}},
	{"a clock is off", false, func(w *world) {
		r := w.any()
		r.skew = time.Duration(w.random.IntN(12*60)-6*60) * time.Minute
		r.setClock()
	}},
	{"the clocks pass the next change of daylight saving", false, func(w *world) {
		_, change := w.now().In(w.policy.Schedule.Zone).ZoneBounds()
		if ahead := change.Sub(w.now()); change.IsZero() || ahead > 32*policy.Day {
			w.note("    (there is none in the coming month)")
		} else {
			w.pass(ahead - time.Second)
			w.any().restart()
			pause(time.Second)
			w.pass(time.Hour)
			w.any().restart()
		}
	}},
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func (w *world) any() *faultReplica { return w.replicas[w.random.IntN(len(w.replicas))] }

// Three replicas and real servers suffer one fault after another, drawn from the seed. After each of six months the
// state is the same as without faults, except for mails that arrived twice under one Message-ID.
func TestFaultsBreakNoPromise(t *testing.T) {
	if *seeds == 0 {
		t.Skip("a seed takes 20 seconds: run make faults")
	}
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newWorld(t, seed).live()
		})
	}
}

// months is enough for a warning, a renewal, the cut-over, and the expiry of the replaced certificate.
const months = 6

func (w *world) live() {
	t := w.t
	s, err := store.Open(t.Context(), w.databases())
	check(t, err)
	t.Cleanup(func() { s.Close() })
	w.found(s)
	sender := w.arrange()
	acme, err := s.Tenant(t.Context(), "acme")
	check(t, err)
	first, err := s.Newest(t.Context(), acme.ID, tenancy.ForTenant)
	check(t, err)
	w.bank.install(first.Fingerprint)

	ctx, stop := context.WithCancel(t.Context())
	var flows sync.WaitGroup
	for i := range 2 {
		flows.Go(func() { w.messages(ctx, i, sender) })
	}
	t.Cleanup(flows.Wait)
	if w.seed%5 == 0 {
		w.note("beside a hostile tenant, its receiver and strangers")
		w.besiege(ctx)
	}
	t.Cleanup(stop)
	failedOver, begun := false, w.now()
	for w.month = 1; w.month <= months && !t.Failed(); w.month++ {
		w.pass(31 * policy.Day)
		if !w.due().After(begun.Add(skewed)) { // it began in the first hours of a month
			w.pass(policy.Day)
		}
		kick := w.any()
		w.note("month %d: replica %d is restarted, and looks what is due", w.month, kick.number)
		kick.restart()
		for range 1 + w.random.IntN(2) {
			f := faults[w.random.IntN(len(faults))]
			if failedOver && f.database {
				continue
			}
			w.note("  %s", f.name)
			f.do(w)
		}
		if w.month == 3 && w.random.IntN(2) == 0 {
			w.note("  the primary dies, and the standby takes over")
			// A standby that follows asynchronously may lack the last transactions. They are lost then, as with every database.
			inSync(t, w.primary, w.standby)
			w.primary.Kill()
			w.standby.Promote(t)
			failedOver = true
		}
		w.settle(s)
		w.administer(s, acme)
		w.verify(s, acme)
	}
	stop()
	flows.Wait()
	w.verify(s, acme)
	if w.cutOvers < 2 && !t.Failed() {
		t.Error("nothing was cut over: the test ended too early to see it")
	}
	t.Logf("seed %d, which refuses with %s: %d orders, %d mails, %d of them more than once under their Message-ID\n%s",
		w.seed, w.bank.refuses, w.sent.Load(), len(w.mails.ids), w.repeated(), strings.Join(w.notes, "\n"))
}

// administer plays the bank's administrator, who acts on a new certificate and may reverse that. A replica may be
// killed at the same time.
func (w *world) administer(s *store.Store, acme tenancy.Tenant) {
	newest, err := s.Newest(w.t.Context(), acme.ID, tenancy.ForTenant)
	check(w.t, err)
	knows := w.bank.known()
	if slices.Contains(knows, newest.Fingerprint) {
		return
	}
	if w.random.IntN(2) == 0 {
		w.note("  the bank adds generation %d", newest.Generation)
		w.bank.install(append(knows, newest.Fingerprint)...)
	} else {
		back := w.random.IntN(6)
		if w.bank.refuses == "silence" {
			back = 0 // docs/guarantees.md: a closed connection proves little, and the next question may get another answer
		}
		w.note("  the bank installs generation %d, and goes back %d times", newest.Generation, back)
		for range back {
			w.bank.install(newest.Fingerprint)
			pause(time.Duration(w.random.IntN(300)) * time.Millisecond)
			w.bank.install(knows...)
			if w.random.IntN(4) == 0 {
				w.note("    a replica is killed")
				w.any().restart()
			}
			pause(time.Duration(w.random.IntN(300)) * time.Millisecond)
		}
		w.bank.install(newest.Fingerprint)
	}
	pause(300 * time.Millisecond)
}

// settle waits until all replicas are up, every run date that is due has been executed, and every mail has been sent.
func (w *world) settle(s *store.Store) {
	w.t.Helper()
	w.mails.dies.Store(0)
	w.issuerIs("well")
	due := w.due()
	kicked, kicks, wait := time.Now(), 0, 5*time.Second
	testenv.Eventually(w.t, func() bool {
		for _, r := range w.replicas {
			r.alive()
		}
		_, err := s.Run(w.t.Context(), due)
		unfinished, err1 := s.UnfinishedRuns(w.t.Context())
		counts, err2 := s.CountMails(w.t.Context())
		if err == nil && err1 == nil && err2 == nil && len(unfinished) == 0 && len(counts) == 0 {
			return true
		}
		// The tick is hourly. A replica that starts ticks at once, so a restart saves an hour. It also ends what the replica
		// was doing, so that a busy machine needs longer pauses to finish anything.
		if time.Since(kicked) > wait {
			r := w.replicas[kicks%len(w.replicas)]
			w.note("  not settled: %d runs, mails %v, errors %v %v %v, %s; replica %d is restarted", len(unfinished), counts,
				err, err1, err2, w.left(s), r.number)
			kicked = time.Now()
			kicks++
			wait += wait / 2
			r.restart()
		}
		return false
	})
}

// skewed is the largest difference between the clock of a replica and the right time.
const skewed = 7 * time.Hour

// due returns the latest run date by the slowest clock.
func (w *world) due() time.Time { return w.policy.Schedule.Latest(w.now().Add(-skewed)) }

// left describes the work that is left.
func (w *world) left(s *store.Store) (text string) {
	rows, err := s.DB().QueryContext(w.t.Context(), `
		SELECT kind || ' ' || state || ' ' || args::text || ' by ' ||
			coalesce(attempted_by[array_upper(attempted_by, 1)], '')
		FROM river_job WHERE state NOT IN ('completed', 'cancelled') AND kind <> 'deliver_mails'
		UNION ALL SELECT 'part ' || part || ' of ' || to_timestamp(run_date / 1000000) || ' claimed until ' ||
			to_timestamp(claimed_until / 1000000) FROM run_parts`)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return err.Error()
		}
		text += "\n      " + row
	}
	return text
}
