package api

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheSurveyOfALargeFleetDoesNotBlockReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var walks, size atomic.Int64
		var fails atomic.Bool
		size.Store(1_000_000)
		s := &survey[int]{now: time.Now, log: slog.New(slog.DiscardHandler), walk: func(context.Context) (int, int, error) {
			time.Sleep(20 * time.Second) // the time of a walk over a million
			if fails.Load() {
				return 0, 0, errors.New("the database does not answer")
			}
			return int(walks.Add(1)), int(size.Load()), nil
		}}
		wants := func(result int, takes time.Duration, ok bool) {
			t.Helper()
			started := time.Now()
			got, _, err := s.get(t.Context())
			if got != result || time.Since(started) != takes || (err == nil) != ok {
				t.Errorf("%d after %v, %v; want %d after %v", got, time.Since(started), err, result, takes)
			}
		}
		wants(0, firstSurvey, false) // the first walk is running
		wants(0, firstSurvey, false)
		time.Sleep(20 * time.Second)
		wants(1, 0, true)
		time.Sleep(surveyAge)
		wants(1, 0, true) // and a new walk begins
		wants(1, 0, true)
		time.Sleep(21 * time.Second)
		wants(2, 0, true)
		fails.Store(true)
		time.Sleep(surveyAge + time.Second)
		wants(2, 0, true)
		time.Sleep(21 * time.Second)
		fails.Store(false)
		size.Store(smallFleet)
		wants(2, 0, true) // the old result, and the next walk begins
		time.Sleep(21 * time.Second)
		wants(4, 20*time.Second, true) // a small fleet is always current
	})
}
