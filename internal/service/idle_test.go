package service

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// What an idle service costs. The allocations are reproducible to a few per cent, and the test fails if they rise by
// more than 15 %. The CPU time depends on the machine, so it is compared with a goroutine that only wakes as often as
// the job queue does: 0.35 % of a core where the service used 0.50 %.
const (
	idleAllocationsSQLite   = 149.0 // a second
	idleAllocationsPostgres = 133.0
	mostOverWaking          = 2.0
	queueWakes              = 50 * time.Millisecond // River's completer; it cannot be set
)

// used returns the CPU time of the process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// An idleCost is the cost of a process that waits for work.
type idleCost struct {
	Allocations float64 // a second
	Share       float64 // of a core
}

// idleFile names the environment variable with the file to which [TestIdleProcess] writes its costs.
const idleFile = "PERENNIAL_IDLE_FILE"

// It measures for a minute and must run without the race detector, so only "make regression" runs it. CPU time and
// allocations are those of a process, so each of the three is a process of its own. They run at the same time, so what
// disturbs one of them disturbs the others.
func TestCostsOfAnIdleService(t *testing.T) {
	if os.Getenv("PERENNIAL_REGRESSION") == "" {
		t.Skip("measured by make regression")
	}
	names := []string{"waking", "sqlite", "postgres"}
	costs := make([]idleCost, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			file := filepath.Join(t.TempDir(), "costs.json")
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIdleProcess$/^"+name+"$")
			c.Env = append(os.Environ(), idleFile+"="+file)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
				return
			}
			content, err := os.ReadFile(file)
			if err := errors.Join(err, json.Unmarshal(content, &costs[i])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	waking := costs[0].Share
	t.Logf("a goroutine that wakes every %v uses %.2f %% of a core", queueWakes, 100*waking)
	for i, want := range []float64{idleAllocationsSQLite, idleAllocationsPostgres} {
		name, cost := names[1+i], costs[1+i]
		t.Logf("%s: an idle service makes %.0f allocations a second, %.0f written down, and uses %.2f %% of a core: %.2f "+
			"times the goroutine", name, cost.Allocations, want, 100*cost.Share, cost.Share/waking)
		if cost.Allocations > 1.15*want {
			t.Errorf("%s: an idle service makes %.0f allocations a second, want %.0f", name, cost.Allocations, want)
		}
		if cost.Share > mostOverWaking*waking {
			t.Errorf("%s: an idle service uses %.2f %% of a core, want at most %.0f times the %.2f %% of a goroutine that "+
				"wakes every %v", name, 100*cost.Share, mostOverWaking, 100*waking, queueWakes)
		}
	}
}

// TestIdleProcess measures in a process of its own, for [TestCostsOfAnIdleService].
func TestIdleProcess(t *testing.T) {
	file := os.Getenv(idleFile)
	if file == "" {
		t.Skip("started by TestCostsOfAnIdleService")
	}
	measure := func(t *testing.T) {
		wait(15 * time.Second) // it settles
		content, err := json.Marshal(idleFor(time.Minute))
		testenv.Check(t, err)
		testenv.Check(t, os.WriteFile(file, content, 0o600))
	}
	t.Run("waking", func(t *testing.T) { // a goroutine that does nothing but wake as often as the job queue
		tick := time.NewTicker(queueWakes)
		defer tick.Stop()
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case <-tick.C:
				case <-done:
					return
				}
			}
		}()
		measure(t)
	})
	prepared.EachEngine(t, func(t *testing.T, url string) {
		s, err := open(t, settings(t, "--database", url))
		testenv.Check(t, err)
		t.Cleanup(func() { testenv.Check(t, s.Close()) })
		stop := run(t, s)
		measure(t)
		testenv.Check(t, stop())
	})
}

// idleFor returns what the process uses during d.
func idleFor(d time.Duration) idleCost {
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	before, begun := used(), time.Now()
	wait(d)
	took := time.Since(begun).Seconds()
	share := (used() - before).Seconds() / took
	runtime.ReadMemStats(&end)
	return idleCost{Allocations: float64(end.Mallocs-start.Mallocs) / took, Share: share}
}

// wait lets the time that is measured pass.
func wait(d time.Duration) { <-time.After(d) }
