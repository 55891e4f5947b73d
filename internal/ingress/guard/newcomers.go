package guard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// mostNewcomers limits the connections of one network on which no call was accepted yet.
	mostNewcomers = 256
	// newcomerTime limits how long a connection may last without an accepted call.
	newcomerTime = 30 * time.Second
)

// newcomers limit the connections of strangers, so that they cannot use up those of partners. A connection counts until
// a call on it is accepted, for the network of its other end: an address, or a /64 for IPv6.
type newcomers struct {
	mu  sync.Mutex // guards all
	all map[netip.Prefix]int
}

func newNewcomers() *newcomers { return &newcomers{all: map[netip.Prefix]int{}} }

// limit returns a listener that closes connections of a network that has too many.
func (n *newcomers) limit(l net.Listener) net.Listener { return newcomerListener{l, n} }

type newcomerListener struct {
	net.Listener
	all *newcomers
}

func (l newcomerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.all.admit(c); admitted != nil {
			return admitted, nil
		}
		c.Close()
	}
}

// A newcomer is a connection that counts until a call on it is accepted, or until it ends.
type newcomer struct {
	net.Conn
	leave func() // at most once
	timer *time.Timer
}

// admit counts a connection. The result is nil if there are too many.
func (n *newcomers) admit(c net.Conn) *newcomer {
	network := networkOf(c.RemoteAddr())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all[network] >= mostNewcomers {
		return nil
	}
	n.all[network]++
	return &newcomer{Conn: c, timer: time.AfterFunc(newcomerTime, func() { c.Close() }), leave: sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.all[network]--; n.all[network] == 0 {
			delete(n.all, network)
		}
	})}
}

// accepted ends the limits of the connection.
func (c *newcomer) accepted() {
	c.timer.Stop()
	c.leave()
}

// Close closes the connection.
func (c *newcomer) Close() error {
	c.accepted()
	return c.Conn.Close()
}

func networkOf(a net.Addr) netip.Prefix {
	full, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	address := full.Addr().Unmap()
	if address.Is4() {
		bits = 32
	}
	network, _ := address.Prefix(bits) // which fails for other numbers of bits only
	return network
}

type newcomerKey struct{}

// context gives the calls of a connection access to it.
func (n *newcomers) context(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, newcomerKey{}, c)
}

// accepting ends the limits of connections whose calls reach a handler.
func (n *newcomers) accepting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(newcomerKey{}).(*newcomer); ok {
			c.accepted()
		}
		next.ServeHTTP(w, r)
	})
}
