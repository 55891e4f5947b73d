package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// ignores makes SQLite ignore a kind of change of a table, as if another replica had made it a moment before.
func (f *fixture) ignores(change, table string) {
	f.t.Helper()
	_, err := f.store.DB().ExecContext(f.t.Context(), fmt.Sprintf("CREATE TRIGGER faster_%s BEFORE %s ON %[1]s "+
		"BEGIN SELECT RAISE(IGNORE); END", table, change))
	check(f.t, err)
}

// Between the look at a claim and the claim itself, another replica may claim the work.
func TestWorkThatAnotherReplicaHasClaimedIsNotDoneAgain(t *testing.T) {
	founded := date("2026-01-15")
	f := sqlite(t, policy.Default, founded)
	f.config.Operators = []string{"team@p.example.com"}
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", founded)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	now := date("2026-12-20")
	a := f.announce(now)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "dmz", Name: "dmz", Role: tenancy.RoleGateway,
			CreatedAt: founded, ExpiresAt: now.AddDate(0, 0, 20)}, "secret")
	}))
	count := func() (n int) {
		check(t, f.store.DB().QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM notices) + (SELECT COUNT(*) FROM "+
			"events) + (SELECT COUNT(*) FROM claims)").Scan(&n))
		return n
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { // a row that can be updated
		_, err := tx.Announcement(t.Context(), a.ID)
		return err
	}))
	f.ignores("INSERT", "claims")
	f.ignores("UPDATE", "settings") // where a replica of the release before has the progress
	before := count()
	standings, err := f.Standings(t.Context(), f.store.Reader, acme, f.arrangements(acme))
	check(t, err)
	at := standings[0].Certificates[0].NotAfter.Add(-policy.Day)
	for name, step := range map[string]func() error{
		"the end of tokens": func() error { return f.WarnOfTokens(t.Context(), now) },
		"the head":          func() error { return f.mailHead(t.Context(), now) },
		"the signing CA":    func() error { return f.noteSigning(t.Context(), tenancy.Authority{ID: "new"}, now) },
		"a reminder":        func() error { return f.remind(t.Context(), acme, standings, at) },
		"an announcement": func() error {
			last, err := f.announcePage(t.Context(), a, now)
			if last {
				t.Error("the pages of the other replica are taken as the last ones")
			}
			return err
		},
	} {
		check(t, step())
		if n := count(); n != before {
			t.Errorf("%s: %d rows more", name, n-before)
			before = n
		}
	}
}

func (f *fixture) arrangements(t tenancy.Tenant) []tenancy.Arrangement {
	f.t.Helper()
	all, err := f.store.ArrangementsOf(f.t.Context(), []string{t.ID})
	check(f.t, err)
	return all[t.ID]
}

