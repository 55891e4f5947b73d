package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/calm"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/workload"
)

// Alone are the flags of a program that runs only a gateway.
type Alone struct {
	Options
	Monitoring
	BehindProxy bool `env:"PERENNIAL_BEHIND_PROXY" help:"Serve plain HTTP at any address, because a proxy in front terminates TLS."`
	Log         Log  `embed:""`
}

// A Service is the connection of a gateway to its service.
type Service struct {
	Control gateway.Control
	Address string // a password in it is not shown
	Release func() error
	// Outage describes an outage of the service for the log.
	Outage calm.Outage
}

// Run checks the flags, connects, and serves messages until ctx is done. It prints the addresses to out when the
// gateway accepts messages, and logs to log.
func (a *Alone) Run(ctx context.Context, now func() time.Time, out, log io.Writer,
	connect func(context.Context, *slog.Logger) (Service, error)) error {
	front := Direct
	if a.BehindProxy {
		front = Proxied
	}
	if a.isOff() {
		return errors.New("--gateway off leaves nothing to run")
	}
	if err := a.Check(front); err != nil {
		return err
	}
	network, err := a.Network()
	if err != nil {
		return err
	}
	workloads, err := workload.New(a.Workloads, now)
	if err != nil {
		return err
	}
	handler := calm.New(a.Log.Logger(log).Handler())
	logger := slog.New(handler)
	service, err := connect(ctx, logger)
	if err != nil {
		return err
	}
	handler.Watch(ctx, service.Outage)
	s, err := a.Options.Open(gateway.Config{Control: service.Control, Network: network, Now: now, Log: logger,
		ArrangementSeries: a.ArrangementMetrics, Workloads: workloads})
	if err != nil {
		return errors.Join(err, service.Release())
	}
	// It delivers messages with the state in memory, even without the service. So once it has reached the service, it is
	// ready as long as it runs.
	monitor, err := a.Monitoring.Open(gatewayMetrics(), s.ready, logger)
	if err != nil {
		return errors.Join(err, s.Shutdown(ctx), service.Release())
	}
	if err := s.Start(); err != nil {
		return errors.Join(err, monitor.Shutdown(ctx), s.Shutdown(ctx), service.Release())
	}
	failed := make(chan error, 2)
	go func() { failed <- s.Serve() }()
	if monitor != nil {
		go func() { failed <- monitor.Serve() }()
	}
	a.welcome(out, s, service, monitor)
	select {
	case err = <-failed:
	case <-ctx.Done():
		logger.Info("stopping")
	}
	end, cancel := context.WithTimeout(context.Background(), ShutdownTime)
	defer cancel()
	return errors.Join(err, monitor.Shutdown(end), s.Shutdown(end), service.Release())
}

// welcome prints the addresses, in the format of the log.
func (a *Alone) welcome(out io.Writer, s *Server, service Service, monitor *Side) {
	if log := a.Log.Greeting(out); log != nil {
		log.Info("the gateway is ready", "messages", s.URL, "control", redacted(service.Address), "metrics",
			monitor.URL())
		return
	}
	fmt.Fprintf(out, "The gateway is ready\n  messages  %s/TENANT/ARRANGEMENT/...\n  control   %s\n", s.URL,
		redacted(service.Address))
	if monitor != nil {
		fmt.Fprintf(out, "  metrics   %s/metrics\n", monitor.URL())
	}
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "***"
	}
	return u.Redacted()
}
