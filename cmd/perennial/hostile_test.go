package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var besieged = flag.Duration("besieged", 12*time.Second, "for how long the innocent are beside the hostile")

// A siege drives hostile parties beside the innocent tenant: a tenant with a key user and a sender, its receiver, and
// strangers without a token. Each acts in a loop with pauses, because taking a share of the cores proves nothing.
type siege struct {
	world     *world
	sender    string // token of the hostile tenant's sender
	user      string // token of its key user
	receiver  *httptest.Server
	resting   atomic.Bool
	completed atomic.Int64 // acts
}

// siegePause is the time between two acts of one party.
const siegePause = 20 * time.Millisecond

// besiege creates the hostile tenant and starts every party. They act until the context ends.
func (w *world) besiege(ctx context.Context) *siege {
	w.t.Helper()
	s := &siege{world: w}
	s.receiver = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.receiver.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.receiver.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.receiver.StartTLS()
	ca := filepath.Join(w.dir, "hostile.pem")
	check(w.t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: s.receiver.Certificate().Raw}), 0o600))
	w.client("tenant", "create", "mallory")
	w.client("user", "create", "mallory", "mallory", "mallory@mallory.example.com")
	w.client("receiver", "create", "mallory", "trap")
	w.client("arrangement", "create", "mallory", "to-trap", "--receiver", "trap", "--endpoint", s.receiver.URL,
		"--server-ca", ca)
	s.sender = secretIn(w.client("token", "create", "app", "--role", "sender", "--tenant", "mallory"))
	s.user = secretIn(w.client("token", "create", "mallory", "--role", "key-user", "--tenant", "mallory", "--user",
		"mallory"))
	var parties sync.WaitGroup
	for _, act := range []func(context.Context, *rand.Rand){s.send, s.send, s.park, s.park, s.trickle, s.administer,
		s.strange, s.strange, s.guess} {
		random := rand.New(rand.NewPCG(uint64(w.seed), w.random.Uint64()))
		parties.Go(func() {
			for ctx.Err() == nil {
				if !s.resting.Load() {
					once, cancel := context.WithTimeout(ctx, 5*time.Second)
					act(once, random)
					cancel()
					s.completed.Add(1)
				}
				pause(siegePause)
			}
		})
	}
	w.t.Cleanup(func() {
		parties.Wait()
		s.receiver.CloseClientConnections()
		s.receiver.Close()
	})
	return s
}

// secretIn finds a token in the output of a command.
func secretIn(text string) string {
	return strings.Fields(text[strings.Index(text, "perennial_"):])[0]
}

// any returns the addresses of one of the replicas.
func (s *siege) any(random *rand.Rand) (api, gateway string) {
	r := s.world.replicas[random.IntN(len(s.world.replicas))]
	return "http://" + r.listen, "http://" + r.gateway
}

// try sends a request and reads at most a megabyte of its answer.
func (s *siege) try(ctx context.Context, method, address, token string, body io.Reader, headers ...string) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return // a replica is down, or it has refused
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	res.Body.Close()
}

