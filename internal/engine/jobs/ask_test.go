package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A groupedAsker has three groups of questions for the bank.
type groupedAsker struct{ groups atomic.Int64 }

func (a *groupedAsker) AskCounterparty(_ context.Context, id string) (more bool, err error) {
	if id != "bank" {
		return false, errors.New("asked for " + id)
	}
	return a.groups.Add(1) < 3, nil
}

func TestTheQuestionsOfACounterpartyAreAskedInGroupsUntilNoneIsLeft(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 1)
		asker := &groupedAsker{}
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, Asker: asker, Now: f.clock,
			Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return j.EnqueueQuestions(t.Context(), tx.SQL(), "bank")
		}))
		testenv.Eventually(t, func() bool { return asker.groups.Load() == 3 })
		check(t, j.Stop(context.WithoutCancel(t.Context())))
	})
}

func TestAServiceWithoutAnAskerReportsItsJob(t *testing.T) {
	w := &askWorker{config: &Config{}}
	if err := w.Work(t.Context(), &river.Job[askArgs]{Args: askArgs{"bank"}}); err == nil {
		t.Error("the questions are dropped")
	}
}
