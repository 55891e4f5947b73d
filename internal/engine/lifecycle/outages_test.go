package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// crowded is a CA elsewhere that counts the requests, and those that it has at the same time.
type crowded struct {
	remote
	parallel int
	fails    func(tenant string) error
	meet     int                        // Issue returns when so many requests have arrived, or after a while
	takes    func(n int)                // for the request of a number
	waits    bool                       // Issue does not answer before its context ends
	issuing  func(n int, tenant string) // for the same, without the lock
	ahead    time.Duration              // of the request's time when the certificate begins; zero: some minutes before

	mu      sync.Mutex // guards what follows
	asked   int
	arrived chan struct{} // closed when they have
}

func (c *crowded) Parallel() int { return c.parallel }

func (c *crowded) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	c.mu.Lock()
	if c.asked++; c.asked == c.meet {
		close(c.arrived)
	}
	if c.takes != nil {
		c.takes(c.asked)
	}
	n := c.asked
	c.mu.Unlock()
	if c.waits {
		<-ctx.Done()
		return issuer.Issued{}, ctx.Err()
	}
	if c.issuing != nil {
		c.issuing(n, r.Tenant)
	}
	if c.meet > 0 {
		select {
		case <-c.arrived:
		case <-time.After(time.Minute):
			return issuer.Issued{}, fmt.Errorf("%d requests do not arrive together", c.meet)
		}
	}
	if c.fails != nil {
		if err := c.fails(r.Tenant); err != nil {
			return issuer.Issued{}, err
		}
	}
	if c.ahead > 0 {
		r.At = r.At.Add(local.Backdate + c.ahead)
	}
	return c.remote.Issue(ctx, r)
}

// withCrowded gives the fixture a CA named bank-ca, and n tenants with a credential from it besides their own.
func (f *fixture) withCrowded(n int, now time.Time) *crowded {
	f.t.Helper()
	c := &crowded{remote: remote{ca: f.config.Issuer}, parallel: 4, arrived: make(chan struct{})}
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(c)}
	var err error
	f.Engine, err = New(f.config)
	check(f.t, err)
	for i := range n {
		f.add(f.tenant(fmt.Sprintf("t%02d", i), now), tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	}
	c.asked = 0
	return c
}

// stopped replaces the clock of attempts by one that only moves when pass is called.
func (f *fixture) stopped() (pass func(time.Duration), elapsed func() time.Duration) {
	var passed atomic.Int64
	elapsed = func() time.Duration { return time.Duration(passed.Load()) }
	f.stopwatch = func() func() time.Duration { return elapsed }
	return func(d time.Duration) { passed.Add(int64(d)) }, elapsed
}

// renewed counts the second generations.
func (f *fixture) renewed(purpose tenancy.Purpose) (n int) {
	f.t.Helper()
	tenants, err := f.store.Tenants(f.t.Context(), "", 1000)
	check(f.t, err)
	for _, t := range tenants {
		if f.newest(t, purpose).Generation == 2 {
			n++
		}
	}
	return n
}

func TestAnIssuerWithoutALimitIsAskedByEachProcessor(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	processors := runtime.GOMAXPROCS(0)
	for _, name := range []string{"", "unknown"} {
		if got := f.parallel(name); got != processors || runtime.GOMAXPROCS(0) != processors {
			t.Errorf("%q: %d requests at the same time, want %d of %d", name, got, processors, runtime.GOMAXPROCS(0))
		}
	}
	f.withCrowded(0, date("2026-01-15"))
	if got := f.parallel("bank-ca"); got != 4 {
		t.Errorf("%d requests at the same time to a CA that takes 4", got)
	}
}

func TestACAThatDoesNotAnswerCostsAnAttemptAFewTimeOutsAndTheOthersNothing(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := sqlite(t, policy.Default, founded)
	c := f.withCrowded(20, founded)
	c.fails = func(string) error { return issuer.Failed(issuer.Slow, "there was no answer in 30s") }
	_, err := f.Run(t.Context(), run, run)
	if err == nil || !strings.Contains(err.Error(), "20 certificates") ||
		!strings.Contains(err.Error(), "there was no answer in 30s") {
		t.Errorf("%v", err)
	}
	if most := maxOutages + c.parallel - 1; c.asked < maxOutages || c.asked > most {
		t.Errorf("the CA was asked %d times, want %d to %d", c.asked, maxOutages, most)
	}
	if got := f.renewed(tenancy.ForTenant); got != 20 {
		t.Errorf("%d certificates of the other CA are renewed, want 20", got)
	}
	c.fails = nil
	_, err = f.Run(t.Context(), run, run.Add(time.Hour))
	check(t, err)
	if got := f.renewed("bank"); got != 20 {
		t.Errorf("%d certificates are renewed by the next attempt, want 20", got)
	}
}

