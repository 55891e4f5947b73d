package lifecycle

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// maxOutages is the number of failures in a row after which an attempt sends a CA no more requests. A failure can take
// as long as the time-out in the CA's settings.
const maxOutages = 8

// outages counts the failures of each CA in a row during one attempt, so that a CA that does not answer costs the
// attempt a few time-outs instead of one for each certificate. The zero value is ready.
type outages struct {
	mu  sync.Mutex // guards all
	all map[string]outage
}

type outage struct {
	inRow int
	last  error
}

// of returns an error if an issuer has failed too often to be asked again.
func (o *outages) of(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if this := o.all[name]; this.inRow >= maxOutages {
		return fmt.Errorf("the issuer %s failed %d times in a row, so it is not asked again before the next attempt: %w",
			name, this.inRow, this.last)
	}
	return nil
}

// note records the outcome of a request to an issuer. A fault of one certificate is an answer.
func (o *outages) note(name string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if fault, _ := issuer.FaultOf(err); !fault.Outage() {
		delete(o.all, name)
		return
	}
	if o.all == nil {
		o.all = map[string]outage{}
	}
	o.all[name] = outage{o.all[name].inRow + 1, err}
}

// parallel returns the number of requests that are sent to an issuer at the same time.
func (e *Engine) parallel(name string) int {
	if i, err := e.issuers.Of(name); err == nil {
		if p, ok := issuer.As[issuer.Parallel](i); ok {
			return p.Parallel()
		}
	}
	return runtime.GOMAXPROCS(0)
}

// each calls do with 0 to n-1, some of them at the same time, and returns when every call has returned.
func each(n, parallel int, do func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, parallel) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	workers.Wait()
}

// stopwatch measures time by the monotonic clock.
func stopwatch() func() time.Duration {
	started := time.Now()
	return func() time.Duration { return time.Since(started) }
}
