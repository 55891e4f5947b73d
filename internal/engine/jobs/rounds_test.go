package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A groupedTester has three groups of tests, of which the second one fails.
type groupedTester struct{ groups atomic.Int64 }

func (a *groupedTester) WorkRound(_ context.Context, id string) (again time.Duration, err error) {
	switch n := a.groups.Add(1); {
	case id != "round":
		return 0, errors.New("called for " + id)
	case n == 2:
		return time.Millisecond, errors.New("a test failed")
	case n < 3:
		return time.Millisecond, nil
	}
	return 0, nil
}

func TestARoundOfTestsIsWorkedOnUntilItEndsAlsoIfATestFails(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 1)
		tester := &groupedTester{}
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, Tester: tester, Now: f.clock,
			Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return j.EnqueueRound(t.Context(), tx.SQL(), "round")
		}))
		testenv.Eventually(t, func() bool { return tester.groups.Load() == 3 })
		check(t, j.Stop(context.WithoutCancel(t.Context())))
	})
}

func TestAServiceWithoutATesterReportsItsJob(t *testing.T) {
	w := &roundWorker{config: &Config{}}
	if err := w.Work(t.Context(), &river.Job[roundArgs]{Args: roundArgs{"round"}}); err == nil {
		t.Error("the tests are dropped")
	}
}
