// Package storetest gives tests a store on a new, migrated database, because a migration takes longer than most tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// Snapshot returns the content of a copy of a database on SQLite.
func Snapshot(t testing.TB, s *store.Store) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.db")
	_, err := s.DB().ExecContext(t.Context(), "VACUUM INTO ?", path)
	testenv.Check(t, err)
	data, err := os.ReadFile(path)
	testenv.Check(t, err)
	return data
}

// Restore writes a snapshot into a new file and returns its URL.
func Restore(t testing.TB, snapshot []byte) (url string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.db")
	testenv.Check(t, os.WriteFile(path, snapshot, 0o600))
	return "sqlite:" + path
}

const fault = "the disk is full"

// EachFault runs an operation once for each place in the code from which it executes a statement on SQLite, and the
// first statement from there fails. A statement in a loop therefore fails once. prepare returns the operation on a new
// store. The test fails unless the operation returns the error of the statement. EachFault returns the number of
// places.
func EachFault(t *testing.T, prepare func(t *testing.T) (*store.Store, func() error)) (places int) {
	t.Helper()
	var sites testenv.CallSites
	for ; ; places++ {
		var failed atomic.Pointer[string] // and so after -failfast too, which runs no subtest after one that fails
		t.Run(fmt.Sprint("place ", places+1), func(t *testing.T) {
			s, operation := prepare(t)
			s.BeforeStatements(func(query string) error {
				if failed.Load() != nil || !sites.Add() {
					return nil
				}
				failed.Store(&query)
				return errors.New(fault)
			})
			err := operation()
			s.BeforeStatements(nil)
			switch query := failed.Load(); {
			case query == nil:
				testenv.Check(t, err)
			case err == nil || !strings.Contains(err.Error(), fault):
				t.Errorf("the error is %v although a statement fails: %s", err, *query)
			}
		})
		if failed.Load() == nil {
			return places
		}
	}
}
