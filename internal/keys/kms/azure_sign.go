package kms

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// azureVault names the host of the Key Vault that signs. The URI comes from a caller of the API, who must not choose
// the vault that gets the token.
const azureVault = "PERENNIAL_AZURE_VAULT"

// An azureSigner is a key of an Azure Key Vault or a managed HSM that signs.
type azureSigner struct {
	*azureKey
	version string // empty: the newest
	tokens  login[string]
}

// openAzureSigner opens azure-kms://NAME.vault.azure.net/keys/KEY, with or without the version of the key.
func openAzureSigner(name string, http connect) (keyring.Signatory, error) {
	version := ""
	if parts := strings.Split(name, "/"); len(parts) == 4 {
		name, version = strings.Join(parts[:3], "/"), parts[3]
		if !azureVersion.MatchString(version) {
			return nil, errors.New("the version of the key in the URI is not valid")
		}
	}
	opened, err := openAzure(name, http)
	if err != nil {
		return nil, err
	}
	if host, _, _ := strings.Cut(name, "/"); os.Getenv(azureVault) != host {
		return nil, fmt.Errorf("set %s to the host of the Key Vault that signs: the token is sent to no other vault",
			azureVault)
	}
	s := &azureSigner{azureKey: opened.(*azureKey), version: version}
	s.tokens.get = s.token
	return s, nil
}

// ask calls the API below the URL of the key. A nil body stands for a GET request.
func (s *azureSigner) ask(ctx context.Context, path string, body, answer any) error {
	token, err := s.tokens.use(ctx)
	if err != nil {
		return err
	}
	r := request{method: http.MethodGet, url: s.url + path + azureAPI, body: body, signs: true, secrets: []string{token},
		header: http.Header{"Authorization": {"Bearer " + token}}, detail: nestedError}
	if body != nil {
		r.method = http.MethodPost
	}
	if err = r.do(ctx, s.http, answer); err != nil {
		s.tokens.forget()
	}
	return err
}

var azureCurves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(),
	"P-521": elliptic.P521()}

// Key implements [keyring.Signatory]. The URI names the version of the key.
func (s *azureSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	path := ""
	if s.version != "" {
		path = "/" + s.version
	}
	var answer struct {
		Key struct{ KID, KTY, CRV, X, Y, N, E string }
	}
	if err := s.ask(ctx, path, nil, &answer); err != nil {
		return "", nil, err
	}
	key := answer.Key
	version, ok := strings.CutPrefix(key.KID, s.url+"/")
	if !ok || !azureVersion.MatchString(version) || s.version != "" && version != s.version {
		return "", nil, fmt.Errorf("the Key Vault answered with another key than %s", s.url)
	}
	uri := "azure-kms://" + strings.TrimPrefix(key.KID, "https://")
	if strings.HasPrefix(key.KTY, "RSA") {
		n, e := number(key.N), number(key.E)
		if n.Sign() <= 0 || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
			return "", nil, errors.New("the RSA key of the Key Vault cannot be read")
		}
		return uri, &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	}
	curve := azureCurves[key.CRV]
	if curve == nil {
		return "", nil, fmt.Errorf("the key of the Key Vault (%s %s) does not sign: use EC with P-256, P-384 or P-521, or "+
			"RSA", key.KTY, key.CRV)
	}
	size := (curve.Params().BitSize + 7) / 8
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed (SEC 1, section 2.3.3)
	x, y := number(key.X), number(key.Y)
	if x.BitLen() > 8*size || y.BitLen() > 8*size {
		return "", nil, errors.New("the EC key of the Key Vault cannot be read")
	}
	x.FillBytes(point[1 : 1+size])
	y.FillBytes(point[1+size:])
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return "", nil, errors.New("the EC key of the Key Vault cannot be read")
	}
	return uri, public, nil
}

// number reads a number of a JSON Web Key (RFC 7518, section 6); zero if it cannot be read.
func number(text string) *big.Int {
	data, _ := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(data)
}

// Sign implements [keyring.Signatory].
func (s *azureSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	_, isRSA := public.(*rsa.PublicKey)
	algorithm := "ES" // RFC 7518, section 3.1
	if isRSA {
		algorithm = "RS"
	}
	body := map[string]string{"alg": fmt.Sprint(algorithm, 8*hash.Size()),
		"value": base64.RawURLEncoding.EncodeToString(digest)}
	var answer azureData
	if err := s.ask(ctx, "/"+s.version+"/sign", body, &answer); err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(answer.Value)
	if err != nil || len(signature) == 0 {
		return nil, errors.New("the Key Vault answered without a signature")
	}
	if isRSA {
		return signature, nil
	}
	// r and s are concatenated (RFC 7518, section 3.4), but in ASN.1 in X.509.
	half := len(signature) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:half]),
		new(big.Int).SetBytes(signature[half:])})
}
