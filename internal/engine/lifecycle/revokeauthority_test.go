package lifecycle

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// certificates returns all generations of a tenant.
func (f *fixture) certificates(tenant tenancy.Tenant) []tenancy.Certificate {
	f.t.Helper()
	all, err := f.store.Certificates(f.t.Context(), tenant.ID, "", 100)
	check(f.t, err)
	return all
}

// A receiver that checks the whole chain refuses every certificate of a revoked authority. So all of them are replaced
// at once, under another authority, and none of them is presented any more.
func TestARevokedAuthoritysCertificatesAreRenewedAtOnceUnderAnotherOne(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, "perennial", date("2026-01-15"))
		now := date("2026-12-02")
		acme, globex := f.tenant("acme", date("2026-01-15")), f.tenant("globex", date("2026-01-15"))
		f.arrangement(acme, "bank", tenancy.Adaptive)
		f.renews() // the old generation of acme is still presented
		revoked, _ := f.Signing(now)
		before := len(f.mailed(acme))
		check(t, f.RevokeAuthority(t.Context(), revoked.ID, Compromised, "alice", now))
		signs, ok := f.Signing(now)
		if !ok || signs.ID == revoked.ID || signs.ParentID != revoked.ParentID {
			t.Fatalf("%s signs below %s", signs.ID, signs.ParentID)
		}
		check(t, f.Tick(t.Context(), now))
		for _, tenant := range []tenancy.Tenant{acme, globex} {
			renewed := map[tenancy.Purpose]bool{}
			for _, c := range f.certificates(tenant) {
				switch {
				case c.State == tenancy.Retired: // not presented since before
				case c.IssuerID == revoked.ID && (c.State != tenancy.Revoked || c.RevokedFor != AuthorityRevoked):
					t.Errorf("%s: generation %d of %s is %s (%s)", tenant.Name, c.Generation, c.Purpose, c.State, c.RevokedFor)
				case c.IssuerID == signs.ID:
					renewed[c.Purpose] = c.SuccessorID == "" && c.State == tenancy.Active
				}
			}
			if !renewed[tenancy.ForTenant] || !renewed[tenancy.ForMUser] {
				t.Errorf("%s: renewed and active: %v", tenant.Name, renewed)
			}
		}
		newest := f.newest(acme, tenancy.ForTenant)
		if got := f.standing(acme, "bank").Rollover.Order(now); !slices.Equal(got, []int{newest.Generation}) {
			t.Errorf("the bank is tried with the generations %v, want %d alone", got, newest.Generation)
		}
		if got := len(f.mailed(acme)); got <= before {
			t.Errorf("%d mails after the revocation, %d before", got, before)
		}
		generations := len(f.certificates(acme))
		check(t, f.RevokeAuthority(t.Context(), revoked.ID, Compromised, "alice", now)) // idempotent
		check(t, f.Tick(t.Context(), now.Add(time.Hour)))
		if got := len(f.certificates(acme)); got != generations {
			t.Errorf("%d generations after another tick, want %d", got, generations)
		}
		events, err := f.store.Events(t.Context(), "", 0, 1000)
		check(t, err)
		n := 0
		for _, e := range events {
			if e.Action == "authority.revoked" && e.Object == revoked.ID && e.Actor == "alice" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the audit log has %d events about the revocation", n)
		}
	})
}

