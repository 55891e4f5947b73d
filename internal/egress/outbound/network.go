// Package outbound connects to receivers with one generation of a tenant's certificate, and decides what a receiver's
// answer means for that generation.
//
// It promises that a connection presents the generation that it was made for, even if the receiver names CAs that do
// not include its issuer. No session is resumed, and no connection of one generation is used for another. The receiver
// is verified by the system's CAs, the arrangement's, or its pinned key. No address is dialled that the operator has
// not allowed, whatever the name resolved to a moment ago.
package outbound

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Endpoint reads the URL of a receiver, with a host name in the form that DNS and TLS use (RFC 5891).
func Endpoint(text string) (*url.URL, error) {
	endpoint, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	host, port := endpoint.Hostname(), endpoint.Port()
	if _, err := netip.ParseAddr(host); err == nil {
		return endpoint, nil
	}
	if host, err = idna.Lookup.ToASCII(host); err != nil {
		return nil, fmt.Errorf("the host name of %s is not valid: %w", text, err)
	}
	if endpoint.Host = host; port != "" {
		endpoint.Host = net.JoinHostPort(host, port)
	}
	return endpoint, nil
}

// A Network restricts the addresses of receivers. The zero value reaches public addresses only.
type Network struct {
	// Allowed are the ranges, besides public ones, in which the receivers of every tenant may be, at every port.
	Allowed []netip.Prefix
	// targets are further ranges. tenant is the tenant whose receivers are reached.
	targets []target
	tenant  string
	// proxies are the operator's, the default one first. Their addresses are not restricted.
	proxies []*url.URL
	// Handshakes limits new connections to each receiver; nil for no limit.
	Handshakes *Handshakes
	// Now is the clock for verification; nil for the system's.
	Now func() time.Time
	// Resolver looks up receivers' names; nil for the system's.
	Resolver *net.Resolver
}

// ErrForbiddenAddress is returned for an endpoint whose address is in a range that is not allowed. It does not contain
// the address: whoever chooses a name must not learn to which address it resolves inside.
var ErrForbiddenAddress = errors.New(forbiddenAddress.String())

var forbiddenAddress = tenancy.Say("the host is, or resolves to, an address that is not allowed for receivers: an " +
	"operator can allow it with --allow-target, for one tenant and port or for all")

// special are ranges that netip does not distinguish from public ones.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // RFC 1122, section 3.2.1.3: this network
	netip.MustParsePrefix("100.64.0.0/10"),    // RFC 6598: carrier-grade NAT; clouds keep metadata there too
	netip.MustParsePrefix("192.0.0.0/24"),     // RFC 6890: protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"),    // RFC 2544: benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),      // RFC 1112: reserved, with the broadcast address
	netip.MustParsePrefix("64:ff9b::/96"),     // RFC 6052: NAT64, which hides an IPv4 address
	netip.MustParsePrefix("64:ff9b:1::/48"),   // RFC 8215
	netip.MustParsePrefix("2002::/16"),        // RFC 3056: 6to4, which hides one too
	netip.MustParsePrefix("2001::/32"),        // RFC 4380: Teredo
	netip.MustParsePrefix("fec0::/10"),        // RFC 3879: site-local
	netip.MustParsePrefix("::ffff:0:0:0/96"),  // RFC 2765: IPv4-translated
	netip.MustParsePrefix("100::/64"),         // RFC 6666: discard
	netip.MustParsePrefix("::/96"),            // RFC 4291, section 2.5.5.1: IPv4-compatible, which hides one too
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's virtual public address of the host, with credentials of machines
}

// A target is a range that is allowed for the receivers of a tenant, at a port.
type target struct {
	tenant string // empty for every tenant
	prefix netip.Prefix
	port   uint16 // 0 for every port
}

// errTarget is returned for a text that is not a target.
var errTarget = errors.New("write an address range such as 10.20.0.0/16, 10.20.0.0/16:8443 or [fd00::/8]:8443, after " +
	"acme= if it is for the tenant acme only")

// AddTarget allows receivers in a range that is not public: [TENANT=]ADDRESS[/BITS][:PORT]. An IPv6 range with a port
// is in brackets. A single address, without BITS, needs a tenant or a port.
func (n *Network) AddTarget(text string) error {
	t := target{}
	if tenant, rest, ok := strings.Cut(text, "="); ok {
		if t.tenant = tenant; tenant == "" {
			return fmt.Errorf("%q is not a valid address range: %w", text, errTarget)
		}
		text = rest
	}
	where := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 && (strings.Count(text, ":") == 1 || text[0] == '[') {
		port, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("%q has an invalid port: %w", text, errTarget)
		}
		where, t.port = strings.TrimSuffix(strings.TrimPrefix(text[:i], "["), "]"), uint16(port)
	}
	prefix, err := netip.ParsePrefix(where)
	if err != nil {
		one, err := netip.ParseAddr(where)
		if err != nil || one.Zone() != "" {
			return fmt.Errorf("%q is not a valid address range: %w", text, errTarget)
		}
		if t.tenant == "" && t.port == 0 { // it may lack its bits
			return fmt.Errorf("%q is not a valid address range, but a single address (%s/%d): %w", text, one, one.BitLen(),
				errTarget)
		}
		prefix = netip.PrefixFrom(one, one.BitLen())
	}
	t.prefix = prefix.Masked()
	n.targets = append(n.targets, t)
	return nil
}

