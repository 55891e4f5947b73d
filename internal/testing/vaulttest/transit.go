package vaulttest

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// AddSigningKey adds a version of a key of the transit secrets engine that signs.
func (s *Server) AddSigningKey(name string, key crypto.Signer) {
	s.Lock()
	defer s.Unlock()
	s.signers[name] = append(s.signers[name], key)
}

// signing answers the request for a key (a GET request) and transit/sign/NAME/HASH.
func (s *Server) signing(w http.ResponseWriter, parts []string, body map[string]any) {
	versions := s.signers[parts[2]]
	if len(versions) == 0 {
		fail(w, http.StatusNotFound)
		return
	}
	if len(parts) == 3 {
		keys := map[string]any{}
		for i, key := range versions {
			der, err := x509.MarshalPKIXPublicKey(key.Public())
			if err != nil {
				panic(err)
			}
			public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
			if plain, ok := key.Public().(ed25519.PublicKey); ok {
				public = base64.StdEncoding.EncodeToString(plain)
			}
			keys[strconv.Itoa(i+1)] = map[string]any{"creation_time": "2026-11-01T00:00:00Z", "name": "P-256",
				"public_key": public}
		}
		reply(w, map[string]any{"data": map[string]any{"keys": keys, "latest_version": len(versions),
			"min_available_version": 0, "name": parts[2], "supports_signing": true, "exportable": false}})
		return
	}
	version := len(versions)
	if n, ok := body["key_version"].(float64); ok && n > 0 {
		version = int(n)
	}
	text, _ := body["input"].(string)
	digest, err := base64.StdEncoding.DecodeString(text)
	hash := map[string]crypto.Hash{"sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384,
		"sha2-512": crypto.SHA512}[parts[3]]
	_, isRSA := versions[0].(*rsa.PrivateKey)
	switch {
	case version > len(versions):
		fail(w, http.StatusBadRequest, "cannot sign: version does not exist or has not been found")
		return
	case err != nil || hash == 0 || body["prehashed"] != true || len(digest) != hash.Size():
		fail(w, http.StatusBadRequest, "unable to decode input or hash of wrong length")
		return
	case isRSA && body["signature_algorithm"] != "pkcs1v15", !isRSA && body["marshaling_algorithm"] != "asn1":
		fail(w, http.StatusBadRequest, "unsupported signature or marshaling algorithm")
		return
	}
	signature, err := versions[version-1].Sign(rand.Reader, digest, hash)
	if err != nil {
		panic(err)
	}
	reply(w, map[string]any{"data": map[string]any{"key_version": version,
		"signature": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(signature))}})
}

// NewKey creates a key of the transit secrets engine that encrypts.
func (s *Server) NewKey(name string) {
	s.Lock()
	defer s.Unlock()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	if s.ciphers[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err)
	}
}

const ciphertextPrefix = "vault:v1:"

// transit answers transit/encrypt/NAME and transit/decrypt/NAME.
func (s *Server) transit(w http.ResponseWriter, operation, name string, body map[string]any) {
	key, known := s.ciphers[name]
	text, _ := body[map[string]string{"encrypt": "plaintext", "decrypt": "ciphertext"}[operation]].(string)
	data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, ciphertextPrefix))
	switch {
	case !known:
		fail(w, http.StatusBadRequest, "encryption key not found")
	case operation == "encrypt" && err != nil:
		fail(w, http.StatusBadRequest, "failed to base64-decode plaintext")
	case operation == "encrypt":
		reply(w, map[string]any{"data": map[string]any{"key_version": 1,
			"ciphertext": ciphertextPrefix + base64.StdEncoding.EncodeToString(key.Seal(nil, nil, data, nil))}})
	case !strings.HasPrefix(text, ciphertextPrefix) || err != nil:
		fail(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
	default:
		plain, err := key.Open(nil, nil, data, nil)
		if err != nil {
			fail(w, http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		reply(w, map[string]any{"data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}})
	}
}
