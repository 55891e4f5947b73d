package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// A stalledError reports that a receiver stopped reading a body. net/http has no time-out for that: its own begins
// after the body has been sent.
type stalledError struct{ limit time.Duration }

func (e stalledError) Error() string {
	return "the receiver has read no more of the body for " + e.limit.String()
}

// Timeout makes it a time-out.
func (stalledError) Timeout() bool { return true }

// A stall ends a request if the receiver reads no more of its body for a while, or does not answer for the same time
// after it has read all of it. A slow sender does not count, because the timer runs between reads and not during them.
type stall struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the answer has arrived
}

// A guarded body reports its reads to a stall. A request that is sent again has several, one after the other.
type guarded struct {
	io.ReadCloser
	stall *stall
}

// guard watches the body of a request, until stop is called with the answer. It returns the request to send instead.
func guard(r *http.Request, limit time.Duration) (watched *http.Request, stop func(error) error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func(err error) error { return err }
	}
	ctx, cancel := context.WithCancelCause(r.Context()) // it ends with the request
	s := &stall{limit: limit}
	s.timer = time.AfterFunc(limit, func() { cancel(stalledError{limit}) })
	s.timer.Stop()
	watched = r.WithContext(ctx)
	watched.Body = &guarded{r.Body, s}
	if again := r.GetBody; again != nil {
		watched.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &guarded{body, s}, nil
		}
	}
	return watched, func(err error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
		s.timer.Stop()
		if stalled, ok := context.Cause(ctx).(stalledError); ok && err != nil {
			return stalled
		}
		return err
	}
}

func (g *guarded) Read(p []byte) (int, error) {
	g.stall.timer.Stop()
	n, err := g.ReadCloser.Read(p)
	g.stall.mu.Lock()
	defer g.stall.mu.Unlock()
	if (err == nil || errors.Is(err, io.EOF)) && !g.stall.over { // what was read may wait for the receiver's flow control
		g.stall.timer.Reset(g.stall.limit)
	}
	return n, err
}
