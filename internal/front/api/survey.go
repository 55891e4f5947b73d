package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const (
	// smallFleet is the maximum size of a fleet that is surveyed for every reader, so that the view of small fleets is
	// always current. It is a size and not a time, so that slow and fast machines show the same result.
	smallFleet = 2000
	// surveyAge is the age at which the survey of a larger fleet is repeated, in the background.
	surveyAge = time.Minute
	// surveyTime limits one survey.
	surveyTime = 10 * time.Minute
	// firstSurvey is the time for which readers wait for the first survey after the start.
	firstSurvey = time.Second
)

// A survey keeps the result of a walk over the whole fleet. Readers of a large fleet get the latest result immediately.
type survey[T any] struct {
	// walk also returns the number of objects that it read.
	walk func(context.Context) (result T, size int, err error)
	now  func() time.Time
	log  *slog.Logger

	mu     sync.Mutex
	result T
	at     time.Time // by now; zero if there was no walk yet
	size   int
	done   chan struct{} // closed at the end of the running walk; nil if none is running
}

// get returns the latest result and its time. It returns an error of status 503 until the first walk of a large fleet
// has ended.
func (s *survey[T]) get(ctx context.Context) (T, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && s.size <= smallFleet {
		result, size, err := s.walk(ctx)
		if err == nil {
			s.result, s.at, s.size = result, s.now(), size
		}
		return s.result, s.at, err
	}
	if s.done == nil && s.now().Sub(s.at) > surveyAge {
		s.done = make(chan struct{})
		go s.refresh(context.WithoutCancel(ctx), s.done)
	}
	if s.at.IsZero() {
		s.wait(ctx, s.done)
	}
	if s.at.IsZero() {
		return s.result, s.at, huma.Error503ServiceUnavailable("the fleet is being counted for the first time since the " +
			"start: try again in a moment")
	}
	return s.result, s.at, nil
}

// wait waits for the end of a walk, at most firstSurvey. The lock is released in the meantime.
func (s *survey[T]) wait(ctx context.Context, done <-chan struct{}) {
	s.mu.Unlock()
	defer s.mu.Lock()
	patience := time.NewTimer(firstSurvey)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// refresh walks over the fleet without holding the lock.
func (s *survey[T]) refresh(ctx context.Context, done chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	result, size, err := s.walk(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = nil
	close(done)
	if err != nil {
		s.log.WarnContext(ctx, "the survey of the fleet failed, and an old result is shown", "since", s.at, "error", err)
		return
	}
	s.result, s.at, s.size = result, s.now(), size
}
