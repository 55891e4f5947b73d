package vault_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/issuer/vault"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
)

func request(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 365 * 24 * time.Hour}
}

// kept writes a secret to a file.
func kept(t *testing.T, text string) secret.Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return secret.File(path)
}

// settings sign in with a token.
func settings(t *testing.T, s *vaulttest.Server) vault.Config {
	t.Helper()
	return vault.Config{URL: s.URL, Role: "tenants", Roots: s.Roots, TLS: foreign.TLS{Roots: s.Roots},
		Auth: vault.Auth{Method: "token", Token: kept(t, vaulttest.RootToken)}}
}

// open opens an issuer whose warnings fail the test.
func open(t *testing.T, c vault.Config) issuer.Issuer {
	t.Helper()
	i, err := vault.Open(c, form, slog.New(slog.NewTextHandler(warnings{t}, nil)))
	check(t, err)
	return i
}

type warnings struct{ t *testing.T }

func (w warnings) Write(p []byte) (int, error) {
	w.t.Errorf("the CA warns: %s", p)
	return len(p), nil
}

func TestVaultConforms(t *testing.T) {
	s := vaulttest.Start(t)
	for name, verbatim := range map[string]bool{"sign": false, "sign-verbatim": true} {
		t.Run(name, func(t *testing.T) {
			issuertest.RunNow(t, func(t *testing.T, _ time.Time) issuer.Issuer {
				c := settings(t, s)
				c.Verbatim = verbatim
				return open(t, c)
			})
		})
	}
}

func TestVaultReportsEachFault(t *testing.T) {
	issuertest.RunFaults(t, issuertest.Protocol{
		Kind: "vault",
		Settings: func(c *issuertest.CA) map[string]any {
			return map[string]any{"url": c.URL, "role": "tenants", "roots": c.Roots(),
				"tls":  map[string]any{"roots": c.WebRoots()},
				"auth": map[string]any{"method": "token", "token": c.Secret()}}
		},
		Serve: func(c *issuertest.CA, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/pki/sign/tenants" {
				http.NotFound(w, r)
				return
			}
			var request struct{ CSR string }
			json.NewDecoder(r.Body).Decode(&request)
			c.AnswerJSON(w, request.CSR, http.StatusOK, func(chain []string) any {
				return map[string]any{"data": map[string]any{"certificate": chain[0], "ca_chain": chain[1:]}}
			})
		},
		Capabilities: []string{"revokes"},
	})
}

func TestOnlyAVerbatimIssuerKeepsTheWholeSubject(t *testing.T) {
	s := vaulttest.Start(t)
	subject, err := asn1.Marshal(pkix.Name{CommonName: "my300001", Organization: []string{"Elsewhere"}}.ToRDNSequence())
	check(t, err)
	r := request(t)
	r.Replaces = &certfile.Names{Subject: subject}
	c := settings(t, s)
	if _, isNamer := issuer.As[issuer.Namer](open(t, c)); isNamer {
		t.Error("an issuer whose role decides on the names announces them")
	}
	// The role drops the organization, so that the certificate would name no tenant that is known.
	_, err = issuer.Checked(open(t, c)).Issue(t.Context(), r)
	if fault, _ := issuer.FaultOf(err); fault != issuer.Mismatched {
		t.Errorf("%q, %v", fault, err)
	}
	c.Verbatim, c.Role = true, ""
	issued, err := issuer.Checked(open(t, c)).Issue(t.Context(), r)
	if err != nil || issued.Subject != "O=Elsewhere,CN=my300001" && issued.Subject != "CN=my300001,O=Elsewhere" {
		t.Errorf("%s, %v", issued.Subject, err)
	}
}

