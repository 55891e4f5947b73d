package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
)

// After a cut-over, each arrangement needs new connections, because a connection keeps the certificate that it was
// opened with. If a thousand arrangements of one receiver were cut over together, the receiver would have to make
// thousands of TLS handshakes within a second. Therefore, while the receiver's budget of new connections is used up, a
// message without an idle connection of the new generation uses an open one of the previous generation. Without that
// one, it opens a new connection at once. No message waits.

// tryFirst sends a message with the first generation of an order. It returns the order with the generation that was
// tried in the first place.
func (m *message) tryFirst(r *http.Request, to *route, order []int) (a attempt, again bool, tried []int) {
	older, ok := to.interim(order[0], m.gateway.now())
	if !ok || r.Header.Get("Upgrade") != "" || m.kept != nil && r.ContentLength > m.kept.limit {
		a, again = m.tryOne(r, to, order[0])
		return a, again, order
	}
	if first := to.identities[order[0]]; first != nil {
		first.transport().Resemble(to.identities[older].transport())
	}
	m.dial = outbound.WithinBudget
	defer func() { m.dial = outbound.Always }()
	if a, again = m.tryOne(r, to, order[0]); !errors.Is(a.err, outbound.ErrBudget) {
		return a, again, order
	}
	m.attempts--
	m.dial = outbound.OpenOnly
	if a, again = m.tryOne(r, to, older); !errors.Is(a.err, outbound.ErrNoConnection) {
		spreadTotal.Inc()
		tried = []int{older}
		for _, generation := range order {
			if generation != older {
				tried = append(tried, generation)
			}
		}
		return a, again, tried
	}
	m.attempts--
	m.dial = outbound.Always
	a, again = m.tryOne(r, to, order[0])
	return a, again, order
}

// interim returns the older generation whose open connections may carry a message that begins with first.
func (r *route) interim(first int, now time.Time) (older int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first != r.rollover.Presents {
		return 0, false
	}
	older, ok = r.rollover.Interim(now)
	return older, ok && r.identities[older] != nil
}
