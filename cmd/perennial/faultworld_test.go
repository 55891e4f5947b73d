package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// elsewhen is the program with a clock whose offset is in one file, and an issuer whose behaviour is in another. Its
// runs have parts of seven certificates.
func elsewhen() {
	var mu sync.Mutex
	var offset time.Duration
	var read time.Time
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(read) > 20*time.Millisecond {
			if data, err := os.ReadFile(os.Getenv("CLOCK")); err == nil {
				if d, err := time.ParseDuration(string(data)); err == nil {
					offset = d
				}
			}
			read = time.Now()
		}
		return time.Now().Add(offset)
	}
	moody := func(i issuer.Issuer) issuer.Issuer { return &moodyIssuer{Issuer: i} }
	os.Exit(run(os.Args[1:], env{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: now, issuer: moody, partSize: 7}))
}

// A moodyIssuer works, is slow, is down or lies, as a file directs.
type moodyIssuer struct {
	issuer.Issuer
	lies atomic.Int32
}

func (m *moodyIssuer) Unwrap() issuer.Issuer { return m.Issuer }

func (m *moodyIssuer) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	mood, _ := os.ReadFile(os.Getenv("ISSUER"))
	switch string(mood) {
	case "down":
		return issuer.Issued{}, errors.New("the CA is down")
	case "slow":
		select {
		case <-ctx.Done():
			return issuer.Issued{}, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	case "lying":
		switch m.lies.Add(1) % 3 {
		case 0: // a certificate that has expired
			r.At = r.At.Add(-r.Validity - policy.Day)
		case 1: // another tenant's
			r.Tenant = "zeta"
		case 2: // for another key
			key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
			if err != nil {
				return issuer.Issued{}, err
			}
			r.Key = crypto.Signer(key)
		}
	}
	return m.Issuer.Issue(ctx, r)
}

// world holds three replicas, each with its own connections to the databases, and every peer that they talk to.
type world struct {
	t       *testing.T
	random  *rand.Rand
	dir     string
	primary *testenv.Server
	// smallDisk is set if the primary has a disk of its own, which can be filled.
	smallDisk bool
	standby   *testenv.Server
	mails     *moodySink
	smtpURL   string
	replicas  []*faultReplica
	policy    policy.Policy
	month     int
	passed    time.Duration // time by which the clocks are ahead of the machine's
	bank      *bank
	token     string
	seed      int
	sent      atomic.Int64 // orders that got a response
	notes     []string
	cutOvers  int // newest generation that acme has cut over to
}

// now returns the time of a correct clock.
func (w *world) now() time.Time { return time.Now().Add(w.passed) }

// pass advances every clock.
func (w *world) pass(d time.Duration) {
	w.passed += d
	w.bank.pass(w.passed)
	for _, r := range w.replicas {
		r.setClock()
	}
}

func (w *world) issuerIs(mood string) {
	check(w.t, os.WriteFile(filepath.Join(w.dir, "issuer"), []byte(mood), 0o600))
}

// databases returns an address that reaches the primary, whichever server it is.
func (w *world) databases() string {
	return "postgres://postgres@" + w.primary.Addr + "," + w.standby.Addr + "/postgres?target_session_attrs=read-write"
}

type faultReplica struct {
	*world
	number  int
	cmd     *exec.Cmd
	clock   string // file of its offset
	skew    time.Duration
	listen  string
	gateway string
	ways    []*way // connections to the primary and the standby
	output  *os.File
}

// A way is a TCP proxy that can be cut.
type way struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	down     bool
	open     map[net.Conn]bool
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	w := &way{listener: l, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.Close()
		w.cut(true)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *way) serve(c net.Conn) {
	defer c.Close()
	there, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer there.Close()
	w.mu.Lock()
	if w.down {
		w.mu.Unlock()
		return
	}
	w.open[c], w.open[there] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, c)
		delete(w.open, there)
	}()
	go func() {
		io.Copy(there, c)
		there.Close()
	}()
	io.Copy(c, there)
}

