//go:build pkcs11

package kms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

// openPKCS11 opens pkcs11:token=LABEL;object=LABEL.
func openPKCS11(name string, _ connect) (keyring.Remote, error) {
	k, err := parseToken(name)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// settings returns the settings for opening the token.
func (k tokenKey) settings() (*crypto11.Config, error) {
	module := os.Getenv(pkcs11Module)
	if module == "" {
		return nil, fmt.Errorf("there is no module for the token: set %s to the library of its vendor", pkcs11Module)
	}
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("%s: %w", pkcs11Module, err)
	}
	var ref secret.Ref
	if file := os.Getenv(pkcs11PINFile); file != "" {
		ref = secret.File(file)
	} else if os.Getenv(pkcs11PIN) != "" {
		ref, _ = secret.Parse("env:" + pkcs11PIN)
	} else {
		return nil, fmt.Errorf("there is no PIN for the token: set %s, or %s to a file", pkcs11PIN, pkcs11PINFile)
	}
	pin, err := ref.Read()
	return &crypto11.Config{Path: module, TokenLabel: k.token, TokenSerial: k.serial, Pin: pin.Reveal(), MaxSessions: 2,
		GCMIVLength: nonceSize}, err
}

// nonceSize is the length of the nonces of AES-GCM (SP 800-38D).
const nonceSize = 12

// do calls the token.
func (k tokenKey) do(ctx context.Context, call func(*crypto11.SecretKey) ([]byte, error)) ([]byte, error) {
	return withinTime(ctx, func() ([]byte, error) { return k.use(call) })
}

// withinTime calls a token. A call that takes too long is abandoned.
func withinTime[T any](ctx context.Context, call func() (T, error)) (none T, err error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return none, ctx.Err()
		}
		return none, &keyring.Away{Err: fmt.Errorf("the token does not answer within %s: check the token",
			keyring.RemoteTime)}
	}
}

// use opens the token for one call, so that no session or login remains.
func (k tokenKey) use(call func(*crypto11.SecretKey) ([]byte, error)) (data []byte, err error) {
	settings, err := k.settings()
	if err != nil {
		return nil, err
	}
	token, err := crypto11.Configure(settings)
	if err != nil {
		return nil, k.unopened(err)
	}
	defer token.Close()
	keys, err := token.FindKeys(nil, []byte(k.object))
	if err != nil {
		return nil, &keyring.Away{Err: fmt.Errorf("the token does not list its keys: %w: check the token", err)}
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("the token has %d secret keys with the label %s instead of one: check the URI, or generate "+
			"an AES key with this label", len(keys), k.object)
	}
	return call(keys[0])
}

// unopened returns the error for a token that cannot be opened. A wrong PIN is not tried again: it would lock the
// token.
func (k tokenKey) unopened(err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		switch code {
		case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE,
			pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
			return fmt.Errorf("the token does not accept the PIN (%w): check %s or %s", code, pkcs11PIN, pkcs11PINFile)
		}
	}
	return &keyring.Away{Err: fmt.Errorf("the token cannot be opened: %w: check that it is present, and its name in the "+
		"URI", err)}
}

// Wrap implements [keyring.Remote].
func (k tokenKey) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	return k.do(ctx, func(s *crypto11.SecretKey) (sealed []byte, err error) {
		gcm, err := s.NewGCM()
		if err != nil {
			return nil, fmt.Errorf("the key %s cannot encrypt with AES-GCM: use an AES key", k.object)
		}
		defer func() { // the library panics if the token refuses
			if p := recover(); p != nil {
				err = fmt.Errorf("the token does not encrypt with the key %s: %v: allow it to encrypt and decrypt", k.object, p)
			}
		}()
		nonce := make([]byte, nonceSize)
		rand.Read(nonce)
		return gcm.Seal(nonce, nonce, key, nil), nil
	})
}

// Unwrap implements [keyring.Remote].
func (k tokenKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) <= nonceSize {
		return nil, errors.New("it is not a key that a token wrapped")
	}
	return k.do(ctx, func(s *crypto11.SecretKey) ([]byte, error) {
		gcm, err := s.NewGCM()
		if err != nil {
			return nil, fmt.Errorf("the key %s cannot decrypt with AES-GCM: use an AES key", k.object)
		}
		key, err := gcm.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], nil)
		if err != nil {
			return nil, fmt.Errorf("the token does not decrypt with the key %s: %w: check that it wrapped the keyset", k.object,
				err)
		}
		return key, nil
	})
}
