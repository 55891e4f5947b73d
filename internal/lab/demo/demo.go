// Package demo plays a year of one tenant, with the real engine, real TLS receivers and a real SMTP exchange on
// loopback, under a virtual clock. It prints the events as they happen. If the story fails, it ends with an error.
package demo

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// begin is five minutes after a run: certificates that the background job renewed become valid then. This steady state
// shows the gap in the published rules.
var begin = time.Date(2026, 1, 1, 0, 5, 0, 0, time.UTC)

type story struct {
	out    io.Writer
	policy policy.Policy

	mu  sync.Mutex
	now time.Time

	store     *store.Store
	engine    *lifecycle.Engine
	ca        *local.CA
	roots     *x509.CertPool
	mailboxes *mailboxes
	deliverer *notify.Deliverer
	queued    []string
	receivers []*system
	tenant    tenancy.Tenant
	quiet     int // runs that did nothing since the last line
	mailsSeen int
	warned    bool
	cleanup   []func()
}

// Run plays the story under a policy.
func Run(ctx context.Context, out io.Writer, p policy.Policy) error {
	if err := p.Check(); err != nil {
		return err
	}
	s := &story{out: out, policy: p, now: begin}
	defer s.end()
	for _, chapter := range []func(context.Context) error{s.setUp, s.tenantArrives, s.untilRenewed, s.theRefusal,
		s.theRepair} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) end() {
	for i := len(s.cleanup) - 1; i >= 0; i-- {
		s.cleanup[i]()
	}
}

func (s *story) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *story) at(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = t
}

// say prints a line with the virtual date.
func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%s  %s\n", s.clock().Format("2006-01-02 15:04"), fmt.Sprintf(format, args...))
}

// more prints a continuation of the line above.
func (s *story) more(format string, args ...any) {
	fmt.Fprintf(s.out, "                  %s\n", fmt.Sprintf(format, args...))
}

// Enqueue implements [lifecycle.Outbox]: the demo delivers right after the transaction.
func (s *story) Enqueue(_ context.Context, _ *sql.Tx, mails []tenancy.Mail) error {
	for _, m := range mails {
		s.queued = append(s.queued, m.ID)
	}
	return nil
}

