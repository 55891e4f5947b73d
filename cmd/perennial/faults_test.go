package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
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
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/perennial-pki/perennial/internal/certfile"
	"github.com/perennial-pki/perennial/internal/lifecycle"
	"github.com/perennial-pki/perennial/internal/store"
	"github.com/perennial-pki/perennial/internal/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	seeds     = flag.Int("seeds", 0, "how many fault seeds: make faults")
	firstSeed = flag.Int("first-seed", 1, "the first of them")
)

// elsewhen is the program with a clock that a file moves: the seconds in it are added to the machine's.
func elsewhen() {
	runPart = 7
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
	os.Exit(run(os.Args[1:], env{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: now}))
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
	month     int
	bank      *bank
	token     string
	seed      int
	notes     []string
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

// A bank pins certificates. It writes down every message, and what it knew then.
type bank struct {
	server *httptest.Server
	ca     string // file
	mu     sync.Mutex
	knows  map[string]bool // fingerprints
	orders map[string]int  // accepted, by ID
}

func startBank(t *testing.T, dir string) *bank {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	check(t, err)
	b := &bank{ca: filepath.Join(dir, "bank.pem"), knows: map[string]bool{}, orders: map[string]int{}}
	check(t, os.WriteFile(b.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	b.server = httptest.NewUnstartedServer(b)
	b.server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: tls.RequireAnyClientCert}
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	return b
}

func (b *bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.knows[certfile.Fingerprint(r.TLS.PeerCertificates[0].Raw)] {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
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
	offset := time.Duration(r.month)*31*policy.Day + r.skew
	check(r.t, os.WriteFile(r.clock, []byte(offset.String()), 0o600))
}

func (r *faultReplica) start() {
	r.setClock()
	url := "postgres://postgres@" + r.ways[0].listener.Addr().String() + "," + r.ways[1].listener.Addr().String() + "/postgres?target_session_attrs=read-write&connect_timeout=2"
	r.cmd = exec.Command("perennial-elsewhen", "serve", "--listen", r.listen, "--gateway", r.gateway, "--database", url, "--key-file", filepath.Join(r.dir, "key"), "--smtp", r.smtpURL,
		"--policy", filepath.Join(r.dir, "policy.yaml"), "--job-lease", "4s", "--log-level", "error", "--allow-target", "127.0.0.0/8")
	r.cmd.Env = append(os.Environ(), "CLOCK="+r.clock)
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

// A fault happens and ends.
type fault struct {
	name string
	do   func(w *world)
}

var faults = []fault{
	{"a replica is killed", func(w *world) { w.any().restart() }},
	{"a replica stands still for longer than the lease", func(w *world) {
		r := w.any()
		r.cmd.Process.Signal(syscall.SIGSTOP)
		pause(5 * time.Second)
		r.cmd.Process.Signal(syscall.SIGCONT)
	}},
	{"a replica is cut off from the database", func(w *world) {
		r := w.any()
		for _, way := range r.ways {
			way.cut(true)
		}
		pause(time.Duration(500+w.random.IntN(2500)) * time.Millisecond)
		for _, way := range r.ways {
			way.cut(false)
		}
	}},
	{"the database crashes", func(w *world) { w.primary.Restart(w.t, true) }},
	{"the database is restarted", func(w *world) { w.primary.Restart(w.t, false) }},
	{"the mail server takes mails and dies before it says so", func(w *world) { w.mails.dies.Store(int32(1 + w.random.IntN(5))) }},
	{"a clock is off", func(w *world) {
		r := w.any()
		r.skew = time.Duration(w.random.IntN(12*60)-6*60) * time.Minute
		r.setClock()
	}},
	{"the schema gets a column, as an additive migration brings", func(w *world) {
		s, err := store.Open(w.t.Context(), w.primary.URL("postgres"))
		if err != nil {
			return // it is down at the moment
		}
		defer s.Close()
		s.DB().ExecContext(w.t.Context(), fmt.Sprintf("ALTER TABLE certificates ADD COLUMN IF NOT EXISTS later_%d BIGINT NOT NULL DEFAULT 0", w.month))
	}},
	{"the database's disk is full", func(w *world) {
		ballast := filepath.Join(w.primary.Dir(), "ballast")
		f, err := os.Create(ballast)
		check(w.t, err)
		io.Copy(f, zeros{})
		f.Close()
		pause(2 * time.Second)
		check(w.t, os.Remove(ballast))
		w.primary.Restart(w.t, true) // PostgreSQL may have given up over its own log
	}},
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func (w *world) any() *faultReplica { return w.replicas[w.random.IntN(len(w.replicas))] }

// Three replicas, real servers, and one fault after the other, as the seed says. In the end everything is as if there had been
// none, but for mails that came twice under one Message-ID.
func TestFaultsCostNothingThatIsPromised(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newWorld(t, seed).live() })
	}
}

const crowd = 40

func newWorld(t *testing.T, seed int) *world {
	w := &world{t: t, seed: seed, random: rand.New(rand.NewPCG(uint64(seed), 7)), dir: t.TempDir(), mails: &moodySink{sink: &sink{ids: map[string]int{}}}}
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
	w.bank = startBank(t, w.dir)
	check(t, os.WriteFile(filepath.Join(w.dir, "policy.yaml"), []byte("name: faults\nschedule: {every: month}\nrenew_within: 62d\nwarn_from: 60d\nwarn_to: 93d\nvalidity: 150d\n"), 0o600))
	for i := range 3 {
		r := &faultReplica{world: w, number: i, clock: filepath.Join(w.dir, fmt.Sprint("clock", i)), listen: fmt.Sprint("127.0.0.1:", freePort(t)), gateway: fmt.Sprint("127.0.0.1:", freePort(t))}
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

func (w *world) open() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), "postgres://postgres@"+w.primary.Addr+","+w.standby.Addr+"/postgres?target_session_attrs=read-write")
	check(w.t, err)
	w.t.Cleanup(func() { s.Close() })
	return s
}

func (w *world) live() {
	t := w.t
	s := w.open()
	w.found(s)
	w.client("tenant", "create", "acme")
	w.client("receiver", "create", "acme", "bank")
	w.client("arrangement", "create", "acme", "to-bank", "--receiver", "bank", "--endpoint", w.bank.server.URL, "--server-ca", w.bank.ca)
	sender := w.client("token", "create", "app", "--role", "sender", "--tenant", "acme", "--expires", time.Now().AddDate(0, 11, 0).Format(time.DateOnly))
	i := strings.Index(sender, "perennial_")
	sender, _, _ = strings.Cut(strings.Fields(sender[i:])[0], "\n")
	acme, err := s.Tenant(t.Context(), "acme")
	check(t, err)
	first, err := s.Newest(t.Context(), acme.ID, tenancy.ForTenant)
	check(t, err)
	w.bank.install(first.Fingerprint)

	ctx, stop := context.WithCancel(t.Context())
	var flows sync.WaitGroup
	sent := make([]int, 2)
	for i := range sent {
		flows.Go(func() { sent[i] = w.messages(ctx, i, sender) })
	}
	known := first
	failedOver := false
	for w.month = 1; w.month <= 4; w.month++ {
		for _, r := range w.replicas {
			r.setClock()
		}
		kick := w.any()
		w.note("month %d: replica %d is restarted, and looks what is due", w.month, kick.number)
		kick.restart()
		for range 1 + w.random.IntN(2) {
			f := faults[w.random.IntN(len(faults))]
			if failedOver && strings.Contains(f.name, "database") && !strings.Contains(f.name, "cut off") || !w.smallDisk && strings.Contains(f.name, "disk") {
				continue
			}
			w.note("  %s", f.name)
			f.do(w)
		}
		if w.month == 3 && w.random.IntN(2) == 0 {
			w.note("  the primary dies, and the standby takes over")
			// A standby that follows as it goes may lack the last moments: then those are lost, as with every database.
			inSync(t, w.primary, w.standby)
			w.primary.Kill()
			w.standby.Promote(t)
			failedOver = true
		}
		w.settle(s)
		// The bank's administrator acts, and goes back once, as people do.
		newest, err := s.Newest(t.Context(), acme.ID, tenancy.ForTenant)
		check(t, err)
		if newest.Fingerprint != known.Fingerprint {
			w.note("  the bank installs generation %d", newest.Generation)
			if w.random.IntN(2) == 0 {
				w.bank.install(known.Fingerprint, newest.Fingerprint)
			} else {
				w.bank.install(newest.Fingerprint)
				pause(300 * time.Millisecond)
				w.bank.install(known.Fingerprint)
				pause(300 * time.Millisecond)
				w.bank.install(newest.Fingerprint)
			}
			pause(300 * time.Millisecond)
			known = newest
		}
	}
	stop()
	flows.Wait()
	w.month--
	w.verify(s, acme, sent[0]+sent[1])
}

// found makes a crowd of tenants whose certificates expire at different times, as another system issued them.
func (w *world) found(s *store.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	var tenants []tenancy.Tenant
	var users []tenancy.KeyUser
	var projects []tenancy.ScopingProject
	var certs []store.SealedCertificate
	for i := range crowd {
		tenant := tenancy.Tenant{ID: lifecycle.NewID(), Name: fmt.Sprintf("t%d", i), DisplayName: "T", KeyType: tenancy.P256, CreatedAt: now, Version: 1}
		tenants = append(tenants, tenant)
		for _, name := range []string{"alice", "bob", "carol"} {
			u := tenancy.KeyUser{ID: lifecycle.NewID(), TenantID: tenant.ID, Name: name, Email: name + "@example.com", UnsubscribeToken: lifecycle.NewID(), CreatedAt: now, Version: 1}
			if name == "alice" {
				u.SubscribedAt = now
			}
			users = append(users, u)
		}
		projects = append(projects, tenancy.ScopingProject{ID: lifecycle.NewID(), TenantID: tenant.ID, Name: tenancy.FirstProject, CreatedAt: now, Version: 1,
			Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "test", At: now}}})
		notAfter := now.Add(time.Duration(95+w.random.IntN(90)) * policy.Day)
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: lifecycle.NewID(), TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			Serial: fmt.Sprintf("%032x", i), Fingerprint: fmt.Sprintf("%064x", i), Subject: "CN=" + tenant.Name, NotBefore: notAfter.Add(-150 * policy.Day), NotAfter: notAfter, KeyType: tenancy.P256, DER: []byte{0x30, 0}, IssuerID: "x", CreatedAt: now}})
	}
	check(w.t, s.InTx(w.t.Context(), func(tx *store.Tx) error { return tx.Import(w.t.Context(), tenants, users, projects, certs) }))
}

