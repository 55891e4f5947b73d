package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"
)

var errFault = errors.New("the disk is full")

// A faultyConn fails one execution of a statement.
type faultyConn struct {
	sqliteConn
	left   int // executions before the one that fails
	failed string
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return faultyStmt{s.(stmt), c, query}, nil
}

type faultyStmt struct {
	stmt
	conn  *faultyConn
	query string
}

func (s faultyStmt) fault() error {
	s.conn.left--
	if s.conn.left != -1 {
		return nil
	}
	s.conn.failed = s.query
	return errFault
}

func (s faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.stmt.ExecContext(ctx, args)
}

func (s faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.fault(); err != nil {
		return nil, err
	}
	return s.stmt.QueryContext(ctx, args)
}

// eachFault runs fn in transactions that are rolled back, once for each statement that it executes, and that statement
// fails. The test fails unless fn returns the error. eachFault returns the number of statements.
func eachFault(t *testing.T, s *Store, fn func(ctx context.Context, tx *Tx) error) (statements int) {
	t.Helper()
	undone := errors.New("undone")
	for ; ; statements++ {
		faulty := &faultyConn{left: statements}
		replace := func(by func(c *preparedConn)) {
			conn, err := s.writer.Conn(t.Context())
			must(t, err)
			defer conn.Close()
			must(t, conn.Raw(func(c any) error {
				c.(*preparedConn).forget()
				by(c.(*preparedConn))
				return nil
			}))
		}
		replace(func(c *preparedConn) { faulty.sqliteConn, c.sqliteConn = c.sqliteConn, faulty })
		var failed error
		err := write(t, s, func(ctx context.Context, tx *Tx) error {
			failed = fn(ctx, tx)
			return undone
		})
		replace(func(c *preparedConn) { c.sqliteConn = faulty.sqliteConn })
		if !errors.Is(err, undone) {
			t.Fatalf("the transaction was not undone: %v", err)
		}
		if faulty.failed == "" {
			return statements
		}
		if !errors.Is(failed, errFault) {
			t.Errorf("no error although a statement fails, but %v: %s", failed, faulty.failed)
		}
	}
}
