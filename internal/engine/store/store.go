// Package store keeps everything in SQLite or PostgreSQL, through database/sql and one set of queries.
//
// It promises: what a committed transaction wrote is there after a crash (SQLite runs with synchronous=FULL), both
// engines give the same answers (one suite of tests runs against both), and errors that a caller decides by are the
// kinds of package tenancy. On SQLite there is one writer connection, shared with the job queue, and a pool of readers
// beside it: SQLite has one writer at a time anyway, and queueing in Go is fairer than busy time-outs.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing/fstest" // a file system in memory
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"

	"github.com/perennial-pki/perennial/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Engine is the kind of database.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// mostConnections bounds those of one process to PostgreSQL. Beside them the job queue and the listener for changes
// have a few.
const mostConnections = 32

// A Store is an open database. Its methods that read use a pool of readers.
type Store struct {
	Reader
	writer *sql.DB
	reader *sql.DB
	lock   *os.File // held while this process is the only service on a SQLite file
	hub    hub
}

// Reader reads: from a pool, or inside a transaction.
type Reader struct {
	q      querier
	engine Engine
}

type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// A Tx is a transaction: it reads and writes.
type Tx struct {
	Reader
	tx      *sql.Tx
	changed map[string]bool // tenant IDs, for [Store.Changes]
}

// SQL is the transaction itself, for the job queue, which inserts into the same one.
func (t *Tx) SQL() *sql.Tx { return t.tx }

// Open opens the database that the URL names ("sqlite:PATH" or "postgres://...") and brings its schema up to date. A
// schema newer than this program knows is refused.
func Open(ctx context.Context, url string) (*Store, error) {
	s, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", Masked(url), s.explain(err))
	}
	return s, nil
}

// OpenInMemory opens an empty SQLite database that lives as long as the store is open and is nobody else's, for
// simulations. It has one connection: what is inside a transaction must read through it.
func OpenInMemory(ctx context.Context) (*Store, error) {
	db := sql.OpenDB(&preparing{name: ":memory:?_pragma=foreign_keys(ON)&_pragma=cache_size(-65536)&_txlock=immediate"})
	db.SetMaxOpenConns(1)
	s := &Store{Reader: Reader{db, SQLite}, writer: db, reader: db}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database in memory: %w", err)
	}
	return s, nil
}

// OpenExclusive is [Open] for a service: on SQLite it refuses a file that another service has open.
func OpenExclusive(ctx context.Context, url string) (*Store, error) {
	path, ok := sqlitePath(url)
	if !ok {
		return Open(ctx, url)
	}
	held, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	s, err := Open(ctx, url)
	if err != nil {
		held.Close()
		return nil, err
	}
	s.lock = held
	return s, nil
}

// CheckExists refuses a SQLite file that is not there, for commands that look at a database: opening one would make it.
func CheckExists(url string) error {
	path, ok := sqlitePath(url)
	if !ok {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database at %s: name the one that the service uses with --database", path)
	} else if err != nil {
		return err
	}
	return nil
}

func sqlitePath(url string) (string, bool) { return strings.CutPrefix(url, "sqlite:") }