// answer is the hostile receiver.
func (s *siege) answer(w http.ResponseWriter, r *http.Request) {
	switch rand.IntN(8) {
	case 0: // it never answers
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	case 1:
		w.Header().Set("Perennial-Gateway", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	case 2:
		w.WriteHeader(http.StatusUnauthorized)
	case 3: // it closes the connection
		panic(http.ErrAbortHandler)
	case 4: // a body that is longer than announced headers suggest
		io.CopyN(w, zeros{}, 4<<20)
	case 5: // many headers
		for i := range 500 {
			w.Header().Set(fmt.Sprint("X-Flood-", i), strings.Repeat("x", 100))
		}
	case 6:
		w.Header().Set("Location", "http://169.254.169.254/latest/meta-data")
		w.WriteHeader(http.StatusFound)
	default:
		io.Copy(io.Discard, r.Body)
	}
}

// send sends a message to the hostile receiver.
func (s *siege) send(ctx context.Context, random *rand.Rand) {
	_, gateway := s.any(random)
	s.try(ctx, http.MethodPost, gateway+"/mallory/to-trap/x", s.sender,
		bytes.NewReader(make([]byte, random.IntN(200_000))))
}

// park parks a message, which the hostile receiver never takes.
func (s *siege) park(ctx context.Context, random *rand.Rand) {
	_, gateway := s.any(random)
	s.try(ctx, http.MethodPost, gateway+"/mallory/to-trap/x", s.sender,
		bytes.NewReader(make([]byte, random.IntN(500_000))), "Prefer", "respond-async")
}

// trickle holds connections with bodies that arrive byte by byte.
func (s *siege) trickle(ctx context.Context, random *rand.Rand) {
	_, gateway := s.any(random)
	var open []net.Conn
	for range 20 {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(gateway, "http://"))
		if err != nil {
			break
		}
		fmt.Fprintf(c, "POST /mallory/to-trap/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\n"+
			"Content-Length: 1000000000\r\n\r\n", s.sender)
		open = append(open, c)
	}
	for ctx.Err() == nil && !s.resting.Load() {
		for _, c := range open {
			c.Write([]byte("x"))
		}
		pause(500 * time.Millisecond)
	}
	for _, c := range open {
		c.Close()
	}
}

// administer is the hostile tenant's key user, who asks for as much as possible, also of the neighbour.
func (s *siege) administer(ctx context.Context, random *rand.Rand) {
	api, _ := s.any(random)
	name := fmt.Sprint("a", random.IntN(50))
	arrangement, err := json.Marshal(map[string]any{"name": name, "receiver": "trap", "endpoint": s.receiver.URL,
		"egress": map[string]any{"keep_bytes": 1 << 30, "timeout_seconds": 3600}})
	check(s.world.t, err)
	for _, c := range [][3]string{
		{"POST", "/api/v1/tenants/mallory/arrangements", string(arrangement)},
		{"POST", "/api/v1/tenants/mallory/arrangements/trial", string(arrangement)},
		{"GET", "/api/v1/tenants/mallory/events?limit=500", ""},
		{"GET", "/api/v1/tenants/acme", ""}, {"DELETE", "/api/v1/tenants/acme/arrangements/to-bank", ""},
		{"POST", "/api/v1/tenants/acme/key-users", `{"name":"mallory","email":"m@example.com"}`},
		{"DELETE", "/api/v1/tenants/mallory/arrangements/" + name, ""},
	} {
		s.try(ctx, c[0], api+c[1], s.user, strings.NewReader(c[2]), "Content-Type", "application/json", "If-Match", "*",
			"Idempotency-Key", fmt.Sprint(random.Uint64()))
	}
}

// strange is a stranger without a token.
func (s *siege) strange(ctx context.Context, random *rand.Rand) {
	api, gateway := s.any(random)
	invented := fmt.Sprintf("M%X", random.Uint32())
	s.try(ctx, invented, gateway+"/acme/to-bank/orders", "", strings.NewReader("<order/>"))
	s.try(ctx, invented, api+"/api/v1/tenants/"+invented, "perennial_"+invented, nil)
	s.try(ctx, "POST", api+"/api/v1/tenants", "", strings.NewReader("{}"), "Idempotency-Key", invented)
	s.try(ctx, "GET", api+"/rollover/"+invented, "", nil)
	s.try(ctx, "GET", api+"/feeds/"+invented+"/"+invented+"/certificates.jws", "", nil)
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(gateway, "http://"))
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, []string{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\x16\x03\x01\x02\x00",
		"POST /acme/to-bank/orders HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		strings.Repeat("A", 100_000)}[random.IntN(4)])
}

