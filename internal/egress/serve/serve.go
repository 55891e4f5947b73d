// Package serve opens, runs and closes a gateway: in the service, on its database, or as a separate program.
//
// It promises that nothing listens where others could send for a tenant: plain HTTP stays on loopback, on a Unix
// socket, or behind a proxy that terminates TLS. It links neither the engine nor a database, so a program that reaches
// the service over HTTPS stays small.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// ShutdownTime limits how long a stopping process waits for messages, requests and jobs in flight.
const ShutdownTime = 20 * time.Second

// Options are the flags of a gateway, in the service or alone.
type Options struct {
	Gateway         string           `default:"127.0.0.1:8081" env:"PERENNIAL_GATEWAY" help:"Address for messages from applications: HOST:PORT, unix:PATH (for its owner), or off."`
	GatewaySuffix   string           `env:"PERENNIAL_GATEWAY_SUFFIX" placeholder:"DOMAIN" help:"Messages may also be addressed by host name: {arrangement}.{tenant}.DOMAIN."`
	GatewayTLSCert  string           `name:"gateway-tls-cert" env:"PERENNIAL_GATEWAY_TLS_CERT" placeholder:"FILE" help:"Serve the gateway with TLS and this certificate (PEM)."`
	GatewayTLSKey   string           `name:"gateway-tls-key" env:"PERENNIAL_GATEWAY_TLS_KEY" placeholder:"FILE" help:"Its private key (PEM)."`
	GatewayClientCA string           `name:"gateway-client-ca" env:"PERENNIAL_GATEWAY_CLIENT_CA" placeholder:"FILE" help:"CAs (PEM) of senders' certificates. A sender whose certificate has the URI spiffe://TRUST-DOMAIN/tenant/NAME may send for that tenant."`
	SenderDomain    string           `name:"gateway-sender-domain" env:"PERENNIAL_GATEWAY_SENDER_DOMAIN" placeholder:"DOMAIN" help:"Trust domain of senders' certificates. By default that of the service (--trust-domain)."`
	SenderCRL       string           `name:"gateway-client-crl" env:"PERENNIAL_GATEWAY_CLIENT_CRL" placeholder:"FILE" help:"Revocation lists (PEM or DER) of the CAs of senders' certificates, read again when the file changes. Without it, certificates that name a revocation list are refused."`
	GatewayOpen     bool             `env:"PERENNIAL_GATEWAY_OPEN" help:"Let every process on this machine send for every tenant, without a token."`
	EgressProxy     []string         `name:"egress-proxy" env:"PERENNIAL_EGRESS_PROXY" placeholder:"URL" help:"HTTP proxies for connections to receivers, such as http://user:password@proxy.example.com:3128. The first one is the default, and an arrangement may name another one."`
	ParkedTimeout   time.Duration    `name:"parked-timeout" default:"5m" env:"PERENNIAL_PARKED_TIMEOUT" help:"Maximum time for a receiver to answer a parked message, whatever its arrangement allows."`
	ReceiverDials   int              `name:"receiver-dials" default:"50" env:"PERENNIAL_RECEIVER_DIALS" help:"Maximum number of new connections per second to each receiver (host and port) after a cut-over, while its open connections can carry the messages. 0 sets no limit."`
	Workloads       workload.Options `embed:""`
	AllowTarget     []string         `env:"PERENNIAL_ALLOW_TARGET" placeholder:"TARGET" help:"Address ranges, besides public ones, in which receivers are allowed: 10.20.0.0/16 for all tenants and ports, 10.20.0.0/16:8443 for one port, acme=10.20.0.5:8443 for one tenant and one port."`

	MessageLogDetail string `default:"minute" enum:"minute,hour,all" env:"PERENNIAL_MESSAGE_LOG_DETAIL" help:"Entries of the message log. minute: one per outcome, arrangement and minute, with samples of failures. hour: successes are counted by the hour. all: one per message."`
}

// isOff reports whether the gateway is disabled.
func (o *Options) isOff() bool { return o.Gateway == "off" }

// Network returns the network with the addresses that receivers may have.
func (o *Options) Network() (*outbound.Network, error) {
	n := &outbound.Network{Handshakes: outbound.NewHandshakes(o.ReceiverDials, time.Now)}
	for _, s := range o.AllowTarget {
		if err := n.AddTarget(s); err != nil {
			return nil, fmt.Errorf("--allow-target: %w", err)
		}
	}
	for _, s := range o.EgressProxy {
		if err := n.AddProxy(s); err != nil {
			return nil, fmt.Errorf("--egress-proxy: %w", err)
		}
	}
	return n, nil
}

// A Front names what senders connect to: the gateway, or a proxy in front of it.
type Front int

// Senders reach the gateway itself, or a proxy in front of it that terminates TLS.
const (
	Direct Front = iota
	Proxied
)

