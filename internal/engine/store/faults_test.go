package store

import (
	"context"
	"errors"
	"testing"
)

var errFault = errors.New("the disk is full")

// eachFault runs fn in transactions that are rolled back, once for each statement that it executes, and that statement
// fails. The test fails unless fn returns the error. eachFault returns the number of statements.
func eachFault(t *testing.T, s *Store, fn func(ctx context.Context, tx *Tx) error) (statements int) {
	t.Helper()
	undone := errors.New("undone")
	for ; ; statements++ {
		left, at := statements, ""
		var failed error
		err := write(t, s, func(ctx context.Context, tx *Tx) error {
			s.BeforeStatements(func(query string) error {
				left--
				if left != -1 {
					return nil
				}
				at = query
				return errFault
			})
			failed = fn(ctx, tx)
			s.BeforeStatements(nil)
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatalf("the transaction was not undone: %v", err)
		}
		if at == "" {
			return statements
		}
		if !errors.Is(failed, errFault) {
			t.Errorf("no error although a statement fails, but %v: %s", failed, at)
		}
	}
}
