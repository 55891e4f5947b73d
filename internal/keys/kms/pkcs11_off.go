//go:build !pkcs11

package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// openPKCS11 refuses every key: a module of PKCS#11 is C, and this program was built without it.
func openPKCS11(name string, _ connect) (keyring.Remote, error) {
	if _, err := parseToken(name); err != nil {
		return nil, err
	}
	return nil, errNoPKCS11
}

// openPKCS11Signer refuses every key, as openPKCS11 does.
func openPKCS11Signer(name string, _ connect) (keyring.Signatory, error) {
	if _, err := parseToken(name); err != nil {
		return nil, err
	}
	return nil, errNoPKCS11
}

var errNoPKCS11 = errors.New("this program was built without PKCS#11: use the one that \"make release-hsm\" builds")

// noPKCS11 returns why this program cannot use a token.
func noPKCS11() error { return fmt.Errorf("the pkcs11 token: %w", errNoPKCS11) }

// noTokens refuse every call.
type noTokens struct{}

func openedTokens() keyring.Tokens { return noTokens{} }

func (noTokens) Check(context.Context, string) error { return noPKCS11() }

func (noTokens) Make(context.Context, string, tenancy.KeyType) (crypto.PublicKey, error) {
	return nil, noPKCS11()
}

func (noTokens) Sign(context.Context, string, crypto.PublicKey, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, noPKCS11()
}

func (noTokens) Destroy(context.Context, string) error { return noPKCS11() }
