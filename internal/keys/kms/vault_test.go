package kms

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
)

// startVault starts a Vault with the keys "a" and "b", and sets its token and its root for the client.
func startVault(t *testing.T) (*vaulttest.Server, peer) {
	t.Helper()
	s := vaulttest.Start(t)
	s.NewKey("a")
	s.NewKey("b")
	for _, name := range []string{"VAULT_ADDR", "VAULT_NAMESPACE", "VAULT_CLIENT_CERT", vaultTokenFile} {
		t.Setenv(name, "")
	}
	t.Setenv("VAULT_TOKEN", vaulttest.RootToken)
	t.Setenv("VAULT_CACERT", s.Roots)
	base := "hcvault://" + strings.TrimPrefix(s.URL, "https://") + "/transit/keys/"
	seal := func(away bool) {
		s.Lock()
		defer s.Unlock()
		s.Sealed = away
	}
	return s, peer{uri: base + "a", other: base + "b", open: Open, away: seal, secrets: []string{vaulttest.RootToken}}
}

func TestAVaultWrapsKeys(t *testing.T) {
	_, p := startVault(t)
	p.conforms(t)
}

func TestAVaultHasItsNamespaceAndATokenFromAFileThatIsReplaced(t *testing.T) {
	s, p := startVault(t)
	s.Namespace = "team"
	t.Setenv("VAULT_NAMESPACE", "team")
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte("hvs.old\n"), 0o600))
	t.Setenv(vaultTokenFile, file)
	remote, err := Open(p.uri)
	check(t, err)
	_, err = remote.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "an old token", err, "403 Forbidden: permission denied; invalid token: check the credentials")
	check(t, os.WriteFile(file, []byte(vaulttest.RootToken+"\n"), 0o600))
	_, err = remote.Wrap(t.Context(), make([]byte, 32))
	check(t, err)
	check(t, os.Remove(file))
	_, err = remote.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "no file", err, file)
	t.Setenv(vaultTokenFile, "")
	t.Setenv("VAULT_TOKEN", "")
	_, err = remote.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "no token", err, "set VAULT_TOKEN, or PERENNIAL_VAULT_TOKEN_FILE")
}

func TestTheTokenOfAVaultIsNotSentToAnotherServer(t *testing.T) {
	_, p := startVault(t)
	t.Setenv("VAULT_ADDR", "https://vault.example.com:8200")
	_, err := Open(p.uri)
	wantError(t, "another Vault", err, "VAULT_ADDR is at vault.example.com:8200: they must be the same Vault")
	for uri, addr := range map[string]string{
		"hcvault://vault.example.com/transit/keys/a": "http://vault.example.com",
		"hcvault://10.0.0.1:8200/transit/keys/a":     "http://10.0.0.1:8200",
	} {
		t.Setenv("VAULT_ADDR", addr)
		_, err := Open(uri)
		wantError(t, addr, err, "VAULT_ADDR is plain http")
	}
	t.Setenv("VAULT_ADDR", "vault.example.com")
	_, err = Open(p.uri)
	wantError(t, "an address without a scheme", err, "invalid VAULT_ADDR")
}

func TestAVaultOnThisMachineMayBePlainHTTP(t *testing.T) {
	startVault(t)
	var token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("X-Vault-Token")
		w.Write([]byte(`{"data":{"ciphertext":"vault:v1:AAAA"}}`))
	}))
	defer server.Close()
	t.Setenv("VAULT_ADDR", server.URL)
	remote, err := Open("hcvault://" + strings.TrimPrefix(server.URL, "http://") + "/transit/keys/a")
	check(t, err)
	if wrapped, err := remote.Wrap(t.Context(), make([]byte, 32)); err != nil || string(wrapped) != "vault:v1:AAAA" {
		t.Errorf("%s, %v", wrapped, err)
	}
	if token != vaulttest.RootToken {
		t.Errorf("token %q", token)
	}
}

func TestEachFaultOfAVaultNamesTheNextStep(t *testing.T) {
	s, p := startVault(t)
	remote, err := Open(p.uri)
	check(t, err)
	missing, err := Open(strings.Replace(p.uri, "/a", "/c", 1))
	check(t, err)
	_, err = missing.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "no key", err, "encryption key not found: check that the key exists")
	pki, err := Open(strings.Replace(p.uri, "transit", "pki", 1))
	check(t, err)
	_, err = pki.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "another engine", err, "404 Not Found")
	s.Sealed = true
	_, err = remote.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "sealed", err, "Vault is sealed: check the state of the service")
	t.Setenv("VAULT_CACERT", "")
	untrusted, err := Open(p.uri)
	check(t, err)
	_, err = untrusted.Wrap(t.Context(), make([]byte, 32))
	wantError(t, "an unknown CA", err, "is not accepted")
	if isAway(err) {
		t.Error("a retry does not help against an unknown CA")
	}
	t.Setenv("VAULT_CACERT", filepath.Join(t.TempDir(), "missing"))
	_, err = Open(p.uri)
	wantError(t, "no roots", err, "VAULT_CACERT")
	for _, path := range []string{"", "/", "/keys/a", "/transit/keys/", "/transit/a", "/transit/keys/a/b", "//keys/a",
		"/../keys/a", "/transit/keys/.."} {
		_, err := Open("hcvault://vault.example.com" + path)
		wantError(t, path, err, "an example is hcvault://vault.example.com:8200/transit/keys/perennial")
	}
}