// A statement that meets what another replica wrote a moment before ends the step without an error.
func TestAReplicaThatWasFasterIsNotAnError(t *testing.T) {
	founded, now := date("2026-01-15"), date("2026-12-20")
	f := sqlite(t, policy.Default, founded)
	ca := f.withSlow()
	acme := f.tenant("acme", founded)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	f.add(acme, tenancy.Credential{Name: "slow", Issuer: "bank-ca"}, now.Add(-time.Hour))
	q := f.requests(acme)[0]
	standings, err := f.Standings(t.Context(), f.store.Reader, acme, f.arrangements(acme))
	check(t, err)
	expired := standings[0].Certificates[0]
	revoked := func(successor string) tenancy.Certificate {
		c := f.newest(acme, tenancy.ForMUser)
		c.SuccessorID = successor
		return c
	}
	o, err := f.owner(t.Context(), acme.ID)
	check(t, err)
	collect := func(open bool) func() error {
		return func() error {
			ca.open = open
			return f.collect(t.Context(), q, now)
		}
	}
	for name, c := range map[string]struct {
		statement string
		kinds     []error
		step      func() error
	}{
		"a reminder": {"INSERT INTO notices", []error{tenancy.ErrConflict}, func() error {
			return f.remind(t.Context(), acme, standings, expired.NotAfter.Add(-policy.Day))
		}},
		"the end of a generation": {"UPDATE certificates SET state", []error{tenancy.ErrStale}, func() error {
			_, err := f.retire(t.Context(), acme, standings[0].Certificates, standings, true, now)
			return err
		}},
		"an answer": {"DELETE FROM requests", []error{tenancy.ErrStale, tenancy.ErrConflict}, collect(true)},
		"no answer": {"UPDATE requests", []error{tenancy.ErrStale}, collect(false)},
		"a renewal of a revoked CA": {"INSERT INTO certificates", []error{tenancy.ErrConflict, tenancy.ErrStale},
			func() error { return f.renewRevoked(t.Context(), o, revoked(""), now) }},
		"a revocation": {"UPDATE certificates SET state", []error{tenancy.ErrStale}, func() error {
			return f.renewRevoked(t.Context(), o, revoked("next"), now)
		}},
	} {
		for _, kind := range append(c.kinds, errors.New("the disk is full")) {
			met := 0
			f.store.BeforeStatements(func(query string) error {
				if !strings.HasPrefix(query, c.statement) {
					return nil
				}
				met++
				return fmt.Errorf("%w: test", kind)
			})
			err := c.step()
			f.store.BeforeStatements(nil)
			if faster := slices.Contains(c.kinds, kind); (err == nil) != faster || met == 0 {
				t.Errorf("%s, %v: %v, %d statements", name, kind, err, met)
			}
		}
	}
}

// A ticking queue counts the ticks that are queued.
type ticking struct {
	spread
	ticks int
}

func (q *ticking) EnqueueTick(context.Context, *sql.Tx) error {
	if q.err == nil {
		q.ticks++
	}
	return q.err
}

func TestARevocationQueuesATickInTheSameTransaction(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	q := &ticking{}
	f.parts = q
	f.tenant("acme", now)
	signs, _ := f.Signing(now)
	q.err = errors.New("the queue is full")
	if err := f.RevokeAuthority(t.Context(), signs.ID, Compromised, "alice", now); !errors.Is(err, q.err) {
		t.Errorf("got %v", err)
	}
	if plan, found := f.plan(signs.ID, now); !found || plan.Stage == issuer.Revoked {
		t.Errorf("it is revoked although no tick is queued: %+v", plan)
	}
	q.err = nil
	for want := 1; want < 3; want++ { // the second time, only the tick
		check(t, f.RevokeAuthority(t.Context(), signs.ID, Compromised, "alice", now))
		if q.ticks != want {
			t.Errorf("%d ticks are queued, want %d", q.ticks, want)
		}
	}
	f.eventsOf("authority.revoked", 1)
}

// hierarchy is a CA whose authorities are here and are made elsewhere.
type hierarchy struct {
	issuer.Issuer
	issuer.Hierarchy
}

func TestAnAuthorityThatIsMadeElsewhereIsRevokedThere(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	signs, _ := f.Signing(now)
	f.issuer = hierarchy{f.issuer, f.authorities}
	if err := f.RevokeAuthority(t.Context(), signs.ID, Compromised, "alice", now); !errors.Is(err, tenancy.ErrRefused) ||
		!strings.Contains(err.Error(), "create one there") {
		t.Errorf("without another authority: %v", err)
	}
	f.authorities = nil
	if err := f.RevokeAuthority(t.Context(), signs.ID, Compromised, "alice", now); !errors.Is(err, tenancy.ErrRefused) ||
		!strings.Contains(err.Error(), "revoke "+signs.ID+" there") {
		t.Errorf("without authorities: %v", err)
	}
	check(t, f.RenewRevoked(t.Context(), now))
	check(t, f.refresh(t.Context(), now))
}

