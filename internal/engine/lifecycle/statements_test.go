package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// on returns a fixture on a snapshot, with the same keys and settings.
func (f *fixture) on(t *testing.T, snapshot []byte, now time.Time) *fixture {
	t.Helper()
	g := &fixture{t: t, url: storetest.Restore(t, snapshot), config: f.config, mails: &outbox{}, down: map[string]bool{}}
	g.config.Store, g.config.Outbox = storetest.Open(t, g.url), g.mails
	g.config.Issuer = flaky{openCA(t, g.config.Store, f.seal, f.policy, now), g.down, &g.meanwhile}
	var err error
	g.Engine, err = New(g.config)
	check(t, err)
	return g
}

// eachStatement runs a step once for each statement that it executes, on a copy of the database, and that statement
// fails. The step must report it.
func (f *fixture) eachStatement(t *testing.T, now time.Time, step func(g *fixture) error) {
	t.Helper()
	snapshot := storetest.Snapshot(t, f.store)
	n := storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
		g := f.on(t, snapshot, now)
		return g.store, func() error { return step(g) }
	})
	if n == 0 {
		t.Error("no statement failed")
	}
}

// A table that is missing fails the next query of it too. A single statement that fails does not.
func TestEveryStepReportsEachStatementThatFails(t *testing.T) {
	founded := date("2026-01-15")
	f := sqlite(t, "perennial", founded)
	f.config.Operators, f.config.Heads = []string{"team@p.example.com"}, []HeadSink{&drawer{name: "file"}}
	f.withSlow()
	acme := f.tenant("acme", founded)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "dmz", Name: "dmz", Role: tenancy.RoleGateway,
			CreatedAt: founded, ExpiresAt: date("2027-02-20")}, "secret")
	}))
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	each := func(name, day string, step func(g *fixture, now time.Time) error) {
		t.Run(name, func(t *testing.T) {
			now := date(day)
			f.eachStatement(t, now, func(g *fixture) error { return step(g, now) })
		})
	}
	tick := func(g *fixture, now time.Time) error { return g.Tick(t.Context(), now) }
	check(t, f.Tick(t.Context(), founded))
	each("create", "2026-01-16", func(g *fixture, now time.Time) error {
		_, err := g.CreateTenant(t.Context(), tenancy.Tenant{Name: "new", DisplayName: "N", KeyType: tenancy.P256}, "test",
			now)
		return err
	})
	credential := func(g *fixture, now time.Time) error {
		_, _, err := g.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "slow", Issuer: "bank-ca"},
			"test", now)
		return err
	}
	each("credential", "2026-01-16", credential)
	each("change", "2026-01-16", func(g *fixture, now time.Time) error {
		c, err := g.ChangeCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: tenancy.ForTenant,
			KeyType: tenancy.P384}, "test", now)
		if err == nil && c.Version != 1 {
			t.Errorf("version %d of settings that are new", c.Version)
		}
		return err
	})
	each("announce", "2026-01-16", func(g *fixture, now time.Time) error { return g.Announce(t.Context(), now) })
	check(t, f.Tick(t.Context(), date("2026-10-02"))) // so that one run is due
	each("warn", "2026-11-01", tick)
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	each("renew", "2026-12-01", tick)
	check(t, f.Tick(t.Context(), date("2026-12-01")))
	each("remind", "2026-12-16", tick)
	f.sees(bank, 1, rollover.Accepted, rollover.Traffic, date("2026-12-17"))
	each("compromised", "2026-12-18", func(g *fixture, now time.Time) error {
		_, err := g.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "test", now)
		return err
	})
	each("roll", "2027-02-01", func(g *fixture, now time.Time) error { return g.Roll(t.Context(), now) })
	each("open", "2026-12-18", func(g *fixture, now time.Time) error {
		return g.Open(t.Context(), now, func(standing.Standing) {})
	})
	each("prune", "2027-02-01", func(g *fixture, now time.Time) error { return g.Prune(t.Context(), now) })
	each("head", "2027-02-01", func(g *fixture, now time.Time) error { return g.PublishHead(t.Context(), now) })
	each("tokens", "2027-02-01", func(g *fixture, now time.Time) error { return g.WarnOfTokens(t.Context(), now) })
	check(t, credential(f, date("2026-12-18")))
	each("collect", "2026-12-19", func(g *fixture, now time.Time) error { return g.Collect(t.Context(), now) })
	signing, _ := f.Signing(date("2026-12-18"))
	each("revoke", "2026-12-18", func(g *fixture, now time.Time) error {
		return g.RevokeAuthority(t.Context(), signing.ID, Compromised, "alice", now)
	})
	check(t, f.RevokeAuthority(t.Context(), signing.ID, Compromised, "alice", date("2026-12-18")))
	each("revoked", "2026-12-18", func(g *fixture, now time.Time) error { return g.RenewRevoked(t.Context(), now) })
}

