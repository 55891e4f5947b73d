package lifecycle

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// foreignCA is a CA elsewhere that keeps the requested names, unless a test edits the certificate.
type foreignCA struct {
	t    *testing.T
	ca   *testca.CA
	edit func(*x509.Certificate)
}

func (c *foreignCA) Issue(_ context.Context, r issuer.Request) (i issuer.Issued, err error) {
	names := certfile.Names{}
	if r.Replaces != nil {
		names = *r.Replaces
	} else {
		names.Subject, err = certfile.ParseName("CN=" + r.Tenant)
		check(c.t, err)
	}
	csr, err := foreign.CSR(r.Key, names)
	check(c.t, err)
	request, err := x509.ParseCertificateRequest(csr)
	check(c.t, err)
	leaf, err := c.ca.Sign(request, r.At.Add(-time.Minute), r.At.Add(r.Validity), c.edit)
	check(c.t, err)
	return foreign.Issued(testca.PEM(leaf, c.ca.Issuing.Raw), r.Key.Public(), r.At)
}

// A watched fixture has the tenant acme at a foreign CA, with one arrangement that presents the newest generation at
// once, under a policy that demands no notice.
type watched struct {
	*fixture
	acme tenancy.Tenant
	from *foreignCA
}

func watch(t *testing.T, url string, now time.Time) watched {
	t.Helper()
	w := watched{fixture: setUp(t, url, "sap-c4c", now)}
	w.from = &foreignCA{t: t, ca: testca.New(t, "Old", now)}
	w.config.Issuers = issuer.Set{"old-ca": issuer.Checked(w.from),
		"new-ca": issuer.Checked(&foreignCA{t: t, ca: testca.New(t, "New", now)})}
	w.config.Issuer, w.config.IssuerName = w.config.Issuers["old-ca"], "old-ca"
	var err error
	w.Engine, err = New(w.config)
	check(t, err)
	w.acme = w.tenant("acme", now)
	w.arrangement(w.acme, "bank", tenancy.Immediate)
	return w
}

// presents returns the generation that the arrangement presents at an instant.
func (w watched) presents(at time.Time) int {
	w.t.Helper()
	check(w.t, w.Roll(w.t.Context(), at))
	return w.standing(w.acme, "bank").Rollover.Presents
}

func (w watched) renew(reason string, at time.Time) tenancy.Certificate {
	w.t.Helper()
	c, err := w.RenewByHand(w.t.Context(), "acme", tenancy.ForTenant, reason, "test", at)
	check(w.t, err)
	return c
}

// notices returns the subjects of the notices about differences.
func (w watched) notices() (subjects []string) {
	w.t.Helper()
	for _, task := range w.tasks(w.acme) {
		n, err := w.store.NoticesByID(w.t.Context(), []string{task.NoticeID})
		check(w.t, err)
		if n[task.NoticeID].Kind == tenancy.Differs {
			subjects = append(subjects, n[task.NoticeID].Subject)
		}
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

func (w watched) held(at time.Time) int {
	w.t.Helper()
	n, err := w.store.CountHeld(w.t.Context(), at)
	check(w.t, err)
	return n
}

func TestACertificateThatDiffersWithoutANoticeIsHeldBack(t *testing.T) {
	now := date("2026-01-15")
	for name, c := range map[string]struct {
		edit func(*x509.Certificate)
		ca   bool // another CA answers
		want string
	}{
		"nothing differs": {},
		"the names": {edit: func(c *x509.Certificate) {
			c.RawSubject = nil
			c.Subject.OrganizationalUnit = []string{"New"}
			c.Subject.CommonName = "acme"
		}, want: "Tenant Certificate has changed: subject"},
		"the CA": {ca: true, want: "Tenant Certificate has changed: issuer"},
		"the CA and the alternative name": {ca: true, edit: func(c *x509.Certificate) {
			c.ExtraExtensions, c.DNSNames = nil, []string{"acme.example.com"}
		}, want: "Tenant Certificate has changed: issuer and subject alternative name"},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, "sqlite:"+t.TempDir()+"/p.db", now)
			w.from.edit = c.edit
			if c.ca {
				w.from.ca = testca.New(t, "Other", now)
			}
			next := w.renew(Reissue, now)
			held := c.want != ""
			if got := strings.Join(w.notices(), ", "); got != c.want {
				t.Errorf("notices %q, want %q", got, c.want)
			}
			w.eventsOf("certificate.held", map[bool]int{false: 0, true: 1}[held])
			if n := w.held(now); (n == 1) != held {
				t.Errorf("%d certificates are held", n)
			}
			end := now.Add(28 * policy.Day)
			if next.NoticedUntil.Before(end) {
				t.Errorf("the notice ends on %v", next.NoticedUntil)
			}
			if got := w.presents(end.Add(-time.Minute)); got != 1 {
				t.Errorf("generation %d is presented before the end of the notice", got)
			}
			if got := w.presents(end); got != 2 {
				t.Errorf("generation %d is presented after the notice", got)
			}
			if n := w.held(end); n != 0 {
				t.Errorf("%d certificates are held after the notice", n)
			}
		})
	}
}