// guess guesses the password of an account.
func (s *siege) guess(ctx context.Context, random *rand.Rand) {
	api, _ := s.any(random)
	form := url.Values{"name": {fmt.Sprint("user", random.IntN(100))}, "password": {fmt.Sprint(random.Uint64())}}
	s.try(ctx, "POST", api+"/sign-in", "", strings.NewReader(form.Encode()), "Content-Type",
		"application/x-www-form-urlencoded", "Origin", api)
}

// The hostile act and rest in turns, so that both halves see the same machine. -besieged sets how long it lasts: an
// hour with make hostile. A machine that is busy with other things has too few quiet moments to judge the ratio of a
// short run exactly, so that its bound is loose.
func TestTheInnocentLoseNothingAndWaitNoLongerBesideTheHostile(t *testing.T) {
	if testing.Short() {
		t.Skipf("it takes %v", *besieged)
	}
	w := newWorldOn(t, 1, testenv.NewServer(t), false) // the log of the database alone outgrows a small disk in minutes
	db, err := store.Open(t.Context(), w.databases())
	check(t, err)
	t.Cleanup(func() { db.Close() })
	token := w.arrange()
	acme, err := db.Tenant(t.Context(), "acme")
	check(t, err)
	first, err := db.Newest(t.Context(), acme.ID, tenancy.ForTenant)
	check(t, err)
	w.bank.install(first.Fingerprint)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := w.besiege(ctx)
	var waits [2][]time.Duration // while they rest, and while they act
	client := &http.Client{Timeout: 20 * time.Second}
	began, orders := time.Now(), 0
	for turn := 0; time.Since(began) < *besieged || turn < 4; turn++ {
		s.resting.Store(turn%2 == 0)
		pause(200 * time.Millisecond) // what they began is over, or has begun
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); orders++ {
			at := time.Now()
			w.order(client, fmt.Sprint("order-", orders), token, orders%3)
			waits[turn%2] = append(waits[turn%2], time.Since(at))
			pause(2 * time.Millisecond)
		}
	}
	stop()
	w.bank.mu.Lock()
	defer w.bank.mu.Unlock()
	for n := range orders {
		if got := w.bank.orders[fmt.Sprint("order-", n)]; got != 1 {
			t.Errorf("order %d arrived %d times", n, got)
		}
	}
	if users, _, err := db.KeyUsers(t.Context(), acme.ID, store.Page{Limit: 10}); err != nil || len(users) > 0 {
		t.Errorf("the neighbour's key user was added: %v, %v", users, err)
	}
	quiet, loud := median(waits[0]), median(waits[1])
	t.Logf("%d orders beside %d hostile acts: median wait %s at rest, %s under siege, ratio %.2f; 95 of 100 within %s at "+
		"rest, %s under siege", orders, s.completed.Load(), quiet, loud, float64(loud)/float64(quiet),
		percentile(waits[0], 95), percentile(waits[1], 95))
	// The hostile tenants and their clients use the CPU, too. With other tests on the same cores, an order took 44 ms
	// under siege and 3.5 ms at rest. If the hostile could fill a queue or hold a lock, it would take seconds.
	limit := 5*quiet + 100*time.Millisecond
	if *besieged >= 10*time.Minute {
		limit = quiet * 12 / 10
	}
	if loud > limit {
		t.Errorf("the innocent wait %s instead of %s", loud, quiet)
	}
}

// order sends one order through a replica. It must be taken.
func (w *world) order(client *http.Client, id, token string, replica int) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+w.replicas[replica].gateway+"/acme/to-bank/orders",
		strings.NewReader("<order/>"))
	check(w.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Order", id)
	res, err := client.Do(r)
	if err != nil {
		w.t.Errorf("order %s: %v", id, err)
		return
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Errorf("order %s was answered %s", id, res.Status)
	}
}

func median(all []time.Duration) time.Duration { return percentile(all, 50) }

// percentile returns the time within which so many of 100 waits end.
func percentile(all []time.Duration, of int) time.Duration {
	slices.Sort(all)
	return all[len(all)*of/100]
}