func (w *way) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	if down {
		for c := range w.open {
			c.Close()
		}
	}
}

// moodySink is a mail server that may accept a mail and die before it confirms that.
type moodySink struct {
	*sink
	dies atomic.Int32 // number of further mails that it dies on
}

func (s *moodySink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &moodySession{&sinkSession{s.sink}, s, c}, nil
}

type moodySession struct {
	*sinkSession
	s *moodySink
	c *smtp.Conn
}

func (c *moodySession) Data(r io.Reader) error {
	err := c.sinkSession.Data(r)
	if c.s.dies.Add(-1) >= 0 {
		c.c.Conn().Close()
	}
	return err
}

// A bank pins certificates. It records every message, and every fault of the certificates that it is shown.
type bank struct {
	server  *httptest.Server
	ca      string // file
	refuses string // by a status, a TLS alert, or by closing the connection
	mu      sync.Mutex
	knows   map[string]bool // fingerprints that it accepts
	knew    []map[string]bool
	orders  map[string]int // accepted, by ID
	passed  time.Duration  // as in the world
	passing time.Time      // when time last advanced: it may advance during a handshake
	expired []string       // certificates that were shown after their expiry
}

var refusals = []string{"401", "an alert", "silence"}

func startBank(t *testing.T, dir, refuses string) *bank {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().AddDate(-1, 0, 0),
		NotAfter: time.Now().AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	check(t, err)
	b := &bank{ca: filepath.Join(dir, "bank.pem"), refuses: refuses, knows: map[string]bool{}, orders: map[string]int{}}
	check(t, os.WriteFile(b.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	b.server = httptest.NewUnstartedServer(b)
	b.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth: tls.RequireAnyClientCert, VerifyPeerCertificate: b.shown}
	b.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	return b
}

// shown checks a certificate during the handshake.
func (b *bank) shown(raw [][]byte, _ [][]*x509.Certificate) error {
	c, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.passing) > time.Second && c.NotAfter.Before(time.Now().Add(b.passed)) {
		b.expired = append(b.expired, c.SerialNumber.Text(16))
	}
	if b.refuses == "an alert" && !b.knows[certfile.Fingerprint(raw[0])] {
		return errors.New("unknown certificate")
	}
	return nil
}

func (b *bank) pass(passed time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passed, b.passing = passed, time.Now()
}

// known returns the fingerprints that it accepts.
func (b *bank) known() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.knows))
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	known := b.refuses == "an alert" || b.knows[certfile.Fingerprint(r.TLS.PeerCertificates[0].Raw)]
	b.mu.Unlock()
	if !known && b.refuses == "silence" {
		panic(http.ErrAbortHandler)
	} else if !known {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders[r.Header.Get("Order")]++
}

// install replaces the certificates that the bank accepts, at once.
func (b *bank) install(fingerprints ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knows = map[string]bool{}
	for _, f := range fingerprints {
		b.knows[f] = true
	}
	b.knew = append(b.knew, b.knows)
}

// replaced reports whether the bank has accepted a certificate without another one.
func (b *bank) replaced(other, by string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.knew, func(known map[string]bool) bool { return known[by] && !known[other] })
}

func (w *world) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (r *faultReplica) setClock() {
	check(r.t, os.WriteFile(r.clock, []byte((r.passed+r.skew).String()), 0o600))
}

func (r *faultReplica) start() {
	r.setClock()
	url := "postgres://postgres@" + r.ways[0].listener.Addr().String() + "," + r.ways[1].listener.Addr().String() +
		"/postgres?target_session_attrs=read-write&connect_timeout=2"
	r.cmd = exec.Command("perennial-elsewhen", "serve", "--listen", r.listen, "--gateway", r.gateway, "--database", url,
		"--key-file", filepath.Join(r.dir, "key"), "--smtp", r.smtpURL,
		"--policy", filepath.Join(r.dir, "policy.yaml"), "--job-lease", "4s", "--log-level", "error", "--allow-target",
		"127.0.0.0/8", "--parked-bytes", "10000000")
	zone := []string{"UTC", "America/New_York", "Australia/Lord_Howe"}[r.number] // zone of the machine: it must not matter
	r.cmd.Env = append(os.Environ(), "CLOCK="+r.clock, "ISSUER="+filepath.Join(r.dir, "issuer"), "TZ="+zone)
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	check(r.t, r.cmd.Start())
}

