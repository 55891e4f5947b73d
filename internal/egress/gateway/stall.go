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
	return "the receiver has read nothing more of the body for " + e.limit.String()
}

// Timeout makes it a time-out.
func (stalledError) Timeout() bool { return true }

// A guarded body ends its request if the receiver reads nothing more of it for a while. A slow sender does not count,
// since the timer runs between reads and not during one.
type guarded struct {
	io.ReadCloser
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the answer has arrived
}

// guard watches the body of a request, until stop is called with the answer. It returns the request to send instead.
func guard(r *http.Request, limit time.Duration) (watched *http.Request, stop func(error) error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, func(err error) error { return err }
	}
	ctx, cancel := context.WithCancelCause(r.Context()) // it ends with the request
	g := &guarded{ReadCloser: r.Body, limit: limit}
	g.timer = time.AfterFunc(limit, func() { cancel(stalledError{limit}) })
	g.timer.Stop()
	watched = r.WithContext(ctx)
	watched.Body = g
	return watched, func(err error) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.over = true
		g.timer.Stop()
		if stalled, ok := context.Cause(ctx).(stalledError); ok && err != nil {
			return stalled
		}
		return err
	}
}

func (g *guarded) Read(p []byte) (int, error) {
	g.timer.Stop()
	n, err := g.ReadCloser.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if (err == nil || errors.Is(err, io.EOF)) && !g.over { // what was read may still wait for the receiver's flow control
		g.timer.Reset(g.limit)
	}
	return n, err
}
