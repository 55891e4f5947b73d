package notify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/roottest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

// An answers is a mail server that answers each letter as the test says, and keeps the letters.
type answers struct {
	answer  func(l Addressed) error // nil: accepts all
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

func (noQueue) Enqueue(context.Context, *sql.Tx, []tenancy.Mail) error { return nil }

// A world is tenant acme with a subscribed key user and an IT contact, installed in January 2026.
type world struct {
	*enginetest.Installation
	t    *testing.T
	ca   *local.CA
	acme tenancy.Tenant
}

var installed = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, adopted ...lifecycle.Adopted) *world {
	t.Helper()
	return worldOf(t, nil, adopted...)
}

// worldOf is newWorld with a hosting team that gets mails.
func worldOf(t *testing.T, team []string, adopted ...lifecycle.Adopted) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t}
	roots := testca.New(t, "Bank", installed).RootFile(t)
	byHand, err := manual.Open(manual.Config{Roots: roots}, issuer.Form{TrustDomain: "p.example.com", Organization: "P"})
	check(t, err)
	w.Installation, w.ca = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), installed,
		func(c *lifecycle.Config) {
			c.Outbox, c.Operators, c.Issuers = noQueue{}, team, issuer.Set{"bank-ca": byHand,
				"early-ca": suggesting{c.Issuer}}
		})
	w.acme, err = w.AdoptTenant(ctx, tenancy.Tenant{Name: "acme", DisplayName: "Acme", KeyType: tenancy.P256}, adopted,
		"test", installed, nil)
	check(t, err)
	projects, err := w.Store.ScopingProjects(ctx, w.acme.ID)
	check(t, err)
	check(t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		user := tenancy.KeyUser{ID: store.NewID(), TenantID: w.acme.ID, Name: "alice", Email: "alice@acme.example.com",
			SubscribedAt: installed, UnsubscribeToken: "secret-of-alice", Version: 1}
		return errors.Join(tx.CreateKeyUsers(ctx, user),
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
	p, err := policy.Preset(policy.Default)
	check(w.t, err)
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, Sender: s, BaseURL: "https://p.example.com",
		Policy: &p, Issuer: w.ca, LinkKey: w.LinkKey, Log: slog.New(slog.DiscardHandler),
		Say: func(language string, text tenancy.Text) string {
			if text.Format == "%s" { // another program's text
				return text.String()
			}
			return text.String() + ", in " + language
		}})
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
	if dead.Attempts != 2 || dead.LastError != tenancy.Stored(toldOf(errors.New("down"))) {
		t.Errorf("got %+v", dead)
	}
}

func TestAnAnswerThatCannotBeStoredDoesNotAffectTheOthers(t *testing.T) {
	w := newWorld(t)
	check(t, w.Tick(t.Context(), time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)))
	mails, err := w.Store.Mails(t.Context(), w.acme.ID, "", "", 1)
	check(t, err)
	gone := entry{[]answered{{mail: tenancy.Mail{ID: "gone"}}}, make(chan error, 1)}
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

