package outbound

import (
	"fmt"
	"testing"
	"time"
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
