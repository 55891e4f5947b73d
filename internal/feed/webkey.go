package feed

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"

	"github.com/go-jose/go-jose/v4"
)

// WebKey returns the public key of a certificate with the certificate (RFC 7517, x5c and x5t#S256). A key on an unusual
// curve has no such form: ok is false.
//
// Its ID is the SHA-256 of the certificate in base64url. The thumbprint of the key (RFC 7638) would not be unique,
// because two generations may share a key.
func WebKey(c *x509.Certificate) (key jose.JSONWebKey, ok bool) {
	switch public := c.PublicKey.(type) {
	case *rsa.PublicKey, ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P224() {
			return key, false
		}
	default:
		return key, false
	}
	sum := sha256.Sum256(c.Raw)
	key = jose.JSONWebKey{Key: c.PublicKey, Certificates: []*x509.Certificate{c},
		KeyID: base64.RawURLEncoding.EncodeToString(sum[:]), CertificateThumbprintSHA256: sum[:]}
	return key, key.Valid()
}

// WebKeys returns the keys of certificates as a JWK Set, for the jwks_uri of an OAuth client (RFC 8705, section 2.2.2).
func WebKeys(certificates []*x509.Certificate) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, c := range certificates {
		if key, ok := WebKey(c); ok {
			set.Keys = append(set.Keys, key)
		}
	}
	return set
}