// A crash repeats at most a page of the mails of a conversation.
func TestAnswersAreStoredPageByPage(t *testing.T) {
	w := newWorld(t)
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range page + 2 {
			name := fmt.Sprint("user-", i)
			if err := tx.CreateKeyUsers(t.Context(), tenancy.KeyUser{ID: store.NewID(), TenantID: w.acme.ID, Name: name,
				Email: name + "@acme.example.com", SubscribedAt: installed, UnsubscribeToken: "secret of " + name,
				Version: 1}); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	most := 0
	var sender answers
	sender.answer = func(Addressed) error {
		most = max(most, len(sender.letters)-w.sent())
		return nil
	}
	ids := w.queued()
	check(t, w.deliverer(&sender).Deliver(t.Context(), ids, false, date(2026, 11, 1)))
	if len(ids) < page+2 || most < batch || most > page || w.sent() != len(ids) {
		t.Errorf("of %d mails, up to %d were sent and not stored; %d are stored", len(ids), most, w.sent())
	}
}

// arrange stores an arrangement of acme that presents generation 1 to a receiver with an administrator.
func (w *world) arrange(name string, changes ...func(*tenancy.Arrangement)) tenancy.Arrangement {
	w.t.Helper()
	r := tenancy.Receiver{ID: store.NewID(), TenantID: w.acme.ID, Name: name, DisplayName: strings.ToUpper(name),
		ContactName: "Eve", ContactEmail: "eve@" + name + ".example.com", CreatedAt: installed, Version: 1}
	a := tenancy.Arrangement{ID: store.NewID(), TenantID: w.acme.ID, ReceiverID: r.ID, Name: "crm-to-" + name,
		Scenario: "orders", Endpoint: "https://" + name + ".example.com/in", Authentication: tenancy.ClientCertificate,
		Strategy: tenancy.Adaptive, Generation: 1, CreatedAt: installed, Version: 1}
	for _, change := range changes {
		change(&a)
	}
	check(w.t, w.Store.InTx(w.t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.CreateReceivers(w.t.Context(), r), tx.CreateArrangements(w.t.Context(), a))
	}))
	return a
}

