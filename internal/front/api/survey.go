package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const (
	// smallFleet is how much a survey may walk over and still be taken anew for every reader, so that small fleets always
	// see the present. It is a number of things and not a time, so that a slow machine shows the same as a fast one.
	smallFleet = 2000
	// surveyAge is how old the survey of a larger fleet may be before it is taken anew, which happens behind its readers'
	// backs.
	surveyAge = time.Minute
	// surveyTime bounds one.
	surveyTime = 10 * time.Minute
	// firstSurvey is how long readers wait for the first one since the start.
	firstSurvey = time.Second
)

// A survey is what a walk over the whole fleet showed, and when. Readers of a large fleet's get the latest result at
// once.
type survey[T any] struct {
	// walk says also over how much it walked.
	walk func(context.Context) (result T, size int, err error)
	log  *slog.Logger

	mu     sync.Mutex
	result T
	at     time.Time // zero: never taken
	size   int
	done   chan struct{} // closed when the walk that is under way has ended; nil where none is
}

// get is the latest result, and when it was taken. Until the first walk of a large fleet has ended it is an error of
// status 503.
func (s *survey[T]) get(ctx context.Context) (T, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && s.size <= smallFleet {
		result, size, err := s.walk(ctx)
		if err == nil {
			s.result, s.at, s.size = result, time.Now(), size
		}
		return s.result, s.at, err
	}
	if s.done == nil && time.Since(s.at) > surveyAge {
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

// wait waits for the end of a walk, unlocked, but not for long.
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

// refresh takes the survey while nobody is kept.
func (s *survey[T]) refresh(ctx context.Context, done chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	result, size, err := s.walk(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = nil
	close(done)
	if err != nil {
		s.log.WarnContext(ctx, "the fleet could not be surveyed: what is shown of it is old", "since", s.at, "error", err)
		return
	}
	s.result, s.at, s.size = result, time.Now(), size
}
