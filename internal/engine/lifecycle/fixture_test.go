package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/signertest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) {
	// A drawn history spans two renewals and takes seconds under the race detector: few of them here, many in
	// "make properties". With -short, rapid draws a fifth.
	flag.Parse()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		number := "8"
		if testing.Short() {
			number = "15"
		}
		checks.Value.Set(number)
	}
	testenv.Main(m)
}

// outbox counts how often each mail was queued.
type outbox struct {
	mu     sync.Mutex
	queued map[string]int
}

func (o *outbox) Enqueue(_ context.Context, _ *sql.Tx, mails []tenancy.Mail) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued == nil {
		o.queued = map[string]int{}
	}
	for _, m := range mails {
		o.queued[m.ID]++
	}
	return nil
}

// A flaky issuer fails for some tenants. Something else can happen while it issues a certificate.
type flaky struct {
	issuer.Issuer
	down      map[string]bool
	meanwhile *func() // called once
}

func (f flaky) Unwrap() issuer.Issuer { return f.Issuer }

func (f flaky) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	if then := *f.meanwhile; then != nil {
		*f.meanwhile = nil
		then()
	}
	if f.down[r.Tenant] {
		return issuer.Issued{}, errors.New("the CA is down")
	}
	return f.Issuer.Issue(ctx, r)
}

type fixture struct {
	*Engine
	t      *testing.T
	url    string
	config Config
	mails  *outbox
	down   map[string]bool
	// meanwhile is called once while the CA issues a certificate; nil for nothing.
	meanwhile func()
}

func setUp(t *testing.T, url, preset string, now time.Time) *fixture {
	t.Helper()
	s := storetest.Open(t, url)
	keys, err := keyring.Create(filepath.Join(t.TempDir(), "key"), nil)
	check(t, err)
	p, err := policy.Preset(preset)
	check(t, err)
	f := &fixture{t: t, url: url, mails: &outbox{}, down: map[string]bool{}}
	f.config = Config{
		Store: s, Issuer: flaky{openCA(t, s, keys, p, now), f.down, &f.meanwhile}, Keys: keyring.NewPool(1), Seal: keys,
		Policy: p, Outbox: f.mails, MailDomain: "p.example.com", Log: slog.New(slog.DiscardHandler),
	}
	f.Engine, err = New(f.config)
	check(t, err)
	return f
}

// signers are the keys of issuing CAs that are not in the database. A test that uses them has URIs of its own.
var signers = signertest.New()

func openCA(t *testing.T, s *store.Store, keys *keyring.Keyring, p policy.Policy, now time.Time) *local.CA {
	t.Helper()
	ca, err := local.Open(t.Context(), local.Config{TrustDomain: "p.example.com", Organization: "P",
		LongestValidity: p.Validity, Signatories: signers.Open}, s, keys, now)
	check(t, err)
	return ca
}

// replica opens another engine on the same database, with a store and a CA of its own, as another process would.
func (f *fixture) replica(now time.Time) *Engine {
	f.t.Helper()
	s := storetest.Open(f.t, f.url)
	c := f.config
	c.Store, c.Issuer = s, flaky{openCA(f.t, s, c.Seal, c.Policy, now), f.down, &f.meanwhile}
	c.Parts, c.PartSize, c.Policy = f.parts, f.partSize, f.policy
	e, err := New(c)
	check(f.t, err)
	return e
}

func sqlite(t *testing.T, preset string, now time.Time) *fixture {
	return setUp(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), preset, now)
}

var check = testenv.Check

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// tenant creates a tenant with two IT contacts and three key users, of whom alice is subscribed. The scope sends mails.
func (f *fixture) tenant(name string, now time.Time) tenancy.Tenant {
	f.t.Helper()
	ctx := f.t.Context()
	tenant, err := f.CreateTenant(ctx, tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256}, "test", now)
	check(f.t, err)
	check(f.t, f.store.InTx(ctx, func(tx *store.Tx) error {
		for _, u := range []string{"alice", "bob", "carol"} {
			user := tenancy.KeyUser{ID: store.NewID(), TenantID: tenant.ID, Name: u, Email: u + "@" + name + ".example.com",
				UnsubscribeToken: store.NewID(), CreatedAt: now, Version: 1}
			if u == "alice" {
				user.SubscribedAt = now
			}
			if err := tx.CreateKeyUsers(ctx, user); err != nil {
				return err
			}
		}
		var contacts []tenancy.ITContact
		for _, c := range []string{"first", "second"} {
			contacts = append(contacts, tenancy.ITContact{ID: store.NewID(), TenantID: tenant.ID, Name: c,
				Email: c + "@" + name + ".example.com", CreatedAt: now, Version: 1})
		}
		return tx.SetITContacts(ctx, tenant.ID, contacts)
	}))
	f.scope(tenant, true, now)
	return tenant
}

func (f *fixture) scope(tenant tenancy.Tenant, yes bool, now time.Time) {
	f.t.Helper()
	ctx := f.t.Context()
	projects, err := f.store.ScopingProjects(ctx, tenant.ID)
	check(f.t, err)
	check(f.t, f.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.AnswerQuestion(ctx, projects[0].ID, projects[0].Version,
			tenancy.Answer{Question: tenancy.MailForTasks, Yes: yes, By: "test", At: now})
	}))
}

func (f *fixture) tasks(tenant tenancy.Tenant) []tenancy.Task {
	f.t.Helper()
	tasks, _, err := f.store.Tasks(f.t.Context(), store.TaskChoice{TenantID: tenant.ID}, store.Page{Limit: 1000})
	check(f.t, err)
	return tasks
}

// mailed lists "address subject" of every mail, sorted.
func (f *fixture) mailed(tenant tenancy.Tenant) []string {
	f.t.Helper()
	mails, err := f.store.Mails(f.t.Context(), tenant.ID, "", "", 1000)
	check(f.t, err)
	var all []string
	for _, m := range mails {
		name, _, _ := strings.Cut(m.Address, "@")
		all = append(all, name+": "+m.Subject)
	}
	slices.Sort(all)
	return all
}

func (f *fixture) newest(tenant tenancy.Tenant, p tenancy.Purpose) tenancy.Certificate {
	f.t.Helper()
	c, err := f.store.Newest(f.t.Context(), tenant.ID, p)
	check(f.t, err)
	return c
}