// deliver delivers what is queued and returns the letters, by subject and name.
func (w *world) deliver(now time.Time) map[string]Addressed {
	w.t.Helper()
	var sender answers
	check(w.t, w.deliverer(&sender).Deliver(w.t.Context(), w.queued(), false, now))
	letters := map[string]Addressed{}
	for _, l := range sender.letters {
		letters[l.Name+": "+l.Subject] = l
	}
	if len(letters) != len(sender.letters) || w.count(tenancy.MailQueued) != 0 {
		w.t.Errorf("%d letters, %d different, %d still queued", len(sender.letters), len(letters),
			w.count(tenancy.MailQueued))
	}
	return letters
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func TestALetterDescribesItsNotice(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	letters := w.deliver(date(2026, 11, 1))
	alice, known := letters["alice: Tenant Certificate is going to expire soon"]
	if !known || len(letters) != 2 {
		t.Fatalf("letters %v", letters)
	}
	old, err := w.Store.Certificate(t.Context(), w.acme.ID, tenancy.ForTenant, 1)
	check(t, err)
	if alice.Kind != tenancy.Expiring || alice.Address != "alice@acme.example.com" || alice.Tenant != "acme" ||
		alice.TenantTitle != "Acme" || alice.Certificate != "Tenant Certificate" || alice.New != nil ||
		alice.Old.Serial != old.Serial || alice.Old.Generation != 1 || !alice.RenewalOn.Equal(date(2026, 12, 1)) ||
		alice.ServiceURL != "https://p.example.com" || !alice.Date.Equal(date(2026, 11, 1)) {
		t.Errorf("warning: %+v", alice.Letter)
	}
	for purpose, link := range map[tenancy.LinkPurpose]string{tenancy.LinkAsk: alice.Unsubscribe,
		tenancy.LinkStop: alice.OneClick} {
		u, err := w.Store.KeyUser(t.Context(), w.acme.ID, "alice")
		check(t, err)
		secret, found := strings.CutPrefix(link, "https://p.example.com/unsubscribe/"+string(purpose)+"/")
		if alice.ITContact || !found || !u.Opens(purpose, secret, alice.Date) {
			t.Errorf("a key user: IT contact %v, the link to %s is %q", alice.ITContact, purpose, link)
		}
	}
	want := Affected{Arrangement: "crm-to-bank", Scenario: "orders", Receiver: "BANK",
		Endpoint: "https://bank.example.com/in", Contact: "Eve, eve@bank.example.com", Switched: true,
		contactName: "Eve", contactEmail: "eve@bank.example.com",
		Page:   "https://p.example.com/tenants/acme/arrangements/crm-to-bank",
		Advice: "It is not known how it checks certificates."}
	if len(alice.Arrangements) == 1 {
		want.id = alice.Arrangements[0].id
	}
	if len(alice.Arrangements) != 1 || alice.Arrangements[0] != want {
		t.Errorf("arrangements %+v", alice.Arrangements)
	}
	ina := letters["Ina: M-user Certificate is going to expire soon"]
	if !ina.ITContact || !ina.Designated || ina.Unsubscribe+ina.OneClick != "" || len(ina.Arrangements) != 0 ||
		ina.Certificate != "M-user Certificate" {
		t.Errorf("an IT contact: %+v", ina.Letter)
	}

	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	alice = w.deliver(date(2026, 12, 1))["alice: Tenant Certificate has been renewed"]
	next, err := w.Store.Newest(t.Context(), w.acme.ID, tenancy.ForTenant)
	check(t, err)
	if alice.New == nil || alice.New.Generation != 2 || alice.New.Serial != next.Serial ||
		!bytes.Equal(alice.New.DER, next.DER) || alice.Old.Generation != 1 || alice.Authority != nil {
		t.Errorf("renewal: %+v", alice.Letter)
	}
	if len(alice.Arrangements) != 1 || alice.Arrangements[0].Switched {
		t.Errorf("the receiver has not accepted it, and the letter lists %+v", alice.Arrangements)
	}
	if mail, err := w.Store.Mail(t.Context(), strings.TrimSuffix(alice.MessageID, "@p.example.com")); err != nil ||
		mail.State != tenancy.MailSent || mail.Attempts != 1 || !mail.SentAt.Equal(date(2026, 12, 1)) ||
		mail.LastError != "" {
		t.Errorf("%+v, %v", mail, err)
	}
}

func TestAReminderListsOnlyTheReceiversThatHaveNotAccepted(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	shop := w.arrange("shop")
	for _, at := range []time.Time{date(2026, 11, 1), date(2026, 12, 1)} {
		check(t, w.Tick(t.Context(), at))
		w.deliver(at)
	}
	_, err := w.Observe(t.Context(), shop.ID, "test", []standing.Observation{{Evidence: rollover.Evidence{Generation: 2,
		Verdict: rollover.Accepted, By: rollover.Probe, At: date(2026, 12, 2)}}}, date(2026, 12, 2))
	check(t, err)
	bank, err := w.Store.Arrangement(t.Context(), w.acme.ID, "crm-to-bank")
	check(t, err)
	_, err = w.Observe(t.Context(), bank.ID, "test", []standing.Observation{ // it accepts the old one, not the new one
		{Evidence: rollover.Evidence{Generation: 1, Verdict: rollover.Accepted, By: rollover.Traffic, At: date(2026, 12, 2)}},
		{Detail: "401", Evidence: rollover.Evidence{Generation: 2, Verdict: rollover.Refused, By: rollover.Probe,
			At: date(2026, 12, 2)}},
	}, date(2026, 12, 2))
	check(t, err)
	check(t, w.Tick(t.Context(), date(2026, 12, 16)))
	letters := w.deliver(date(2026, 12, 16))
	alice, known := letters["alice: Acme: 1 partner system not ready, certificate expires 14 January 2027"]
	if !known || alice.Kind != tenancy.Unready || len(alice.Arrangements) != 1 || alice.New == nil ||
		alice.New.Generation != 2 {
		t.Fatalf("%+v", alice.Letter)
	}
	got := alice.Arrangements[0]
	want := Affected{Arrangement: "crm-to-bank", Scenario: "orders", Receiver: "BANK",
		Endpoint: "https://bank.example.com/in", Contact: "Eve, eve@bank.example.com", Refuses: true, Answer: "401",
		contactName: "Eve", contactEmail: "eve@bank.example.com",
		AnsweredAt: date(2026, 12, 2), Page: "https://p.example.com/tenants/acme/arrangements/crm-to-bank",
		PageToPassOn: got.PageToPassOn, Deadline: alice.Old.NotAfter, Advice: got.Advice, id: got.id, invited: true}
	if got != want || got.PageToPassOn == "" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheLetterAboutANewCACarriesTheCA(t *testing.T) {
	for _, newRoot := range []bool{false, true} {
		w := newWorld(t)
		w.arrange("bank")
		pins := w.arranged("pins", func(a *tenancy.Arrangement) {
			a.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.ByKey}
		})
		for _, c := range []tenancy.Credential{{Name: "ours"}, {Name: "by-hand", Issuer: "bank-ca"}} {
			c.TenantID = w.acme.ID
			_, _, err := w.AddCredential(t.Context(), c, "test", installed)
			check(t, err)
			w.arrange(string(c.Name), func(a *tenancy.Arrangement) { a.Credential = c.Name })
		}
		w.deliver(installed) // the mail about the request
		announced := installed.AddDate(0, 0, 1)
		ca, err := w.ca.Announce(t.Context(), announced, issuer.Succession{NewRoot: newRoot})
		check(t, err)
		check(t, w.Announce(t.Context(), announced))
		letters := w.deliver(announced)
		alice, known := letters["alice: Perennial: new issuing CA from 19 April 2026; your first certificate of it: "+
			"1 December 2026"]
		if !known {
			t.Fatalf("letters %v", letters)
		}
		if alice.Authority == nil || !bytes.Equal(alice.Authority.DER, ca.DER) || alice.New != nil ||
			alice.Authority.Fingerprint != certfile.Fingerprint(ca.DER) || !alice.Authority.NotAfter.Equal(ca.NotAfter) ||
			!alice.RenewalOn.Equal(ca.SignsFrom) {
			t.Errorf("new root %v: the letter carries %+v", newRoot, alice.Authority)
		}
		leaf, err := x509.ParseCertificate(ca.DER)
		check(t, err)
		if got := alice.Authority; got.Subject != leaf.Subject.String() || got.Serial != certfile.Serial(leaf) {
			t.Errorf("subject %q, serial %s", got.Subject, got.Serial)
		}
		if (alice.NewRoot != nil) != newRoot {
			t.Errorf("new root %v: the letter carries the root %+v", newRoot, alice.NewRoot)
		}
		if newRoot {
			root, err := x509.ParseCertificate(alice.NewRoot.DER)
			check(t, err)
			check(t, leaf.CheckSignatureFrom(root))
		}
		if want := (tenancy.Changes{Key: true, Issuer: true, Root: newRoot}); !alice.ChangesKnown || alice.Changes != want {
			t.Errorf("new root %v: the letter announces %+v", newRoot, alice.Changes)
		}
		// The CA that is asked by hand stays.
		if len(alice.Arrangements) != 3 || alice.Arrangements[0].Arrangement != "crm-to-bank" ||
			alice.Arrangements[1].Arrangement != pins.Name || !alice.Arrangements[1].MustChange ||
			alice.Arrangements[2].Arrangement != "crm-to-ours" {
			t.Errorf("arrangements %+v", alice.Arrangements)
		}
	}
}

func TestNoMailContainsAPrivateKey(t *testing.T) {
	w := worldOf(t, []string{"team@p.example.com"})
	bank, fund := w.arrange("bank"), w.arrange("fund")
	for _, a := range []tenancy.Arrangement{bank, fund} {
		w.administered(a, tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	}
	_, err := w.ca.Announce(t.Context(), installed, issuer.Succession{NewRoot: true})
	check(t, err)
	var sender answers
	for _, at := range []time.Time{installed, date(2026, 11, 1), date(2026, 12, 1), date(2026, 12, 16),
		date(2027, 1, 13), date(2027, 1, 15)} {
		check(t, w.Tick(t.Context(), at))
		check(t, w.deliverer(&sender).Deliver(t.Context(), w.queued(), false, at))
		if at.After(date(2026, 12, 2)) {
			w.sees(fund, 2, rollover.Accepted, at)
		}
	}
	administrators, err := w.Store.Administrators(t.Context(), w.acme.ID, "")
	check(t, err)
	last := date(2027, 1, 16)
	_, err = w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", last)
	check(t, err)
	w.sees(bank, 3, rollover.Accepted, last)
	w.sees(fund, 3, rollover.Accepted, last)
	check(t, w.Tick(t.Context(), last))
	check(t, w.StopAdministrator(t.Context(), administrators[0].ID, tenancy.Bounced, "", "test", last))
	_, _, err = w.AddCredential(t.Context(), tenancy.Credential{TenantID: w.acme.ID, Name: "bank", Issuer: "bank-ca"},
		"test", last)
	check(t, err)
	_, err = w.ChangeCredential(t.Context(), tenancy.Credential{TenantID: w.acme.ID, Name: tenancy.ForTenant,
		KeyType: tenancy.P384}, "test", last)
	check(t, err)
	w.watch("").through(tenancy.WatchExpected, tenancy.WatchAlarmed, tenancy.WatchRenewed)
	check(t, w.deliverer(&sender).Deliver(t.Context(), w.queued(), false, last))
	alice, err := w.Store.KeyUser(t.Context(), w.acme.ID, "alice")
	check(t, err)
	check(t, w.AskToStop(t.Context(), alice, last))
	check(t, w.StopMails(t.Context(), alice.ID, last))
	check(t, w.deliverer(&sender).Deliver(t.Context(), w.queued(), false, last))
	const hash = "hash of the secret"
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "t1", Name: "crm", Role: tenancy.RoleSender,
			TenantID: w.acme.ID, CreatedAt: installed, ExpiresAt: last.AddDate(0, 0, 5)}, hash)
	}))
	check(t, w.WarnOfTokens(t.Context(), last))
	r, err := w.ca.RequestAuthority(t.Context(), "", last)
	check(t, err)
	below, err := w.ca.InstallAuthority(t.Context(), roottest.New(t, last)(r.CSR, last, last.AddDate(5, 0, 0)), last, last)
	check(t, err)
	check(t, w.Announce(t.Context(), below.NotAfter.AddDate(-2, 0, 0)))
	check(t, w.deliverer(&sender).Deliver(t.Context(), w.ofTheHostingTeam(), false, last))
	secrets := [][]byte{[]byte(alice.UnsubscribeToken), []byte(hash), w.LinkKey}
	certs, err := w.Store.Certificates(t.Context(), w.acme.ID, "", 100)
	check(t, err)
	for _, c := range certs {
		key, err := w.PrivateKey(t.Context(), c)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue // it was destroyed
		}
		check(t, err)
		scalar, err := key.(*ecdsa.PrivateKey).Bytes()
		check(t, err)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		check(t, err)
		sealed, err := w.Store.SealedKey(t.Context(), c.ID)
		check(t, err)
		secrets = append(secrets, scalar, pkcs8, sealed)
	}
	authorities, err := w.Store.Authorities(t.Context())
	check(t, err)
	for _, a := range authorities {
		if len(a.SealedKey) > 0 {
			secrets = append(secrets, a.SealedKey)
		}
	}
	if len(secrets) < 10 {
		t.Fatalf("%d secrets to look for", len(secrets))
	}
	kinds, attached := map[tenancy.NoticeKind]int{}, 0
	for _, l := range sender.letters {
		kinds[l.Kind]++
		m, err := templates(t).compose(l.Kind, l.Letter, mail.Address{Address: "noreply@p.example.com"})
		check(t, err)
		var raw bytes.Buffer
		_, err = m.WriteTo(&raw)
		check(t, err)
		texts := [][]byte{raw.Bytes()}
		for _, file := range m.GetAttachments() {
			var content bytes.Buffer
			_, err := file.Writer(&content)
			check(t, err)
			texts = append(texts, content.Bytes())
			attached++
			certs, err := certfile.Parse(content.Bytes(), "")
			if err != nil || len(certs) > 1 != strings.HasPrefix(file.Name, "new-ca-") {
				t.Errorf("%s has %d certificates: %v", file.Name, len(certs), err)
			}
		}
		for _, text := range texts {
			if bytes.Contains(text, []byte("PRIVATE KEY")) {
				t.Errorf("%q has a private key in PEM", l.Subject)
			}
			for _, s := range secrets {
				for _, form := range [][]byte{s, []byte(hex.EncodeToString(s)), []byte(base64.StdEncoding.EncodeToString(s)),
					[]byte(base64.StdEncoding.EncodeToString(s)[:20])} {
					if bytes.Contains(text, form) {
						t.Errorf("%q has a secret in it", l.Subject)
					}
				}
			}
		}
	}
	for _, kind := range noticeKinds {
		if kinds[kind] == 0 {
			t.Errorf("no mail of the kind %s was looked at: %v", kind, kinds)
		}
	}
	if attached < 8 {
		t.Errorf("%d attachments were looked at", attached)
	}
}

