package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A TokenIssuer issues identity tokens of workloads, as the API server of a Kubernetes cluster does for service
// accounts (OpenID Connect Discovery 1.0).
type TokenIssuer struct {
	URL      string
	CAFile   string // CA of its server
	Key      *ecdsa.PrivateKey
	KeyID    string
	Down     atomic.Bool  // it answers with status 503
	Requests atomic.Int64 // that it got
}

// NewTokenIssuer starts an issuer, which ends with the test.
func NewTokenIssuer(t testing.TB) *TokenIssuer {
	t.Helper()
	i := &TokenIssuer{Key: NewKey(t), KeyID: "k"}
	server := httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(server.Close)
	i.URL, i.CAFile = server.URL, filepath.Join(t.TempDir(), "issuer.pem")
	Check(t, os.WriteFile(i.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}), 0o600))
	return i
}

// NewKey returns a P-256 key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Check(t, err)
	return key
}

func (i *TokenIssuer) serve(w http.ResponseWriter, r *http.Request) {
	i.Requests.Add(1)
	switch {
	case i.Down.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/keys":
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.Key.Public(), KeyID: i.KeyID,
			Algorithm: "ES256", Use: "sig"}}})
	default:
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[1]s/keys","id_token_signing_alg_values_supported":["ES256"]}`, i.URL)
	}
}

// Claims returns those of a workload's token that is valid for an hour, for the audience perennial.
func (i *TokenIssuer) Claims(subject string, now time.Time) map[string]any {
	return map[string]any{"iss": i.URL, "aud": []string{"perennial"}, "sub": subject, "iat": now.Unix(),
		"nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// Token returns a workload's token that is valid for an hour.
func (i *TokenIssuer) Token(t testing.TB, subject string, now time.Time) string {
	t.Helper()
	return SignToken(t, jose.ES256, i.Key, i.KeyID, i.Claims(subject, now))
}

// SignToken returns a JSON Web Token (RFC 7519).
func SignToken(t testing.TB, algorithm jose.SignatureAlgorithm, key any, keyID string, claims map[string]any) string {
	t.Helper()
	if _, ok := key.(crypto.Signer); ok {
		key = jose.JSONWebKey{Key: key, KeyID: keyID}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, nil)
	Check(t, err)
	text, err := json.Marshal(claims)
	Check(t, err)
	signed, err := signer.Sign(text)
	Check(t, err)
	token, err := signed.CompactSerialize()
	Check(t, err)
	return token
}
