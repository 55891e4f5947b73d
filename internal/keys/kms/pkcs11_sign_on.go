//go:build pkcs11

package kms

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/url"
	"sync"

	"github.com/ThalesGroup/crypto11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A tokenSigner is a key pair in a PKCS#11 token. The session stays open, because signatures come in quick succession,
// and is opened again after an error.
type tokenSigner struct {
	tokenKey

	mu    sync.Mutex // guards what follows, and is held during a call
	token *crypto11.Context
	keys  []crypto11.Signer
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
	return &tokenSigner{tokenKey: k}, nil
}

// open opens the token and finds the key pairs with the label.
func (s *tokenSigner) open() error {
	if s.token != nil {
		return nil
	}
	settings, err := s.settings()
	if err != nil {
		return err
	}
	if s.token, err = crypto11.Configure(settings); err != nil {
		s.token = nil
		return s.unopened(err)
	}
	if s.keys, err = s.token.FindKeyPairs(nil, []byte(s.object)); err != nil {
		s.close()
		return &keyring.Away{Err: fmt.Errorf("the token does not list its keys: %w: check the token", err)}
	}
	return nil
}

func (s *tokenSigner) close() {
	s.token.Close()
	s.token, s.keys = nil, nil
}

// Key implements [keyring.Signatory]. If the token has no key with the label, it creates a P-256 key that cannot be
// exported.
func (s *tokenSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	public, err := withinTime(ctx, func() (crypto.PublicKey, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.open(); err != nil {
			return nil, err
		}
		switch len(s.keys) {
		case 0:
			id := make([]byte, 8)
			rand.Read(id)
			made, err := s.token.GenerateECDSAKeyPairWithLabel(id, []byte(s.object), elliptic.P256())
			if err != nil {
				s.close()
				return nil, &keyring.Away{Err: fmt.Errorf("the token does not create a key pair: %w: check the token", err)}
			}
			s.keys = []crypto11.Signer{made}
		case 1:
		default:
			return nil, fmt.Errorf("the token has %d key pairs with the label %s: use another label for the new one",
				len(s.keys), s.object)
		}
		return s.keys[0].Public(), nil
	})
	return s.uri(), public, err
}

// Sign implements [keyring.Signatory].
func (s *tokenSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	return withinTime(ctx, func() ([]byte, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.open(); err != nil {
			return nil, err
		}
		for _, key := range s.keys {
			if !same(key.Public(), public) {
				continue
			}
			signature, err := key.Sign(rand.Reader, digest, hash)
			if err != nil {
				s.close()
				return nil, &keyring.Away{Err: fmt.Errorf("the token does not sign with the key %s: %w: check the token", s.object,
					err)}
			}
			return signature, nil
		}
		s.close() // the key may be restored
		return nil, fmt.Errorf("the token has no key pair with the label %s and the public key of the certificate: restore "+
			"it from the backup of the token", s.object)
	})
}
