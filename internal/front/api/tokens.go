package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerTokens(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tokens", summary: "List tokens, without their secrets", access: operators,
	}, (*server).listTokens)
	register(r, endpoint{
		method: http.MethodPost, path: "/tokens", summary: "Create a token. Its secret is shown once",
		status: http.StatusCreated, access: operators,
	}, (*server).createToken)
	register(r, endpoint{
		method: http.MethodGet, path: "/tokens/{token}", summary: "Get a token, without its secret", access: operators,
	}, (*server).getToken)
	register(r, endpoint{
		method: http.MethodDelete, path: "/tokens/{token}",
		summary: "Revoke a token. With created=end, also end everything created with it", status: http.StatusNoContent,
		access: operators,
	}, (*server).revokeToken)
	register(r, endpoint{
		method: http.MethodGet, path: "/tokens/{token}/created",
		summary: "List the accounts and tokens that were created with a token and are still valid", access: operators,
	}, (*server).listCreated)
	register(r, endpoint{
		method: http.MethodPost, path: "/tokens/{token}/rotate",
		summary: "Create a successor of a token. Both are valid for a while. The new secret is shown once",
		status:  http.StatusCreated, access: operators,
	}, (*server).rotateToken)
}

func (s *server) listTokens(ctx context.Context, in *struct {
	Begun
	Tenant string `query:"tenant" maxLength:"63" doc:"Only tokens for this tenant."`
	Sort   string `query:"sort" enum:"created,-created,name,-name,expires,-expires" doc:"Order: by creation, name or expiry. A minus sign reverses it."`
}) (*List[client.Token], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	var t tenancy.Tenant
	if in.Tenant != "" {
		if t, err = s.store.Tenant(ctx, in.Tenant); err != nil {
			return nil, err
		}
	}
	rows, next, err := s.store.Tokens(ctx, t.ID, page)
	return listed(rows, next, in.Sort, viewToken), err
}

func (s *server) getToken(ctx context.Context, in *OneToken) (*Entity[client.Token], error) {
	t, err := s.store.Token(ctx, in.ID)
	return &Entity[client.Token]{Body: viewToken(t)}, err
}

