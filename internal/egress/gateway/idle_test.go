package gateway_test

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// Between two messages the gateway keeps little of an arrangement, and for a limited number of them.
func TestIdleArrangementsCostLittle(t *testing.T) {
	const arrangements = 2000
	f := setUp(t)
	r := tenancy.Receiver{ID: store.NewID(), TenantID: f.acme.ID, Name: "r", DisplayName: "r", CreatedAt: time.Now(),
		Version: 1}
	check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateReceivers(t.Context(), r); err != nil {
			return err
		}
		for i := range arrangements {
			a := tenancy.Arrangement{
				ID: store.NewID(), TenantID: f.acme.ID, ReceiverID: r.ID, Name: name(i), Endpoint: "https://127.0.0.1:1/",
				Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1,
				CreatedAt: time.Now(), Version: 1,
			}
			if err := tx.CreateArrangements(t.Context(), a); err != nil {
				return err
			}
		}
		return nil
	}))
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	use := func(from, to int) {
		for i := from; i < to; i++ {
			if got := f.send(name(i), http.MethodGet, 0); got.status != 502 { // the port is closed
				t.Fatalf("%+v", got)
			}
		}
	}
	use(0, 100)
	before := heap()
	use(100, arrangements)
	each := (heap() - before) / (arrangements - 100)
	t.Logf("%d bytes for an arrangement that was used and is idle", each)
	if each > 20_000 {
		t.Errorf("an idle arrangement costs %d bytes", each)
	}
}

func name(i int) string {
	const letters = "abcdefghij"
	s := []byte("a0000")
	for n := 4; n > 0; n-- {
		s[n] = letters[i%10]
		i /= 10
	}
	return string(s)
}
