// Package storetest gives tests a store on a new database that is migrated already, because migrating takes longer than
// most tests.
package storetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Migrated is an empty database with the present schema.
var Migrated = testenv.NewTemplate(func(url string) error {
	s, err := store.Open(context.Background(), url)
	if err != nil {
		return err
	}
	return s.Close()
})

// Open opens a store until the test ends. If the URL is that of a SQLite file that does not exist, the file becomes a
// copy of [Migrated].
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			Migrated.Write(t, path)
		}
	}
	s, err := store.Open(t.Context(), url)
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
