package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// simple queries without a prepared statement, because a pooler may have prepared it for another client.
const simple = pgx.QueryExecModeSimpleProtocol

// pooled returns the mode of a connection pooler between this process and PostgreSQL that changes sessions, or "".
func pooled(ctx context.Context, db *sql.DB) (mode string, err error) {
	first, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer first.Close()
	var reported uint32
	err = first.Raw(func(c any) error {
		reported = c.(*stdlib.Conn).Conn().PgConn().PID()
		return nil
	})
	var pid uint32
	if err == nil {
		err = first.QueryRowContext(ctx, "SELECT pg_backend_pid()", simple).Scan(&pid)
	}
	if err != nil || pid == reported { // a pooler reports an invented process to its clients
		return "", err
	}
	// In session mode, no other connection can have the same server process while the first one is open.
	for range 8 {
		second, err := db.Conn(ctx)
		if err != nil {
			return "", err
		}
		defer second.Close()
		var other uint32
		if err := second.QueryRowContext(ctx, "SELECT pg_backend_pid()", simple).Scan(&other); err != nil {
			return "", err
		}
		if other == pid {
			return "in transaction mode", nil
		}
	}
	return "", nil
}

// checkServer refuses a read replica, and a pooler that gives every transaction another session. Neither can work.
func checkServer(ctx context.Context, db *sql.DB) error {
	var standby bool
	if err := db.QueryRowContext(ctx, "SELECT pg_is_in_recovery()", simple).Scan(&standby); err != nil {
		return err
	}
	if standby {
		return errors.New("it is a read replica (a hot standby): name the primary, or all of them with " +
			"target_session_attrs=read-write, as postgres://a,b/perennial?target_session_attrs=read-write")
	}
	mode, err := pooled(ctx, db)
	if err != nil {
		return err
	}
	if mode != "" {
		return fmt.Errorf("a connection pooler %s is in between and loses locks and notifications: connect to "+
			"PostgreSQL directly (each replica keeps at most %d connections), or set the pooler to session mode", mode,
			MaxConnections)
	}
	return nil
}
