package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

// An endpoints is the network and all endpoints. It answers as the test says.
type endpoints struct {
	mu     sync.Mutex
	answer func(tenant string, r Request) (Answer, error)
	got    []Request
}

func (e *endpoints) Open(tenant, _ string) (Poster, error) { return &endpoint{e, tenant}, nil }

type endpoint struct {
	*endpoints
	tenant string
}

func (e *endpoint) Post(_ context.Context, r Request) (Answer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, r)
	return e.answer(e.tenant, r)
}

func (*endpoint) Close() {}

func accepts(string, Request) (Answer, error) { return Answer{Status: http.StatusNoContent}, nil }

// queued records the work that is queued.
type queued struct{ jobs map[string][]time.Time }

func (q *queued) EnqueueWebhook(_ context.Context, _ *sql.Tx, id string, at time.Time) error {
	q.jobs[id] = append(q.jobs[id], at)
	return nil
}

type fixture struct {
	t         *testing.T
	hooks     *Webhooks
	engine    *enginetest.Installation
	store     *store.Store
	endpoints *endpoints
	queue     *queued
	now       time.Time
	pending   time.Time // of the job that [fixture.runUntil] left
	acme      tenancy.Tenant
	globex    tenancy.Tenant
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC), endpoints: &endpoints{answer: accepts},
		queue: &queued{map[string][]time.Time{}}}
	f.engine, _ = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), f.now)
	f.store = f.engine.Store
	f.acme = f.tenant("acme")
	f.globex = f.tenant("globex")
	var err error
	f.hooks, err = New(Config{Store: f.store, Seal: f.engine.Seal, Queue: f.queue, Network: f.endpoints,
		BaseURL: "https://p.example.com", Now: func() time.Time { return f.now }, Log: f.engine.Log})
	check(t, err)
	f.store.OnAudit(f.hooks.Follow)
	return f
}

func (f *fixture) tenant(name string) tenancy.Tenant {
	f.t.Helper()
	t, err := f.engine.CreateTenant(f.t.Context(), tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256},
		"test", f.now)
	check(f.t, err)
	return t
}

// create makes a webhook with CloudEvents of a tenant; of the installation for the zero value.
func (f *fixture) create(t tenancy.Tenant, name string, types ...string) (tenancy.Webhook, webhook.Secret) {
	f.t.Helper()
	h, text, err := f.hooks.Create(f.t.Context(), OfTenant(t), Settings{Name: name, Format: webhook.CloudEvents,
		Types: types, URL: "https://hooks.example.com/secret", Enabled: true}, "alice", f.now)
	check(f.t, err)
	secret, err := webhook.ParseSecret(text)
	check(f.t, err)
	return h, secret
}

// refuse stores that a receiver of a tenant refuses a generation.
func (f *fixture) refuse(t tenancy.Tenant, generation int) {
	f.t.Helper()
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return f.refusal(tx, t, generation) }))
}

func (f *fixture) refusal(tx *store.Tx, t tenancy.Tenant, generation int) error {
	return tx.Audit(f.t.Context(), tenancy.NewEvent(f.now, "gateway", "arrangement.refused", t.Name, t.Name+"/erp",
		map[string]any{"generation": generation, "source": "message"}))
}

func (f *fixture) deliveries(h tenancy.Webhook) []tenancy.WebhookDelivery {
	f.t.Helper()
	all, _, err := f.store.WebhookDeliveries(f.t.Context(), h.ID, "", store.Page{Limit: 10000, Sort: "-created"})
	check(f.t, err)
	return all
}

func (f *fixture) reread(h tenancy.Webhook) tenancy.Webhook {
	f.t.Helper()
	h, err := f.store.Webhook(f.t.Context(), h.TenantID, h.Name)
	check(f.t, err)
	return h
}

// run does the work on a webhook until its jobs are done, and moves the clock to each of them.
func (f *fixture) run(h tenancy.Webhook) (attempts []time.Duration) {
	f.t.Helper()
	return f.runUntil(h, f.now.AddDate(1, 0, 0))
}

