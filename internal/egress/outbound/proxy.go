package outbound

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// AddProxy adds a proxy of the operator. The first one is the default. The URL may contain a user and a password, which
// are sent to this proxy only and are not part of any error.
func (n *Network) AddProxy(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" {
		return errors.New("the URL of a proxy looks like http://proxy.example.com:3128 or " +
			"http://user:password@proxy.example.com:3128")
	}
	n.proxies = append(n.proxies, u)
	return nil
}

type dial func(ctx context.Context, network, address string) (net.Conn, error)

// via returns the dialer for receivers through the proxy that an arrangement names: none, the default one, or another
// one. A proxy that is not among the operator's must have an address that is allowed for receivers.
func (n *Network) via(proxy string) dial {
	if proxy == tenancy.NoProxy || proxy == "" && len(n.proxies) == 0 {
		return n.dialer().DialContext
	}
	if proxy == "" {
		return n.through(n.proxies[0], "of the service", operators()) // tenants need not know its address
	}
	named, err := url.Parse(proxy)
	if err != nil {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for _, known := range n.proxies {
		if known.Host == named.Host {
			return n.through(known, known.Host, operators())
		}
	}
	return n.through(named, named.Host, n.dialer())
}

// operators returns the dialer for addresses that an operator set.
func operators() *net.Dialer { return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second} }

// through returns connections through a proxy (RFC 9110, section 9.3.6). The receiver's addresses are checked before
// the proxy is used, because it may reach addresses that are not allowed. The proxy resolves the name itself.
// which is the name of the proxy in errors.
func (n *Network) through(proxy *url.URL, which string, d *net.Dialer) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := n.checkName(ctx, address); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		conn, err := d.DialContext(ctx, network, proxy.Host)
		if err != nil {
			return nil, fmt.Errorf("the proxy %s: %w", which, err)
		}
		if err := requestTunnel(ctx, conn, proxy, address); err != nil {
			conn.Close()
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("the proxy %s: %w", which, err)}
		}
		return conn, nil
	}
}

// checkName returns an error unless every address of a receiver is allowed.
func (n *Network) checkName(ctx context.Context, address string) error {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return ErrForbiddenAddress
	}
	if one, err := netip.ParseAddr(host); err == nil {
		return n.Check(netip.AddrPortFrom(one, uint16(port)))
	}
	resolver := n.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	all, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := n.Check(netip.AddrPortFrom(one, uint16(port))); err != nil {
			return err
		}
	}
	return nil
}

// requestTunnel asks a proxy for a connection.
func requestTunnel(ctx context.Context, conn net.Conn, proxy *url.URL, address string) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	defer stop()
	conn.SetDeadline(time.Now().Add(dialTimeout))
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	r.Header.Set("User-Agent", "")
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		r.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 1) // bufio's minimum is 16 bytes, and a receiver is silent until the client speaks
	res, err := http.ReadResponse(in, r)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case res.StatusCode/100 != 2:
		return fmt.Errorf("it answered %s to CONNECT %s", res.Status, address)
	case in.Buffered() > 0:
		return errors.New("it sent data before the receiver could")
	}
	return conn.SetDeadline(time.Time{})
}
