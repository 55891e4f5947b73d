package api

import (
	"context"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

// These limit what the key users of a tenant create, so that they cannot fill the database that all tenants share, or
// delay its runs. They are far above what a tenant needs. Operators and their imports are not limited.
const (
	mostReceivers    = 10_000
	mostArrangements = 10_000
	mostKeyUsers     = 1000
	mostProjects     = 100
	// mostLinks limits the valid links to the page of a receiver, and mostOldLinks those that are kept although they are
	// not valid any more.
	mostLinks, mostOldLinks = 20, 100
	// mostInvitations limits the valid tokens of a key user who is invited again and again.
	mostInvitations = 20
)

// room returns full if the caller is a key user and the maximum number of objects exists. count counts them, up to a
// limit. Concurrent requests may exceed the maximum by their number.
func room(ctx context.Context, most int, count func(limit int) (int, error), full error) error {
	if principal.Of(ctx).Role == tenancy.RoleOperator {
		return nil
	}
	n, err := count(most)
	if err != nil || n < most {
		return err
	}
	return full
}

func roomForReceiver(ctx context.Context, tx *store.Tx, t tenancy.Tenant) error {
	return room(ctx, mostReceivers, func(limit int) (int, error) { return tx.CountReceivers(ctx, t.ID, limit) },
		tenancy.Errorf(tenancy.ErrRefused, "%s already has %d receivers or more: delete one that is not needed, or ask an "+
			"operator to create it", t.Name, mostReceivers))
}

func roomForArrangement(ctx context.Context, tx *store.Tx, t tenancy.Tenant) error {
	return room(ctx, mostArrangements, func(limit int) (int, error) { return tx.CountArrangements(ctx, t.ID, limit) },
		tenancy.Errorf(tenancy.ErrRefused, "%s already has %d arrangements or more: delete one that is not needed, or ask "+
			"an operator to create it", t.Name, mostArrangements))
}

func roomForKeyUser(ctx context.Context, tx *store.Tx, t tenancy.Tenant) error {
	return room(ctx, mostKeyUsers, func(limit int) (int, error) { return tx.CountKeyUsers(ctx, t.ID, limit) },
		tenancy.Errorf(tenancy.ErrRefused, "%s already has %d key users or more: delete one that is not needed, or ask an "+
			"operator to create it", t.Name, mostKeyUsers))
}

func roomForProject(ctx context.Context, tx *store.Tx, t tenancy.Tenant) error {
	return room(ctx, mostProjects, func(limit int) (int, error) { return tx.CountScopingProjects(ctx, t.ID, limit) },
		tenancy.Errorf(tenancy.ErrRefused, "%s already has %d projects or more: use one of them, or ask an operator to "+
			"create it", t.Name, mostProjects))
}

// roomForLink also deletes the oldest links of the arrangement that are not valid any more.
func (s *server) roomForLink(ctx context.Context, tx *store.Tx, name, arrangementID string) error {
	now := s.now()
	err := room(ctx, mostLinks, func(limit int) (int, error) { return tx.CountLinks(ctx, arrangementID, now, limit) },
		tenancy.Errorf(tenancy.ErrRefused, "the arrangement %s already has %d valid links or more: revoke one that is not "+
			"needed", name, mostLinks))
	if err != nil {
		return err
	}
	return tx.ForgetLinks(ctx, arrangementID, mostOldLinks, now)
}

func (s *server) roomForInvitation(ctx context.Context, tx *store.Tx, u tenancy.KeyUser) error {
	return room(ctx, mostInvitations, func(limit int) (int, error) { return tx.CountTokensOf(ctx, u, s.now(), limit) },
		tenancy.Errorf(tenancy.ErrRefused, "%s already has %d valid tokens or more: use the latest invitation, or ask an "+
			"operator to revoke the others", u.Name, mostInvitations))
}