// runUntil does the work on a webhook until a time.
func (f *fixture) runUntil(h tenancy.Webhook, end time.Time) (attempts []time.Duration) {
	f.t.Helper()
	began := f.now
	if f.pending.After(f.now) {
		f.now = f.pending
	}
	f.pending = time.Time{}
	for range 1000 {
		before := len(f.endpoints.got)
		again, err := f.hooks.Deliver(f.t.Context(), h.ID)
		check(f.t, err)
		if len(f.endpoints.got) > before {
			attempts = append(attempts, f.now.Sub(began))
		}
		if again.IsZero() && len(f.queue.jobs[h.ID]) > 0 { // the rest is due
			delete(f.queue.jobs, h.ID)
			continue
		}
		if again.IsZero() {
			return attempts
		}
		if again.After(end) {
			f.now, f.pending = end, again
			return attempts
		}
		if again.After(f.now) {
			f.now = again
		}
	}
	f.t.Fatal("the work does not end")
	return nil
}

func TestADeliveryIsStoredInTheTransactionOfItsEvent(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	failed := errors.New("rolled back")
	if err := f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(f.refusal(tx, f.acme, 2), failed)
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if got := f.deliveries(h); len(got) != 0 {
		t.Fatalf("deliveries of an event that never happened: %+v", got)
	}
	clear(f.queue.jobs)
	f.refuse(f.acme, 2)
	got := f.deliveries(h)
	if len(got) != 1 || got[0].Type != "rollover.refused" || got[0].Subject != "acme/erp" {
		t.Fatalf("deliveries: %+v", got)
	}
	if jobs := f.queue.jobs[h.ID]; len(jobs) != 1 || !jobs[0].IsZero() {
		t.Errorf("jobs at %v", jobs)
	}
}

func TestATenantsWebhookGetsItsOwnEventsOnly(t *testing.T) {
	f := setUp(t)
	whole, _ := f.create(tenancy.Tenant{}, "all")
	some, _ := f.create(tenancy.Tenant{}, "some", "run.finished", "certificate.renewed")
	ofAcme, _ := f.create(f.acme, "acme")
	ofGlobex, _ := f.create(f.globex, "globex")
	f.refuse(f.acme, 2)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Audit(t.Context(), tenancy.NewEvent(f.now, "run", "run.finished", "", "2026-02-01T00:00:00Z", nil),
			tenancy.NewEvent(f.now, "test", "tenant.changed", "acme", "acme", nil))
	}))
	for _, c := range []struct {
		h    tenancy.Webhook
		want []string
	}{{whole, []string{"rollover.refused", "run.finished"}}, {some, []string{"run.finished"}},
		{ofAcme, []string{"rollover.refused"}}, {ofGlobex, nil}} {
		var types []string
		for _, d := range slices.Backward(f.deliveries(c.h)) {
			types = append(types, d.Type)
		}
		if !slices.Equal(types, c.want) {
			t.Errorf("%s gets %v, want %v", c.h.Name, types, c.want)
		}
	}
	one, two := f.deliveries(whole)[1], f.deliveries(ofAcme)[0]
	if one.EventID != two.EventID || one.ID == two.ID {
		t.Errorf("one event has the IDs %s and %s", one.EventID, two.EventID)
	}
}

func TestAnEventIsSignedAndItsSecretIsRotatedWithOverlap(t *testing.T) {
	f := setUp(t)
	h, former := f.create(f.acme, "crm")
	verifies := func(secret webhook.Secret) bool {
		t.Helper()
		r := f.endpoints.got[len(f.endpoints.got)-1]
		e, err := webhook.Parse(r.Body)
		if err != nil || e.ID != r.Signature.ID || e.Common().Tenant != "acme" {
			t.Errorf("%v: %s", err, r.Body)
		}
		return webhook.Verify(r.Signature, r.Body, secret, f.now) == nil
	}
	f.refuse(f.acme, 2)
	f.run(h)
	if !verifies(former) {
		t.Error("the signature is not valid")
	}
	_, text, err := f.hooks.Rotate(t.Context(), OfTenant(f.acme), "crm", time.Hour, "alice", f.now)
	check(t, err)
	present, err := webhook.ParseSecret(text)
	check(t, err)
	for _, c := range []struct {
		after  time.Duration
		former bool
	}{{0, true}, {time.Hour - time.Second, true}, {time.Second, false}} {
		f.now = f.now.Add(c.after)
		f.refuse(f.acme, 2)
		f.run(h)
		if !verifies(present) || verifies(former) != c.former {
			t.Errorf("%v after the rotation: present %v, former %v", c.after, verifies(present), verifies(former))
		}
	}
}

