package issuer_test

import (
	"context"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

// A liar changes the requests to its CA, or the answers.
type liar struct {
	issuer.Issuer
	request func(*issuer.Request)
	answer  func(*issuer.Issued)
}

func (l liar) Unwrap() issuer.Issuer { return l.Issuer }

func (l liar) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	if l.request != nil {
		l.request(&r)
	}
	issued, err := l.Issuer.Issue(ctx, r)
	if err == nil && l.answer != nil {
		l.answer(&issued)
	}
	return issued, err
}

// A laterLiar answers later, with the same lies.
type laterLiar struct{ liar }

func (l laterLiar) Issue(context.Context, issuer.Request) (issuer.Issued, error) {
	return issuer.Issued{}, &issuer.RequestedError{Handle: "r1"}
}

func (l laterLiar) Collect(ctx context.Context, _ string, r issuer.Request) (issuer.Issued, error) {
	return l.liar.Issue(ctx, r)
}

func TestACertificateThatWasNotRequestedIsDiscarded(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	engine, ca := enginetest.New(t, "sqlite:"+t.TempDir()+"/p.db", now)
	key := func() crypto.Signer {
		k, err := engine.Keys.Take(tenancy.P256)
		check(t, err)
		return k
	}
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key(), At: now,
		Validity: 365 * 24 * time.Hour}
	for _, purpose := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
		request.Purpose = purpose
		if issued, err := issuer.Checked(ca).Issue(t.Context(), request); err != nil || len(issued.DER) == 0 {
			t.Errorf("an honest CA: %v", err)
		}
		issued, err := issuer.Checked(laterLiar{liar{Issuer: ca}}).(issuer.Collector).Collect(t.Context(), "r1", request)
		if err != nil || len(issued.DER) == 0 {
			t.Errorf("an honest CA that answers later: %v", err)
		}
	}
	other := key()
	next, err := ca.Announce(t.Context(), now, issuer.Succession{})
	check(t, err)
	probe := request
	probe.Authority = next.ID
	for _, c := range []struct {
		want    string
		request issuer.Request
		liar    liar
	}{
		{"it has another key", request, liar{request: func(r *issuer.Request) { r.Key = other }}},
		{"it names CN=zeta,OU=M-users,O=P instead of the tenant acme", request,
			liar{request: func(r *issuer.Request) { r.Tenant = "zeta" }}},
		{"it names CN=acme,OU=Tenants,O=P instead of the tenant acme", request,
			liar{request: func(r *issuer.Request) { r.Purpose = tenancy.ForTenant }}},
		{"which is not what the CA reports", request,
			liar{answer: func(i *issuer.Issued) { i.NotAfter = i.NotAfter.AddDate(1, 0, 0) }}},
		{"which is not what the CA reports", request,
			liar{answer: func(i *issuer.Issued) { i.NotBefore = i.NotBefore.AddDate(-1, 0, 0) }}},
		{"which is not what the CA reports", request, liar{answer: func(i *issuer.Issued) { i.Serial = "00" }}},
		{"x509: malformed certificate", request, liar{answer: func(i *issuer.Issued) { i.DER = i.DER[:100] }}},
		{"it is not for client authentication", request, liar{answer: func(i *issuer.Issued) { *i = server(t, request) }}},
		{" signed it instead of " + next.ID, probe, liar{request: func(r *issuer.Request) { r.Authority = "" }}},
	} {
		c.liar.Issuer = ca
		issued, err := issuer.Checked(c.liar).Issue(t.Context(), c.request)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(issued.DER) > 0 {
			t.Errorf("%v, want %q", err, c.want)
		}
		issued, err = issuer.Checked(laterLiar{c.liar}).(issuer.Collector).Collect(t.Context(), "r1", c.request)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(issued.DER) > 0 {
			t.Errorf("later: %v, want %q", err, c.want)
		}
	}
}

func TestWrappersDoNotHideCapabilities(t *testing.T) {
	_, ca := enginetest.New(t, "sqlite:"+t.TempDir()+"/p.db", time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC))
	wrapped := issuer.Checked(liar{Issuer: ca})
	if h, ok := issuer.As[issuer.Hierarchy](wrapped); !ok || h != issuer.Hierarchy(ca) {
		t.Errorf("a hierarchy behind two wrappers: %v", ok)
	}
	if _, ok := issuer.As[issuer.Revoker](wrapped); ok {
		t.Error("a capability that the issuer does not have")
	}
	if _, ok := issuer.As[issuer.Collector](wrapped); ok {
		t.Error("an issuer that answers at once is a Collector")
	}
	if _, ok := issuer.As[issuer.Hierarchy](nil); ok {
		t.Error("a capability of no issuer")
	}
	// The answers of a Collector must not be reachable without the check.
	later, ok := issuer.As[issuer.Collector](issuer.Checked(laterLiar{liar{Issuer: ca}}))
	if _, unchecked := later.(laterLiar); !ok || unchecked {
		t.Errorf("%T is not checked", later)
	}
	_, err := issuer.Checked(laterLiar{liar{Issuer: ca}}).Issue(t.Context(), issuer.Request{})
	if e := (*issuer.RequestedError)(nil); !errors.As(err, &e) || e.Handle != "r1" {
		t.Errorf("%v", err)
	}
}

func TestARequestThatIsAnsweredLaterNamesItsHandle(t *testing.T) {
	at := time.Date(2026, 1, 15, 8, 0, 0, 0, time.UTC)
	for want, err := range map[string]issuer.RequestedError{
		"the CA accepted request r1 and will answer later": {Handle: "r1"},
		"the CA accepted request r1 and will answer later: ask again after 2026-01-15T08:00:00Z": {Handle: "r1",
			AskAt: at},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err.Error(), want)
		}
	}
}

func TestACertificateMayKeepTheNamesOfTheOneThatItReplaces(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	engine, ca := enginetest.New(t, "sqlite:"+t.TempDir()+"/p.db", now)
	key, err := engine.Keys.Take(tenancy.P256)
	check(t, err)
	subject, err := asn1.Marshal(pkix.Name{CommonName: "my300001"}.ToRDNSequence())
	check(t, err)
	other, err := asn1.Marshal(pkix.Name{CommonName: "my300002"}.ToRDNSequence())
	check(t, err)
	elsewhere, err := certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: "x.elsewhere.example"})
	check(t, err)
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: now,
		Validity: 365 * 24 * time.Hour, Replaces: &certfile.Names{Subject: subject}}
	issued, err := issuer.Checked(ca).Issue(t.Context(), request)
	if err != nil || issued.Subject != "CN=my300001" {
		t.Errorf("%q, %v", issued.Subject, err)
	}
	for what, lie := range map[string]func(*issuer.Request){
		"the subject of another certificate": func(r *issuer.Request) { r.Replaces = &certfile.Names{Subject: other} },
		"another tenant's SAN": func(r *issuer.Request) {
			r.Tenant, r.Replaces = "zeta", &certfile.Names{Subject: subject, SAN: elsewhere}
		},
	} {
		if issued, err := issuer.Checked(liar{Issuer: ca, request: lie}).Issue(t.Context(), request); err == nil {
			t.Errorf("%s is accepted: %s", what, issued.Subject)
		}
	}
}
