package main

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var soaked = flag.Duration("soaked", 15*time.Second, "for how long a service and a guard are under mixed load")

// growing are the tables that grow within half an hour, and why. The others may not. Whether these have a bound in the
// long run is tested by TestNoTableGrowsWithTimeAlone of the package lifecycle.
var growing = map[string]string{
	"certificates": "a row for each renewal", "notices": "a row for each renewal", "tasks": "a row for each renewal",
	"mails": "a row for each renewal", "events": "the audit log", "evidence": "a row for each renewal",
	"message_log": "a row a minute for each arrangement", "river_job": "jobs are kept for a day",
	"api_answers": "answers to repeated requests are kept for a day",
}

// soak is a service on PostgreSQL and a guard under load: messages, renewals, decisions, feeds and an open console.
type soak struct {
	t         *testing.T
	service   *process
	guard     *exec.Cmd
	metrics   string // URL
	perennial func(args ...string) string
	receiver  *receiver.Server
	accepted  []*x509.Certificate
	current   atomic.Pointer[x509.Certificate]
	sent      atomic.Int64
	failures  sync.Map // what failed, for the report
}

// A usage is one measurement of both processes and of the database.
type usage struct {
	memory     [2]int // RSS in MB, of the service and of the guard
	files      [2]int
	goroutines int // of the service
	rows       map[string]int
}

// A service and a guard under load use no more after a while than soon after they have started. -soaked sets for how
// long: half an hour with make soak.
func TestNothingGrowsUnderMixedLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 15 seconds")
	}
	database := testenv.Postgres(t)
	db, err := sql.Open("pgx", database)
	check(t, err)
	defer db.Close()
	s := startSoak(t, database)
	ctx, stop := context.WithCancel(t.Context())
	load := s.load(ctx)
	// The first tenth is for caches and pools. Then the first and the last tenth are compared.
	pause(*soaked / 10)
	first := s.most(db, *soaked/10)
	pause(*soaked * 7 / 10)
	last := s.most(db, *soaked/10)
	stop()
	load.Wait()
	s.failures.Range(func(what, err any) bool {
		t.Errorf("%s failed: %v", what, err)
		return true
	})
	t.Logf("%d messages and %d generations: %s at first, %s at last", s.sent.Load(), len(s.accepted), first, last)
	if s.sent.Load() < 100 || len(s.accepted) < 3 {
		t.Errorf("only %d messages were sent, and %d generations were used", s.sent.Load(), len(s.accepted))
	}
	if *soaked < 5*time.Minute {
		first.memory = last.memory // heaps and caches still fill up: a short run cannot judge that
	}
	for _, problem := range grown(first, last) {
		t.Error(problem)
	}
}

// grown compares what is used at first and at last. Memory and rows may vary by a fifth, because collections and
// clean-ups come in waves.
func grown(first, last usage) (problems []string) {
	for i, name := range []string{"the service", "the guard"} {
		if a, b := first.memory[i], last.memory[i]; b > a+a/5+10 {
			problems = append(problems, fmt.Sprintf("the memory of %s grew from %d to %d MB", name, a, b))
		}
		if a, b := first.files[i], last.files[i]; b > a+a/5+10 {
			problems = append(problems, fmt.Sprintf("the open files of %s grew from %d to %d", name, a, b))
		}
	}
	if a, b := first.goroutines, last.goroutines; b > a+a/5+10 {
		problems = append(problems, fmt.Sprintf("the goroutines of the service grew from %d to %d", a, b))
	}
	for table, b := range last.rows {
		if a := first.rows[table]; growing[table] == "" && b > a+a/5+50 {
			problems = append(problems, fmt.Sprintf("the table %s grew from %d to %d rows", table, a, b))
		}
	}
	return problems
}

func (u usage) String() string {
	rows := 0
	for _, n := range u.rows {
		rows += n
	}
	return fmt.Sprintf("service %d MB, %d files, %d goroutines, guard %d MB, %d files, %d rows", u.memory[0], u.files[0],
		u.goroutines, u.memory[1], u.files[1], rows)
}