func TestAFailedDeliveryIsRetriedForTwoDaysAndIsThenDead(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{Status: 500}, nil }
	f.refuse(f.acme, 2)
	attempts := f.run(h)
	last := attempts[len(attempts)-1]
	if len(attempts) != 10 || last < 48*time.Hour || last > 62*time.Hour {
		t.Errorf("attempts after %v", attempts)
	}
	got := f.deliveries(h)[0]
	if got.State != tenancy.WebhookDead || got.Attempts != 10 || got.Status != 500 ||
		tenancy.ReadText(got.LastError).String() != "the endpoint answers 500 Internal Server Error" {
		t.Errorf("%+v", got)
	}
	ids := map[string]bool{}
	for _, r := range f.endpoints.got {
		ids[r.Signature.ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("the attempts have the IDs %v", ids)
	}
	f.endpoints.answer = accepts
	n, err := f.hooks.ReplayDead(t.Context(), OfTenant(f.acme), "crm", "alice", f.now)
	check(t, err)
	f.run(h)
	replayed := f.deliveries(h)[0]
	if n != 1 || replayed.State != tenancy.WebhookDelivered || replayed.EventID != got.EventID {
		t.Errorf("%d replayed: %+v", n, replayed)
	}
	if health := f.reread(h).Health; health.Failures != 0 || health.LastError != "" || health.DeliveredAt.IsZero() {
		t.Errorf("health %+v", health)
	}
}

func TestADeliveryThatTheEndpointCannotReadDoesNotDelayOthers(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(_ string, r Request) (Answer, error) {
		if strings.Contains(string(r.Body), "generation 13") {
			return Answer{Status: 422}, nil
		}
		return Answer{Status: 200}, nil
	}
	for generation := 10; generation < 20; generation++ {
		f.refuse(f.acme, generation)
	}
	began := f.now
	if _, err := f.hooks.Deliver(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	delivered := 0
	for _, d := range f.deliveries(h) {
		if d.State == tenancy.WebhookDelivered && d.EndedAt.Equal(began) {
			delivered++
		}
	}
	if delivered != 9 {
		t.Errorf("%d of 10 are delivered at once", delivered)
	}
}

func TestAnEndpointThatDoesNotAnswerIsLeftAlone(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{}, errors.New("no answer") }
	for range 20 {
		f.refuse(f.acme, 2)
	}
	f.runUntil(h, f.now.Add(4*time.Second))
	if len(f.endpoints.got) != 1 {
		t.Errorf("%d requests at once to an endpoint that does not answer", len(f.endpoints.got))
	}
	f.runUntil(h, f.now.Add(24*time.Hour))
	if n := len(f.endpoints.got); n < 15 || n > 30 { // about one an hour
		t.Errorf("%d requests in a day", n)
	}
	// It works again: everything is delivered within the longest pause.
	f.endpoints.answer = accepts
	began := f.now
	f.run(h)
	if waited := f.now.Sub(began); waited > 2*time.Hour {
		t.Errorf("it took %v", waited)
	}
	for _, d := range f.deliveries(h) {
		if d.State != tenancy.WebhookDelivered {
			t.Errorf("%s is %s after %d attempts", d.ID, d.State, d.Attempts)
		}
	}
}

