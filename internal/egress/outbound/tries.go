package outbound

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/perennial-pki/perennial/internal/keys/givenup"
)

// mostTries limits the connections on which the layers below send one message. They repeat a message that they believe
// was not processed. net/http repeats a request without bound if every HTTP/2 connection is closed before the answer:
// nginx with "return 444" got 130 requests a second for one GET.
const mostTries = 3

// errClosedOften is returned if the receiver closed every connection on which a message was sent.
var errClosedOften = errors.New("the receiver closed the connection several times before it answered")

// Bounded sends a request through a transport that sends again by itself, a limited number of times. An answer to
// a request that was given up is discarded.
func Bounded(t *http.Transport, r *http.Request) (*http.Response, error) {
	return bounded(t, r, new(atomic.Int32))
}

// bounded is Bounded that counts the idle connections of the transport over HTTP/1.1. Those that were closed count
// until the next one is opened.
func bounded(t *http.Transport, r *http.Request, idle *atomic.Int32) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context()) // it ends with the request
	var tries atomic.Int32
	res, err := t.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) {
			switch {
			case c.WasIdle:
				idle.Add(-1)
			case !c.Reused: // none was idle
				idle.Store(0)
			}
			if tries.Add(1) > mostTries {
				cancel(errClosedOften)
			}
		},
		PutIdleConn: func(err error) {
			if err == nil {
				idle.Add(1)
			}
		},
	})))
	if err != nil && errors.Is(context.Cause(ctx), errClosedOften) {
		err = errClosedOften
	}
	return givenup.Discard(ctx, res, err)
}