// The answers of CAs, and what comes from elsewhere, are stored with more statements than a run.
func TestEveryAnswerReportsEachStatementThatFails(t *testing.T) {
	now := date("2026-01-15")
	f, ca, acme := requested(t, now)
	f.arrange(tenancy.Arrangement{TenantID: acme.ID, Name: "bank", Credential: "bank"})
	_, err := f.store.DB().ExecContext(t.Context(), "UPDATE arrangements SET generation = 0") // it waits
	check(t, err)
	each := func(name string, at time.Time, step func(g *fixture) error) {
		t.Run(name, func(t *testing.T) { f.eachStatement(t, at, step) })
	}
	later := now.Add(2 * time.Hour)
	q := f.requests(acme)[0]
	again := func(g *fixture) error { return g.Again(t.Context(), q, "olga", later) }
	each("sent again", later, again)
	ca.atOnce = true
	each("sent again, and answered at once", later, again)
	ca.atOnce, ca.open = false, true
	collect := func(g *fixture) error { return g.Collect(t.Context(), later) }
	each("the first generation", later, collect)
	check(t, collect(f))
	later = later.Add(time.Hour)
	renew := func(g *fixture) error {
		c, err := g.RenewByHand(t.Context(), "acme", "bank", Lost, "olga", later)
		if err == nil && c.State != tenancy.Requested {
			t.Errorf("the next generation is %s", c.State)
		}
		return err
	}
	each("lost", later, renew)
	check(t, renew(f))
	later = later.Add(2 * time.Hour)
	each("the second generation", later, collect)
	each("a credential with names", later, func(g *fixture) error {
		_, _, err := g.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "shop",
			SAN: "DNS:shop.example.com", Issuer: "bank-ca"}, "olga", later)
		return err
	})
	a := f.adopted("globex", tenancy.ForTenant, 365*policy.Day, now)
	each("a tenant with its certificate", later, func(g *fixture) error {
		_, err := g.AdoptTenant(t.Context(), tenancy.Tenant{Name: "globex", DisplayName: "G", KeyType: tenancy.P256},
			[]Adopted{a}, "olga", later, nil)
		return err
	})
	check(t, f.seal.Rotate(t.Context()))
	each("sealing again", later, func(g *fixture) error {
		_, err := Reseal(t.Context(), g.store, g.seal, func(int) {})
		return err
	})
}

func TestTheSplittingOfARunReportsEachStatementThatFails(t *testing.T) {
	founded, now := date("2026-01-15"), date("2026-12-01")
	f := sqlite(t, "perennial", founded)
	f.config.Parts, f.config.PartSize = &spread{}, 2
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	for i := range 3 {
		f.tenant(fmt.Sprint("t", i), founded)
	}
	check(t, f.Tick(t.Context(), date("2026-10-02")))
	f.eachStatement(t, now, func(g *fixture) error { return g.Tick(t.Context(), now) })
}

// Two replicas may add the parts of a run that an earlier release began. The slower one leaves them to the other.
func TestARunWhosePartsAnotherReplicaAddsIsNotAnError(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.store.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "INSERT INTO run_parts") {
			return fmt.Errorf("%w: it exists", tenancy.ErrConflict)
		}
		return nil
	})
	handedOut, err := f.begin(t.Context(), date("2026-02-01"), date("2026-02-01"))
	if err != nil || handedOut {
		t.Errorf("handed out: %v, %v", handedOut, err)
	}
}

