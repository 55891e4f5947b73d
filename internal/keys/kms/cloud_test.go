package kms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A cloud is a fake of the services of a cloud at their own names. Its handlers follow the documented APIs.
type cloud struct {
	mux  *http.ServeMux // its patterns have the names of hosts
	http connect
	mu   sync.Mutex // guards what follows
	down bool
	// answers replaces the answer of a path.
	answers map[string]string
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	down, answer := c.down, c.answers[r.URL.Path]
	c.mu.Unlock()
	switch {
	case down:
		http.Error(w, `{"error":{"message":"try later"}}`, http.StatusServiceUnavailable)
	case answer != "":
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		io.WriteString(w, answer)
	default:
		c.mux.ServeHTTP(w, r)
	}
}

func (c *cloud) away(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *cloud) answer(path, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = map[string]string{path: text}
}

// startCloud starts a cloud. The remotes reach it under every name.
func startCloud(t *testing.T, mux *http.ServeMux) (*cloud, keyring.Remotes) {
	t.Helper()
	c := &cloud{mux: mux}
	plain, secure := httptest.NewServer(c), httptest.NewUnstartedServer(c)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		server := secure
		if _, port, _ := net.SplitHostPort(address); port == "80" {
			server = plain
		}
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	connect := func(*tls.Config) *http.Client {
		client := newHTTP(&tls.Config{RootCAs: roots, ServerName: "example.com"}) // the name in the server's certificate
		transport(client).DialContext = dial
		return client
	}
	c.http = connect
	return c, func(uri string) (keyring.Remote, error) { return open(uri, connect) }
}

func newGCM(t *testing.T) cipher.AEAD {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	check(t, err)
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	check(t, err)
	return gcm
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	answerJSON(w, map[string]any{"error": map[string]any{"message": text}})
}

