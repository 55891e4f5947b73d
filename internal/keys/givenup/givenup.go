// Package givenup discards answers to HTTP requests that were given up.
//
// A handler that waits often returns when its client closes the connection, and its server then writes "200 OK" without
// a body. net/http may return that answer, although the context of the request has ended. It is not proof of anything.
package givenup

import (
	"context"
	"net/http"
)

// Discard returns an answer and an error as they are, unless the context of the request has ended. Then an answer is
// closed, and the error is the cause.
func Discard(ctx context.Context, res *http.Response, err error) (*http.Response, error) {
	if cause := context.Cause(ctx); err == nil && cause != nil {
		res.Body.Close()
		return nil, cause
	}
	return res, err
}

// A Transport discards answers to requests that were given up.
type Transport struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.RoundTripper.RoundTrip(r)
	return Discard(r.Context(), res, err)
}

// CloseIdleConnections closes the idle connections of the transport within, if it has any.
func (t Transport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