func TestTheLimitOfRenewalsHoldsForThoseOfARevokedAuthority(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme, now := f.tenant("acme", date("2026-01-15")), date("2026-02-02")
	revoked, _ := f.Signing(now)
	check(t, f.RevokeAuthority(t.Context(), revoked.ID, Compromised, "alice", now))
	asked, limit := 0, errors.New("no limit today")
	f.pace = func(_ context.Context, n int) error {
		asked += n
		return limit
	}
	if err := f.RenewRevoked(t.Context(), now); !errors.Is(err, limit) || asked != 2 {
		t.Errorf("the limit was asked for %d: %v", asked, err)
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 {
		t.Errorf("generation %d is the newest", c.Generation)
	}
	limit = nil
	check(t, f.RenewRevoked(t.Context(), now))
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 || asked != 4 {
		t.Errorf("generation %d is the newest, and the limit was asked for %d", c.Generation, asked)
	}
}

// The renewal of a certificate whose names cannot be read gets the issuer's usual names.
func TestNamesThatCannotBeReadAreNotKept(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	c := f.newest(f.tenant("acme", date("2026-01-15")), tenancy.ForTenant)
	if names := namesOf(c); names == nil {
		t.Error("the names of a certificate are not read")
	}
	c.DER = c.DER[1:]
	if names := namesOf(c); names != nil {
		t.Errorf("%+v is read", names)
	}
}

// unable is a CA that a person asks, and for which no request can be made.
type unable struct{ *manual.Issuer }

func (unable) SigningRequest(issuer.Request) ([]byte, error) {
	return nil, errors.New("no request today")
}

func TestARequestThatCannotBeMadeIsAnError(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "perennial", now)
	ca, err := manual.Open(manual.Config{Roots: testca.New(t, "Bank", now).RootFile(t)},
		issuer.Form{TrustDomain: "p.example.com", Organization: "P"})
	check(t, err)
	f.config.Issuers = issuer.Set{"bank-ca": ca}
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	f.eachStatement(t, now, func(g *fixture) error {
		_, err := g.SigningRequest(t.Context(), f.requests(acme)[0])
		return err
	})
	f.config.Issuers = issuer.Set{"bank-ca": unable{ca}}
	f.Engine, err = New(f.config)
	check(t, err)
	if _, err := f.SigningRequest(t.Context(), f.requests(acme)[0]); err == nil ||
		!strings.Contains(err.Error(), "no request today") {
		t.Errorf("%v", err)
	}
}

// Runs before the installation do not count, and a run by hand replaces no scheduled one.
func TestTheLatestScheduledRunDecidesWhichIsNext(t *testing.T) {
	installed := date("2026-01-15")
	f := sqlite(t, "perennial", installed)
	for _, c := range []struct {
		begins string // of a further run
		want   string // the last scheduled run after it
	}{
		{"2025-12-01", "2026-01-15"}, {"2026-01-20", "2026-01-20"}, {"2026-02-01", "2026-02-01"},
		{"2026-02-10", "2026-02-01"}, {"2026-03-01", "2026-03-01"},
	} {
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.StartRun(t.Context(), tenancy.Run{RunDate: date(c.begins), Policy: "p", StartedAt: date(c.begins)})
			return err
		}))
		if last, err := f.lastScheduled(t.Context(), installed); err != nil || !last.Equal(date(c.want)) {
			t.Errorf("after a run of %s: %v, %v, want %s", c.begins, last, err, c.want)
		}
	}
}

// A page of certificates that cannot be renewed does not keep those after it from being tried.
func TestTheRenewalsOfARevokedAuthorityGoThroughEveryPage(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme, now := f.tenant("acme", date("2026-01-15")), date("2026-02-02")
	revoked, _ := f.Signing(now)
	var certs []store.SealedCertificate
	for i := range pageSize + 1 {
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: store.NewID(),
			TenantID: acme.ID, Purpose: tenancy.Purpose(fmt.Sprint("c", i)), Generation: 1, State: tenancy.Active,
			NotBefore: date("2026-01-15"), NotAfter: date("2027-01-15"), KeyType: tenancy.P256, DER: []byte{0x30, 0},
			IssuerID: revoked.ID, CreatedAt: date("2026-01-15")}, SealedKey: []byte{0}})
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Create(t.Context(), store.Rows{Certificates: certs})
	}))
	check(t, f.RevokeAuthority(t.Context(), revoked.ID, Compromised, "alice", now))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	f.pace = func(context.Context, int) error {
		if asked++; asked > len(certs)+2 { // it begins again
			cancel()
		}
		return errors.New("no limit today")
	}
	if err := f.RenewRevoked(ctx, now); err == nil || asked != len(certs)+2 {
		t.Errorf("%d certificates were tried, want %d: %v", asked, len(certs)+2, err)
	}
}

func TestAnEngineReturnsItsParts(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.withSlow()
	if f.Rollovers() == nil || f.Rollovers() != f.shared {
		t.Error("the roll-overs are not those of the engine")
	}
	if got, want := f.Founded(), []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser}; !slices.Equal(got, want) {
		t.Errorf("a tenant gets %v, want %v", got, want)
	}
	if f.Issuers()["bank-ca"] == nil || f.IssuerName() != "" || f.Policy().Name != "perennial" {
		t.Errorf("issuers %v, the default %q, policy %s", f.Issuers(), f.IssuerName(), f.Policy().Name)
	}
}
