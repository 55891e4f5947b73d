package lifecycle

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// requested returns a fixture whose tenant acme has an open request for the first generation of the credential bank.
func requested(t *testing.T, now time.Time) (f *fixture, ca *slow, acme tenancy.Tenant) {
	t.Helper()
	f = sqlite(t, policy.Default, now)
	ca = f.withSlow()
	acme = f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	return f, ca, acme
}

func TestARequestThatIsSentAgainMayBeAnsweredAtOnce(t *testing.T) {
	now := date("2026-01-15")
	f, ca, acme := requested(t, now)
	ca.atOnce = true
	later := now.Add(time.Hour)
	check(t, f.Again(t.Context(), f.requests(acme)[0], "olga", later))
	c := f.newest(acme, "bank")
	if c.Generation != 1 || c.State != tenancy.Active || !c.CreatedAt.Equal(later) || c.Issuer != "bank-ca" ||
		len(f.requests(acme)) != 0 {
		t.Errorf("%+v, %d requests are open", c, len(f.requests(acme)))
	}
	if _, err := f.Presentable(t.Context(), c); err != nil {
		t.Errorf("its key: %v", err)
	}
	events, err := f.store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	again := 0
	for _, e := range events {
		if e.Action == "certificate.requested" && strings.Contains(e.Detail, `"again":true`) {
			if again++; e.Actor != "olga" || !e.At.Equal(later) || e.Object != "acme/bank/1" {
				t.Errorf("the event is %+v", e)
			}
		}
	}
	if again != 1 {
		t.Errorf("%d events of a request that was sent again", again)
	}
}

func TestARequestThatIsRefusedWhenItIsSentAgainStaysOpen(t *testing.T) {
	now := date("2026-01-15")
	f, ca, acme := requested(t, now)
	before := f.requests(acme)[0]
	ca.refuses = errors.New("quota used up")
	later := now.Add(2 * time.Hour)
	if err := f.Again(t.Context(), before, "olga", later); !errors.Is(err, ca.refuses) {
		t.Errorf("got %v", err)
	}
	want := before
	want.Handle, want.LastError, want.CreatedAt, want.AskAt = "", "quota used up", later, later.Add(askEvery)
	if open := f.requests(acme); len(open) != 1 || open[0] != want {
		t.Errorf("open are %+v, want %+v", open, want)
	}
	// A certificate that the policy would renew at once is not stored.
	ca.refuses, ca.atOnce = nil, true
	short := before
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.UpdateCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "bank", Issuer: "bank-ca",
			Validity: policy.Day, Version: 1})
	}))
	if err := f.Again(t.Context(), short, "olga", later); err == nil || !strings.Contains(err.Error(), "renew again") {
		t.Errorf("a certificate of a day: %v", err)
	}
	if _, err := f.store.Newest(t.Context(), acme.ID, "bank"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("it is stored: %v", err)
	}
}

// A CA that is known to take days is not asked every hour. One that names a past instant is.
func TestACAIsAskedWhenItSaysThatItAnswers(t *testing.T) {
	now := date("2026-01-15")
	f, ca, acme := requested(t, now)
	for _, c := range []struct{ says, want time.Duration }{{72 * time.Hour, 72 * time.Hour},
		{time.Nanosecond * 1000, time.Microsecond}, {0, askEvery}, {-time.Hour, askEvery}} {
		ca.askAt = now.Add(c.says)
		check(t, f.Again(t.Context(), f.requests(acme)[0], "olga", now))
		if at := f.requests(acme)[0].AskAt; !at.Equal(now.Add(c.want)) {
			t.Errorf("it answers in %v: asked after %v, want %v", c.says, at.Sub(now), c.want)
		}
	}
	asks := now.Add(askEvery)
	ca.askAt = asks.Add(50 * time.Hour)
	check(t, f.Collect(t.Context(), asks))
	if at := f.requests(acme)[0].AskAt; !at.Equal(ca.askAt) {
		t.Errorf("asked on %v, want %v", at, ca.askAt)
	}
}