func connect(ctx context.Context, url string) (*Store, error) {
	path, ok := sqlitePath(url)
	switch {
	case ok && path == "":
		return nil, errors.New("database sqlite: has no path: write sqlite:perennial.db")
	case ok:
		// The owner's alone, like the key file; SQLite gives its other files the same mode.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open the SQLite database: %w", err)
		}
		f.Close()
		const common = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)&_pragma=wal_autocheckpoint(10000)"
		name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) + common
		writer := sql.OpenDB(&preparing{name: name + "&_pragma=cache_size(-65536)&_txlock=immediate"})
		writer.SetMaxOpenConns(1)
		if err := writer.PingContext(ctx); err != nil {
			writer.Close()
			return nil, fmt.Errorf("open the SQLite database %s: %w", path, err)
		}
		reader := sql.OpenDB(&preparing{name: name + "&_pragma=cache_size(-8192)&_pragma=query_only(ON)"})
		reader.SetMaxOpenConns(8)
		return &Store{Reader: Reader{reader, SQLite}, writer: writer, reader: reader}, nil
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db, err := sql.Open("pgx", url)
		if err == nil {
			db.SetMaxOpenConns(mostConnections)
			db.SetMaxIdleConns(mostConnections)
			err = checkServer(ctx, db)
		}
		if err != nil {
			return nil, fmt.Errorf("connect to PostgreSQL at %s: %w", Masked(url), err)
		}
		return &Store{Reader: Reader{db, Postgres}, writer: db, reader: db}, nil
	default:
		return nil, fmt.Errorf("database %q: write sqlite:PATH or postgres://USER@HOST/NAME", Masked(url))
	}
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := s.migrations()
	if err != nil {
		return err
	}
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.engine == Postgres {
		locker, err := lock.NewPostgresSessionLocker() // replicas that start together migrate one after the other
		if err != nil {
			return err
		}
		dialect, opts = goose.DialectPostgres, append(opts, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, s.writer, dir, opts...)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return fmt.Errorf("its schema is version %d, and this program knows up to %d: it was written by a newer perennial; "+
			"use that one, or restore a backup from before the upgrade", current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}

// migrations are the files in the words of the engine.
func (s *Store) migrations() (fs.FS, error) {
	// PostgreSQL compares text byte by byte, as SQLite does: a locale would order differently, and cost more.
	words := strings.NewReplacer(" TEXT ", ` TEXT COLLATE "C" `)
	if s.engine == SQLite {
		words = strings.NewReplacer("BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY", "/*sqlite ", "", " */", "")
	}
	files := fstest.MapFS{}
	return files, fs.WalkDir(migrations, "migrations", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(migrations, path)
		files[d.Name()] = &fstest.MapFile{Data: []byte(words.Replace(string(data)))}
		return err
	})
}

// Close closes the database.
func (s *Store) Close() error {
	err := s.writer.Close()
	if s.reader != s.writer {
		err = errors.Join(err, s.reader.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Engine is the kind of database.
func (s *Store) Engine() Engine { return s.engine }

// DB is the pool that writes, for the job queue.
func (s *Store) DB() *sql.DB { return s.writer }

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.explain(s.writer.PingContext(ctx)) }

// InTx runs fn in a transaction that commits when fn returns nil. fn may run again where PostgreSQL asks to repeat it:
// it must not change anything outside.
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
	t := &Tx{Reader{tx, s.engine}, tx, map[string]bool{}}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.announce(ctx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.hub.tell(t.changed)
	return nil
}

// explain turns an engine's error into one of the kinds of package tenancy, where a caller decides by it, and says in
// words what an administrator can mend.
func (r Reader) explain(err error) error {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return tenancy.Errorf(tenancy.ErrNotFound, "not found")
	case errors.As(err, &pg):
		switch pg.Code {
		case "23505":
			return tenancy.Errorf(tenancy.ErrConflict, "it exists already")
		case "23503":
			return tenancy.Errorf(tenancy.ErrConflict, "it is still in use")
		case "53100":
			return fmt.Errorf("the database's disk is full: free space, nothing was lost: %w", err)
		}
	case errors.As(err, &lite):
		switch lite.Code() {
		case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE
			return tenancy.Errorf(tenancy.ErrConflict, "it exists already")
		case 787, 1811: // SQLITE_CONSTRAINT_FOREIGNKEY, _TRIGGER
			return tenancy.Errorf(tenancy.ErrConflict, "it is still in use")
		case 13: // SQLITE_FULL
			return fmt.Errorf("the database's disk is full: free space, nothing was lost: %w", err)
		}
	}
	return err
}

// Masked is a database URL without its password.
func Masked(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		if name, _, ok := strings.Cut(rest[:at], ":"); ok {
			rest = name + ":***" + rest[at:]
		}
	}
	return scheme + "://" + rest
}

// Queries are written with ? and numbered for PostgreSQL once.
var numbered sync.Map

func (r Reader) sql(query string) string {
	if r.engine != Postgres {
		return query
	}
	if q, ok := numbered.Load(query); ok {
		return q.(string)
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
		} else {
			b.WriteRune(c)
		}
	}
	numbered.Store(query, b.String())
	return b.String()
}

