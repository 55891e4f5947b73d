package kms

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// googleVersion matches the resource name of a version of a key.
var googleVersion = regexp.MustCompile(strings.TrimSuffix(googleName.String(), "$") + `/cryptoKeyVersions/[0-9]+$`)

// googleAlgorithms are the algorithms of keys, with the digest that each signs.
var googleAlgorithms = map[string]crypto.Hash{
	"EC_SIGN_P256_SHA256": crypto.SHA256, "EC_SIGN_P384_SHA384": crypto.SHA384,
	"RSA_SIGN_PKCS1_2048_SHA256": crypto.SHA256, "RSA_SIGN_PKCS1_3072_SHA256": crypto.SHA256,
	"RSA_SIGN_PKCS1_4096_SHA256": crypto.SHA256,
}

// A googleSigner is a version of an asymmetric key of Google Cloud KMS.
type googleSigner struct {
	*googleKey
	tokens login[string]
}

// openGoogleSigner opens gcp-kms://projects/.../cryptoKeys/KEY/cryptoKeyVersions/N.
func openGoogleSigner(name string, http connect) (keyring.Signatory, error) {
	if !googleVersion.MatchString(name) {
		return nil, errors.New("the URI needs the resource name of a version of a key, such as gcp-kms://projects/example/" +
			"locations/europe-west3/keyRings/perennial/cryptoKeys/issuing/cryptoKeyVersions/1")
	}
	s := &googleSigner{googleKey: &googleKey{http: http(nil), name: name}}
	s.tokens.get = s.token
	return s, nil
}

// ask sends a request with an access token.
func (s *googleSigner) ask(ctx context.Context, r request, answer any) error {
	token, err := s.tokens.use(ctx)
	if err != nil {
		return err
	}
	r.header, r.secrets = http.Header{"Authorization": {"Bearer " + token}}, []string{token}
	r.detail, r.signs = nestedError, true
	if err = r.do(ctx, s.http, answer); err != nil {
		s.tokens.forget()
	}
	return err
}

// Key implements [keyring.Signatory].
func (s *googleSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	var answer struct{ Name, PEM, PEMCRC32C, Algorithm string }
	err := s.ask(ctx, request{method: http.MethodGet, url: googleAPI + s.name + "/publicKey"}, &answer)
	if err != nil {
		return "", nil, err
	}
	if answer.Name != s.name || checksum([]byte(answer.PEM)) != answer.PEMCRC32C {
		return "", nil, errDamaged
	}
	if googleAlgorithms[answer.Algorithm] == 0 {
		return "", nil, fmt.Errorf("the algorithm %q of the key is not supported: use EC_SIGN_P256_SHA256, "+
			"EC_SIGN_P384_SHA384, or RSA_SIGN_PKCS1 with SHA256", answer.Algorithm)
	}
	public, err := publicKey([]byte(answer.PEM))
	return "gcp-kms://" + s.name, public, err
}

// Sign implements [keyring.Signatory].
func (s *googleSigner) Sign(ctx context.Context, _ crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	field := strings.Replace(strings.ToLower(hash.String()), "-", "", 1) // sha256 for SHA-256
	var answer struct {
		Name, SignatureCRC32C string
		Signature             []byte
		VerifiedDigestCRC32C  bool
	}
	err := s.ask(ctx, request{method: http.MethodPost, url: googleAPI + s.name + ":asymmetricSign",
		body: map[string]any{"digest": map[string]string{field: base64.StdEncoding.EncodeToString(digest)},
			"digestCrc32c": checksum(digest)}}, &answer)
	if err != nil {
		return nil, err
	}
	if answer.Name != s.name || !answer.VerifiedDigestCRC32C || checksum(answer.Signature) != answer.SignatureCRC32C {
		return nil, errDamaged
	}
	return answer.Signature, nil
}
