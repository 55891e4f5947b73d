package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
)

// gatewayFlags configure a gateway, in the service or alone.
type gatewayFlags struct {
	Gateway         string   `default:"127.0.0.1:8081" env:"PERENNIAL_GATEWAY" help:"Where applications send messages: HOST:PORT, unix:PATH (for its owner), or off."`
	GatewaySuffix   string   `env:"PERENNIAL_GATEWAY_SUFFIX" placeholder:"DOMAIN" help:"Messages may also be addressed by host name: {arrangement}.{tenant}.DOMAIN."`
	GatewayTLSCert  string   `name:"gateway-tls-cert" env:"PERENNIAL_GATEWAY_TLS_CERT" placeholder:"FILE" help:"Serve the gateway with TLS and this certificate (PEM)."`
	GatewayTLSKey   string   `name:"gateway-tls-key" env:"PERENNIAL_GATEWAY_TLS_KEY" placeholder:"FILE" help:"Its private key (PEM)."`
	GatewayClientCA string   `name:"gateway-client-ca" env:"PERENNIAL_GATEWAY_CLIENT_CA" placeholder:"FILE" help:"CAs (PEM) of senders' certificates: one whose URI ends in /tenant/NAME may send for that tenant."`
	GatewayOpen     bool     `env:"PERENNIAL_GATEWAY_OPEN" help:"Let everybody on this machine send for every tenant, without a token."`
	AllowTarget     []string `env:"PERENNIAL_ALLOW_TARGET" placeholder:"CIDR" help:"Address ranges, beside the public ones, that receivers may be in, for example 10.20.0.0/16."`
}

// network is how receivers may be reached.
func (f *gatewayFlags) network() (*outbound.Network, error) {
	n := &outbound.Network{}
	for _, s := range f.AllowTarget {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("--allow-target: %q is no address range: write one such as 10.20.0.0/16", s)
		}
		n.Allowed = append(n.Allowed, p.Masked())
	}
	return n, nil
}

// check refuses what would let others send.
func (f *gatewayFlags) check(behindProxy bool) error {
	unix := len(f.Gateway) > 5 && f.Gateway[:5] == "unix:"
	loopback := isLoopback(f.Gateway)
	switch {
	case f.Gateway == "off", unix:
		return nil
	case f.GatewayOpen && !loopback:
		return fmt.Errorf("--gateway-open lets everybody send for every tenant, and %s can be reached from outside: use "+
			"127.0.0.1", f.Gateway)
	case (f.GatewayTLSCert == "") != (f.GatewayTLSKey == ""):
		return errors.New("--gateway-tls-cert and --gateway-tls-key go together")
	case f.GatewayClientCA != "" && f.GatewayTLSCert == "":
		return errors.New("--gateway-client-ca needs --gateway-tls-cert and --gateway-tls-key: client certificates come " +
			"with TLS")
	case f.GatewayTLSCert == "" && !loopback && !behindProxy:
		return fmt.Errorf("the gateway at %s can be reached from outside: give --gateway-tls-cert and --gateway-tls-key, "+
			"or --behind-proxy where a proxy does TLS", f.Gateway)
	}
	return nil
}

