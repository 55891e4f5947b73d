// Package enginetest gives the tests of the edges a real engine on a new database, with a local CA and a key file of
// its own.
package enginetest

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
)

// New makes an engine under the default policy, as if installed at now. It has no mail server: set its Outbox.
func New(t testing.TB, url string, now time.Time) (*lifecycle.Engine, *local.CA) {
	t.Helper()
	return Open(t, url, filepath.Join(t.TempDir(), "key"), now)
}

// Open is New with a key file that may be there already, as the database may.
func Open(t testing.TB, url, keyFile string, now time.Time) (*lifecycle.Engine, *local.CA) {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	keys, err := keyring.Open(keyFile)
	if errors.Is(err, keyring.ErrNoKeyFile) {
		keys, err = keyring.Create(keyFile)
	}
	testenv.Check(t, err)
	p, err := policy.Preset(policy.Default)
	testenv.Check(t, err)
	ca, err := local.Open(t.Context(), local.Config{TrustDomain: "p.example.com", Organization: "P",
		LongestValidity: p.Validity}, s, keys, now)
	testenv.Check(t, err)
	engine, err := lifecycle.New(lifecycle.Config{Store: s, Issuer: ca, Keys: keyring.NewPool(1), Seal: keys, Policy: p,
		MailDomain: "p.example.com", Log: slog.New(slog.DiscardHandler), Authorities: ca})
	testenv.Check(t, err)
	return engine, ca
}
