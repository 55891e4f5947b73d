package outbound

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// sharing counts the messages that are on each connection of a receiver at the same time.
type sharing struct {
	mu   sync.Mutex
	now  map[string]int
	most int
}

func (s *sharing) add(connection string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[connection] += n
	s.most = max(s.most, s.now[connection])
}

func TestLargeBodiesDoNotShareAnHTTP2Connection(t *testing.T) {
	for name, test := range map[string]struct {
		egress      tenancy.Egress
		size        int // < 0: of unknown length
		contentType string
		most        int64 // connections
		shares      bool
	}{
		"large":          {size: directBody + 1, most: 8},
		"unknown length": {size: -directBody - 1, most: 8},
		"few lanes":      {egress: tenancy.Egress{Connections: 8}, size: directBody + 1, most: 8},
		"one lane":       {egress: tenancy.Egress{Connections: 2}, size: directBody + 1, most: 2},
		"one lane, unknown length": {egress: tenancy.Egress{Connections: 1}, size: -directBody - 1, most: 1,
			shares: true},
		"small": {size: 300, most: 1, shares: true},
		"gRPC":  {size: -300, contentType: "application/grpc+proto", most: 1, shares: true},
	} {
		t.Run(name, func(t *testing.T) {
			const senders = 8
			large := sharing{now: map[string]int{}}
			var together sync.WaitGroup
			if test.shares {
				together.Add(senders) // all are answered when all have arrived
			}
			var wrong atomic.Int32
			r := receive(t, test.egress, func(w http.ResponseWriter, q *http.Request) {
				if q.Method == "GET" {
					return
				}
				large.add(q.RemoteAddr, 1)
				defer large.add(q.RemoteAddr, -1)
				if n, _ := io.Copy(io.Discard, q.Body); n != int64(max(test.size, -test.size)) || q.ProtoMajor != 2 {
					wrong.Add(1)
				}
				if test.shares {
					together.Done()
					together.Wait()
				}
			}, func(s *httptest.Server) { s.EnableHTTP2 = true })
			if _, _, err := r.send("GET", "/", ""); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range senders {
				all.Go(func() {
					q := request(t, "POST", r.URL, strings.Repeat("x", max(test.size, -test.size)))
					if test.size < 0 {
						q.ContentLength = -1
					}
					q.Header.Set("Content-Type", test.contentType)
					if _, err := roundTrip(r.connections, q); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if (large.most > 1) != test.shares || wrong.Load() > 0 || r.opened.Load() > test.most+1 {
				t.Errorf("%d messages shared a connection, %d arrived wrongly, %d connections were opened", large.most,
					wrong.Load(), r.opened.Load())
			}
		})
	}
}

func TestALaneIsUsedAgainAndClosed(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) },
		func(s *httptest.Server) { s.EnableHTTP2 = true })
	for range 5 {
		if _, got, err := r.send("POST", "/", strings.Repeat("x", 1<<20)); len(got) != 1<<20 || err != nil {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if n := r.opened.Load(); n != 1 {
		t.Errorf("five messages opened %d connections", n)
	}
	res, err := r.connections.RoundTrip(request(t, "POST", r.URL, strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	r.connections.CloseIdleConnections()
	io.Copy(io.Discard, res.Body)
	res.Body.Close() // its lane returns after the others were closed
	testenv.Eventually(t, func() bool { return r.open.Load() == 0 })
	if n := len(r.connections.lanes.places); n != 0 {
		t.Errorf("%d places are taken for ever", n)
	}
	r.Server.Close()
	if _, _, err := r.send("POST", "/", strings.Repeat("x", 1<<20)); err == nil || len(r.connections.lanes.places) != 0 {
		t.Errorf("a failed message: %v, %d places are taken", err, len(r.connections.lanes.places))
	}
}