// The name of an issuer stays in requests when the configuration changes.
func TestARequestWhoseIssuerHasChangedIsAnErrorThatAdvises(t *testing.T) {
	now := date("2026-01-15")
	later := now.Add(2 * time.Hour)
	for name, c := range map[string]struct {
		issuers issuer.Set
		want    string
	}{
		"it is gone":      {issuer.Set{}, "bank-ca is not configured"},
		"it answers once": {nil, "now answers at once"},
	} {
		f, _, acme := requested(t, now)
		if c.issuers == nil {
			c.issuers = issuer.Set{"bank-ca": issuer.Checked(&remote{ca: f.issuer})}
		}
		f.config.Issuers = c.issuers
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
		if err := f.Collect(t.Context(), later); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: collected with %v", name, err)
		}
		q := f.requests(acme)[0]
		if !strings.Contains(q.LastError, c.want) || !q.AskAt.Equal(later.Add(askEvery)) {
			t.Errorf("%s: the request is %+v", name, q)
		}
		if _, err := f.Answer(t.Context(), q, nil, "olga", later); err == nil {
			t.Errorf("%s: a person answers it", name)
		}
		if _, err := f.SigningRequest(t.Context(), q); err == nil {
			t.Errorf("%s: a person sends it", name)
		}
		gone := name == "it is gone"
		if err := f.Again(t.Context(), q, "olga", later); (err != nil) != gone {
			t.Errorf("%s: sent again with %v", name, err)
		}
	}
}

func TestAKeyThatCannotBeMadeIsAnErrorAndNothingIsRequested(t *testing.T) {
	now := date("2026-01-15")
	f, ca, acme := requested(t, now)
	q := f.requests(acme)[0]
	q.KeyType = "unknown"
	if err := f.Again(t.Context(), q, "olga", now); err == nil || !strings.Contains(err.Error(), "create a key") {
		t.Errorf("sent again with %v", err)
	}
	o, err := f.owner(t.Context(), acme.ID)
	check(t, err)
	o.KeyType = "unknown"
	if _, err := f.successor(t.Context(), o, f.newest(acme, tenancy.ForTenant), cause{}, now); err == nil ||
		!strings.Contains(err.Error(), "create a key") {
		t.Errorf("renewed with %v", err)
	}
	if len(ca.requests) != 1 {
		t.Errorf("%d requests were sent", len(ca.requests))
	}
}

// byHand returns a fixture whose credential bank is of a CA that a person asks.
func byHand(t *testing.T, now time.Time) (f *fixture, bank *testca.CA, acme tenancy.Tenant) {
	t.Helper()
	f = sqlite(t, policy.Default, now)
	bank = testca.New(t, "Bank", now)
	ca, err := manual.Open(manual.Config{Roots: bank.RootFile(t)}, issuer.Form{TrustDomain: "p.example.com",
		Organization: "P"})
	check(t, err)
	f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(ca)}
	f.Engine, err = New(f.config)
	check(t, err)
	acme = f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	return f, bank, acme
}

func TestAnAnswerThatIsNotTheRequestedCertificateLeavesTheRequestOpen(t *testing.T) {
	now := date("2026-01-15")
	f, bank, acme := byHand(t, now)
	q := f.requests(acme)[0]
	for name, answer := range map[string]string{"nothing": "", "a text": "see attachment",
		"the CA alone": string(testca.PEM(bank.Issuing.Raw, bank.Root.Raw))} {
		c, err := f.Answer(t.Context(), q, []byte(answer), "olga", now)
		if !errors.Is(err, tenancy.ErrInvalid) || c.ID != "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if open := f.requests(acme); len(open) != 1 || open[0] != q {
		t.Errorf("open are %+v, want %+v", open, q)
	}
}
