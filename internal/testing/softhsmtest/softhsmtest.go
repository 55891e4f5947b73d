// Package softhsmtest gives tests a PKCS#11 token in software, of the Debian package softhsm2. It needs no cgo itself.
package softhsmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Label, PIN and URI are those of the token.
const (
	Label = "perennial"
	PIN   = "84629175"
	URI   = "pkcs11:token=" + Label
)

// A Token is a token in a folder of its own.
type Token struct {
	t        testing.TB
	settings string // path of its configuration
	gone     string // that of a token which is not there
}

// Start creates a token, and sets the variables of its module and its PIN. The test is skipped if SoftHSM is not
// installed.
func Start(t testing.TB) Token {
	t.Helper()
	module := ""
	for _, path := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	if module == "" {
		t.Skip("SoftHSM is not installed: install the Debian package softhsm2")
	}
	dir := t.TempDir()
	token := Token{t, filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "gone.conf")}
	for path, tokens := range map[string]string{token.settings: dir, token.gone: t.TempDir()} {
		text := fmt.Appendf(nil, "directories.tokendir = %s\nobjectstore.backend = file\n", tokens)
		testenv.Check(t, os.WriteFile(path, text, 0o600))
	}
	token.Away(false)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", Label, "--pin", PIN, "--so-pin",
		"11223344").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v: %s", err, out)
	}
	t.Setenv("PERENNIAL_PKCS11_MODULE", module)
	t.Setenv("PERENNIAL_PKCS11_PIN", PIN)
	t.Setenv("PERENNIAL_PKCS11_PIN_FILE", "")
	return token
}

// Away hides the token from contexts that are opened from now on, or shows it again.
func (k Token) Away(away bool) {
	path := k.settings
	if away {
		path = k.gone
	}
	k.t.Setenv("SOFTHSM2_CONF", path)
}
