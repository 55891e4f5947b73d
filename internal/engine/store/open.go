package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// poolConnections limits the connections of a Store's pool to PostgreSQL.
const poolConnections = 32

// MaxConnections is the maximum number of connections to PostgreSQL of a service: its pool, one for [Store.Listen], and
// one for the notifications of the job queue.
const MaxConnections = poolConnections + 2

// Open opens the database of a URL ("sqlite:PATH" or "postgres://...") and migrates its schema. It refuses a schema of
// a newer version.
func Open(ctx context.Context, url string) (*Store, error) {
	path, ok := sqlitePath(url)
	if !ok || path == "" {
		return open(ctx, url)
	}
	path = filelock.RealPath(path)
	free := !inUse(path)
	if free {
		if pending, err := pendingRestore(path); err != nil {
			return nil, err
		} else if pending != "" {
			return nil, fmt.Errorf("database %s: a restore was interrupted: run perennial restore again, or start perennial "+
				"serve, which completes it", path)
		}
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if free {
		if err := checkLog(ctx, path); err != nil {
			return nil, err
		}
	}
	return open(ctx, url)
}

func open(ctx context.Context, url string) (*Store, error) {
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

// OpenExclusive is [Open] for a service. On SQLite it refuses a file that another service uses, completes a restore
// that was interrupted, and brings the file up to date with its log.
func OpenExclusive(ctx context.Context, url string) (*Store, error) {
	path, ok := sqlitePath(url)
	if !ok || path == "" { // which Open refuses
		return Open(ctx, url)
	}
	held, err := lockDatabase(path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	s, err := openLocked(ctx, path)
	if err != nil {
		held.Close()
		return nil, err
	}
	if s.own, err = newExclusive(held, path); err != nil {
		return nil, errors.Join(err, s.Close(), held.Close())
	}
	for _, p := range s.opened {
		p.own.Store(s.own)
	}
	return s, nil
}

// openLocked opens a SQLite file. The caller holds its lock.
func openLocked(ctx context.Context, path string) (*Store, error) {
	real := filelock.RealPath(path)
	if _, err := completeRestore(real); err != nil {
		return nil, err
	}
	removeDatabase(real + copyingSuffix) // of a restore that was interrupted before it replaced anything
	if err := checkFile(real); err != nil {
		return nil, err
	}
	if err := checkLog(ctx, real); err != nil {
		return nil, err
	}
	s, err := open(ctx, "sqlite:"+real) // a link may get another target
	if err != nil {
		return nil, err
	}
	if err := s.mark(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database %s: %w", path, s.explain(err))
	}
	return s, nil
}

// CheckExists returns an error if a SQLite file does not exist. It is for commands that only read, because opening a
// file would create it.
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

// fileName returns the name of a file for SQLite, without parameters.
func fileName(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

func connect(ctx context.Context, url string) (*Store, error) {
	path, ok := sqlitePath(url)
	switch {
	case ok && path == "":
		return nil, errors.New("database sqlite: has no path: write sqlite:perennial.db")
	case ok:
		// The file is readable by its owner alone, like the key file. SQLite gives its other files the same mode. A file
		// that exists is not opened here: closing it would release the locks of SQLite in this process (POSIX).
		f, err := os.OpenFile(filelock.RealPath(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("open the SQLite database: %w", err)
		}
		const common = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
			"&_pragma=foreign_keys(ON)&_pragma=wal_autocheckpoint(10000)"
		name := fileName(path) + common + "&mode=rw" // SQLite would create an empty file in the place of a deleted one
		writing := &preparing{name: name + "&_pragma=cache_size(-65536)&_txlock=immediate", path: filelock.RealPath(path)}
		writer := sql.OpenDB(writing)
		writer.SetMaxOpenConns(1)
		if err := writer.PingContext(ctx); err != nil {
			writer.Close()
			return nil, fmt.Errorf("open the SQLite database %s: %w", path, err)
		}
		reading := &preparing{name: name + "&_pragma=cache_size(-8192)&_pragma=query_only(ON)"}
		reader := sql.OpenDB(reading)
		reader.SetMaxOpenConns(8)
		return &Store{Reader: Reader{reader, SQLite}, writer: writer, reader: reader,
			opened: []*preparing{writing, reading}}, nil
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db, err := sql.Open("pgx", url)
		if err == nil {
			db.SetMaxOpenConns(poolConnections)
			db.SetMaxIdleConns(poolConnections)
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

// Masked returns a database URL without its password.
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
