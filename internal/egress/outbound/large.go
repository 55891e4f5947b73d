package outbound

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// windowBody is the initial flow-control window of an HTTP/2 connection (RFC 9113, section 6.9.2), which all its
	// streams share. Several larger bodies break it into small DATA frames. Tomcat counts those as overhead, and ends the
	// connection with all its streams: with four senders of 900 KiB, every message was lost.
	windowBody = 1<<16 - 1
	// largeIdle limits the idle time of the connections for large bodies. It is shorter than what receivers allow.
	largeIdle = time.Second
)

var errNotHTTP1 = errors.New("the receiver does not negotiate HTTP/1.1")

// isLarge reports whether a message is better sent over HTTP/1.1, although the receiver may speak HTTP/2. A body of
// unknown length is not, since it may depend on the answer.
func (c *Connections) isLarge(r *http.Request) bool {
	return r.ContentLength > windowBody && r.GetBody != nil && !c.http1.Load() && !c.onlyHTTP2.Load() &&
		r.URL.Scheme == "https" && len(r.Trailer) == 0 &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// overHTTP1 sends a large message over HTTP/1.1. sent is false if no such connection could be opened, so that nothing
// of the message was sent.
func (c *Connections) overHTTP1(r *http.Request) (res *http.Response, sent bool, err error) {
	var connected atomic.Bool
	res, err = Bounded(c.largeTransport(), r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})))
	return res, err == nil || connected.Load() || r.Context().Err() != nil, err
}

// largeTransport returns the transport of large messages. Its connections take the place of those for direct messages,
// which a receiver with HTTP/2 does not get.
func (c *Connections) largeTransport() *http.Transport {
	if t := c.large.Load(); t != nil {
		return t
	}
	t := c.transport.Clone()
	t.TLSClientConfig.NextProtos = []string{"http/1.1"}
	verify := t.TLSClientConfig.VerifyConnection
	t.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
		switch { // a server of HTTP/2 only may ignore what it cannot speak, as Go's does
		case s.NegotiatedProtocol != "http/1.1":
			return errNotHTTP1
		case verify != nil:
			return verify(s)
		}
		return nil
	}
	t.ForceAttemptHTTP2, t.TLSNextProto, t.HTTP2 = false, nil, nil
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.IdleConnTimeout = largeIdle
	if c.places != nil {
		t.MaxConnsPerHost = cap(c.places)
	}
	if !c.large.CompareAndSwap(nil, t) {
		return c.large.Load()
	}
	return t
}

// withBody returns a request with its body from the beginning.
func withBody(r *http.Request) (*http.Request, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context())
	r.Body = body
	return r, nil
}