func TestCertificatesThatACAFailsOnDoNotKeepTheOthersFromBeingRenewed(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := sqlite(t, policy.Default, founded)
	c := f.withCrowded(30, founded)
	c.fails = func(tenant string) error {
		if tenant < "t10" { // the first ones, in every order that the database has
			return issuer.Failed(issuer.Slow, "there was no answer in 30s")
		}
		return nil
	}
	for try := range 1000 {
		if _, err := f.Run(t.Context(), run, run.Add(time.Duration(try)*time.Hour)); err == nil {
			t.Fatal("certificates that were not issued are not an error")
		}
		if f.renewed("bank") == 20 {
			return
		}
	}
	t.Errorf("%d certificates are renewed, want 20", f.renewed("bank"))
}

func TestAFaultOfOneCertificateIsAnAnswerOfTheCA(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := sqlite(t, policy.Default, founded)
	c := f.withCrowded(20, founded)
	c.fails = func(string) error { return issuer.Failed(issuer.Rejected, "the name is not allowed") }
	if _, err := f.Run(t.Context(), run, run); err == nil {
		t.Error("no error")
	}
	if c.asked != 20 {
		t.Errorf("the CA was asked %d times, want 20", c.asked)
	}
}

func TestRequestsAreSentToACATogether(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := sqlite(t, policy.Default, founded)
	c := f.withCrowded(4, founded)
	c.meet = c.parallel
	_, err := f.Run(t.Context(), run, run)
	check(t, err)
}

func TestACAThatDoesNotAnswerIsNotAskedForEveryOpenRequest(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		s := f.withSlow()
		other := &slow{remote: remote{ca: f.config.Issuer}}
		f.config.Issuers["other-ca"] = issuer.Checked(other)
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
		for i := range 20 {
			acme := f.tenant(fmt.Sprintf("t%02d", i), now)
			f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
			f.add(acme, tenancy.Credential{Name: "other", Issuer: "other-ca"}, now)
		}
		s.lost, other.open = issuer.Failed(issuer.Unreachable, "connection refused"), true
		later := now.Add(2 * time.Hour)
		if err := f.Collect(t.Context(), later); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
		if n := len(s.asked); n < maxOutages || n >= 20 {
			t.Errorf("the CA was asked %d times, want %d and a few", n, maxOutages)
		}
		if n := len(other.asked); n != 20 {
			t.Errorf("the other CA was asked %d times, want 20", n)
		}
		s.lost, s.open = nil, true
		check(t, f.Collect(t.Context(), later.Add(2*time.Hour)))
		tenants, err := f.store.Tenants(t.Context(), "", 100)
		check(t, err)
		for _, one := range tenants {
			if len(f.requests(one)) != 0 || f.newest(one, "bank").Generation != 1 || f.newest(one, "other").Generation != 1 {
				t.Errorf("%s has open requests", one.Name)
			}
		}
	})
}

// A run by a CA that takes ten seconds for a certificate: what it has issued is stored again and again, and no other
// worker begins meanwhile.
func TestASlowCARenewsInOneAttemptAndWhatItIssuesIsStoredMeanwhile(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		founded, run := date("2026-01-15"), date("2026-12-01")
		f := setUp(t, url, policy.Default, founded)
		f.config.PartLease = 2 * time.Minute
		c := f.withCrowded(40, founded)
		c.parallel = 1
		other := f.replica(founded)
		pass, elapsed := f.stopped()
		most, stored := 0, 0
		c.takes = func(n int) {
			pass(10 * time.Second)
			if n%10 != 0 {
				return
			}
			stored = f.renewed("bank")
			most = max(most, n-stored)
			err := other.RunPart(t.Context(), run, 1, run.Add(elapsed()))
			if held := (*NotYetError)(nil); !errors.As(err, &held) {
				t.Errorf("after %s, another worker: %v", elapsed(), err)
			}
		}
		_, err := f.Run(t.Context(), run, run)
		check(t, err)
		if got := f.renewed("bank"); got != 40 || c.asked != 40 {
			t.Errorf("%d certificates are renewed by %d requests, want 40", got, c.asked)
		}
		if most > 20 || stored == 0 {
			t.Errorf("%d certificates were issued and not stored, and %d were stored at the end", most, stored)
		}
	})
}

