package outbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// idleConn limits the time for which a connection is kept without a message, if the receiver does not state a shorter
	// one. Load balancers that close silently after 60 s are common.
	idleConn = 50 * time.Second
	// maxHeader limits the head of an answer.
	maxHeader = 256 << 10
	// directBody is the size of the largest body that is written before an answer is read. It fits into the socket's
	// buffer, so that a receiver that answers without reading it cannot block us.
	directBody = 16 << 10
	// fewConnections is the limit above which an arrangement's connections are divided between the two ways.
	fewConnections = 8
	// afterBrokenWrite limits the wait for an answer that was sent before the connection broke.
	afterBrokenWrite = 200 * time.Millisecond
)

// Connections are the connections to the receiver of one arrangement with one generation. They implement
// [http.RoundTripper].
//
// There are two ways. net/http's transport can send every message. It keeps two goroutines for each connection and
// wakes both for each message. HTTP/2 and bodies of any size need that, but it is a third of the cost of a small
// message. So once the receiver has answered over HTTP/1.1, a message without a body, or with a small one, is sent
// directly, over separate connections: its own goroutine writes it and reads the answer. net/http still does the
// parsing.
type Connections struct {
	transport *http.Transport
	network   *Network
	config    *tls.Config
	timeout   time.Duration
	proxy     string
	places    chan struct{} // one for each direct message; nil if all go through the transport
	lanes     *lanes
	// patient takes the place of the transport if the receiver states how long it keeps idle connections.
	patient atomic.Pointer[http.Transport]
	http1   atomic.Bool // the receiver speaks HTTP/1.1
	http2   atomic.Bool // the receiver speaks HTTP/2
	asked   atomic.Bool // the receiver asked for a certificate on a connection
	// inTransport counts idle connections of the transport over HTTP/1.1, as [bounded] does.
	inTransport atomic.Int32

	mu     sync.Mutex
	idle   []*conn // the one that was used last at the end
	closed bool
	reaper *time.Timer // nil while nothing is idle
}

// Connections returns the connections to a receiver with one generation; nil presents none.
func (n *Network) Connections(id *standing.Identity, egress tenancy.Egress) *Connections {
	c := &Connections{network: n, timeout: egress.Timeout(), proxy: egress.Proxy}
	c.transport = n.Transport(egress, n.TLS(id, egress, func([][]byte) { c.asked.Store(true) }))
	if most := egress.MaxConnections(); most >= fewConnections {
		c.places = make(chan struct{}, most/2)
		c.transport.MaxConnsPerHost -= most / 2
		c.config = c.transport.TLSClientConfig.Clone()
		c.config.NextProtos = []string{"http/1.1"}
		c.lanes = newLanes(most/2, c.transport.Clone)
	} else { // too few to share out: large bodies follow each other
		c.lanes = newLanes(1, func() *http.Transport { return c.transport })
	}
	return c
}

// Resemble assumes the receiver's version of HTTP from its connections with another generation, if nothing is known of
// it yet. So the first messages with this generation need one new connection, and not one for each of the two ways.
func (c *Connections) Resemble(other *Connections) {
	if other.http1.Load() && !c.http2.Load() {
		c.http1.Store(true)
	}
}

// honour makes the transport close idle connections before the receiver does.
func (c *Connections) honour(keep time.Duration) {
	if keep == 0 || c.patient.Load() != nil {
		return
	}
	t := c.transport.Clone()
	t.IdleConnTimeout = keep - min(keepMargin, keep/2)
	if c.patient.CompareAndSwap(nil, t) {
		c.transport.CloseIdleConnections()
	}
}

// Asked reports whether the receiver asked for a certificate on any of the connections.
func (c *Connections) Asked() bool { return c.asked.Load() }

// SpeaksHTTP2 reports whether the receiver answered over HTTP/2. It may end a connection at any time with streams that
// it has not processed, which are sent again if their body was kept.
func (c *Connections) SpeaksHTTP2() bool { return c.http2.Load() }

// CloseIdleConnections closes idle connections. Those in use end with their message.
func (c *Connections) CloseIdleConnections() {
	c.transport.CloseIdleConnections()
	if patient := c.patient.Load(); patient != nil {
		patient.CloseIdleConnections()
	}
	c.lanes.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, idle := range c.idle {
		idle.Close()
	}
	c.idle = nil
}

// RoundTrip implements [http.RoundTripper]. As in net/http, a message is sent again only if nothing of it was written,
// or if it may be repeated (RFC 9110, section 9.2.2) and no answer had begun.
func (c *Connections) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodHead && !c.http2.Load() {
		r = last(r)
	}
	openOnly := dialOf(r.Context()) == OpenOnly
	if c.isDirect(r) && (!openOnly || c.hasIdle()) {
		select {
		case c.places <- struct{}{}:
			return c.direct(r)
		default: // in the transport, messages can wait for a connection
		}
	}
	if openOnly && !c.mayBeOpen(r) {
		return nil, ErrNoConnection
	}
	res, err := c.transported(r)
	if err == nil && res.ProtoMajor == 1 {
		c.honour(keepAlive(res.Header))
	}
	if err == nil && res.TLS != nil {
		c.http1.Store(res.ProtoMajor == 1)
		c.http2.Store(res.ProtoMajor == 2)
	}
	return res, err
}