// startGoogle starts a Google Cloud with the keys "a" and "b", and sets the credentials of a service account.
func startGoogle(t *testing.T) (*cloud, peer) {
	t.Helper()
	const token, account = "ya29.the-token", "perennial@example.iam.gserviceaccount.com"
	const ring = "projects/example/locations/europe-west3/keyRings/ring/cryptoKeys/"
	mux := http.NewServeMux()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	mux.HandleFunc("POST oauth2.googleapis.com/token", func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.FormValue("assertion"), ".")
		if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
			w.WriteHeader(http.StatusBadRequest)
			answerJSON(w, map[string]string{"error": "invalid_grant"})
			return
		}
		answerJSON(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	})
	keys := map[string]cipher.AEAD{ring + "a": newGCM(t), ring + "b": newGCM(t)}
	mux.HandleFunc("GET cloudkms.googleapis.com/v1/", func(w http.ResponseWriter, r *http.Request) {
		name, asks := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/"), "/publicKey")
		key, found := signingKeys()[strings.TrimSuffix(strings.TrimPrefix(name, ring), "/cryptoKeyVersions/1")]
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			refuse(w, http.StatusUnauthorized, "Request had invalid authentication credentials.")
		case !asks || !found:
			refuse(w, http.StatusNotFound, "CryptoKeyVersion "+name+" not found.")
		default:
			text := pemOf(t, key)
			answerJSON(w, map[string]any{"pem": text, "algorithm": googleAlgorithm(key), "pemCrc32c": checksum([]byte(text)),
				"name": name, "protectionLevel": "SOFTWARE"})
		}
	})
	mux.HandleFunc("POST cloudkms.googleapis.com/v1/", func(w http.ResponseWriter, r *http.Request) {
		name, operation, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
		gcm := keys[name]
		var body struct {
			Plaintext, Ciphertext                           []byte
			PlaintextCRC32C, CiphertextCRC32C, DigestCRC32C string
			Digest                                          map[string][]byte
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		signs, found := signingKeys()[strings.TrimSuffix(strings.TrimPrefix(name, ring), "/cryptoKeyVersions/1")]
		switch {
		case operation == "asymmetricSign" && found && r.Header.Get("Authorization") == "Bearer "+token:
			hash := googleAlgorithms[googleAlgorithm(signs)]
			digest := body.Digest[strings.Replace(strings.ToLower(hash.String()), "-", "", 1)]
			if len(digest) != hash.Size() || checksum(digest) != body.DigestCRC32C {
				refuse(w, http.StatusBadRequest, "The digest does not fit the algorithm or its checksum.")
				return
			}
			signature := signDigest(t, signs, digest, hash)
			answerJSON(w, map[string]any{"name": name, "signature": signature, "signatureCrc32c": checksum(signature),
				"verifiedDigestCrc32c": true, "protectionLevel": "SOFTWARE"})
		case r.Header.Get("Authorization") != "Bearer "+token:
			refuse(w, http.StatusUnauthorized, "Request had invalid authentication credentials: "+r.Header.Get("Authorization"))
		case err != nil:
			refuse(w, http.StatusBadRequest, "Invalid JSON payload received.")
		case gcm == nil:
			refuse(w, http.StatusNotFound, "CryptoKey "+name+" not found.")
		case operation == "encrypt" && checksum(body.Plaintext) != body.PlaintextCRC32C,
			operation == "decrypt" && checksum(body.Ciphertext) != body.CiphertextCRC32C:
			refuse(w, http.StatusBadRequest, "The checksum did not match the data.")
		case operation == "encrypt":
			sealed := gcm.Seal(nil, nil, body.Plaintext, nil)
			answerJSON(w, map[string]any{"name": name + "/cryptoKeyVersions/1", "ciphertext": sealed,
				"ciphertextCrc32c": checksum(sealed), "verifiedPlaintextCrc32c": true, "protectionLevel": "SOFTWARE"})
		default:
			plain, err := gcm.Open(nil, nil, body.Ciphertext, nil)
			if err != nil {
				refuse(w, http.StatusBadRequest, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
				return
			}
			answerJSON(w, map[string]any{"plaintext": plain, "plaintextCrc32c": checksum(plain), "usedPrimary": true})
		}
	})
	c, remotes := startCloud(t, mux)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	data, err := json.Marshal(map[string]string{"type": "service_account", "client_email": account, "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   "https://oauth2.googleapis.com/token"})
	check(t, err)
	file := filepath.Join(t.TempDir(), "account.json")
	check(t, os.WriteFile(file, data, 0o600))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	return c, peer{uri: "gcp-kms://" + ring + "a", other: "gcp-kms://" + ring + "b", open: remotes, away: c.away,
		secrets: []string{token, base64.StdEncoding.EncodeToString(der)}}
}

func TestGoogleCloudKMSWrapsKeys(t *testing.T) {
	_, p := startGoogle(t)
	p.conforms(t)
}

func TestADamagedAnswerOfGoogleCloudKMSIsAnError(t *testing.T) {
	c, p := startGoogle(t)
	remote, err := p.open(p.uri)
	check(t, err)
	path := "/v1/" + strings.TrimPrefix(p.uri, "gcp-kms://")
	sum := checksum([]byte("abc"))
	for _, answer := range []string{
		`{"ciphertext":"YWJj","ciphertextCrc32c":"` + sum + `"}`, // the plaintext was not verified
		`{"ciphertext":"YWJj","ciphertextCrc32c":"1","verifiedPlaintextCrc32c":true}`,
		`{"ciphertextCrc32c":"0","verifiedPlaintextCrc32c":true}`,
	} {
		c.answer(path+":encrypt", answer)
		_, err := remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
		wantError(t, answer, err, "was damaged on the way")
	}
	for _, answer := range []string{`{}`, `{"plaintext":"YWJj","plaintextCrc32c":"1"}`} {
		c.answer(path+":decrypt", answer)
		_, err := remote.Unwrap(t.Context(), []byte("x"))
		wantError(t, answer, err, "was damaged on the way")
	}
}

func TestEachFaultOfGoogleCloudKMSNamesTheNextStep(t *testing.T) {
	_, p := startGoogle(t)
	missing, err := p.open(strings.TrimSuffix(p.uri, "/a") + "/c")
	check(t, err)
	_, err = missing.Wrap(t.Context(), make([]byte, keyring.KeySize))
	wantError(t, "no key", err, "not found.: check that the key exists")
	for _, name := range []string{"", "projects/p/locations/l/keyRings/r", "projects/p/locations/l/keyRings/r/cryptoKeys/",
		"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
		"projects/../locations/l/keyRings/r/cryptoKeys/k"} {
		_, err := Open("gcp-kms://" + name)
		wantError(t, name, err, "the URI needs the resource name of a key (an example is gcp-kms://projects/")
	}
	account, err := os.ReadFile(os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"))
	check(t, err)
	changed := bytes.Replace(account, []byte("/token"), []byte("/gone"), 1)
	check(t, os.WriteFile(os.Getenv("GOOGLE_APPLICATION_CREDENTIALS"), changed, 0o600))
	remote, err := p.open(p.uri)
	check(t, err)
	_, err = remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
	wantError(t, "no token", err, "the credentials for Google Cloud are not accepted (404 Not Found)")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing"))
	_, err = remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
	wantError(t, "no credentials", err, "no credentials for Google Cloud: set GOOGLE_APPLICATION_CREDENTIALS")
}

const azureToken = "eyJ.the-token"

// startAzure starts an Azure with the keys "a" and "b" of a Key Vault, and sets the credentials of a client.
func startAzure(t *testing.T) (*cloud, peer) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST login.microsoftonline.com/tenant/oauth2/v2.0/token", func(w http.ResponseWriter,
		r *http.Request) {
		if r.FormValue("scope") != "https://vault.azure.net/.default" || r.FormValue("client_id") != "client" ||
			r.FormValue("client_secret") != "s3cr3t" && (r.FormValue("client_assertion") != "jwt" ||
				r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
			w.WriteHeader(http.StatusUnauthorized)
			answerJSON(w, map[string]string{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client " +
				"secret provided: " + r.FormValue("client_secret") + r.FormValue("client_assertion")})
			return
		}
		answerJSON(w, map[string]any{"access_token": azureToken, "token_type": "Bearer", "expires_in": 3599})
	})
	mux.HandleFunc("GET 169.254.169.254/metadata/identity/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata") != "true" || r.FormValue("resource") != "https://vault.azure.net" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answerJSON(w, map[string]any{"access_token": azureToken, "token_type": "Bearer", "expires_in": "3599"})
	})
	keys := map[string]*rsa.PrivateKey{}
	for _, name := range []string{"a", "b"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		check(t, err)
		keys[name] = key
	}
	const version = "0123456789abcdef0123456789abcdef"
	kid := func(name string) string { return "https://example.vault.azure.net/keys/" + name + "/" + version }
	found := func(w http.ResponseWriter, r *http.Request) crypto.Signer {
		key := signingKeys()[r.PathValue("name")]
		if wraps, ok := keys[r.PathValue("name")]; ok {
			key = wraps
		}
		switch {
		case r.Header.Get("Authorization") != "Bearer "+azureToken:
			refuse(w, http.StatusUnauthorized, "[TokenInvalid] Error validating token "+r.Header.Get("Authorization"))
		case r.FormValue("api-version") != "7.4":
			refuse(w, http.StatusBadRequest, "The specified version is not supported.")
		case key == nil || r.PathValue("version") != "" && r.PathValue("version") != version:
			refuse(w, http.StatusNotFound, "A key with (name/id) "+r.PathValue("name")+" was not found in this key vault.")
		default:
			return key
		}
		return nil
	}
	show := func(w http.ResponseWriter, r *http.Request) {
		number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
		shown := map[string]any{"kid": kid(r.PathValue("name")), "key_ops": []string{"sign", "verify"}}
		key := found(w, r)
		if key == nil {
			return
		}
		switch k := key.Public().(type) {
		case *rsa.PublicKey:
			shown["kty"], shown["n"], shown["e"] = "RSA", number(k.N), "AQAB"
		case *ecdsa.PublicKey:
			point, err := k.Bytes()
			check(t, err)
			half := (len(point) - 1) / 2
			shown["kty"], shown["crv"] = "EC", k.Params().Name
			shown["x"] = base64.RawURLEncoding.EncodeToString(point[1 : 1+half])
			shown["y"] = base64.RawURLEncoding.EncodeToString(point[1+half:])
		}
		answerJSON(w, map[string]any{"key": shown, "attributes": map[string]any{"enabled": true}})
	}
	mux.HandleFunc("GET example.vault.azure.net/keys/{name}", show)
	mux.HandleFunc("GET example.vault.azure.net/keys/{name}/{version}", show)
	mux.HandleFunc("POST example.vault.azure.net/keys/{name}/{version}/{operation}", func(w http.ResponseWriter,
		r *http.Request) {
		opened := found(w, r)
		if opened == nil {
			return
		}
		var body struct{ Alg, Value string }
		json.NewDecoder(r.Body).Decode(&body)
		value, err := base64.RawURLEncoding.DecodeString(body.Value)
		key, _ := opened.(*rsa.PrivateKey)
		if r.PathValue("operation") == "sign" {
			if value = azureSignature(t, opened, body.Alg, value); value == nil {
				err = errors.New("refused")
			}
		} else if err == nil && body.Alg == azureAlgorithm && r.PathValue("operation") == "wrapkey" {
			value, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, value, nil)
		} else if err == nil && body.Alg == azureAlgorithm && r.PathValue("operation") == "unwrapkey" {
			value, err = rsa.DecryptOAEP(sha256.New(), nil, key, value, nil)
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, "The parameter is incorrect. "+body.Value)
			return
		}
		answerJSON(w, map[string]string{"kid": kid(r.PathValue("name")),
			"value": base64.RawURLEncoding.EncodeToString(value)})
	})
	c, remotes := startCloud(t, mux)
	for name, value := range map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client",
		"AZURE_CLIENT_SECRET": "s3cr3t", "AZURE_FEDERATED_TOKEN_FILE": "", "AZURE_AUTHORITY_HOST": ""} {
		t.Setenv(name, value)
	}
	return c, peer{uri: "azure-kms://example.vault.azure.net/keys/a", other: "azure-kms://example.vault.azure.net/keys/b",
		open: remotes, away: c.away, secrets: []string{azureToken, "s3cr3t"}}
}

