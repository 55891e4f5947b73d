package api

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// cheapSurvey is what a survey may cost and still be taken anew for every reader, so that small fleets always see the present.
	cheapSurvey = 20 * time.Millisecond
	// surveyAge is how old a costly survey may be before it is taken anew, which happens behind its readers' backs.
	surveyAge = time.Minute
	// surveyTime bounds one.
	surveyTime = 10 * time.Minute
)

// A survey is what a walk over the whole fleet showed, and when. Where the walk is costly its readers get the latest result at
// once, and only the very first one waits.
type survey[T any] struct {
	walk func(context.Context) (T, error)
	log  *slog.Logger

	mu     sync.Mutex
	result T
	at     time.Time // zero: never taken
	took   time.Duration
	walks  bool
}

// get is the latest result, and when it was taken.
func (s *survey[T]) get(ctx context.Context) (T, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || s.took <= cheapSurvey {
		err := s.take(ctx)
		return s.result, s.at, err
	}
	if time.Since(s.at) > surveyAge && !s.walks {
		s.walks = true
		go s.refresh(context.WithoutCancel(ctx))
	}
	return s.result, s.at, nil
}

// take takes the survey while everybody waits.
func (s *survey[T]) take(ctx context.Context) error {
	started := time.Now()
	result, err := s.walk(ctx)
	if err == nil {
		s.result, s.at, s.took = result, time.Now(), time.Since(started)
	}
	return err
}

// refresh takes the survey while nobody waits.
func (s *survey[T]) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	started := time.Now()
	result, err := s.walk(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.walks = false; err != nil {
		s.log.WarnContext(ctx, "the fleet could not be surveyed: what is shown of it is old", "since", s.at, "error", err)
		return
	}
	s.result, s.at, s.took = result, time.Now(), time.Since(started)
}
