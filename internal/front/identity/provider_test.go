package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/front/refusals"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A claimant is an OpenID provider that signs whatever claims a test chooses.
type claimant struct {
	*httptest.Server
	t          *testing.T
	signer     jose.Signer
	key        jose.JSONWebKey
	token      func(nonce string) map[string]any // the claims of the ID token
	info       map[string]any                    // those of the user-info endpoint
	down       bool                              // it answers no exchange of a code
	exchanged  url.Values                        // the latest
	nonce      string                            // of the latest sign-in
	discovered int
}

func newClaimant(t *testing.T) (*Service, *claimant) {
	t.Helper()
	p := &claimant{t: t, info: map[string]any{"sub": "subject", "tenant": "acme", "name": "alice"}}
	private, err := keyring.Generate(tenancy.P256)
	testenv.Check(t, err)
	p.key = jose.JSONWebKey{Key: private.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}
	p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: "k"}},
		nil)
	testenv.Check(t, err)
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	s := openOIDC(t, "name")
	s.provider.Issuer, s.provider.ClientID, s.provider.ClientSecret, s.provider.Name = p.URL, "perennial", "secret", "Acme"
	s.provider.Scopes = []string{"email"}
	p.token = func(nonce string) map[string]any {
		return map[string]any{"iss": p.URL, "aud": "perennial", "sub": "subject", "nonce": nonce,
			"iat": s.now().Unix(), "exp": s.now().Add(time.Minute).Unix()}
	}
	return s, p
}

func (p *claimant) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		p.discovered++
		answer = map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo",
			"id_token_signing_alg_values_supported": []string{"ES256"}}
	case "/keys":
		answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key}}
	case "/userinfo":
		answer = p.info
	case "/token":
		testenv.Check(p.t, r.ParseForm())
		if p.exchanged = r.PostForm; p.down {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		claims, err := json.Marshal(p.token(p.nonce))
		testenv.Check(p.t, err)
		signed, err := p.signer.Sign(claims)
		testenv.Check(p.t, err)
		raw, err := signed.CompactSerialize()
		testenv.Check(p.t, err)
		answer = map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw}
	}
	testenv.Check(p.t, json.NewEncoder(w).Encode(answer))
}

// begin begins a sign-in, and returns the ceremony and the query with which the provider sends the browser back.
func (p *claimant) begin(s *Service) (ceremony string, back url.Values) {
	p.t.Helper()
	address, ceremony, err := s.BeginCompanySignIn(p.t.Context(), "/tenants/acme", Browser{Address: "192.0.2.1"})
	testenv.Check(p.t, err)
	u, err := url.Parse(address)
	testenv.Check(p.t, err)
	q := u.Query()
	if u.Path != "/authorize" || q.Get("client_id") != "perennial" || q.Get("scope") != "openid email" ||
		q.Get("redirect_uri") != "https://p.example.com/sign-in/company/back" || q.Get("code_challenge_method") != "S256" ||
		q.Get("response_type") != "code" || q.Get("code_challenge") == "" {
		p.t.Errorf("the browser goes to %s", address)
	}
	p.nonce = q.Get("nonce")
	return ceremony, url.Values{"state": {q.Get("state")}, "code": {"the code"}}
}

func TestASignInAtTheProviderGivesASessionAndReturnsToThePage(t *testing.T) {
	s, p := newClaimant(t)
	if s.Company() != "Acme" {
		t.Errorf("the provider is %q", s.Company())
	}
	var accounts []string
	for range 2 {
		ceremony, back := p.begin(s)
		secret, to, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{Address: "192.0.2.1"})
		testenv.Check(t, err)
		session, a, err := s.Session(t.Context(), secret)
		testenv.Check(t, err)
		if to != "/tenants/acme" || a.Role != tenancy.RoleKeyUser || a.Tenant != "acme" || a.KeyUser != "alice" ||
			a.Origin != "oidc "+p.URL+" subject" || session.Address != "192.0.2.1" {
			t.Errorf("returns to %s as %+v", to, a)
		}
		if p.exchanged.Get("code") != "the code" || p.exchanged.Get("code_verifier") == "" {
			t.Errorf("exchanged %v", p.exchanged)
		}
		accounts = append(accounts, a.ID)
		if _, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{}); !errors.Is(err, ErrCeremony) {
			t.Errorf("a second time: %v", err)
		}
	}
	if accounts[0] != accounts[1] || p.discovered != 1 {
		t.Errorf("the accounts are %q, and the provider was discovered %d times", accounts, p.discovered)
	}
	s.provider = nil
	if s.Company() != "" {
		t.Error("a company without a provider")
	}
}

