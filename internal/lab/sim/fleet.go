package sim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// firstExpiry returns the times after the start between which the first certificates expire.
func (c Config) firstExpiry() (earliest, latest time.Duration) {
	if c.Steady {
		return c.Policy.WarnTo.Of(c.Policy.Validity), c.Policy.Validity // none is due for a warning yet
	}
	return 93 * policy.Day, 458 * policy.Day
}

// A registry is a CA with one root. It records the tenants that it issued for.
type registry struct {
	root *x509.Certificate
	key  ed25519.PrivateKey // its signatures are deterministic

	mu      sync.Mutex // guards the fields below
	serial  uint64
	tenants []string
}

// rootID is the authority under which the root is stored.
const rootID = "sim"

func newRegistry(c Config) (*registry, error) {
	r := &registry{key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), serial: 1}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: c.Start,
		NotAfter: c.Start.AddDate(2*mostYears, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, r.key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	r.root, err = x509.ParseCertificate(der)
	return r, err
}

// authority returns the root as the engine stores it.
func (r *registry) authority() tenancy.Authority {
	return tenancy.Authority{ID: rootID, Kind: tenancy.RootAuthority, Position: 1, DER: r.root.Raw,
		NotBefore: r.root.NotBefore, NotAfter: r.root.NotAfter}
}

// Issue implements [issuer.Issuer].
func (r *registry) Issue(_ context.Context, q issuer.Request) (issuer.Issued, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tenants = append(r.tenants, q.Tenant)
	return r.certificate(q.Tenant, q.Key.Public(), q.At.Add(-local.Backdate), q.Validity)
}

// certificate issues the next certificate.
func (r *registry) certificate(tenant string, key crypto.PublicKey, from time.Time,
	validity time.Duration) (issuer.Issued, error) {
	r.serial++
	template := &x509.Certificate{SerialNumber: new(big.Int).SetUint64(r.serial), Subject: pkix.Name{CommonName: tenant},
		NotBefore: from, NotAfter: from.Add(validity), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, r.root, key, r.key)
	return issuer.Issued{DER: der, Serial: fmt.Sprintf("%016x", r.serial), Subject: "CN=" + tenant,
		NotBefore: from, NotAfter: from.Add(validity), IssuerID: rootID}, err
}

// drain returns the tenants for which certificates were issued since the last call, each once, in order.
func (r *registry) drain() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.tenants
	r.tenants = nil
	slices.Sort(all)
	return slices.Compact(all)
}

// oneKey returns the same key every time, because nothing is signed.
type oneKey struct{ key crypto.Signer }

// Take implements [lifecycle.Keys].
func (k oneKey) Take(tenancy.KeyType) (crypto.Signer, error) { return k.key, nil }

// postbox counts mails.
type postbox struct{ mails int }

// Enqueue implements [lifecycle.Outbox].
func (p *postbox) Enqueue(_ context.Context, _ *sql.Tx, mails []tenancy.Mail) error {
	p.mails += len(mails)
	return nil
}

// A tenant of the simulation.
type tenant struct {
	tenancy.Tenant
	number       int
	arrangements []*arrangement
	generations  []generation
	rollAt       time.Time // the next time at which the engine has something to do
}

// A generation of a tenant's certificate. Retired ones are kept.
type generation struct {
	number      int
	notAfter    time.Time
	noticedAt   time.Time         // the first notice about it
	certificate *x509.Certificate // nil if no receiver has a guard
}

// read reads the certificate if there are guards that decide about it.
func (g *generation) read(c Config, der []byte) (err error) {
	if c.Receivers.Guard > 0 {
		g.certificate, err = x509.ParseCertificate(der)
	}
	return err
}

// An arrangement of the simulation.
type arrangement struct {
	sender
	receiver
	id       string
	tenant   *tenant
	number   int
	standing standing.Standing // the gateway's copy
	pending  int               // number of planned actions of its administrator
	served   generation        // delivered messages before the latest renewal
	since    time.Time         // messages before are counted
	fate     fate
	message  time.Time // the time of a message that will give new evidence
}

// open opens an engine on an empty database.
func (w *world) open(ctx context.Context) (err error) {
	if w.store, err = store.OpenInMemory(ctx); err != nil {
		return err
	}
	seal, err := keyring.Ephemeral()
	if err != nil {
		return err
	}
	if w.key, err = keyring.Generate(tenancy.P256); err != nil {
		return err
	}
	if w.registry, err = newRegistry(w.config); err != nil {
		return err
	}
	if err := w.store.AddAuthority(ctx, w.registry.authority()); err != nil {
		return err
	}
	w.postbox = &postbox{}
	log := slog.New(slog.DiscardHandler)
	var key links.Key // without one, administrators are not mailed
	if w.config.Notified == Mailed {
		if key, err = links.Open(ctx, w.store, seal); err != nil {
			return err
		}
	}
	w.engine, err = lifecycle.New(lifecycle.Config{
		LinkKey: key, Store: w.store, Issuer: w.registry, Keys: oneKey{w.key}, Seal: seal, Policy: w.config.Policy,
		Outbox: w.postbox, MailDomain: "example.com", Log: log,
	})
	if err != nil {
		return err
	}
	w.feeds, err = feeds.New(w.store, w.engine.Rollovers(), seal, log)
	return err
}