// mailEvents lists the actions of the audit log that are about mails, each with its tenant.
func (w *world) mailEvents() (all []string) {
	w.t.Helper()
	events, err := w.Store.Events(w.t.Context(), "", 0, 1000)
	check(w.t, err)
	for _, e := range events {
		if strings.HasPrefix(e.Action, "mail.") {
			all = append(all, e.Action+" "+e.Tenant)
		}
	}
	return all
}

func TestEveryMailThatIsSentOrDeadHasAnEventAndADeadOneIsLogged(t *testing.T) {
	w := newWorld(t)
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	var logged bytes.Buffer
	d, err := NewDeliverer(DelivererConfig{Store: w.Store, Log: slog.New(slog.NewTextHandler(&logged, nil)),
		Sender: &answers{answer: func(l Addressed) error {
			if l.Name == "Ina" {
				return &Refusal{Fault: OfRecipient, Final: true, Reply: errors.New("no such user")}
			}
			return nil
		}}})
	check(t, err)
	check(t, d.Deliver(t.Context(), w.queued(), false, date(2026, 11, 1)))
	got := w.mailEvents()
	slices.Sort(got)
	if !slices.Equal(got, []string{"mail.dead acme", "mail.sent acme"}) {
		t.Errorf("events %v", got)
	}
	if text := logged.String(); !strings.Contains(text, "mail is dead") || !strings.Contains(text, "tenant=acme") ||
		!strings.Contains(text, "no such user") {
		t.Errorf("logged %q", text)
	}
}