func TestAnAnswerOfTheProviderThatIsNotForThisSignInIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *claimant, claims map[string]any, back url.Values)
		want   error
	}{
		{"another state", func(_ *claimant, _ map[string]any, back url.Values) { back.Set("state", "x") }, ErrProviderState},
		{"no state", func(_ *claimant, _ map[string]any, back url.Values) { back.Del("state") }, ErrProviderState},
		{"another nonce", func(_ *claimant, claims map[string]any, _ url.Values) { claims["nonce"] = "x" },
			ErrProviderAnswer},
		{"no nonce", func(_ *claimant, claims map[string]any, _ url.Values) { delete(claims, "nonce") }, ErrProviderAnswer},
		{"another client", func(_ *claimant, claims map[string]any, _ url.Values) { claims["aud"] = "x" },
			ErrProviderAnswer},
		{"two audiences and a foreign party", func(_ *claimant, claims map[string]any, _ url.Values) {
			claims["aud"], claims["azp"] = []string{"perennial", "x"}, "x"
		}, ErrProviderAnswer},
		{"two audiences and no party", func(_ *claimant, claims map[string]any, _ url.Values) {
			claims["aud"] = []string{"perennial", "x"}
		}, ErrProviderAnswer},
		{"one audience and a foreign party", func(_ *claimant, claims map[string]any, _ url.Values) { claims["azp"] = "x" },
			ErrProviderAnswer},
		{"an empty party", func(_ *claimant, claims map[string]any, _ url.Values) { claims["azp"] = "" },
			ErrProviderAnswer},
		{"another issuer", func(_ *claimant, claims map[string]any, _ url.Values) { claims["iss"] = "https://x" },
			ErrProviderAnswer},
		{"an ID token that has expired", func(_ *claimant, claims map[string]any, _ url.Values) { claims["exp"] = 1 },
			ErrProviderAnswer},
		{"user info about another subject", func(p *claimant, _ map[string]any, _ url.Values) { p.info["sub"] = "x" },
			ErrProviderAnswer},
		{"user info without a subject", func(p *claimant, _ map[string]any, _ url.Values) { delete(p.info, "sub") },
			ErrProviderAnswer},
		{"a code that is not redeemed", func(p *claimant, _ map[string]any, _ url.Values) { p.down = true },
			ErrProviderAnswer},
	} {
		s, p := newClaimant(t)
		var logged bytes.Buffer
		s.refused = refusals.New(slog.New(slog.NewTextHandler(&logged, nil)), s.now)
		ceremony, back := p.begin(s)
		claims := p.token(p.nonce)
		p.token = func(string) map[string]any { return claims }
		c.change(p, claims, back)
		if secret, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{}); !errors.Is(err, c.want) ||
			secret != "" {
			t.Errorf("%s: %v", c.name, err)
		}
		if accounts, _, err := s.store.Accounts(t.Context(), store.Page{Limit: 10}); err != nil || len(accounts) > 0 {
			t.Errorf("%s: an account was made, %v", c.name, err)
		}
		if isLogged := strings.Contains(logged.String(), "invalid answer of"); isLogged != (c.want == ErrProviderAnswer) {
			t.Errorf("%s: logged %q", c.name, &logged)
		}
	}
}

