package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A receiver that closes each connection of HTTP/2 before it answers gets a message three times, and not for ever.
func TestAMessageIsSentOnAFewConnectionsOnly(t *testing.T) {
	template := httptest.NewTLSServer(nil)
	template.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: template.TLS.Certificates,
		NextProtos: []string{"h2"}})
	testenv.Check(t, err)
	t.Cleanup(func() { l.Close() })
	var taken atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go closeAfterHeaders(c, &taken)
		}
	}()
	connections := connect(t, template.Certificate(), tenancy.Egress{})
	_, err = roundTrip(connections, request(t, "GET", "https://"+l.Addr().String(), ""))
	if !errors.Is(err, errClosedOften) || OfError(err).Meaning != Suspicious {
		t.Errorf("got %v", err)
	}
	if n := taken.Load(); n != 3 {
		t.Errorf("the message was sent %d times", n)
	}
}

// closeAfterHeaders reads frames of HTTP/2 (RFC 9113, section 4.1) until a request has arrived. Then it reports that
// the request was not processed, and closes the connection.
func closeAfterHeaders(c net.Conn, taken *atomic.Int64) {
	defer c.Close()
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	const headers = 1
	c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // settings
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return
		}
		if head[3] == headers {
			taken.Add(1)
			// GOAWAY: the last stream that was processed is 0, without an error.
			c.Write([]byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			return
		}
	}
}

func TestAnAnswerToAMessageThatWasGivenUpIsDiscarded(t *testing.T) {
	ctx, giveUp := context.WithCancelCause(t.Context())
	transport := &http.Transport{}
	transport.RegisterProtocol("late", answers(func(*http.Request) *http.Response {
		giveUp(io.ErrNoProgress)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	}))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "late://crm.test/", nil)
	testenv.Check(t, err)
	if res, err := Bounded(transport, r); err != io.ErrNoProgress || res != nil {
		t.Errorf("%v, %v", res, err)
	}
}

type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }
