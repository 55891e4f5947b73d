package webhooks

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Endpoints of many tenants that accept each event after a long time would otherwise take every worker for 20 seconds
// at a time, and never count as failing.
func TestASlowEndpointTakesAPlaceForHinderedOnesEvenIfItAccepts(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(string, Request) (Answer, error) {
		f.now = f.now.Add(slowAfter)
		return Answer{Status: http.StatusOK}, nil
	}
	for range 5 {
		f.refuse(f.acme, 2)
	}
	_, err := f.hooks.Deliver(t.Context(), h.ID)
	check(t, err)
	if n := len(f.endpoints.got); n != 1 {
		t.Fatalf("%d requests of a worker that is for fast endpoints", n)
	}
	var leave []func()
	for i := range ofHindered {
		out, ok := f.hooks.lanes.enter("tenant "+string(rune(i)), true)
		if !ok {
			t.Fatalf("place %d is taken", i)
		}
		leave = append(leave, out)
	}
	_, err = f.hooks.Deliver(t.Context(), h.ID)
	check(t, err)
	if n := len(f.endpoints.got); n != 1 {
		t.Errorf("%d requests, although the places for slow endpoints are taken", n)
	}
	for _, out := range leave {
		out()
	}
	f.endpoints.answer = accepts
	f.now = f.now.Add(busyPause)
	f.run(h)
	if n := len(f.endpoints.got); n != 5 || f.hooks.lanes.hindered(f.reread(h)) {
		t.Errorf("%d requests, and an endpoint that is fast again is still slow", n)
	}
}

func TestTheMemoryOfSlowEndpointsIsBounded(t *testing.T) {
	var l lanes
	for i := range 2*mostSlow + 1 {
		l.took(string(rune(i)), slowAfter)
	}
	if len(l.slow) > mostSlow || !l.hindered(tenancy.Webhook{ID: string(rune(2 * mostSlow))}) {
		t.Errorf("%d endpoints are remembered", len(l.slow))
	}
	l.took(string(rune(2*mostSlow)), time.Second)
	if l.hindered(tenancy.Webhook{ID: string(rune(2 * mostSlow))}) {
		t.Error("an endpoint stays slow")
	}
}

func TestATenantRunsFewTestsOfWebhooksAtATime(t *testing.T) {
	f := setUp(t)
	f.create(f.acme, "crm")
	f.create(f.globex, "crm")
	test := func(tenant tenancy.Tenant) error {
		_, failure, err := f.hooks.Test(t.Context(), OfTenant(tenant), "crm", "alice", f.now)
		return errors.Join(failure, err)
	}
	var leave func()
	for range ofTenant {
		var ok bool
		if leave, ok = f.hooks.tests.enter(f.acme.ID, false); !ok {
			t.Fatal("a test is refused too early")
		}
	}
	if err := test(f.acme); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("one more test: %v", err)
	}
	check(t, test(f.globex))
	leave()
	for range ofTenant {
		check(t, test(f.acme))
	}
}
