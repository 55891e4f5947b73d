package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// whole returns the credentials of a tenant that have a certificate.
func (f *fixture) whole(t tenancy.Tenant) (names []tenancy.Purpose) {
	f.t.Helper()
	for _, name := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
		if _, err := f.store.Newest(f.t.Context(), t.ID, name); err == nil {
			names = append(names, name)
		} else if !errors.Is(err, tenancy.ErrNotFound) {
			f.t.Fatal(err)
		}
	}
	return names
}

// adopted returns a certificate with its key that a tenant can adopt.
func (f *fixture) adopted(tenant string, purpose tenancy.Purpose, validity time.Duration, now time.Time) Adopted {
	f.t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(f.t, err)
	issued, err := f.issuer.Issue(f.t.Context(), issuer.Request{Tenant: tenant, Purpose: purpose, Key: key, At: now,
		Validity: validity})
	check(f.t, err)
	leaf, err := certfile.ParseCertificate(issued.DER)
	check(f.t, err)
	return Adopted{Purpose: purpose, Leaf: leaf, Chain: issued.Chain, Key: key, KeyType: tenancy.P256}
}

func TestATenantWhoseCAAnswersLaterExistsBeforeItsCertificates(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		f.withSlow()
		s := f.config.Issuers["bank-ca"]
		f.config.Issuer, f.config.IssuerName, f.config.Issuers = s, "bank-ca", nil
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
		ca, _ := issuer.As[*slow](s)

		acme, err := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "Acme", KeyType: tenancy.P256},
			"test", now)
		check(t, err)
		if has := f.whole(acme); len(has) != 0 || len(f.requests(acme)) != 2 {
			t.Fatalf("certificates %v, %d requests", has, len(f.requests(acme)))
		}
		bank := f.arrangement(acme, "bank", tenancy.Adaptive)
		_, err = f.store.DB().ExecContext(t.Context(), "UPDATE arrangements SET generation = 0") // as the API creates it
		check(t, err)
		ca.mu.Lock()
		ca.open = true
		ca.mu.Unlock()
		check(t, f.Tick(t.Context(), now.Add(2*time.Hour)))
		if has := f.whole(acme); len(has) != 2 {
			t.Errorf("certificates %v", has)
		}
		if bank, err = f.store.Arrangement(t.Context(), acme.ID, bank.Name); err != nil || bank.Generation != 1 {
			t.Errorf("the arrangement presents generation %d, %v", bank.Generation, err)
		}

		// A CA that is down leaves a tenant, and every tick asks it again.
		ca.mu.Lock()
		ca.refuses = errors.New("out of order")
		ca.mu.Unlock()
		globex, err := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "globex", DisplayName: "Globex",
			KeyType: tenancy.P256}, "test", now)
		check(t, err)
		if err := f.Tick(t.Context(), now.Add(3*time.Hour)); err == nil || !strings.Contains(err.Error(),
			"credential m-user of tenant globex") || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("a tick while the CA is down: %v", err)
		}
		ca.mu.Lock()
		ca.refuses = nil
		ca.mu.Unlock()
		check(t, f.Tick(t.Context(), now.Add(4*time.Hour)))
		check(t, f.Tick(t.Context(), now.Add(6*time.Hour)))
		if has := f.whole(globex); len(has) != 2 {
			t.Errorf("certificates of globex after the CA answered: %v", has)
		}
		ca.mu.Lock()
		defer ca.mu.Unlock()
		if len(ca.requests) != 4 {
			t.Errorf("%d requests were sent for four certificates", len(ca.requests))
		}
	})
}

func TestATenantHasAnMUserUnlessTheyAreOff(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.config.WithoutMUsers = true
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", now)
	if has := f.whole(acme); !slices.Equal(has, []tenancy.Purpose{tenancy.ForTenant}) {
		t.Errorf("without M-users, acme has %v", has)
	}
	f.renews()
	if c, err := f.store.Newest(t.Context(), acme.ID, tenancy.ForTenant); err != nil || c.Generation != 2 {
		t.Errorf("generation %d after a year, %v", c.Generation, err)
	}
	// An M-user that comes with its certificate stays.
	a := f.adopted("globex", tenancy.ForMUser, 365*policy.Day, now)
	globex, err := f.AdoptTenant(t.Context(), tenancy.Tenant{Name: "globex", DisplayName: "Globex", KeyType: tenancy.P256},
		[]Adopted{a}, "test", now, nil)
	check(t, err)
	if has := f.whole(globex); len(has) != 2 {
		t.Errorf("globex, which brings the certificate of its M-user, has %v", has)
	}
}

func TestAnAdoptedCertificateIsRenewedByTheIssuerThatIsNamed(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(&remote{ca: f.issuer})}
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	created, err := f.AdoptTenants(t.Context(), []Founding{{Tenant: tenancy.Tenant{Name: "acme", DisplayName: "Acme",
		KeyType: tenancy.P256}, Adopted: []Adopted{f.adopted("acme", tenancy.ForTenant,
		365*policy.Day, now)}, Issuer: "bank-ca"}},
		"test", now, func(*store.Tx, []tenancy.Tenant) error { return nil })
	check(t, err)
	f.renews()
	for name, want := range map[tenancy.Purpose]string{tenancy.ForTenant: "bank-ca", tenancy.ForMUser: ""} {
		if c, err := f.store.Newest(t.Context(), created[0].ID, name); err != nil || c.Generation != 2 || c.Issuer != want {
			t.Errorf("generation %d of the %s is of %q, want %q: %v", c.Generation, name, c.Issuer, want, err)
		}
	}
	if err := f.CheckIssuer("other"); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an issuer that is not configured: %v", err)
	}
}
