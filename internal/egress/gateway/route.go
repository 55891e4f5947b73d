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
	// idleRoute is the time without a message after which an arrangement is dropped from memory.
	idleRoute = 10 * time.Minute
	// mostRoutes limits the arrangements in memory, at about ten kilobytes each. A dropped one is read again, by index.
	mostRoutes = 15000
)

// A route is the cached state of one arrangement. Its connections belong to one generation each.
type route struct {
	address    address
	standing   standing.Standing
	endpoint   *url.URL
	refusals   outbound.Refusals
	late       atomic.Bool // the receiver asks for the certificate late, so that it is held at TLS 1.2
	identities map[int]*identity
	plain      *outbound.Connections // not nil if it presents no certificate
	series     *series

	questions *questions

	mu       sync.Mutex
	rollover rollover.Rollover // with what this gateway saw itself
	kinds    outbound.Kinds
	controls map[outbound.Kind]control
	// Until notLateUntil the receiver is not suspected of asking for the certificate late.
	notLateUntil time.Time
	// comparisons counts the requests that were repeated in a second of the Unix clock.
	comparedIn  int64
	comparisons int
	accepted    map[int]time.Time // when this gateway last saw a generation accepted
	usedAt      time.Time
	refused     refusedSorts
	// changedAt is the last time at which the verdict on a generation was reversed.
	changedAt time.Time
	// Until noContinueUntil the receiver is not asked before it gets a body.
	noContinueUntil time.Time

	reading    sync.Mutex // held by the message that reads the route again after a refusal
	freshUntil time.Time  // until then it is not read again
}

func (r *route) name() string { return r.address.String() }

// refusedSorts are the sorts of messages (method and path) that were refused with every generation. A receiver that
// refuses for other reasons than the certificate does not get every message twice. It is asked again after a while, and
// at once when its verdict on a generation is reversed.
type refusedSorts map[string]refusal

type refusal struct {
	count int
	pause time.Duration
	until time.Time
}

const (
	// patience is the number of refused messages of a sort after which a refusal is remembered. The time doubles from
	// firstPause up to longestPause.
	patience                 = 3
	firstPause, longestPause = time.Second, 30 * time.Second
	// mostRefusals limits the sorts of one arrangement.
	mostRefusals = 256
)

func (rs refusedSorts) recently(of string, now time.Time) bool { return now.Before(rs[of].until) }

