package store

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAuthoritiesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		authority := func(id string, kind tenancy.AuthorityKind, parent string, position int) tenancy.Authority {
			a := filled[tenancy.Authority](100 * position)
			a.ID, a.Kind, a.ParentID, a.Position, a.DER = id, kind, parent, position, []byte{4, 1, byte(position)}
			a.Above, a.CRL = nil, nil
			a.SignsFrom, a.RevokedAt, a.RevokedFor = now.Add(time.Hour), time.Time{}, ""
			must(t, r.AddAuthority(ctx, a))
			return a
		}
		root := authority("root", tenancy.RootAuthority, "", 1)
		one, two := authority(
			"one",
			tenancy.IssuingAuthority,
			"root",
			2,
		), authority(
			"two",
			tenancy.IssuingAuthority,
			"root",
			3,
		)
		if err := r.AddAuthority(ctx, one); !isKind(err, tenancy.ErrConflict) {
			t.Errorf("the same authority again: %v", err)
		}
		all, err := r.Authorities(ctx)
		r.same("all", err, all, []tenancy.Authority{root, one, two})
		chain, err := r.Chain(ctx, "one")
		r.same("a chain", err, chain, [][]byte{one.DER})
		chain, err = r.KnownChain(ctx, "one")
		r.same("a known chain", err, chain, [][]byte{one.DER})
		chain, err = r.TrustChain(ctx, "one")
		r.same("a chain with its root", err, chain, [][]byte{one.DER, root.DER})
		if chain, err := r.TrustChain(ctx, "unknown"); !isKind(err, tenancy.ErrNotFound) || chain != nil {
			t.Errorf("the chain of an unknown authority: %x, %v", chain, err)
		}
		for _, der := range [][]byte{bytes.Join([][]byte{{4, 1, 9}, {4, 1, 8}}, nil), {4, 1, 7}} { // the first stays
			r.write(func(ctx context.Context, tx *Tx) error { return tx.AddForeignIssuer(ctx, "elsewhere", der) })
		}
		chain, err = r.TrustChain(ctx, "elsewhere")
		r.same("a chain from elsewhere", err, chain, [][]byte{{4, 1, 9}, {4, 1, 8}})
		before := tenancy.Certificate{IssuerID: "one", DER: []byte{1}}
		for _, after := range []tenancy.Certificate{{IssuerID: "two", DER: []byte{2}}} {
			if changes, err := r.Changes(ctx, Chains{}, before, after); err == nil || changes != (tenancy.Changes{}) {
				t.Errorf("changes between bytes that cannot be certificates: %+v", changes)
			}
			r.reads(func(ctx context.Context, tx *Tx) error {
				_, err := tx.Changes(ctx, Chains{}, before, after)
				return err
			})
		}
		r.reads(func(ctx context.Context, tx *Tx) error {
			_, err := tx.TrustChain(ctx, "one")
			return err
		})

		signs := func(id string, at time.Time) error {
			return write(t, r.Store, func(ctx context.Context, tx *Tx) error { return tx.SignFrom(ctx, id, at) })
		}
		for at, want := range map[time.Time]error{one.SignsFrom: tenancy.ErrStale,
			one.SignsFrom.Add(time.Minute): tenancy.ErrStale} {
			if err := signs("one", at); !isKind(err, want) {
				t.Errorf("signing from %v: %v", at, err)
			}
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SignFrom(ctx, "one", now) })
		revoke := func(ctx context.Context, tx *Tx) error {
			return tx.RevokeAuthority(ctx, "one", "lost", now.Add(time.Second))
		}
		r.write(revoke)
		r.refused("revoking again", tenancy.ErrStale, revoke)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ResealAuthority(ctx, "one", []byte("new")) })
		one.SignsFrom, one.RevokedAt, one.RevokedFor, one.SealedKey = now, now.Add(time.Second), "lost", []byte("new")
		all, err = r.Authorities(ctx)
		r.same("changed", err, all, []tenancy.Authority{root, one, two})
	})
}

