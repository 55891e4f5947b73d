package outbound

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Handshakes limits new connections to each receiver (host and port). It never delays a message. While the budget of a
// receiver is used up, a message uses an open connection if it can. Otherwise it opens a new one, which also counts.
type Handshakes struct {
	each time.Duration // between two connections at the rate
	now  func() time.Time

	mu    sync.Mutex
	whole map[string]time.Time // when the budget of a receiver is whole again
	sweep int                  // the number of receivers above which those with a whole budget are dropped
}

const (
	// burst limits the budget that accumulates, as a time.
	burst = time.Second
	// fewReceivers is the smallest number of receivers that are swept.
	fewReceivers = 1000
)

// NewHandshakes returns a budget of perSecond connections to each receiver. As many can be opened at the same time
// after a second without any. The result is nil, which sets no limit, unless perSecond is positive.
func NewHandshakes(perSecond int, now func() time.Time) *Handshakes {
	if perSecond <= 0 {
		return nil
	}
	return &Handshakes{each: burst / time.Duration(perSecond), now: now, whole: map[string]time.Time{},
		sweep: fewReceivers}
}

// take counts a connection to a receiver. If the connection is optional and the budget is used up, ok is false and
// nothing is counted.
func (h *Handshakes) take(address string, optional bool) (ok bool) {
	if h == nil {
		return true
	}
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	whole := h.whole[address]
	if whole.Before(now) {
		whole = now
	}
	if optional && whole.Add(h.each).Sub(now) > burst {
		return false
	}
	if whole = whole.Add(h.each); whole.Sub(now) > burst { // connections beyond the budget do not count later
		whole = now.Add(burst)
	}
	if len(h.whole) > h.sweep {
		for other, at := range h.whole {
			if at.Before(now) {
				delete(h.whole, other)
			}
		}
		h.sweep = max(fewReceivers, 2*len(h.whole))
	}
	h.whole[address] = whole
	return true
}

// Dialling states whether a message may open a connection.
type Dialling int

const (
	// Always opens a connection if none is idle.
	Always Dialling = iota
	// WithinBudget opens one unless the receiver's budget is used up. The error is [ErrBudget] then.
	WithinBudget
	// OpenOnly opens none, and does not wait for one. The error is [ErrNoConnection] if none is idle.
	OpenOnly
)

// Nothing was sent if a message fails with one of these errors, or what was sent was not processed.
var (
	ErrBudget       = errors.New("the receiver gets no more new connections at this moment")
	ErrNoConnection = errors.New("no connection is open and idle")
)

type dialKey struct{}

// In returns a context for messages that are sent with [Connections].
func (d Dialling) In(ctx context.Context) context.Context {
	if d == Always {
		return ctx
	}
	return context.WithValue(ctx, dialKey{}, d)
}

func dialOf(ctx context.Context) Dialling {
	d, _ := ctx.Value(dialKey{}).(Dialling)
	return d
}

// admitted returns the dialer for receivers through a proxy, within their budget.
func (n *Network) admitted(proxy string) dial {
	open := n.via(proxy)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		how := dialOf(ctx)
		switch {
		case how == OpenOnly:
			return nil, ErrNoConnection
		case !n.Handshakes.take(address, how == WithinBudget):
			return nil, ErrBudget
		}
		return open(ctx, network, address)
	}
}