func (r Reader) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := r.q.ExecContext(ctx, r.sql(query), args...)
	if err != nil {
		return 0, r.explain(err)
	}
	return res.RowsAffected()
}

// execOne is exec for a statement that must change one row: [tenancy.ErrStale] where it changes none.
func (r Reader) execOne(ctx context.Context, query string, args ...any) error {
	n, err := r.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrStale, "it was changed or deleted meanwhile: read it again")
	}
	return err
}

type row interface{ Scan(...any) error }

// list reads all rows of a query.
func list[T any](ctx context.Context, r Reader, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := forEach(ctx, r, scan, func(v T) { all = append(all, v) }, query, args...)
	return all, err
}

// forEach hands every row of a query to a function.
func forEach[T any](ctx context.Context, r Reader, scan func(row) (T, error), take func(T), query string,
	args ...any) error {
	rows, err := r.q.QueryContext(ctx, r.sql(query), args...)
	if err != nil {
		return r.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return err
		}
		take(v)
	}
	return r.explain(rows.Err())
}

// one reads the row of a query that has at most one; [tenancy.ErrNotFound] where it has none, saying what was looked
// for.
func one[T any](ctx context.Context, r Reader, what string, scan func(row) (T, error), query string, args ...any) (T,
	error) {
	v, err := scan(r.q.QueryRowContext(ctx, r.sql(query), args...))
	if errors.Is(err, sql.ErrNoRows) {
		return v, tenancy.Errorf(tenancy.ErrNotFound, "there is no %s", what)
	}
	return v, r.explain(err)
}

func scanOne[T any](s row) (v T, err error) { return v, s.Scan(&v) }

// micros is how an instant is stored; 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant scans what micros wrote.
type instant struct{ t *time.Time }

func (i instant) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("instant: got %T", v)
	}
	*i.t = time.Time{}
	if n != 0 {
		*i.t = time.UnixMicro(n).UTC()
	}
	return nil
}

// document is how a value is stored as JSON.
type document struct{ v any }

func (d document) Scan(v any) error {
	switch v := v.(type) {
	case string:
		return json.Unmarshal([]byte(v), d.v)
	case []byte:
		return json.Unmarshal(v, d.v)
	}
	return fmt.Errorf("document: got %T", v)
}

// Value implements [driver.Valuer].
func (d document) Value() (driver.Value, error) {
	data, err := json.Marshal(d.v)
	return string(data), err
}

// bit is how a yes or no is stored; both engines have integers.
func bit(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Setting reads a setting; empty where it was never written.
func (r Reader) Setting(ctx context.Context, name string) (string, error) {
	v, err := one(ctx, r, "setting", scanOne[string], "SELECT value FROM settings WHERE name = ?", name)
	if errors.Is(err, tenancy.ErrNotFound) {
		return "", nil
	}
	return v, err
}

// SetSetting writes a setting.
func (t *Tx) SetSetting(ctx context.Context, name, value string) error {
	_, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = "+
		"excluded.value", name, value)
	return err
}

// Claim writes a setting where it was never written, and says whether it did: what it stands for is done once.
func (t *Tx) Claim(ctx context.Context, name, value string) (first bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, value)
	return n == 1, err
}

// Advance changes a setting that was claimed from one value to another, and says whether it had the first one: of
// several replicas, one gets on.
func (t *Tx) Advance(ctx context.Context, name, from, to string) (bool, error) {
	n, err := t.exec(ctx, "UPDATE settings SET value = ? WHERE name = ? AND value = ?", to, name, from)
	return n == 1, err
}

// LongestValidity is the longest validity that certificates of this installation were ever issued for, which may be
// this one: it bounds how far a run has to look where a policy counts in shares of the lifetime.
func (s *Store) LongestValidity(ctx context.Context, now time.Duration) (longest time.Duration, err error) {
	const name = "longest_validity"
	v, err := s.Setting(ctx, name)
	if err != nil {
		return 0, err
	}
	if longest, err = time.ParseDuration(v); err == nil && longest >= now {
		return longest, nil
	}
	return now, s.InTx(ctx, func(tx *Tx) error { return tx.SetSetting(ctx, name, now.String()) })
}