func TestTheRenewalsOfARevokedAuthorityEndWithTheContext(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.tenant("acme", now)
	signs, _ := f.Signing(now)
	check(t, f.RevokeAuthority(t.Context(), signs.ID, Compromised, "alice", now))
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	f.pace = func(context.Context, int) error {
		asked++
		cancel()
		return ctx.Err()
	}
	if err := f.RenewRevoked(ctx, now); !errors.Is(err, context.Canceled) || asked != 1 {
		t.Errorf("%d renewals were tried, %v", asked, err)
	}
}

// What a receiver is asked with is never stored and has the names of the next certificate.
func TestAnEphemeralCertificateIsOfTheAnnouncedAuthorityAndNotStored(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	a := f.announce(now)
	before := len(f.certificates(acme))
	shown, err := f.Ephemeral(t.Context(), acme, tenancy.ForTenant, a.ID, time.Hour, now)
	check(t, err)
	leaf, err := certfile.ParseCertificate(shown.Certificate[0])
	check(t, err)
	differ, err := certfile.Differences(f.newest(acme, tenancy.ForTenant).DER, leaf.Raw)
	check(t, err)
	if !slices.Equal(differ, []certfile.Difference{certfile.IssuerDiffers}) {
		t.Errorf("it differs in %v", differ)
	}
	authority, err := certfile.ParseCertificate(a.DER)
	check(t, err)
	if err := leaf.CheckSignatureFrom(authority); err != nil {
		t.Error(err)
	}
	if valid := leaf.NotAfter.Sub(leaf.NotBefore); valid != time.Hour || leaf.NotBefore.After(now) {
		t.Errorf("it is valid for %v from %v on", valid, leaf.NotBefore)
	}
	if len(shown.Certificate) < 2 || shown.PrivateKey == nil || len(f.certificates(acme)) != before {
		t.Errorf("%d certificates are shown, %d are stored", len(shown.Certificate), len(f.certificates(acme)))
	}
	if _, err := f.Ephemeral(t.Context(), acme, "bank", a.ID, time.Hour, now); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("for a credential without a certificate: %v", err)
	}
	f.down["acme"] = true
	if c, err := f.Ephemeral(t.Context(), acme, tenancy.ForTenant, a.ID, time.Hour, now); err == nil ||
		c.Certificate != nil {
		t.Errorf("while the CA is down: %v", err)
	}
}

// The setting of a credential is a name, nothing for the default, or "local" for the built-in CA.
func TestTheSettingOfAnIssuerStandsForTheDefaultOrTheBuiltInOne(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	f.config.Issuers, f.config.IssuerName = issuer.Set{"": f.issuer}, "bank-ca"
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	for setting, want := range map[string]string{"": "bank-ca", issuer.Local: "", "bank-ca": "bank-ca"} {
		if got := f.resolved(setting); got != want {
			t.Errorf("%q stands for %q, want %q", setting, got, want)
		}
		if _, err := f.issuerOf(setting); err != nil {
			t.Errorf("%q: %v", setting, err)
		}
	}
	if _, err := f.issuerOf("other"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("one that is not configured: %v", err)
	}
	adopted := f.adopted("acme", tenancy.ForTenant, 365*policy.Day, date("2026-01-15"))
	if _, err := f.FirstRenewal(tenancy.Tenant{Name: "acme"}, "other", adopted, date("2026-01-15")); !errors.Is(err,
		tenancy.ErrInvalid) {
		t.Errorf("the first renewal there: %v", err)
	}
	if _, err := f.AdoptTenants(t.Context(), []Founding{{Tenant: tenancy.Tenant{Name: "acme", DisplayName: "A",
		KeyType: tenancy.P256}, Issuer: "other"}}, "test", date("2026-01-15"), nil); !errors.Is(err, tenancy.ErrInvalid) ||
		!strings.Contains(err.Error(), "tenant acme") {
		t.Errorf("a tenant there: %v", err)
	}
}

