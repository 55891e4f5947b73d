package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// A plainError is an error of the database with a text for administrators.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

const (
	readOnlyText = "the database is read-only: it is a standby, or was set to read-only; name the primary in " +
		"--database, or make it writable; nothing was lost"
	fullText = "the database's disk is full: free space, nothing was lost"
)

// errReadOnly is the result of [Store.Writable] if the database answers but cannot be written.
var errReadOnly = errors.New(readOnlyText)

// IsAway reports whether an error means that PostgreSQL does not answer, or cannot be written, or that the file of a
// SQLite database was damaged.
func IsAway(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	var gone *GoneError
	switch {
	case errors.As(err, &gone):
		return gone.Damaged
	case errors.As(err, &connect), errors.Is(err, driver.ErrBadConn), errors.Is(err, errReadOnly):
		return true
	case errors.As(err, &pg):
		// PostgreSQL, Appendix A: connection exceptions, operator intervention but for a cancelled query, too many
		// connections, a read-only transaction
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || pg.Code == "53300" ||
			pg.Code == "25006"
	}
	// The job queue logs some errors as text.
	return strings.Contains(err.Error(), "failed to connect to `") || strings.Contains(err.Error(), byAnother)
}

// Writable returns an error unless the database answers and can be written.
func (s *Store) Writable(ctx context.Context) error {
	if s.engine != Postgres {
		return s.Ping(ctx)
	}
	var readOnly string
	err := s.writer.QueryRowContext(ctx, "SELECT current_setting('transaction_read_only')").Scan(&readOnly)
	if err == nil && readOnly == "on" {
		return errReadOnly
	}
	return s.explain(err)
}

// plain returns the error with a text for administrators; nil if there is none.
func plain(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case errors.As(err, &pg) && pg.Code == "53100", errors.As(err, &lite) && lite.Code() == 13: // SQLITE_FULL
		return &plainError{fullText, err}
	case errors.As(err, &pg) && pg.Code == "25006", errors.As(err, &lite) && lite.Code()&0xff == 8: // SQLITE_READONLY
		return &plainError{readOnlyText, err}
	}
	return nil
}
