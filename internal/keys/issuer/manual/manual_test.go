package manual_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// answered is a manual issuer with a person who asks the CA when the suite asks for the answer, and keeps it.
type answered struct {
	*manual.Issuer
	ca *testca.CA

	mu      sync.Mutex // guards answers
	answers map[string]string
}

func (a *answered) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	_, err := a.Issuer.Issue(ctx, r)
	later := (*issuer.RequestedError)(nil)
	if !errors.As(err, &later) {
		return issuer.Issued{}, err
	}
	answer, err := a.ask(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	handle := fmt.Sprint(len(a.answers)) // the suite wants one for each request
	a.answers[handle] = answer
	return issuer.Issued{}, errors.Join(err, &issuer.RequestedError{Handle: handle})
}

// ask sends the request to the CA.
func (a *answered) ask(r issuer.Request) (string, error) {
	der, err := a.SigningRequest(r)
	if err != nil {
		return "", err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return "", err
	}
	from := r.At.Add(-time.Minute).Truncate(time.Second)
	until := from.Add(r.Validity)
	if until.After(a.ca.Issuing.NotAfter) {
		until = a.ca.Issuing.NotAfter
	}
	leaf, err := a.ca.Sign(request, from, until, nil)
	return string(testca.PEM(leaf, a.ca.Issuing.Raw, a.ca.Root.Raw)), err
}

func (a *answered) Collect(ctx context.Context, handle string, r issuer.Request) (issuer.Issued, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answer, ok := a.answers[handle]; ok {
		handle = answer
	}
	return a.Issuer.Collect(ctx, handle, r)
}

func open(t *testing.T, ca *testca.CA) *manual.Issuer {
	t.Helper()
	form := issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
	i, err := manual.Open(manual.Config{Roots: ca.RootFile(t)}, form)
	testenv.Check(t, err)
	return i
}

func TestACAThatAPersonAsksConforms(t *testing.T) {
	issuertest.Run(t, func(t *testing.T, now time.Time) issuer.Issuer {
		ca := testca.NewUntil(t, "Bank", now.Add(-time.Hour), now.AddDate(10, 0, 0))
		return &answered{Issuer: open(t, ca), ca: ca, answers: map[string]string{}}
	})
}

func TestARequestWaitsUntilAPersonBringsTheAnswer(t *testing.T) {
	i := open(t, testca.New(t, "Bank", time.Now()))
	key, err := keyring.Generate(tenancy.P256)
	testenv.Check(t, err)
	r := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(), Validity: time.Hour}
	_, err = i.Issue(t.Context(), r)
	later := (*issuer.RequestedError)(nil)
	if !errors.As(err, &later) || !later.AskAt.IsZero() {
		t.Fatalf("%v", err)
	}
	if _, err := i.Collect(t.Context(), later.Handle, r); !errors.As(err, &later) {
		t.Errorf("without an answer: %v", err)
	}
	if _, err := i.Collect(t.Context(), "nothing", r); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := manual.Open(manual.Config{Roots: "/nowhere"}, issuer.Form{}); err == nil {
		t.Error("missing roots are accepted")
	}
}