// Check refuses options that would let others send for a tenant.
func (o *Options) Check(front Front) error {
	loopback := IsLoopback(o.Gateway)
	switch {
	case o.ParkedTimeout < 0:
		return fmt.Errorf("--parked-timeout: %s is out of range: use a duration such as 5m", o.ParkedTimeout)
	case o.ReceiverDials < 0:
		return fmt.Errorf("--receiver-dials: %d is out of range: use a number such as 50, or 0 for no limit",
			o.ReceiverDials)
	case o.isOff(), strings.HasPrefix(o.Gateway, "unix:"):
		return nil
	case o.GatewayOpen && !loopback:
		return fmt.Errorf("--gateway-open lets every caller send for every tenant, and %s can be reached from outside: use "+
			"127.0.0.1", o.Gateway)
	case (o.GatewayTLSCert == "") != (o.GatewayTLSKey == ""):
		return errors.New("--gateway-tls-cert and --gateway-tls-key go together")
	case o.GatewayClientCA != "" && o.GatewayTLSCert == "":
		return errors.New("--gateway-client-ca needs --gateway-tls-cert and --gateway-tls-key: client certificates come " +
			"with TLS")
	case o.GatewayClientCA != "" && o.SenderDomain == "":
		return errors.New("--gateway-client-ca needs --gateway-sender-domain, the --trust-domain of the service, so that " +
			"no other certificate of the CA counts")
	case o.SenderCRL != "" && o.GatewayClientCA == "":
		return errors.New("--gateway-client-crl needs --gateway-client-ca")
	case o.GatewayTLSCert == "" && !loopback && front != Proxied:
		return fmt.Errorf("the gateway at %s can be reached from outside: set --gateway-tls-cert and --gateway-tls-key, or "+
			"--behind-proxy if a proxy terminates TLS", o.Gateway)
	}
	return nil
}

// tls returns nil for plain HTTP.
func (o *Options) tls() (*tls.Config, error) {
	if o.GatewayTLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.GatewayTLSCert, o.GatewayTLSKey)
	if err != nil {
		return nil, fmt.Errorf("--gateway-tls-cert, --gateway-tls-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if o.GatewayClientCA != "" {
		if config.ClientCAs, err = certfile.ReadRoots(o.GatewayClientCA); err != nil {
			return nil, fmt.Errorf("--gateway-client-ca: %w", err)
		}
		if o.SenderCRL != "" {
			if _, err := gateway.ReadRevocations(o.SenderCRL); err != nil {
				return nil, fmt.Errorf("--gateway-client-crl: %w", err)
			}
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// A Server is a gateway with its listener. It does nothing before [Server.Start].
type Server struct {
	// URL is the base address of messages.
	URL      string
	config   gateway.Config
	tls      *tls.Config // nil for plain HTTP
	listener net.Listener

	// nil before Start
	gateway *gateway.Gateway
	http    *http.Server
}

// Open listens. The options complete the configuration, and [Options.Check] has accepted them. The result is nil if the
// gateway is off. The caller ends the server with [Server.Shutdown].
func (o *Options) Open(c gateway.Config) (*Server, error) {
	if o.isOff() {
		return nil, nil
	}
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	l, err := gateway.Listen(o.Gateway)
	if err != nil {
		return nil, ListenError("--gateway", o.Gateway, err)
	}
	c.LogDetail, c.ParkedTimeout = gateway.LogDetail(o.MessageLogDetail), o.ParkedTimeout
	c.Suffix, c.Open, c.SenderDomain, c.SenderCRL = o.GatewaySuffix, o.GatewayOpen, o.SenderDomain, o.SenderCRL
	return &Server{URL: urlOf(l, config), config: c, tls: config, listener: l}, nil
}

// ListenError explains why a process cannot listen at an address, which a flag has set.
func ListenError(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: the address %s is in use: stop the process that uses it, or set another address", flag,
			address)
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// Start starts the gateway, which delivers parked messages from now on. Call it once, before [Server.Serve].
func (s *Server) Start() error {
	g, err := gateway.New(s.config)
	if err != nil {
		return err
	}
	s.gateway, s.http = g, g.Server(s.tls)
	return nil
}

// ready answers 503 until the gateway has reached its service.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.gateway == nil || !s.gateway.Reached() {
		http.Error(w, "the service has not answered yet", http.StatusServiceUnavailable)
		return
	}
	healthy(w, r)
}

// urlOf returns the base URL of a listener.
func urlOf(l net.Listener, config *tls.Config) string {
	switch {
	case l.Addr().Network() == "unix":
		return "unix:" + l.Addr().String()
	case config != nil:
		return "https://" + Address(l)
	}
	return "http://" + Address(l)
}

// Address returns the address of a listener for people. Go opens one at all addresses as [::], which also accepts IPv4.
// It is configured as 0.0.0.0 as a rule.
func Address(l net.Listener) string {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && tcp.IP.Equal(net.IPv6unspecified) {
		return net.JoinHostPort("0.0.0.0", strconv.Itoa(tcp.Port))
	}
	return l.Addr().String()
}

// Serve accepts messages until [Server.Shutdown]; then it returns [http.ErrServerClosed].
func (s *Server) Serve() error { return HTTP(s.http, s.listener) }

// HTTP serves with TLS if the server has a configuration for it, and plain HTTP otherwise.
func HTTP(s *http.Server, l net.Listener) error {
	if s.TLSConfig != nil {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// Shutdown accepts no more messages, waits for those in flight until the context ends, and reports the answers of
// receivers.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.listener.Close() // a server that never served does not have it
	if s.gateway == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	s.gateway.Close()
	return err
}

// IsLoopback reports whether a HOST:PORT to listen at can be reached from this machine only.
func IsLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
