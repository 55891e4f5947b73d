package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// A spread records the parts that were handed out, and returns an error if it has one.
type spread struct {
	parts []store.Part
	err   error
}

func (s *spread) Enqueue(_ context.Context, _ *sql.Tx, parts []store.Part) error {
	s.parts = append(s.parts, parts...)
	return s.err
}

// split returns a fixture whose runs have parts of four certificates. Its ten tenants are due in December.
func split(t *testing.T, url string) (*fixture, *spread) {
	f := setUp(t, url, "perennial", date("2026-01-15"))
	for i := range 10 {
		f.tenant(fmt.Sprint("t", i), date("2026-01-15"))
	}
	check(t, f.Tick(t.Context(), date("2026-10-02")))
	s := &spread{}
	f.parts, f.partSize = s, 4
	return f, s
}

func TestReplicasShareTheWorkOfARun(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f, s := split(t, url)
		now := date("2026-12-01")
		// There are twenty certificates, of tenants and M-users. It is too late for a warning.
		check(t, f.Tick(t.Context(), now))
		runs, err := f.store.UnfinishedRuns(t.Context())
		check(t, err)
		if len(runs) != 2 || len(s.parts) != 12 {
			t.Fatalf("%d runs in %d parts", len(runs), len(s.parts))
		}
		// Three replicas, each of which is given every part twice.
		var replicas sync.WaitGroup
		errs := make(chan error, 100)
		for range 3 {
			e := f.replica(date("2026-01-15"))
			replicas.Go(func() {
				for _, p := range slices.Concat(s.parts, s.parts) {
					if err := e.RunPart(t.Context(), p.RunDate, p.Number, now); err != nil && !errors.As(err, new(*NotYetError)) {
						errs <- err
					}
				}
			})
		}
		replicas.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		for _, run := range runs {
			got, err := f.store.Run(t.Context(), run.RunDate)
			check(t, err)
			if got.FinishedAt.IsZero() || got.Warned != 0 || got.Renewed != map[bool]int{true: 20}[run.RunDate.Equal(now)] {
				t.Errorf("%+v", got)
			}
			finished := 0
			events, err := f.store.Events(t.Context(), "", 0, 10_000)
			check(t, err)
			for _, e := range events {
				if e.Action == "run.finished" && e.Object == runDateText(run.RunDate) {
					finished++
				}
			}
			if finished != 1 {
				t.Errorf("%s finished %d times", runDateText(run.RunDate), finished)
			}
		}
		check(t, f.Tick(t.Context(), now.Add(time.Hour)))
		if len(s.parts) != 12 {
			t.Error("a run that is finished was handed out again")
		}
	})
}

