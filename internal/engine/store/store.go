// Package store keeps all data in SQLite or PostgreSQL, through database/sql and one set of queries. A file is named
// after the table that it reads and writes.
//
// It promises that committed data survives a crash (SQLite runs with synchronous=FULL), and that both engines give the
// same answers (one suite of tests runs against both). Errors that a caller decides by are the kinds of package
// tenancy. On SQLite there is one writer connection, shared with the job queue, and a pool of readers. SQLite allows
// one writer at a time anyway, and queueing in Go is fairer than busy time-outs.
package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perennial-pki/perennial/tenancy"
)

// An Engine is a kind of database.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// A Store is an open database. Its own reading methods use a pool of readers.
type Store struct {
	Reader
	writer *sql.DB
	reader *sql.DB
	opened []*preparing // on SQLite, what opens the connections of writer and reader
	own    *exclusive   // set while this process is the only service on a SQLite file
	hub    hub
	// longest is the longest lifetime that is known to be stored, as [Store.LongestValidity] returned it last.
	longest atomic.Int64
	// follow is called with the events of each transaction, see [Store.OnAudit]; nil if nothing follows from them.
	follow atomic.Pointer[Follower]
}

// A Follower writes what follows from audit events, in the transaction that stores them. It may be called several times
// in one transaction, and again if the transaction is repeated.
type Follower func(ctx context.Context, tx *Tx, events []tenancy.Event) error

// OnAudit calls a function in each transaction of this process that stores audit events from now on.
func (s *Store) OnAudit(follow Follower) { s.follow.Store(&follow) }

// A Reader reads from a pool or inside a transaction.
type Reader struct {
	q      querier
	engine Engine
}

type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// A Tx is a transaction. It reads and writes.
type Tx struct {
	Reader
	tx      *sql.Tx
	changed map[string]struct{} // tenant IDs, for [Store.OnChange]
	longest *atomic.Int64       // of the store
	follow  *Follower           // of the store; may be nil
}

// SQL returns the transaction itself, for the job queue, which inserts into it.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Close closes the database. If a service has it open, and its file was deleted, Close writes the file again. If the
// file was replaced, Close saves the database beside it, and returns an error that names the copy. A file that another
// program has overwritten stays as it is: SQLite would write its log into it, so the end of the process closes it.
func (s *Store) Close() error {
	var err error
	after := func() error { return nil }
	if s.own != nil {
		if damaged := (*GoneError)(nil); errors.As(s.own.check(), &damaged) && damaged.Damaged {
			return errors.Join(damaged, s.own.lock.Close())
		}
		after, err = s.rescue()
	}
	err = errors.Join(err, s.writer.Close())
	if s.reader != s.writer {
		err = errors.Join(err, s.reader.Close())
	}
	err = errors.Join(err, after())
	if s.own != nil {
		err = errors.Join(err, s.own.content.close(), s.own.lock.Close())
	}
	return err
}

// Engine returns the kind of the database.
func (s *Store) Engine() Engine { return s.engine }

// DB returns the pool that writes, for the job queue.
func (s *Store) DB() *sql.DB { return s.writer }

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.own.usable(); err != nil {
		return err
	}
	return s.explain(s.writer.PingContext(ctx))
}

// InTx runs fn in a transaction that commits if fn returns nil. PostgreSQL may ask to repeat a transaction. Then fn
// runs again, so it must not change anything outside the transaction.
func (s *Store) InTx(ctx context.Context, fn func(*Tx) error) error {
	for try := 1; ; try++ {
		err := s.inTx(ctx, fn)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") && try < 5 { // serialization failure, deadlock
			continue
		}
		return s.explain(err)
	}
}

func (s *Store) inTx(ctx context.Context, fn func(*Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	t := &Tx{Reader{tx, s.engine}, tx, map[string]struct{}{}, &s.longest, s.follow.Load()}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.announce(ctx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.hub.notify(t.changed)
	s.hub.afterCommit()
	return nil
}
