//go:build pkcs11

package kms

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ThalesGroup/crypto11"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// softHSM returns the module of SoftHSM. The test is skipped if it is not installed.
func softHSM(t *testing.T) string {
	t.Helper()
	for _, module := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(module); err == nil {
			return module
		}
	}
	t.Skip("SoftHSM is not installed: install the Debian package softhsm2")
	return ""
}

const tokenPIN = "84629175"

// startToken creates a token with the keys "a" and "b", and sets its module and PIN.
func startToken(t *testing.T) peer {
	t.Helper()
	module, dir := softHSM(t), t.TempDir()
	settings := filepath.Join(dir, "softhsm2.conf")
	text := fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\n", dir)
	check(t, os.WriteFile(settings, text, 0o600))
	t.Setenv("SOFTHSM2_CONF", settings)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "perennial", "--pin", tokenPIN,
		"--so-pin", "11223344").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	t.Setenv(pkcs11Module, module)
	t.Setenv(pkcs11PIN, tokenPIN)
	t.Setenv(pkcs11PINFile, "")
	newTokenKey(t, "1", "a")
	newTokenKey(t, "2", "b")
	return peer{uri: "pkcs11:token=perennial;object=a", other: "pkcs11:token=perennial;object=b", open: Open,
		secrets: []string{tokenPIN}, away: func(away bool) {
			name := filepath.Join(dir, "gone.conf")
			if !away {
				name = settings
			}
			os.WriteFile(filepath.Join(dir, "gone.conf"), fmt.Appendf(nil, "directories.tokendir = %s\n", t.TempDir()), 0o600)
			t.Setenv("SOFTHSM2_CONF", name)
		}}
}

// withToken opens the token of a test for a call. The login of one context holds for all in the process until then.
func withToken(t *testing.T, call func(*crypto11.Context)) {
	t.Helper()
	token, err := crypto11.Configure(&crypto11.Config{Path: os.Getenv(pkcs11Module), TokenLabel: "perennial",
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
