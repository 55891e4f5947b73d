package outbound

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// The budget is whole after a second without connections. Those beyond it do not count later.
func TestNewConnectionsAreLimitedForEachReceiver(t *testing.T) {
	at := time.Unix(0, 0)
	h := NewHandshakes(10, func() time.Time { return at })
	granted := func(address string, asked int) (n int) {
		for range asked {
			if h.take(address, true) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name    string
		after   time.Duration
		address string
		want    int
	}{
		{"a second's worth at once", 0, "a:443", 10},
		{"none beyond it", 0, "a:443", 0},
		{"another port", 0, "a:8443", 10},
		{"a tenth of a second later", 100 * time.Millisecond, "a:443", 1},
		{"half a second later", 500 * time.Millisecond, "a:443", 5},
		{"an hour later", time.Hour, "a:443", 10},
	} {
		at = at.Add(c.after)
		if got := granted(c.address, 30); got != c.want {
			t.Errorf("%s: %d connections, want %d", c.name, got, c.want)
		}
	}
	for range 1000 {
		if !h.take("a:443", false) {
			t.Fatal("a connection that is needed was refused")
		}
	}
	if at = at.Add(500 * time.Millisecond); granted("a:443", 30) != 5 {
		t.Error("connections beyond the budget count later")
	}
}

func TestWithoutALimitEveryConnectionIsOpened(t *testing.T) {
	h := NewHandshakes(0, time.Now)
	for range 1000 {
		if !h.take("a:443", true) {
			t.Fatal("a connection was refused")
		}
	}
}

func TestReceiversWithoutNewConnectionsAreForgotten(t *testing.T) {
	at := time.Unix(0, 0)
	h := NewHandshakes(10, func() time.Time { return at })
	for i := range 10 * fewReceivers {
		at = at.Add(burst / 100)
		h.take(fmt.Sprintf("r%d:443", i), true)
	}
	if len(h.whole) > fewReceivers+1 {
		t.Errorf("%d receivers are kept", len(h.whole))
	}
}

// A message that may use open connections only does not wait for one that is in use.
func TestAMessageForOpenConnectionsDoesNotWaitForOne(t *testing.T) {
	busy, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(busy)
			<-release
		}
	}))
	defer s.Close()
	n := &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	c := n.Connections(nil, tenancy.Egress{ServerKeyPin: KeyPin(s.Certificate()), Connections: 1})
	defer c.CloseIdleConnections()
	send := func(path string, how Dialling) error {
		r, err := http.NewRequestWithContext(how.In(t.Context()), http.MethodGet, s.URL+path, nil)
		testenv.Check(t, err)
		res, err := c.RoundTrip(r)
		if err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return err
	}
	if err := send("/", OpenOnly); !errors.Is(err, ErrNoConnection) {
		t.Errorf("before the first connection: %v", err)
	}
	testenv.Check(t, send("/", Always))
	testenv.Eventually(t, func() bool { return c.inTransport.Load() == 1 }) // the answer is read before that
	testenv.Check(t, send("/", OpenOnly))
	testenv.Eventually(t, func() bool { return c.inTransport.Load() == 1 })
	s.CloseClientConnections() // not counted
	var slow sync.WaitGroup
	slow.Go(func() {
		if err := send("/slow", Always); err != nil {
			t.Error(err)
		}
	})
	<-busy
	if err := send("/", OpenOnly); !errors.Is(err, ErrNoConnection) {
		t.Errorf("while the connection is in use: %v", err)
	}
	close(release)
	slow.Wait()
}