func TestARequestForAnAuthorityIsAnsweredOnce(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		request := tenancy.AuthorityRequest{ID: "ca", Position: 2, CSR: []byte("csr"), SealedKey: []byte("key"),
			CreatedAt: now}
		must(t, r.AddAuthorityRequest(ctx, request))
		other := request
		other.ID = "other"
		if err := r.AddAuthorityRequest(ctx, other); !isKind(err, tenancy.ErrConflict) {
			t.Errorf("another one for the position: %v", err)
		}
		all, err := r.AuthorityRequests(ctx)
		r.same("all", err, all, []tenancy.AuthorityRequest{request})
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.ResealAuthorityRequest(ctx, "ca", []byte("new"))
		})
		request.SealedKey = []byte("new")
		all, err = r.AuthorityRequests(ctx)
		r.same("sealed again", err, all, []tenancy.AuthorityRequest{request})

		root := tenancy.Authority{ID: "root", Kind: tenancy.RootAuthority, Position: 2, DER: []byte{4, 1, 1},
			NotBefore: now, NotAfter: now.AddDate(20, 0, 0)}
		made := tenancy.Authority{ID: "ca", Kind: tenancy.IssuingAuthority, Position: 2, ParentID: "root",
			DER: []byte{4, 1, 3}, Above: []byte{4, 1, 2}, SealedKey: []byte("new"), NotBefore: now,
			NotAfter: now.AddDate(9, 0, 0), SignsFrom: now.AddDate(0, 3, 0)}
		if err := r.InstallAuthority(ctx, "unknown", root, made); !isKind(err, tenancy.ErrStale) {
			t.Errorf("an answer to another request: %v", err)
		}
		taken := made // its root is at the same position, which two authorities of one kind may not share
		taken.ID, taken.Kind = "taken", tenancy.RootAuthority
		if err := r.InstallAuthority(ctx, "ca", root, taken); !isKind(err, tenancy.ErrConflict) {
			t.Errorf("two of one kind at a position: %v", err)
		}
		all, err = r.AuthorityRequests(ctx)
		r.same("not answered", err, all, []tenancy.AuthorityRequest{request})
		must(t, r.InstallAuthority(ctx, "ca", root, made))
		authorities, err := r.Authorities(ctx)
		r.same("authorities", err, authorities, []tenancy.Authority{root, made})
		all, err = r.AuthorityRequests(ctx)
		r.same("answered", err, all, []tenancy.AuthorityRequest(nil))
		if err := r.InstallAuthority(ctx, "ca", made); !isKind(err, tenancy.ErrStale) {
			t.Errorf("the same answer again: %v", err)
		}
		chain, err := r.TrustChain(ctx, "ca")
		r.same("the chain", err, chain, [][]byte{{4, 1, 3}, {4, 1, 2}, {4, 1, 1}})
	})
}

func TestTheKeyOfAnAuthorityCanBeAtAURI(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		sealed := tenancy.AuthorityRequest{ID: "sealed", Position: 2, CSR: []byte("csr"), SealedKey: []byte("key"),
			CreatedAt: now}
		named := tenancy.AuthorityRequest{ID: "named", Position: 2, CSR: []byte("other csr"), KeyURI: "test:key",
			CreatedAt: now}
		must(t, r.AddAuthorityRequest(ctx, sealed))
		must(t, r.ReplaceAuthorityRequest(ctx, "sealed", named))
		if err := r.ReplaceAuthorityRequest(ctx, "sealed", named); !isKind(err, tenancy.ErrStale) {
			t.Errorf("replacing a request that is gone: %v", err)
		}
		requests, err := r.AuthorityRequests(ctx)
		r.same("requests", err, requests, []tenancy.AuthorityRequest{named})
		a := tenancy.Authority{ID: "named", Kind: tenancy.IssuingAuthority, Position: 2, DER: []byte{4, 1, 3},
			KeyURI: "test:key", NotBefore: now, NotAfter: now.AddDate(9, 0, 0)}
		must(t, r.InstallAuthority(ctx, "named", a))
		authorities, err := r.Authorities(ctx)
		r.same("authorities", err, authorities, []tenancy.Authority{a})
	})
}

func TestTheKeyOfARootIsRemovedOnceAndRestoredAndThatOfAnIssuingCANever(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		root := tenancy.Authority{ID: "root", Kind: tenancy.RootAuthority, Position: 1, DER: []byte{4, 1, 1},
			SealedKey: []byte("key"), NotBefore: now, NotAfter: now.AddDate(20, 0, 0)}
		issuing := tenancy.Authority{ID: "one", Kind: tenancy.IssuingAuthority, Position: 1, ParentID: "root",
			DER: []byte{4, 1, 2}, SealedKey: []byte("another"), NotBefore: now, NotAfter: now.AddDate(9, 0, 0)}
		must(t, r.AddAuthority(ctx, root))
		must(t, r.AddAuthority(ctx, issuing))
		remove := func(id string) func(ctx context.Context, tx *Tx) error {
			return func(ctx context.Context, tx *Tx) error { return tx.RemoveAuthorityKey(ctx, id, []byte("list")) }
		}
		r.refused("of an issuing CA", tenancy.ErrStale, remove("one"))
		r.write(remove("root"))
		r.refused("again", tenancy.ErrStale, remove("root"))
		root.SealedKey, root.CRL = nil, []byte("list")
		all, err := r.Authorities(ctx)
		r.same("all", err, all, []tenancy.Authority{root, issuing})
		restore := func(id string) func(ctx context.Context, tx *Tx) error {
			return func(ctx context.Context, tx *Tx) error { return tx.RestoreAuthorityKey(ctx, id, []byte("again")) }
		}
		yours := tenancy.Authority{ID: "yours", Kind: tenancy.RootAuthority, Position: 2, DER: []byte{4, 1, 3},
			NotBefore: now, NotAfter: now.AddDate(20, 0, 0)}
		must(t, r.AddAuthority(ctx, yours))
		r.refused("of a root that was never here", tenancy.ErrStale, restore("yours"))
		r.write(restore("root"))
		r.refused("of a root whose key is here", tenancy.ErrStale, restore("root"))
		root.SealedKey, root.CRL = []byte("again"), nil
		all, err = r.Authorities(ctx)
		r.same("all again", err, all, []tenancy.Authority{root, yours, issuing})
	})
}