// said returns the replica's output so far.
func (r *faultReplica) said() string {
	text, err := os.ReadFile(r.output.Name())
	check(r.t, err)
	return string(text)
}

func (r *faultReplica) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// restart kills the replica and starts it again.
func (r *faultReplica) restart() {
	r.kill()
	r.start()
}

// alive restarts a replica that has exited, for instance because it found no database when it started.
func (r *faultReplica) alive() {
	if exited(r.cmd.Process.Pid) {
		r.restart()
	}
}

// exited reports whether a child has ended and was not yet waited for.
func exited(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// pause waits while the fault lasts, because faults take wall time.
func pause(d time.Duration) { <-time.After(d) }

const crowd = 40

// newWorld starts a world whose primary has a small disk of its own, which a fault can fill.
func newWorld(t *testing.T, seed int) *world {
	primary, small := testenv.NewServerOn(t, 400)
	return newWorldOn(t, seed, primary, small)
}

func newWorldOn(t *testing.T, seed int, primary *testenv.Server, small bool) *world {
	w := &world{t: t, seed: seed, primary: primary, smallDisk: small,
		random: rand.New(rand.NewPCG(uint64(seed), 7)), dir: t.TempDir(),
		mails: &moodySink{sink: &sink{ids: map[string]int{}}}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(w.notes, "\n"))
			for _, r := range w.replicas {
				t.Logf("output of replica %d:\n%s", r.number, r.said())
			}
		}
	})
	w.standby = w.primary.Standby(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := smtp.NewServer(w.mails)
	server.ErrorLog = log.New(io.Discard, "", 0) // it reports connections that ended with their client
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	w.smtpURL = "smtp://" + l.Addr().String() + "?tls=none"
	w.bank = startBank(t, w.dir, refusals[w.random.IntN(len(refusals))])
	w.issuerIs("well")
	// Two of these zones change to and from daylight saving time on a Sunday at about half past two.
	schedule := []string{"{every: month}", `{every: week, day: sunday, at: "02:30", zone: Europe/Berlin}`,
		`{every: week, day: sunday, at: "02:30", zone: America/New_York}`}[w.random.IntN(3)]
	// Renewals are early enough for a service that runs once a month, even if the CA is down for two weeks then.
	path := filepath.Join(w.dir, "policy.yaml")
	check(t, os.WriteFile(path, []byte("name: faults\nschedule: "+schedule+"\nrenew_within: 80d\nwarn_from: "+
		"78d\nwarn_to: 111d\nvalidity: 150d\n"), 0o600))
	if w.policy, err = service.LoadPolicy(path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r := &faultReplica{world: w, number: i, clock: filepath.Join(w.dir, fmt.Sprint("clock", i)),
			listen: testenv.Address(t), gateway: testenv.Address(t)}
		r.ways = []*way{newWay(t, w.primary.Addr), newWay(t, w.standby.Addr)}
		w.replicas = append(w.replicas, r)
		r.output, err = os.Create(filepath.Join(w.dir, fmt.Sprint("output", i)))
		check(t, err)
		t.Cleanup(func() { r.output.Close() })
		r.start()
		t.Cleanup(r.kill)
		if i == 0 { // it creates the key file and the first token
			testenv.Eventually(t, func() bool { return ready(r) })
		}
	}
	for _, r := range w.replicas {
		testenv.Eventually(t, func() bool { return ready(r) })
	}
	testenv.Eventually(t, func() bool { return strings.Contains(w.replicas[0].said(), "Then,") })
	_, token, _ := strings.Cut(w.replicas[0].said(), "PERENNIAL_TOKEN=")
	w.token, _, _ = strings.Cut(token, "\n")
	return w
}