func TestAnEndpointIsAskedNotBeforeTheTimeThatItNames(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "chat")
	first := true
	f.endpoints.answer = func(string, Request) (Answer, error) {
		if first {
			first = false
			return Answer{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Minute}, nil
		}
		return Answer{Status: 200}, nil
	}
	f.refuse(f.acme, 2)
	if got := f.run(h); len(got) != 2 || got[1] < 7*time.Minute || got[1] > 8*time.Minute {
		t.Errorf("attempts after %v", got)
	}
	for _, wanted := range []time.Duration{1000 * time.Hour, -time.Hour} { // an endpoint cannot stop its own retries
		answer := Answer{Status: 503, RetryAfter: wanted}
		_, health := failed(tenancy.WebhookDelivery{Attempts: 1, QueuedAt: f.now}, tenancy.WebhookHealth{}, answer,
			errors.New("x"), f.now)
		if pause := health.RetryAt.Sub(f.now); pause < 5*time.Second || pause > mostPause {
			t.Errorf("Retry-After %v gives a pause of %v", wanted, pause)
		}
	}
}

func TestAnEndpointThatIsGoneDisablesItsWebhook(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{Status: http.StatusGone}, nil }
	f.refuse(f.acme, 2)
	f.refuse(f.acme, 3)
	f.run(h)
	if got := f.reread(h); got.Enabled || len(f.endpoints.got) != 1 {
		t.Errorf("enabled %v after %d requests", got.Enabled, len(f.endpoints.got))
	}
	f.refuse(f.acme, 4)
	if n := len(f.deliveries(h)); n != 2 {
		t.Errorf("a disabled webhook has %d deliveries", n)
	}
	events, err := f.store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
		return e.Action == "webhook.disabled" && e.Object == "acme/webhooks/crm"
	}) {
		t.Error("the audit log does not say that it was disabled")
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{Status: http.StatusFound}, nil }
	f.refuse(f.acme, 2)
	if _, err := f.hooks.Deliver(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	if got := f.deliveries(h)[0]; !strings.Contains(tenancy.ReadText(got.LastError).String(),
		"redirects (302), which is not followed") {
		t.Errorf("%+v", got)
	}
}

func TestAQueueIsBoundedAndWhatItDropsIsCounted(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	other, _ := f.create(f.globex, "crm")
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		var events []tenancy.Event
		for range queueOfTenant + 5 {
			events = append(events, tenancy.NewEvent(f.now, "gateway", "arrangement.refused", "acme", "acme/erp",
				map[string]any{"generation": 2}))
		}
		return tx.Audit(t.Context(), events...)
	}))
	f.refuse(f.acme, 2)
	f.refuse(f.globex, 2)
	if n, dropped := len(f.deliveries(h)), f.reread(h).Health.Dropped; n != queueOfTenant || dropped != 6 {
		t.Errorf("%d queued, %d dropped", n, dropped)
	}
	if n := len(f.deliveries(other)); n != 1 {
		t.Errorf("another tenant has %d deliveries", n)
	}
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{Status: 500}, nil }
	f.now = f.now.Add(giveUpAfter + time.Hour)
	f.runUntil(h, f.now.Add(time.Hour))
	check(t, f.hooks.Prune(t.Context(), f.now))
	f.refuse(f.acme, 3) // what was given up does not take the place of new events
	if got := f.deliveries(h)[0]; !strings.Contains(string(got.Payload), "generation 3") {
		t.Errorf("the newest delivery is %s", got.Payload)
	}
}

func TestATenantHasABoundedNumberOfWebhooks(t *testing.T) {
	f := setUp(t)
	for i := range MostOfTenant {
		f.create(f.acme, "h"+string(rune('a'+i)))
	}
	_, _, err := f.hooks.Create(t.Context(), OfTenant(f.acme), Settings{Name: "more", Format: webhook.CloudEvents,
		URL: "https://x.example.com", Enabled: true}, "alice", f.now)
	if !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("one more: %v", err)
	}
	f.create(f.globex, "crm")
}