func TestEachMethodSignsInOnceAndAgainBeforeItsTokenEnds(t *testing.T) {
	s := vaulttest.Start(t)
	now := time.Now()
	certificate, key := s.CA.Client(t, "perennial", now.Add(-time.Hour), now.Add(time.Hour))
	for name, auth := range map[string]vault.Auth{
		"approle":    {Method: "approle", RoleID: vaulttest.RoleID, SecretID: kept(t, vaulttest.SecretID)},
		"kubernetes": {Method: "kubernetes", Role: vaulttest.K8sRole, JWT: kept(t, vaulttest.JWT)},
		"cert":       {Method: "cert", Role: vaulttest.CertRole},
	} {
		t.Run(name, func(t *testing.T) {
			c := settings(t, s)
			c.Auth = auth
			if name == "cert" {
				c.TLS.Certificate, c.TLS.Key = certificate, secret.File(key)
			}
			s.Logins = 0
			i := open(t, c)
			r := request(t)
			for _, step := range []struct {
				after  time.Duration
				revoke bool // the token
				logins int
			}{{0, false, 1}, {39 * time.Minute, false, 1}, {40 * time.Minute, false, 2}, {41 * time.Minute, true, 3},
				{42 * time.Minute, false, 3}} {
				if step.revoke {
					s.Tokens = map[string]time.Duration{vaulttest.RootToken: 0}
				}
				r.At = now.Add(step.after)
				if _, err := i.Issue(t.Context(), r); err != nil || s.Logins != step.logins {
					t.Errorf("after %s: %v, %d logins instead of %d", step.after, err, s.Logins, step.logins)
				}
			}
		})
	}
}

func TestATokenInAFileIsReadForEachRequest(t *testing.T) {
	s := vaulttest.Start(t)
	path := filepath.Join(t.TempDir(), "token")
	c := settings(t, s)
	c.Auth.Token = secret.File(path)
	i := open(t, c)
	for text, want := range map[string]issuer.Fault{vaulttest.RootToken + "\n": "", "hvs.hush": issuer.Denied} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := i.Issue(t.Context(), request(t))
		if fault, _ := issuer.FaultOf(err); fault != want || err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %q, %v", text, fault, err)
		}
	}
}

func TestANamespaceIsSent(t *testing.T) {
	s := vaulttest.Start(t)
	s.Namespace = "platform/tenants"
	c := settings(t, s)
	if _, err := open(t, c).Issue(t.Context(), request(t)); err == nil {
		t.Error("issued without the namespace")
	}
	c.Namespace = s.Namespace
	if _, err := open(t, c).Issue(t.Context(), request(t)); err != nil {
		t.Error(err)
	}
}

func TestARevokedCertificateIsRevokedAtTheVault(t *testing.T) {
	s := vaulttest.Start(t)
	i := open(t, settings(t, s))
	issued, err := i.Issue(t.Context(), request(t))
	check(t, err)
	revoker, _ := issuer.As[issuer.Revoker](i)
	check(t, revoker.Revoke(t.Context(), tenancy.Certificate{Serial: issued.Serial, DER: issued.DER,
		RevokedAt: time.Now()}))
	if len(s.Revoked) != 1 {
		t.Errorf("revoked: %v", s.Revoked)
	}
	for serial := range s.Revoked {
		if strings.ReplaceAll(serial, ":", "") != issued.Serial {
			t.Errorf("revoked: %s instead of %s", serial, issued.Serial)
		}
	}
}

func TestAWarningOfTheVaultIsLogged(t *testing.T) {
	s := vaulttest.Start(t)
	c := settings(t, s)
	c.Role = "short"
	var log bytes.Buffer
	i, err := vault.Open(c, form, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, err)
	issued, err := i.Issue(t.Context(), request(t))
	if err != nil || !strings.Contains(log.String(), "longer than permitted maxTTL") ||
		strings.Contains(log.String(), "use_csr") {
		t.Errorf("%v, logged: %s", err, log.String())
	}
	if lifetime := issued.NotAfter.Sub(issued.NotBefore); lifetime > 25*time.Hour {
		t.Errorf("valid for %s", lifetime)
	}
}