// The published rules renew without a warning and present the new generation at once. Not so if it differs.
func TestARunHoldsBackWhatDiffersAlthoughItsPolicyDemandsNoNotice(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		w := watch(t, url, now)
		check(t, w.Tick(t.Context(), now))
		w.from.ca = testca.New(t, "Other", now)
		run := date("2026-12-01")
		_, err := w.Run(t.Context(), run, run)
		check(t, err)
		next := w.newest(w.acme, tenancy.ForTenant)
		if want := run.Add(28 * policy.Day); next.Generation != 2 || !next.NoticedUntil.Equal(want) ||
			w.presents(want.Add(-time.Second)) != 1 || w.presents(want) != 2 {
			t.Errorf("generation %d is held back until %v, want %v", next.Generation, next.NoticedUntil, want)
		}
		check(t, w.Prune(t.Context(), run.Add(29*policy.Day)))
		if known, err := w.store.Claimed(t.Context(), store.ClaimHeld, next.ID); known || err != nil {
			t.Errorf("the claim is kept after the notice: %v", err)
		}
	})
}

func TestALostCertificateIsReplacedAtOnceAlthoughTheNextOneDiffers(t *testing.T) {
	now := date("2026-01-15")
	w := watch(t, "sqlite:"+t.TempDir()+"/p.db", now)
	w.from.ca = testca.New(t, "Other", now)
	w.renew(Compromised, now)
	if got := w.presents(now); got != 2 || len(w.notices()) != 0 {
		t.Errorf("generation %d is presented, notices %v", got, w.notices())
	}
}

func TestACertificateThatIsAsBeforeAgainIsNotHeldBack(t *testing.T) {
	now := date("2026-01-15")
	w := watch(t, "sqlite:"+t.TempDir()+"/p.db", now)
	usual := w.from.ca
	w.from.ca = testca.New(t, "Other", now)
	w.renew(Reissue, now)
	w.from.ca = usual // the CA was corrected
	later := now.Add(time.Hour)
	w.renew(Reissue, later)
	w.eventsOf("certificate.held", 1)
	if n := w.held(later); n != 1 {
		t.Errorf("%d certificates are held", n)
	}
}

// Another CA is introduced step by step: it is announced, receivers are asked with both certificates, and the new one
// is presented after the notice.
func TestAnotherIssuerOfACredentialIsAnnouncedAndHasANotice(t *testing.T) {
	now := date("2026-01-15")
	w := watch(t, "sqlite:"+t.TempDir()+"/p.db", now)
	change := func(c tenancy.Credential, at time.Time) tenancy.Credential {
		t.Helper()
		c.TenantID, c.Name = w.acme.ID, tenancy.ForTenant
		c, err := w.ChangeCredential(t.Context(), c, "test", at)
		check(t, err)
		return c
	}
	stored := change(tenancy.Credential{Validity: 300 * policy.Day}, now)
	if got := w.notices(); len(got) != 0 || !stored.AnnouncedAt.IsZero() {
		t.Errorf("a change of the validity is announced: %v", got)
	}
	stored.Issuer, stored.KeyType = "new-ca", tenancy.P384
	at := now.Add(time.Hour)
	stored = change(stored, at)
	announced := []string{"Tenant Certificate will change: issuer and key type"}
	if got := w.notices(); !slices.Equal(got, announced) || !stored.AnnouncedAt.Equal(at) {
		t.Errorf("notices %v, announced at %v", got, stored.AnnouncedAt)
	}
	stored = change(stored, at.Add(time.Hour)) // nothing changes
	later := now.Add(10 * policy.Day)
	next := w.renew(Reissue, later)
	if got := w.notices(); !slices.Equal(got, announced) || next.Issuer != "new-ca" || next.KeyType != tenancy.P384 {
		t.Errorf("notices after the renewal by %s: %v", next.Issuer, got)
	}
	w.eventsOf("certificate.held", 0)
	end := later.Add(28 * policy.Day) // a renewal by hand has its own notice
	if w.presents(end.Add(-time.Second)) != 1 || w.presents(end) != 2 {
		t.Errorf("the notice ends on %v, want %v", next.NoticedUntil, end)
	}
	// Back again: the announcement before does not cover it.
	stored.Issuer, stored.KeyType = "old-ca", ""
	back := end.Add(policy.Day)
	stored = change(stored, back)
	w.renew(Reissue, back)
	w.eventsOf("certificate.held", 0)
	if got := w.notices(); len(got) != 1 || !stored.AnnouncedAt.Equal(back) {
		t.Errorf("notices %v, announced at %v", got, stored.AnnouncedAt)
	}
	w.from.ca = testca.New(t, "Third", now)
	w.renew(Reissue, back.Add(time.Hour))
	w.eventsOf("certificate.held", 1)
}

func TestTheNextIssuingCAOfTheLocalOneIsAnnouncedAlready(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "sap-c4c", now)
	acme := f.tenant("acme", now)
	f.arrangement(acme, "bank", tenancy.Immediate)
	a := f.announce(now)
	later := now.AddDate(0, 4, 0)
	check(t, f.Announce(t.Context(), later))
	next, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", later)
	check(t, err)
	if next.IssuerID != a.ID {
		t.Fatalf("%s signed it, want %s", next.IssuerID, a.ID)
	}
	f.eventsOf("certificate.held", 0)
}