// A slow CA has certificates of the same page that are not requested yet when another worker renews one of them.
func TestACertificateThatIsRenewedMeanwhileDoesNotStopTheOthersOfASlowCA(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		founded, run := date("2026-01-15"), date("2026-12-01")
		f := setUp(t, url, policy.Default, founded)
		c := f.withCrowded(40, founded)
		c.parallel = 1
		other := f.replica(founded)
		pass, _ := f.stopped()
		c.takes = func(int) { pass(10 * time.Second) }
		var requested sync.Map // the next page may be prepared at the same time
		c.issuing = func(n int, tenant string) {
			requested.Store(tenant, true)
			if n != 5 {
				return
			}
			for i := range 40 {
				name := fmt.Sprintf("t%02d", i)
				if _, done := requested.Load(name); !done {
					_, err := other.RenewByHand(t.Context(), name, "bank", Reissue, "test", run)
					check(t, err)
					break
				}
			}
		}
		_, err := f.Run(t.Context(), run, run)
		check(t, err)
		if got := f.renewed("bank"); got != 40 {
			t.Errorf("%d certificates are renewed, want 40", got)
		}
		if c.asked > 40+2*4 { // those of the page with the conflict, and of the next one, are requested twice
			t.Errorf("%d requests for 40 certificates", c.asked)
		}
	})
}

// noSuccessor is a local CA whose successor cannot be made.
type noSuccessor struct{ *local.CA }

func (n noSuccessor) Refresh(ctx context.Context, now time.Time) error {
	return errors.Join(n.CA.Refresh(ctx, now), fmt.Errorf("%w: its key is away", issuer.ErrNoSuccessor))
}

func TestARunRenewsAlthoughTheNextIssuingCACannotBeMade(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := setUp(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), policy.Default, founded)
	f.tenant("acme", founded)
	check(t, f.Tick(t.Context(), founded))
	ca, ok := issuer.As[*local.CA](f.config.Issuer)
	if !ok {
		t.Fatal("the issuer is not the local CA")
	}
	f.config.Issuer = issuer.Checked(noSuccessor{ca})
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	if err := f.Tick(t.Context(), run); !errors.Is(err, issuer.ErrNoSuccessor) {
		t.Errorf("the tick reports %v", err)
	}
	if got := f.renewed(tenancy.ForTenant); got != 1 {
		t.Errorf("%d certificates are renewed", got)
	}
}

// aDeadline is a context that names a deadline and does not end at it.
type aDeadline struct {
	context.Context
	by time.Time
}

func (d aDeadline) Deadline() (time.Time, bool) { return d.by, true }

func TestRunsGetThreeQuartersOfTheTimeOfATick(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
	defer cancel()
	runs, stop := forRuns(ctx)
	by, limited := runs.Deadline()
	if left := time.Until(by); !limited || left > 75*time.Hour || left < 74*time.Hour {
		t.Errorf("runs have %s of 100 hours", left)
	}
	stop()
	if !errors.Is(context.Cause(runs), context.Canceled) {
		t.Errorf("runs end with %v", context.Cause(runs))
	}
	runs, stop = forRuns(t.Context())
	if by, limited := runs.Deadline(); limited || runs.Err() != nil {
		t.Errorf("runs of a tick without a limit end at %s: %v", by, runs.Err())
	}
	stop()
	if runs.Err() == nil {
		t.Error("runs do not end with their tick")
	}
}

func TestARunByASlowCALeavesTimeForTheRestOfATick(t *testing.T) {
	founded, run := date("2026-01-15"), date("2026-12-01")
	f := setUp(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), policy.Default, founded)
	c := f.withCrowded(3, founded)
	c.waits = true
	check(t, f.Tick(t.Context(), founded)) // the beginning of the installation
	err := f.Tick(aDeadline{t.Context(), time.Now().Add(4 * time.Second)}, run)
	if err == nil || !strings.Contains(err.Error(), errRunTime.Error()) || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("the tick ended with %v", err)
	}
	c.waits = false
	check(t, f.Tick(t.Context(), run.Add(time.Hour)))
	if got := f.renewed("bank"); got != 3 {
		t.Errorf("%d certificates are renewed, want 3", got)
	}
}

// The clock of a CA that sets no start back is some seconds ahead when it signs, and the clocks of receivers differ.
func TestACertificateThatSlowClocksDoNotAcceptYetIsPresentedLater(t *testing.T) {
	founded := date("2026-01-15")
	f := sqlite(t, policy.Default, founded)
	f.withCrowded(0, founded).ahead = 3 * time.Second
	acme := f.tenant("acme", founded)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, founded)
	f.arrange(tenancy.Arrangement{TenantID: acme.ID, Name: "crm-to-erp", Endpoint: "https://erp", Credential: "bank",
		Strategy: tenancy.Immediate, CreatedAt: founded})
	f.renews()
	next := f.newest(acme, "bank")
	if next.Generation != 2 || !next.NotBefore.Equal(date("2026-12-01").Add(3*time.Second)) {
		t.Fatalf("generation %d is valid from %s", next.Generation, next.NotBefore)
	}
	from := next.NotBefore.Add(slowClock)
	for at, want := range map[time.Time]int{from.Add(-time.Microsecond): 1, from: 2} {
		if moved, _ := f.standing(acme, "erp").Rollover.At(at); moved.Presents != want {
			t.Errorf("at %s, generation %d is presented, want %d", at, moved.Presents, want)
		}
	}
}
