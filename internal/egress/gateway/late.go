package gateway

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
)

// lateAgain is the pause before a receiver that does not ask late is tested for it again.
const lateAgain = 10 * time.Minute

// asksLate finds out whether a receiver that refused a message, and never asked for a certificate, would ask for it
// after it has seen a request. Such a receiver is held at TLS 1.2 from then on.
func (m *message) asksLate(r *http.Request, to *route, a attempt) bool {
	id := to.identities[a.generation]
	switch {
	case a.meaning != outbound.Refused || a.response == nil || a.response.TLS == nil,
		a.response.TLS.Version != tls.VersionTLS13, id.transport().Asked(), to.egress().MaxTLS != "",
		!to.suspectLate(m.gateway.now()):
		return false
	}
	// The refusal may have come over a connection whose certificate requests are no longer known.
	if !m.networkOf(to).AsksLate(&id.Identity, to.egress(), func() *http.Request { return head(r.Context(), r) }) {
		return false
	}
	to.late.Store(true)
	for generation := range to.identities {
		to.reconnect(m.networkOf(to), generation)
	}
	return true
}

// suspectLate reports whether to test for this now.
func (r *route) suspectLate(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.notLateUntil) {
		return false
	}
	r.notLateUntil = now.Add(lateAgain)
	return true
}