func TestEachFaultOfAVaultHasItsKind(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*vaulttest.Server, *vault.Config)
		want   issuer.Fault
		text   string
	}{
		"sealed": {func(s *vaulttest.Server, _ *vault.Config) { s.Sealed = true }, issuer.Unreachable, "Vault is sealed"},
		"a replica that is behind": {func(s *vaulttest.Server, _ *vault.Config) {
			s.Status, s.Errors = 412, []string{"required index state not present"}
		}, issuer.Unreachable, "required index state"},
		"a quota": {func(s *vaulttest.Server, _ *vault.Config) {
			s.Status, s.Errors = 429, []string{"lease count quota exceeded"}
		}, issuer.Limited, "lease count quota exceeded"},
		"a rate limit": {func(s *vaulttest.Server, _ *vault.Config) {
			s.Status, s.RetryAfter = 429, "30"
		}, issuer.Limited, "it allows the next attempt after"},
		"an internal error": {func(s *vaulttest.Server, _ *vault.Config) { s.Status = 500 }, issuer.Broken, "500"},
		"an unknown role": {func(_ *vaulttest.Server, c *vault.Config) { c.Role = "other" }, issuer.Rejected,
			"unknown role"},
		"an unknown mount": {func(_ *vaulttest.Server, c *vault.Config) { c.Mount = "other" }, issuer.Rejected,
			"no handler"},
		"a name that it may not certify": {func(_ *vaulttest.Server, c *vault.Config) { c.Role = "no-names" },
			issuer.Rejected, "URI Subject Alternative Names are not allowed"},
		"a role for servers": {func(_ *vaulttest.Server, c *vault.Config) { c.Role = "server-too" }, issuer.Mismatched,
			"1.3.6.1.5.5.7.3.1 besides clientAuth"},
		"a wrong secret ID": {func(_ *vaulttest.Server, c *vault.Config) {
			c.Auth = vault.Auth{Method: "approle", RoleID: vaulttest.RoleID, SecretID: secret.File(c.Roots)}
		}, issuer.Denied, "invalid role or secret ID"},
		"an unknown auth method": {func(_ *vaulttest.Server, c *vault.Config) {
			c.Auth = vault.Auth{Method: "approle", Mount: "other", RoleID: "r", SecretID: secret.File(c.Roots)}
		}, issuer.Denied, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			s := vaulttest.Start(t)
			config := settings(t, s)
			c.change(s, &config)
			_, err := issuer.Checked(open(t, config)).Issue(t.Context(), request(t))
			if fault, _ := issuer.FaultOf(err); err == nil || fault != c.want || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q, %v, want %q: %q", fault, err, c.want, c.text)
			}
		})
	}
}

func TestInvalidSettingsOfAVaultAreRefused(t *testing.T) {
	s := vaulttest.Start(t)
	for name, change := range map[string]func(*vault.Config){
		"no address":         func(c *vault.Config) { c.URL = "" },
		"no role":            func(c *vault.Config) { c.Role = "" },
		"a role with a path": func(c *vault.Config) { c.Role = "a/b" },
		"a mount with ..":    func(c *vault.Config) { c.Mount = "pki/?x" },
		"a namespace":        func(c *vault.Config) { c.Namespace = "a b" },
		"no roots":           func(c *vault.Config) { c.Roots = "" },
		"no auth":            func(c *vault.Config) { c.Auth = vault.Auth{} },
		"no token":           func(c *vault.Config) { c.Auth.Token = secret.Ref{} },
		"no secret ID":       func(c *vault.Config) { c.Auth = vault.Auth{Method: "approle", RoleID: "r"} },
		"no role of a pod":   func(c *vault.Config) { c.Auth = vault.Auth{Method: "kubernetes"} },
		"no certificate":     func(c *vault.Config) { c.Auth = vault.Auth{Method: "cert"} },
		"an auth mount":      func(c *vault.Config) { c.Auth.Mount = "a b" },
		"TLS roots":          func(c *vault.Config) { c.TLS.Roots = "missing.pem" },
	} {
		c := settings(t, s)
		change(&c)
		if _, err := vault.Open(c, form, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
