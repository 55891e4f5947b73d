package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tunnels are the connections that were upgraded, such as WebSockets. They outlive their request, and end as soon as
// their sender, their arrangement or their certificate may no longer be used.
type tunnels struct {
	mu     sync.Mutex
	opened map[*tunnel]struct{}
}

type tunnel struct {
	request    *http.Request
	to         address
	tenantID   string
	generation atomic.Int64 // that was presented; 0 if none was
	cancel     context.CancelFunc
}

// reviewTimeout limits the look-up of a tunnel's sender and arrangement.
const reviewTimeout = 10 * time.Second

// open registers a request that may become a tunnel. The tunnel ends with the context of the request that is returned.
func (t *tunnels) open(r *http.Request, to *route) (*tunnel, *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	one := &tunnel{request: r, to: to.address, tenantID: to.standing.Tenant.ID, cancel: cancel}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened == nil {
		t.opened = map[*tunnel]struct{}{}
	}
	t.opened[one] = struct{}{}
	return one, r.WithContext(ctx)
}

func (t *tunnels) close(one *tunnel) {
	one.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.opened, one)
}

// review ends the tunnels of a tenant, or of all if the ID is empty, that may not stay open.
func (t *tunnels) review(g *Gateway, tenantID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for one := range t.opened {
		if tenantID != "" && one.tenantID != tenantID {
			continue
		}
		g.ended.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(one.request.Context()), reviewTimeout)
			defer cancel()
			if !one.mayStay(ctx, g) {
				one.cancel()
			}
		})
	}
}

// mayStay reports whether the sender may still use the arrangement, and whether the certificate of the tunnel is
// neither expired nor revoked. A tunnel that cannot be looked up stays open, as messages continue through an outage of
// the service.
func (one *tunnel) mayStay(ctx context.Context, g *Gateway) bool {
	if err := g.mayUse(one.request.WithContext(ctx), one.to); err != nil {
		return !isAnswer(err) && !errors.Is(err, errToken)
	}
	to, err := g.routes.get(ctx, g, one.to)
	if err != nil {
		return !isAnswer(err)
	}
	generation := int(one.generation.Load())
	to.mu.Lock()
	defer to.mu.Unlock()
	return generation == 0 || slices.Contains(to.rollover.Order(g.now()), generation)
}