func TestAnAzureKeyVaultWrapsKeys(t *testing.T) {
	_, p := startAzure(t)
	p.conforms(t)
}

func TestATokenOfAzureComesFromAWorkloadOrAManagedIdentity(t *testing.T) {
	_, p := startAzure(t)
	remote, err := p.open(p.uri)
	check(t, err)
	wrap := func() error {
		_, err := remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
		return err
	}
	t.Setenv("AZURE_CLIENT_SECRET", "wr0ng")
	err = wrap()
	wantError(t, "another secret", err, "get a token of Azure: login.microsoftonline.com answered 401 Unauthorized: "+
		"AADSTS7000215: Invalid client secret provided: [secret]: check the credentials")
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte("jwt"), 0o600))
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	check(t, wrap())
	t.Setenv("AZURE_TENANT_ID", "")
	wantError(t, "no tenant", wrap(), "set AZURE_TENANT_ID and AZURE_CLIENT_ID")
	t.Setenv("AZURE_TENANT_ID", "tenant")
	t.Setenv("AZURE_AUTHORITY_HOST", "http://login.example.com")
	wantError(t, "plain http", wrap(), "AZURE_AUTHORITY_HOST must be an https address")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	t.Setenv("AZURE_CLIENT_SECRET", "")
	t.Setenv("AZURE_CLIENT_ID", "")
	check(t, wrap()) // of the machine
}

