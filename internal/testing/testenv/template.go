package testenv

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Template is a database that is prepared once for the tests of a package. Each test gets a copy of its own, because
// copying takes a fraction of the time of preparing.
type Template struct {
	sqlite   func() ([]byte, error)
	postgres func() (name string, err error)
}

// NewTemplate returns a template that prepare creates from an empty database, once per engine, when a test first needs
// it. prepare must close its connections.
func NewTemplate(prepare func(url string) error) Template {
	return Template{
		sqlite: sync.OnceValues(func() ([]byte, error) {
			dir, err := os.MkdirTemp("", "perennial-template-")
			if err != nil {
				return nil, err
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(dir, "p.db")
			if err := prepare("sqlite:" + path); err != nil {
				return nil, err
			}
			return os.ReadFile(path)
		}),
		postgres: sync.OnceValues(func() (string, error) {
			base, name, err := createDatabase("")
			if err != nil {
				return "", err
			}
			return name, prepare(base + name)
		}),
	}
}

// EachEngine is [EachEngine] with copies of the template.
func (p Template) EachEngine(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, p.SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, p.Postgres(t)) })
}

// SQLite returns the URL of a copy on SQLite.
func (p Template) SQLite(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perennial.db")
	p.Write(t, path)
	return "sqlite:" + path
}

// Write writes a copy for SQLite to a file.
func (p Template) Write(t testing.TB, path string) {
	t.Helper()
	content, err := p.sqlite()
	Check(t, err)
	Check(t, os.WriteFile(path, content, 0o600))
}

// Postgres returns the URL of a copy on PostgreSQL. The package's TestMain must call [Main].
func (p Template) Postgres(t testing.TB) string {
	t.Helper()
	NeedsServers(t)
	template, err := p.postgres()
	Check(t, err)
	// Copying files takes a sixth less than logging each page, as PostgreSQL does by default since version 15.
	base, name, err := createDatabase(" TEMPLATE " + template + " STRATEGY FILE_COPY")
	Check(t, err)
	return base + name
}

// createDatabase creates a database in the cluster of this process. The URL of a database is base and its name.
func createDatabase(options string) (base, name string, err error) {
	base, err = cluster()
	if err != nil {
		return "", "", fmt.Errorf("no PostgreSQL for this test: %w", err)
	}
	name = fmt.Sprintf("t%d", databases.Add(1))
	db, err := sql.Open("pgx", base+"postgres")
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name + options); err != nil {
		return "", "", err
	}
	return base, name, nil
}