func TestAnAnnouncedAuthoritySignsInsteadOfARevokedOneAndCanBeRevokedItself(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	now := date("2026-02-01")
	announcer, _ := issuer.As[issuer.Announcer](f.issuer)
	first, _ := f.Signing(now)
	next, err := announcer.Announce(t.Context(), now, issuer.Succession{})
	check(t, err)
	check(t, f.RevokeAuthority(t.Context(), first.ID, Superseded, "alice", now))
	if signs, _ := f.Signing(now); signs.ID != next.ID {
		t.Errorf("%s signs, want the announced %s", signs.ID, next.ID)
	}
	later, err := announcer.Announce(t.Context(), now, issuer.Succession{})
	check(t, err)
	check(t, f.RevokeAuthority(t.Context(), later.ID, Compromised, "alice", now))
	if a, announced := f.Announced(now.AddDate(0, 1, 0)); announced {
		t.Errorf("the revoked %s is still announced", a.ID)
	}
	if signs, _ := f.Signing(later.SignsFrom.AddDate(0, 0, 1)); signs.ID != next.ID {
		t.Errorf("after its date, the revoked %s signs: %v", later.ID, signs.ID == later.ID)
	}
	for name, c := range map[string]struct {
		id, reason string
		kind       error
	}{
		"a root":             {first.ParentID, Compromised, tenancy.ErrRefused},
		"an unknown one":     {"x", Compromised, tenancy.ErrNotFound},
		"an unknown reason":  {next.ID, "tired", tenancy.ErrInvalid},
		"a reserved reason":  {next.ID, AuthorityRevoked, tenancy.ErrInvalid},
		"no reason whatever": {next.ID, "", tenancy.ErrInvalid},
	} {
		if err := f.RevokeAuthority(t.Context(), c.id, c.reason, "alice", now); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.RenewByHand(t.Context(), "nobody", tenancy.ForTenant, AuthorityRevoked, "alice", now); err == nil {
		t.Error("an operator can choose the reason of a revoked authority")
	}
}

// Another replica has read the authorities before. It issues nothing under the revoked one after a minute, and the tick
// replaces what it issued within that minute.
func TestAnotherReplicaStopsSigningWithARevokedAuthorityWithinAMinute(t *testing.T) {
	f := sqlite(t, "perennial", date("2026-01-15"))
	now := date("2026-02-01")
	other := f.replica(now)
	check(t, other.Tick(t.Context(), now))
	revoked, _ := f.Signing(now)
	check(t, f.RevokeAuthority(t.Context(), revoked.ID, Compromised, "alice", now))
	issue := func(at time.Time) issuer.Issued {
		t.Helper()
		key, err := keyring.Generate(tenancy.P256)
		check(t, err)
		issued, err := other.issuer.Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key,
			At: at, Validity: 24 * time.Hour})
		check(t, err)
		c, err := x509.ParseCertificate(issued.DER)
		check(t, err)
		if strings.Contains(c.Issuer.CommonName, "G1") != (issued.IssuerID == revoked.ID) {
			t.Errorf("%s is the issuer, and %s its ID", c.Issuer, issued.IssuerID)
		}
		return issued
	}
	if got := issue(now.Add(time.Minute)); got.IssuerID == revoked.ID {
		t.Error("the revoked authority signs after a minute")
	}
}

// A key that is compromised must not sign for the successor.
func TestACompromisedAuthorityIsFollowedByOneWithAnotherKey(t *testing.T) {
	const uri = "test:compromised"
	f := sqlite(t, "perennial", date("2026-01-15"))
	now := date("2026-12-02")
	announcer := f.authorities.(issuer.Announcer)
	a, err := announcer.Announce(t.Context(), now, issuer.Succession{Key: uri, SignsFrom: now})
	check(t, err)
	revoke := func(reason string) error { return f.RevokeAuthority(t.Context(), a.ID, reason, "alice", now) }
	refused := func(what string) {
		t.Helper()
		if err := revoke(Compromised); !errors.Is(err, tenancy.ErrRefused) ||
			!strings.Contains(err.Error(), "signs with the key test:compromised, and its successor would too") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("nothing is announced")
	signers.Rotate(uri)
	next, err := announcer.Announce(t.Context(), now, issuer.Succession{Key: uri})
	check(t, err)
	check(t, revoke(Compromised))
	if signs, _ := f.Signing(now); signs.ID != next.ID {
		t.Errorf("%s signs, want %s", signs.ID, next.ID)
	}
	a = next
	check(t, revoke(Superseded)) // its key is not lost: the successor may have it
	if signs, _ := f.Signing(now); signs.ID == next.ID || signs.KeyURI != uri {
		t.Errorf("%s signs with the key %q", signs.ID, signs.KeyURI)
	}
}

// Without a successor, every message would fail. The next tick tries again.
func TestACertificateOfARevokedAuthorityStaysValidUntilItIsRenewed(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "perennial", now)
	acme := f.tenant("acme", now)
	f.arrangement(acme, "erp", tenancy.Adaptive)
	signing, _ := f.Signing(now)
	check(t, f.RevokeAuthority(t.Context(), signing.ID, Compromised, "alice", now))
	f.down["acme"] = true
	if err := f.RenewRevoked(t.Context(), now); err == nil {
		t.Error("the failure of the CA is not reported")
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 || c.State != tenancy.Active {
		t.Errorf("generation %d is %s", c.Generation, c.State)
	}
	f.down["acme"] = false
	check(t, f.RenewRevoked(t.Context(), now))
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 {
		t.Errorf("generation %d is the newest", c.Generation)
	}
}
