package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// idleRoute is how long what is known of an arrangement stays in memory without a message.
	idleRoute = 10 * time.Minute
	// mostRoutes bounds it, at some ten kilobytes each: one that is dropped is read again, by its indexes.
	mostRoutes = 15000
)

// A route is what the gateway knows of one arrangement. Its connections belong to one generation each.
type route struct {
	address    address
	standing   standing.Standing
	endpoint   *url.URL
	statuses   []int // that mean a refusal
	identities map[int]*identity
	plain      *outbound.Connections // where it presents no certificate
	series     *series

	mu       sync.Mutex
	rollover rollover.Rollover // with what this gateway saw itself
	accepted map[int]time.Time // when this gateway last saw a generation accepted
	usedAt   time.Time
	refused  refusals
	// changedAt is when this gateway last saw a generation accepted that had been refused, or the other way round.
	changedAt time.Time
	deafUntil time.Time // until when the receiver is not asked before it gets a body

	reading    sync.Mutex // held by who reads it anew after a refusal
	freshUntil time.Time  // until when it is not read anew once more
}

func (r *route) name() string { return r.address.String() }

// refusals are the sorts of messages (method and path) that every generation was refused for. A receiver that has other
// reasons than the certificate is not asked twice for every message; what it thinks of the certificate is asked again
// after a while, and at once when it changes its mind about one.
type refusals map[string]refusal

type refusal struct {
	count int
	pause time.Duration
	until time.Time
}

const (
	// patience is how many messages of a sort are refused before it is remembered, from firstPause on, doubling up to
	// longestPause.
	patience                 = 3
	firstPause, longestPause = time.Second, 30 * time.Second
	// mostRefusals bounds the memory of one arrangement.
	mostRefusals = 256
)

func (rs refusals) lately(of string, now time.Time) bool { return now.Before(rs[of].until) }

func (rs refusals) add(of string, now time.Time) {
	v, known := rs[of]
	if !known && len(rs) >= mostRefusals {
		for old := range rs { // any one
			delete(rs, old)
			break
		}
	}
	if v.count++; v.count >= patience {
		v.pause = min(max(2*v.pause, firstPause), longestPause)
		v.until = now.Add(v.pause)
	}
	rs[of] = v
}

func (rs refusals) clone() refusals {
	c := maps.Clone(rs)
	if c == nil {
		c = refusals{}
	}
	return c
}

// An identity is a generation with its connections, which are shared by the routes that follow each other.
type identity struct {
	standing.Identity
	certificateID string
	settings      [sha256.Size]byte
	connections   atomic.Pointer[outbound.Connections]
}

func (id *identity) transport() *outbound.Connections { return id.connections.Load() }

// reconnect lets the next message with a generation open a connection of its own.
func (r *route) reconnect(n *outbound.Network, generation int) {
	if id := r.identities[generation]; id != nil {
		id.connections.Swap(n.Connections(&id.Identity, r.standing.Arrangement.Egress)).CloseIdleConnections()
	}
}

// order says which generations to try, and whether all of them were refused a moment ago for messages of the same sort.
func (r *route) order(of string, now time.Time) (order []int, lately bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usedAt = now
	return r.rollover.Order(now), r.refused.lately(of, now)
}

// routes are the arrangements in use.
type routes struct {
	mu      sync.RWMutex
	known   map[address]*route
	stale   map[address]*route // to be read anew; their connections may be used again
	changes int                // counts what was forgotten
	// silentUntil is until when the control is not asked for what is stale: it did not answer.
	silentUntil time.Time
}

const (
	// askAgain is how long the control is left alone that did not answer.
	askAgain = time.Second
	// readAgain is how long what was read after a refusal counts for others; readTimeout is how long they wait for it, and
	// retryRead the pause between two tries: after a failover the connections to the old primary fail one by one.
	readAgain   = 200 * time.Millisecond
	readTimeout = 2 * time.Second
	retryRead   = 20 * time.Millisecond
	// staleGrace is how long after its last message what is known of an arrangement may be stale, while the control does
	// not answer: messages go on through an outage of the service that began right after a change.
	staleGrace = time.Hour
)

// get finds a route, or reads it.
func (rs *routes) get(ctx context.Context, g *Gateway, to address) (*route, error) {
	rs.mu.RLock()
	r := rs.known[to]
	rs.mu.RUnlock()
	if r != nil {
		return r, nil
	}
	// While the control does not answer, what was known before a change is better than nothing.
	rs.mu.RLock()
	old, silent := rs.stale[to], g.now().Before(rs.silentUntil)
	rs.mu.RUnlock()
	if old != nil && silent {
		return old, nil
	}
	r, err := rs.read(ctx, g, to)
	if err != nil && old != nil && !isAnswer(err) && g.now().Before(old.lastUsed().Add(staleGrace)) {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.silentUntil = g.now().Add(askAgain)
		return old, nil
	}
	return r, err
}

// isAnswer says whether an error is what the control says, and not that it says nothing.
func isAnswer(err error) bool { return errors.As(err, new(*tenancy.RuleError)) }