func TestATokenOfAzureIsSentToKeyVaultsOnly(t *testing.T) {
	for name, want := range map[string]string{
		"":                                    "the URI needs the host of a Key Vault",
		"example.vault.azure.net":             "the URI needs the host of a Key Vault",
		"example.vault.azure.net/keys/a/1":    "the URI needs the host of a Key Vault",
		"example.vault.azure.net:444/keys/a":  "the URI needs the host of a Key Vault",
		"vault.azure.net/keys/a":              "azure.net is not the domain of a Key Vault",
		"example.com/keys/a":                  "com is not the domain of a Key Vault",
		"vault.azure.net.example.com/keys/a":  "azure.net.example.com is not the domain of a Key Vault",
		"example.vault.azure.net.evil/keys/a": "vault.azure.net.evil is not the domain of a Key Vault",
	} {
		_, err := Open("azure-kms://" + name)
		wantError(t, name, err, want)
	}
}

func TestAKeyVaultThatAnswersWithAnotherKeyIsAnError(t *testing.T) {
	c, p := startAzure(t)
	remote, err := p.open(p.uri)
	check(t, err)
	for _, kid := range []string{"https://evil.example.com/keys/a/1", "https://example.vault.azure.net/keys/b/1",
		"https://example.vault.azure.net/keys/a/../../secrets/x", "https://example.vault.azure.net/keys/a"} {
		c.answer("/keys/a", fmt.Sprintf(`{"key":{"kid":%q}}`, kid))
		_, err := remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
		wantError(t, kid, err, "the Key Vault answered with another key than https://example.vault.azure.net/keys/a")
	}
}
