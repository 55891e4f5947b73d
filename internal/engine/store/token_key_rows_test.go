package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// made records a key that is made in a token.
func (r rows) made(uris ...string) {
	r.t.Helper()
	for _, uri := range uris {
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddTokenKey(ctx, uri, now.Add(time.Hour)) })
	}
}

// wantDoomed fails unless exactly these keys are to be destroyed at now.
func (r rows) wantDoomed(what string, want ...string) {
	r.t.Helper()
	all, err := r.DoomedTokenKeys(r.t.Context(), now, "", 100)
	must(r.t, err)
	var got []string
	for _, k := range all {
		got = append(got, k.URI)
	}
	n, err := r.CountDoomedTokenKeys(r.t.Context())
	must(r.t, err)
	if !slices.Equal(got, want) || n != len(want) {
		r.t.Errorf("%s: %q are to be destroyed, want %q (count %d)", what, got, want, n)
	}
}

// inToken stores a certificate with a key in a token.
func (r rows) inToken(id string, generation int) tenancy.Certificate {
	r.t.Helper()
	c := filled[tenancy.Certificate](1000 * generation)
	c.ID, c.TenantID, c.Purpose, c.Generation, c.State = id, "a", tenancy.ForTenant, generation, tenancy.Active
	c.SuccessorID, c.NotAfter = "", now.AddDate(0, generation, 0)
	r.made("t:" + id)
	r.write(func(ctx context.Context, tx *Tx) error {
		return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c, KeyURI: "t:" + id}})
	})
	return c
}

func TestAKeyInATokenIsInOnePlaceFromBeforeItIsMadeUntilItIsDestroyed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		c1, c2, c3, c4 := r.inToken("c1", 1), r.inToken("c2", 2), r.inToken("c3", 3), r.inToken("c4", 4)
		key, err := r.KeyOf(ctx, "c1")
		r.same("the key", err, key, Key{URI: "t:c1"})
		sealed, err := r.SealedKeys(ctx, "", 10)
		r.same("no key is sealed", err, sealed, []Sealed(nil))
		r.wantDoomed("in use")

		c1.SuccessorID, c1.State = "c2", tenancy.Retired
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Succeed(ctx, []tenancy.Certificate{c1}) })
		r.wantDoomed("retired with its renewal", "t:c1")
		c2.SuccessorID, c3.SuccessorID = "c3", "c4"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Succeed(ctx, []tenancy.Certificate{c2, c3}) })
		r.wantDoomed("renewed", "t:c1")
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Retire(ctx, "c2") })
		r.wantDoomed("retired", "t:c1", "t:c2")
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.DestroyOldKeys(ctx, c3.NotAfter.Add(time.Hour))
			return err
		})
		r.wantDoomed("expired", "t:c1", "t:c2", "t:c3")
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Revoke(ctx, "c4", "lost", now) })
		r.wantDoomed("revoked", "t:c1", "t:c2", "t:c3", "t:c4")
		for _, c := range []tenancy.Certificate{c1, c2, c3, c4} {
			key, err := r.KeyOf(ctx, c.ID)
			r.same("destroyed", err, key, Key{})
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RemoveTokenKey(ctx, "t:c2") })
		r.refused("removing it again", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.RemoveTokenKey(ctx, "t:c2")
		})
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.PostponeTokenKey(ctx, "t:c1", "away", now.Add(time.Hour))
		})
		due, err := r.DoomedTokenKeys(ctx, now, "", 1)
		r.same("without the postponed one", err, due, []TokenKey{{URI: "t:c3"}})
		due, err = r.DoomedTokenKeys(ctx, now.Add(time.Hour), "", 1)
		r.same("with it", err, due, []TokenKey{{URI: "t:c1", LastError: "away"}})
		due, err = r.DoomedTokenKeys(ctx, now.Add(time.Hour), "t:c3", 10)
		r.same("after one", err, due, []TokenKey{{URI: "t:c4"}})
	})
}

func TestAKeyInATokenThatNoCertificateGotIsDestroyedWhenItIsDue(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		r.made("t:lost")
		doom := func(at time.Time) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.DoomTokenKeys(ctx, at) })
		}
		doom(now)
		due, err := r.HasTokenKeysDue(ctx, now)
		r.same("being made", err, due, false)
		r.wantDoomed("being made")
		due, err = r.HasTokenKeysDue(ctx, now.Add(time.Hour))
		r.same("due", err, due, true)
		doom(now.Add(time.Hour))
		all, err := r.DoomedTokenKeys(ctx, now.Add(time.Hour), "", 10)
		r.same("due", err, all, []TokenKey{{URI: "t:lost"}})
		late := filled[tenancy.Certificate](300)
		late.TenantID = "a"
		r.refused("a certificate that comes too late", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: late, KeyURI: "t:lost"}})
		})
	})
}

func TestTheKeyInATokenOfARequestIsNotForgotten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		q := filled[tenancy.Request](300)
		q.ID, q.TenantID = "r1", "a"
		r.made("t:r1", "t:r1.2")
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.AddRequest(ctx, q, Key{URI: "t:r1", PKIX: []byte("public")})
		})
		key, err := r.RequestKey(ctx, "r1")
		r.same("the key", err, key, Key{URI: "t:r1", PKIX: []byte("public")})
		sealed, err := r.SealedRequestKeys(ctx, "", 10)
		r.same("no key is sealed", err, sealed, []Sealed(nil))
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.RestartRequest(ctx, q, Key{URI: "t:r1.2", PKIX: []byte("other")})
		})
		r.wantDoomed("sent again with another key", "t:r1")
		key, err = r.RequestKey(ctx, "r1")
		r.same("the other key", err, key, Key{URI: "t:r1.2", PKIX: []byte("other")})

		c := filled[tenancy.Certificate](400)
		c.ID, c.TenantID, c.SuccessorID = "r1", "a", ""
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.EndRequest(ctx, "r1", now.Add(time.Hour)); err != nil {
				return err
			}
			return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c, KeyURI: "t:r1.2"}})
		})
		key, err = r.KeyOf(ctx, "r1")
		r.same("the certificate has the key", err, key, Key{URI: "t:r1.2"})

		r.made("t:r2", "t:r3")
		q.ID, q.Generation = "r2", 2
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddRequest(ctx, q, Key{URI: "t:r2"}) })
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndRequest(ctx, "r2", now.Add(time.Hour)) })
		r.wantDoomed("until it is due", "t:r1")
		due, err := r.HasTokenKeysDue(ctx, now.Add(time.Hour))
		r.same("the key of a request that was refused is due", err, due, true)
		q.ID, q.Generation = "r3", 3
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddRequest(ctx, q, Key{URI: "t:r3"}) })
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EraseTenant(ctx, "a") })
		r.wantDoomed("the tenant is erased", "t:r1", "t:r1.2", "t:r3")
	})
}
