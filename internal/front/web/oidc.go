package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// OIDC is the provider (OpenID Connect Core 1.0) with which people of the company sign in, and how its claims say what
// they may see. Claims may lie within others: realm_access.roles.
type OIDC struct {
	Issuer, ClientID, ClientSecret string
	Name                           string // for people: "Sign in with NAME"
	Scopes                         []string
	RolesClaim, OperatorRole       string // who has this role is an operator
	TenantClaim                    string // the name of the tenant of everybody else
	UserClaim                      string // what finds the key user of that tenant: the e-mail address or the name
}

const (
	// oidcSession is how long what the claims said is believed.
	oidcSession = 12 * time.Hour
	// oidcTime bounds what is asked of the provider.
	oidcTime = 15 * time.Second
)

// A provider is asked about itself when somebody first signs in, for it may be down when the service starts.
type provider struct {
	OIDC
	mu    sync.Mutex
	found *oidc.Provider
}

func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// What discovery keeps for later must not end with this request.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), oidcClient), p.Issuer)
	if err == nil {
		p.found = found
	}
	return found, err
}

var oidcClient = &http.Client{Timeout: oidcTime}

// oauth is the code flow (RFC 6749, section 4.1) with the provider's addresses.
func (p *provider) oauth(found *oidc.Provider, base string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(),
		RedirectURL: base + "/sign-in/company/back", Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...)}
}

// A codeFlow is what the browser is sent to the provider with (RFC 7636: PKCE).
type codeFlow struct{ State, Nonce, Verifier, To string }

func (c *console) companySignIn(v *view) error {
	if err := c.mayTry(v); err != nil {
		return err
	}
	found, err := c.provider.discover(v.ctx())
	if err != nil {
		c.Log.ErrorContext(v.ctx(), "the provider for sign-in does not answer", "issuer", c.provider.Issuer, "error", err)
		return &refusal{http.StatusServiceUnavailable, v.T("The company's sign-in does not answer at the moment: please " +
			"try again.")}
	}
	flow := codeFlow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		To: local(v.r.URL.Query().Get("to"))}
	if err := c.beginCeremony(v, "oidc", flow); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, c.provider.oauth(found, c.BaseURL).AuthCodeURL(flow.State, oidc.Nonce(flow.Nonce),
		oauth2.S256ChallengeOption(flow.Verifier)), http.StatusSeeOther)
	return nil
}

// companyBack is where the provider sends the browser back to.
func (c *console) companyBack(v *view) error {
	refuse := func(text string) error {
		return c.show(v, http.StatusForbidden, v.T("Sign in"), signInForm(v, text, c.ways()))
	}
	var flow codeFlow
	if err := c.takeCeremony(v, "oidc", &flow); err != nil {
		return err
	}
	q := v.r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(flow.State)) != 1 {
		return refuse(v.T("That took too long, or was begun in another browser: please try again."))
	}
	if problem := q.Get("error"); problem != "" {
		c.Log.WarnContext(v.ctx(), "the provider did not sign somebody in", "error", problem, "description",
			q.Get("error_description"))
		return refuse(v.T("The company's sign-in refused: %s.", problem))
	}
	claims, subject, err := c.claims(v.ctx(), q.Get("code"), flow)
	if err != nil {
		c.Log.WarnContext(v.ctx(), "what the provider sent is not valid", "error", err)
		return refuse(v.T("What the company's sign-in sent is not valid: please try again."))
	}
	a, err := c.accountOf(v.ctx(), claims, subject)
	var none *noRights
	if errors.As(err, &none) {
		return refuse(v.T("You are signed in there, and have no rights here: %s.", none.Error()))
	} else if err != nil {
		return err
	}
	if err := c.begin(v, a, "oidc"); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, flow.To, http.StatusSeeOther)
	return nil
}

// claims redeems a code and verifies the ID token; what the user-info endpoint adds is taken as well.
func (c *console) claims(ctx context.Context, code string, flow codeFlow) (claims map[string]any, subject string,
	err error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, oidcClient), oidcTime)
	defer cancel()
	found, err := c.provider.discover(ctx)
	if err != nil {
		return nil, "", err
	}
	flowConfig := c.provider.oauth(found, c.BaseURL)
	token, err := flowConfig.Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		return nil, "", err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.Verifier(&oidc.Config{ClientID: c.provider.ClientID, Now: c.Now}).Verify(ctx, raw)
	if err != nil {
		return nil, "", err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(flow.Nonce)) != 1 {
		return nil, "", errors.New("the ID token has another nonce")
	}
	claims = map[string]any{}
	if found.UserInfoEndpoint() != "" {
		info, err := found.UserInfo(ctx, flowConfig.TokenSource(ctx, token))
		if err != nil {
			return nil, "", err
		}
		if info.Subject != id.Subject {
			return nil, "", errors.New("the user info is about somebody else")
		}
		if err := info.Claims(&claims); err != nil {
			return nil, "", err
		}
	}
	return claims, id.Subject, id.Claims(&claims) // what is signed wins
}

