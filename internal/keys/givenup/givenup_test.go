package givenup_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/givenup"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A peer answers when its function returns.
type peer struct {
	wait      func(*http.Request)
	err       error
	closed    bool // the body of its answer
	closeIdle bool
}

func (p *peer) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.wait(r); p.err != nil {
		return nil, p.err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: p}, nil
}

func (*peer) Read([]byte) (int, error) { return 0, io.EOF }

func (p *peer) Close() error {
	p.closed = true
	return nil
}

func (p *peer) CloseIdleConnections() { p.closeIdle = true }

func TestAnAnswerToARequestThatWasGivenUpIsDiscarded(t *testing.T) {
	away, ours := errors.New("away"), errors.New("ours")
	for name, c := range map[string]struct {
		peer   peer
		giveUp bool
		want   error
	}{
		"answered":            {},
		"failed":              {peer: peer{err: away}, want: away},
		"given up":            {giveUp: true, want: ours},
		"given up and failed": {peer: peer{err: away}, giveUp: true, want: away},
	} {
		ctx, giveUp := context.WithCancelCause(t.Context())
		p := c.peer
		p.wait = func(*http.Request) {
			if c.giveUp {
				giveUp(ours)
			}
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://crm.test", nil)
		testenv.Check(t, err)
		res, err := givenup.Transport{RoundTripper: &p}.RoundTrip(r)
		if err != c.want || (res == nil) != (c.want != nil) || p.closed != (c.want == ours) {
			t.Errorf("%s: %v, %v, closed: %t", name, res, err, p.closed)
		}
	}
}

func TestAnAnswerAfterTheTimeoutOfAClientIsDiscarded(t *testing.T) {
	p := &peer{wait: func(r *http.Request) { <-r.Context().Done() }}
	client := &http.Client{Timeout: time.Millisecond, Transport: givenup.Transport{RoundTripper: p}}
	var late interface{ Timeout() bool }
	if _, err := client.Get("https://crm.test"); !errors.As(err, &late) || !late.Timeout() || !p.closed {
		t.Errorf("%v, closed: %t", err, p.closed)
	}
	if client.CloseIdleConnections(); !p.closeIdle {
		t.Error("the idle connections stay open")
	}
}
