package store

import (
	"context"
	"database/sql/driver"
	"strings"
	"sync/atomic"

	"modernc.org/sqlite"
)

// preparing opens connections to SQLite that keep their prepared statements. SQLite takes as long to parse and plan one
// of our queries as to execute it. The driver caches no statements. database/sql cannot do so for the writer, because
// its only connection is inside a transaction when a statement is needed. PostgreSQL's driver has a cache.
type preparing struct {
	driver sqlite.Driver
	name   string
	path   string // of the file whose log the connections mark; empty for none
	before atomic.Pointer[func(query string) error]
	own    atomic.Pointer[exclusive] // nil unless a service uses the file alone
}

// A checked statement fails if PostgreSQL would not take an argument, if the file was overwritten, or if the function
// of [Store.BeforeStatements] returns an error.
type checked struct {
	stmt
	opened *preparing
	query  string
}

func (s checked) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.opened.check(s.query, args); err != nil {
		return nil, err
	}
	return s.stmt.ExecContext(ctx, args)
}

func (s checked) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.opened.check(s.query, args); err != nil {
		return nil, err
	}
	return s.stmt.QueryContext(ctx, args)
}

func (p *preparing) check(query string, args []driver.NamedValue) error {
	for _, a := range args {
		if text, ok := a.Value.(string); ok && !isStorable(text) {
			return errUnstorable // as on PostgreSQL
		}
	}
	if err := p.own.Load().usable(); err != nil {
		return err
	}
	if before := p.before.Load(); before != nil {
		return (*before)(query)
	}
	return nil
}

// BeforeStatements sets a function that SQLite calls before each execution of a statement, and whose error is that of
// the statement. Tests use it to make a statement fail. The function is nil at first.
func (s *Store) BeforeStatements(before func(query string) error) {
	for _, p := range s.opened {
		if before == nil {
			p.before.Store(nil)
			continue
		}
		p.before.Store(&before)
	}
}

// Connect implements [driver.Connector].
func (p *preparing) Connect(context.Context) (driver.Conn, error) {
	own := p.own.Load()
	if own != nil {
		if err := own.gone(); err != nil {
			return nil, err
		}
	}
	c, err := p.driver.Open(p.name)
	if err != nil {
		return nil, err
	}
	if own != nil {
		if err := own.gone(); err != nil {
			c.Close()
			return nil, err
		}
	}
	prepared := &preparedConn{sqliteConn: c.(sqliteConn), opened: p, idle: map[string][]driver.Stmt{}}
	if p.path != "" {
		prepared.log = watchLog(p.path)
	}
	return prepared, nil
}

// Driver implements [driver.Connector].
func (p *preparing) Driver() driver.Driver { return &p.driver }

// sqliteConn lists the interfaces of the driver's connections.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// maxPrepared is the maximum number of statements that a connection keeps. It exceeds the number of statements of this
// package and the job queue. A list of IDs makes a statement for each length.
const maxPrepared = 500

// A preparedConn is a connection with the prepared statements that are not in use. database/sql uses a connection from
// one goroutine at a time, but several rows may be open at once.
type preparedConn struct {
	sqliteConn
	opened *preparing
	idle   map[string][]driver.Stmt
	kept   int
	log    *walWatch // nil if the connection does not write
}

type stmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// acquire returns a statement for the query. The caller must release it. It returns nil if the statement of the query
// is not kept.
func (c *preparedConn) acquire(ctx context.Context, query string) (stmt, error) {
	if !keepable(query) {
		return nil, nil
	}
	if idle := c.idle[query]; len(idle) > 0 {
		c.idle[query] = idle[:len(idle)-1]
		c.kept--
		return idle[len(idle)-1].(stmt), nil
	}
	s, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return checked{s.(stmt), c.opened, query}, nil
}

// keepable reports whether a query is one statement that reads or writes rows. A query with a semicolon may be several.
// The job queue's queries begin with a comment.
func keepable(query string) bool {
	statement := query
	for strings.HasPrefix(statement, "--") {
		_, statement, _ = strings.Cut(statement, "\n")
	}
	verb := statement
	if end := strings.IndexAny(statement, " \t\n"); end >= 0 {
		verb = statement[:end]
	}
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return !strings.Contains(query, ";")
	}
	return false
}

func (c *preparedConn) release(query string, s stmt) {
	if c.kept >= maxPrepared {
		c.forget()
	}
	c.idle[query] = append(c.idle[query], s)
	c.kept++
}

func (c *preparedConn) forget() {
	for _, idle := range c.idle {
		for _, s := range idle {
			s.Close()
		}
	}
	clear(c.idle)
	c.kept = 0
}

// ExecContext implements [driver.ExecerContext].
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.acquire(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if err := c.opened.check(query, args); err != nil {
			return nil, err
		}
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	defer c.release(query, s)
	return s.ExecContext(ctx, args)
}

// QueryContext implements [driver.QueryerContext].
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.acquire(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if err := c.opened.check(query, args); err != nil {
			return nil, err
		}
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		c.release(query, s)
		return nil, err
	}
	return &preparedRows{rows, func() { c.release(query, s) }}, nil
}

// PrepareContext implements [driver.ConnPrepareContext]. The statement is released when it is closed.
func (c *preparedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.acquire(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.PrepareContext(ctx, query)
	}
	return &borrowed{s, func() { c.release(query, s) }}, nil
}

// IsValid implements [driver.Validator]. database/sql calls it each time that a connection returns to the pool, which
// is after each transaction and after each statement outside of one. The driver gives up a connection whose statement
// was interrupted. If the file was deleted, no other connection can be opened, so this one is kept.
func (c *preparedConn) IsValid() bool {
	if !c.sqliteConn.IsValid() {
		return c.opened.own.Load().isLost()
	}
	if c.log != nil && c.opened.own.Load().checkLog() == nil {
		c.log.look(context.Background(), c.sqliteConn)
	}
	return true
}

// ResetSession implements [driver.SessionResetter]. database/sql calls it before it uses a connection again. If another
// program has changed the log, all statements fail from now on.
func (c *preparedConn) ResetSession(ctx context.Context) error {
	if c.log != nil {
		_ = c.opened.own.Load().checkLog()
	}
	err := c.sqliteConn.ResetSession(ctx)
	if err != nil && c.opened.own.Load().isLost() {
		return nil
	}
	return err
}

// Close implements [driver.Conn].
func (c *preparedConn) Close() error {
	c.forget()
	if c.log != nil {
		c.log.close()
	}
	return c.sqliteConn.Close()
}

// A borrowed statement is released when it is closed.
type borrowed struct {
	stmt
	give func()
}

// Close implements [driver.Stmt].
func (b *borrowed) Close() error {
	b.give()
	return nil
}

// preparedRows release their statement when they are closed.
type preparedRows struct {
	driver.Rows
	give func()
}

// Close implements [driver.Rows].
func (r *preparedRows) Close() error {
	err := r.Rows.Close()
	r.give()
	return err
}