func startSoak(t *testing.T, database string) *soak {
	t.Helper()
	s := &soak{t: t}
	dir := t.TempDir()
	receiver, pin, err := newReceiver()
	check(t, err)
	t.Cleanup(receiver.Close)
	s.receiver = receiver
	metrics := fmt.Sprintf("127.0.0.1:%d", testenv.Port(t))
	s.service = begin(t, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--metrics-listen", metrics,
		"--allow-target", "127.0.0.1/32",
		"--database", database, "--key-file", filepath.Join(dir, "key"), "--log-level", "error")
	s.metrics = "http://" + metrics + "/metrics"
	s.perennial = commands(t, s.service.out["URL"], s.service.out["TOKEN"])
	s.perennial("tenant", "create", "acme")
	s.perennial("user", "create", "acme", "alice", "alice@acme.example.com")
	s.perennial("receiver", "create", "acme", "bank")
	s.perennial("arrangement", "create", "acme", "bank", "--receiver", "bank", "--endpoint", receiver.URL,
		"--server-key-pin", pin)
	s.install()
	check(t, os.WriteFile(filepath.Join(dir, "acme.pem"), []byte(s.perennial("certificate", "download", "acme")), 0o600))
	feed := regexp.MustCompile(`http\S+`).FindString(s.perennial("feed", "create", "acme/bank"))
	config := filepath.Join(dir, "guard.yaml")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `decide: {listen: 127.0.0.1:%d, from: rfc9440}
partners:
  - {name: acme, known: [acme.pem], feed: %q, rule: successor, policy: perennial, on_hold: refuse}
`, testenv.Port(t), feed), 0o600))
	s.guard = exec.Command("perennial", "guard", "run", "--config", config, "--log-level", "error")
	s.guard.Stderr = os.Stderr
	testenv.Start(t, s.guard)
	return s
}

// install makes the receiver accept the newest certificate too.
func (s *soak) install() {
	block, _ := pem.Decode([]byte(s.perennial("certificate", "download", "acme")))
	leaf, err := x509.ParseCertificate(block.Bytes)
	check(s.t, err)
	s.accepted = append(s.accepted, leaf)
	s.receiver.Accept(s.accepted...)
	s.current.Store(leaf)
}

// load starts what acts on the service and the guard until the context ends.
func (s *soak) load(ctx context.Context) *sync.WaitGroup {
	var parties sync.WaitGroup
	token := secretIn(s.perennial("token", "create", "app", "--role", "sender", "--tenant", "acme"))
	browser := s.signedIn()
	every := func(d time.Duration, what string, act func() error) {
		parties.Go(func() {
			for ctx.Err() == nil {
				if err := act(); err != nil && ctx.Err() == nil {
					s.failures.Store(what, err)
				}
				pause(d)
			}
		})
	}
	for range 4 {
		every(5*time.Millisecond, "a message", func() error {
			s.sent.Add(1)
			return fetch(ctx, http.DefaultClient, http.MethodPost, s.service.out["GATEWAY"]+"/acme/bank/orders", "Authorization",
				"Bearer "+token)
		})
	}
	decide := s.decide()
	every(20*time.Millisecond, "a decision", func() error { // a generation that is not in the fetched feed yet is refused
		err := fetch(ctx, http.DefaultClient, http.MethodGet, decide, "Client-Cert",
			":"+base64.StdEncoding.EncodeToString(s.current.Load().Raw)+":")
		if err != nil && strings.HasPrefix(err.Error(), "403 ") {
			return nil
		}
		return err
	})
	for _, page := range []string{"/", "/tenants", "/tenants/acme/arrangements/bank", "/log", "/tenants/acme/tasks"} {
		every(time.Second, "the page "+page, func() error {
			return fetch(ctx, browser, http.MethodGet, s.service.out["URL"]+page)
		})
	}
	every(time.Second, "the live connection", func() error { // a page that is left after a while
		open, leave := context.WithTimeout(ctx, 5*time.Second)
		defer leave()
		err := fetch(open, browser, http.MethodGet, s.service.out["URL"]+"/live")
		if open.Err() != nil {
			return nil
		}
		return err
	})
	every(max(2*time.Second, *soaked/100), "a renewal", func() error {
		s.perennial("certificate", "renew", "acme", "--reason", "reissue")
		s.install()
		return nil
	})
	return &parties
}

