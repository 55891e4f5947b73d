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

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// elsewhen is the program with a clock that one file moves, what it says is added to the machine's, and an issuer whose
// mood another file says. Its runs have parts of seven certificates.
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

// A moodyIssuer is well, slow, down or lying, as a file says.
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
		case 1: // somebody else's
			r.Tenant = "zeta"
		case 2: // of another key
			key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
			if err != nil {
				return issuer.Issued{}, err
			}
			r.Key = crypto.Signer(key)
		}
	}
	return m.Issuer.Issue(ctx, r)
}

// world is three replicas, each with its own way to the databases, and everything that they talk to.
type world struct {
	t       *testing.T
	random  *rand.Rand
	dir     string
	primary *testenv.Server
	// smallDisk: the primary has a disk of its own, which can be filled.
	smallDisk bool
	standby   *testenv.Server
	mails     *moodySink
	smtpURL   string
	replicas  []*faultReplica
	policy    policy.Policy
	month     int
	passed    time.Duration // that the clocks are ahead of the machine's
	bank      *bank
	token     string
	seed      int
	sent      atomic.Int64 // orders that were answered
	notes     []string
	cutOvers  int // the newest generation that acme has cut over to
}

// now is what a clock says that is right.
func (w *world) now() time.Time { return time.Now().Add(w.passed) }

// pass lets time pass.
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

// databases is the address of the primary, whichever it is.
func (w *world) databases() string {
	return "postgres://postgres@" + w.primary.Addr + "," + w.standby.Addr + "/postgres?target_session_attrs=read-write"
}

