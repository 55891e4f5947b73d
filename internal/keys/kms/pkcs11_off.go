//go:build !pkcs11

package kms

import (
	"errors"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
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
