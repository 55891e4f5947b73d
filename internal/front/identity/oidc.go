package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// OIDC is the provider (OpenID Connect Core 1.0) at which people of the company sign in, and the meaning of its claims.
// A claim may lie within others, such as realm_access.roles.
type OIDC struct {
	Issuer, ClientID, ClientSecret string
	Name                           string // on the button: "Sign in with NAME"
	Scopes                         []string
	RolesClaim, OperatorRole       string // an account with this role is an operator
	TenantClaim                    string // name of the tenant, for all others
	UserClaim                      string // e-mail address or name of the key user
	// ACR lists the accepted authentication contexts, of which the ID token must name one. AMR lists authentication
	// methods, of which the person must have used one. Any is accepted if a list is empty.
	ACR, AMR []string
}

const (
	// companyRights is the time for which a sign-in at the provider gives rights: to its session, and to the passkeys and
	// the calendar of its account.
	companyRights = 12 * time.Hour
	// oidcTime limits a request to the provider.
	oidcTime = 15 * time.Second
	// oidcCeremony is the kind of a ceremony with the provider.
	oidcCeremony = "oidc"
	// callbackPath is the path to which the provider sends the browser back.
	callbackPath = "/sign-in/company/back"
)

// Errors of a sign-in at the provider.
var (
	// ErrProviderDown means that the provider does not answer.
	ErrProviderDown = errors.New("identity: the OpenID provider does not answer")
	// ErrProviderState means that the browser comes back with the state of another sign-in.
	ErrProviderState = errors.New("identity: the state belongs to another sign-in")
	// ErrProviderAnswer means that the provider's answer is not valid.
	ErrProviderAnswer = errors.New("identity: the OpenID provider's answer is not valid")
)

// A ProviderRefusedError means that the provider did not sign the person in.
type ProviderRefusedError struct{ Code, Description string } // RFC 6749, section 4.1.2.1

func (e *ProviderRefusedError) Error() string {
	return fmt.Sprintf("identity: the OpenID provider refused: %s %q", e.Code, e.Description)
}

// A NoRightsError means that the claims of a person give no rights.
type NoRightsError struct{ Reason string }

func (e *NoRightsError) Error() string { return e.Reason }

// A WeakSignInError means that a person signed in at the provider in a way that this installation does not accept.
type WeakSignInError struct {
	Claim  string   // acr or amr
	Wanted []string // one of them is
}

func (e *WeakSignInError) Error() string {
	return fmt.Sprintf("identity: the claim %s has none of the required values %q", e.Claim, e.Wanted)
}

// provider is discovered at the first sign-in, because it may be down when the service starts.
type provider struct {
	OIDC
	mu    sync.Mutex // guards found
	found *oidc.Provider
}

func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// The provider keeps the context for later requests, so the context must not end with this one.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), oidcClient), p.Issuer)
	if err == nil {
		p.found = found
	}
	return found, err
}

var oidcClient = &http.Client{Timeout: oidcTime}

// oauth returns the code flow (RFC 6749, section 4.1) at the provider's addresses.
func (p *provider) oauth(found *oidc.Provider, base string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(),
		RedirectURL: base + callbackPath, Scopes: append([]string{oidc.ScopeOpenID}, p.Scopes...)}
}

// codeFlow is the first half of a sign-in at the provider, with PKCE (RFC 7636).
type codeFlow struct{ State, Nonce, Verifier, To string }

// Company returns the name of the provider of the company's accounts; "" if there is none.
func (s *Service) Company() string {
	if s.provider == nil {
		return ""
	}
	return s.provider.Name
}

// BeginCompanySignIn begins a sign-in at the provider and returns the address to which the browser goes. The page to
// is kept for the end of the sign-in. It returns [ErrTooManyAttempts] or [ErrProviderDown].
func (s *Service) BeginCompanySignIn(ctx context.Context, to string, b Browser) (address, ceremony string, err error) {
	return s.beginCompany(ctx, to, b)
}

// BeginCompanySignInAgain is [Service.BeginCompanySignIn] for a user who is signed in. The provider is asked to
// authenticate the user again (OpenID Connect Core 1.0, section 3.1.2.1, prompt).
func (s *Service) BeginCompanySignInAgain(ctx context.Context, to string, b Browser) (address, ceremony string,
	err error) {
	return s.beginCompany(ctx, to, b, oauth2.SetAuthURLParam("prompt", "login"))
}

