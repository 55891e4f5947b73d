package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// kills sets how often the process is killed on each engine: go test ./cmd/perennial -run Killed -args -kills 50
var kills = flag.Int("kills", 12, "how often the service is killed")

// sink is a mail server that accepts everything and counts each Message-ID.
type sink struct {
	mu  sync.Mutex
	ids map[string]int
}

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{s}, nil }

type sinkSession struct{ s *sink }

func (*sinkSession) Mail(string, *smtp.MailOptions) error { return nil }
func (*sinkSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (*sinkSession) Reset()                               {}
func (*sinkSession) Logout() error                        { return nil }

func (c *sinkSession) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.ids[strings.Trim(m.Header.Get("Message-Id"), "<>")]++
	return nil
}

// times returns how often a mail arrived.
func (s *sink) times(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	s := &sink{ids: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := smtp.NewServer(s)
	server.ErrorLog = log.New(io.Discard, "", 0) // it reports connections that ended with their client
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return s, "smtp://" + l.Addr().String() + "?tls=none"
}

var check = testenv.Check

// Before every start many tenants become due, and the process is killed at a random moment after the start. In the end
// every due certificate has one successor, every key user one task, and every subscriber the mail under one Message-ID.
func TestAKilledServiceLosesNothingAndDoesNothingTwice(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		mails, smtpURL := startSink(t)
		dir := t.TempDir()
		args := []string{"serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--database", url, "--key-file",
			filepath.Join(dir, "key"), "--smtp", smtpURL, "--job-lease", "4s", "--log-level", "error"}
		start := func() *exec.Cmd {
			cmd := exec.Command("perennial", args...)
			cmd.Stderr = os.Stderr
			check(t, cmd.Start())
			return cmd
		}
		random := rand.New(rand.NewPCG(1, 2))
		tenants := 0
		for range *kills {
			addDue(t, url, tenants, 20)
			tenants += 20
			cmd := start()
			delay := time.NewTimer(time.Duration(random.IntN(1500)) * time.Millisecond)
			<-delay.C
			check(t, cmd.Process.Kill())
			cmd.Wait()
		}
		cmd := start()
		s, err := store.Open(t.Context(), url)
		check(t, err)
		defer s.Close()
		testenv.Eventually(t, func() bool {
			// In this order, because a run that starts between two queries must not look like one that has finished.
			runs, err := s.Runs(t.Context(), time.Time{}, 1)
			check(t, err)
			unfinished, err := s.UnfinishedRuns(t.Context())
			check(t, err)
			counts, err := s.CountMails(t.Context())
			check(t, err)
			return len(runs) > 0 && len(unfinished) == 0 && len(counts) == 0
		})
		check(t, cmd.Process.Kill())
		cmd.Wait()
		verify(t, s, mails, tenants)
		if t.Failed() {
			runs, err := s.Runs(t.Context(), time.Time{}, 10)
			t.Logf("the ledger: %+v, %v", runs, err)
		}
	})
}

// addDue stores tenants whose certificate is due, and makes the latest run date one that was not yet executed.
func addDue(t *testing.T, url string, first, n int) {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	check(t, err)
	defer s.Close()
	now := time.Now().UTC().Truncate(time.Second)
	issued := now.Add(-335 * policy.Day)
	var tenants []tenancy.Tenant
	var users []tenancy.KeyUser
	var projects []tenancy.ScopingProject
	var certs []store.SealedCertificate
	for i := first; i < first+n; i++ {
		tenant := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("t%d", i), DisplayName: "T", KeyType: tenancy.P256,
			CreatedAt: issued, Version: 1}
		tenants = append(tenants, tenant)
		for _, name := range []string{"alice", "bob", "carol"} {
			u := tenancy.KeyUser{ID: store.NewID(), TenantID: tenant.ID, Name: name, Email: name + "@example.com",
				UnsubscribeToken: store.NewID(), Version: 1}
			if name == "alice" {
				u.SubscribedAt = issued
			}
			users = append(users, u)
		}
		projects = append(projects, tenancy.ScopingProject{ID: store.NewID(), TenantID: tenant.ID,
			Name: tenancy.FirstProject, Version: 1,
			Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "test", At: issued}}})
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: store.NewID(),
			TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			Serial: fmt.Sprintf("%032x", i), Fingerprint: fmt.Sprintf("%064x", i), Subject: "CN=" + tenant.Name,
			NotBefore: issued, NotAfter: issued.Add(365 * policy.Day), KeyType: tenancy.P256, DER: []byte{0x30, 0},
			IssuerID: "x", CreatedAt: issued}})
	}
	check(t, s.InTx(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.SQL().ExecContext(t.Context(), "DELETE FROM run_parts"); err != nil {
			return err
		}
		if _, err := tx.SQL().ExecContext(t.Context(), "DELETE FROM runs"); err != nil {
			return err
		}
		if err := tx.SetSetting(t.Context(), "installed_at", now.Add(-31*policy.Day).Format(time.RFC3339Nano)); err != nil {
			return err
		}
		return tx.Create(t.Context(), store.Rows{Tenants: tenants, Projects: projects, KeyUsers: users, Certificates: certs})
	}))
}

func verify(t *testing.T, s *store.Store, mails *sink, tenants int) {
	t.Helper()
	ctx := t.Context()
	twice := 0
	for i := range tenants {
		tenant, err := s.Tenant(ctx, fmt.Sprintf("t%d", i))
		check(t, err)
		certs, err := s.Certificates(ctx, tenant.ID, "", 10)
		check(t, err)
		if len(certs) != 2 || certs[0].State != tenancy.Retired || certs[0].SuccessorID != certs[1].ID ||
			certs[1].State != tenancy.Active {
			t.Errorf("%s: %d generations: %+v", tenant.Name, len(certs), certs)
		}
		tasks, _, err := s.Tasks(ctx, store.TaskChoice{TenantID: tenant.ID}, store.Page{Limit: 100})
		check(t, err)
		users := map[string]int{}
		for _, task := range tasks {
			users[task.KeyUser]++
		}
		if len(tasks) != 3 || len(users) != 3 {
			t.Errorf("%s: tasks %v", tenant.Name, users)
		}
		sent, err := s.Mails(ctx, tenant.ID, "", "", 100)
		check(t, err)
		if len(sent) != 1 || sent[0].State != tenancy.MailSent || mails.times(sent[0].MessageID) < 1 {
			t.Errorf("%s: mails %+v", tenant.Name, sent)
			continue
		}
		if mails.times(sent[0].MessageID) > 1 {
			twice++
		}
	}
	if len(mails.ids) != tenants {
		t.Errorf("%d Message-IDs arrived for %d tenants", len(mails.ids), tenants)
	}
	if _, err := s.VerifyEvents(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("%d tenants, %d mails sent more than once under their Message-ID", tenants, twice)
}