// A worker waits for an answer most of the time. So the places are what a tenant could take from others.
func TestATenantCannotTakeTheWorkersOfOthers(t *testing.T) {
	var l lanes
	var leave []func()
	for range 2 * Workers {
		if out, ok := l.enter("hostile", true); ok {
			leave = append(leave, out)
		}
	}
	if len(leave) != ofTenant {
		t.Errorf("a tenant has %d workers", len(leave))
	}
	failing := len(leave)
	for i := range 100 {
		if out, ok := l.enter("hostile "+string(rune(i)), true); ok {
			failing++
			leave = append(leave, out)
		}
	}
	if failing != ofHindered {
		t.Errorf("endpoints that fail have %d workers", failing)
	}
	for i := range Workers - ofHindered {
		out, ok := l.enter("innocent "+string(rune(i)), false)
		if !ok {
			t.Fatalf("tenant %d does not get a worker", i)
		}
		leave = append(leave, out)
	}
	for _, out := range leave {
		out()
	}
	if len(l.running) != 0 || l.delaying != 0 {
		t.Errorf("%v, %d are left", l.running, l.delaying)
	}
}

func TestDeliveriesAreKeptForALimitedTime(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	broken, _ := f.create(f.acme, "broken")
	f.refuse(f.acme, 2)
	if _, err := f.hooks.Deliver(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{}, errors.New("no answer") }
	if _, err := f.hooks.Deliver(t.Context(), broken.ID); err != nil {
		t.Fatal(err)
	}
	began := f.now
	for _, c := range []struct {
		after           time.Duration
		delivered, dead int
	}{{0, 1, 0}, {giveUpAfter + time.Second, 1, 1}, {deliveredKept + time.Second, 0, 1},
		{giveUpAfter + deadKept + time.Minute, 0, 0}} {
		f.now = began.Add(c.after)
		check(t, f.hooks.Prune(t.Context(), f.now))
		dead := 0
		for _, d := range f.deliveries(broken) {
			if d.State == tenancy.WebhookDead {
				dead++
			}
		}
		if n := len(f.deliveries(h)); n != c.delivered || dead != c.dead {
			t.Errorf("after %v: %d delivered, %d dead", c.after, n, dead)
		}
	}
}

func TestAnEventThatWaitedForAServiceThatWasDownIsDelivered(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.refuse(f.acme, 2)
	f.now = f.now.Add(10 * 24 * time.Hour) // the service was down, and the job is lost
	clear(f.queue.jobs)
	check(t, f.hooks.Prune(t.Context(), f.now))
	if len(f.queue.jobs[h.ID]) != 1 {
		t.Errorf("jobs %v", f.queue.jobs)
	}
	f.run(h)
	if got := f.deliveries(h)[0]; got.State != tenancy.WebhookDelivered {
		t.Errorf("%+v", got)
	}
}

func TestOneWorkerDeliversAtATime(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.refuse(f.acme, 2)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, _, err := tx.ClaimWebhook(t.Context(), h.ID, f.now, f.now.Add(claimFor)) // another replica
		return err
	}))
	again, err := f.hooks.Deliver(t.Context(), h.ID)
	check(t, err)
	if len(f.endpoints.got) != 0 || !again.Equal(f.now.Add(busyPause)) {
		t.Errorf("%d requests, and again at %v", len(f.endpoints.got), again)
	}
	f.now = f.now.Add(claimFor) // the other replica has died
	f.run(h)
	if len(f.endpoints.got) != 1 {
		t.Errorf("%d requests", len(f.endpoints.got))
	}
}

