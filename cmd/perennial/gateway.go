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

	"github.com/perennial-pki/perennial/internal/gateway"
	"github.com/perennial-pki/perennial/internal/outbound"
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
		return fmt.Errorf("--gateway-open lets everybody send for every tenant, and %s can be reached from outside: use 127.0.0.1", f.Gateway)
	case (f.GatewayTLSCert == "") != (f.GatewayTLSKey == ""):
		return errors.New("--gateway-tls-cert and --gateway-tls-key go together")
	case f.GatewayClientCA != "" && f.GatewayTLSCert == "":
		return errors.New("--gateway-client-ca needs --gateway-tls-cert and --gateway-tls-key: client certificates come with TLS")
	case f.GatewayTLSCert == "" && !loopback && !behindProxy:
		return fmt.Errorf("the gateway at %s can be reached from outside: give --gateway-tls-cert and --gateway-tls-key, or --behind-proxy where a proxy does TLS", f.Gateway)
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
		if config.ClientCAs, err = readRoots(f.GatewayClientCA); err != nil {
			return nil, fmt.Errorf("--gateway-client-ca: %w", err)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// A runningGateway is a gateway that serves.
type runningGateway struct {
	gateway  *gateway.Gateway
	server   *http.Server
	listener net.Listener
}

// start serves a gateway; nil where it is off.
func (f *gatewayFlags) start(network *outbound.Network, c gateway.Control, e env, log *slog.Logger, failed chan<- error) (*runningGateway, error) {
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
	r := &runningGateway{listener: l, gateway: gateway.New(gateway.Config{Control: c, Network: network, Suffix: f.GatewaySuffix, Open: f.GatewayOpen, Now: e.now, Log: log})}
	r.server = r.gateway.Server(config)
	go func() {
		if config != nil {
			failed <- r.server.ServeTLS(l, "", "")
		} else {
			failed <- r.server.Serve(l)
		}
	}()
	return r, nil
}

// url is where messages go.
func (r *runningGateway) url() string {
	switch {
	case r.listener.Addr().Network() == "unix":
		return "unix:" + r.listener.Addr().String()
	case r.server.TLSConfig != nil:
		return "https://" + r.listener.Addr().String()
	}
	return "http://" + r.listener.Addr().String()
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
