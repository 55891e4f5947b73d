package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// credential returns settings in which every field has a value of its own.
func credential(tenantID string, name tenancy.Purpose, n int) tenancy.Credential {
	c := filled[tenancy.Credential](n)
	c.TenantID, c.Name, c.Version = tenantID, name, 1
	return c
}

func TestCredentialsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		bank, shop, other := credential("a", "bank", 300), credential("a", "shop", 400), credential("b", "bank", 500)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateCredentials(ctx, shop, bank, other) })
		r.refused("the same name again", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateCredentials(ctx, bank)
		})
		got, err := r.Credential(ctx, "a", "bank")
		r.same("by name", err, got, bank)
		if _, err := r.Credential(ctx, "b", "shop"); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("that of another tenant: %v", err)
		}
		of, err := r.CredentialsOf(ctx, []string{"a", "b"})
		r.same("of both", err, of, map[string][]tenancy.Credential{"a": {bank, shop}, "b": {other}})
		of, err = r.CredentialsOf(ctx, []string{"b"})
		r.same("of one", err, of, map[string][]tenancy.Credential{"b": {other}})
		of, err = r.CredentialsOf(ctx, nil)
		r.same("of no tenant", err, of, map[string][]tenancy.Credential{})

		changed := credential("a", "bank", 600)
		changed.CreatedAt = bank.CreatedAt
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateCredential(ctx, changed) })
		r.refused("a change of an earlier version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.UpdateCredential(ctx, changed)
		})
		changed.Version = 2
		got, err = r.Credential(ctx, "a", "bank")
		r.same("changed", err, got, changed)
		got, err = r.Credential(ctx, "b", "bank")
		r.same("that of another tenant", err, got, other)
	})
}

func TestCredentialsWithoutACertificateAndARequestAreListed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		bank, shop, other := credential("a", "bank", 300), credential("a", "shop", 400), credential("b", "bank", 500)
		other.Issuer = bank.Issuer
		request := filled[tenancy.Request](600)
		request.ID, request.TenantID, request.Purpose, request.Issuer = "r1", "a", "shop", bank.Issuer
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.CreateCredentials(ctx, other, shop, bank),
				tx.AddRequest(ctx, request, Key{Sealed: []byte("key")}))
		})
		empty, err := r.EmptyCredentials(ctx, 10)
		r.same("with a request for one", err, empty, []tenancy.Credential{bank, other})
		empty, err = r.EmptyCredentials(ctx, 1)
		r.same("the first", err, empty, []tenancy.Credential{bank})
		credentials, requests, err := r.CountByIssuer(ctx)
		r.same("credentials by issuer", err, credentials, map[string]int{bank.Issuer: 2, shop.Issuer: 1})
		r.same("requests by issuer", err, requests, map[string]int{bank.Issuer: 1})
		c := filled[tenancy.Certificate](700)
		c.ID, c.TenantID, c.Purpose, c.NotAfter = "c1", "a", "bank", now
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.AddCertificates(ctx, []SealedCertificate{{Certificate: c, SealedKey: []byte("key")}}),
				tx.EndRequest(ctx, "r1", now))
		})
		empty, err = r.EmptyCredentials(ctx, 10)
		r.same("with a certificate for one", err, empty, []tenancy.Credential{shop, other})
	})
}

func TestRequestsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		request := func(id, tenantID string, n int, askAt time.Time) tenancy.Request {
			q := filled[tenancy.Request](n)
			q.ID, q.TenantID, q.AskAt = id, tenantID, askAt
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.AddRequest(ctx, q, Key{Sealed: []byte("key of " + id)})
			})
			return q
		}
		one, two := request("r1", "a", 300, now), request("r2", "a", 400, now.Add(time.Microsecond))
		three := request("r3", "b", 500, now.Add(-time.Hour))
		again := one
		again.ID = "r4"
		r.refused("another one for the generation", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.AddRequest(ctx, again, Key{Sealed: []byte("key")})
		})
		got, err := r.Request(ctx, "a", "r1")
		r.same("by ID", err, got, one)
		if _, err := r.Request(ctx, "b", "r1"); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("that of another tenant: %v", err)
		}
		of, err := r.RequestsOf(ctx, []string{"a", "b"})
		r.same("of both", err, of, map[string][]tenancy.Request{"a": {one, two}, "b": {three}})
		all, _, err := r.Requests(ctx, Page{After: Place{ID: "r1"}, Limit: 10})
		r.same("after the first", err, all, []tenancy.Request{two, three})
		all, _, err = r.Requests(ctx, Page{Limit: 2})
		r.same("the first two", err, all, []tenancy.Request{one, two})
		all, err = r.DueRequests(ctx, now, "", 10)
		r.same("due", err, all, []tenancy.Request{one, three})
		all, err = r.DueRequests(ctx, now, "r1", 10)
		r.same("due after the first", err, all, []tenancy.Request{three})
		all, err = r.DueRequests(ctx, now, "", 1)
		r.same("the first due one", err, all, []tenancy.Request{one})
		key, err := r.RequestKey(ctx, "r2")
		r.same("the key", err, key, Key{Sealed: []byte("key of r2")})
		sealed, err := r.SealedRequestKeys(ctx, "r1", 1)
		r.same("keys", err, sealed, []Sealed{{"r2", []byte("key of r2")}})
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.ResealRequests(ctx, []Sealed{{"r1", []byte("key of r1")}, {"r2", []byte("stale")}},
				[]Sealed{{"r1", []byte("new")}, {"r2", []byte("new")}})
		})
		sealed, err = r.SealedRequestKeys(ctx, "", 10)
		r.same("sealed again", err, sealed, []Sealed{{"r1", []byte("new")}, {"r2", []byte("key of r2")},
			{"r3", []byte("key of r3")}})
	})
}

func TestARequestThatHasEndedIsNotChanged(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		r.tenants()
		q := filled[tenancy.Request](300)
		q.ID, q.TenantID = "r1", "a"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddRequest(ctx, q, Key{Sealed: []byte("key")}) })
		q.Handle, q.AskAt, q.LastError = "order 7", now.Add(time.Hour), "busy"
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateRequest(ctx, q) })
		got, err := r.Request(ctx, "a", "r1")
		r.same("changed", err, got, q)
		q.Handle, q.AskAt, q.LastError, q.CreatedAt = "", now.Add(2*time.Hour), "rejected", now.Add(time.Minute)
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.RestartRequest(ctx, q, Key{Sealed: []byte("another key")})
		})
		got, err = r.Request(ctx, "a", "r1")
		r.same("sent again", err, got, q)
		key, err := r.RequestKey(ctx, "r1")
		r.same("the key", err, key, Key{Sealed: []byte("another key")})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.EndRequest(ctx, "r1", now) })
		for what, change := range map[string]func(ctx context.Context, tx *Tx) error{
			"a change":    func(ctx context.Context, tx *Tx) error { return tx.UpdateRequest(ctx, q) },
			"a new start": func(ctx context.Context, tx *Tx) error { return tx.RestartRequest(ctx, q, Key{Sealed: []byte{1}}) },
			"another end": func(ctx context.Context, tx *Tx) error { return tx.EndRequest(ctx, "r1", now) },
		} {
			r.refused(what, tenancy.ErrStale, change)
		}
		if _, err := r.RequestKey(ctx, "r1"); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("its key: %v", err)
		}
	})
}

// Claims of these kinds began with the table, so that no earlier release makes them in the settings.
func TestClaimsThatEarlierReleasesDoNotMakeAreInTheirTableAlone(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		claim := func(kind ClaimKind, subject string, at time.Time) (first bool) {
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				first, err = tx.Claim(ctx, kind, subject, at)
				return err
			})
			return first
		}
		for _, kind := range []ClaimKind{ClaimHead, ClaimTokenEnd, ClaimAuthorityAwaited, ClaimHeld} {
			if !claim(kind, "s", now) || claim(kind, "s", now) || !claim(kind, "later", now.Add(time.Microsecond)) {
				t.Errorf("%s: not each subject is claimed once", kind)
			}
		}
		for at, want := range map[time.Time]int{now.Add(-time.Second): 2, now: 1, now.Add(time.Microsecond): 0} {
			n, err := r.CountHeld(ctx, at)
			r.same("held at "+at.String(), err, n, want)
		}
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.PruneClaims(ctx, ClaimHead, now.Add(time.Microsecond))
		})
		for _, c := range []struct {
			kind    ClaimKind
			subject string
			want    bool
		}{{ClaimHead, "s", false}, {ClaimHead, "later", true}, {ClaimHeld, "s", true}} {
			kept, err := r.Claimed(ctx, c.kind, c.subject)
			r.same("the claim of "+c.subject, err, kept, c.want)
		}
		settings, err := one(ctx, r.Reader, "count", scanOne[int], "SELECT COUNT(*) FROM settings WHERE name <> '"+
			oldestProgramSetting+"'")
		r.same("settings", err, settings, 0)
	})
}
