package jobs

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// An endpoint fails the first time, and hangs for one tenant until the test ends.
type endpoint struct {
	mu       sync.Mutex
	requests map[string]int // by tenant
	hang     <-chan struct{}
}

type posting struct {
	*endpoint
	tenant string
}

func (e *endpoint) Open(tenant, _ string) (webhooks.Poster, error) { return posting{e, tenant}, nil }

func (posting) Close() {}

func (p posting) Post(ctx context.Context, _ webhooks.Request) (webhooks.Answer, error) {
	p.mu.Lock()
	p.requests[p.tenant]++
	first := p.requests[p.tenant] == 1
	p.mu.Unlock()
	switch {
	case p.tenant == "t0":
		select {
		case <-p.hang:
		case <-ctx.Done():
		}
		return webhooks.Answer{}, errors.New("no answer")
	case first:
		return webhooks.Answer{Status: http.StatusInternalServerError}, nil
	}
	return webhooks.Answer{Status: http.StatusOK}, nil
}

// While the endpoints of a tenant hang, those of another tenant get their events, also after a failure.
func TestADeliveryToAWebhookIsRetriedByTheQueue(t *testing.T) {
	t.Parallel()
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		f := setUp(t, url, 2)
		f.now = time.Now() // pauses take their time: River has its own clock
		queue, err := NewWebhookQueue(f.store, log)
		check(t, err)
		hang := make(chan struct{})
		e := &endpoint{requests: map[string]int{}, hang: hang}
		hooks, err := webhooks.New(webhooks.Config{Store: f.store, Seal: f.engine.Seal, Queue: queue, Network: e,
			BaseURL: "https://p.example.com", Now: time.Now, Log: log})
		check(t, err)
		f.store.OnAudit(hooks.Follow)
		var made []tenancy.Webhook
		for name, names := range map[string][]string{"t0": {"a", "b", "c", "d"}, "t1": {"a", "b"}} {
			tenant, err := f.store.Tenant(t.Context(), name)
			check(t, err)
			for _, hook := range names {
				h, _, err := hooks.Create(t.Context(), webhooks.OfTenant(tenant), webhooks.Settings{Name: hook,
					Format: webhook.CloudEvents,
					Types:  []string{"rollover.refused"}, URL: "https://x.example.com", Enabled: true}, "alice", f.now)
				check(t, err)
				if name == "t1" {
					made = append(made, h)
				}
			}
		}
		for _, name := range []string{"t0", "t1"} {
			check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.Audit(t.Context(), tenancy.NewEvent(f.now, "gateway", "arrangement.refused", name, name+"/erp",
					map[string]any{"generation": 2}))
			}))
		}
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, Webhooks: hooks, Now: time.Now,
			Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		defer func() { check(t, j.Stop(context.WithoutCancel(t.Context()))) }()
		testenv.Eventually(t, func() bool {
			delivered := 0
			for _, h := range made {
				all, _, err := f.store.WebhookDeliveries(t.Context(), h.ID, tenancy.WebhookDelivered,
					store.Page{Limit: 10, Sort: "-created"})
				check(t, err)
				delivered += len(all)
			}
			return delivered == 2
		})
		close(hang)
		e.mu.Lock()
		defer e.mu.Unlock()
		if n := e.requests["t1"]; n != 3 {
			t.Errorf("%d requests for 2 deliveries of which one failed once", n)
		}
	})
}