func (s *server) createToken(ctx context.Context, in *struct{ Body client.Token }) (*Created[client.Token], error) {
	now := s.now()
	t := tenancy.Token{ID: store.NewID(), Name: in.Body.Name, Role: in.Body.Role, Tenant: in.Body.Tenant,
		KeyUser: in.Body.User, Origin: origin(ctx), CreatedAt: now, ExpiresAt: in.Body.ExpiresAt}
	secret := NewSecret()
	hash := tenancy.HashSecret(secret)
	if w := in.Body.Workload; w != nil {
		if err := s.bind(&t, *w); err != nil {
			return nil, err
		}
		secret, hash = "", tenancy.WorkloadHash(t.Issuer, t.Subject)
	} else if t.ExpiresAt.IsZero() {
		t.ExpiresAt = now.Add(tokenLifetime)
	}
	if t.Subject == "" && (!t.ExpiresAt.After(now) || t.ExpiresAt.After(now.Add(TokenMaxLifetime))) {
		return nil, tenancy.Invalid("expires_at", "must be in the future and at most one year from now")
	}
	if t.Tenant != "" {
		tenant, err := s.store.Tenant(ctx, t.Tenant)
		if err != nil {
			return nil, err
		}
		t.TenantID = tenant.ID
		if t.KeyUser != "" {
			u, err := s.store.KeyUser(ctx, tenant.ID, t.KeyUser)
			if err != nil {
				return nil, err
			}
			t.KeyUserID = u.ID
		}
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	detail := map[string]any{"name": t.Name, "role": t.Role, "user": t.KeyUser}
	if t.Subject != "" {
		detail["issuer"], detail["subject"] = t.Issuer, t.Subject
	}
	err := s.change(ctx, "token.created", t.Tenant, t.ID, detail, func(tx *store.Tx) error {
		err := tx.CreateToken(ctx, t, hash)
		if errors.Is(err, tenancy.ErrConflict) && t.Subject != "" {
			return tenancy.Errorf(tenancy.ErrConflict, "the workload %s of %s already has a token: revoke it first",
				t.Subject, t.Issuer)
		}
		return err
	})
	view := viewToken(t)
	view.Secret = secret
	return &Created[client.Token]{Location: prefix + "/tokens/" + t.ID, Body: view}, err
}

// bind binds a token to a workload.
func (s *server) bind(t *tenancy.Token, w client.Workload) error {
	if t.Subject, t.Issuer = w.Subject, w.Issuer; t.Issuer == "" {
		issuers := s.workloads.Issuers()
		if len(issuers) == 0 {
			return tenancy.Invalid("workload.issuer", "no issuer of identity tokens is configured: start the service and the "+
				"gateways with --workload-issuer URL")
		}
		if len(issuers) > 1 {
			return tenancy.Invalid("workload.issuer", "state the issuer of the workload's identity tokens: %d issuers are "+
				"configured", len(issuers))
		}
		t.Issuer = issuers[0]
	}
	if !workload.IsIssuer(t.Issuer) {
		return tenancy.Invalid("workload.issuer", "invalid issuer %q: use an https URL", t.Issuer)
	}
	if t.Subject == "" {
		return tenancy.Invalid("workload.subject", "state the workload, such as system:serviceaccount:NAMESPACE:NAME")
	}
	if !t.ExpiresAt.IsZero() {
		return tenancy.Invalid("expires_at", "the token of a workload does not expire: revoke it")
	}
	t.ExpiresAt = tenancy.NoExpiry
	return nil
}

// origin returns the credential of the caller, which is stored with everything that the caller creates.
func origin(ctx context.Context) string {
	p := principal.Of(ctx)
	if p.ID != "" {
		return tokenOrigin(p.ID)
	}
	return p.Origin // of the account that is signed in to the console
}

func tokenOrigin(id string) string { return "token " + id }

// OneToken holds the path parameter of a token.
type OneToken struct {
	ID string `path:"token" maxLength:"64"`
}

// created returns the account and the tokens that were created with a credential, directly or indirectly, and are still
// valid.
func (s *server) created(ctx context.Context, from string) (accounts []tenancy.Account, tokens []tenancy.Token,
	err error) {
	seen := map[string]bool{}
	for origins := []string{from}; len(origins) > 0; origins = origins[1:] {
		if seen[origins[0]] {
			continue
		}
		seen[origins[0]] = true
		a, err := s.store.AccountByOrigin(ctx, origins[0])
		if err == nil {
			accounts = append(accounts, a)
		} else if !errors.Is(err, tenancy.ErrNotFound) {
			return nil, nil, err
		}
		some, err := s.store.TokensByOrigin(ctx, origins[0])
		if err != nil {
			return nil, nil, err
		}
		for _, t := range some {
			if t.Valid(s.clock()) {
				tokens = append(tokens, t)
			}
			origins = append(origins, tokenOrigin(t.ID)) // also of one that has ended: what it created has not
		}
	}
	return accounts, tokens, nil
}

func (s *server) listCreated(ctx context.Context, in *OneToken) (*Entity[client.Created], error) {
	if _, err := s.store.Token(ctx, in.ID); err != nil {
		return nil, err
	}
	accounts, tokens, err := s.created(ctx, tokenOrigin(in.ID))
	out := client.Created{Accounts: []client.CreatedAccount{}, Tokens: []client.Token{}}
	for _, a := range accounts {
		out.Accounts = append(out.Accounts, client.CreatedAccount{Name: a.Name, Role: a.Role, Tenant: a.Tenant,
			User: a.KeyUser, CreatedAt: a.CreatedAt})
	}
	for _, t := range tokens {
		out.Tokens = append(out.Tokens, viewToken(t))
	}
	return &Entity[client.Created]{Body: out}, err
}

func (s *server) revokeToken(ctx context.Context, in *struct {
	OneToken
	Created string `query:"created" enum:"keep,end" default:"keep" doc:"keep leaves the accounts and tokens that were created with the token, and end deletes and revokes them."`
}) (*struct{}, error) {
	t, err := s.store.Token(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	tokens := []tenancy.Token{t}
	var accounts []tenancy.Account
	if in.Created == "end" {
		var some []tenancy.Token
		if accounts, some, err = s.created(ctx, tokenOrigin(t.ID)); err != nil {
			return nil, err
		}
		tokens = append(tokens, some...)
	}
	now := s.now()
	return nil, s.store.InTx(ctx, func(tx *store.Tx) error {
		for _, t := range tokens {
			if !t.RevokedAt.IsZero() {
				continue
			}
			tx.Changed(t.TenantID) // gateways keep tokens in memory
			err := errors.Join(tx.RevokeToken(ctx, t.ID, now), tx.Audit(ctx, tenancy.NewEvent(now, actor(ctx),
				"token.revoked", t.Tenant, t.ID, map[string]any{"name": t.Name})))
			if err != nil {
				return err
			}
		}
		for _, a := range accounts {
			err := errors.Join(tx.DeleteAccount(ctx, a.ID), tx.Audit(ctx, tenancy.NewEvent(now, actor(ctx),
				"account.deleted", a.Tenant, a.Name, map[string]any{"account": a.Name, "role": a.Role})))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// defaultOverlap and mostOverlap are the default and the maximum time for which a rotated token stays valid beside its
// successor.
const defaultOverlap, mostOverlap = 7 * 24 * time.Hour, 30 * 24 * time.Hour

func (s *server) rotateToken(ctx context.Context, in *struct {
	OneToken
	Body client.Rotation
}) (*Created[client.Token], error) {
	old, err := s.store.Token(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	now := s.now()
	overlap := time.Duration(cmp.Or(in.Body.OverlapSeconds, int64(defaultOverlap/time.Second))) * time.Second
	switch {
	case !old.Valid(now):
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the token %s is no longer valid: create a new one", old.Name)
	case old.Subject != "":
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the token %s is bound to the workload %s, whose platform rotates "+
			"its identity tokens: there is nothing to rotate here", old.Name, old.Subject)
	case overlap < 0 || overlap > mostOverlap:
		return nil, tenancy.Invalid("overlap_seconds", "must be at most 30 days")
	}
	t := old
	t.ID, t.Origin, t.LastUsedAt, t.CreatedAt = store.NewID(), origin(ctx), time.Time{}, now
	t.ExpiresAt = now.Add(min(old.ExpiresAt.Sub(old.CreatedAt), TokenMaxLifetime))
	secret := NewSecret()
	err = s.change(ctx, "token.rotated", old.Tenant, old.ID, map[string]any{"name": old.Name, "successor": t.ID},
		func(tx *store.Tx) error {
			tx.Changed(old.TenantID) // gateways keep tokens in memory
			return errors.Join(tx.ShortenToken(ctx, old.ID, now.Add(overlap)), tx.CreateToken(ctx, t,
				tenancy.HashSecret(secret)))
		})
	view := viewToken(t)
	view.Secret = secret
	return &Created[client.Token]{Location: prefix + "/tokens/" + t.ID, Body: view}, err
}

// tokensWarned and tokensMissed are the times before and after the expiry of a token in which it needs attention.
const tokensWarned, tokensMissed = 30 * 24 * time.Hour, 7 * 24 * time.Hour

// expiringTokens returns the tokens of senders and gateways that need a successor, the most urgent first.
func (s *server) expiringTokens(ctx context.Context) ([]tenancy.Token, error) {
	now := s.clock()
	return s.store.ExpiringTokens(ctx, now.Add(-tokensMissed), now.Add(tokensWarned))
}
