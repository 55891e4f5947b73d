// Package gateway is the egress proxy: platform applications send plain HTTP to it, and it sends on with the tenant's
// certificate, bringing every receiver over from one generation to the next.
//
// It promises, for every strategy but immediate: a message that the receiver refuses because of the certificate is sent
// again, the same message, with the other valid generation, before its sender hears of it; so no message fails because
// a certificate was renewed as long as the receiver accepts one valid generation. A refusal that every generation gets
// is the receiver's answer and goes back unchanged. A message is never sent twice where the receiver may have processed
// it. A sender of one tenant can neither use nor see another tenant's arrangements. Where the promise ends: a body
// beyond the arrangement's limit that the receiver began to take before it refused cannot be sent again.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Control is where the gateway learns what to present and reports what receivers answered.
type Control interface {
	// Standing says where an arrangement stands, with the identities that are within reach; [tenancy.ErrNotFound] where
	// there is none of these names.
	Standing(ctx context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity, error)
	// Token finds the token with this hash; [tenancy.ErrNotFound] where there is none that is valid.
	Token(ctx context.Context, hash string) (tenancy.Token, error)
	// Observe takes in what receivers answered.
	Observe(ctx context.Context, arrangementID string, seen []standing.Observation) error
	// Record adds to the message log.
	Record(ctx context.Context, messages []tenancy.Message) error
	// Park stores a message, sealed, once for its Idempotency-Key, and returns what is stored under it;
	// [tenancy.ErrConflict] where that is another message.
	Park(ctx context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error)
	// Parked finds a parked message of an arrangement.
	Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error)
	// DueParked lists the first message of each arrangement that waits, where it is due.
	DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error)
	// ParkedAddress says where a parked message goes, and how long its receiver may take.
	ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string, timeout time.Duration, err error)
	// ClaimParked takes a message for one attempt, until an instant, and opens it; false where another process was faster.
	ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte, err error)
	// UpdateParked stores how an attempt ended.
	UpdateParked(ctx context.Context, p tenancy.Parked) error
	// OnChange calls a function with a tenant's ID when something changed for it, or with "" where anything may have,
	// until stop is called.
	OnChange(listen func(tenantID string)) (stop func())
}

// Config is what the gateway stands on.
type Config struct {
	Control Control
	Network *outbound.Network
	// Suffix is the domain of host names that address an arrangement; empty for paths alone.
	Suffix string
	// Open lets everybody who reaches the gateway send for every tenant: for loopback alone.
	Open bool
	// TempDir holds bodies that are kept; empty for the system's.
	TempDir string
	Now     func() time.Time
	Log     *slog.Logger
}

// A Gateway is the handler of its own listener. It keeps what it presents in memory, for the arrangements that are in
// use.
type Gateway struct {
	Config
	proxy   httputil.ReverseProxy
	routes  routes
	tokens  tokens
	reports reports
	journal journal
	parked  chan struct{} // wakes the delivery
	stop    func()
	ended   sync.WaitGroup
}

