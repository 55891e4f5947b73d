package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date.
func (s *Store) migrate(ctx context.Context) error {
	p, err := s.migrator()
	oldest, noOldest := oldestProgram(migrations)
	if err := errors.Join(err, noOldest); err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return s.checkNewer(ctx, current, target)
	}
	if current > 0 && current < target {
		// After a crash right after the migration, an older program must not start with a schema that it does not support.
		if err := s.raiseOldestProgram(ctx, target); err != nil {
			return err
		}
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	text := strconv.FormatInt(oldest, 10)
	if stored, err := s.Setting(ctx, oldestProgramSetting); err != nil || stored == text {
		return err
	}
	return s.InTx(ctx, func(tx *Tx) error { return tx.SetSetting(ctx, oldestProgramSetting, text) })
}

// raiseOldestProgram lets only programs of the target schema start, until the migration has ended.
func (s *Store) raiseOldestProgram(ctx context.Context, target int64) error {
	return s.InTx(ctx, func(tx *Tx) error {
		return tx.SetSetting(ctx, oldestProgramSetting, strconv.FormatInt(target, 10))
	})
}

// oldestProgramSetting holds the version of the oldest schema whose programs work with the present one.
const oldestProgramSetting = "schema/oldest-program"

// checkNewer returns an error if a newer program changed the schema in a way that this program does not support. A
// program of the previous release must start during a rolling upgrade, and after a rollback.
func (s *Store) checkNewer(ctx context.Context, current, target int64) error {
	text, err := s.Setting(ctx, oldestProgramSetting)
	if err != nil {
		return err
	}
	if oldest, err := strconv.ParseInt(text, 10, 64); err == nil && target >= oldest {
		return nil // it has only additions
	}
	return fmt.Errorf("its schema is version %d, and this program supports versions up to %d: it was written by a newer "+
		"perennial; use that one, or restore a backup from before the upgrade", current, target)
}

var compatibleFrom = regexp.MustCompile(`(?m)^-- compatible from: (\d+)$`)

// oldestProgram returns the version of the oldest schema whose programs work with the schema after all migrations. A
// migration without that line is compatible with its own programs only.
func oldestProgram(files fs.FS) (oldest int64, err error) {
	entries, err := fs.ReadDir(files, "migrations")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		name := path.Join("migrations", e.Name())
		number, _, _ := strings.Cut(e.Name(), "_")
		from, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s: its name does not begin with a number", name)
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return 0, err
		}
		if m := compatibleFrom.FindSubmatch(data); m != nil {
			if from, err = strconv.ParseInt(string(m[1]), 10, 64); err != nil {
				return 0, err
			}
		}
		oldest = max(oldest, from)
	}
	return oldest, nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	dialect, opts := goose.DialectSQLite3, []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.engine == Postgres {
		locker, err := lock.NewPostgresSessionLocker() // replicas that start together migrate one after the other
		if err != nil {
			return nil, err
		}
		dialect, opts = goose.DialectPostgres, append(opts, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, s.writer, migrationFiles{s.engine}, opts...)
}

// A word in a comment of the form /*ENGINE ... */ is for that engine alone.
var (
	forSQLite   = regexp.MustCompile(`(?s)/\*sqlite (.*?) ?\*/`)
	forPostgres = regexp.MustCompile(`(?s)/\*postgres (.*?) ?\*/`)
)

// dialect translates a migration into the SQL of an engine.
func (e Engine) dialect(migration string) string {
	if e == SQLite {
		migration = forPostgres.ReplaceAllString(forSQLite.ReplaceAllString(migration, "$1"), "")
		return strings.ReplaceAll(migration, "BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY")
	}
	migration = forSQLite.ReplaceAllString(forPostgres.ReplaceAllString(migration, "$1"), "")
	// PostgreSQL compares text byte by byte then, as SQLite does. A locale would give another order, and cost more.
	return strings.ReplaceAll(migration, " TEXT ", ` TEXT COLLATE "C" `)
}

// migrationFiles are the migrations in the SQL of an engine.
type migrationFiles struct{ engine Engine }

// Open implements [fs.FS].
func (m migrationFiles) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) { // path.Join would make it valid
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := migrations.Open(path.Join("migrations", name))
	if err != nil || path.Ext(name) != ".sql" {
		return f, err
	}
	data, unread := io.ReadAll(f)
	info, err := f.Stat()
	return &migrationFile{strings.NewReader(m.engine.dialect(string(data))), info}, errors.Join(unread, err, f.Close())
}

// A migrationFile is a migration in memory.
type migrationFile struct {
	*strings.Reader
	info fs.FileInfo
}

// Stat implements [fs.File].
func (f *migrationFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements [fs.File].
func (f *migrationFile) Close() error { return nil }