func (s *story) setUp(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "perennial-demo-")
	if err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, func() { os.RemoveAll(dir) })
	if s.store, err = store.Open(ctx, "sqlite:"+filepath.Join(dir, "demo.db")); err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, func() { s.store.Close() })
	keys, err := keyring.Create(filepath.Join(dir, "demo.key"), nil)
	if err != nil {
		return err
	}
	s.ca, err = local.Open(ctx, local.Config{TrustDomain: "platform.example.com", Organization: "Example Platform",
		LongestValidity: s.policy.Validity}, s.store, keys, begin)
	if err != nil {
		return err
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(s.ca.Bundle())
	boxes, stop, err := startMailboxes()
	if err != nil {
		return err
	}
	s.mailboxes, s.cleanup = boxes, append(s.cleanup, stop)
	templates, err := notify.LoadTemplates("")
	if err != nil {
		return err
	}
	server, err := notify.NewServer(boxes.url, "Perennial <perennial@platform.example.com>", templates, nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	s.deliverer, err = notify.NewDeliverer(notify.DelivererConfig{Store: s.store, Sender: server,
		BaseURL: "https://platform.example.com", Issuer: s.ca, Log: log})
	if err != nil {
		return err
	}
	s.engine, err = lifecycle.New(lifecycle.Config{
		Store: s.store, Issuer: s.ca, Keys: keyring.NewPool(1), Seal: keys, Policy: s.policy, Outbox: s,
		MailDomain: "platform.example.com", Log: log,
	})
	if err != nil {
		return err
	}
	return s.engine.Tick(ctx, begin) // the installation begins here
}

func (s *story) tenantArrives(ctx context.Context) error {
	fmt.Fprintf(s.out, "A year in the life of tenant acme, under the policy %s: renews within %s, warns from %s to %s, "+
		"%s.\n\n",
		s.policy.Name, s.policy.RenewWithin, s.policy.WarnFrom, s.policy.WarnTo, s.policy.Schedule)
	var err error
	s.tenant, err = s.engine.CreateTenant(ctx, tenancy.Tenant{Name: "acme", DisplayName: "Acme GmbH",
		KeyType: tenancy.P256}, "hosting team", begin)
	if err != nil {
		return err
	}
	cert, err := s.store.Newest(ctx, s.tenant.ID, tenancy.ForTenant)
	if err != nil {
		return err
	}
	s.say("acme gets its first certificate: %s, valid until %s", short(cert.Fingerprint), day(cert.NotAfter))
	projects, err := s.store.ScopingProjects(ctx, s.tenant.ID)
	if err != nil {
		return err
	}
	err = s.store.InTx(ctx, func(tx *store.Tx) error {
		for _, name := range []string{"alice", "bob", "carol"} {
			u := tenancy.KeyUser{ID: store.NewID(), TenantID: s.tenant.ID, Name: name, Email: name + "@acme.example.com",
				UnsubscribeToken: rand.Text(), CreatedAt: begin, Version: 1}
			if name == "alice" {
				u.SubscribedAt = begin
			}
			if err := tx.CreateKeyUsers(ctx, u); err != nil {
				return err
			}
		}
		contact := tenancy.ITContact{ID: store.NewID(), Name: "Ina Ivers", Email: "ina@acme.example.com",
			CreatedAt: begin, Version: 1}
		if err := tx.SetITContacts(ctx, s.tenant.ID, []tenancy.ITContact{contact}); err != nil {
			return err
		}
		return tx.AnswerQuestion(ctx, projects[0].ID, 1,
			tenancy.Answer{Question: tenancy.MailForTasks, Yes: true, By: "hosting team", At: begin})
	})
	if err != nil {
		return err
	}
	s.more("key users alice, bob and carol; alice chose Subscribe to Task, and the scope sends e-mail for tasks")
	s.more("IT contact Ina Ivers is responsible for the M-user, the tenant's technical user")
	if err := s.startReceivers(ctx, cert); err != nil {
		return err
	}
	s.more("three arrangements, all with the strategy immediate:")
	for _, r := range s.receivers {
		s.more("  crm-to-%-5s to %-5s which %s", r.name, r.name, r.how)
	}
	return s.messages(ctx, map[string]int{"erp": 200, "shop": 200, "bank": 200})
}

func (s *story) startReceivers(ctx context.Context, cert tenancy.Certificate) error {
	certificate, err := s.ca.NewServerCertificate("127.0.0.1", s.clock)
	if err != nil {
		return err
	}
	anyOfTheCA := func(*http.Request, *x509.Certificate) bool { return true }
	mapped := func(_ *http.Request, leaf *x509.Certificate) bool {
		return certfile.Name(leaf.RawSubject) == cert.Subject
	}
	for _, r := range []struct {
		name, how string
		trust     *x509.CertPool
		decide    func(*http.Request, *x509.Certificate) bool
		pin       string
	}{
		{"erp", "trusts every certificate of the CA", s.roots, anyOfTheCA, ""},
		{"shop", "maps the subject " + cert.Subject + " to a user", s.roots, mapped, ""},
		{"bank", "accepts only the fingerprint of this certificate", nil, nil, cert.Fingerprint},
	} {
		started, err := startSystem(r.name, r.how, receiver.Options{Certificate: certificate.Get, Trust: r.trust,
			Decide: r.decide, Clock: s.clock}, r.pin)
		if err != nil {
			return err
		}
		s.receivers = append(s.receivers, started)
		s.cleanup = append(s.cleanup, started.Close)
		err = s.store.InTx(ctx, func(tx *store.Tx) error {
			row := tenancy.Receiver{ID: store.NewID(), TenantID: s.tenant.ID, Name: r.name,
				DisplayName: strings.ToUpper(r.name), ContactEmail: "admin@" + r.name + ".example.com", CreatedAt: begin,
				Version: 1}
			a := tenancy.Arrangement{
				ID: store.NewID(), TenantID: s.tenant.ID, ReceiverID: row.ID, Name: "crm-to-" + r.name, Endpoint: started.URL,
				Authentication: tenancy.ClientCertificate, Strategy: tenancy.Immediate, Generation: 1, CreatedAt: begin, Version: 1,
			}
			return errors.Join(row.Check(), a.Check(), tx.CreateReceivers(ctx, row), tx.CreateArrangements(ctx, a))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// messages sends one message through every arrangement and compares the answers with the expected statuses.
func (s *story) messages(ctx context.Context, want map[string]int) error {
	var line []string
	for _, r := range s.receivers {
		status, err := s.message(ctx, r)
		if err != nil {
			return fmt.Errorf("a message to %s: %w", r.name, err)
		}
		line = append(line, fmt.Sprintf("%s %d %s", r.name, status, http.StatusText(status)))
		if status != want[r.name] {
			return fmt.Errorf("%s answered %d, want %d", r.name, status, want[r.name])
		}
	}
	s.say("messages: %s", strings.Join(line, ", "))
	return nil
}

func (s *story) message(ctx context.Context, r *system) (int, error) {
	a, err := s.store.Arrangement(ctx, s.tenant.ID, "crm-to-"+r.name)
	if err != nil {
		return 0, err
	}
	c, err := s.store.Certificate(ctx, s.tenant.ID, tenancy.ForTenant, a.Generation)
	if err != nil {
		return 0, err
	}
	shown, err := s.engine.Presentable(ctx, c)
	if err != nil {
		return 0, err
	}
	return send(ctx, r.URL, shown, s.roots, s.clock)
}

// untilRenewed executes run after run until the certificate is renewed.
func (s *story) untilRenewed(ctx context.Context) error {
	for run := s.policy.Schedule.Next(begin); run.Before(begin.AddDate(2, 0, 0)); run = s.policy.Schedule.Next(run) {
		s.at(run.Add(time.Minute))
		if err := s.engine.Tick(ctx, s.clock()); err != nil {
			return err
		}
		r, err := s.store.Run(ctx, run)
		if err != nil {
			return err
		}
		if r.Warned+r.Renewed == 0 {
			s.quiet++
			continue
		}
		s.tellQuiet()
		if err := s.tellRun(ctx, r); err != nil {
			return err
		}
		if r.Renewed > 0 {
			return nil
		}
		if err := s.messages(ctx, map[string]int{"erp": 200, "shop": 200, "bank": 200}); err != nil {
			return err
		}
		if s.warned {
			continue
		}
		s.warned = true
		if err := s.bobSubscribes(ctx, run); err != nil {
			return err
		}
	}
	return errors.New("no certificate was renewed in two years")
}

func (s *story) tellQuiet() {
	if s.quiet > 0 {
		fmt.Fprintf(s.out, "\n                  ... %d runs find nothing due ...\n", s.quiet)
		s.quiet = 0
	}
}

func (s *story) bobSubscribes(ctx context.Context, run time.Time) error {
	s.at(run.Add(s.policy.Schedule.Next(run).Sub(run) / 2))
	bob, err := s.store.KeyUser(ctx, s.tenant.ID, "bob")
	if err != nil {
		return err
	}
	bob.SubscribedAt = s.clock()
	if err := s.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateKeyUser(ctx, bob) }); err != nil {
		return err
	}
	s.say("bob chooses Subscribe to Task too: it applies from the next notice on")
	return nil
}

// tellRun prints the effects of a run, and delivers its mails.
func (s *story) tellRun(ctx context.Context, r tenancy.Run) error {
	fmt.Fprintln(s.out)
	notices, err := s.store.Notices(ctx, s.tenant.ID, "", 100)
	if err != nil {
		return err
	}
	for _, n := range notices {
		if !n.RunDate.Equal(r.RunDate) {
			continue
		}
		certs, err := s.store.CertificatesByID(ctx, []string{n.CertificateID, n.SuccessorID})
		if err != nil {
			return err
		}
		old := certs[n.CertificateID]
		left := old.NotAfter.Sub(r.RunDate).Hours() / 24
		if n.Kind == tenancy.Renewed {
			next := certs[n.SuccessorID]
			s.say("run: %s renewed (%.1f days were left): %s, valid until %s", old.Purpose.Noun(), left, short(next.Fingerprint),
				day(next.NotAfter))
		} else {
			s.say("run: %s is going to expire in %.1f days; it will be renewed on %s", old.Purpose.Noun(), left, day(n.DueAt))
		}
	}
	if r.Renewed > 0 && !s.warned {
		s.more("NO WARNING WAS SENT: at the previous run, more than %s were left; now %s or less are left, and it is "+
			"renewed at once", s.policy.WarnTo, s.policy.RenewWithin)
	}
	open := store.TaskChoice{TenantID: s.tenant.ID, State: tenancy.TaskOpen}
	tasks, _, err := s.store.Tasks(ctx, open, store.Page{Limit: 100})
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.CreatedAt.Equal(s.clock()) {
			s.more("task for %-6s %q", t.KeyUser+":", t.Subject)
		}
	}
	ids := s.queued
	s.queued = nil
	if err := s.deliverer.Deliver(ctx, ids, true, s.clock()); err != nil {
		return err
	}
	for _, m := range s.mailboxes.since(s.mailsSeen) {
		s.mailsSeen++
		s.more("mail to %s: %q%s", m.to, m.subject, attached(m))
	}
	return nil
}

func attached(m received) string {
	switch len(m.attachments) {
	case 0:
		return ""
	case 1:
		return ", 1 attachment"
	}
	return fmt.Sprintf(", %d attachments", len(m.attachments))
}

func (s *story) theRefusal(ctx context.Context) error {
	next, err := s.store.Newest(ctx, s.tenant.ID, tenancy.ForTenant)
	if err != nil {
		return err
	}
	if s.clock().Before(next.NoticedUntil) { // a policy that warns only days before
		s.more("the key users were notified too recently: the new certificate is not presented before %s",
			day(next.NoticedUntil))
		s.at(next.NoticedUntil)
		if err := s.engine.Tick(ctx, s.clock()); err != nil {
			return err
		}
	}
	if err := s.messages(ctx, map[string]int{"erp": 200, "shop": 200, "bank": http.StatusUnauthorized}); err != nil {
		return err
	}
	old, err := s.store.Certificate(ctx, s.tenant.ID, tenancy.ForTenant, next.Generation-1)
	if err != nil {
		return err
	}
	bank := s.receivers[len(s.receivers)-1]
	if bank.Known()[0] != old.Fingerprint {
		return fmt.Errorf("%s expects %s, which is not the previous generation", bank.name, bank.Known())
	}
	fmt.Fprintln(s.out)
	s.say("why does crm-to-bank fail?")
	s.more("the certificate changed at %s, and the arrangement presents the new one since then:", moment(next.CreatedAt))
	s.more("  bank still expects  %s  (generation %d)", bank.Known()[0], old.Generation)
	s.more("  it is presented     %s  (generation %d)", next.Fingerprint, next.Generation)
	s.more("erp and shop do not check the fingerprint, and accept both")
	return nil
}

// theRepair installs the certificate from the mail to alice.
func (s *story) theRepair(ctx context.Context) error {
	s.at(s.clock().Add(28 * time.Hour))
	if err := s.messages(ctx, map[string]int{"erp": 200, "shop": 200, "bank": http.StatusUnauthorized}); err != nil {
		return err
	}
	s.at(s.clock().Add(time.Hour))
	for name, content := range s.mailboxes.latest("alice@acme.example.com").attachments {
		if !strings.HasSuffix(name, ".pem") || strings.HasPrefix(name, "new-ca") {
			continue
		}
		certs, err := certfile.Parse(content, "")
		if err != nil {
			return fmt.Errorf("the attachment %s: %w", name, err)
		}
		fmt.Fprintln(s.out)
		s.say("alice forwards the attachment %s, and bank's administrator installs it", name)
		s.receivers[len(s.receivers)-1].Install(certfile.Fingerprint(certs[0].Raw))
		if err := s.messages(ctx, map[string]int{"erp": 200, "shop": 200, "bank": 200}); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\nFor 29 hours, bank refused every message. That is the cost of the strategy immediate at a "+
			"receiver that accepts a single certificate.\n")
		return s.tellAudit(ctx)
	}
	return errors.New("alice got no mail with the certificate")
}

func (s *story) tellAudit(ctx context.Context) error {
	chain, err := s.store.VerifyEvents(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "All of it is in the audit log: %d entries, verified.\n", chain.Seq)
	return nil
}

func short(fingerprint string) string { return fingerprint[:16] + "..." }

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
