package gateway_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// random returns a body that no compression and no mix-up of chunks leaves the same.
func random(seed byte, size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
}

func sumOf(body io.Reader) string {
	h := sha256.New()
	io.Copy(h, body)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// parkBody parks a message for acme. A negative length is not declared.
func (f *fixture) parkBody(ctx context.Context, name, key string, body io.Reader, length int64) (*http.Response,
	error) {
	r, err := http.NewRequestWithContext(ctx, "POST", f.gateway.URL+"/acme/"+name+"/order", body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = length
	r.Header.Set("Authorization", "Bearer "+f.token)
	r.Header.Set("Prefer", "respond-async")
	r.Header.Set("Idempotency-Key", key)
	return f.gateway.Client().Do(r)
}

// count counts the rows of a table.
func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	check(f.t, f.engine.Store.InTx(f.t.Context(), func(tx *store.Tx) error {
		return tx.SQL().QueryRowContext(f.t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
	}))
	return n
}

// summing is a receiver that hashes each body.
type summing struct {
	mu   sync.Mutex
	sums map[string]string // by Idempotency-Key
}

func (s *summing) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	sum := sumOf(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums[r.Header.Get("Idempotency-Key")] = sum
}

func (s *summing) of(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sums[key]
}

// peak samples the heap until stop is called, which returns the largest size.
func peak() (stop func() uint64) {
	end, largest := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var most uint64
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-end:
				largest <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(end)
		return <-largest
	}
}

// The bodies are parked at the same time and delivered at the same time. Together they are much larger than the memory
// that is allowed. On a busy machine, the garbage collector lags behind.
func TestLargeParkedBodiesNeedLittleMemoryAndLeaveNothingBehind(t *testing.T) {
	const bodies, size, most = 3, 50 << 20, 90 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // as in production
	f := setUp(t)
	sums := &summing{sums: map[string]string{}}
	url := f.serve(sums.ServeHTTP)
	for i := range bodies {
		f.engine.Arrangement(t, tenancy.Arrangement{TenantID: f.acme.ID, Name: fmt.Sprint("large-", i), Endpoint: url,
			Strategy: tenancy.Adaptive, Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle()), KeepBytes: 2 * size}})
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := peak()
	var parking sync.WaitGroup
	for i := range bodies {
		parking.Go(func() {
			res, err := f.parkBody(t.Context(), fmt.Sprint("large-", i), fmt.Sprint("k", i), random(byte(i), size), size)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != 202 {
				t.Errorf("message %d is answered %d", i, res.StatusCode)
			}
		})
	}
	parking.Wait()
	for i := range bodies {
		testenv.Eventually(t, func() bool { return sums.of(fmt.Sprint("k", i)) != "" })
		if sums.of(fmt.Sprint("k", i)) != sumOf(random(byte(i), size)) {
			t.Errorf("body %d arrived with changes", i)
		}
	}
	if grown := int64(stop()) - int64(before.HeapInuse); grown > most {
		t.Errorf("%d bodies of %d MiB took %d MiB of memory", bodies, size>>20, grown>>20)
	} else {
		t.Logf("%d bodies of %d MiB took %d MiB of memory", bodies, size>>20, grown>>20)
	}
	testenv.Eventually(t, func() bool { return f.count("parked_chunks") == 0 && f.count("parked_bodies") == 0 })
}

// Between two chunks of a large body, other transactions get their turn.
func TestOtherWritesGetTheirTurnWhileALargeBodyIsParked(t *testing.T) {
	const chunks = 200
	f := setUp(t)
	f.engine.Arrangement(t, tenancy.Arrangement{TenantID: f.acme.ID, Name: "large", Endpoint: f.hanging(),
		Strategy: tenancy.Adaptive, Egress: tenancy.Egress{ServerCA: string(f.ca.Bundle())}})
	var ended atomic.Bool
	writes := make(chan int)
	go func() {
		n := 0
		for !ended.Load() {
			if err := f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.SetSetting(t.Context(), "of another", fmt.Sprint(n))
			}); err != nil {
				t.Error(err)
				break
			}
			n++
		}
		writes <- n
	}()
	res, err := f.parkBody(t.Context(), "large", "k", random(1, chunks*tenancy.ParkedChunk), -1)
	ended.Store(true)
	n := <-writes
	check(t, err)
	res.Body.Close()
	if stored := f.count("parked_chunks"); res.StatusCode != 202 || stored != chunks || n < chunks/4 {
		t.Errorf("answered %d: %d chunks were stored, and in this time %d other writes", res.StatusCode, stored, n)
	}
}