// transported sends a message through a transport.
func (c *Connections) transported(r *http.Request) (*http.Response, error) {
	// A stream of unknown length may last long, so it must not occupy the only lane.
	if !c.http1.Load() && needsLane(r) && (r.ContentLength > 0 || cap(c.lanes.places) > 1) {
		return c.lanes.roundTrip(r)
	}
	transport := c.transport
	if patient := c.patient.Load(); patient != nil {
		transport = patient
	}
	res, err := bounded(transport, r, &c.inTransport)
	if err == nil && res.ProtoMajor == 1 && hasForbiddenBody(res) {
		transport.CloseIdleConnections() // its connection is idle already, because such an answer ends at its head
	}
	return res, err
}

func (c *Connections) isDirect(r *http.Request) bool {
	switch {
	case c.places == nil, !c.http1.Load(), r.URL.Scheme != "https", r.Method == http.MethodConnect, len(r.Trailer) > 0,
		len(r.TransferEncoding) > 0:
		return false
	case r.Header["Upgrade"] != nil, r.Header["Expect"] != nil:
		return false
	}
	return r.ContentLength > 0 && r.ContentLength <= directBody || r.Body == nil || r.Body == http.NoBody
}

// hasIdle reports whether a connection for direct messages is idle.
func (c *Connections) hasIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle) > 0
}

// mayBeOpen reports whether the transport has an open connection for a message, which does not have to wait there.
func (c *Connections) mayBeOpen(r *http.Request) bool {
	return c.http2.Load() && !needsLane(r) || c.http1.Load() && c.inTransport.Load() > 0
}

var messages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// direct sends a message that has a place.
func (c *Connections) direct(r *http.Request) (*http.Response, error) {
	buffer := messages.Get().(*bytes.Buffer)
	defer messages.Put(buffer)
	buffer.Reset()
	if err := write(r, buffer); err != nil { // the sender's body was truncated, and nothing is sent
		<-c.places
		return nil, err
	}
	for first := true; ; first = false {
		var conn *conn
		if first { // after a failure only a new connection, however many idle ones there are
			conn = c.takeIdle()
		}
		reused := conn != nil
		if !reused {
			var err error
			if conn, err = c.open(r); err != nil {
				<-c.places
				return nil, err
			}
		}
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn, Reused: reused})
		}
		written, res, err := conn.exchange(r, buffer.Bytes(), c)
		if err == nil {
			return res, nil
		}
		conn.Close()
		if cause := context.Cause(r.Context()); cause != nil {
			err = cause
		} else if reused && (written == 0 || !conn.answered && isReplayable(r)) {
			continue
		}
		<-c.places
		return nil, err
	}
}

// write writes a whole message. If the sender's body fails, the error is the body's.
func write(r *http.Request, to *bytes.Buffer) error {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Write(to)
	}
	body, q := &noting{ReadCloser: r.Body}, *r
	q.Body = body
	err := q.Write(to)
	if err != nil && body.err != nil {
		return body.err
	}
	return err
}

// noting records the error of a body, which net/http hides.
type noting struct {
	io.ReadCloser
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	k, err := n.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return k, err
}

// isReplayable follows the rules of net/http.
func isReplayable(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// takeIdle returns an idle connection that is still open, and that the receiver is not about to close; nil if there is
// none.
func (c *Connections) takeIdle() *conn {
	for {
		c.mu.Lock()
		n := len(c.idle)
		if n == 0 {
			c.mu.Unlock()
			return nil
		}
		one := c.idle[n-1]
		c.idle = slices.Delete(c.idle, n-1, n)
		c.mu.Unlock()
		if !one.isLeaving(time.Now()) && one.isOpen() {
			return one
		}
		one.Close()
	}
}

// open opens a connection for direct messages.
func (c *Connections) open(r *http.Request) (*conn, error) {
	port := r.URL.Port()
	if port == "" {
		port = "443"
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout+c.transport.TLSHandshakeTimeout)
	defer cancel()
	dialled, err := c.network.Dial(ctx, c.proxy, net.JoinHostPort(r.URL.Hostname(), port), r.URL.Hostname(), c.config)
	if err != nil {
		return nil, err
	}
	state := dialled.ConnectionState()
	one := &conn{Conn: dialled, state: &state}
	if raw, ok := dialled.NetConn().(syscall.Conn); ok {
		one.raw, _ = raw.SyscallConn()
	}
	one.in = bufio.NewReaderSize(one, 16<<10)
	return one, nil
}

// put returns a connection whose answer was read completely.
func (c *Connections) put(one *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		one.Close()
		return
	}
	one.since = time.Now()
	c.idle = append(c.idle, one)
	if c.reaper == nil {
		c.reaper = time.AfterFunc(idleConn, c.reap)
	}
}

// reap closes the connections that have been idle for too long.
func (c *Connections) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := time.Now().Add(-idleConn)
	old := 0
	for old < len(c.idle) && !c.idle[old].since.After(before) {
		c.idle[old].Close()
		old++
	}
	c.idle = append([]*conn(nil), c.idle[old:]...)
	if c.reaper = nil; len(c.idle) > 0 {
		c.reaper = time.AfterFunc(idleConn, c.reap)
	}
}