func TestASignInAtTheProviderMustBeAsStrongAsTheInstallationRequires(t *testing.T) {
	for name, c := range map[string]struct {
		acr, amr []string
		claims   map[string]any
		weak     string
	}{
		"nothing is required":      {nil, nil, map[string]any{}, ""},
		"the context":              {[]string{"mfa", "phr"}, nil, map[string]any{"acr": "phr"}, ""},
		"another context":          {[]string{"mfa", "phr"}, nil, map[string]any{"acr": "0"}, "acr"},
		"no context":               {[]string{"mfa"}, nil, map[string]any{}, "acr"},
		"one of the methods":       {nil, []string{"mfa", "hwk"}, map[string]any{"amr": []string{"pwd", "hwk"}}, ""},
		"another method":           {nil, []string{"mfa"}, map[string]any{"amr": []string{"pwd"}}, "amr"},
		"the context, no method":   {[]string{"mfa"}, []string{"mfa"}, map[string]any{"acr": "mfa"}, "amr"},
		"a context that is a list": {[]string{"mfa"}, nil, map[string]any{"acr": map[string]any{"mfa": 1}}, "acr"},
	} {
		s, p := newClaimant(t)
		s.provider.ACR, s.provider.AMR = c.acr, c.amr
		p.info["acr"], p.info["amr"] = "mfa", []string{"mfa"} // what is not signed does not count
		ceremony, back := p.begin(s)
		claims := p.token(p.nonce)
		maps.Copy(claims, c.claims)
		p.token = func(string) map[string]any { return claims }
		_, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{})
		var weak *WeakSignInError
		if errors.As(err, &weak) != (c.weak != "") || weak != nil && weak.Claim != c.weak || err != nil && weak == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _ := newClaimant(t)
	s.provider.ACR = []string{"mfa", "phr"}
	address, _, err := s.BeginCompanySignInAgain(t.Context(), "/account", Browser{})
	testenv.Check(t, err)
	if u, _ := url.Parse(address); u.Query().Get("acr_values") != "mfa phr" || u.Query().Get("prompt") != "login" {
		t.Errorf("the browser goes to %s", address)
	}
}

func TestTheProviderMayRefuseOrBeDown(t *testing.T) {
	s, p := newClaimant(t)
	ceremony, back := p.begin(s)
	back.Set("error", "access_denied")
	var refused *ProviderRefusedError
	if _, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{}); !errors.As(err, &refused) ||
		refused.Code != "access_denied" || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("refused: %v", err)
	}
	ceremony, back = p.begin(s)
	p.info = map[string]any{"sub": "subject"}
	var none *NoRightsError
	if _, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{}); !errors.As(err, &none) ||
		!strings.Contains(err.Error(), "names no tenant") {
		t.Errorf("without rights: %v", err)
	}
	other, q := newClaimant(t)
	q.Close()
	if _, _, err := other.BeginCompanySignIn(t.Context(), "/", Browser{}); !errors.Is(err, ErrProviderDown) {
		t.Errorf("down: %v", err)
	}
	allowed := 0
	for range attemptsPerMinute + 10 {
		if _, _, err := other.BeginCompanySignIn(t.Context(), "/", Browser{Address: "a"}); !errors.Is(err,
			ErrTooManyAttempts) {
			allowed++
		}
	}
	if allowed != attemptsPerMinute {
		t.Errorf("%d sign-ins were begun in a minute", allowed)
	}
}

func TestAnIDTokenForSeveralAudiencesIsAcceptedIfThisServiceIsItsParty(t *testing.T) {
	s, p := newClaimant(t)
	ceremony, back := p.begin(s)
	claims := p.token(p.nonce)
	claims["aud"], claims["azp"] = []string{"x", "perennial"}, "perennial"
	p.token = func(string) map[string]any { return claims }
	if _, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{}); err != nil {
		t.Error(err)
	}
}

