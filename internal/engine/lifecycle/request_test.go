package lifecycle

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// slow is a CA elsewhere that answers a request later, when a test lets it.
type slow struct {
	remote

	mu       sync.Mutex // guards what follows
	requests []issuer.Request
	asked    []string
	open     bool      // requests are answered
	atOnce   bool      // Issue returns a certificate
	askAt    time.Time // when the CA answers; zero if it does not say so
	refuses  error     // of Issue
	lost     error     // of Collect
	clock    time.Time // of the CA when it answers; zero for that of the service
	dies     bool      // Issue does not return: the service ends
}

func (s *slow) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses != nil {
		return issuer.Issued{}, s.refuses
	}
	s.requests = append(s.requests, r)
	switch {
	case s.dies:
		panic("the service ends")
	case s.atOnce:
		return s.remote.Issue(ctx, r)
	}
	return issuer.Issued{}, &issuer.RequestedError{Handle: fmt.Sprint("r", len(s.requests)), AskAt: s.askAt}
}

func (s *slow) Collect(ctx context.Context, handle string, r issuer.Request) (issuer.Issued, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, handle)
	if s.lost != nil {
		return issuer.Issued{}, s.lost
	}
	if !s.open {
		return issuer.Issued{}, &issuer.RequestedError{Handle: handle, AskAt: s.askAt}
	}
	var n int
	fmt.Sscanf(handle, "r%d", &n)
	sent := s.requests[n-1]
	if key := sent.Key.Public().(interface{ Equal(crypto.PublicKey) bool }); !key.Equal(r.Key.Public()) ||
		sent.Tenant != r.Tenant || sent.Purpose != r.Purpose || sent.Validity != r.Validity {
		return issuer.Issued{}, fmt.Errorf("asked with another request: %+v, sent was %+v", r, sent)
	}
	if !s.clock.IsZero() {
		r.At = s.clock
	}
	return s.remote.Issue(ctx, r)
}

// withSlow gives the fixture a CA named bank-ca that answers later.
func (f *fixture) withSlow() *slow {
	f.t.Helper()
	s := &slow{remote: remote{ca: f.issuer}}
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(s)}
	engine, err := New(f.config)
	check(f.t, err)
	f.Engine = engine
	return s
}

func (f *fixture) add(t tenancy.Tenant, c tenancy.Credential, now time.Time) tenancy.Certificate {
	f.t.Helper()
	c.TenantID = t.ID
	_, first, err := f.AddCredential(f.t.Context(), c, "test", now)
	check(f.t, err)
	return first
}

func (f *fixture) requests(t tenancy.Tenant) []tenancy.Request {
	f.t.Helper()
	all, err := f.store.RequestsOf(f.t.Context(), []string{t.ID})
	check(f.t, err)
	return all[t.ID]
}

func TestACredentialHasItsOwnIssuerKeyTypeNamesAndValidity(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(&remote{ca: f.issuer})}
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
		acme := f.tenant("acme", now)
		settings := tenancy.Credential{Name: "bank", Issuer: "bank-ca", KeyType: tenancy.RSA2048,
			Subject: "CN=4711,OU=Payments,O=Bank", Validity: 200 * policy.Day}
		first := f.add(acme, settings, now)
		if first.Purpose != "bank" || first.Generation != 1 || first.Issuer != "bank-ca" ||
			first.KeyType != tenancy.RSA2048 || first.NotAfter.Sub(first.NotBefore) < 199*policy.Day ||
			first.NotAfter.Sub(now) > 200*policy.Day {
			t.Errorf("%s generation %d of %s, %s, until %s", first.Purpose, first.Generation, first.Issuer, first.KeyType,
				first.NotAfter)
		}
		for _, wrong := range []struct {
			c    tenancy.Credential
			want string
		}{
			{tenancy.Credential{Name: "tenant"}, "every tenant has the credential tenant"},
			{tenancy.Credential{Name: "bank"}, "already exists"},
			{tenancy.Credential{Name: "Bank"}, "invalid name"},
			{tenancy.Credential{Name: "x", Issuer: "other"}, "the issuer other is not configured: the issuers are bank-ca"},
			{tenancy.Credential{Name: "x", KeyType: "dsa"}, "unknown key type"},
			{tenancy.Credential{Name: "x", Validity: time.Hour}, "too short"},
			{tenancy.Credential{Name: "x", Validity: 40 * policy.Day}, "could expire before they are renewed"},
			{tenancy.Credential{Name: "x", Subject: "acme"}, "must be a name like"},
			{tenancy.Credential{Name: "x", SAN: "acme"}, "use DNS:, URI: or email:"},
			{tenancy.Credential{Name: "x", Subject: "CN=globex,OU=Tenants,O=P"}, "the issuer does not certify these names"},
		} {
			wrong.c.TenantID = acme.ID
			if _, _, err := f.AddCredential(t.Context(), wrong.c, "test", now); err == nil ||
				!strings.Contains(err.Error(), wrong.want) {
				t.Errorf("%+v: %v, want %q", wrong.c, err, wrong.want)
			}
		}
		other := f.tenant("globex", now)
		settings.TenantID = other.ID
		if _, _, err := f.AddCredential(t.Context(), settings, "test", now); !errors.Is(err, tenancy.ErrConflict) ||
			!strings.Contains(err.Error(), "the tenant acme has certificates with the same name") {
			t.Errorf("two tenants with one subject: %v", err)
		}

		// It is renewed by its issuer, with its settings, and independently of the others.
		stored, err := f.store.Credential(t.Context(), acme.ID, "bank")
		check(t, err)
		stored.KeyType = tenancy.P384
		_, err = f.ChangeCredential(t.Context(), stored, "test", now)
		check(t, err)
		check(t, f.Tick(t.Context(), now))
		check(t, f.Tick(t.Context(), date("2026-07-01")))
		next := f.newest(acme, "bank")
		if next.Generation != 2 || next.Issuer != "bank-ca" || next.KeyType != tenancy.P384 ||
			next.Subject != first.Subject {
			t.Errorf("generation %d of %s, %s, %s", next.Generation, next.Issuer, next.KeyType, next.Subject)
		}
		if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 {
			t.Errorf("the tenant certificate has generation %d", c.Generation)
		}
		f.eventsOf("credential.created", 1)
		f.eventsOf("credential.changed", 1)
	})
}

