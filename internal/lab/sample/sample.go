// Package sample fills a new installation with a small fleet, for newcomers and for the tests of the console. It has
// tenants before, during and after a renewal, and real receivers on loopback that accept some of their certificates.
//
// The engine itself creates everything, with a clock in the past, so that the data is the same as in real use. The
// receivers end with the context.
package sample

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Login is an account of the sample.
type Login struct {
	Name, Password string
	Role           tenancy.Role
}

// A Sample contains what a newcomer needs.
type Sample struct {
	Logins []Login
	// Install is the URL at which an administrator installs a certificate (POST, PEM) at the receivers that pin.
	Install string
}

// A fleet is the state while the sample is filled.
type fleet struct {
	store  *store.Store
	engine *lifecycle.Engine
	now    time.Time
	url    string     // of the receivers
	ca     string     // to verify their certificate with
	knows  *knowledge // of the receivers that pin
}

// knowledge holds the fingerprints of the certificates that the pinning receivers accept.
type knowledge struct {
	mu     sync.Mutex // guards prints
	prints map[string]bool
}

func (k *knowledge) add(der []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.prints[certfile.Fingerprint(der)] = true
}

// A certifier gives the receivers a bundle to trust, and certificates of their own.
type certifier interface {
	issuer.Bundler
	issuer.ServerCertifier
}

// Fill fills an empty installation, as of now, and starts its receivers, which end with the context.
func Fill(ctx context.Context, s *store.Store, engine *lifecycle.Engine, i issuer.Issuer,
	now func() time.Time) (Sample, error) {
	ca, ok := issuer.As[certifier](i)
	if !ok {
		return Sample{}, errors.New("the sample needs an issuer with server certificates and a bundle, such as the local CA")
	}
	f := &fleet{store: s, engine: engine, now: now().UTC().Truncate(time.Second), ca: string(ca.Bundle()),
		knows: &knowledge{prints: map[string]bool{}}}
	if err := f.receivers(ctx, ca, now); err != nil {
		return Sample{}, err
	}
	start := f.now.AddDate(-1, 0, 0)
	if _, err := s.InstalledAt(ctx, start); err != nil {
		return Sample{}, err
	}
	// The days that are left of each tenant's first certificate determine the step of its renewal. What a run decided
	// depends on those that were left then, so that the day of the month makes no difference: acme was renewed, globex
	// was warned, and initech will be warned by the next run.
	ran := int(f.now.Sub(engine.Policy().Schedule.Latest(f.now)) / policy.Day) // days ago
	for _, t := range []struct {
		name, display string
		left          int
		arrangements  []arrangement
	}{
		{"acme", "Acme GmbH", 20, []arrangement{
			{"crm-to-bank", "Payments", "bank", "House Bank", "Barbara Benz", "/pinned", "GET /pinned/health"},
			{"crm-to-erp", "Orders", "erp", "ERP", "Emil Ernst", "/trusting", "GET /trusting/health"},
			{"crm-to-shop", "Stock levels", "shop", "Web Shop", "", "/trusting", "GET /trusting/health"},
		}},
		{"globex", "Globex Corporation", 75 - ran, []arrangement{
			{"hr-to-payroll", "Salaries", "payroll", "Payroll", "Pia Paulsen", "/pinned", "GET /pinned/health"},
			{"hr-to-archive", "Contracts", "archive", "Archive", "", "/trusting", ""},
		}},
		{"initech", "Initech <Söhne> & Co.", 105 - ran, []arrangement{{"erp-to-tax", "VAT returns", "tax", "Tax Office", "",
			"/trusting", "GET /trusting/health"}}},
		{"umbrella", "Umbrella AG", 300, []arrangement{{"lab-to-registry", "Reports", "registry", "Registry", "", "/trusting",
			"GET /trusting/health"}}},
		{"hooli", "Hooli", 340, nil},
	} {
		if err := f.tenant(ctx, t.name, t.display, t.left, t.arrangements); err != nil {
			return Sample{}, fmt.Errorf("sample tenant %s: %w", t.name, err)
		}
	}
	if err := f.year(ctx, start); err != nil {
		return Sample{}, err
	}
	if err := f.evidence(ctx); err != nil {
		return Sample{}, err
	}
	if err := engine.Roll(ctx, f.now); err != nil {
		return Sample{}, err
	}
	if err := f.watched(ctx); err != nil {
		return Sample{}, err
	}
	if err := f.mails(ctx); err != nil {
		return Sample{}, err
	}
	logins, err := f.logins(ctx)
	return Sample{Logins: logins, Install: f.url + installPath}, err
}