// settle lets the replicas find their peace: all are up, every run date that has come is done, and every mail sent.
func (w *world) settle(s *store.Store) {
	w.t.Helper()
	w.mails.dies.Store(0)
	due := policyOf(w.t, w.dir).Schedule.Latest(time.Now().Add(time.Duration(w.month)*31*policy.Day - 7*time.Hour)) // of the slowest clock
	kicked, kicks := time.Now(), 0
	testenv.Eventually(w.t, func() bool {
		for _, r := range w.replicas {
			r.alive()
		}
		_, err := s.Run(w.t.Context(), due)
		unfinished, err1 := s.UnfinishedRuns(w.t.Context())
		counts, err2 := s.CountMails(w.t.Context())
		if err == nil && err1 == nil && err2 == nil && len(unfinished) == 0 && len(counts) == 0 {
			return true
		}
		// The tick is hourly, and nobody waits an hour here: a replica that starts looks at once.
		if time.Since(kicked) > 5*time.Second {
			r := w.replicas[kicks%len(w.replicas)]
			w.note("  not settled: %d runs, mails %v, errors %v; replica %d is restarted", len(unfinished), counts, errors.Join(err, err1, err2), r.number)
			kicked = time.Now()
			kicks++
			r.restart()
		}
		return false
	})
}

