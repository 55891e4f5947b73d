package links

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

// The secret in a mail that is sent again, by another replica or after a restart, is the same.
func TestReplicasDeriveTheSameSecretsFromASealedKey(t *testing.T) {
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	keys, err := keyring.Create(filepath.Join(t.TempDir(), "key"), nil)
	check(t, err)
	secrets := map[string]bool{}
	for range 2 {
		key, err := Open(t.Context(), s, keys)
		check(t, err)
		secret := key.Secret(Page, "1")
		secrets[secret] = true
		if len(secret) != secretLength || !key.Is(secret, Page, "1") {
			t.Errorf("the secret is %q", secret)
		}
		for _, other := range []string{key.Secret(Page, "2"), key.Secret(Stop, "1"), ""} {
			if other == secret || key.Is(other, Page, "1") {
				t.Errorf("the secret of another link opens this one: %q", other)
			}
		}
	}
	if len(secrets) != 1 {
		t.Errorf("%d secrets of one link", len(secrets))
	}
}

func TestTheKeyIsSealedAgainAfterARotation(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	keys, err := keyring.Create(filepath.Join(t.TempDir(), "key"), nil)
	check(t, err)
	check(t, Reseal(ctx, s, keys)) // there is none yet
	before, err := Open(ctx, s, keys)
	check(t, err)
	stored, err := s.Setting(ctx, keySetting)
	check(t, err)
	if strings.Contains(stored, string(before)) {
		t.Error("the key is not sealed")
	}
	check(t, keys.Rotate(ctx))
	check(t, Reseal(ctx, s, keys))
	resealed, err := s.Setting(ctx, keySetting)
	check(t, err)
	if resealed == stored {
		t.Error("the key is still sealed with the old one")
	}
	after, err := Open(ctx, s, keys)
	check(t, err)
	if before.Secret(Page, "1") != after.Secret(Page, "1") {
		t.Error("the links have changed")
	}
}