type arrangement struct{ name, scenario, receiver, display, contact, path, probe string }

// receivers starts one server. Below /pinned it accepts single certificates, and below /trusting any of the CA.
func (f *fleet) receivers(ctx context.Context, ca certifier, now func() time.Time) error {
	own, err := ca.NewServerCertificate("127.0.0.1", now)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Bundle())
	server, err := receiver.Start(receiver.Options{
		Certificate: own.Get, Anonymous: true, Refuse: http.StatusUnauthorized,
		Decide: func(r *http.Request, leaf *x509.Certificate) bool {
			return leaf != nil && f.accepts(r, leaf, roots)
		},
		Open: map[string]http.HandlerFunc{installPath: f.install},
	})
	if err != nil {
		return err
	}
	f.url = strings.TrimSuffix(server.URL, "/messages")
	context.AfterFunc(ctx, server.Close)
	return nil
}

// installPath is the path for installing a certificate at the receivers below /pinned.
const installPath = "/pinned/install"

func (f *fleet) install(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	certs, err := certfile.Parse(data, "")
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	for _, c := range certs {
		f.knows.add(c.Raw)
	}
	fmt.Fprintln(w, "installed")
}

func (f *fleet) accepts(r *http.Request, leaf *x509.Certificate, roots *x509.CertPool) bool {
	if strings.HasPrefix(r.URL.Path, "/pinned") {
		f.knows.mu.Lock()
		defer f.knows.mu.Unlock()
		return f.knows.prints[certfile.Fingerprint(leaf.Raw)]
	}
	chain := x509.NewCertPool()
	for _, c := range r.TLS.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

// tenant creates a tenant in the past, so that its first certificate expires in the given number of days.
func (f *fleet) tenant(ctx context.Context, name, display string, left int, arrangements []arrangement) error {
	s := f.store
	at := f.now.Add(time.Duration(left)*policy.Day - f.engine.Policy().Validity + local.Backdate)
	t, err := f.engine.CreateTenant(ctx, tenancy.Tenant{Name: name, DisplayName: display, KeyType: tenancy.P256},
		"operator olga", at)
	if err != nil {
		return err
	}
	projects, err := s.ScopingProjects(ctx, t.ID)
	if err != nil {
		return err
	}
	err = s.InTx(ctx, func(tx *store.Tx) error {
		for i, user := range []string{"alice", "bob"} {
			u := tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: user, Email: user + "@" + name + ".example.com",
				UnsubscribeToken: rand.Text(), CreatedAt: at, Version: 1}
			if i == 0 {
				u.SubscribedAt = at
			}
			if err := tx.CreateKeyUsers(ctx, u); err != nil {
				return err
			}
		}
		contacts := []tenancy.ITContact{{ID: store.NewID(), TenantID: t.ID, Name: "Ina Ivers",
			Email: "ina@" + name + ".example.com", CreatedAt: at, Version: 1}}
		return errors.Join(tx.SetITContacts(ctx, t.ID, contacts),
			tx.AnswerQuestion(ctx, projects[0].ID, projects[0].Version,
				tenancy.Answer{Question: tenancy.MailForTasks, Yes: true, By: "key user " + name + "/alice", At: at}))
	})
	if err != nil {
		return err
	}
	first, err := s.Newest(ctx, t.ID, tenancy.ForTenant)
	if err != nil {
		return err
	}
	f.knows.add(first.DER)
	for _, a := range arrangements {
		r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: a.receiver, DisplayName: a.display,
			ContactName: a.contact, CreatedAt: at, Version: 1}
		if a.contact != "" {
			r.ContactEmail = strings.ToLower(strings.ReplaceAll(a.contact, " ", ".")) + "@" + a.receiver + ".example.com"
		}
		v := tenancy.Arrangement{
			ID: store.NewID(), TenantID: t.ID, ReceiverID: r.ID, Name: a.name, Scenario: a.scenario,
			Endpoint: f.url + a.path, Authentication: tenancy.ClientCertificate,
			Strategy: tenancy.Adaptive, Generation: 1, Egress: tenancy.Egress{ServerCA: f.ca}, CreatedAt: at, Version: 1,
		}
		if method, path, ok := strings.Cut(a.probe, " "); ok {
			v.Egress.Probe = tenancy.Probe{Method: method, Path: path}
		}
		if err := errors.Join(r.Check(), v.Check()); err != nil {
			return err
		}
		if err := s.InTx(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.CreateReceivers(ctx, r), tx.CreateArrangements(ctx, v))
		}); err != nil {
			return err
		}
	}
	return nil
}

