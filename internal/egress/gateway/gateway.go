// Package gateway is the egress proxy. Platform applications send plain HTTP to it. It forwards their messages with the
// tenant's certificate, and moves every receiver from one generation to the next.
//
// For every strategy but immediate it promises: if a receiver refuses a message because of the certificate, the same
// message is sent again with the other valid generation, before the sender gets an answer. So no message fails because
// a certificate was renewed, as long as the receiver accepts one valid generation. If the receiver refuses every
// generation, its answer is returned unchanged. A message that the receiver may have processed is never sent twice. A
// sender of one tenant can neither use nor see the arrangements of another.
//
// The promise does not include large bodies: a body beyond the arrangement's limit cannot be sent again if the receiver
// began to read it before it refused.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Control is the service as a gateway uses it.
type Control interface {
	Routes
	Journal
	Parking
	Bodies
	Deliveries
}

// Routes provides the generations to present, and the senders that are allowed.
type Routes interface {
	// Standing returns the state of an arrangement, with the identities that can be presented. The error is
	// [tenancy.ErrNotFound] if there is no arrangement of this name.
	Standing(ctx context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity, error)
	// Token finds the valid token with this hash, or returns [tenancy.ErrNotFound].
	Token(ctx context.Context, hash string) (tenancy.Token, error)
	// OnChange calls a function with the ID of a tenant that has changed, until stop is called. The ID is "" if anything
	// may have changed.
	OnChange(listen func(tenantID string)) (stop func())
}

// Journal stores the reports of the gateway.
type Journal interface {
	// Observe records the answers of receivers.
	Observe(ctx context.Context, arrangementID string, seen []standing.Observation) error
	// Record adds to the message log.
	Record(ctx context.Context, messages []tenancy.Message) error
}

// Parking stores messages for delivery.
type Parking interface {
	// Park stores a message, sealed, once for its Idempotency-Key, and returns the message that is stored under the key.
	// The error is [tenancy.ErrConflict] if that is another message, and [tenancy.ErrQuota] if the tenant's quota is used
	// up.
	Park(ctx context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error)
	// Parked finds a parked message of an arrangement.
	Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error)
}

// Deliveries hands out parked messages for delivery.
type Deliveries interface {
	// DueParked lists the first waiting message of each arrangement, if it is due.
	DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error)
	// ParkedAddress returns the arrangement of a parked message, and the time-out of its receiver.
	ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string, timeout time.Duration, err error)
	// ClaimParked claims a message for one attempt, until an instant, and opens it. claimed is false if another process
	// was faster.
	ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte, err error)
	// UpdateParked stores the result of an attempt.
	UpdateParked(ctx context.Context, p tenancy.Parked) error
}

// Bodies stores the bodies of parked messages that are larger than [tenancy.ParkedChunk], in chunks.
type Bodies interface {
	// ReserveParked begins to store a body of at least p.Bytes, and returns p. If a message is stored under its
	// Idempotency-Key, it returns that one and reserves nothing. The error is [tenancy.ErrQuota] if the tenant's quota is
	// used up.
	ReserveParked(ctx context.Context, p tenancy.Parked) (tenancy.Parked, error)
	// AddParkedChunk stores the next chunk. [Parking.Park] completes the message.
	AddParkedChunk(ctx context.Context, p tenancy.Parked, part tenancy.ParkedPart) error
	// ParkedChunk returns a chunk of the body of a message that was claimed.
	ParkedChunk(ctx context.Context, p tenancy.Parked, n int) ([]byte, error)
	// DropParked deletes the stored parts of a message that was not completed.
	DropParked(ctx context.Context, p tenancy.Parked) error
}

// Config has the dependencies of a gateway, and its options. Control, Network, Now and Log are required.
type Config struct {
	Control Control
	Network *outbound.Network
	// Suffix is the domain of host names that address an arrangement; empty for paths alone.
	Suffix string
	// Open lets every caller send for every tenant. It is for loopback only.
	Open bool
	// SenderDomain is the trust domain of senders' certificates. None is accepted if it is empty.
	SenderDomain string
	// SenderCRL is a file with the revocation lists of their CAs; empty for none.
	SenderCRL string
	// Workloads verifies the identity tokens of senders; nil if none is accepted.
	Workloads *workload.Verifier
	// TempDir holds bodies that are kept; empty for the system's.
	TempDir string
	// ParkedTimeout limits the time for a receiver to answer a parked message, whatever its arrangement allows; 0 for
	// [DefaultParkedTimeout].
	ParkedTimeout time.Duration
	// BodyGrace is the time that a sender may take for the body of a message, besides a second for every 500 bytes; 0 for
	// 20 seconds.
	BodyGrace time.Duration
	// LogDetail selects the detail of the message log; empty for [LogMinutes].
	LogDetail LogDetail
	// ArrangementSeries counts messages per arrangement, and not only in total.
	ArrangementSeries bool
	Now               func() time.Time
	Log               *slog.Logger
}

// A Gateway is the handler of its own listener. It keeps the generations of the arrangements in use in memory.
type Gateway struct {
	control Control
	network *outbound.Network
	suffix  string
	open    bool
	// senderDomain and revoked decide which client certificates authenticate a sender.
	senderDomain string
	revoked      revocations
	workloads    *workload.Verifier
	tempDir      string
	// parkedTimeout limits the time-out of an attempt to deliver a parked message.
	parkedTimeout time.Duration
	// bodyGrace is the time that a sender may take for a body besides that for its size.
	bodyGrace time.Duration
	// seriesName returns the arrangement that is named in the metrics.
	seriesName func(address) string
	now        func() time.Time
	log        *slog.Logger

	proxyLog *log.Logger // of the reverse proxies
	buffers  buffers
	routes   routes
	tokens   tokens
	reports  reports
	journal  journal
	tunnels  tunnels
	parked   chan struct{} // wakes the delivery
	reached  atomic.Bool   // the control has answered
	stop     func()
	// inBackground runs work that ends with the gateway.
	inBackground func(work func(context.Context))
	ended        sync.WaitGroup
}

