package gateway

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// Local is the control of a gateway in the service's own process, or beside its database.
type Local struct {
	Engine *lifecycle.Engine
	Now    func() time.Time
	// Name tells gateways apart in the audit log; empty for the service's own.
	Name string
}

// Standing implements [Control].
func (l Local) Standing(ctx context.Context, tenant, arrangement string) (s lifecycle.Standing,
	identities []outbound.Identity, err error) {
	t, err := l.Engine.Store.Tenant(ctx, tenant)
	if err != nil {
		return s, nil, err
	}
	a, err := l.Engine.Store.Arrangement(ctx, t.ID, arrangement)
	if err != nil {
		return s, nil, err
	}
	if a.Authentication != tenancy.ClientCertificate {
		return lifecycle.Standing{Tenant: t, Arrangement: a}, nil, nil
	}
	if s, err = l.Engine.Standing(ctx, l.Engine.Store.Reader, t, a); err != nil {
		return s, nil, err
	}
	identities, err = prober.Identities(ctx, l.Engine, s)
	return s, identities, err
}

// Token implements [Control].
func (l Local) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	t, err := l.Engine.Store.TokenByHash(ctx, hash)
	if err == nil && !t.Valid(l.Now()) {
		err = tenancy.Errorf(tenancy.ErrNotFound, "this token is not valid any more")
	}
	return t, err
}

// Observe implements [Control].
func (l Local) Observe(ctx context.Context, arrangementID string, seen []lifecycle.Observation) error {
	_, err := l.Engine.Observe(ctx, arrangementID, strings.TrimSpace("gateway "+l.Name), seen, l.Now())
	return err
}

// Record implements [Control].
func (l Local) Record(ctx context.Context, messages []tenancy.Message) error {
	return l.Engine.Store.InTx(ctx, func(tx *store.Tx) error { return tx.AddMessages(ctx, messages) })
}

// parkedContext is what a parked message is sealed for.
func parkedContext(id string) string { return "parked/" + id }

// Park implements [Control].
func (l Local) Park(ctx context.Context, p tenancy.Parked, request []byte) (stored tenancy.Parked, err error) {
	digest := p.Digest
	sealed, err1 := l.Engine.Seal.Seal(request, parkedContext(p.ID))
	p.Digest, err = l.Engine.Seal.Seal(digest, digestContext(p.ID)) // of a short message it would tell the message
	if err = errors.Join(err1, err); err != nil {
		return p, err
	}
	err = l.Engine.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.Park(ctx, p, sealed)
		return err
	})
	if err != nil || stored.ID == p.ID || len(stored.Digest) == 0 {
		return stored, err
	}
	before, err := l.Engine.Seal.Open(stored.Digest, digestContext(stored.ID))
	if err == nil && !bytes.Equal(before, digest) {
		err = tenancy.Errorf(tenancy.ErrConflict, "this Idempotency-Key was used for another message: use a new one")
	}
	return stored, err
}

func digestContext(id string) string { return "parked-digest/" + id }

// Parked implements [Control].
func (l Local) Parked(ctx context.Context, arrangementID, id string) (tenancy.Parked, error) {
	return l.Engine.Store.Parked(ctx, arrangementID, id)
}

// DueParked implements [Control].
func (l Local) DueParked(ctx context.Context, now time.Time, limit int) ([]tenancy.Parked, error) {
	return l.Engine.Store.DueParked(ctx, now, limit)
}

// ParkedAddress implements [Control].
func (l Local) ParkedAddress(ctx context.Context, p tenancy.Parked) (tenant, arrangement string, timeout time.Duration,
	err error) {
	t, a, err := l.Engine.Store.OwnedArrangement(ctx, p.ArrangementID)
	return t.Name, a.Name, a.Egress.Timeout(), err
}

// ClaimParked implements [Control].
func (l Local) ClaimParked(ctx context.Context, p tenancy.Parked, until time.Time) (claimed bool, request []byte,
	err error) {
	err = l.Engine.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		if claimed, err = tx.ClaimParked(ctx, p, until); err == nil && claimed {
			request, err = tx.ParkedRequest(ctx, p.ID)
		}
		return err
	})
	if err == nil && claimed {
		request, err = l.Engine.Seal.Open(request, parkedContext(p.ID))
	}
	return claimed, request, err
}

// UpdateParked implements [Control].
func (l Local) UpdateParked(ctx context.Context, p tenancy.Parked) error {
	return l.Engine.Store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateParked(ctx, p) })
}

// OnChange implements [Control].
func (l Local) OnChange(listen func(tenantID string)) (stop func()) {
	return l.Engine.Store.OnChange(listen)
}