// read reads a route anew, again where something changed meanwhile.
func (rs *routes) read(ctx context.Context, g *Gateway, to address) (*route, error) {
	for {
		rs.mu.RLock()
		changes := rs.changes
		rs.mu.RUnlock()
		s, identities, err := g.control.Standing(ctx, to.tenant, to.arrangement)
		if err != nil {
			return nil, err
		}
		r, err := rs.replace(g, to, s, identities, changes)
		if r != nil || err != nil {
			return r, err
		}
	}
}

// anew is what is known of a route whose every generation was refused, in case a change was not heard of: it is read
// anew, for all messages together and not more often than every [readAgain]. Where the control does not answer for
// [readTimeout], it is the route itself, and nobody waits again for [askAgain].
func (rs *routes) anew(ctx context.Context, g *Gateway, r *route) *route {
	r.reading.Lock()
	defer r.reading.Unlock()
	rs.mu.RLock()
	known := rs.known[r.address]
	rs.mu.RUnlock()
	switch {
	case known != nil && known != r:
		return known
	case g.now().Before(r.freshUntil):
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		fresh, err := rs.read(ctx, g, r.address)
		switch {
		case err == nil:
			fresh.reading.Lock() // of routes that follow each other, always the later one's last
			defer fresh.reading.Unlock()
			fresh.freshUntil = g.now().Add(readAgain)
			return fresh
		case isAnswer(err) || ctx.Err() != nil:
			r.freshUntil = g.now().Add(askAgain)
			return r
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryRead):
		}
	}
}

// replace puts what was read in the place of what was known; nil where it may be out of date already.
func (rs *routes) replace(g *Gateway, to address, s standing.Standing, identities []standing.Identity,
	changes int) (*route, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.changes != changes {
		return nil, nil
	}
	before := rs.known[to]
	if before == nil {
		before = rs.stale[to]
	}
	r, err := newRoute(g.network, to, s, identities, before)
	if err != nil {
		return nil, err
	}
	r.usedAt = g.now()
	if len(rs.known) >= mostRoutes {
		rs.dropOldest(mostRoutes / 10)
	}
	rs.known[to] = r
	delete(rs.stale, to)
	if before != nil {
		before.closeBut(r)
	}
	return r, nil
}

func newRoute(n *outbound.Network, to address, s standing.Standing, identities []standing.Identity,
	before *route) (*route, error) {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return nil, err
	}
	r := &route{
		address: to, standing: s, endpoint: endpoint, statuses: s.Arrangement.Egress.Refusals(), rollover: s.Rollover,
		identities: map[int]*identity{}, accepted: map[int]time.Time{}, refused: refusals{}, series: seriesOf(to.String()),
	}
	settings, err := json.Marshal([]any{s.Arrangement.Egress, s.Arrangement.Endpoint})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(settings)
	same := 0
	for _, id := range identities {
		c, _ := s.Certificate(id.Generation)
		if before != nil {
			if old := before.identities[id.Generation]; old != nil && old.certificateID == c.ID && old.settings == sum {
				r.identities[id.Generation] = old
				same++
				continue
			}
		}
		one := &identity{Identity: id, certificateID: c.ID, settings: sum}
		one.connections.Store(n.Connections(&one.Identity, s.Arrangement.Egress))
		r.identities[id.Generation] = one
	}
	if s.Arrangement.Authentication != tenancy.ClientCertificate {
		r.plain = n.Connections(nil, s.Arrangement.Egress)
	}
	if before != nil {
		before.mu.Lock()
		defer before.mu.Unlock()
		for generation, at := range before.accepted {
			r.accepted[generation] = at
		}
		r.changedAt, r.deafUntil = before.changedAt, before.deafUntil
		if len(r.identities) == same { // one that is new was never refused
			r.refused = before.refused.clone()
		}
	}
	return r, nil
}

// closeBut closes the idle connections of generations that the next route has no use for; those in use end with their
// messages.
func (r *route) closeBut(next *route) {
	for generation, id := range r.identities {
		if next == nil || next.identities[generation] != id {
			id.transport().CloseIdleConnections()
		}
	}
	if r.plain != nil {
		r.plain.CloseIdleConnections()
	}
}

// forget lets the routes of a tenant, or all, be read anew.
func (rs *routes) forget(tenantID string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.changes++
	for to, r := range rs.known {
		if tenantID == "" || r.standing.Tenant.ID == tenantID {
			rs.stale[to] = r
			delete(rs.known, to)
		}
	}
}

// sweep drops what was not used for a while.
func (g *Gateway) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g.routes.drop(g.now().Add(-idleRoute))
	}
}

func (rs *routes) drop(before time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.dropLocked(before)
}

func (rs *routes) dropLocked(before time.Time) {
	for _, all := range []map[address]*route{rs.known, rs.stale} {
		for to, r := range all {
			if r.lastUsed().Before(before) {
				r.closeBut(nil)
				delete(all, to)
			}
		}
	}
}

// dropOldest drops the n routes that have not been used for longest; rs.mu is held.
func (rs *routes) dropOldest(n int) {
	used := make([]time.Time, 0, len(rs.known))
	for _, r := range rs.known {
		used = append(used, r.lastUsed())
	}
	slices.SortFunc(used, time.Time.Compare)
	rs.dropLocked(used[n])
}

func (r *route) lastUsed() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usedAt
}

// closeAll closes every idle connection.
func (rs *routes) closeAll() { rs.drop(time.Unix(1<<40, 0)) }