// New starts a gateway, which runs until [Gateway.Close].
func New(c Config) (*Gateway, error) {
	if c.Control == nil || c.Network == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("a gateway needs a control, a network, a clock and a log")
	}
	windows, err := c.LogDetail.windows()
	if err != nil {
		return nil, err
	}
	g := &Gateway{control: c.Control, network: c.Network, suffix: c.Suffix, open: c.Open,
		senderDomain: c.SenderDomain, revoked: revocations{path: c.SenderCRL, log: c.Log}, tempDir: c.TempDir, now: c.Now,
		workloads: c.Workloads,
		log:       c.Log, proxyLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), parked: make(chan struct{}, 1)}
	g.parkedTimeout = cmp.Or(c.ParkedTimeout, DefaultParkedTimeout)
	g.bodyGrace = cmp.Or(c.BodyGrace, bodyGrace)
	g.seriesName = func(address) string { return "" }
	if c.ArrangementSeries {
		g.seriesName = address.String
	}
	g.routes.known, g.routes.stale = map[address]*route{}, map[address]*route{}
	g.tokens.known = map[string]token{}
	g.reports.wake = make(chan struct{}, 1)
	g.journal.windows, g.journal.wake = windows, make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	g.inBackground = func(work func(context.Context)) { g.ended.Go(func() { work(ctx) }) }
	unlisten := g.control.OnChange(g.changed)
	g.stop = func() {
		unlisten()
		cancel()
	}
	g.ended.Go(func() { g.report(ctx) })
	g.ended.Go(func() { g.keepJournal(ctx) })
	g.ended.Go(func() { g.watchControl(ctx) })
	g.ended.Go(func() { g.sweep(ctx) })
	g.ended.Go(func() { g.deliverParked(ctx) })
	return g, nil
}

// Close reports the remaining observations, and ends the work in the background. Requests must have ended.
func (g *Gateway) Close() {
	g.stop()
	g.ended.Wait()
	g.routes.closeAll()
}

// changed discards the cached data of a tenant. Routes in use are read again before their next message.
func (g *Gateway) changed(tenantID string) {
	g.tokens.forget(tenantID, g.now())
	g.routes.forget(tenantID)
	g.tunnels.review(g, tenantID)
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	if path, ok := strings.CutPrefix(r.URL.Path, statusPath); ok && r.Method == http.MethodGet {
		g.parkedStatus(w, r, path)
		return
	}
	if r.Method == http.MethodConnect || len(r.TransferEncoding) > 0 {
		// After CONNECT, a sender does not write HTTP. If there is a Transfer-Encoding, net/http discards a Content-Length,
		// and RFC 9112, section 6.1, requires a connection that had both to end. So every connection with a Transfer-Encoding
		// ends.
		w.Header().Set("Connection", "close")
	}
	if r.Method == http.MethodConnect || strings.EqualFold(r.Header.Get("Upgrade"), "h2c") {
		problem(w, http.StatusNotImplemented,
			"the gateway forwards messages and is not a proxy for CONNECT or h2c: send the message directly, optionally over "+
				"HTTP/2 with prior knowledge")
		return
	}
	path := escapedPath(r)
	to, rest, err := parseAddress(r.Host, path, g.suffix)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := g.mayUse(r, to); err != nil {
		refuse(w, err)
		return
	}
	route, err := g.routes.get(r.Context(), g, to)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		problem(w, http.StatusNotFound, fmt.Sprintf("there is no arrangement %s/%s", to.tenant, to.arrangement))
		return
	case errors.Is(err, tenancy.ErrRefused):
		problem(w, http.StatusConflict, err.Error())
		return
	case errors.Is(err, ErrOwnToken):
		g.log.ErrorContext(r.Context(), "an arrangement could not be read", "arrangement", to, "error", err)
		problem(w, http.StatusServiceUnavailable, "the arrangement was not looked up, because the service no longer "+
			"accepts this gateway's own token: the gateway's operator must replace it")
		return
	case errors.Is(err, ErrAway):
		g.log.ErrorContext(r.Context(), "an arrangement could not be read", "arrangement", to, "error", err)
		problem(w, http.StatusServiceUnavailable, "the arrangement was not looked up, because the service does not answer "+
			"this gateway: try again")
		return
	case err != nil:
		g.log.ErrorContext(r.Context(), "an arrangement could not be read", "arrangement", to, "error", err)
		problem(w, http.StatusServiceUnavailable, "the service cannot look up this arrangement at the moment: try again")
		return
	}
	if wantsParking(r, route) {
		g.park(w, r, to, rest, route)
		return
	}
	m := newMessage(g, route, r.Method, rest)
	m.started, m.answer = arrived, w
	defer m.end(path)
	if r.Header.Get("Upgrade") != "" {
		m.tunnel, r = g.tunnels.open(r, route)
		defer g.tunnels.close(m.tunnel)
	}
	m.pace(w, r)
	m.proxy().ServeHTTP(w, r)
}
