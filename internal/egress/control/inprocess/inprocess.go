// Package inprocess is the control of a gateway that runs in the service's own process, or uses its database: it calls
// the engine directly. A gateway that runs elsewhere uses the client in package control instead.
package inprocess

import (
	"context"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Control implements [gateway.Control] on the roll-overs of a database. Messages and parked messages are the methods
// of [rollovers.Rollovers].
type Control struct {
	*rollovers.Rollovers
	Now func() time.Time
	// Quota limits the messages that wait for the receivers of one tenant.
	Quota tenancy.ParkedQuota
	// Name distinguishes gateways in the audit log; empty for the service's own.
	Name string
}

// Standing implements [gateway.Control].
func (c Control) Standing(ctx context.Context, tenant, arrangement string) (s standing.Standing,
	identities []standing.Identity, err error) {
	if s, err = c.Rollovers.Named(ctx, tenant, arrangement); err != nil {
		return s, nil, err
	}
	identities, err = c.Rollovers.Identities(ctx, s)
	return s, identities, err
}

// Token implements [gateway.Control].
func (c Control) Token(ctx context.Context, hash string) (tenancy.Token, error) {
	return c.Rollovers.Token(ctx, hash, c.Now())
}

// Observe implements [gateway.Control].
func (c Control) Observe(ctx context.Context, arrangementID string, seen []standing.Observation) error {
	_, err := c.Rollovers.Observe(ctx, arrangementID, strings.TrimSpace("gateway "+c.Name), seen, c.Now())
	return err
}

// Park implements [gateway.Control].
func (c Control) Park(ctx context.Context, p tenancy.Parked, request []byte) (tenancy.Parked, error) {
	return c.Rollovers.Park(ctx, p, request, c.Quota)
}

// ReserveParked implements [gateway.Control].
func (c Control) ReserveParked(ctx context.Context, p tenancy.Parked) (tenancy.Parked, error) {
	return c.Rollovers.ReserveParked(ctx, p, c.Quota, c.Now())
}

// AddParkedChunk implements [gateway.Control].
func (c Control) AddParkedChunk(ctx context.Context, p tenancy.Parked, part tenancy.ParkedPart) error {
	return c.Rollovers.AddParkedChunk(ctx, p, part, c.Quota, c.Now())
}
