package service

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// mostIdle is the most that an idle service may use of a core.
const mostIdle = 0.005

func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	testenv.Check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// It measures for a minute and wants no race detector, so only "make regression" runs it.
func TestCostsOfAnIdleService(t *testing.T) {
	if os.Getenv("PERENNIAL_REGRESSION") == "" {
		t.Skip("measured by make regression")
	}
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := open(t, settings(t, "--database", url))
		testenv.Check(t, err)
		t.Cleanup(func() { testenv.Check(t, s.Close()) })
		stop := run(t, s)
		const settling, measured = 15 * time.Second, 30 * time.Second
		wait(settling)
		share := 1.0
		for try := 0; try < 6 && share > mostIdle; try++ { // what else runs on the machine only adds to it
			before, begun := used(t), time.Now()
			wait(measured)
			share = min(share, (used(t)-before).Seconds()/time.Since(begun).Seconds())
		}
		t.Logf("an idle service uses %.2f %% of a core", 100*share)
		if share > mostIdle {
			t.Errorf("an idle service uses %.2f %% of a core, and may use %.2f %%", 100*share, 100*mostIdle)
		}
		testenv.Check(t, stop())
	})
}

// wait lets the time that is measured pass.
func wait(d time.Duration) { <-time.After(d) }