func TestADeliveryReportsWhatItCannotReadOrStore(t *testing.T) {
	w := newWorld(t)
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	ids := w.queued()
	var sender answers
	sender.answer = func(Addressed) error { // the mails are gone when the first answer is stored
		_, err := w.Store.DB().ExecContext(t.Context(), "DELETE FROM mails")
		return err
	}
	if err := w.deliverer(&sender).Deliver(t.Context(), ids, false, date(2026, 11, 1)); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("an answer that cannot be stored: %v", err)
	}
	sent := len(sender.letters)
	// A mail that is not queued any more is not sent.
	if check(t, w.deliverer(&sender).Deliver(t.Context(), ids, false, date(2026, 11, 1))); len(sender.letters) != sent {
		t.Error("a letter was sent for a mail that is not queued")
	}
	check(t, w.Store.Close())
	if err := w.deliverer(&sender).Deliver(t.Context(), ids, false, date(2026, 11, 1)); err == nil {
		t.Error("a closed database gives no error")
	}
}

func TestAnAuthorityThatCannotBeDescribedIsAnError(t *testing.T) {
	w := newWorld(t)
	ca, err := w.ca.Announce(t.Context(), installed.AddDate(0, 0, 1), issuer.Succession{NewRoot: true})
	check(t, err)
	all, err := w.Store.Authorities(t.Context())
	check(t, err)
	if got, root, err := announced(all, ca.ID); err != nil || got == nil || root == nil {
		t.Fatalf("%v, %v, %v", got, root, err)
	}
	if _, _, err := announced(all, "unknown"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("an unknown authority: %v", err)
	}
	for _, broken := range []string{ca.ID, ca.ParentID} {
		damaged := slices.Clone(all)
		for i, a := range damaged {
			if a.ID == broken {
				damaged[i].DER = []byte{0x30}
			}
		}
		if _, _, err := announced(damaged, ca.ID); err == nil {
			t.Errorf("no error about %s", broken)
		}
	}
}

