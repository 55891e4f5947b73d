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
	"github.com/perennial-pki/perennial/tenancy"
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

// A slowAsker needs a whole slice for two groups, and always has another one.
type slowAsker struct {
	groups int
	now    time.Time
}

func (a *slowAsker) AskCounterparty(context.Context, string) (more bool, err error) {
	a.groups++
	a.now = a.now.Add(sliceTime / 2)
	return true, nil
}

func TestALongListOfQuestionsLetsOtherJobsHaveTheirTurn(t *testing.T) {
	asker := &slowAsker{}
	w := &askWorker{config: &Config{Asker: asker, Now: func() time.Time { return asker.now }}}
	err := w.Work(t.Context(), &river.Job[askArgs]{Args: askArgs{"bank"}})
	if later := (&river.JobSnoozeError{}); !errors.As(err, &later) || asker.groups != 2 {
		t.Errorf("%v after %d groups", err, asker.groups)
	}
}

// A heldAsker asks until it is released.
type heldAsker struct {
	asked    chan string
	released chan struct{}
}

func (a *heldAsker) AskCounterparty(_ context.Context, id string) (more bool, err error) {
	a.asked <- id
	<-a.released
	return false, nil
}

// A page without an account can queue a job with each request.
func TestTheJobsOfOnePageTakeOneWorkerAndLoseNoQuestion(t *testing.T) {
	asker := &heldAsker{make(chan string, 10), make(chan struct{})}
	w := &askWorker{config: &Config{Asker: asker, Now: time.Now}}
	work := func(id string) error { return w.Work(t.Context(), &river.Job[askArgs]{Args: askArgs{id}}) }
	ended := make(chan error, 2)
	go func() { ended <- work("bank") }()
	if id := <-asker.asked; id != "bank" {
		t.Fatal(id)
	}
	for range 3 {
		check(t, work("bank"))
	}
	go func() { ended <- work("post") }()
	if id := <-asker.asked; id != "post" {
		t.Errorf("another page waits, and %s is asked", id)
	}
	if later := (&river.JobSnoozeError{}); !errors.As(work("third"), &later) {
		t.Error("pages take more workers than they may")
	}
	close(asker.released)
	check(t, <-ended)
	check(t, <-ended)
	if id := <-asker.asked; id != "bank" || len(asker.asked) > 0 {
		t.Errorf("what was wanted in the meantime is not asked once: %s, and %d more", id, len(asker.asked))
	}
	check(t, work("third"))
}

func TestQuestionsWhoseJobWasLostAreAskedAfterTheNextTick(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 1)
		tenant, err := f.store.Tenant(t.Context(), "t0")
		check(t, err)
		a := f.engine.Arrangement(t, tenancy.Arrangement{TenantID: tenant.ID, Name: "pay"})
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.WantQuestions(t.Context(), []tenancy.CounterpartyQuestion{{ArrangementID: a.ID, CounterpartyID: "bank",
				Generation: 1, WantedAt: f.now.Add(-time.Hour)}}, f.now)
			return err
		}))
		asker := &groupedAsker{}
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, Asker: asker, Now: f.clock,
			Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		testenv.Eventually(t, func() bool { return asker.groups.Load() >= 3 })
		check(t, j.Stop(context.WithoutCancel(t.Context())))
	})
}

func TestAServiceWithoutAnAskerReportsItsJob(t *testing.T) {
	w := &askWorker{config: &Config{}}
	if err := w.Work(t.Context(), &river.Job[askArgs]{Args: askArgs{"bank"}}); err == nil {
		t.Error("the questions are dropped")
	}
}