// For returns the network for the receivers of a tenant.
func (n *Network) For(tenant string) *Network {
	if n == nil {
		return nil
	}
	of := *n
	of.tenant = tenant
	return &of
}

// Check returns an error for an address that receivers may not have: loopback, link-local (the metadata services of
// clouds), private, multicast and reserved ranges, unless the operator allowed them for the tenant and the port.
func (n *Network) Check(to netip.AddrPort) error {
	address := to.Addr().Unmap().WithZone("")
	for _, p := range n.Allowed {
		if p.Contains(address) {
			return nil
		}
	}
	for _, t := range n.targets {
		if t.prefix.Contains(address) && (t.port == 0 || t.port == to.Port()) && (t.tenant == "" || t.tenant == n.tenant) {
			return nil
		}
	}
	forbidden := !address.IsGlobalUnicast() || address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast()
	for _, p := range special {
		forbidden = forbidden || p.Contains(address)
	}
	if forbidden {
		return ErrForbiddenAddress
	}
	return nil
}

// control checks the address that is actually dialled, because a name may resolve differently a moment later.
func (n *Network) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrForbiddenAddress
	}
	return n.Check(to)
}

// dialTimeout limits the time to open a TCP connection.
const dialTimeout = 10 * time.Second

func (n *Network) dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: n.Resolver,
		ControlContext: n.control}
}

// ExpectContinue limits the wait for "100 Continue" before the body is sent anyway. Some receivers never send it.
const ExpectContinue = time.Second

// An HTTP/2 connection that has been silent for silentHTTP2 gets a ping, and is not used again if there is no answer
// within pingTimeout.
const silentHTTP2, pingTimeout = 15 * time.Second, 5 * time.Second

// Transport connects to a receiver with a configuration of [Network.TLS]. No session is resumed.
func (n *Network) Transport(egress tenancy.Egress, config *tls.Config) *http.Transport {
	t := &http.Transport{
		DialContext: n.admitted(egress.Proxy), TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: egress.Timeout(), ExpectContinueTimeout: ExpectContinue, IdleConnTimeout: idleConn,
		MaxConnsPerHost: egress.MaxConnections(), MaxIdleConnsPerHost: egress.MaxConnections(),
		MaxResponseHeaderBytes: maxHeader, HTTP2: &http.HTTP2Config{SendPingTimeout: silentHTTP2, PingTimeout: pingTimeout,
			WriteByteTimeout: egress.Timeout()},
		ForceAttemptHTTP2: true, DisableCompression: true, WriteBufferSize: 16 << 10, ReadBufferSize: 16 << 10,
	}
	if egress.MaxTLS == onlyTLS12 { // HTTP/2 forbids renegotiation (RFC 9113, section 9.2.1)
		t.ForceAttemptHTTP2, t.Protocols = false, new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}
	return t
}

// TLS returns the client's configuration with one generation. If the receiver asks for a certificate, asked is called
// with the CAs that it named. asked may be nil.
func (n *Network) TLS(id *standing.Identity, egress tenancy.Egress, asked func(acceptable [][]byte)) *tls.Config {
	presented := &tls.Certificate{} // none
	if id != nil {
		presented = &id.Certificate
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Time: n.Now,
		GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if asked != nil {
				asked(r.AcceptableCAs)
			}
			return presented, nil
		},
		// IIS, SAP and Apache per location ask for the certificate only after they have read the request.
		Renegotiation: tls.RenegotiateOnceAsClient}
	if egress.MaxTLS == onlyTLS12 {
		c.MaxVersion = tls.VersionTLS12
	}
	switch {
	case egress.ServerCA != "":
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(egress.ServerCA))
	case egress.ServerKeyPin != "":
		c.InsecureSkipVerify = true // VerifyConnection takes its place
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if got := KeyPin(s.PeerCertificates[0]); got != egress.ServerKeyPin {
				return pinError{got, egress.ServerKeyPin}
			}
			return nil
		}
	}
	return c
}

// pinError reports that a receiver has a key other than the pinned one.
type pinError struct{ got, want string }

func (e pinError) Error() string {
	return fmt.Sprintf("the receiver's public key is %s, and %s is pinned", e.got, e.want)
}

// KeyPin returns the pin of a certificate's public key (RFC 7469, section 2.4).
func KeyPin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// Dial opens a new TLS connection through the proxy of an arrangement, if it has one.
func (n *Network) Dial(ctx context.Context, proxy, address, serverName string, config *tls.Config) (*tls.Conn, error) {
	raw, err := n.admitted(proxy)(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.ServerName = serverName
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}
