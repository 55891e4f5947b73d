package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/net/netutil"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

const (
	// mostConnections limits the connections of all callers, so that strangers cannot fill the memory.
	mostConnections = 10_000
	maxHeader       = 64 << 10
	headerTimeout   = 10 * time.Second // it includes the handshake
	idleTimeout     = 2 * time.Minute
)

// A front terminates TLS in front of the upstreams.
type front struct {
	listener     net.Listener
	http         *http.Server
	newcomers    *newcomers
	sites        atomic.Pointer[sites]
	certificates *certificates // guarded by reloading
}

// sites are the hosts of a configuration. They are never changed in place.
type sites struct {
	first  *site
	byName map[string]*site
}

// A site is a host with what answers there.
type site struct {
	own     own
	handler http.Handler
}

func openFront(c Config, g *core.Guard, logs *callLogs, o Options) (*front, error) {
	f := &front{newcomers: newNewcomers(), certificates: newCertificates(filepath.Dir(c.State), o.Certify)}
	all, err := f.newSites(c, g, o.Log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s: listen: %w", c.Path, err)
	}
	f.listener = l
	f.sites.Store(all)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	config := core.TLS(&tls.Config{GetCertificate: f.certificate,
		NextProtos: []string{"h2", "http/1.1", acme.ALPNProto}})
	f.http = &http.Server{Handler: http.HandlerFunc(f.answer), TLSConfig: config, Protocols: protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true, ConnContext: f.newcomers.context,
		ErrorLog: log.New(handshakes{logs.handshake, o.Now}, "", 0)}
	return f, nil
}

func (f *front) serve() error {
	err := serve.HTTP(f.http, f.newcomers.limit(netutil.LimitListener(f.listener, mostConnections)))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown waits for calls in flight until the context ends.
func (f *front) shutdown(ctx context.Context) error { return f.http.Shutdown(ctx) }

func (f *front) close() error { return errors.Join(f.http.Close(), ignoreClosed(f.listener.Close())) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (f *front) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.sites.Load().named(hello.ServerName).own.get(hello)
}

func (f *front) answer(w http.ResponseWriter, r *http.Request) {
	f.sites.Load().named(r.Host).handler.ServeHTTP(w, r)
}

// named returns the site of a name, or the first one.
func (s *sites) named(name string) *site {
	if found := s.byName[hostName(name)]; found != nil {
		return found
	}
	return s.first
}

func (f *front) newSites(c Config, g *core.Guard, logger *slog.Logger) (*sites, error) {
	all := &sites{byName: map[string]*site{}}
	for _, h := range c.Hosts {
		s := &site{}
		proxy, err := newProxy(h, func(chain []*x509.Certificate) bool {
			d, ok := g.Decide(chain)
			return ok && core.Restrict(d, h.Partners).Outcome != acceptance.Refuse
		}, logger)
		if err != nil {
			return nil, err
		}
		s.handler = g.For(h.Partners, f.newcomers.accepting(proxy))
		if !h.Server.isSet() && all.first != nil {
			s.own = all.first.own
		} else if s.own, err = f.certificates.of(h.Server); err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
		if all.first == nil {
			all.first = s
		}
		if h.Name != "" {
			all.byName[h.Name] = s
		}
	}
	if all.first == nil {
		return nil, errors.New("upstream: name the system that calls are passed on to")
	}
	return all, nil
}

// flushAfter limits how long a part of an answer waits for the next one. An answer whose length is unknown does not
// wait at all. Sending each part at once would cost a further system call for most answers.
const flushAfter = 10 * time.Millisecond

// newProxy returns the reverse proxy to an upstream. It changes nothing in a message but the headers that name the
// caller.
func newProxy(h Host, accepts func(chain []*x509.Certificate) bool, logger *slog.Logger) (http.Handler, error) {
	transport, err := newTransport(h)
	if err != nil {
		return nil, err
	}
	target := *h.Upstream
	if target.Scheme == "h2c" {
		target.Scheme = "http"
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: flushAfter, BufferPool: &buffers,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.RawQuery = p.In.URL.RawQuery // ReverseProxy removes parameters that it cannot read
			p.SetURL(&target)
			p.Out.Host = p.In.Host
			onlyWebSocket(p.Out.Header)
			withoutLookalikes(p.Out.Header)
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				logger.Warn("the upstream did not answer", "upstream", h.Upstream.Redacted(), "partner",
					core.PartnerOf(r.Context()), "error", err)
			}
			http.Error(w, "The system behind this guard did not answer.", http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go whileAccepted(ctx, cancel, r, accepts)
			r = r.WithContext(ctx)
		}
		if r.ProtoMajor == 1 { // a system may answer before it has read the whole message
			http.NewResponseController(w).EnableFullDuplex()
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

// onlyWebSocket removes the request to change to a protocol other than WebSocket. In HTTP/2 (h2c), for example, the
// caller could send further messages, with any headers, that the guard does not see.
func onlyWebSocket(h http.Header) {
	if u := h.Get("Upgrade"); u != "" && !strings.EqualFold(u, "websocket") {
		h.Del("Upgrade")
		h.Del("Connection")
	}
	h.Del("Http2-Settings")
}

// withoutLookalikes removes headers that some applications take for those that state where a call comes from.
func withoutLookalikes(h http.Header) {
	for name := range h {
		if strings.Contains(name, "_") &&
			strings.HasPrefix(strings.ReplaceAll(strings.ToLower(name), "_", "-"), "x-forwarded-") {
			delete(h, name)
		}
	}
}

// stillEvery is the time between two decisions about a connection that was upgraded.
const stillEvery = 5 * time.Second

// whileAccepted ends a call when its certificate is not accepted any more.
func whileAccepted(ctx context.Context, end func(), r *http.Request, accepts func([]*x509.Certificate) bool) {
	tick := time.NewTicker(stillEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !accepts(r.TLS.PeerCertificates) {
				end()
				return
			}
		}
	}
}

func newTransport(h Host) (*http.Transport, error) {
	protocols := new(http.Protocols)
	switch h.Upstream.Scheme {
	case "h2c":
		protocols.SetUnencryptedHTTP2(true)
	case "https":
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	default:
		protocols.SetHTTP1(true)
	}
	t := &http.Transport{Protocols: protocols, DisableCompression: true, MaxIdleConnsPerHost: 256,
		IdleConnTimeout: 90 * time.Second, ExpectContinueTimeout: time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DialContext:    (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10}
	u := h.UpstreamTLS
	if u == (UpstreamTLS{}) {
		return t, nil
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if u.CA != "" {
		roots, err := certfile.ReadRoots(u.CA)
		if err != nil {
			return nil, fmt.Errorf("upstream_tls: %w", err)
		}
		t.TLSClientConfig.RootCAs = roots
	}
	if u.Cert != "" {
		pair, err := tls.LoadX509KeyPair(u.Cert, u.Key)
		if err != nil {
			return nil, fmt.Errorf("upstream_tls: the guard's certificate towards the upstream: %w", err)
		}
		// It is presented whatever CAs the upstream names, so that the upstream can state why it does not accept it.
		t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}
	}
	return t, nil
}

// buffers are reused for the bodies of messages.
var buffers = bufferPool{sync.Pool{New: func() any { return new(buffer) }}}

type (
	buffer     [32 << 10]byte
	bufferPool struct{ pool sync.Pool }
)

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*buffer)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*buffer)(b)) }