func (f *fixture) eventsOf(action string, want int) {
	f.t.Helper()
	events, err := f.store.Events(f.t.Context(), "", 0, 1000)
	check(f.t, err)
	n := 0
	for _, e := range events {
		if e.Action == action {
			n++
		}
	}
	if n != want {
		f.t.Errorf("%d events %s, want %d", n, action, want)
	}
}

func TestArrangementsOfTwoCredentialsRollOverApart(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Validity: 200 * policy.Day}, now)
	erp, bank := f.arrangement(acme, "erp", tenancy.Adaptive), f.arrangementOf(acme, "bank", "bank")
	at := date("2026-07-01")
	for _, day := range []time.Time{now, date("2026-06-01"), at} {
		check(t, f.Tick(t.Context(), day))
	}
	generations := func(a tenancy.Arrangement) (all []int) {
		t.Helper()
		s, err := f.Named(t.Context(), "acme", a.Name)
		check(t, err)
		for _, c := range s.Certificates {
			if c.Purpose != a.Presents() {
				t.Errorf("%s can present generation %d of %s", a.Name, c.Generation, c.Purpose)
			}
			all = append(all, c.Generation)
		}
		return all
	}
	if got := generations(erp); !slices.Equal(got, []int{1}) {
		t.Errorf("erp can present %v", got)
	}
	if got := generations(bank); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("bank can present %v", got)
	}
	// The old generation of one credential is retired when its own arrangements are settled.
	_, err := f.Choose(t.Context(), bank.ID, 2, "test", at)
	check(t, err)
	check(t, f.Roll(t.Context(), date("2026-08-20")))
	if got := generations(bank); !slices.Equal(got, []int{2}) {
		t.Errorf("after its expiry bank can present %v", got)
	}
	if c := f.newest(acme, "bank"); c.State != tenancy.Active {
		t.Errorf("the new generation is %s", c.State)
	}
	if got := generations(erp); !slices.Equal(got, []int{1}) {
		t.Errorf("erp can present %v", got)
	}
}