// New makes a gateway, which works until [Gateway.Close].
func New(c Config) *Gateway {
	g := &Gateway{Config: c}
	g.proxy = httputil.ReverseProxy{
		Rewrite: rewrite, Transport: sender{g}, ErrorHandler: g.failed, BufferPool: &buffers{},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	g.routes.known, g.routes.stale = map[address]*route{}, map[address]*route{}
	g.tokens.known = map[string]token{}
	ctx, cancel := context.WithCancel(context.Background())
	g.reports.wake = make(chan struct{}, 1)
	g.journal.wake = make(chan struct{}, 1)
	g.parked = make(chan struct{}, 1)
	unlisten := c.Control.OnChange(g.changed)
	g.stop = func() {
		unlisten()
		cancel()
	}
	g.ended.Go(func() { g.report(ctx) })
	g.ended.Go(func() { g.keepJournal(ctx) })
	g.ended.Go(func() { g.sweep(ctx) })
	g.ended.Go(func() { g.deliverParked(ctx) })
	return g
}

// Close reports what is left and ends what works in the background. Requests must have ended.
func (g *Gateway) Close() {
	g.stop()
	g.ended.Wait()
	g.routes.closeAll()
}

// changed forgets what is known of a tenant; what is in use is read anew before its next message.
func (g *Gateway) changed(tenantID string) {
	g.tokens.forget(tenantID, g.Now())
	g.routes.forget(tenantID)
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// A message is one request on its way.
type message struct {
	route    *route
	rest     string // escaped path behind the address
	started  time.Time
	attempts int
	rounds   int    // in which every generation was tried again
	last     int    // the generation of the last attempt
	outcome  string // what went wrong
	status   int
	refused  bool // by every generation
	kept     *kept
}

type messageKey struct{}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path, ok := strings.CutPrefix(r.URL.Path, statusPath); ok && r.Method == http.MethodGet {
		g.parkedStatus(w, r, path)
		return
	}
	to, rest, err := parseAddress(r.Host, r.URL.EscapedPath(), g.Suffix)
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
	case err != nil:
		g.Log.ErrorContext(r.Context(), "an arrangement could not be read", "arrangement", to, "error", err)
		problem(w, http.StatusServiceUnavailable, "the service does not know this arrangement at the moment: try again")
		return
	}
	if wantsParking(r, route) {
		g.park(w, r, to, rest, route)
		return
	}
	m := &message{route: route, rest: rest, started: time.Now()}
	defer g.over(r, m)
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), messageKey{}, m)))
}

// over ends a message, however it went.
func (g *Gateway) over(r *http.Request, m *message) {
	if m.kept != nil {
		m.kept.close()
	}
	g.log(r, m)
}

// rewrite makes the receiver's request of the sender's. The receiver learns nothing of the network in front of the
// gateway: the proxy has removed what was forwarded, and the hop-by-hop headers (RFC 9110, section 7.6.1).
func rewrite(p *httputil.ProxyRequest) {
	m := p.In.Context().Value(messageKey{}).(*message)
	endpoint := m.route.endpoint
	p.Out.URL.Scheme, p.Out.URL.Host = endpoint.Scheme, endpoint.Host
	base := strings.TrimSuffix(endpoint.EscapedPath(), "/")
	raw := base + m.rest
	if m.rest == "" {
		raw = endpoint.EscapedPath()
	}
	if raw == "" {
		raw = "/"
	}
	p.Out.URL.Path, p.Out.URL.RawPath = unescape(raw), raw
	p.Out.Host = endpoint.Host
	stripOurs(p.Out.Header)
	if p.Out.Header.Get("User-Agent") == "" {
		p.Out.Header.Set("User-Agent", "") // none, rather than Go's
	}
}

// stripOurs takes out what was for the gateway.
func stripOurs(h http.Header) {
	h.Del("Prefer")
	if strings.HasPrefix(h.Get("Authorization"), "Bearer "+tenancy.TokenPrefix) {
		h.Del("Authorization")
	}
}

// failed answers a message that got no answer from the receiver.
func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	m := r.Context().Value(messageKey{}).(*message)
	m.outcome = err.Error()
	status, text := http.StatusBadGateway, fmt.Sprintf("the receiver of %s did not answer: %v", m.route.name(), err)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, context.Canceled):
		m.status = 499 // as nginx logs a sender that went away; nobody hears the answer
		w.WriteHeader(http.StatusBadGateway)
		return
	case errors.Is(err, outbound.ErrForbiddenAddress):
		status, text = http.StatusForbidden, fmt.Sprintf("the endpoint of %s cannot be used: %v", m.route.name(), err)
	case errors.As(err, &tooLarge):
		status, text = http.StatusRequestEntityTooLarge, err.Error()
	case isTimeout(err):
		status, text = http.StatusGatewayTimeout, fmt.Sprintf("the receiver of %s took too long: %v", m.route.name(), err)
	}
	m.status = status
	problem(w, status, text)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