func ready(r *faultReplica) bool {
	res, err := http.Get("http://" + r.listen + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// client runs a command against the first replica.
func (w *world) client(args ...string) string {
	w.t.Helper()
	return commands(w.t, "http://"+w.replicas[0].listen, w.token)(args...)
}

// arrange creates the tenant acme, whose orders go to the bank, and a token to send them.
func (w *world) arrange() (sender string) {
	w.client("tenant", "create", "acme")
	w.client("receiver", "create", "acme", "bank")
	w.client("arrangement", "create", "acme", "to-bank", "--receiver", "bank", "--endpoint", w.bank.server.URL,
		"--server-ca", w.bank.ca)
	text := w.client("token", "create", "app", "--role", "sender", "--tenant", "acme", "--expires",
		time.Now().AddDate(0, 11, 0).Format(time.DateOnly))
	return secretIn(text)
}

// found creates many tenants whose certificates were issued by another system and expire at different times.
func (w *world) found(s *store.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	var tenants []tenancy.Tenant
	var users []tenancy.KeyUser
	var projects []tenancy.ScopingProject
	var certs []store.SealedCertificate
	for i := range crowd {
		tenant := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("t%d", i), DisplayName: "T", KeyType: tenancy.P256,
			CreatedAt: now, Version: 1}
		tenants = append(tenants, tenant)
		for _, name := range []string{"alice", "bob", "carol"} {
			u := tenancy.KeyUser{ID: store.NewID(), TenantID: tenant.ID, Name: name, Email: name + "@example.com",
				UnsubscribeToken: store.NewID(), CreatedAt: now, Version: 1}
			if name == "alice" {
				u.SubscribedAt = now
			}
			users = append(users, u)
		}
		projects = append(projects, tenancy.ScopingProject{ID: store.NewID(), TenantID: tenant.ID,
			Name: tenancy.FirstProject, CreatedAt: now, Version: 1,
			Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "test", At: now}}})
		notAfter := now.Add(time.Duration(95+w.random.IntN(90)) * policy.Day)
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: store.NewID(),
			TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			Serial: fmt.Sprintf("%032x", i), Fingerprint: fmt.Sprintf("%064x", i), Subject: "CN=" + tenant.Name,
			NotBefore: notAfter.Add(-150 * policy.Day), NotAfter: notAfter, KeyType: tenancy.P256, DER: []byte{0x30, 0},
			IssuerID: "x", CreatedAt: now}})
	}
	check(w.t, s.InTx(w.t.Context(), func(tx *store.Tx) error {
		return tx.Create(w.t.Context(),
			store.Rows{Tenants: tenants, Projects: projects, KeyUsers: users, Certificates: certs})
	}))
}

// messages sends orders until the context ends, as a platform behind a load balancer does: to another gateway if one is
// down or has no route yet.
func (w *world) messages(ctx context.Context, flow int, token string) {
	client := &http.Client{Timeout: 20 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%d-%d", flow, n)
		first := time.Now()
		for try := 0; ; try++ {
			r, err := http.NewRequest(http.MethodPost, "http://"+w.replicas[(flow+try)%3].gateway+"/acme/to-bank/orders",
				strings.NewReader("<order/>"))
			check(w.t, err)
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Order", id)
			res, err := client.Do(r)
			if err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					w.sent.Add(1)
					break
				}
				if res.StatusCode != http.StatusServiceUnavailable {
					w.t.Errorf("order %s was answered %s", id, res.Status)
					break
				}
			}
			if time.Since(first) > time.Minute {
				w.t.Errorf("order %s could not be sent by any gateway for a minute: %v", id, err)
				return
			}
			pause(20 * time.Millisecond)
		}
		pause(20 * time.Millisecond)
	}
}
