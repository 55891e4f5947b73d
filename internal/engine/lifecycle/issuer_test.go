package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// remote stands for a CA elsewhere: it issues with a chain of two certificates, has no hierarchy here, and must be told
// what is revoked.
type remote struct {
	ca      issuer.Issuer
	above   [][]byte
	revoked []tenancy.Certificate
	broken  error // of a revocation
}

func (r *remote) Issue(ctx context.Context, q issuer.Request) (issuer.Issued, error) {
	issued, err := r.ca.Issue(ctx, q)
	issued.IssuerID, issued.Chain = "", append(slices.Clone(issued.Chain), r.above...)
	return issued, err
}

func (r *remote) Revoke(_ context.Context, c tenancy.Certificate) error {
	r.revoked = append(r.revoked, c)
	return r.broken
}

// atRemote gives the fixture a CA elsewhere, in a new engine.
func (f *fixture) atRemote(log *slog.Logger) *remote {
	f.t.Helper()
	r := &remote{ca: f.issuer, above: [][]byte{f.authorities.Plans(date("2026-01-15"))[0].DER}}
	engine, err := New(Config{Store: f.store, Issuer: issuer.Checked(r), Keys: f.keys, Seal: f.seal, Policy: f.policy,
		Outbox: f.mails, MailDomain: "p.example.com", Log: log})
	check(f.t, err)
	f.Engine = engine
	return r
}

func TestTheChainOfAnIssuerWithoutAHierarchyIsStoredAndPresented(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	authority := f.authorities.Signing(now)
	r := f.atRemote(slog.New(slog.DiscardHandler))
	acme := f.tenant("acme", now)
	first := f.newest(acme, tenancy.ForTenant)
	shown, err := f.Presentable(t.Context(), first)
	check(t, err)
	want := [][]byte{first.DER, authority.DER, r.above[0]}
	if !slices.EqualFunc(shown.Certificate, want, bytes.Equal) {
		t.Errorf("%d certificates are presented, want 3", len(shown.Certificate))
	}
	if _, ok := f.Signing(now); ok {
		t.Error("the issuer has a hierarchy")
	}
	if _, ok := f.Announced(now); ok {
		t.Error("the issuer has announced an authority")
	}
	check(t, f.Announce(t.Context(), now))
	err = f.SignFrom(t.Context(), "x", "test", now)
	if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "manages its authorities itself") {
		t.Errorf("%v", err)
	}
	f.atRemoteAgain(r) // a restart: the chain is stored already
	next, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", now)
	check(t, err)
	if next.IssuerID != first.IssuerID || next.IssuerID == "" {
		t.Errorf("one chain is stored as %q and %q", first.IssuerID, next.IssuerID)
	}
	if len(r.revoked) != 0 {
		t.Errorf("%d certificates are revoked", len(r.revoked))
	}
}

// atRemoteAgain makes a new engine on the same CA.
func (f *fixture) atRemoteAgain(r *remote) {
	f.t.Helper()
	engine, err := New(Config{Store: f.store, Issuer: r, Keys: f.keys, Seal: f.seal, Policy: f.policy,
		Outbox: f.mails, MailDomain: "p.example.com", Log: f.log})
	check(f.t, err)
	f.Engine = engine
}

func TestAnIssuerIsNotifiedOfRevocationsAndCannotBlockThem(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	var log bytes.Buffer
	r := f.atRemote(slog.New(slog.NewTextHandler(&log, nil)))
	acme := f.tenant("acme", now)
	for i, reason := range []string{Lost, Compromised} {
		old := f.newest(acme, tenancy.ForTenant)
		if i == 1 {
			r.broken = errors.New("the CA is down")
		}
		next, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, reason, "test", now)
		if err != nil || next.Generation != old.Generation+1 {
			t.Errorf("%s: generation %d, %v", reason, next.Generation, err)
		}
		got := r.revoked[len(r.revoked)-1]
		if len(r.revoked) != i+1 || got.Serial != old.Serial || got.RevokedFor != reason || !got.RevokedAt.Equal(now) ||
			got.State != tenancy.Revoked {
			t.Errorf("%s: %d are revoked at the CA, the last one is %+v", reason, len(r.revoked), got)
		}
		if logged := strings.Contains(log.String(), "revoke it there by its serial number") &&
			strings.Contains(log.String(), old.Serial); logged != (i == 1) {
			t.Errorf("%s: the log is %q", reason, &log)
		}
	}
}
