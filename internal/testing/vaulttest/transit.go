package vaulttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"
)

// Transit are the keys of the transit secrets engine, by name, as AES-256-GCM keys in memory. Its answers are those of
// the documented API.
type Transit map[string]cipher.AEAD

// NewKey adds a key.
func (t Transit) NewKey(name string) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	if t[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err)
	}
}

const ciphertextPrefix = "vault:v1:"

// transit answers transit/encrypt/NAME and transit/decrypt/NAME.
func (s *Server) transit(w http.ResponseWriter, operation, name string, body map[string]any) {
	key, known := s.Transit[name]
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