// A conn is a connection that one goroutine at a time uses.
type conn struct {
	net.Conn // TLS
	state    *tls.ConnectionState
	raw      syscall.RawConn
	in       *bufio.Reader // reads from the conn, which bounds it
	budget   int64         // number of bytes that may still be read
	answered bool          // a part of the answer has arrived
	since    time.Time     // when it became idle
	keep     time.Duration // for which the receiver keeps it idle, by its own account; 0 if that is not known
}

var errHeader = fmt.Errorf("the head of the receiver's answer is longer than %d bytes", maxHeader)

// Read limits the number of bytes.
func (c *conn) Read(p []byte) (int, error) {
	if c.budget <= 0 {
		return 0, errHeader
	}
	if int64(len(p)) > c.budget {
		p = p[:c.budget]
	}
	n, err := c.Conn.Read(p)
	c.budget -= int64(n)
	c.answered = c.answered || n > 0
	return n, err
}

// keepMargin is the time before the end of an idle connection during which it is not used. The receiver closes it at
// that instant, and a message that is sent at the same time is lost.
const keepMargin = time.Second

// isLeaving reports whether the receiver may close an idle connection at any moment.
func (c *conn) isLeaving(now time.Time) bool {
	return c.keep > 0 && now.Sub(c.since) >= c.keep-min(keepMargin, c.keep/2)
}

// keepAlive returns the time for which a receiver keeps a connection idle, as its answer states it ("Keep-Alive:
// timeout=5"); 0 if it does not.
func keepAlive(h http.Header) time.Duration {
	for parameter := range strings.SplitSeq(h.Get("Keep-Alive"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "timeout") {
			continue
		}
		if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && seconds > 0 &&
			seconds <= int(idleConn/time.Second) {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// A noAnswer reports that the head of an answer did not arrive in time.
type noAnswer struct{ after time.Duration }

func (e noAnswer) Error() string { return "no answer began within " + e.after.String() }

// Timeout makes it a time-out.
func (noAnswer) Timeout() bool { return true }

var past = time.Unix(1, 0)

// exchange writes a message and reads the head of its answer. After an error, written is the number of bytes that were
// written. Otherwise the body returns the connection and the place.
func (c *conn) exchange(r *http.Request, message []byte, from *Connections) (written int, res *http.Response,
	err error) {
	c.answered, c.budget = false, maxHeader
	c.SetDeadline(time.Now().Add(from.timeout))
	ctx := r.Context()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(past) })
	written, broken := c.Write(message)
	if broken != nil {
		if written == 0 || ctx.Err() != nil {
			stop()
			return written, nil, broken
		}
		c.SetReadDeadline(time.Now().Add(afterBrokenWrite)) // the receiver may have answered before it closed
	}
	res, err = c.readHead(r)
	if err != nil {
		stop()
		var late interface{ Timeout() bool }
		switch isLate := errors.As(err, &late) && late.Timeout(); {
		case broken != nil && isLate:
			err = broken
		case isLate:
			err = noAnswer{from.timeout}
		}
		return written, nil, err
	}
	c.budget = math.MaxInt64
	if res.ContentLength < 0 || int64(c.in.Buffered()) < res.ContentLength { // otherwise the body has arrived
		c.SetDeadline(time.Time{})
		if ctx.Err() != nil { // the deadline that would have ended the read was lifted
			c.SetDeadline(past)
		}
	}
	res.TLS = c.state
	c.keep = keepAlive(res.Header)
	b := &answerBody{ReadCloser: res.Body, from: from, conn: c, ctx: ctx, stop: stop,
		reuse: !res.Close && !r.Close && broken == nil && !hasForbiddenBody(res)}
	if res.Body == http.NoBody {
		b.end(true)
	} else {
		res.Body = b
	}
	return written, res, nil
}

// readHead reads the head of the final answer, and forwards those of interim ones.
func (c *conn) readHead(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	for {
		res, err := http.ReadResponse(c.in, r)
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the receiver switched protocols without being asked")
		case res.StatusCode >= 200:
			return res, nil
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(res.StatusCode, map[string][]string(res.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// An answerBody returns its connection at its end.
type answerBody struct {
	io.ReadCloser
	from  *Connections
	conn  *conn
	ctx   context.Context
	stop  func() bool
	reuse bool
	ended atomic.Bool
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err == io.EOF)
		if cause := context.Cause(b.ctx); cause != nil && err != io.EOF {
			err = cause
		}
	}
	return n, err
}

// Close ends the message. If the answer was not read completely, the connection cannot be used again.
func (b *answerBody) Close() error {
	b.end(false)
	return nil
}

func (b *answerBody) end(complete bool) {
	if b.ended.Swap(true) {
		return
	}
	if unspoilt := b.stop(); complete && unspoilt && b.reuse && b.conn.in.Buffered() == 0 {
		b.from.put(b.conn)
	} else {
		b.conn.Close()
	}
	<-b.from.places
}
