package follow

import (
	"context"
	"errors"
	"time"
)

// The pauses between two rounds.
const (
	defaultPause = time.Hour
	minPause     = time.Minute
	maxPause     = 24 * time.Hour
	firstRetry   = 30 * time.Second // after a failure; doubled up to the usual pause
	jitter       = 0.1              // of a pause, so that followers do not call at the same instant
)

const (
	// freely is the number of requests of a round that follow each other at once. Further ones have a pause between them,
	// so that a round stays below 120 requests a minute, which Perennial answers for one network.
	freely = 60
	gap    = 600 * time.Millisecond
	// mostWait limits the pause that an answer asks for.
	mostWait = 2 * time.Minute
	// mostRequests and mostTime limit a round. The index of 100,000 entries has 1,024 pages, and their documents fit into
	// 1,000 answers, which takes 20 minutes at that rate.
	mostRequests = 4000
	mostTime     = time.Hour
)

// Pause returns the time until the next round: the wanted period (see [Hinted]; 0 for an hour), or less after failures.
// It is from a minute to a day, or from 30 seconds after a failure. random is from 0 to 1.
func Pause(wanted time.Duration, failures int, random float64) time.Duration {
	if wanted <= 0 {
		wanted = defaultPause
	}
	p := min(max(wanted, minPause), maxPause)
	if failures > 0 {
		p = min(p, firstRetry<<min(failures-1, 12))
	}
	return p + time.Duration((2*random-1)*jitter*float64(p))
}

// Hinted returns the period that the RefreshHint of a document suggests, in seconds.
func Hinted(refreshHint int) time.Duration {
	return time.Duration(min(refreshHint, int(maxPause/time.Second))) * time.Second
}

// errTooLong means that a round has used its requests or its time.
var errTooLong = errors.New("the sender answers too slowly, or with too little at a time, so the round has ended " +
	"before it was complete: another one follows")

// A pacer keeps the requests of a round below a rate, and the round within its limits.
type pacer struct {
	sent  int
	began time.Time
	now   func() time.Time
	wait  func(ctx context.Context, d time.Duration) error
}

// paced returns the pacer of a round in which some requests were sent already.
func (f *Follower) paced(sent int) *pacer {
	return &pacer{sent: sent, began: f.now(), now: f.now, wait: f.wait}
}

// next returns when the next request may be sent.
func (p *pacer) next(ctx context.Context) error {
	switch p.sent++; {
	case p.sent > mostRequests || p.now().Sub(p.began) > mostTime:
		return errTooLong
	case p.sent <= freely:
		return ctx.Err()
	}
	return p.wait(ctx, gap)
}

// sleep waits for a time, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