func TestARequestThatIsAnsweredLaterIsSentOnceAndSurvivesRestarts(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		now := date("2026-01-15")
		f := setUp(t, url, policy.Default, now)
		ca := f.withSlow()
		acme := f.tenant("acme", now)
		first := f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
		if first.State != tenancy.Requested || first.Generation != 1 {
			t.Errorf("%+v", first)
		}
		bank := f.arrangementOf(acme, "bank", "bank")
		if _, err := f.Standing(t.Context(), f.store.Reader, acme, bank); err == nil ||
			!strings.Contains(err.Error(), "no certificate of the credential bank") {
			t.Errorf("before the first certificate: %v", err)
		}
		check(t, f.Tick(t.Context(), now.Add(30*time.Minute)))
		if len(ca.asked) != 0 {
			t.Errorf("the CA is asked after half an hour: %v", ca.asked)
		}
		again, err := New(f.config) // a restart
		check(t, err)
		f.Engine = again
		for i := range 3 {
			check(t, f.Tick(t.Context(), now.Add(time.Duration(i+1)*2*time.Hour)))
		}
		if len(ca.requests) != 1 || len(ca.asked) != 3 {
			t.Errorf("%d requests, %d questions", len(ca.requests), len(ca.asked))
		}
		ca.open, ca.clock = true, now.Add(8*time.Hour)
		check(t, f.Tick(t.Context(), ca.clock))
		c := f.newest(acme, "bank")
		if c.Generation != 1 || c.State != tenancy.Active || len(f.requests(acme)) != 0 {
			t.Errorf("%+v, %d requests are open", c, len(f.requests(acme)))
		}
		standing, err := f.Named(t.Context(), "acme", "crm-to-bank")
		check(t, err)
		if standing.Arrangement.Generation != 1 {
			t.Errorf("the arrangement presents %d", standing.Arrangement.Generation)
		}
		if _, err := f.Presentable(t.Context(), c); err != nil {
			t.Errorf("its key: %v", err)
		}

		// A run requests the successor once, and finishes. The old generation stays until the answer.
		ca.open = false
		run := date("2026-12-01")
		check(t, f.Tick(t.Context(), run))
		check(t, f.Tick(t.Context(), run.Add(time.Hour)))
		r, err := f.store.Run(t.Context(), run)
		check(t, err)
		if r.FinishedAt.IsZero() || len(ca.requests) != 2 || len(f.requests(acme)) != 1 {
			t.Errorf("run %+v, %d requests, %d open", r, len(ca.requests), len(f.requests(acme)))
		}
		at := run.AddDate(0, 0, 3)
		ca.open, ca.clock = true, at
		check(t, f.Tick(t.Context(), at))
		next := f.newest(acme, "bank")
		old, err := f.store.Certificate(t.Context(), acme.ID, "bank", 1)
		check(t, err)
		if next.Generation != 2 || next.State != tenancy.Standby || old.SuccessorID != next.ID ||
			!next.CreatedAt.Equal(at) {
			t.Errorf("%+v", next)
		}
		notices, err := f.store.Notices(t.Context(), acme.ID, "", 100)
		check(t, err)
		if !slices.ContainsFunc(notices, func(n tenancy.Notice) bool {
			return n.Subject == "Certificate bank has been renewed" && n.SuccessorID == next.ID
		}) {
			t.Errorf("no notice of the renewal: %+v", notices)
		}
	})
}

func TestARequestThatFailsStaysOpenWithTheReason(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	ca.refuses = errors.New("quota used up")
	_, _, err := f.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "bank", Issuer: "bank-ca"},
		"test", now)
	if err == nil || !strings.Contains(err.Error(), "is repeated every hour") ||
		!strings.Contains(err.Error(), "quota") {
		t.Errorf("%v", err)
	}
	if len(f.requests(acme)) != 0 {
		t.Error("a refused request is open")
	}
	if err := f.Tick(t.Context(), now.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "quota used up") {
		t.Errorf("%v", err)
	}
	ca.refuses = nil
	check(t, f.Tick(t.Context(), now.Add(2*time.Hour)))
	ca.lost = errors.New("the CA rejected the request")
	if err := f.Tick(t.Context(), now.Add(3*time.Hour)); err == nil || !strings.Contains(err.Error(),
		"generation 1 of the Certificate bank: the CA rejected the request") {
		t.Errorf("%v", err)
	}
	open := f.requests(acme)
	if len(open) != 1 || open[0].LastError != "the CA rejected the request" || open[0].Handle != "r1" {
		t.Fatalf("%+v", open)
	}
	ca.lost, ca.open = nil, true
	at := now.Add(4 * time.Hour)
	check(t, f.Again(t.Context(), open[0], "olga", at))
	if len(ca.requests) != 2 {
		t.Errorf("%d requests are sent", len(ca.requests))
	}
	first, second := ca.requests[0].Key.Public(), ca.requests[1].Key.Public()
	if first.(interface{ Equal(crypto.PublicKey) bool }).Equal(second) {
		t.Error("the second request has the same key")
	}
	check(t, f.Tick(t.Context(), at.Add(time.Hour)))
	if c := f.newest(acme, "bank"); c.Generation != 1 {
		t.Errorf("%+v", c)
	}
}

// What a CA got from a process that has ended then is not sent again without a person.
func TestARequestWhoseSendingWasInterruptedWaitsForAPerson(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	ca.dies = true
	func() {
		defer func() { _ = recover() }()
		f.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "bank", Issuer: "bank-ca"}, "test", now)
	}()
	ca.dies, ca.open = false, true
	for i := range 3 {
		err := f.Tick(t.Context(), now.Add(time.Duration(i+1)*time.Hour))
		if err == nil || !strings.Contains(err.Error(), "not known whether the CA has the request") {
			t.Errorf("%v", err)
		}
	}
	if len(ca.requests) != 1 {
		t.Errorf("%d requests are sent", len(ca.requests))
	}
	check(t, f.Again(t.Context(), f.requests(acme)[0], "olga", now.Add(4*time.Hour)))
	check(t, f.Tick(t.Context(), now.Add(5*time.Hour)))
	if c := f.newest(acme, "bank"); c.Generation != 1 || len(ca.requests) != 2 {
		t.Errorf("%+v after %d requests", c, len(ca.requests))
	}
}