func policyOf(t *testing.T, dir string) policy.Policy {
	t.Helper()
	p, err := loadPolicy(filepath.Join(dir, "policy.yaml"))
	check(t, err)
	return p
}

// messages sends orders until the context ends, as a platform does behind a load balancer: to another gateway where one is not
// there or cannot yet say what to present.
func (w *world) messages(ctx context.Context, flow int, token string) (sent int) {
	client := &http.Client{Timeout: 20 * time.Second}
	for ctx.Err() == nil {
		id := fmt.Sprintf("%d-%d", flow, sent)
		first := time.Now()
		for try := 0; ; try++ {
			r, err := http.NewRequest(http.MethodPost, "http://"+w.replicas[(flow+try)%3].gateway+"/acme/to-bank/orders", strings.NewReader("<order/>"))
			check(w.t, err)
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Order", id)
			res, err := client.Do(r)
			if err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					break
				}
				if res.StatusCode != http.StatusServiceUnavailable {
					w.t.Errorf("order %s was answered %s", id, res.Status)
					break
				}
			}
			if time.Since(first) > time.Minute {
				w.t.Errorf("order %s was delivered by no gateway for a minute: %v", id, err)
				return sent
			}
			pause(20 * time.Millisecond)
		}
		sent++
		pause(20 * time.Millisecond)
	}
	return sent
}