func (s *Service) beginCompany(ctx context.Context, to string, b Browser, options ...oauth2.AuthCodeOption) (address,
	ceremony string, err error) {
	defer func() { s.logRefused(ctx, byOIDC, "", b, err) }()
	leave, err := s.attempt(b)
	if err != nil {
		return "", "", err
	}
	defer leave()
	found, err := s.provider.discover(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "the OpenID provider does not answer", "issuer", s.provider.Issuer, "error", err)
		return "", "", ErrProviderDown
	}
	flow := codeFlow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: to}
	ceremony, err = s.beginCeremony(ctx, oidcCeremony, flow)
	if len(s.provider.ACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(s.provider.ACR, " ")))
	}
	options = append(options, oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier))
	return s.provider.oauth(found, s.baseURL).AuthCodeURL(flow.State, options...), ceremony, err
}

// FinishCompanySignIn finishes a sign-in that [Service.BeginCompanySignIn] began. q is the query with which the
// provider sends the browser back. It returns the secret of a new session and the kept page. The error is
// [ErrCeremony], [ErrProviderState], [ErrProviderAnswer], a [*ProviderRefusedError], a [*WeakSignInError] or a
// [*NoRightsError].
func (s *Service) FinishCompanySignIn(ctx context.Context, ceremony string, q url.Values,
	b Browser) (session, to string, err error) {
	var a tenancy.Account
	defer func() { s.logRefused(ctx, byOIDC, a.Name, b, err) }()
	var flow codeFlow
	if err := s.takeCeremony(ctx, ceremony, oidcCeremony, &flow); err != nil {
		return "", "", err
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(flow.State)) != 1 {
		return "", "", ErrProviderState
	}
	if code := q.Get("error"); code != "" {
		return "", "", &ProviderRefusedError{code, q.Get("error_description")}
	}
	claims, subject, err := s.claims(ctx, q.Get("code"), flow)
	var weak *WeakSignInError
	switch {
	case errors.As(err, &weak):
		return "", "", err
	case err != nil:
		return "", "", fmt.Errorf("%w: %w", ErrProviderAnswer, err)
	}
	a, err = s.companyAccount(ctx, claims, subject)
	if err != nil {
		return "", "", err
	}
	session, err = s.begin(ctx, a, byOIDC, b)
	return session, flow.To, err
}

// claims redeems a code, verifies the ID token, and adds the claims of the user-info endpoint.
func (s *Service) claims(ctx context.Context, code string, flow codeFlow) (claims map[string]any, subject string,
	err error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, oidcClient), oidcTime)
	defer cancel()
	found, err := s.provider.discover(ctx)
	if err != nil {
		return nil, "", err
	}
	flowConfig := s.provider.oauth(found, s.baseURL)
	token, err := flowConfig.Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		return nil, "", err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.Verifier(&oidc.Config{ClientID: s.provider.ClientID, Now: s.now}).Verify(ctx, raw)
	if err != nil {
		return nil, "", err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(flow.Nonce)) != 1 {
		return nil, "", errors.New("the ID token has another nonce")
	}
	if err := s.provider.forUs(id); err != nil {
		return nil, "", err
	}
	if err := s.provider.strong(id); err != nil {
		return nil, "", err
	}
	claims = map[string]any{}
	if found.UserInfoEndpoint() != "" {
		info, err := found.UserInfo(ctx, flowConfig.TokenSource(ctx, token))
		if err != nil {
			return nil, "", err
		}
		if info.Subject != id.Subject {
			return nil, "", errors.New("the user info is for another subject")
		}
		if err := info.Claims(&claims); err != nil {
			return nil, "", err
		}
	}
	err = id.Claims(&claims) // signed claims win
	return claims, id.Subject, err
}

// forUs returns an error if an ID token was issued to another party (OpenID Connect Core 1.0, section 3.1.3.7, items 4
// and 5). The library has checked that this service is in the audience.
func (p *provider) forUs(id *oidc.IDToken) error {
	var c struct {
		Party *string `json:"azp"`
	}
	if err := id.Claims(&c); err != nil {
		return err
	}
	switch {
	case c.Party != nil && *c.Party != p.ClientID:
		return fmt.Errorf("the ID token was issued to the party %q", *c.Party)
	case c.Party == nil && len(id.Audience) > 1:
		return errors.New("the ID token has several audiences and names no authorized party")
	}
	return nil
}

// strong returns a [*WeakSignInError] if the ID token does not show a required authentication context or method (OpenID
// Connect Core 1.0, section 2, acr and amr). Only the signed token counts.
func (p *provider) strong(id *oidc.IDToken) error {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return err
	}
	for _, c := range []struct {
		claim  string
		wanted []string
	}{{"acr", p.ACR}, {"amr", p.AMR}} {
		has := func(wanted string) bool { return slices.Contains(texts(claims, c.claim), wanted) }
		if len(c.wanted) > 0 && !slices.ContainsFunc(c.wanted, has) {
			return &WeakSignInError{c.claim, c.wanted}
		}
	}
	return nil
}