// What the provider signed wins over what its user-info endpoint says.
func TestSignedClaimsWin(t *testing.T) {
	s, p := newClaimant(t)
	ceremony, back := p.begin(s)
	claims := p.token(p.nonce)
	claims["tenant"] = "globex"
	p.token = func(string) map[string]any { return claims }
	secret, _, err := s.FinishCompanySignIn(t.Context(), ceremony, back, Browser{})
	testenv.Check(t, err)
	if _, a, err := s.Session(t.Context(), secret); err != nil || a.Tenant != "globex" {
		t.Errorf("the account is of %s, %v", a.Tenant, err)
	}
}

func TestAnAccountOfTheCompanyIsNotChangedByAFailingDatabase(t *testing.T) {
	s := openOIDC(t, "name")
	db, ctx := s.store.DB(), t.Context()
	claims := map[string]any{"tenant": "acme", "name": "alice", "preferred_username": "alice"}
	sign := func() error {
		_, err := s.companyAccount(ctx, claims, "subject")
		return err
	}
	strict := func() error {
		err := sign()
		var none *NoRightsError
		if errors.As(err, &none) || errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		return err
	}
	testenv.FailsWithout(t, db, []string{"accounts", "tenants", "key_users", "events"}, strict)
	testenv.FailsIfReadOnly(t, db, []string{"accounts", "events"}, strict)
	testenv.Check(t, sign())
	if accounts, _, err := s.store.Accounts(ctx, store.Page{Limit: 10}); err != nil || len(accounts) != 1 ||
		accounts[0].Name != "alice" {
		t.Errorf("the accounts are %+v, %v", accounts, err)
	}
	claims["tenant"] = "globex"
	testenv.FailsIfReadOnly(t, db, []string{"accounts", "events"}, strict)
	testenv.Check(t, sign())
	before := len(allEvents(t, s))
	testenv.Check(t, sign()) // with the same rights
	if after := len(allEvents(t, s)); after != before {
		t.Errorf("%d events of a sign-in that changes no right", after-before)
	}
	events, err := s.store.Events(ctx, "globex", 0, 100)
	testenv.Check(t, err)
	found := false
	for _, e := range events {
		found = found || e.Action == "account.rights" && e.Object == "alice" &&
			e.Detail == `{"key_user":"alice","role":"key-user"}`
	}
	if !found {
		t.Errorf("the new rights are not in the audit log: %+v", events)
	}
	delete(claims, "tenant")
	testenv.FailsWithout(t, db, []string{"sessions"}, strict)
}

// An account of the company has no password, and no other one is tried for it.
func TestAnAccountOfTheCompanyHasNoPassword(t *testing.T) {
	s := openOIDC(t, "name")
	a, err := s.companyAccount(t.Context(), map[string]any{"tenant": "acme", "name": "alice",
		"preferred_username": "alice"}, "subject")
	testenv.Check(t, err)
	for _, secret := range []string{"", "a sentence that is long enough"} {
		if _, err := s.SignIn(t.Context(), a.Name, secret, Browser{}); !errors.Is(err, ErrWrongPassword) {
			t.Errorf("with %q: %v", secret, err)
		}
		if same, err := password.Matches(t.Context(), a.Password, secret); same || err != nil {
			t.Errorf("%q matches", secret)
		}
	}
}

func allEvents(t *testing.T, s *Service) []tenancy.Event {
	t.Helper()
	events, err := s.store.Events(t.Context(), "", 0, 1000)
	testenv.Check(t, err)
	return events
}

// Two subjects never share an account, whatever they are called.
func TestAnAccountWhoseEveryNameIsTakenIsNotCreated(t *testing.T) {
	s := openOIDC(t, "name")
	sum := sha256.Sum256([]byte("oidc https://login.example.com subject"))
	for _, name := range []string{"alice", "person-" + hex.EncodeToString(sum[:6])} {
		operator(t, s, name)
	}
	a, err := s.companyAccount(t.Context(), map[string]any{"tenant": "acme", "name": "alice",
		"preferred_username": "alice"}, "subject")
	if !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("%+v, %v", a, err)
	}
}