func (rs refusedSorts) add(of string, now time.Time) {
	v, known := rs[of]
	if !known && len(rs) >= mostRefusals {
		for old := range rs { // whichever comes first
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

func (rs refusedSorts) clone() refusedSorts {
	c := maps.Clone(rs)
	if c == nil {
		c = refusedSorts{}
	}
	return c
}

// An identity is a generation with its connections, which successive routes share.
type identity struct {
	standing.Identity
	certificateID string
	settings      [sha256.Size]byte
	connections   atomic.Pointer[outbound.Connections]
}

func (id *identity) transport() *outbound.Connections { return id.connections.Load() }

// reconnect makes the next message with a generation open a new connection.
func (r *route) reconnect(n *outbound.Network, generation int) {
	if id := r.identities[generation]; id != nil {
		id.connections.Swap(n.Connections(&id.Identity, r.egress())).CloseIdleConnections()
	}
}

// order returns the generations in the order in which to try them. recently is true if all of them were refused a
// moment ago for messages of the same sort.
func (r *route) order(of string, now time.Time) (order []int, recently bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usedAt = now
	return r.rollover.Order(now), r.refused.recently(of, now)
}

// routes are the arrangements in use.
type routes struct {
	mu      sync.RWMutex
	known   map[address]*route
	stale   map[address]*route // to be read again; their connections may be reused
	changes changes
	// Until silentUntil, the control is not asked for stale state, because it did not answer.
	silentUntil time.Time
}

const (
	// askAgain is the pause after a control did not answer.
	askAgain = time.Second
	// readAgain is the time for which a route that was read after a refusal counts for other messages. readTimeout limits
	// their wait for it, and retryRead is the pause between two attempts: after a failover the connections to the old
	// primary fail one by one.
	readAgain   = 200 * time.Millisecond
	readTimeout = 2 * time.Second
	retryRead   = 20 * time.Millisecond
	// staleGrace is the time after its last message for which an arrangement may be stale while the control does not
	// answer. Messages continue through an outage of the service that began right after a change.
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
	// While the control does not answer, the state from before a change is better than none.
	rs.mu.RLock()
	old, silent := rs.stale[to], g.now().Before(rs.silentUntil)
	rs.mu.RUnlock()
	if old != nil && silent {
		return old, nil
	}
	if old != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, changePatience)
		defer cancel()
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

// isAnswer reports whether an error is an answer of the control, and not a failure to get one.
func isAnswer(err error) bool { return errors.As(err, new(*tenancy.RuleError)) }

// read reads a route, and starts again if the tenant has changed in the meantime.
func (rs *routes) read(ctx context.Context, g *Gateway, to address) (*route, error) {
	for {
		r, err := rs.readOnce(ctx, g, to)
		if r != nil || err != nil {
			return r, err
		}
	}
}

// readOnce reads and stores a route. The result is nil if the route may already be out of date.
func (rs *routes) readOnce(ctx context.Context, g *Gateway, to address) (*route, error) {
	rs.mu.Lock()
	since := rs.changes.begin()
	rs.mu.Unlock()
	s, identities, err := g.control.Standing(ctx, to.tenant, to.arrangement)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	defer rs.changes.end()
	if err != nil || rs.changes.concern(s.Tenant.ID, since) {
		return nil, err
	}
	return rs.replace(g, to, s, identities)
}

// refresh returns the current state of a route after every generation was refused, in case a change was missed. It
// reads the route for all messages together, and at most every [readAgain]. If the control does not answer within
// [readTimeout], it returns the route unchanged, and later messages do not wait for [askAgain].
func (rs *routes) refresh(ctx context.Context, g *Gateway, r *route) *route {
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
			fresh.reading.Lock() // of two successive routes, the later one is locked last
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

// replace stores a route that was read; rs.mu is held.
func (rs *routes) replace(g *Gateway, to address, s standing.Standing, identities []standing.Identity) (*route,
	error) {
	before := rs.known[to]
	if before == nil {
		before = rs.stale[to]
	}
	r, err := newRoute(g.network.For(to.tenant), to, s, identities, before)
	if err != nil {
		return nil, err
	}
	r.series = seriesOf(g.seriesName(to))
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
	endpoint, err := outbound.Endpoint(s.Arrangement.Endpoint)
	if err != nil {
		return nil, err
	}
	r := &route{
		address: to, standing: s, endpoint: endpoint, rollover: s.Rollover,
		refusals: outbound.NewRefusals(s.Arrangement.Egress.Refusals()),
		kinds:    kindsOf(s), questions: &questions{},
		identities: map[int]*identity{}, accepted: map[int]time.Time{}, refused: refusedSorts{},
	}
	r.late.Store(before != nil && before.late.Load() && before.standing.Arrangement.Endpoint == s.Arrangement.Endpoint)
	settings, err := json.Marshal([]any{r.egress(), s.Arrangement.Endpoint})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(settings)
	same := 0
	for _, id := range identities {
		c, _ := s.Certificate(id.Generation)
		if before != nil {
			if old := before.identities[id.Generation]; old != nil && old.certificateID == c.ID && old.settings == sum &&
				old.KeyStays == id.KeyStays {
				r.identities[id.Generation] = old
				same++
				continue
			}
		}
		one := &identity{Identity: id, certificateID: c.ID, settings: sum}
		one.connections.Store(n.Connections(&one.Identity, r.egress()))
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
		r.changedAt, r.noContinueUntil = before.changedAt, before.noContinueUntil
		if before.standing.Arrangement.Endpoint == s.Arrangement.Endpoint {
			r.rollover = withObserved(r.rollover, before.rollover)
			for _, one := range before.kinds.All() {
				r.kinds.Add(one)
			}
			r.controls = maps.Clone(before.controls)
		}
		if len(r.identities) == same { // a new one was never refused
			r.refused = before.refused.clone()
		}
	}
	return r, nil
}

// egress returns the settings of the arrangement, with the findings about the receiver's TLS.
func (r *route) egress() tenancy.Egress {
	egress := r.standing.Arrangement.Egress
	if egress.MaxTLS == "" && r.late.Load() {
		egress.MaxTLS = "1.2"
	}
	return egress
}

// withObserved adds the verdicts that this gateway has observed, in case the control has not stored them yet.
func withObserved(stored, local rollover.Rollover) rollover.Rollover {
	stored.Generations = slices.Clone(stored.Generations)
	for i, g := range stored.Generations {
		seen, known := local.Generation(g.Number)
		if known && seen.By == rollover.Traffic && seen.VerdictAt.After(g.VerdictAt) {
			g.Verdict, g.VerdictAt, g.By, g.Latest, g.TurnedAt = seen.Verdict, seen.VerdictAt, seen.By, seen.Latest,
				seen.TurnedAt
			stored.Generations[i] = g
		}
	}
	if local.UnaskedAt.After(stored.UnaskedAt) {
		stored.UnaskedAt = local.UnaskedAt
	}
	return stored
}

// closeBut closes the idle connections of generations that the next route does not use. Connections in use end with
// their messages.
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

// forget marks the routes of a tenant, or all, to be read again.
func (rs *routes) forget(tenantID string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.changes.add(tenantID)
	for to, r := range rs.known {
		if tenantID == "" || r.standing.Tenant.ID == tenantID {
			rs.stale[to] = r
			delete(rs.known, to)
		}
	}
}

// sweep drops routes that have not been used for a while.
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
		g.tunnels.review(g, "") // tokens and certificates also end by time
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
