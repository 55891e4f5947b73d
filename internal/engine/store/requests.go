package store

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const requestColumns = "id, tenant_id, purpose, generation, issuer, key_type, handle, ask_at, last_error, " +
	"actor, reason, run_date, created_at"

func scanRequest(s row) (q tenancy.Request, err error) {
	err = s.Scan(&q.ID, &q.TenantID, &q.Purpose, &q.Generation, &q.Issuer, &q.KeyType, &q.Handle, instant{&q.AskAt},
		&q.LastError, &q.Actor, &q.Reason, instant{&q.RunDate}, instant{&q.CreatedAt})
	return q, err
}

// AddRequest stores a request before it is sent. It returns [tenancy.ErrConflict] if there is one for the generation.
func (t *Tx) AddRequest(ctx context.Context, q tenancy.Request, key Key) error {
	if err := t.useRequestKey(ctx, key); err != nil {
		return err
	}
	_, err := t.exec(ctx, "INSERT INTO requests ("+requestColumns+", sealed_key, key_uri, public_key) VALUES (?, ?, ?, "+
		"?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", q.ID, q.TenantID, q.Purpose, q.Generation, q.Issuer, q.KeyType, q.Handle,
		micros(q.AskAt), q.LastError, q.Actor, q.Reason, micros(q.RunDate), micros(q.CreatedAt), bytesOf(key.Sealed), key.URI,
		base64.StdEncoding.EncodeToString(key.PKIX))
	return err
}

// useRequestKey removes the key of a request from those that must be destroyed, if it is in a token.
func (t *Tx) useRequestKey(ctx context.Context, key Key) error {
	if key.URI == "" {
		return nil
	}
	return t.useTokenKeys(ctx, key.URI)
}

// Request finds an open request of a tenant.
func (r Reader) Request(ctx context.Context, tenantID, id string) (tenancy.Request, error) {
	return one(ctx, r, "request "+id, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE tenant_id = ? AND "+
		"id = ?", tenantID, id)
}

// RequestsOf reads the open requests of tenants, by tenant ID, the oldest first.
func (r Reader) RequestsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Request, error) {
	return groupBy(ctx, r, scanRequest, func(q tenancy.Request) string { return q.TenantID },
		"SELECT "+requestColumns+" FROM requests WHERE tenant_id ", tenantIDs, " ORDER BY id")
}

var requestListing = listing[tenancy.Request]{
	query: "SELECT " + requestColumns + " FROM requests WHERE ",
	scan:  scanRequest,
	id:    "id", idOf: func(q tenancy.Request) string { return q.ID },
	texts: []string{"purpose", "issuer", "last_error", tenantName("requests.tenant_id")},
	ids:   "SELECT id FROM requests WHERE ",
}

// Requests returns a page of the open requests of all tenants. A text is looked for in tenant, credential, issuer and
// error.
func (r Reader) Requests(ctx context.Context, p Page) ([]tenancy.Request, Place, error) {
	return requestListing.read(ctx, r, p, "id <> ''")
}

// DueRequests lists the requests whose CA must be asked at now, after the given ID.
func (r Reader) DueRequests(ctx context.Context, now time.Time, after string, limit int) ([]tenancy.Request, error) {
	return list(ctx, r, scanRequest, "SELECT "+requestColumns+" FROM requests WHERE ask_at <= ? AND id > ? ORDER BY id "+
		"LIMIT ?", micros(now), after, limit)
}

// RequestKey returns the private key of a request.
func (r Reader) RequestKey(ctx context.Context, id string) (Key, error) {
	k, err := one(ctx, r, "request "+id, func(s row) (k Key, err error) {
		public := ""
		if err = s.Scan(&k.Sealed, &k.URI, &public); err == nil && public != "" {
			k.PKIX, err = base64.StdEncoding.DecodeString(public)
		}
		return k, err
	}, "SELECT sealed_key, key_uri, public_key FROM requests WHERE id = ?", id)
	if k.URI != "" {
		k.Sealed = nil // the engines differ in what they return for no bytes
	}
	return k, err
}

// UpdateRequest stores the state of a request. It returns [tenancy.ErrStale] if the request has ended.
func (t *Tx) UpdateRequest(ctx context.Context, q tenancy.Request) error {
	return t.execOne(ctx, "UPDATE requests SET handle = ?, ask_at = ?, last_error = ? WHERE id = ?", q.Handle,
		micros(q.AskAt), q.LastError, q.ID)
}

// RestartRequest stores that a request is sent again, with another key. It returns [tenancy.ErrStale] if it has ended.
func (t *Tx) RestartRequest(ctx context.Context, q tenancy.Request, key Key) error {
	if err := t.doomRequestKeys(ctx, "id = ?", q.ID); err != nil {
		return err
	}
	if err := t.useRequestKey(ctx, key); err != nil {
		return err
	}
	return t.execOne(ctx, "UPDATE requests SET handle = ?, ask_at = ?, last_error = ?, created_at = ?, sealed_key = ?, "+
		"key_uri = ?, public_key = ? WHERE id = ?", q.Handle, micros(q.AskAt), q.LastError, micros(q.CreatedAt),
		bytesOf(key.Sealed), key.URI, base64.StdEncoding.EncodeToString(key.PKIX), q.ID)
}

// EndRequest deletes a request with its key. A key in a token must be destroyed when it is due, unless a certificate is
// stored with it before. It returns [tenancy.ErrStale] if the request has ended already.
func (t *Tx) EndRequest(ctx context.Context, id string, keyDue time.Time) error {
	if err := t.releaseRequestKey(ctx, id, keyDue); err != nil {
		return err
	}
	return t.execOne(ctx, "DELETE FROM requests WHERE id = ?", id)
}

// SealedRequestKeys lists the sealed keys of open requests, by ID.
func (r Reader) SealedRequestKeys(ctx context.Context, after string, limit int) ([]Sealed, error) {
	return list(ctx, r, scanSealed, "SELECT id, sealed_key FROM requests WHERE key_uri = '' AND id > ? ORDER BY id "+
		"LIMIT ?", after, limit)
}

var resealRequests = resealing("requests")

// ResealRequests replaces the sealed keys of requests. A key that has been changed in the meantime stays as it is.
func (t *Tx) ResealRequests(ctx context.Context, before, after []Sealed) error {
	return t.reseal(ctx, resealRequests, before, after)
}
