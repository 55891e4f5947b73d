package gateway_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// hanging starts a receiver that never answers.
func (f *fixture) hanging() (url string) {
	end := make(chan struct{})
	url = f.serve(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler) // returning would answer 200
	})
	f.t.Cleanup(func() { close(end) })
	return url
}

func TestParkedMessagesOfATenantWhoseReceiverHangsDelayNoOtherTenant(t *testing.T) {
	f := setUp(t)
	zeta, err := f.engine.Store.Tenant(t.Context(), "zeta")
	check(t, err)
	f.engine.Arrangement(t, tenancy.Arrangement{TenantID: zeta.ID, Name: "shop", Strategy: tenancy.Adaptive,
		Endpoint: f.serve(func(http.ResponseWriter, *http.Request) {}),
		Egress:   tenancy.Egress{ServerCA: string(f.ca.Bundle())}})
	url := f.hanging()
	var paths []string
	for i := range 20 {
		f.arrangement(fmt.Sprintf("slow-%d", i), tenancy.Adaptive, url)
		paths = append(paths, f.park(fmt.Sprintf("slow-%d", i), fmt.Sprint("k", i), "<order/>"))
	}
	tried := func() (n int) {
		for _, p := range paths {
			n += f.status(p).Attempts
		}
		return n
	}
	testenv.Eventually(t, func() bool { return tried() == 4 }) // its share
	r, err := http.NewRequestWithContext(t.Context(), "POST", f.gateway.URL+"/zeta/shop/order", strings.NewReader("x"))
	check(t, err)
	r.Header.Set("Authorization", "Bearer "+f.sender("zeta", time.Hour))
	r.Header.Set("Prefer", "respond-async")
	res, err := f.gateway.Client().Do(r)
	check(t, err)
	res.Body.Close()
	_, id, _ := strings.Cut(strings.TrimPrefix(res.Header.Get("Location"), "/-/messages/zeta/"), "/")
	testenv.Eventually(t, func() bool {
		var state string
		check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SQL().QueryRowContext(t.Context(), "SELECT state FROM parked WHERE id = ?", id).Scan(&state)
		}))
		return state == string(tenancy.ParkedDelivered)
	})
	if n := tried(); n != 4 {
		t.Errorf("%d messages of one tenant were tried at the same time", n)
	}
}

func TestTheOperatorLimitsHowLongAParkedMessageIsTried(t *testing.T) {
	f := setUp(t)
	f.arrangement("slow", tenancy.Adaptive, f.hanging())
	path := f.park("slow", "k", "<order/>")
	testenv.Eventually(t, func() bool { return f.status(path).Attempts == 1 })
	got := f.status(path)
	f.stop()
	if got.Error != "" {
		t.Fatalf("the arrangement's own time-out is a minute: %+v", got)
	}
	g, err := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network:       &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		ParkedTimeout: time.Millisecond, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer g.Close()
	testenv.Eventually(t, func() bool {
		var attempts int
		var problem string
		check(t, f.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SQL().QueryRowContext(t.Context(), "SELECT attempts, last_error FROM parked").Scan(&attempts, &problem)
		}))
		return attempts > 1 && problem != "" && !strings.Contains(problem, "the gateway ended")
	})
}