// noRights says why somebody who signed in may see nothing.
type noRights struct{ reason string }

func (e *noRights) Error() string { return e.reason }

// accountOf is the account of who has some claims, with the rights that they give now.
func (c *console) accountOf(ctx context.Context, claims map[string]any, subject string) (a tenancy.Account, err error) {
	origin := "oidc " + c.provider.Issuer + " " + subject
	a, err = c.Store.AccountByOrigin(ctx, origin)
	known := err == nil
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return a, err
	}
	before := a
	a.Role, a.TenantID, a.Tenant, a.KeyUserID, a.KeyUser = "", "", "", "", ""
	if err := c.grant(ctx, claims, &a); err != nil {
		var none *noRights
		if known && errors.As(err, &none) { // what was granted earlier is over
			err = errors.Join(err, c.Store.InTx(ctx, func(tx *store.Tx) error { return tx.EndSessions(ctx, before.ID, "") }))
		}
		return a, err
	}
	now := c.Now().UTC().Truncate(time.Microsecond)
	switch {
	case !known:
		a.ID, a.Origin, a.CreatedAt = lifecycle.NewID(), origin, now
		return a, c.createCompanyAccount(ctx, &a, claims)
	case a.Role != before.Role || a.TenantID != before.TenantID || a.KeyUserID != before.KeyUserID:
		err = c.Store.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.SetRights(ctx, a); err != nil {
				return err
			}
			return tx.Audit(ctx, tenancy.NewEvent(now, "sign-in", "account.rights", a.Tenant, a.Name,
				map[string]any{"role": a.Role, "key_user": a.KeyUser}))
		})
	}
	return a, err
}

// createCompanyAccount stores a new account under the name that the provider knows the person by, or one made of it
// where that is taken.
func (c *console) createCompanyAccount(ctx context.Context, a *tenancy.Account, claims map[string]any) error {
	sum := sha256.Sum256([]byte(a.Origin))
	unique := "person-" + hex.EncodeToString(sum[:6])
	var err error
	for _, name := range []string{text(claims, "preferred_username"), text(claims, "email"), unique} {
		a.Name = strings.ToLower(name)
		if a.Check() != nil {
			continue
		}
		err = c.Store.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.CreateAccount(ctx, *a); err != nil {
				return err
			}
			return tx.Audit(ctx, tenancy.NewEvent(a.CreatedAt, "sign-in", "account.created", a.Tenant, a.Name,
				map[string]any{"origin": a.Origin}))
		})
		if !errors.Is(err, tenancy.ErrConflict) {
			return err
		}
	}
	return err
}

// grant reads rights from claims.
func (c *console) grant(ctx context.Context, claims map[string]any, a *tenancy.Account) error {
	p := c.provider
	for _, role := range texts(claims, p.RolesClaim) {
		if role == p.OperatorRole {
			a.Role = tenancy.RoleOperator
			return nil
		}
	}
	names := texts(claims, p.TenantClaim)
	if len(names) != 1 {
		return &noRights{fmt.Sprintf("the claim %s has no role %s, and the claim %s names no tenant", p.RolesClaim,
			p.OperatorRole, p.TenantClaim)}
	}
	t, err := c.Store.Tenant(ctx, names[0])
	if errors.Is(err, tenancy.ErrNotFound) {
		return &noRights{"there is no tenant " + names[0]}
	} else if err != nil {
		return err
	}
	who := strings.ToLower(text(claims, p.UserClaim))
	if p.UserClaim == "email" && claims["email_verified"] != true { // anybody can write an address
		return &noRights{"the e-mail address is not verified"}
	}
	users, err := c.Store.KeyUsersOf(ctx, []string{t.ID})
	if err != nil {
		return err
	}
	for _, u := range users[t.ID] {
		if who != "" && (strings.ToLower(u.Email) == who || u.Name == who) {
			a.Role, a.TenantID, a.Tenant, a.KeyUserID, a.KeyUser = tenancy.RoleKeyUser, t.ID, t.Name, u.ID, u.Name
			return nil
		}
	}
	return &noRights{fmt.Sprintf("%s is no key user of %s", who, t.Name)}
}

// texts are the values of a claim, which may lie within others.
func texts(claims map[string]any, path string) (all []string) {
	var at any = claims
	for part := range strings.SplitSeq(path, ".") {
		within, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = within[part]
	}
	switch v := at.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

func text(claims map[string]any, path string) string {
	if all := texts(claims, path); len(all) == 1 {
		return all[0]
	}
	return ""
}
