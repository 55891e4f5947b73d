//go:build pkcs11

package kms

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ThalesGroup/crypto11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/softhsmtest"
)

const tokenPIN = softhsmtest.PIN

// startToken creates a token with the keys "a" and "b", and sets its module and PIN.
func startToken(t *testing.T) peer {
	t.Helper()
	token := softhsmtest.Start(t)
	newTokenKey(t, "1", "a")
	newTokenKey(t, "2", "b")
	return peer{uri: softhsmtest.URI + ";object=a", other: softhsmtest.URI + ";object=b", open: Open,
		secrets: []string{tokenPIN}, away: token.Away}
}

// withToken opens the token of a test for a call. The login of one context holds for all in the process until then.
func withToken(t *testing.T, call func(*crypto11.Context)) {
	t.Helper()
	token, err := crypto11.Configure(&crypto11.Config{Path: os.Getenv(pkcs11Module), TokenLabel: softhsmtest.Label,
		Pin: tokenPIN})
	check(t, err)
	defer token.Close()
	call(token)
}

// newTokenKey generates an AES key in the token.
func newTokenKey(t *testing.T, id, label string) {
	t.Helper()
	withToken(t, func(token *crypto11.Context) {
		_, err := token.GenerateSecretKeyWithLabel([]byte(id), []byte(label), 256, crypto11.CipherAES)
		check(t, err)
	})
}

func TestATokenWrapsKeys(t *testing.T) { startToken(t).conforms(t) }

func TestEachFaultOfATokenNamesTheNextStep(t *testing.T) {
	p := startToken(t)
	wrap := func(uri string) error {
		remote, err := Open(uri)
		check(t, err)
		_, err = remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
		p.clean(t, err)
		return err
	}
	wantError(t, "no key", wrap("pkcs11:token=perennial;object=c"),
		"the token has 0 secret keys with the label c instead of one: check the URI")
	newTokenKey(t, "3", "b")
	wantError(t, "two keys", wrap(p.other), "the token has 2 secret keys with the label b instead of one")
	err := wrap("pkcs11:token=elsewhere;object=a")
	wantError(t, "no token", err, "check that it is present, and its name in the URI")
	if !isAway(err) {
		t.Error("a token that is not present is not tried again")
	}
	t.Setenv(pkcs11PIN, "00000000")
	err = wrap(p.uri)
	wantError(t, "another PIN", err, "the token does not accept the PIN")
	if isAway(err) {
		t.Error("a wrong PIN is tried again, which locks the token")
	}
	file := filepath.Join(t.TempDir(), "pin")
	check(t, os.WriteFile(file, []byte(tokenPIN+"\n"), 0o600))
	t.Setenv(pkcs11PINFile, file)
	check(t, wrap(p.uri))
	t.Setenv(pkcs11PINFile, "")
	t.Setenv(pkcs11PIN, "")
	wantError(t, "no PIN", wrap(p.uri), "set PERENNIAL_PKCS11_PIN, or PERENNIAL_PKCS11_PIN_FILE to a file")
	t.Setenv(pkcs11Module, "/missing.so")
	wantError(t, "no module", wrap(p.uri), "PERENNIAL_PKCS11_MODULE: stat /missing.so")
	t.Setenv(pkcs11Module, "")
	wantError(t, "no module", wrap(p.uri), "set PERENNIAL_PKCS11_MODULE")
}

func TestATokenKeepsItsKey(t *testing.T) {
	startToken(t)
	withToken(t, func(token *crypto11.Context) {
		key, err := token.FindKey(nil, []byte("a"))
		check(t, err)
		value, err := token.GetAttribute(key, crypto11.CkaValue)
		if err == nil && len(bytes.Trim(value.Value, "\x00")) > 0 {
			t.Errorf("the token gave %d bytes of its key away", len(value.Value))
		}
	})
}
