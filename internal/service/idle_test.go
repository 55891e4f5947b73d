package service

import (
	"os"
	"runtime"
	"strings"
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

// It measures for a minute and wants no race detector, so only "make regression" runs it.
func TestCostsOfAnIdleService(t *testing.T) {
	if os.Getenv("PERENNIAL_REGRESSION") == "" {
		t.Skip("measured by make regression")
	}
	waking := wakingShare()
	t.Logf("a goroutine that wakes every %v uses %.2f %% of a core", queueWakes, 100*waking)
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := open(t, settings(t, "--database", url))
		testenv.Check(t, err)
		t.Cleanup(func() { testenv.Check(t, s.Close()) })
		stop := run(t, s)
		wait(15 * time.Second) // it settles
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		const measured = time.Minute
		share := cpuShare(measured)
		runtime.ReadMemStats(&end)
		allocations, want := float64(end.Mallocs-start.Mallocs)/measured.Seconds(), idleAllocationsSQLite
		if strings.HasPrefix(url, "postgres") {
			want = idleAllocationsPostgres
		}
		t.Logf("an idle service makes %.0f allocations a second, %.0f written down, and uses %.2f %% of a core: %.2f times "+
			"the goroutine", allocations, want, 100*share, share/waking)
		if allocations > 1.15*want {
			t.Errorf("an idle service makes %.0f allocations a second, want %.0f", allocations, want)
		}
		if share > mostOverWaking*waking {
			t.Errorf("an idle service uses %.2f %% of a core, want at most %.0f times the %.2f %% of a goroutine that wakes "+
				"every %v", 100*share, mostOverWaking, 100*waking, queueWakes)
		}
		testenv.Check(t, stop())
	})
}

// wakingShare returns the share of a core that a goroutine uses if it does nothing but wake as often as the job queue.
func wakingShare() float64 {
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(queueWakes)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return cpuShare(30 * time.Second)
}

// cpuShare returns the share of a core that the process uses during d.
func cpuShare(d time.Duration) float64 {
	before, begun := used(), time.Now()
	wait(d)
	return (used() - before).Seconds() / time.Since(begun).Seconds()
}

// wait lets the time that is measured pass.
func wait(d time.Duration) { <-time.After(d) }
