package notify

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

// answers is a mail server that answers each letter as told, and keeps the letters.
type answers struct {
	answer  func(l Addressed) error // nil: takes all
	letters []Addressed
}

func (a *answers) Send(_ context.Context, letters []Addressed, answered func(int, error) error) error {
	for i, l := range letters {
		a.letters = append(a.letters, l)
		var answer error
		if a.answer != nil {
			answer = a.answer(l)
		}
		if err := answered(i, answer); err != nil {
			return err
		}
	}
	return nil
}

// noQueue leaves mails in the state queued.
type noQueue struct{}

func (noQueue) Enqueue(context.Context, *sql.Tx, []string) error { return nil }

// A world is tenant acme with a subscribed key user and an IT contact, installed in January 2026.
type world struct {
	*enginetest.Installation
	t    *testing.T
	ca   *local.CA
	acme tenancy.Tenant
}

var installed = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t}
	w.Installation, w.ca = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), installed,
		func(c *lifecycle.Config) { c.Outbox = noQueue{} })
	var err error
	w.acme, err = w.CreateTenant(ctx, tenancy.Tenant{Name: "acme", DisplayName: "Acme", KeyType: tenancy.P256}, "test",
		installed)
	check(t, err)
	projects, err := w.Store.ScopingProjects(ctx, w.acme.ID)
	check(t, err)
	check(t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		user := tenancy.KeyUser{ID: store.NewID(), TenantID: w.acme.ID, Name: "alice", Email: "alice@acme.example.com",
			SubscribedAt: installed, UnsubscribeToken: "secret-of-alice", Version: 1}
		return errors.Join(tx.CreateKeyUser(ctx, user),
			tx.SetITContacts(ctx, w.acme.ID, []tenancy.ITContact{{ID: store.NewID(), Name: "Ina",
				Email: "ina@acme.example.com", Version: 1}}),
			tx.AnswerQuestion(ctx, projects[0].ID, 1, tenancy.Answer{Question: tenancy.MailForTasks, Yes: true, By: "test",
				At: installed}))
	}))
	check(t, w.Tick(ctx, installed))
	return w
}

// queued lists the IDs of the mails that are to be sent.
func (w *world) queued() (ids []string) {
	w.t.Helper()
	mails, err := w.Store.Mails(w.t.Context(), w.acme.ID, tenancy.MailQueued, "", 100)
	check(w.t, err)
	for _, m := range mails {
		ids = append(ids, m.ID)
	}
	if len(ids) == 0 {
		w.t.Fatal("no mail is queued")
	}
	return ids
}

func (w *world) deliverer(s Sender) *Deliverer {
	w.t.Helper()
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, Sender: s, BaseURL: "https://p.example.com",
		Log: slog.New(slog.DiscardHandler)})
	check(w.t, err)
	return d
}

func (w *world) count(state tenancy.MailState) int {
	w.t.Helper()
	n, err := w.Store.CountMails(w.t.Context())
	check(w.t, err)
	return n[state]
}

func TestADelivererIsRefusedWithoutEachOfItsDependencies(t *testing.T) {
	w := newWorld(t)
	whole := DelivererConfig{Store: w.Store, Sender: &answers{}, Log: w.Log}
	for name, take := range map[string]func(*DelivererConfig){
		"Store":  func(c *DelivererConfig) { c.Store = nil },
		"Sender": func(c *DelivererConfig) { c.Sender = nil },
		"Log":    func(c *DelivererConfig) { c.Log = nil },
	} {
		c := whole
		take(&c)
		if _, err := NewDeliverer(c); err == nil || !strings.Contains(err.Error(), "needs a "+name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestAfterTheLastTryAMailIsDeadAndKept(t *testing.T) {
	w := newWorld(t)
	now := installed.AddDate(0, 10, 0)
	_, err := w.Run(t.Context(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), now)
	check(t, err)
	d := w.deliverer(&answers{answer: func(Addressed) error { return errors.New("down") }})
	ids := w.queued()
	if err := d.Deliver(t.Context(), ids, false, now); err == nil ||
		!strings.Contains(err.Error(), "2 of 2 mails are left to send: down") {
		t.Errorf("got %v", err)
	}
	check(t, d.Deliver(t.Context(), ids, true, now))
	if n := w.count(tenancy.MailDead); n != 2 {
		t.Errorf("%d mails are dead", n)
	}
	dead, err := w.Store.Mail(t.Context(), ids[0])
	check(t, err)
	if dead.Attempts != 2 || dead.LastError != "down" {
		t.Errorf("got %+v", dead)
	}
}

func TestAnAnswerThatCannotBeStoredDoesNotCostThoseBesideIt(t *testing.T) {
	w := newWorld(t)
	check(t, w.Tick(t.Context(), time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)))
	mails, err := w.Store.Mails(t.Context(), w.acme.ID, "", "", 1)
	check(t, err)
	gone := entry{answered{mail: tenancy.Mail{ID: "gone"}}, make(chan error, 1)}
	l := ledger{waiting: []entry{gone}} // of another conversation
	mails[0].State = tenancy.MailSent
	if err := l.store(t.Context(), w.Store, answered{mail: mails[0]}); err != nil {
		t.Error(err)
	}
	if err := <-gone.stored; !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("the mail that is gone: %v", err)
	}
	if m, err := w.Store.Mail(t.Context(), mails[0].ID); err != nil || m.State != tenancy.MailSent {
		t.Errorf("%+v, %v", m, err)
	}
}