// verify looks from the outside: at the database, the mailboxes and what the bank wrote down.
func (w *world) verify(s *store.Store, acme tenancy.Tenant, sent int) {
	t, ctx := w.t, w.t.Context()
	p := policyOf(t, w.dir)
	last, err := s.LatestRun(ctx)
	check(t, err)
	mails, twice := 0, 0
	for i := range crowd {
		tenant, err := s.Tenant(ctx, fmt.Sprintf("t%d", i))
		check(t, err)
		certs, err := s.Certificates(ctx, tenant.ID, "", 100)
		check(t, err)
		slices.SortFunc(certs, func(a, b tenancy.Certificate) int { return a.Generation - b.Generation })
		for n, c := range certs {
			if c.Generation != n+1 || n > 0 && certs[n-1].SuccessorID != c.ID {
				t.Errorf("invariant 4: %s: generation %d follows %d", tenant.Name, c.Generation, n)
			}
			if n > 0 && certs[n-1].NotAfter.Before(c.NotBefore) {
				t.Errorf("invariant 7: %s: generation %d had expired before %d was valid", tenant.Name, n, n+1)
			}
		}
		newest := certs[len(certs)-1]
		if a := p.Decide(policy.Validity{NotBefore: newest.NotBefore, NotAfter: newest.NotAfter}, last.RunDate); a == policy.Renew || a == policy.Expired {
			t.Errorf("invariant 7: %s: the run of %s did not renew what expires on %s", tenant.Name, last.RunDate, newest.NotAfter)
		}
		notices, err1 := s.Notices(ctx, tenant.ID, "", 1000)
		tasks, err2 := s.Tasks(ctx, tenant.ID, "", "", "", 1000)
		sent, err3 := s.Mails(ctx, tenant.ID, "", "", 1000)
		check(t, errors.Join(err1, err2, err3))
		renewed := 0
		for _, n := range notices {
			if n.Kind == tenancy.Renewed {
				renewed++
			}
		}
		if renewed != len(certs)-1 || len(tasks) != 3*len(notices) || len(sent) != len(notices) {
			t.Errorf("invariant 5: %s: %d generations, %d notices of renewals, %d notices, %d tasks, %d mails", tenant.Name, len(certs), renewed, len(notices), len(tasks), len(sent))
		}
		for _, m := range sent {
			mails++
			if n := w.mails.times(m.MessageID); n < 1 || m.State != tenancy.MailSent {
				t.Errorf("invariant 5: a mail of %s is %s, and came %d times", tenant.Name, m.State, n)
			} else if n > 1 {
				twice++
			}
		}
	}
	if len(w.mails.ids) != mails {
		t.Errorf("invariant 5: %d Message-IDs came, of %d mails", len(w.mails.ids), mails)
	}
	if _, err := s.VerifyEvents(ctx); err != nil {
		t.Errorf("invariant 8: %v", err)
	}
	if len(w.bank.orders) < sent {
		t.Errorf("invariant 1: %d orders were sent, and the bank has %d", sent, len(w.bank.orders))
	}
	certs, err := s.Certificates(ctx, acme.ID, "", 100)
	check(t, err)
	t.Logf("seed %d: %d orders, %d generations of acme, %d mails, %d of them more than once under their Message-ID\n%s", w.seed, sent, len(certs), mails, twice, strings.Join(w.notes, "\n"))
}
