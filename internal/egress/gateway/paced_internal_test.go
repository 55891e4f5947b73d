package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// trickle writes chunks with pauses until the other end is closed.
func trickle(to net.Conn, size int, pause time.Duration) {
	for {
		if _, err := to.Write(make([]byte, size)); err != nil {
			return
		}
		time.Sleep(pause) // of the bubble's clock
	}
}

func TestABodyThatIsTrickledEndsAndASlowOneDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		size  int
		pause time.Duration
		ends  bool
	}{
		"a byte every 11 seconds": {1, 11 * time.Second, true}, "499 bytes a second": {499, time.Second, false},
		"100 bytes a second": {100, time.Second, true}, "1 MB a second": {1 << 20, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, here := net.Pipe()
				ended := make(chan struct{})
				go func() {
					trickle(sender, c.size, c.pause)
					close(ended)
				}()
				begun := time.Now()
				p := &paced{body: here, deadline: here.SetReadDeadline, now: time.Now}
				var err error
				for err == nil && time.Since(begun) < 10*time.Minute {
					_, err = p.Read(make([]byte, 32<<10))
				}
				if errors.Is(err, os.ErrDeadlineExceeded) != c.ends {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
				here.Close()
				<-ended
			})
		})
	}
}

func TestOnlyTheWaitForTheSenderCounts(t *testing.T) {
	now, slow := time.Unix(0, 0), io.LimitReader(zeros{}, 10)
	p := &paced{body: slow, now: func() time.Time { return now }, deadline: func(at time.Time) error {
		if !at.IsZero() && at.Before(now) {
			return http.ErrHandlerTimeout
		}
		return nil
	}}
	for range 10 {
		now = now.Add(time.Hour) // in which the body is not read
		if _, err := p.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
