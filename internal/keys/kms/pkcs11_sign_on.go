//go:build pkcs11

package kms

import (
	"context"
	"crypto"
	"fmt"
	"net/url"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// A tokenSigner is a key pair in a PKCS#11 token. It shares the sessions of the token with the keys of the tenants.
type tokenSigner struct {
	tokenKey
	token *token
}

// uri returns the URI of the key (RFC 7512).
func (k tokenKey) uri() string {
	name := "token=" + url.PathEscape(k.token)
	if k.serial != "" {
		name = "serial=" + url.PathEscape(k.serial)
	}
	return "pkcs11:" + name + ";object=" + url.PathEscape(k.object)
}

// openPKCS11Signer opens pkcs11:token=LABEL;object=LABEL.
func openPKCS11Signer(name string, _ connect) (keyring.Signatory, error) {
	k, err := parseToken(name)
	if err != nil {
		return nil, err
	}
	return &tokenSigner{tokenKey: k, token: processTokens.named(k)}, nil
}

// Key implements [keyring.Signatory]. If the token has no key with the label, it creates a P-256 key that cannot be
// exported.
func (s *tokenSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	public, err := call(ctx, s.token, func(o *openToken) (crypto.PublicKey, error) {
		all, err := pairs(o, s.tokenKey)
		if err != nil {
			return nil, err
		}
		switch len(all) {
		case 0:
			made, err := s.token.make(o, s.tokenKey, tenancy.P256)
			if err != nil {
				return nil, &keyring.Away{Err: fmt.Errorf("the token does not create a key pair: %w: check the token", err)}
			}
			return made.Public(), nil
		case 1:
			return all[0].Public(), nil
		}
		return nil, fmt.Errorf("the token has %d key pairs with the label %s: use another label for the new one", len(all),
			s.object)
	})
	return s.uri(), public, err
}

// Sign implements [keyring.Signatory].
func (s *tokenSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	return call(ctx, s.token, func(o *openToken) ([]byte, error) {
		key, err := s.token.key(o, s.tokenKey, public)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, fmt.Errorf("%w with the label %s and the public key of the certificate: restore it from the backup of "+
				"the token", errLostKey, s.object)
		}
		return signed(key, s.tokenKey, digest, hash)
	})
}