func TestASecretIsNeitherStoredInClearNorShownAgain(t *testing.T) {
	f := setUp(t)
	_, secret := f.create(f.acme, "crm")
	_, _, err := f.hooks.Create(t.Context(), OfTenant(f.acme), Settings{Name: "alerts", Format: webhook.PagerDuty,
		RoutingKey: "R0UT1NG", Enabled: true}, "alice", f.now)
	check(t, err)
	all, err := f.store.AllWebhooks(t.Context(), "", 10)
	check(t, err)
	events, err := f.store.Events(t.Context(), "", 0, 1000)
	check(t, err)
	data, err := json.Marshal([]any{all, events})
	check(t, err)
	for _, sealed := range all {
		data = append(data, sealed.Sealed...)
	}
	for _, text := range []string{secret.Text(), "R0UT1NG", "/secret"} {
		if strings.Contains(string(data), text) {
			t.Errorf("%s is stored in clear", text)
		}
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	f := setUp(t)
	valid := Settings{Name: "x", Format: webhook.CloudEvents, URL: "https://x.example.com/", Enabled: true}
	for _, c := range []struct {
		name   string
		tenant tenancy.Tenant
		change func(*Settings)
		want   string
	}{
		{"plain HTTP", f.acme, func(s *Settings) { s.URL = "http://x.example.com" }, "url: is not an https URL"},
		{"no URL", f.acme, func(s *Settings) { s.URL = "" }, "url: is not an https URL"},
		{"a password", f.acme, func(s *Settings) { s.URL = "https://a:b@x.example.com" }, "user name or password"},
		{"a format", f.acme, func(s *Settings) { s.Format = "fax" }, `unknown format "fax": use one of cloudevents, slack`},
		{"a type", f.acme, func(s *Settings) { s.Types = []string{"moon.full"} }, `unknown type "moon.full"`},
		{"a type twice", f.acme, func(s *Settings) { s.Types = []string{"rollover.refused", "rollover.refused"} },
			"is listed twice"},
		{"a type of the installation", f.acme, func(s *Settings) { s.Types = []string{"run.failed"} },
			"an event of the installation"},
		{"no routing key", f.acme, func(s *Settings) { s.Format = webhook.PagerDuty }, "routing_key: is missing"},
		{"a routing key", f.acme, func(s *Settings) { s.RoutingKey = "x" }, "belongs to the format pagerduty only"},
		{"no problem", f.acme, func(s *Settings) {
			s.Format, s.RoutingKey, s.Types = webhook.PagerDuty, "x", []string{"certificate.renewed"}
		}, "neither opens nor resolves a problem"},
		{"a template", f.acme, func(s *Settings) { s.Template = "{}" }, "belongs to the format ticket only"},
		{"a wrong template", f.acme, func(s *Settings) { s.Format, s.Template = webhook.Ticket, `{"a":"{{b}}"}` },
			"unknown placeholder {{b}}"},
		{"a header", f.acme, func(s *Settings) { s.Authorization = "a\r\nX: y" }, "authorization: must be a value"},
		{"a CA", f.acme, func(s *Settings) { s.ServerCA = "x" }, "server_ca: must contain certificates"},
		{"a name", f.acme, func(s *Settings) { s.Name = "../x" }, "invalid name"},
	} {
		in := valid
		c.change(&in)
		if _, _, err := f.hooks.Create(t.Context(), OfTenant(c.tenant), in, "alice", f.now); err == nil ||
			!strings.Contains(err.Error(), c.want) || !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestATestIsSentOnceAndReportsTheOutcome(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	answer, failure, err := f.hooks.Test(t.Context(), OfTenant(f.acme), "crm", "alice", f.now)
	check(t, err)
	e, err := webhook.Parse(f.endpoints.got[0].Body)
	check(t, err)
	if failure != nil || answer.Status != 204 || e.Type != webhook.Test || !e.Common().Resolved {
		t.Errorf("%v, %v, %+v", answer, failure, e)
	}
	f.endpoints.answer = func(string, Request) (Answer, error) { return Answer{Status: 401}, nil }
	_, failure, err = f.hooks.Test(t.Context(), OfTenant(f.acme), "crm", "alice", f.now)
	check(t, err)
	if failure == nil || failure.Error() != "the endpoint answers 401 Unauthorized" {
		t.Errorf("%v", failure)
	}
	if _, _, err := f.hooks.Test(t.Context(), OfTenant(f.globex), "crm", "alice", f.now); !errors.Is(err,
		tenancy.ErrNotFound) {
		t.Errorf("of another tenant: %v", err)
	}
	if n := len(f.deliveries(h)); n != 0 {
		t.Errorf("tests are stored as %d deliveries", n)
	}
}

func TestAWebhookIsChangedAndDeleted(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	in := Settings{Name: "crm", Format: webhook.CloudEvents, Types: []string{"rollover.refused"}, Enabled: true,
		Authorization: "Bearer x"}
	changed, err := f.hooks.Change(t.Context(), OfTenant(f.acme), in, h.Version, "alice", f.now)
	check(t, err)
	f.refuse(f.acme, 2)
	f.run(h)
	if r := f.endpoints.got[0]; r.URL != "https://hooks.example.com/secret" || r.Authorization != "Bearer x" {
		t.Errorf("a change without a URL: %+v", r)
	}
	if _, err := f.hooks.Change(t.Context(), OfTenant(f.acme), in, h.Version, "bob", f.now); !errors.Is(err,
		tenancy.ErrStale) {
		t.Errorf("an old version: %v", err)
	}
	in.Format = webhook.Slack
	if _, err := f.hooks.Change(t.Context(), OfTenant(f.acme), in, changed.Version, "bob", f.now); !errors.Is(err,
		tenancy.ErrInvalid) {
		t.Errorf("another format: %v", err)
	}
	if err := f.hooks.Delete(t.Context(), OfTenant(f.acme), "crm", h.Version, "bob", f.now); !errors.Is(err,
		tenancy.ErrStale) {
		t.Errorf("delete an old version: %v", err)
	}
	check(t, f.hooks.Delete(t.Context(), OfTenant(f.acme), "crm", changed.Version, "alice", f.now))
	if again, err := f.hooks.Deliver(t.Context(), h.ID); err != nil || !again.IsZero() {
		t.Errorf("the job of a deleted webhook: %v, %v", again, err)
	}
}

func TestCredentialsAreSealedAgainAfterARotationOfTheKeys(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	check(t, f.engine.Seal.Rotate(t.Context()))
	if f.engine.Seal.Current(h.Sealed) {
		t.Fatal("the keys were not rotated")
	}
	check(t, Reseal(t.Context(), f.store, f.engine.Seal))
	if !f.engine.Seal.Current(f.reread(h).Sealed) {
		t.Error("the credentials are sealed with the former key")
	}
	f.refuse(f.acme, 2)
	f.run(h)
	if len(f.endpoints.got) != 1 {
		t.Errorf("%d requests", len(f.endpoints.got))
	}
}

// The job queue repeats a job that failed, with growing pauses. A job that also queued another one would never rest.
func TestWorkThatFailsQueuesNoOtherJob(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(f.acme, "crm")
	f.refuse(f.acme, 2)
	clear(f.queue.jobs)
	_, err := f.store.DB().ExecContext(t.Context(), "UPDATE webhooks SET sealed = 'damaged'")
	check(t, err)
	again, err := f.hooks.Deliver(t.Context(), h.ID)
	if err == nil || !strings.Contains(err.Error(), "acme/webhooks/crm") || !again.IsZero() || len(f.queue.jobs) > 0 {
		t.Errorf("%v, again at %v, jobs %v", err, again, f.queue.jobs)
	}
	if again, err = f.hooks.Deliver(t.Context(), h.ID); err == nil || !again.IsZero() { // it is not claimed any longer
		t.Errorf("%v, again at %v", err, again)
	}
}

func TestALongQueueIsDeliveredInSlices(t *testing.T) {
	f := setUp(t)
	h, _ := f.create(tenancy.Tenant{}, "crm")
	const n = sliceSize + 1
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		var events []tenancy.Event
		for range n {
			events = append(events, tenancy.NewEvent(f.now, "gateway", "arrangement.refused", "acme", "acme/erp",
				map[string]any{"generation": 2}))
		}
		return tx.Audit(t.Context(), events...)
	}))
	clear(f.queue.jobs)
	again, err := f.hooks.Deliver(t.Context(), h.ID)
	check(t, err)
	if len(f.endpoints.got) != sliceSize || !again.IsZero() || len(f.queue.jobs[h.ID]) != 1 {
		t.Errorf("%d requests, again at %v, %d jobs", len(f.endpoints.got), again, len(f.queue.jobs[h.ID]))
	}
	f.run(h)
	if len(f.endpoints.got) != n {
		t.Errorf("%d requests for %d events", len(f.endpoints.got), n)
	}
}
