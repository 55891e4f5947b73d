package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	parkedTenants = 20
	parkedEach    = 25 // messages of each tenant
)

// A closedReceiver refuses every certificate until it opens.
type closedReceiver struct {
	mu      sync.Mutex
	refused map[string]int       // by tenant
	opened  time.Time            // zero while it is closed
	taken   map[string]time.Time // when a message was delivered, by its key
}

func (c *closedReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened.IsZero() {
		c.refused[r.URL.Path]++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if key := r.Header.Get("Idempotency-Key"); c.taken[key].IsZero() {
		c.taken[key] = time.Now()
	}
}

// start returns the URL of the receiver, and the settings for it.
func (c *closedReceiver) start(t *testing.T) (url string, egress tenancy.Egress) {
	t.Helper()
	s := httptest.NewUnstartedServer(c)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, tenancy.Egress{ServerKeyPin: outbound.KeyPin(s.Certificate())}
}

// A release is the delivery of parked messages after their receiver has accepted the certificate.
type release struct {
	first, last time.Duration // from the acceptance to the first delivered message, and to the last one
	perSecond   float64       // from the first one on
}

// released measures the delivery of messages that wait for one receiver, by n gateways that reach the database at an
// address.
func released(t *testing.T, database, reached string, n int) (r release) {
	t.Helper()
	f, err := newFleet(t.Context(), database)
	testenv.Check(t, err)
	defer f.close()
	c := &closedReceiver{refused: map[string]int{}, taken: map[string]time.Time{}}
	f.parkedTenants(t, c)
	gateways := f.gateways(t, reached, n)
	var senders sync.WaitGroup
	for tenant := range parkedTenants {
		senders.Go(func() {
			for i := range parkedEach {
				park(t, gateways[tenant%n], tenant, i)
			}
		})
	}
	senders.Wait()
	testenv.Eventually(t, func() bool { // the pauses between attempts have become longer
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, times := range c.refused {
			if times < 3 {
				return false
			}
		}
		return len(c.refused) == parkedTenants
	})
	c.mu.Lock()
	c.opened = time.Now()
	c.mu.Unlock()
	testenv.Eventually(t, func() bool {
		left, err := f.store.CountParked(t.Context())
		testenv.Check(t, err)
		return left == 0
	})
	for _, at := range c.taken {
		after := at.Sub(c.opened)
		if r.last = max(r.last, after); r.first == 0 || after < r.first {
			r.first = after
		}
	}
	if len(c.taken) != parkedTenants*parkedEach {
		t.Fatalf("%d messages were delivered", len(c.taken))
	}
	r.perSecond = float64(len(c.taken)) / (r.last - r.first).Seconds()
	return r
}

// park sends a message of a tenant to be parked. A gateway that cannot store it asks for it again.
func park(t *testing.T, g *gateway.Gateway, tenant, i int) {
	for range 10 {
		q := httptest.NewRequest(http.MethodPost, fmt.Sprintf("http://localhost/tenant-%d/erp/", tenant),
			strings.NewReader(`{"order":4711}`))
		q.Header.Set("Prefer", "respond-async")
		q.Header.Set("Idempotency-Key", fmt.Sprintf("%d-%d", tenant, i))
		w := httptest.NewRecorder()
		g.ServeHTTP(w, q)
		switch w.Code {
		case http.StatusAccepted:
			return
		case http.StatusServiceUnavailable:
		default:
			t.Errorf("a message to park is answered %d: %s", w.Code, w.Body)
			return
		}
	}
	t.Error("a message could not be parked")
}

// parkedTenants creates tenants that have an arrangement with a receiver each.
func (f *fleet) parkedTenants(t *testing.T, c *closedReceiver) {
	t.Helper()
	url, egress := c.start(t)
	now := time.Now()
	for i := range parkedTenants {
		name := fmt.Sprint("tenant-", i)
		owner, err := f.engine.CreateTenant(t.Context(), tenancy.Tenant{Name: name, DisplayName: name,
			KeyType: tenancy.P256}, "bench", now)
		testenv.Check(t, err)
		r := tenancy.Receiver{ID: store.NewID(), TenantID: owner.ID, Name: "erp", DisplayName: "erp", CreatedAt: now,
			Version: 1}
		a := tenancy.Arrangement{ID: store.NewID(), TenantID: owner.ID, ReceiverID: r.ID, Name: "erp",
			Endpoint: url + "/" + name, Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1,
			Egress: egress, CreatedAt: now, Version: 1}
		testenv.Check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.CreateReceivers(t.Context(), r), tx.CreateArrangements(t.Context(), a))
		}))
	}
}

// gateways starts n gateways, each with its own connections to the database.
func (f *fleet) gateways(t *testing.T, reached string, n int) (all []*gateway.Gateway) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	for range n {
		config := f.config
		var err error
		config.Store, err = store.Open(t.Context(), reached)
		testenv.Check(t, err)
		t.Cleanup(func() { config.Store.Close() })
		engine, err := lifecycle.New(config)
		testenv.Check(t, err)
		g, err := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: engine.Rollovers(), Now: time.Now,
			Quota: tenancy.ParkedQuota{Messages: 10_000, Bytes: 1 << 30}}, Open: true, Now: time.Now, Log: log,
			Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
		testenv.Check(t, err)
		t.Cleanup(g.Close)
		all = append(all, g)
	}
	return all
}

// parked measures parked messages at each distance from the database.
func (p *peerTable) parked() {
	for _, delay := range append([]time.Duration{0}, distances...) {
		p.machine.look(fmt.Sprintf("parked messages %s from the database", delay))
		database := testenv.Postgres(p.t)
		reached := database
		if delay > 0 {
			reached = far(p.t, database, delay)
		}
		r := released(p.t, database, reached, 3)
		p.add(fmt.Sprintf("%d parked messages of %d tenants, three gateways that are %s from PostgreSQL",
			parkedTenants*parkedEach, parkedTenants, delay), "", "",
			"the first one %.1f s after the receiver accepts, the last one after %.1f s: %.0f/s", r.first.Seconds(),
			r.last.Seconds(), r.perSecond)
	}
}

// TestParkedMessagesAreDeliveredFromADistance is the row of the table with the longest distance.
func TestParkedMessagesAreDeliveredFromADistance(t *testing.T) {
	if *peers == "" {
		t.Skip("takes a minute: run make bench-peers")
	}
	p := &peerTable{t: t, machine: watch(t)}
	p.parked()
}
