package issuers

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// limited is an issuer that limits the certificates requested per second, and requests none while the CA allows none.
type limited struct {
	issuer   issuer.Issuer
	kind     string
	parallel int
	limiter  *rate.Limiter

	mu   sync.Mutex // guards held
	held *issuer.Error
}

func limit(i issuer.Issuer, e Entry) *limited {
	allowed, burst := rate.Limit(e.Rate), int(math.Ceil(e.Rate))
	if e.Rate == 0 {
		allowed, burst = rate.Inf, 1
	}
	return &limited{issuer: i, kind: e.Kind, parallel: cmp.Or(e.Parallel, DefaultParallel),
		limiter: rate.NewLimiter(allowed, burst)}
}

// Unwrap makes the capabilities of the issuer reachable.
func (l *limited) Unwrap() issuer.Issuer { return l.issuer }

// Kind returns the kind of the issuer, as the file names it.
func (l *limited) Kind() string { return l.kind }

// Parallel implements [issuer.Parallel].
func (l *limited) Parallel() int { return l.parallel }

// Issue implements [issuer.Issuer].
func (l *limited) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	if held := l.holding(r.At); held != nil {
		return issuer.Issued{}, held
	}
	if err := l.limiter.Wait(ctx); err != nil {
		return issuer.Issued{}, err
	}
	issued, err := l.issuer.Issue(ctx, r)
	if fault, retry := issuer.FaultOf(err); !retry.IsZero() && retry.After(r.At) {
		l.mu.Lock()
		l.held = issuer.Failed(fault, "the CA asked at %s to get no requests for now", r.At.UTC().Format(time.RFC3339))
		l.held.Retry = retry
		l.mu.Unlock()
	}
	return issued, err
}

// holding returns the error of a CA that allows no request yet.
func (l *limited) holding(at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil && at.Before(l.held.Retry) {
		return l.held
	}
	l.held = nil
	return nil
}