type faultReplica struct {
	*world
	number  int
	cmd     *exec.Cmd
	clock   string // the file
	skew    time.Duration
	listen  string
	gateway string
	ways    []*way // to the primary and the standby
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

// moodySink is a mail server that may take a mail and die before it says so.
type moodySink struct {
	*sink
	dies atomic.Int32 // how many more mails it dies over
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

// A bank pins certificates. It writes down every message, and what is wrong with the certificates that it is shown.
type bank struct {
	server  *httptest.Server
	ca      string // file
	refuses string // with a status, a TLS alert, or by closing the connection
	mu      sync.Mutex
	knows   map[string]bool // fingerprints
	orders  map[string]int  // accepted, by ID
	passed  time.Duration   // as in the world
	passing time.Time       // when time last passed: what is under way then may see it pass
	expired []string        // certificates that had expired when they were shown
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

// shown looks at a certificate in the handshake.
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

// known are the fingerprints that it knows.
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

// install changes what the bank knows, at once.
func (b *bank) install(fingerprints ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.knows)
	for _, f := range fingerprints {
		b.knows[f] = true
	}
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
		"127.0.0.0/8")
	zone := []string{"UTC", "America/New_York", "Australia/Lord_Howe"}[r.number] // of the machine, which must not matter
	r.cmd.Env = append(os.Environ(), "CLOCK="+r.clock, "ISSUER="+filepath.Join(r.dir, "issuer"), "TZ="+zone)
	r.cmd.Stdout = r.output
	check(r.t, r.cmd.Start())
}

// said is what the replica printed so far.
func (r *faultReplica) said() string {
	text, err := os.ReadFile(r.output.Name())
	check(r.t, err)
	return string(text)
}

func (r *faultReplica) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

// restart ends it as a crash does, and starts it again.
func (r *faultReplica) restart() {
	r.kill()
	r.start()
}

// alive starts a replica again that gave up, as one does that finds no database when it starts.
func (r *faultReplica) alive() {
	if exited(r.cmd.Process.Pid) {
		r.restart()
	}
}

// exited says whether a child has ended and nobody waited for it.
func exited(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// pause lets wall time pass while the fault lasts: faults are about time.
func pause(d time.Duration) { <-time.After(d) }

const crowd = 40

func newWorld(t *testing.T, seed int) *world {
	w := &world{t: t, seed: seed, random: rand.New(rand.NewPCG(uint64(seed), 7)), dir: t.TempDir(),
		mails: &moodySink{sink: &sink{ids: map[string]int{}}}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(w.notes, "\n"))
			for _, r := range w.replicas {
				t.Logf("replica %d says:\n%s", r.number, r.said())
			}
		}
	})
	w.primary, w.smallDisk = testenv.NewServerOn(t, 400)
	w.standby = w.primary.Standby(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := smtp.NewServer(w.mails)
	server.ErrorLog = log.New(io.Discard, "", 0) // of connections that ended with their client
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	w.smtpURL = "smtp://" + l.Addr().String() + "?tls=none"
	w.bank = startBank(t, w.dir, refusals[w.random.IntN(len(refusals))])
	w.issuerIs("well")
	// On Sundays at half past two the clocks of two of these zones are changed.
	schedule := []string{"{every: month}", `{every: week, day: sunday, at: "02:30", zone: Europe/Berlin}`,
		`{every: week, day: sunday, at: "02:30", zone: America/New_York}`}[w.random.IntN(3)]
	// Renewals are early enough for a service that looks once a month, and for a CA that is down for two weeks then.
	path := filepath.Join(w.dir, "policy.yaml")
	check(t, os.WriteFile(path, []byte("name: faults\nschedule: "+schedule+"\nrenew_within: 80d\nwarn_from: "+
		"78d\nwarn_to: 111d\nvalidity: 150d\n"), 0o600))
	if w.policy, err = service.LoadPolicy(path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r := &faultReplica{world: w, number: i, clock: filepath.Join(w.dir, fmt.Sprint("clock", i)),
			listen: fmt.Sprint("127.0.0.1:", freePort(t)), gateway: fmt.Sprint("127.0.0.1:", freePort(t))}
		r.ways = []*way{newWay(t, w.primary.Addr), newWay(t, w.standby.Addr)}
		w.replicas = append(w.replicas, r)
		r.output, err = os.Create(filepath.Join(w.dir, fmt.Sprint("output", i)))
		check(t, err)
		t.Cleanup(func() { r.output.Close() })
		r.start()
		t.Cleanup(r.kill)
		if i == 0 { // it makes the key and the first token
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
	cmd := exec.Command("perennial", args...)
	cmd.Env = append(os.Environ(), "PERENNIAL_URL=http://"+w.replicas[0].listen, "PERENNIAL_TOKEN="+w.token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("perennial %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// arrange makes acme, whose orders go to the bank, and a token to send them.
func (w *world) arrange() (sender string) {
	w.client("tenant", "create", "acme")
	w.client("receiver", "create", "acme", "bank")
	w.client("arrangement", "create", "acme", "to-bank", "--receiver", "bank", "--endpoint", w.bank.server.URL,
		"--server-ca", w.bank.ca)
	text := w.client("token", "create", "app", "--role", "sender", "--tenant", "acme", "--expires",
		time.Now().AddDate(0, 11, 0).Format(time.DateOnly))
	return strings.Fields(text[strings.Index(text, "perennial_"):])[0]
}

// found makes a crowd of tenants whose certificates expire at different times, as another system issued them.
func (w *world) found(s *store.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	var tenants []tenancy.Tenant
	var users []tenancy.KeyUser
	var projects []tenancy.ScopingProject
	var certs []store.SealedCertificate
	for i := range crowd {
		tenant := tenancy.Tenant{ID: lifecycle.NewID(), Name: fmt.Sprintf("t%d", i), DisplayName: "T", KeyType: tenancy.P256,
			CreatedAt: now, Version: 1}
		tenants = append(tenants, tenant)
		for _, name := range []string{"alice", "bob", "carol"} {
			u := tenancy.KeyUser{ID: lifecycle.NewID(), TenantID: tenant.ID, Name: name, Email: name + "@example.com",
				UnsubscribeToken: lifecycle.NewID(), CreatedAt: now, Version: 1}
			if name == "alice" {
				u.SubscribedAt = now
			}
			users = append(users, u)
		}
		projects = append(projects, tenancy.ScopingProject{ID: lifecycle.NewID(), TenantID: tenant.ID,
			Name: tenancy.FirstProject, CreatedAt: now, Version: 1,
			Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "test", At: now}}})
		notAfter := now.Add(time.Duration(95+w.random.IntN(90)) * policy.Day)
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: lifecycle.NewID(),
			TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			Serial: fmt.Sprintf("%032x", i), Fingerprint: fmt.Sprintf("%064x", i), Subject: "CN=" + tenant.Name,
			NotBefore: notAfter.Add(-150 * policy.Day), NotAfter: notAfter, KeyType: tenancy.P256, DER: []byte{0x30, 0},
			IssuerID: "x", CreatedAt: now}})
	}
	check(w.t, s.InTx(w.t.Context(), func(tx *store.Tx) error {
		return tx.Import(w.t.Context(), tenants, users, projects, certs)
	}))
}

// messages sends orders until the context ends, as a platform does behind a load balancer: to another gateway where one
// is not there or cannot yet say what to present.
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
				w.t.Errorf("order %s was delivered by no gateway for a minute: %v", id, err)
				return
			}
			pause(20 * time.Millisecond)
		}
		pause(20 * time.Millisecond)
	}
}
