package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
)

// Monitoring are the flags of a process that exports metrics to Prometheus.
type Monitoring struct {
	MetricsListen      string `name:"metrics-listen" env:"PERENNIAL_METRICS_LISTEN" placeholder:"HOST:PORT" help:"Serve /metrics, /healthz and /readyz at this address, without a token. Only the monitoring should reach it."`
	ArrangementMetrics bool   `name:"arrangement-metrics" env:"PERENNIAL_ARRANGEMENT_METRICS" help:"Count messages per arrangement, for up to 1,000 arrangements. The metrics then contain the names of tenants."`
}

// Open listens for the monitoring. The result is nil if no address is configured. The caller ends it with
// [Side.Shutdown].
func (m *Monitoring) Open(metrics http.Handler, ready http.HandlerFunc, log *slog.Logger) (*Side, error) {
	return OpenSide("--metrics-listen", m.MetricsListen, Monitor(metrics, ready), log)
}

// Monitor serves /metrics, /healthz and /readyz.
func Monitor(metrics http.Handler, ready http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", healthy)
	mux.HandleFunc("GET /readyz", ready)
	return mux
}

// A Side serves public or internal content over plain HTTP on a separate listener. A nil Side does nothing.
type Side struct {
	flag     string
	listener net.Listener
	http     *http.Server
}

// OpenSide listens at the address of a flag: HOST:PORT, or unix:PATH. The result is nil if the address is empty.
func OpenSide(flag, address string, handler http.Handler, log *slog.Logger) (*Side, error) {
	if address == "" {
		return nil, nil
	}
	l, err := gateway.Listen(address)
	if err != nil {
		return nil, ListenError(flag, address, err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // with prior knowledge, as gRPC needs it
	return &Side{flag: flag, listener: l, http: &http.Server{Handler: handler, Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}}, nil
}

func healthy(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// URL returns the base address; empty without a listener.
func (s *Side) URL() string {
	if s == nil {
		return ""
	}
	return urlOf(s.listener, nil)
}

// Serve answers until [Side.Shutdown]. Without a listener it returns at once.
func (s *Side) Serve() error {
	if s == nil {
		return nil
	}
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", s.flag, err)
	}
	return nil
}

// Shutdown waits for requests in flight until the context ends, and releases the address.
func (s *Side) Shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	defer s.listener.Close() // a server that never served does not have it
	return s.http.Shutdown(ctx)
}

// gatewayMetrics are those of a process that runs only a gateway. The default gatherer has those of Go and of the
// process. The package collectors has them too, but links database/sql.
func gatewayMetrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(gateway.Collectors()...)
	r.MustRegister(gateway.AloneCollectors()...)
	return promhttp.HandlerFor(prometheus.Gatherers{prometheus.DefaultGatherer, r}, promhttp.HandlerOpts{})
}
