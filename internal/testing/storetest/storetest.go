// Package storetest gives tests a store on a new, migrated database, because a migration takes longer than most tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

const fault = "the disk is full"

// EachFault runs an operation once for each statement that it executes on SQLite, and that statement fails. prepare
// returns the operation on a new store. The test fails unless the operation returns the error of the statement.
// EachFault returns the number of statements.
func EachFault(t *testing.T, prepare func(t *testing.T) (*store.Store, func() error)) (statements int) {
	t.Helper()
	for ; ; statements++ {
		failed := "" // and so after -failfast too, which runs no subtest after one that fails
		t.Run(fmt.Sprint("statement ", statements+1), func(t *testing.T) {
			s, operation := prepare(t)
			var left atomic.Int64
			left.Store(int64(statements))
			s.BeforeStatements(func(query string) error {
				if left.Add(-1) != -1 {
					return nil
				}
				failed = query
				return errors.New(fault)
			})
			err := operation()
			s.BeforeStatements(nil)
			switch {
			case failed == "":
				testenv.Check(t, err)
			case err == nil || !strings.Contains(err.Error(), fault):
				t.Errorf("the error is %v although a statement fails: %s", err, failed)
			}
		})
		if failed == "" {
			return statements
		}
	}
}
