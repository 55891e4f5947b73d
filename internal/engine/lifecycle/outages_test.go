package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// crowded is a CA elsewhere that counts the requests, and those that it has at the same time.
type crowded struct {
	remote
	parallel int
	fails    func(tenant string) error
	meet     int // Issue returns when so many requests have arrived, or after a while

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
	c.mu.Unlock()
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
