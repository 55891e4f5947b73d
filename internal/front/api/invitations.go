package api

import (
	"context"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

// invitationLifetime is the time in which an invited key user must have created an account.
const invitationLifetime = 14 * 24 * time.Hour

func registerInvitations(r *router) {
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/key-users/{user}/invitations",
		summary: "Create a token with which a key user can create an account. Its secret is shown once",
		status:  http.StatusCreated, access: members,
	}, (*server).invite)
}

// invite creates the token of a key user. A key user may only invite users without an account, because the token gives
// access in the name of the invited user.
func (s *server) invite(ctx context.Context, in *OneKeyUser) (*Created[client.Invitation], error) {
	t, u, err := s.keyUser(ctx, *in)
	if err != nil {
		return nil, err
	}
	if principal.Of(ctx).Role != tenancy.RoleOperator {
		has, err := s.store.HasAccount(ctx, u.ID)
		if err != nil {
			return nil, err
		}
		if has {
			return nil, tenancy.Errorf(tenancy.ErrRefused, "%s has an account already: ask an operator for another token",
				u.Name)
		}
	}
	now := s.now()
	token := tenancy.Token{ID: store.NewID(), Name: "invitation of " + u.Name, Role: tenancy.RoleKeyUser, TenantID: t.ID,
		Tenant: t.Name, KeyUserID: u.ID, KeyUser: u.Name, Origin: origin(ctx), CreatedAt: now,
		ExpiresAt: now.Add(invitationLifetime)}
	secret := NewSecret()
	err = s.change(ctx, "token.created", t.Name, token.ID,
		map[string]any{"name": token.Name, "role": token.Role, "user": u.Name},
		func(tx *store.Tx) error {
			if err := s.roomForInvitation(ctx, tx, u); err != nil {
				return err
			}
			return tx.CreateToken(ctx, token, tenancy.HashSecret(secret))
		})
	return &Created[client.Invitation]{Location: prefix + "/tokens/" + token.ID,
		Body: client.Invitation{User: u.Name, Token: secret, ExpiresAt: token.ExpiresAt, URL: s.baseURL + "/welcome"}}, err
}
