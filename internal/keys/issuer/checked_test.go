package issuer_test

import (
	"context"
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

// A liar asks its CA for something else, or says something else of the answer.
type liar struct {
	issuer.Issuer
	asks func(*issuer.Request)
	says func(*issuer.Issued)
}

func (l liar) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	if l.asks != nil {
		l.asks(&r)
	}
	issued, err := l.Issuer.Issue(ctx, r)
	if err == nil && l.says != nil {
		l.says(&issued)
	}
	return issued, err
}

func TestOnlyWhatWasAskedForIsTakenFromACA(t *testing.T) {
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
	}
	other := key()
	for says, l := range map[string]liar{
		"it is of another key": {asks: func(r *issuer.Request) { r.Key = other }},
		"it names CN=zeta,OU=M-users,O=P, and not the tenant acme": {asks: func(r *issuer.Request) { r.Tenant = "zeta" }},
		"it names CN=acme,OU=Tenants,O=P, and not the tenant acme": {asks: func(r *issuer.Request) { r.Purpose = tenancy.ForTenant }},
		"which is not what the CA says":                            {says: func(i *issuer.Issued) { i.NotAfter = i.NotAfter.AddDate(1, 0, 0) }},
		"x509: malformed certificate":                              {says: func(i *issuer.Issued) { i.DER = i.DER[:100] }},
		"which is not what the CA says: ":                          {says: func(i *issuer.Issued) { i.Serial = "00" }},
	} {
		l.Issuer = ca
		if _, err := issuer.Checked(l).Issue(t.Context(), request); err == nil ||
			!strings.Contains(err.Error(), strings.TrimSuffix(says, ": ")) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
