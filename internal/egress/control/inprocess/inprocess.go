// Package inprocess is the control of a gateway that runs in the service's own process, or beside its database: it
// calls the engine directly. A gateway that runs elsewhere uses the client in package control instead.
package inprocess

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// Control implements [gateway.Control] on an engine.
type Control struct {
	Engine *lifecycle.Engine
	Now    func() time.Time
	// Name tells gateways apart in the audit log; empty for the service's own.
	Name string
}

// Standing implements [gateway.Control].
func (c Control) Standing(ctx context.Context, tenant, arrangement string) (s standing.Standing,
	identities []standing.Identity, err error) {
	t, err := c.Engine.Store.Tenant(ctx, tenant)
	if err != nil {
		return s, nil, err
	}
	a, err := c.Engine.Store.Arrangement(ctx, t.ID, arrangement)
	if err != nil {
		return s, nil, err
	}
	if a.Authentication != tenancy.ClientCertificate {
		return standing.Standing{Tenant: t, Arrangement: a}, nil, nil
	}
	if s, err = c.Engine.Standing(ctx, c.Engine.Store.Reader, t, a); err != nil {
		return s, nil, err
	}
	identities, err = c.Engine.Identities(ctx, s)
	return s, identities, err
}

// Token implements [gateway.Control].
func (c Control) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	t, err := c.Engine.Store.TokenByHash(ctx, hash)
	if err == nil && !t.Valid(c.Now()) {
		err = tenancy.Errorf(tenancy.ErrNotFound, "this token is not valid any more")
	}
	return t, err
}

// Observe implements [gateway.Control].
func (c Control) Observe(ctx context.Context, arrangementID string, seen []standing.Observation) error {
	_, err := c.Engine.Observe(ctx, arrangementID, strings.TrimSpace("gateway "+c.Name), seen, c.Now())
	return err
}

// Record implements [gateway.Control].
func (c Control) Record(ctx context.Context, messages []tenancy.Message) error {
	return c.Engine.Store.InTx(ctx, func(tx *store.Tx) error { return tx.AddMessages(ctx, messages) })
}

// parkedContext is what a parked message is sealed for.
func parkedContext(id string) string { return "parked/" + id }

// Park implements [gateway.Control].
func (c Control) Park(ctx context.Context, p tenancy.Parked, request []byte) (stored tenancy.Parked, err error) {
	digest := p.Digest
	sealed, err1 := c.Engine.Seal.Seal(request, parkedContext(p.ID))
	p.Digest, err = c.Engine.Seal.Seal(digest, digestContext(p.ID)) // of a short message it would tell the message
	if err = errors.Join(err1, err); err != nil {
		return p, err
	}
	err = c.Engine.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.Park(ctx, p, sealed)
		return err
	})
	if err != nil || stored.ID == p.ID || len(stored.Digest) == 0 {
		return stored, err
	}
	before, err := c.Engine.Seal.Open(stored.Digest, digestContext(stored.ID))
	if err == nil && !bytes.Equal(before, digest) {
		err = tenancy.Errorf(tenancy.ErrConflict, "this Idempotency-Key was used for another message: use a new one")
	}
	return stored, err
}

func digestContext(id string) string { return "parked-digest/" + id }

// Parked implements [gateway.Control].
func (c Control) Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error) {
	return c.Engine.Store.Parked(ctx, arrangementID, id)
}

// DueParked implements [gateway.Control].
func (c Control) DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	return c.Engine.Store.DueParked(ctx, now, limit)
}

// ParkedAddress implements [gateway.Control].
func (c Control) ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string,
	timeout time.Duration, err error) {
	t, a, err := c.Engine.Store.OwnedArrangement(ctx, p.ArrangementID)
	return t.Name, a.Name, a.Egress.Timeout(), err
}

// ClaimParked implements [gateway.Control].
func (c Control) ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte,
	err error) {
	err = c.Engine.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		if claimed, err = tx.ClaimParked(ctx, p, until); err == nil && claimed {
			request, err = tx.ParkedRequest(ctx, p.ID)
		}
		return err
	})
	if err == nil && claimed {
		request, err = c.Engine.Seal.Open(request, parkedContext(p.ID))
	}
	return claimed, request, err
}

// UpdateParked implements [gateway.Control].
func (c Control) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	return c.Engine.Store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateParked(ctx, p) })
}

// OnChange implements [gateway.Control].
func (c Control) OnChange(listen func(tenantID string)) (stop func()) {
	return c.Engine.Store.OnChange(listen)
}