// decide returns the address of the guard's decision endpoint.
func (s *soak) decide() string {
	config, err := os.ReadFile(s.guard.Args[len(s.guard.Args)-3])
	check(s.t, err)
	return "http://" + regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(string(config)) + "/orders"
}

// signedIn returns a browser in which the operator is signed in.
func (s *soak) signedIn() *http.Client {
	jar, err := cookiejar.New(nil)
	check(s.t, err)
	browser := &http.Client{Jar: jar}
	answer, err := browser.PostForm(s.service.out["URL"]+"/welcome", url.Values{"token": {s.service.out["TOKEN"]},
		"name": {"root"}, "password": {"a quite long passphrase 17"}})
	check(s.t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("signing in: %s", answer.Status)
	}
	return browser
}

// fetch sends a request and reads the answer, which must be successful.
func fetch(ctx context.Context, client *http.Client, method, address string, header ...string) error {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("<order/>")
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %.200s", answer.Status, text)
	}
	return err
}

// most measures for a while, and returns the largest values.
func (s *soak) most(db *sql.DB, during time.Duration) (most usage) {
	for until := time.Now().Add(during); ; pause(max(200*time.Millisecond, during/10)) {
		now := s.usage(db)
		for i := range now.memory {
			most.memory[i], most.files[i] = max(most.memory[i], now.memory[i]), max(most.files[i], now.files[i])
		}
		most.goroutines, most.rows = max(most.goroutines, now.goroutines), now.rows
		if time.Now().After(until) {
			return most
		}
	}
}

func (s *soak) usage(db *sql.DB) (u usage) {
	s.t.Helper()
	for i, pid := range []int{s.service.cmd.Process.Pid, s.guard.Process.Pid} {
		u.memory[i], _ = testenv.Memory(s.t, pid)
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		check(s.t, err)
		u.files[i] = len(files)
	}
	answer, err := http.Get(s.metrics)
	check(s.t, err)
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	check(s.t, err)
	_, rest, _ := strings.Cut(string(text), "\ngo_goroutines ")
	goroutines, _, _ := strings.Cut(rest, "\n")
	u.goroutines, err = strconv.Atoi(goroutines)
	check(s.t, err)
	u.rows = map[string]int{}
	tables, err := db.Query("SELECT relname FROM pg_class WHERE relkind = 'r' AND NOT relispartition AND " +
		"relnamespace = 'public'::regnamespace UNION SELECT relname FROM pg_class WHERE relkind = 'p'")
	check(s.t, err)
	defer tables.Close()
	for tables.Next() {
		var name string
		check(s.t, tables.Scan(&name))
		u.rows[name] = 0
	}
	check(s.t, tables.Err())
	for name := range u.rows {
		var n int
		check(s.t, db.QueryRow("SELECT count(*) FROM "+name).Scan(&n))
		u.rows[name] = n
	}
	return u
}

func TestGrowthIsNoticed(t *testing.T) {
	first := usage{memory: [2]int{100, 20}, files: [2]int{30, 10}, goroutines: 50, rows: map[string]int{"events": 10,
		"claims": 10}}
	last := usage{memory: [2]int{140, 20}, files: [2]int{30, 30}, goroutines: 80, rows: map[string]int{"events": 9000,
		"claims": 100}}
	if got := grown(first, first); len(got) > 0 {
		t.Errorf("nothing grew: %q", got)
	}
	if got := grown(first, last); len(got) != 4 {
		t.Errorf("memory, files, goroutines and a table grew: %q", got)
	}
}
