// Package ratelimit keeps all replicas of a service together below a number of operations per second.
//
// It promises that the replicas of one database share each limit, and that a replica whose clock was ahead does not
// stop the others for longer than an hour. It does not promise fairness between replicas.
package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

// Pace returns a function that blocks until n more operations fit the shared rate limit. It returns nil, for no limit,
// if perSecond is not positive.
func Pace(s *store.Store, name string, perSecond float64, now func() time.Time) func(ctx context.Context, n int) error {
	if perSecond <= 0 {
		return nil
	}
	return func(ctx context.Context, n int) error {
		for {
			wait, err := s.Reserve(ctx, name, n, perSecond, now())
			if err != nil || wait == 0 {
				return err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for the limit %s of %g a second: %w", name, perSecond, context.Cause(ctx))
			case <-time.After(wait):
			}
		}
	}
}
