package kms

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// publicKey reads a public key in PEM (RFC 7468).
func publicKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("the service answered without a public key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the public key of the service cannot be read")
	}
	return key, nil
}

// same reports whether two public keys are the same.
func same(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
