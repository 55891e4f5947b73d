package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
				p := &paced{body: here, deadline: here.SetReadDeadline, now: time.Now, grace: bodyGrace}
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
	p := &paced{body: slow, now: func() time.Time { return now }, grace: bodyGrace, deadline: func(at time.Time) error {
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

func TestOnlyStreamsMayIdle(t *testing.T) {
	for _, c := range []struct {
		major       int
		name, value string
		want        bool
	}{
		{1, "Upgrade", "websocket", true}, {2, "Content-Type", "application/grpc", true},
		{2, "Content-Type", "application/grpc+proto", true}, {1, "Content-Type", "application/grpc", false},
		{2, "Content-Type", "text/xml", false}, {1, "Content-Type", "text/xml", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.ProtoMajor = c.major
		r.Header.Set(c.name, c.value)
		if got := mayIdle(r); got != c.want {
			t.Errorf("HTTP/%d with %s: %s: %v", c.major, c.name, c.value, got)
		}
	}
}

func TestAReleasedBodyHasNoLimitAndNoDeadline(t *testing.T) {
	var deadlines []time.Time
	p := &paced{body: zeros{}, now: time.Now, deadline: func(at time.Time) error {
		deadlines = append(deadlines, at)
		return nil
	}}
	if !p.release() || len(deadlines) != 1 || !deadlines[0].IsZero() {
		t.Errorf("released with the deadlines %v", deadlines)
	}
	if _, err := p.Read(make([]byte, 1)); err != nil || len(deadlines) != 1 {
		t.Errorf("read: %v, deadlines %v", err, deadlines)
	}
}

func TestABodyIsPacedUnlessItMayIdle(t *testing.T) {
	for _, c := range []struct {
		name       string
		major      int
		body       io.Reader
		upgrade    string
		want, http bool
	}{
		{"over HTTP/1.1", 1, zeros{}, "", true, true}, {"over HTTP/2", 2, zeros{}, "", true, false},
		{"without a body", 1, nil, "", false, false}, {"before an upgrade", 1, zeros{}, "websocket", false, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", c.body)
		r.ProtoMajor = c.major
		if c.upgrade != "" {
			r.Header.Set("Upgrade", c.upgrade)
		}
		before := r.Body
		m := newMessage(&Gateway{bodyGrace: time.Hour}, &route{}, http.MethodPost, "/")
		m.pace(httptest.NewRecorder(), r)
		if (m.paced != nil) != c.want || (r.Body != before) != c.want || (m.flush != nil) != c.http ||
			c.want && m.paced.grace != time.Hour {
			t.Errorf("%s: paced %v, flushed %v", c.name, m.paced != nil, m.flush != nil)
		}
	}
}
