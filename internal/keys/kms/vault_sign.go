package kms

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A vaultSigner is a key of the transit secrets engine that signs. A key that is rotated there has a version for each
// public key. The URI names the newest one until a certificate has it.
type vaultSigner struct {
	*vault

	mu      sync.Mutex       // guards what follows
	known   crypto.PublicKey // of the version
	version int
}

// openVaultSigner opens hcvault://HOST[:PORT]/MOUNT/keys/NAME. The URI comes from a caller of the API, who must not
// choose the server that gets the token.
func openVaultSigner(name string, http connect) (keyring.Signatory, error) {
	if os.Getenv("VAULT_ADDR") == "" {
		return nil, errors.New("set VAULT_ADDR to the Vault that signs: the token is sent to no other host")
	}
	opened, err := openVault(name, http)
	if err != nil {
		return nil, err
	}
	return &vaultSigner{vault: opened.(*vault)}, nil
}

// versions reads the public keys (PEM) of the key by their versions.
func (v *vaultSigner) versions(ctx context.Context) (all map[int]crypto.PublicKey, err error) {
	var answer struct {
		Data struct {
			Keys map[string]json.RawMessage
		}
	}
	if err := v.ask(ctx, request{method: http.MethodGet, url: v.base + v.mount + "/keys/" + v.key}, &answer); err != nil {
		return nil, err
	}
	all = map[int]crypto.PublicKey{}
	for text, raw := range answer.Data.Keys {
		var version struct {
			PublicKey string `json:"public_key"`
		}
		number, err := strconv.Atoi(text)
		if err != nil || json.Unmarshal(raw, &version) != nil || !strings.HasPrefix(version.PublicKey, "-----BEGIN") {
			return nil, fmt.Errorf("the key %s of the Vault does not sign with ECDSA or RSA: create one of the type "+
				"ecdsa-p256 or rsa-3072", v.key)
		}
		if all[number], err = publicKey([]byte(version.PublicKey)); err != nil {
			return nil, fmt.Errorf("the key %s of the Vault: %w", v.key, err)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the answer of the Vault has no versions of the key %s: check the URI", v.key)
	}
	return all, nil
}

// Key implements [keyring.Signatory].
func (v *vaultSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	all, err := v.versions(ctx)
	if err != nil {
		return "", nil, err
	}
	_, host, _ := strings.Cut(strings.TrimSuffix(v.base, "/v1/"), "://")
	return "hcvault://" + host + "/" + v.mount + "/keys/" + v.key, all[slices.Max(slices.Collect(maps.Keys(all)))], nil
}

// Sign implements [keyring.Signatory].
func (v *vaultSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	version, err := v.versionOf(ctx, public)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"input": base64.StdEncoding.EncodeToString(digest), "prehashed": true, "key_version": version}
	if _, ok := public.(*rsa.PublicKey); ok {
		body["signature_algorithm"] = "pkcs1v15"
	} else {
		body["marshaling_algorithm"] = "asn1"
	}
	var answer struct{ Data struct{ Signature string } }
	// The names of Vault are those of Go in lowercase: sha2-256 for SHA-256.
	algorithm := strings.Replace(strings.ToLower(hash.String()), "sha-", "sha2-", 1)
	err = v.ask(ctx, request{method: http.MethodPost, url: v.base + v.mount + "/sign/" + v.key + "/" + algorithm,
		body: body}, &answer)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(answer.Data.Signature, "vault:v"+strconv.Itoa(version)+":")
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, errors.New("the answer of the Vault has no signature")
	}
	return signature, nil
}

// versionOf returns the version of a public key, and asks for it once.
func (v *vaultSigner) versionOf(ctx context.Context, public crypto.PublicKey) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if same(public, v.known) {
		return v.version, nil
	}
	all, err := v.versions(ctx)
	if err != nil {
		return 0, err
	}
	for version, key := range all {
		if same(key, public) {
			v.known, v.version = key, version
			return version, nil
		}
	}
	return 0, fmt.Errorf("the key %s of the Vault has no version with the public key of the certificate: restore the "+
		"version, or lower the min_available_version of the key", v.key)
}

// ask sends a request with the token.
func (v *vaultSigner) ask(ctx context.Context, r request, answer any) error {
	token, err := v.token()
	if err != nil {
		return err
	}
	r.header = http.Header{"X-Vault-Token": {token}, "X-Vault-Request": {"true"}}
	if v.namespace != "" {
		r.header.Set("X-Vault-Namespace", v.namespace)
	}
	r.secrets, r.detail, r.signs = []string{token}, vaultErrors, true
	return r.do(ctx, v.http, answer)
}