// year executes the runs of the past year.
func (f *fleet) year(ctx context.Context, start time.Time) error {
	for date := f.engine.Policy().Schedule.Next(start); !date.After(f.now); date = f.engine.Policy().Schedule.Next(date) {
		at := date.Add(5 * time.Minute)
		if at.After(f.now) {
			at = f.now
		}
		if _, err := f.engine.Run(ctx, date, at); err != nil {
			return err
		}
	}
	return nil
}

// evidence reports answers of the receivers, and adds the messages that caused them.
func (f *fleet) evidence(ctx context.Context) error {
	var failures []error
	err := f.engine.Open(ctx, f.now, func(s standing.Standing) {
		newest := s.Certificates[len(s.Certificates)-1]
		since := newest.CreatedAt
		a := s.Arrangement
		see := func(at time.Time, generation int, v rollover.Verdict, by rollover.Source, detail string) {
			_, err := f.engine.Observe(ctx, a.ID, "gateway",
				[]standing.Observation{{Evidence: rollover.Evidence{Generation: generation, Verdict: v, By: by, At: at},
					Detail: detail}}, at)
			failures = append(failures, err)
		}
		see(since.Add(30*time.Minute), newest.Generation-1, rollover.Accepted, rollover.Traffic, "200 OK")
		last := newest.Generation - 1
		switch {
		case strings.HasSuffix(a.Endpoint, "/pinned"):
			see(since.Add(time.Hour), newest.Generation, rollover.Refused, rollover.Probe, "401 Unauthorized")
		case a.Egress.Probe.Method != "":
			see(since.Add(time.Hour), newest.Generation, rollover.Accepted, rollover.Probe, "200 OK")
			see(since.Add(26*time.Hour), newest.Generation, rollover.Accepted, rollover.Traffic, "200 OK")
			last = newest.Generation
		}
		var messages []tenancy.Message
		for i := range 12 {
			at := f.now.Add(time.Duration(i-12) * 17 * time.Minute)
			m := tenancy.Message{ID: store.IDAt(at), ArrangementID: a.ID, At: at, Method: "POST",
				Path: "/" + a.Name[:2] + "/order", Status: 200, Generation: last, Attempts: 1,
				Duration: time.Duration(21+7*i%13) * time.Millisecond, Count: 1}
			if i%5 == 4 {
				m.Status, m.Method, m.Path = 404, "GET", "/"+a.Name[:2]+"/unknown"
			}
			messages = append(messages, m)
		}
		failures = append(failures, f.store.InTx(ctx, func(tx *store.Tx) error {
			return tx.AddMessages(ctx, messages)
		}))
	})
	return errors.Join(append(failures, err)...)
}

// mails marks the mails as sent, and one as failed.
func (f *fleet) mails(ctx context.Context) error {
	for _, state := range []tenancy.MailState{tenancy.MailWaiting, tenancy.MailQueued} {
		mails, err := f.store.Mails(ctx, "", state, "", 200)
		if err != nil {
			return err
		}
		err = f.store.InTx(ctx, func(tx *store.Tx) error {
			for i, m := range mails {
				m.State, m.Attempts, m.SentAt = tenancy.MailSent, 1, f.now.Add(-time.Duration(len(mails)-i)*time.Hour)
				if i == 1 {
					m.State, m.Attempts, m.SentAt = tenancy.MailDead, 1, time.Time{}
					m.LastError = tenancy.Stored(tenancy.Failure("the mail server refused the mail: %d %s", 550,
						"5.1.1 mailbox unavailable"))
				}
				if err := tx.UpdateMail(ctx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// logins creates the accounts.
func (f *fleet) logins(ctx context.Context) ([]Login, error) {
	acme, err := f.store.Tenant(ctx, "acme")
	if err != nil {
		return nil, err
	}
	alice, err := f.store.KeyUser(ctx, acme.ID, "alice")
	if err != nil {
		return nil, err
	}
	logins := []Login{{"olga", rand.Text()[:16], tenancy.RoleOperator}, {"alice", rand.Text()[:16], tenancy.RoleKeyUser}}
	return logins, f.store.InTx(ctx, func(tx *store.Tx) error {
		for _, l := range logins {
			a := tenancy.Account{ID: store.NewID(), Name: l.Name, Role: l.Role, Origin: "sample " + l.Name, CreatedAt: f.now}
			if l.Role == tenancy.RoleKeyUser {
				a.TenantID, a.KeyUserID = acme.ID, alice.ID
			}
			if a.Password, err = password.Hash(ctx, l.Password); err != nil {
				return err
			}
			if err := errors.Join(a.Check(), tx.CreateAccount(ctx, a)); err != nil {
				return err
			}
		}
		return nil
	})
}