// Whether a policy warns of every renewal is computed once, and decides on the notice of a run.
func TestAnAuditThatFailsStopsWhatDependsOnIt(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	acme, broken := f.tenant("acme", date("2026-01-15")), errors.New("no audit today")
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	f.surpriseFree = func() (bool, error) { return false, broken }
	run := date("2026-12-01")
	if _, err := f.Run(t.Context(), run, run); !errors.Is(err, broken) {
		t.Errorf("a run ends with %v", err)
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 {
		t.Errorf("generation %d is stored", c.Generation)
	}
	old := f.newest(acme, tenancy.ForTenant)
	next := store.SealedCertificate{Certificate: old, SealedKey: []byte{1}}
	o, err := f.owner(t.Context(), acme.ID)
	check(t, err)
	if _, err := f.put(t.Context(), o, old, next, cause{runDate: run}, run); !errors.Is(err, broken) {
		t.Errorf("an answer to the request of a run ends with %v", err)
	}
}

// The warning about an adopted certificate names the CA of its successor, so that it does not differ without a notice.
func TestTheWarningAnnouncesTheCAThatFollowsAnAdoptedCertificate(t *testing.T) {
	now := date("2026-01-15")
	for warned, want := range map[bool]int{false: 1, true: 0} {
		f := sqlite(t, "sap-c4c", now)
		w := watch(t, f.url+"-other", now)
		a := w.adopted("acme", tenancy.ForTenant, 365*policy.Day, now) // of the old CA
		acme, err := f.AdoptTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "A", KeyType: tenancy.P256},
			[]Adopted{a}, "test", now, nil)
		check(t, err)
		f.arrangement(acme, "bank", tenancy.Adaptive)
		if warned {
			old := f.newest(acme, tenancy.ForTenant)
			check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.MarkWarned(t.Context(), []string{old.ID}, now)
			}))
		}
		_, err = f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now.AddDate(0, 2, 0))
		check(t, err)
		f.eventsOf("certificate.held", want)
	}
}

// A certificate that cannot be read is replaced, without a comparison.
func TestACertificateThatCannotBeReadIsReplacedWithoutAComparison(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	_, err := f.store.DB().ExecContext(t.Context(), "UPDATE certificates SET der = x'01'")
	check(t, err)
	next, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
	if err != nil || next.Generation != 2 {
		t.Errorf("generation %d, %v", next.Generation, err)
	}
	f.eventsOf("certificate.held", 0)
	if f.standing(acme, "bank").Rollover.State(now) == rollover.Settled {
		t.Error("the receiver is not asked for the new one")
	}
}

func TestAChainIsStoredOnceAndAnEmptyOneIsNot(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	if id, err := f.keepChain(t.Context(), nil); err != nil || id != "" {
		t.Errorf("an empty chain is %q, %v", id, err)
	}
	full, inserts := errors.New("the disk is full"), 0
	f.store.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "INSERT INTO foreign_issuers") {
			inserts++
			return full
		}
		return nil
	})
	for range 2 { // a chain that could not be stored is not taken as known
		if id, err := f.keepChain(t.Context(), [][]byte{{1}}); !errors.Is(err, full) || id != "" {
			t.Errorf("%q, %v", id, err)
		}
	}
	full = nil
	for range 2 {
		if id, err := f.keepChain(t.Context(), [][]byte{{1}}); err != nil || id == "" {
			t.Errorf("%q, %v", id, err)
		}
	}
	if inserts != 3 {
		t.Errorf("it was stored %d times", inserts)
	}
}

// Two tenants that are created with one another's names are refused, with the advice.
func TestATenantWithTheNameOfAnotherOnesCertificateIsNotCreated(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.KeepNames(t.Context(), store.KeptName{Name: commonName("old"), TenantID: acme.ID})
	}))
	old := tenancy.Tenant{Name: "old", DisplayName: "O", KeyType: tenancy.P256}
	_, err := f.CreateTenant(t.Context(), old, "test", now)
	if !errors.Is(err, tenancy.ErrConflict) || !strings.Contains(err.Error(), "the tenant acme has certificates") {
		t.Errorf("got %v", err)
	}
	if _, err := f.store.Tenant(t.Context(), "old"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
}
