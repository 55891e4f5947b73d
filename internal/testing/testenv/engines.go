package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// EachEngine runs a test against both engines, each with a new database. The URL has the form of --database.
func EachEngine(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "perennial.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// NeedsServers skips a test that starts a server if "make check" runs it. Elsewhere, a missing server is a failure.
func NeedsServers(t testing.TB) {
	t.Helper()
	if os.Getenv("PERENNIAL_TEST_SERVERS") == "none" {
		t.Skip("needs a server: make test runs it")
	}
}
