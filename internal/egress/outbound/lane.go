package outbound

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Bodies that are sent over one HTTP/2 connection share its flow-control window, which is 64 KiB at first (RFC 9113,
// section 6.9.2), and split it into small frames. Tomcat counts small frames as overhead and ends the connection with
// all its messages, or stops reading. So a message with more than a small body gets a connection of its own, called a
// lane, which other messages use afterwards.

// lanes are the HTTP/2 connections of one arrangement for messages with large bodies.
type lanes struct {
	places chan struct{} // one for each message on a lane
	clone  func() *http.Transport

	mu     sync.Mutex
	idle   []*http.Transport // each with one connection; the one that was used last at the end
	closed bool
}

// newLanes returns lanes for most messages at a time. clone returns a transport that shares no connections.
func newLanes(most int, clone func() *http.Transport) *lanes {
	return &lanes{places: make(chan struct{}, most), clone: clone}
}

// needsLane reports whether a message needs a lane, if the receiver may speak HTTP/2. A gRPC call needs none: it has no
// length, and is small or lasts as long as the client wants.
func needsLane(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.URL.Scheme != "https" || r.Header["Upgrade"] != nil {
		return false
	}
	return (r.ContentLength > directBody || r.ContentLength <= 0) &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// roundTrip sends a message on a lane that it has for itself until its answer is closed. If none is free, it waits.
func (l *lanes) roundTrip(r *http.Request) (*http.Response, error) {
	select {
	case l.places <- struct{}{}:
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
	lane := l.take()
	res, err := Bounded(lane, r)
	if err != nil {
		l.put(lane)
		return nil, err
	}
	res.Body = &laneBody{ReadCloser: res.Body, end: sync.OnceFunc(func() { l.put(lane) })}
	return res, nil
}

func (l *lanes) take() *http.Transport {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.idle)
	if n == 0 {
		return l.clone()
	}
	lane := l.idle[n-1]
	l.idle = l.idle[:n-1]
	return lane
}

func (l *lanes) put(lane *http.Transport) {
	l.mu.Lock()
	if l.closed {
		lane.CloseIdleConnections()
	}
	l.idle = append(l.idle, lane)
	l.mu.Unlock()
	<-l.places
}

func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, lane := range l.idle {
		lane.CloseIdleConnections()
	}
}

// A laneBody returns its lane when it is closed.
type laneBody struct {
	io.ReadCloser
	end func()
}

func (b *laneBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