func TestAPartWhoseWorkerDiedIsResumedByTheNextTick(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f, s := split(t, url)
		now := date("2026-11-01")
		check(t, f.Tick(t.Context(), now))
		f.down["t3"] = true
		parts := s.parts
		s.parts = nil
		// A worker claimed a part and died.
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.ClaimPart(t.Context(), parts[0].RunDate, 1, now, DefaultPartLease)
			return err
		}))
		for _, p := range parts {
			err := f.RunPart(t.Context(), p.RunDate, p.Number, now)
			later := (*NotYetError)(nil)
			if p.RunDate.Equal(parts[0].RunDate) && p.Number == 1 {
				if !errors.As(err, &later) || !later.At.Equal(now.Add(10*time.Minute)) { // docs/operations.md
					t.Errorf("a part that another worker holds: %v", err)
				}
				// A claim of a clock that was hours ahead does not block the part.
				before := now.Add(-6 * time.Hour)
				if free := (store.Part{ClaimedUntil: now.Add(DefaultPartLease)}).FreeAt(before, DefaultPartLease); !free.IsZero() {
					t.Errorf("it is free at %s", free)
				}
			} else {
				check(t, err)
			}
		}
		check(t, f.Tick(t.Context(), now.Add(time.Minute)))
		if len(s.parts) != 0 {
			t.Errorf("%d parts are handed out while a worker may hold them", len(s.parts))
		}
		check(t, f.Tick(t.Context(), now.Add(time.Hour)))
		if len(s.parts) != 1 || s.parts[0].Number != 1 {
			t.Fatalf("handed out: %+v", s.parts)
		}
		// Without a queue, the tick works on the part.
		f.parts = nil
		check(t, f.Tick(t.Context(), now.Add(2*time.Hour)))
		if run, err := f.store.Run(t.Context(), now); err != nil || run.FinishedAt.IsZero() || run.Warned != 20 {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

func TestAPartThatFailedIsTriedAgain(t *testing.T) {
	f, s := split(t, "sqlite:"+t.TempDir()+"/p.db")
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	now := date("2026-12-01")
	for _, p := range s.parts {
		check(t, f.RunPart(t.Context(), p.RunDate, p.Number, now))
	}
	s.parts = nil
	f.down["t3"] = true
	check(t, f.Tick(t.Context(), now))
	failed := 0
	for _, p := range s.parts {
		if err := f.RunPart(t.Context(), p.RunDate, p.Number, now); err != nil {
			failed++
			if !strings.Contains(err.Error(), "the CA is down") {
				t.Error(err)
			}
		}
	}
	run, err := f.store.Run(t.Context(), now)
	check(t, err)
	if failed == 0 || !run.FinishedAt.IsZero() || run.Failed == 0 || run.Renewed != 18 {
		t.Errorf("%d parts failed: %+v", failed, run)
	}
	f.down["t3"] = false
	s.parts = nil
	check(t, f.Tick(t.Context(), now.Add(time.Hour)))
	for _, p := range s.parts {
		check(t, f.RunPart(t.Context(), p.RunDate, p.Number, now.Add(time.Hour)))
	}
	if run, err = f.store.Run(t.Context(), now); err != nil || run.FinishedAt.IsZero() || run.Renewed != 20 ||
		run.Failed != 0 {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestARunThatChangesNoCertificateCountsNothing(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.tenant("acme", date("2026-01-15"))
	var written []string
	f.store.BeforeStatements(func(query string) error {
		if !strings.HasPrefix(query, "SELECT") {
			written = append(written, query)
		}
		return nil
	})
	run, err := f.Run(t.Context(), date("2026-09-01"), date("2026-09-01"))
	check(t, err)
	if run.FinishedAt.IsZero() {
		t.Errorf("the run is not finished: %+v", run)
	}
	for _, query := range written {
		if strings.HasPrefix(query, "UPDATE runs SET warned") || strings.Contains(query, "notices") {
			t.Errorf("it writes %s", query)
		}
	}
}

func TestARunIsSpreadIfThePolicyAsksForIt(t *testing.T) {
	f, s := split(t, "sqlite:"+t.TempDir()+"/p.db")
	f.policy.Spread = 6 * time.Hour
	now := date("2026-11-01")
	check(t, f.Tick(t.Context(), now))
	if first := s.parts[0].BeginsAt; !first.IsZero() {
		t.Errorf("the first part begins at %s, and not at once", first)
	}
	for i, p := range s.parts[1:] {
		i++
		if want := now.Add(time.Duration(i) * f.policy.Spread / time.Duration(len(s.parts))); !p.BeginsAt.Equal(want) {
			t.Errorf("part %d begins at %s, and not at %s", p.Number, p.BeginsAt, want)
		}
	}
	last := s.parts[len(s.parts)-1]
	if err, later := f.RunPart(t.Context(), last.RunDate, last.Number, now),
		(*NotYetError)(nil); !errors.As(err, &later) || !later.At.Equal(last.BeginsAt) {
		t.Errorf("too early: %v", err)
	}
	if left, err := f.store.Parts(t.Context(), now); err != nil || len(left) != len(s.parts) {
		t.Errorf("%d parts left, %v", len(left), err)
	}
	for _, p := range s.parts {
		check(t, f.RunPart(t.Context(), p.RunDate, p.Number, now.Add(f.policy.Spread)))
	}
	if run, err := f.store.Run(t.Context(), now); err != nil || run.FinishedAt.IsZero() || run.Warned != 20 {
		t.Errorf("%+v, %v", run, err)
	}
}

// A lying CA issues certificates that were not asked for.
type lying struct {
	issuer.Issuer
	lie *func(*issuer.Issued)
}

func (l lying) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	c, err := l.Issuer.Issue(ctx, r)
	if *l.lie != nil {
		(*l.lie)(&c)
	}
	return c, err
}

func TestAnUnsuitableCertificateIsRejectedAndACAThatWasDownForAWeekRenewsInTime(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	var lie func(*issuer.Issued)
	f.issuers = issuer.Set{"": lying{f.issuer, &lie}}
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	for name, l := range map[string]func(*issuer.Issued){
		"a certificate that is due at once": func(c *issuer.Issued) { c.NotAfter = c.NotBefore.AddDate(0, 1, 0) },
		"one that has expired":              func(c *issuer.Issued) { c.NotAfter = c.NotBefore },
		"one of tomorrow":                   func(c *issuer.Issued) { c.NotBefore = c.NotBefore.AddDate(0, 0, 1) },
	} {
		lie = l
		if err := f.Tick(t.Context(), date("2026-12-01")); err == nil ||
			!strings.Contains(err.Error(), "check the CA's limits and its clock") {
			t.Errorf("%s: %v", name, err)
		}
	}
	lie = nil
	f.down["acme"] = true
	for day := 1; day < 8; day++ {
		if err := f.Tick(t.Context(), date("2026-12-01").AddDate(0, 0, day)); err == nil {
			t.Error("the CA is down, and there is no error")
		}
	}
	f.down["acme"] = false
	check(t, f.Tick(t.Context(), date("2026-12-09")))
	run, err := f.store.Run(t.Context(), date("2026-12-01"))
	check(t, err)
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 || run.FinishedAt.IsZero() || run.Renewed != 2 ||
		run.Late != 0 {
		t.Errorf("generation %d, %+v", c.Generation, run)
	}
}

func TestARunThatAnEarlierReleaseBeganIsFinished(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		f.tenant("acme", date("2026-01-15"))
		check(t, f.Tick(t.Context(), date("2026-10-02")))
		now := date("2026-11-01")
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { // it had no parts
			_, err := tx.StartRun(t.Context(), tenancy.Run{RunDate: now, Policy: "perennial", StartedAt: now})
			return err
		}))
		check(t, f.Tick(t.Context(), now.Add(time.Hour)))
		if run, err := f.store.Run(t.Context(), now); err != nil || run.FinishedAt.IsZero() || run.Warned != 2 {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

func TestARunOfOnePartIsDoneByTheReplicaThatStartsIt(t *testing.T) {
	f, s := split(t, "sqlite:"+t.TempDir()+"/p.db")
	f.partSize = 100
	now := date("2026-11-01")
	f.down["t3"] = true
	run, err := f.Run(t.Context(), now, now)
	check(t, err)
	if len(s.parts) != 0 || run.FinishedAt.IsZero() || run.Warned != 20 {
		t.Errorf("%d parts are handed out: %+v", len(s.parts), run)
	}
	now = date("2026-12-01")
	want := "run 2026-12-01T00:00:00Z: 2 certificates could not be renewed and will be retried; the last error was: "
	if run, err = f.Run(t.Context(), now, now); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	if !run.FinishedAt.IsZero() || run.Failed != 2 || run.Renewed != 18 || !strings.Contains(run.LastError, "CA is down") {
		t.Errorf("%+v", run)
	}
	f.down["t3"] = false
	if run, err = f.Run(t.Context(), now, now); err != nil || run.FinishedAt.IsZero() || run.Renewed != 20 ||
		run.LastError != "" {
		t.Errorf("%+v, %v", run, err)
	}
	if len(s.parts) != 0 {
		t.Errorf("handed out: %+v", s.parts)
	}
}

func TestARunOfOnePartWhoseReplicaDiedIsContinuedWhenItsLeaseEnds(t *testing.T) {
	f, s := split(t, "sqlite:"+t.TempDir()+"/p.db")
	f.partSize = 100
	now := date("2026-12-01")
	f.down["t3"] = true
	if _, err := f.Run(t.Context(), now, now); err == nil {
		t.Fatal("the CA is down, and no error is returned")
	}
	f.down["t3"] = false
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { // another replica claims it and dies
		_, err := tx.ClaimPart(t.Context(), now, 1, now, DefaultPartLease)
		return err
	}))
	run, err := f.Run(t.Context(), now, now.Add(time.Minute))
	check(t, err)
	if !run.FinishedAt.IsZero() || len(s.parts) != 1 || !s.parts[0].BeginsAt.Equal(now.Add(DefaultPartLease)) {
		t.Fatalf("%+v, handed out %+v", run, s.parts)
	}
	check(t, f.RunPart(t.Context(), now, 1, s.parts[0].BeginsAt))
	if run, err = f.store.Run(t.Context(), now); err != nil || run.FinishedAt.IsZero() || run.Renewed != 20 {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestARunGoesThroughEveryPage(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-01-15")))
	const certificates = 2*pageSize + 7
	var tenants []tenancy.Tenant
	var certs []store.SealedCertificate
	for i := range certificates {
		tenant := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprint("t", i), DisplayName: "T", KeyType: tenancy.P256,
			CreatedAt: date("2026-01-15"), Version: 1}
		tenants = append(tenants, tenant)
		certs = append(certs, store.SealedCertificate{Certificate: tenancy.Certificate{ID: store.NewID(),
			TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
			NotBefore: date("2026-01-15"), NotAfter: date("2027-01-15").Add(-time.Duration(i%3) * time.Minute),
			KeyType: tenancy.P256, DER: []byte{0x30, 0}, CreatedAt: date("2026-01-15")}, SealedKey: []byte{0}})
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Create(t.Context(), store.Rows{Tenants: tenants, Certificates: certs})
	}))
	run, err := f.Run(t.Context(), date("2026-11-01"), date("2026-11-01"))
	check(t, err)
	if run.Warned != certificates || run.FinishedAt.IsZero() {
		t.Errorf("%d of %d certificates were warned about, finished at %s", run.Warned, certificates, run.FinishedAt)
	}
}

