package bench

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// distances are the delays between replicas and their database, in each direction: the next building, and the next
// country.
var distances = []time.Duration{time.Millisecond, 20 * time.Millisecond}

// far returns an address of the database from which everything arrives later by a delay, in both directions. It does
// not limit the rate.
func far(t *testing.T, database string, delay time.Duration) string {
	t.Helper()
	return relay(t, database, delay, func() {})
}

// relay is far that calls a function for each round trip: when something is sent to the database for the first time
// since its last answer.
func relay(t *testing.T, database string, delay time.Duration, trip func()) string {
	t.Helper()
	u, err := url.Parse(database)
	testenv.Check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	var open sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	to := u.Host
	open.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				here.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, here, there)
			mu.Unlock()
			var asking atomic.Bool
			open.Go(func() {
				late(there, here, delay, func() {
					if !asking.Swap(true) {
						trip()
					}
				})
			})
			open.Go(func() { late(here, there, delay, func() { asking.Store(false) }) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	u.Host = l.Addr().String()
	return u.String()
}

// late copies what it reads, each part after a delay, and calls a function for each. Then it closes the other side.
func late(to io.WriteCloser, from io.Reader, delay time.Duration, each func()) {
	type part struct {
		data []byte
		due  time.Time
	}
	parts := make(chan part, 1024)
	go func() {
		defer close(parts)
		for {
			data := make([]byte, 64<<10)
			n, err := from.Read(data)
			if n > 0 {
				each()
				parts <- part{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range parts {
		<-time.After(time.Until(p.due))
		to.Write(p.data)
	}
	to.Close()
}

// news returns the time from the start of a transaction by one store until another one learns of it, the slowest of
// twenty.
func news(t *testing.T, database string) (slowest time.Duration) {
	t.Helper()
	ctx := t.Context()
	near, err := store.Open(ctx, database)
	testenv.Check(t, err)
	defer near.Close()
	other, err := store.Open(ctx, database)
	testenv.Check(t, err)
	defer other.Close()
	heard := make(chan string, 100)
	defer other.OnChange(func(tenantID string) { heard <- tenantID })()
	var listener sync.WaitGroup
	listener.Go(func() { other.Listen(ctx, database, slog.New(slog.DiscardHandler)) })
	<-heard // it listens
	for range 20 {
		begun := time.Now()
		testenv.Check(t, near.InTx(ctx, func(tx *store.Tx) error {
			tx.Changed("tenant")
			return nil
		}))
		<-heard
		slowest = max(slowest, time.Since(begun))
	}
	return slowest
}

// far measures three replicas that are far from their database.
func (p *peerTable) far() {
	for _, delay := range distances {
		p.machine.look(fmt.Sprintf("replicas %s from their database", delay))
		database := testenv.Postgres(p.t)
		seconds, _, err := replicas(p.t.Context(), database, far(p.t, database, delay), 3, 20_000)
		testenv.Check(p.t, err)
		p.add(fmt.Sprintf("three replicas that are %s from PostgreSQL, 20,000 due", delay), "", "",
			"%.1f s; a change is known to the other replicas after %s", seconds,
			news(p.t, far(p.t, database, delay)).Round(100*time.Microsecond))
	}
}