// found creates n tenants, numbered from first on.
func (w *world) found(ctx context.Context, first, n int) error {
	c := w.config
	earliest, latest := c.firstExpiry()
	var tenants []tenancy.Tenant
	var users []tenancy.KeyUser
	var projects []tenancy.ScopingProject
	var certs []store.SealedCertificate
	var receivers []tenancy.Receiver
	var arrangements []tenancy.Arrangement
	for number := first; number < first+n; number++ {
		r := draws(c.Seed, number, 0, 0)
		name := fmt.Sprintf("tenant-%07d", number)
		t := &tenant{number: number, Tenant: tenancy.Tenant{ID: store.NewID(), Name: name, DisplayName: name,
			KeyType: tenancy.P256, MailsAdministrators: c.Notified == Mailed, CreatedAt: c.Start, Version: 1}}
		expires := c.Start.Add(between(r, earliest, latest)).Truncate(time.Second)
		from := expires.Add(-c.Policy.Validity)
		if from.After(c.Start) { // certificates of the policy have a shorter lifetime than the first ones
			from = c.Start
		}
		issued, err := w.registry.certificate(t.Name, w.key.Public(), from, expires.Sub(from))
		if err != nil {
			return err
		}
		tenants = append(tenants, t.Tenant)
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{
			ID: store.NewID(), TenantID: t.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			Serial: issued.Serial, Fingerprint: fmt.Sprintf("%064x", w.registry.serial),
			Subject: issued.Subject, NotBefore: issued.NotBefore, NotAfter: issued.NotAfter, KeyType: tenancy.P256,
			DER: issued.DER, IssuerID: issued.IssuerID, CreatedAt: c.Start,
		}, SealedKey: []byte{0}})
		projects = append(projects, tenancy.ScopingProject{ID: store.NewID(), TenantID: t.ID, Name: tenancy.FirstProject,
			CreatedAt: c.Start, Version: 1,
			Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "sim", At: c.Start}}})
		users = append(users, keyUsersOf(t, c.Start)...)
		t.generations = []generation{{number: 1, notAfter: issued.NotAfter}}
		if err := t.generations[0].read(c, issued.DER); err != nil {
			return err
		}
		for i := range c.Arrangements {
			a, err := w.newArrangement(t, i+1)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("receiver-%d", i+1)
			row := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: name, DisplayName: name, CreatedAt: c.Start,
				ContactEmail: "admin@" + name + ".example.com", Version: 1}
			receivers = append(receivers, row)
			arrangements = append(arrangements, tenancy.Arrangement{
				ID: a.id, TenantID: t.ID, ReceiverID: row.ID, Name: "to-" + name, Endpoint: "https://" + name + ".example.com/",
				Authentication: tenancy.ClientCertificate, Strategy: c.Strategy, Generation: 1,
				CreatedAt: c.Start, Version: 1,
			})
			t.arrangements = append(t.arrangements, a)
		}
		w.tenants = append(w.tenants, t)
	}
	return w.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Create(ctx, store.Rows{Tenants: tenants, Projects: projects, KeyUsers: users, Certificates: certs,
			Receivers: receivers, Arrangements: arrangements})
	})
}

// newArrangement draws an arrangement of a tenant with its receiver.
func (w *world) newArrangement(t *tenant, number int) (*arrangement, error) {
	c := w.config
	r := draws(c.Seed, t.number, number, 0)
	a := &arrangement{id: store.NewID(), tenant: t, number: number, receiver: c.newReceiver(r),
		sender: sender{c.Start.Add(between(r, 0, c.Interval)), c.Interval}, since: c.Start}
	a.minute = between(r, 0, time.Hour)
	if a.kind != guarded {
		return a, nil
	}
	return a, a.guard(c, t.generations[0].certificate, w.registry.root)
}

// keyUsersOf returns the key users of a tenant.
func keyUsersOf(t *tenant, start time.Time) (users []tenancy.KeyUser) {
	for i := range keyUsers {
		u := tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: fmt.Sprintf("user-%d", i),
			Email: fmt.Sprintf("user-%d@example.com", i), UnsubscribeToken: store.NewID(), CreatedAt: start, Version: 1}
		if i < subscribers {
			u.SubscribedAt = start
		}
		users = append(users, u)
	}
	return users
}

// Each tenant has three key users, and one of them subscribed to mails.
const (
	keyUsers    = 3
	subscribers = 1
)

// usable reports whether the generation is valid at now.
func (g generation) usable(now time.Time) bool { return now.Before(g.notAfter) }

// newest returns the tenant's latest generation.
func (t *tenant) newest() generation { return t.generations[len(t.generations)-1] }

// news returns the report of a gateway about a message: the evidence that is new to the engine. Gateways repeat known
// evidence once an hour, which has no effect and is left out.
func news(r rollover.Rollover, seen []standing.Observation) (reported []standing.Observation) {
	for _, o := range seen {
		before, _ := r.Generation(o.Generation)
		r = r.Observe(o.Evidence)
		after, _ := r.Generation(o.Generation)
		if after.Verdict != before.Verdict || before.VerdictAt.Before(before.PresentedAt) {
			reported = append(reported, o)
		}
	}
	return reported
}
