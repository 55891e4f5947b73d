package stepca_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
)

func TestAReplacedKeyOrPasswordOfAProvisionerIsUsedAtOnce(t *testing.T) {
	s := steptest.Start(t)
	i := open(t, jwk(s))
	issue := func() error {
		_, err := i.Issue(t.Context(), request(t))
		return err
	}
	password, err := os.ReadFile(s.Password)
	check(t, err)
	for range 2 { // the key is opened, and used as it was opened
		check(t, issue())
	}
	check(t, os.WriteFile(s.Password, []byte("another"), 0o600))
	if err := issue(); err == nil || !strings.Contains(err.Error(), "cannot be opened with the password "+
		secret.File(s.Password).String()) {
		t.Errorf("%v", err)
	}
	check(t, os.WriteFile(s.Password, password, 0o600))
	check(t, issue())
	plain, err := os.ReadFile(s.PlainKey)
	check(t, err)
	check(t, os.WriteFile(s.Key, bytes.Replace(plain, []byte(`"kid":"`), []byte(`"kid":"other-`), 1), 0o600))
	if issue() == nil {
		t.Error("the key that was replaced is still used")
	}
	check(t, os.WriteFile(s.Key, plain, 0o600))
	check(t, issue())
}
