package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// reports are observations on their way to the control. In the meantime, the gateway itself acts on them. Observations
// that are lost with the process are made again with the next message.
type reports struct {
	mu      sync.Mutex
	pending map[string][]standing.Observation // by arrangement ID
	wake    chan struct{}
}

// mostPending limits the observations of one arrangement that wait while the control does not answer. The latest are
// kept.
const mostPending = 64

func (r *reports) add(arrangementID string, seen []standing.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == nil {
		r.pending = map[string][]standing.Observation{}
	}
	all := append(r.pending[arrangementID], seen...)
	r.pending[arrangementID] = all[max(0, len(all)-mostPending):]
	wake(r.wake)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *reports) take() map[string][]standing.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.pending
	r.pending = nil
	return all
}

// report sends observations as they come, and retries if the control does not accept them.
func (g *Gateway) report(ctx context.Context) {
	const retry = time.Second
	for {
		select {
		case <-ctx.Done():
			g.reportAll(context.WithoutCancel(ctx))
			return
		case <-g.reports.wake:
		}
		if !g.reportAll(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(retry):
				wake(g.reports.wake)
			}
		}
	}
}

func (g *Gateway) reportAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	done := true
	for id, seen := range g.reports.take() {
		err := g.control.Observe(ctx, id, seen)
		switch {
		case errors.Is(err, tenancy.ErrNotFound), errors.Is(err, tenancy.ErrRefused): // the arrangement was deleted meanwhile
		case err != nil:
			g.log.WarnContext(ctx, "a receiver's answer could not be reported yet", "arrangement", id, "error", err)
			g.reports.add(id, seen)
			done = false
		}
	}
	return done
}