// companyAccount returns the account of a subject at the provider, with the rights that its claims give now.
func (s *Service) companyAccount(ctx context.Context, claims map[string]any, subject string) (a tenancy.Account,
	err error) {
	origin := tenancy.CompanyOrigin + s.provider.Issuer + " " + subject
	a, err = s.store.AccountByOrigin(ctx, origin)
	known := err == nil
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return a, err
	}
	before := a
	a.Role, a.TenantID, a.Tenant, a.KeyUserID, a.KeyUser = "", "", "", "", ""
	if err := s.grant(ctx, claims, &a); err != nil {
		var none *NoRightsError
		if known && errors.As(err, &none) {
			if err := s.loseRights(ctx, before); err != nil {
				return a, err
			}
		}
		return a, err
	}
	now := s.instant()
	switch {
	case !known:
		a.ID, a.Origin, a.CreatedAt = store.NewID(), origin, now
		err = s.createCompanyAccount(ctx, &a, claims)
	case a.Role != before.Role || a.TenantID != before.TenantID || a.KeyUserID != before.KeyUserID:
		err = s.store.InTx(ctx, func(tx *store.Tx) error {
			if err := tx.SetRights(ctx, a); err != nil {
				return err
			}
			return tx.Audit(ctx, tenancy.NewEvent(now, "sign-in", "account.rights", a.Tenant, a.Name,
				map[string]any{"role": a.Role, "key_user": a.KeyUser}))
		})
	}
	return a, err
}

// loseRights ends everything that earlier sign-ins gave an account.
func (s *Service) loseRights(ctx context.Context, a tenancy.Account) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.ClearRights(ctx, a.ID); err != nil || a.Role == "" {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(s.now(), "sign-in", "account.rights", a.Tenant, a.Name,
			map[string]any{"role": "", "key_user": ""}))
	})
}

// createCompanyAccount stores a new account under the name or the e-mail address that the provider has, or under a name
// made of the subject if both are taken.
func (s *Service) createCompanyAccount(ctx context.Context, a *tenancy.Account, claims map[string]any) error {
	sum := sha256.Sum256([]byte(a.Origin))
	unique := "person-" + hex.EncodeToString(sum[:6])
	var err error
	for _, name := range []string{text(claims, "preferred_username"), text(claims, "email"), unique} {
		a.Name = lower(name)
		if a.Check() != nil {
			continue
		}
		err = s.store.InTx(ctx, func(tx *store.Tx) error {
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

// grant sets the rights that claims give. It returns a [*NoRightsError] if they give none.
func (s *Service) grant(ctx context.Context, claims map[string]any, a *tenancy.Account) error {
	p := s.provider
	for _, role := range texts(claims, p.RolesClaim) {
		if role == p.OperatorRole {
			a.Role = tenancy.RoleOperator
			return nil
		}
	}
	names := texts(claims, p.TenantClaim)
	if len(names) != 1 {
		return &NoRightsError{fmt.Sprintf("the claim %s has no role %s, and the claim %s names no tenant", p.RolesClaim,
			p.OperatorRole, p.TenantClaim)}
	}
	t, err := s.store.Tenant(ctx, names[0])
	if errors.Is(err, tenancy.ErrNotFound) {
		return &NoRightsError{"there is no tenant " + names[0]}
	} else if err != nil {
		return err
	}
	who := lower(text(claims, p.UserClaim))
	if p.UserClaim == "email" && claims["email_verified"] != true { // the person may have typed any address
		return &NoRightsError{"the e-mail address is not verified"}
	}
	users, err := s.store.KeyUsersOf(ctx, []string{t.ID})
	if err != nil {
		return err
	}
	for _, u := range users[t.ID] {
		known := u.Name // of the same kind: an address is compared with addresses only
		if p.UserClaim == "email" || strings.Contains(who, "@") {
			known = lower(u.Email)
		}
		if who != "" && known == who {
			a.Role, a.TenantID, a.Tenant, a.KeyUserID, a.KeyUser = tenancy.RoleKeyUser, t.ID, t.Name, u.ID, u.Name
			return nil
		}
	}
	return &NoRightsError{fmt.Sprintf("%s is not a key user of %s", who, t.Name)}
}

// lower folds ASCII letters only. Unicode has other letters whose lower case is an ASCII letter, such as the Kelvin
// sign.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// texts returns the values of a claim. The path leads through claims that contain others.
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
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}

// text returns the value of a claim that has exactly one.
func text(claims map[string]any, path string) string {
	if all := texts(claims, path); len(all) == 1 {
		return all[0]
	}
	return ""
}