func TestALostGenerationIsRevokedWhileItsSuccessorIsRequested(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(time.Hour)))
	ca.open = false
	c, err := f.RenewByHand(t.Context(), "acme", "bank", Lost, "olga", now.Add(2*time.Hour))
	check(t, err)
	if old := f.newest(acme, "bank"); c.State != tenancy.Requested || c.Generation != 2 || old.State != tenancy.Revoked ||
		len(ca.revoked) != 1 {
		t.Errorf("%+v, old %+v, %d revoked at the CA", c, old, len(ca.revoked))
	}
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(4*time.Hour)))
	old, err := f.store.Certificate(t.Context(), acme.ID, "bank", 1)
	check(t, err)
	if next := f.newest(acme, "bank"); next.Generation != 2 || old.State != tenancy.Revoked ||
		old.SuccessorID != next.ID ||
		len(ca.revoked) != 1 {
		t.Errorf("%+v, old %+v, %d revoked at the CA", next, old, len(ca.revoked))
	}
	f.eventsOf("certificate.revoked", 1)
}

// Key users learn of a request that is theirs to send. They are reminded before the certificate that it replaces
// expires.
func TestKeyUsersAreRemindedOfARequestThatAPersonMustSend(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	bank := testca.New(t, "Bank", now)
	byHand, err := manual.Open(manual.Config{Roots: bank.RootFile(t)}, issuer.Form{TrustDomain: "p.example.com",
		Organization: "P"})
	check(t, err)
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(byHand)}
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", now)
	f.arrangementOf(acme, "bank", "bank")
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	var due []time.Time
	subjects := func() (all []string) {
		t.Helper()
		due = nil
		tasks, _, err := f.store.Tasks(t.Context(), store.TaskChoice{TenantID: acme.ID}, store.Page{Limit: 1000})
		check(t, err)
		for _, task := range tasks {
			if task.Kind == tenancy.ByHand && task.KeyUser == "alice" {
				all = append(all, task.Subject)
				due = append(due, task.DueAt)
			}
		}
		return all
	}
	for i := range 5 {
		check(t, f.Tick(t.Context(), now.Add(time.Duration(i)*time.Hour)))
	}
	if got := subjects(); !slices.Equal(got, []string{"Certificate bank must be requested by hand"}) {
		t.Errorf("%q", got)
	}
	if len(due) != 1 || !due[0].Equal(now) {
		t.Errorf("the first certificate must be requested by %s, want %s", due, now)
	}
	csr, err := f.SigningRequest(t.Context(), f.requests(acme)[0])
	check(t, err)
	block, _ := pem.Decode(csr)
	wanted, err := x509.ParseCertificateRequest(block.Bytes)
	check(t, err)
	leaf, err := bank.Sign(wanted, now, now.AddDate(1, 0, 0), nil)
	check(t, err)
	_, err = f.Answer(t.Context(), f.requests(acme)[0], testca.PEM(leaf, bank.Issuing.Raw), "alice", now)
	check(t, err)

	for day := date("2026-11-01"); day.Before(date("2027-01-15")); day = day.AddDate(0, 0, 1) {
		check(t, f.Tick(t.Context(), day))
	}
	got := subjects()[1:]
	if want := []string{"Certificate bank must be requested by hand",
		"Certificate bank must be requested by hand: 30 days left",
		"Certificate bank must be requested by hand: 14 days left",
		"Certificate bank must be requested by hand: 7 days left", "Certificate bank must be requested by hand: 3 days left",
		"Certificate bank must be requested by hand: 1 day left"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(f.requests(acme)) != 1 {
		t.Error("the request is not open")
	}
}

func TestTheKeyOfAnOpenRequestIsResealed(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.withSlow()
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	q := f.requests(acme)[0]
	before, err := f.store.RequestKey(t.Context(), q.ID)
	check(t, err)
	check(t, f.seal.Rotate(t.Context()))
	_, err = Reseal(t.Context(), f.store, f.seal, func(int) {})
	check(t, err)
	after, err := f.store.RequestKey(t.Context(), q.ID)
	check(t, err)
	if f.seal.Current(before.Sealed) || !f.seal.Current(after.Sealed) {
		t.Errorf("current before %v, after %v", f.seal.Current(before.Sealed), f.seal.Current(after.Sealed))
	}
}