// A mail that lacks a part of its content must not be sent.
func TestNoMailIsSentIfAPartOfItsContentCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	ids := w.queued()
	var sender answers
	d := w.deliverer(&sender)
	deliver := func() error { return d.Deliver(t.Context(), ids, false, date(2026, 12, 1)) }
	testenv.FailsWithout(t, w.Store.DB(), []string{"mails", "notices", "certificates", "tenants", "arrangements",
		"receivers", "key_users", "evidence", "authorities", "foreign_issuers"}, deliver)
	if len(sender.letters) != 0 {
		t.Errorf("%d letters were sent", len(sender.letters))
	}
	testenv.FailsIfReadOnly(t, w.Store.DB(), []string{"mails", "events"}, deliver)
	sender.letters = nil
	if check(t, deliver()); len(sender.letters) != len(ids) {
		t.Errorf("%d of %d letters were sent", len(sender.letters), len(ids))
	}
}

func TestADeliveryReportsEachStatementThatFails(t *testing.T) {
	now := date(2026, 12, 1)
	before := newWorld(t, imported(t))
	before.arrange("bank")
	check(t, before.Tick(t.Context(), date(2026, 11, 1))) // the warning
	check(t, before.Tick(t.Context(), now))
	check(t, jobs.Migrate(t.Context(), before.Store, before.Log))
	snapshot := storetest.Snapshot(t, before.Store)
	refused := func(Addressed) error {
		return &Refusal{Fault: Ours, Session: true, Reply: errors.New("554 relay denied")}
	}
	for name, c := range map[string]struct {
		answer  func(Addressed) error
		hold    tenancy.MailHold
		lastTry bool
	}{
		"accepted":       {},
		"dead":           {answer: func(Addressed) error { return errors.New("450 later") }, lastTry: true},
		"refused":        {answer: refused},
		"tested":         {hold: tenancy.MailHold{Since: installed, RetryAt: now, Reason: "554"}},
		"still refused":  {answer: refused, hold: tenancy.MailHold{Since: installed, RetryAt: now, Reason: "554"}},
		"only recipient": {answer: func(Addressed) error { return &Refusal{Fault: Ours, Reply: errors.New("550")} }},
	} {
		t.Run(name, func(t *testing.T) {
			installation := *before.Installation
			w := world{Installation: &installation, ca: before.ca, acme: before.acme}
			n := storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
				w.t, w.Store = t, storetest.Open(t, storetest.Restore(t, snapshot))
				if !c.hold.Since.IsZero() {
					w.held(c.hold)
				}
				ids, d := w.queued(), w.deliverer(&answers{answer: c.answer})
				return w.Store, func() error {
					err := d.Deliver(t.Context(), ids, c.lastTry, now)
					if errors.As(err, new(*HeldError)) { // a failed statement must not look like a refusal
						return nil
					}
					return err
				}
			})
			if n < 12 {
				t.Errorf("%d statements failed", n)
			}
		})
	}
}