func TestALargeParkedMessageIsStoredOnceForItsKey(t *testing.T) {
	const size = 3*tenancy.ParkedChunk + 1
	f := setUp(t)
	sums := &summing{sums: map[string]string{}}
	f.arrangement("bank", tenancy.Adaptive, f.serve(sums.ServeHTTP))
	park := func(seed byte, size, length int64) (int, string) {
		res, err := f.parkBody(t.Context(), "bank", "k", random(seed, size), length)
		check(t, err)
		defer res.Body.Close()
		return res.StatusCode, res.Header.Get("Location")
	}
	status, first := park(1, size, size)
	if status != 202 {
		t.Fatalf("answered %d", status)
	}
	for _, length := range []int64{size, -1} {
		if status, again := park(1, size, length); status != 202 || again != first {
			t.Errorf("the same message again: %d at %s, first at %s", status, again, first)
		}
	}
	if status, _ := park(2, size, size); status != 422 {
		t.Errorf("another message under the same key: %d", status)
	}
	if status, _ := park(1, size-1, size-1); status != 422 {
		t.Errorf("a shorter message under the same key: %d", status)
	}
	testenv.Eventually(t, func() bool { return f.status(first).State == "delivered" })
	if sums.of("k") != sumOf(random(1, size)) {
		t.Error("the body arrived with changes")
	}
	testenv.Eventually(t, func() bool { return f.count("parked_chunks") == 0 && f.count("parked_bodies") == 0 })
}

func TestABodyWhoseSenderGoesAwayIsNotDeliveredAndNotKept(t *testing.T) {
	f := setUp(t)
	f.arrangement("bank", tenancy.Adaptive, f.serve(func(http.ResponseWriter, *http.Request) {
		t.Error("it was delivered")
	}))
	half := io.MultiReader(random(1, 5*tenancy.ParkedChunk), failingReader{})
	if res, err := f.parkBody(t.Context(), "bank", "k", half, 8*tenancy.ParkedChunk); err == nil {
		res.Body.Close()
		t.Errorf("answered %d", res.StatusCode)
	}
	testenv.Eventually(t, func() bool { return f.count("parked_chunks") == 0 && f.count("parked_bodies") == 0 })
	if n := f.count("parked"); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestATenantParksNoMoreThanItsQuota(t *testing.T) {
	f := setUp(t)
	f.stop()
	f.start(inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now,
		Quota: tenancy.ParkedQuota{Messages: 2, Bytes: 4 * tenancy.ParkedChunk}})
	f.arrangement("bank", tenancy.Adaptive, f.hanging())
	send := func(key string, size, length int64, status int, says string) {
		t.Helper()
		res, err := f.parkBody(t.Context(), "bank", key, random(1, size), length)
		check(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		check(t, err)
		if res.StatusCode != status || !strings.Contains(string(body), says) ||
			(status == 507) != (res.Header.Get("Retry-After") == "60") {
			t.Errorf("%s: %d %v %s", key, res.StatusCode, res.Header, body)
		}
	}
	const large = 5 * tenancy.ParkedChunk
	send("declared", large, large, 507, "--parked-bytes")
	send("undeclared", large, -1, 507, "--parked-bytes")
	send("one", 3*tenancy.ParkedChunk, -1, 202, "waiting")
	send("next", 2*tenancy.ParkedChunk, -1, 507, "--parked-bytes")
	send("two", 10, 10, 202, "waiting")
	send("three", 10, 10, 507, "quota of 2 parked messages")
	send("two", 10, 10, 202, "waiting")
	send("one", 3*tenancy.ParkedChunk, -1, 202, "waiting")
	testenv.Eventually(t, func() bool { return f.count("parked_bodies") == 1 })
}
