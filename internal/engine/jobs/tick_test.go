package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"
)

// A heldEngine ticks for as long as a test wants.
type heldEngine struct {
	Engine
	began, finish chan struct{}
}

func (e *heldEngine) Tick(context.Context, time.Time) error {
	e.began <- struct{}{}
	<-e.finish
	return nil
}

func (e *heldEngine) Prune(context.Context, time.Time) error { return nil }

// What is wanted now must not wait for the next tick, which is an hour away.
func TestATickThatIsWantedDuringAnotherOneTakesPlaceAfterIt(t *testing.T) {
	e := &heldEngine{began: make(chan struct{}), finish: make(chan struct{})}
	w := &tickWorker{config: &Config{Engine: e, Now: time.Now}}
	ended := make(chan error, 1)
	go func() { ended <- w.Work(t.Context(), &river.Job[tickArgs]{}) }()
	<-e.began
	for range 3 {
		if err := w.Work(t.Context(), &river.Job[tickArgs]{}); err != nil {
			t.Fatal(err)
		}
	}
	e.finish <- struct{}{}
	<-e.began // the three that were wanted share one
	e.finish <- struct{}{}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
