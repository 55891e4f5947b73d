package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

func scanAuthorityRequest(s row) (r tenancy.AuthorityRequest, err error) {
	err = s.Scan(&r.ID, &r.Position, &r.CSR, &r.SealedKey, &r.KeyURI, instant{&r.CreatedAt})
	if len(r.SealedKey) == 0 { // the engines differ in what they return for no bytes
		r.SealedKey = nil
	}
	return r, err
}

// AuthorityRequests lists the requests that a root elsewhere must sign, oldest first.
func (r Reader) AuthorityRequests(ctx context.Context) ([]tenancy.AuthorityRequest, error) {
	return list(ctx, r, scanAuthorityRequest, "SELECT id, position, csr, sealed_key, key_uri, created_at FROM "+
		"authority_requests ORDER BY position")
}

// AddAuthorityRequest stores a request. It returns [tenancy.ErrConflict] if there is one for its position.
func (s *Store) AddAuthorityRequest(ctx context.Context, r tenancy.AuthorityRequest) error {
	return s.InTx(ctx, func(t *Tx) error { return t.addAuthorityRequest(ctx, r) })
}

func (t *Tx) addAuthorityRequest(ctx context.Context, r tenancy.AuthorityRequest) error {
	_, err := t.exec(ctx, "INSERT INTO authority_requests (id, position, csr, sealed_key, key_uri, created_at) VALUES "+
		"(?, ?, ?, ?, ?, ?)", r.ID, r.Position, r.CSR, bytesOf(r.SealedKey), r.KeyURI, micros(r.CreatedAt))
	return err
}

// ReplaceAuthorityRequest deletes a request and stores another one. It returns [tenancy.ErrStale] if the request to
// delete does not exist, for example because it was answered.
func (s *Store) ReplaceAuthorityRequest(ctx context.Context, formerID string, r tenancy.AuthorityRequest) error {
	return s.InTx(ctx, func(t *Tx) error {
		if err := t.execOne(ctx, "DELETE FROM authority_requests WHERE id = ?", formerID); err != nil {
			return err
		}
		return t.addAuthorityRequest(ctx, r)
	})
}

// InstallAuthority stores the authorities that answer a request, one of them under the ID of the request, and deletes
// the request. It returns [tenancy.ErrConflict] if a position is taken, and [tenancy.ErrStale] if the request does not
// exist.
func (s *Store) InstallAuthority(ctx context.Context, requestID string, all ...tenancy.Authority) error {
	return s.InTx(ctx, func(t *Tx) error {
		if err := t.execOne(ctx, "DELETE FROM authority_requests WHERE id = ?", requestID); err != nil {
			return err
		}
		for _, a := range all {
			if err := t.addAuthority(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// ResealAuthorityRequest replaces the sealed key of a request.
func (t *Tx) ResealAuthorityRequest(ctx context.Context, id string, sealed []byte) error {
	return t.execOne(ctx, "UPDATE authority_requests SET sealed_key = ? WHERE id = ?", sealed, id)
}
