package webhooks

import (
	"sync"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// Workers is the number of webhooks that a process works on together.
	Workers = 12
	// ofTenant and ofHindered are how many of them may belong to one tenant, and to endpoints that have failed or that are
	// slow.
	ofTenant, ofHindered = 2, Workers / 2
	// slowAfter is the time for one request from which an endpoint is slow. Most answer within a second.
	slowAfter = 2 * time.Second
	// mostSlow limits the endpoints that are remembered as slow. Beyond that, they are measured again.
	mostSlow = 10_000
)

// lanes limit the workers of this process that one tenant has, and those that hindered endpoints have together: an
// endpoint that accepts every event slowly keeps a worker as busy as one that fails.
type lanes struct {
	mu       sync.Mutex // guards the other fields
	running  map[string]int
	delaying int
	slow     map[string]bool // by the ID of the webhook
}

// enter takes a place. It reports false if there is none. The caller must call leave otherwise.
func (l *lanes) enter(tenantID string, hindered bool) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[tenantID] >= ofTenant || hindered && l.delaying >= ofHindered {
		return nil, false
	}
	if l.running == nil {
		l.running = map[string]int{}
	}
	l.running[tenantID]++
	if hindered {
		l.delaying++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.running[tenantID]--; l.running[tenantID] == 0 {
			delete(l.running, tenantID)
		}
		if hindered {
			l.delaying--
		}
	}, true
}

// hindered reports whether the endpoint of a webhook has failed, or is slow.
func (l *lanes) hindered(h tenancy.Webhook) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return h.Health.Failures > 0 || l.slow[h.ID]
}

// took records the time of the latest request to a webhook. It reports whether the endpoint is slow.
func (l *lanes) took(webhookID string, d time.Duration) (slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d < slowAfter {
		delete(l.slow, webhookID)
		return false
	}
	if l.slow == nil || len(l.slow) >= mostSlow {
		l.slow = map[string]bool{}
	}
	l.slow[webhookID] = true
	return true
}