func (f *gatewayFlags) tls() (*tls.Config, error) {
	if f.GatewayTLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.GatewayTLSCert, f.GatewayTLSKey)
	if err != nil {
		return nil, fmt.Errorf("--gateway-tls-cert, --gateway-tls-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.GatewayClientCA != "" {
		if config.ClientCAs, err = readRoots("--gateway-client-ca", f.GatewayClientCA); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// A runningGateway is a gateway that serves.
type runningGateway struct {
	gateway *gateway.Gateway
	server  *http.Server
	url     string // where messages go
}

// start serves a gateway; nil where it is off.
func (f *gatewayFlags) start(network *outbound.Network, c gateway.Control, e env, log *slog.Logger,
	failed chan<- error) (*runningGateway, error) {
	if f.Gateway == "off" {
		return nil, nil
	}
	config, err := f.tls()
	if err != nil {
		return nil, err
	}
	l, err := gateway.Listen(f.Gateway)
	if err != nil {
		return nil, fmt.Errorf("--gateway: %w", err)
	}
	r := &runningGateway{url: address(l, config != nil),
		gateway: gateway.New(gateway.Config{Control: c, Network: network, Suffix: f.GatewaySuffix, Open: f.GatewayOpen,
			Now: e.now, Log: log})}
	r.server = r.gateway.Server(config)
	go func() { failed <- serveHTTP(r.server, l) }()
	return r, nil
}

// address is where a listener is reached.
func address(l net.Listener, tls bool) string {
	switch {
	case l.Addr().Network() == "unix":
		return "unix:" + l.Addr().String()
	case tls:
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// stop lets the messages under way end.
func (r *runningGateway) stop(ctx context.Context) error {
	if r == nil {
		return nil
	}
	err := r.server.Shutdown(ctx)
	r.gateway.Close()
	return err
}

type gatewayCmd struct {
	gatewayFlags
	Control     string     `required:"" env:"PERENNIAL_CONTROL" secret:"" placeholder:"URL" help:"The service: https://HOST (with a gateway's token), or its PostgreSQL database, postgres://... (with its key file)."`
	Token       string     `env:"PERENNIAL_TOKEN" help:"A gateway's token (perennial token create NAME --role gateway), for https://; better given as PERENNIAL_TOKEN."`
	CA          string     `name:"ca" env:"PERENNIAL_CA" placeholder:"FILE" help:"CAs (PEM) to trust, for a service that uses --tls self."`
	KeyFile     string     `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"The key file of the service, for postgres://: private keys are sealed with it."`
	Key         string     `env:"PERENNIAL_KEY" secret:"" help:"The content of the key file in base64, instead of --key-file."`
	BehindProxy bool       `env:"PERENNIAL_BEHIND_PROXY" help:"Serve plain HTTP at any address: a proxy in front does TLS."`
	LogFormat   string     `enum:"text,json" default:"text" env:"PERENNIAL_LOG_FORMAT" help:"text or json."`
	LogLevel    slog.Level `default:"info" env:"PERENNIAL_LOG_LEVEL" help:"debug, info, warn or error."`
}

// connect is the control of this gateway; close ends it.
func (c *gatewayCmd) connect(ctx context.Context, e env, log *slog.Logger) (control gateway.Control, close func() error,
	err error) {
	u, err := url.Parse(c.Control)
	switch {
	case err != nil:
		return nil, nil, errors.New("--control is no URL: give https://HOST, or a postgres:// address")
	case strings.HasPrefix(u.Scheme, "postgres"):
		s, open, err := c.open(ctx, log)
		if err != nil {
			return nil, nil, err
		}
		go s.Listen(ctx, c.Control, log)
		return inprocess.Control{Rollovers: open, Now: e.now}, s.Close, nil
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Host):
		client, err := c.client(log)
		if err == nil {
			err = client.Check(ctx)
		}
		return client, func() error { return nil }, err
	case u.Scheme == "http":
		return nil, nil, fmt.Errorf("--control: %s would send the token readably: use https://", c.Control)
	}
	return nil, nil, fmt.Errorf("--control: %q is neither https://HOST nor a postgres:// address: a SQLite file is the "+
		"service's alone, so give the service's address", store.Masked(c.Control))
}

func (c *gatewayCmd) client(log *slog.Logger) (*control.Client, error) {
	if c.Token == "" {
		return nil, errors.New("no token: set PERENNIAL_TOKEN to a gateway's token (perennial token create NAME --role " +
			"gateway)")
	}
	roots, err := readRoots("--ca", c.CA)
	if err != nil {
		return nil, err
	}
	return control.NewClient(c.Control, c.Token, roots, log)
}

// open wires a gateway beside the database. It needs the roll-overs alone: no CA, no policy and no jobs.
func (c *gatewayCmd) open(ctx context.Context, log *slog.Logger) (s *store.Store, r *rollovers.Rollovers, err error) {
	if s, err = store.Open(ctx, c.Control); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	f := databaseFlags{Database: c.Control, KeyFile: c.KeyFile, Key: c.Key}
	if sealed, err := s.Setting(ctx, keyCheck); err != nil {
		return nil, nil, err
	} else if sealed == "" {
		return nil, nil, errors.New("there is no service on this database yet: start perennial serve first")
	}
	keys, err := f.keyring(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	r, err = rollovers.New(s, keys, log)
	return s, r, err
}

// Run serves a gateway alone: it renews nothing, and works with the service over HTTPS or through the database.
func (c *gatewayCmd) Run(e env) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Gateway == "off" {
		return errors.New("--gateway off leaves nothing to run")
	}
	if err := c.check(c.BehindProxy); err != nil {
		return err
	}
	network, err := c.network()
	if err != nil {
		return err
	}
	log := newLogger(e, c.LogFormat, c.LogLevel)
	control, closeControl, err := c.connect(ctx, e, log)
	if err != nil {
		return err
	}
	defer closeControl()
	failed := make(chan error, 1)
	running, err := c.start(network, control, e, log, failed)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "The gateway is ready\n  messages  %s/TENANT/ARRANGEMENT/...\n  control   %s\n", running.url,
		store.Masked(c.Control))
	select {
	case err = <-failed:
	case <-ctx.Done():
		stop()
		log.Info("stopping")
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	return errors.Join(err, running.stop(end))
}