func TestCertificatesUnderARevokedAuthorityAreThoseThatCanBePresented(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		certificate := func(id, issuer string, generation int, state tenancy.State, notAfter time.Time) tenancy.Certificate {
			c := filled[tenancy.Certificate](100 * generation)
			c.ID, c.TenantID, c.Generation, c.State, c.IssuerID, c.NotAfter = id, a.ID, generation, state, issuer, notAfter
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c, SealedKey: []byte("key")}})
			})
			return c
		}
		later := now.AddDate(0, 1, 0)
		active, standby := certificate("c1", "ca", 1, tenancy.Active, later), certificate("c2", "ca", 2, tenancy.Standby,
			later)
		certificate("c3", "ca", 3, tenancy.Retired, later)
		certificate("c4", "ca", 4, tenancy.Active, now)
		certificate("c5", "other", 5, tenancy.Active, later)
		got, err := r.UnderRevoked(ctx, "ca", now, "", 10)
		r.same("all", err, got, []tenancy.Certificate{active, standby})
		got, err = r.UnderRevoked(ctx, "ca", now, "c1", 10)
		r.same("after the first", err, got, []tenancy.Certificate{standby})
		got, err = r.UnderRevoked(ctx, "ca", now, "", 1)
		r.same("the first", err, got, []tenancy.Certificate{active})
	})
}

func TestEvidenceOfTrustReadsBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		for id, authentication := range map[string]tenancy.Authentication{"x": tenancy.ClientCertificate,
			"y": tenancy.ClientCertificate, "z": tenancy.Basic} {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tenanttest.Arrangement(ctx, tx, tenancy.Arrangement{ID: id, TenantID: a.ID, Name: id,
					Authentication: authentication})
				return err
			})
		}
		trust := func(v ReceiverTrust) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.SetTrust(ctx, "ca", v) })
		}
		unknown := ReceiverTrust{ArrangementID: "y", Tenant: a.Name, Arrangement: "y"}
		x := ReceiverTrust{ArrangementID: "x", Tenant: a.Name, Arrangement: "x", Verdict: tenancy.Untrusted, At: now,
			Source: rollover.Probe, Detail: "unknown CA"}
		trust(x)
		got, err := r.TrustOf(ctx, "ca", "x")
		r.same("of an arrangement", err, got, x)
		got, err = r.TrustOf(ctx, "ca", "y")
		r.same("unknown", err, got, unknown)
		got, err = r.TrustOf(ctx, "other", "x")
		r.same("of another authority", err, got, ReceiverTrust{ArrangementID: "x", Tenant: a.Name, Arrangement: "x"})
		all, err := r.NotTrusting(ctx, "ca", "", 10)
		r.same("not trusting", err, all, []ReceiverTrust{x, unknown})
		all, err = r.NotTrusting(ctx, "ca", "x", 10)
		r.same("after the first", err, all, []ReceiverTrust{unknown})
		all, err = r.NotTrusting(ctx, "ca", "", 1)
		r.same("the first", err, all, []ReceiverTrust{x})
		x.Verdict, x.At, x.Source, x.Detail = tenancy.Trusted, now.Add(time.Hour), rollover.Traffic, "200"
		trust(x)
		got, err = r.TrustOf(ctx, "ca", "x")
		r.same("changed", err, got, x)
		all, err = r.NotTrusting(ctx, "ca", "", 10)
		r.same("those that are left", err, all, []ReceiverTrust{unknown})
	})
}

func TestNamesAreKeptOnceForEachTenant(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		for range 2 {
			r.write(func(ctx context.Context, tx *Tx) error {
				return errors.Join(tx.LockNames(ctx), tx.KeepNames(ctx, KeptName{"n1", a.ID}, KeptName{"n2", a.ID},
					KeptName{"n1", b.ID}, KeptName{"n3", b.ID}))
			})
		}
		owners, err := r.NameOwners(ctx, []string{"n1", "n2", "x"})
		r.same("owners", err, owners, []NameOwner{{"n1", a.Name}, {"n1", b.Name}, {"n2", a.Name}})
		owners, err = r.NameOwners(ctx, nil)
		r.same("owners of nothing", err, owners, []NameOwner(nil))
		named, err := r.TenantsNamed(ctx, []string{b.Name, "x"})
		r.same("tenants by name", err, named, map[string]tenancy.Tenant{b.Name: b})
	})
}