func TestARenewalWhoseNoticeExistsAlreadyIsNotStored(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		acme := f.tenant("acme", date("2026-01-15"))
		run := date("2026-12-01")
		old := f.newest(acme, tenancy.ForTenant)
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.AddNotices(t.Context(), []tenancy.Notice{{ID: store.NewID(), TenantID: acme.ID, CertificateID: old.ID,
				Kind: tenancy.Renewed, RunDate: run, CreatedAt: run, DedupKey: fmt.Sprintf("run/%d", run.UnixMicro())}})
		}))
		tries := 0
		f.store.BeforeStatements(func(query string) error {
			if strings.HasPrefix(query, "INSERT INTO notices") {
				tries++
			}
			return nil
		})
		if _, err := f.Run(t.Context(), run, run); !errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("got %v", err)
		}
		if strings.HasPrefix(url, "sqlite:") && tries != 5 {
			t.Errorf("%d tries", tries)
		}
		if c := f.newest(acme, tenancy.ForTenant); c.ID != old.ID || c.SuccessorID != "" {
			t.Errorf("it was renewed without its notice: %+v", c)
		}
	})
}

func TestResealingEndsWithTheErrorOfAKeyThatCannotBeOpened(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	f.tenant("acme", date("2026-01-15"))
	other, err := keyring.Ephemeral()
	check(t, err)
	if n, err := Reseal(t.Context(), f.store, other, func(int) {}); err == nil || n != 0 {
		t.Errorf("%d keys, %v", n, err)
	}
	n, err := Reseal(t.Context(), f.store, f.seal, func(int) {})
	if err != nil || n != 0 {
		t.Errorf("%d keys that were sealed with the newest key already, %v", n, err)
	}
	check(t, f.store.Close())
	if _, err := Reseal(t.Context(), f.store, f.seal, func(int) {}); err == nil {
		t.Error("a closed database gives no error")
	}
}
