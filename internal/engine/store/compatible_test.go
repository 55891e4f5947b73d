package store

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestAProgramWorksWithANewerSchemaThatHasOnlyAdditions(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		p, err := s.migrator()
		must(t, err)
		_, target, err := p.GetVersions(t.Context())
		must(t, err)
		newer := func(oldest string) {
			t.Helper()
			must(t, s.InTx(t.Context(), func(tx *Tx) error {
				if _, err := tx.exec(t.Context(), "DELETE FROM goose_db_version WHERE version_id > ?", target); err != nil {
					return err
				}
				if _, err := tx.exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, "+
					map[Engine]string{SQLite: "1", Postgres: "TRUE"}[s.engine]+")", target+3); err != nil {
					return err
				}
				return tx.SetSetting(t.Context(), oldestProgramSetting, oldest)
			}))
		}
		for oldest, want := range map[string]bool{fmt.Sprint(target): true, fmt.Sprint(target - 1): true,
			fmt.Sprint(target + 1): false, fmt.Sprint(target + 3): false, "": false, "x": false} {
			newer(oldest)
			again, err := Open(t.Context(), url)
			if (err == nil) != want {
				t.Errorf("a schema that works with programs from %q on: %v", oldest, err)
			}
			if err == nil {
				if got, err := again.Setting(t.Context(), oldestProgramSetting); err != nil || got != oldest {
					t.Errorf("the older program wrote %q, %v", got, err)
				}
				again.Close()
			} else if !strings.Contains(err.Error(), "written by a newer perennial") {
				t.Errorf("%v", err)
			}
		}
		must(t, s.Close())
	})
}

func TestAMigrationThatIsCompatibleHasOnlyAdditions(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	must(t, err)
	additions := regexp.MustCompile(`(?is)^(CREATE INDEX |CREATE TABLE |DROP INDEX |INSERT INTO |` +
		`ALTER TABLE \w+ ADD COLUMN .*(NOT NULL DEFAULT |GENERATED ALWAYS AS ))`) // no program writes a computed column
	comment := regexp.MustCompile(`--[^\n]*`)
	compatible := 0
	for _, name := range names {
		data, err := fs.ReadFile(migrations, name)
		must(t, err)
		if !compatibleFrom.Match(data) {
			continue
		}
		compatible++
		for _, engine := range []Engine{SQLite, Postgres} {
			up, _, _ := strings.Cut(engine.dialect(string(data)), "-- +goose Down")
			for statement := range strings.SplitSeq(comment.ReplaceAllString(up, ""), ";") {
				if s := strings.TrimSpace(statement); s != "" && !additions.MatchString(s) {
					t.Errorf("%s: an older program may not work with %q on %s", name, s, engine)
				}
			}
		}
	}
	if compatible < 3 {
		t.Errorf("%d migrations are compatible", compatible)
	}
}

func TestTheOldestProgramIsThatOfTheMostDemandingMigration(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	files := fstest.MapFS{"migrations/00001_a.sql": file("-- +goose Up\n"),
		"migrations/00002_b.sql": file("-- compatible from: 1\n"),
		"migrations/00003_c.sql": file("-- incompatible from: 1\n"),
		"migrations/00004_d.sql": file("-- d\n-- compatible from: 2\n\n-- +goose Up\n")}
	if oldest, err := oldestProgram(files); err != nil || oldest != 3 {
		t.Errorf("%d, %v, want 3", oldest, err)
	}
	files["migrations/00010_f.sql"] = file("-- compatible from: 10\n")
	if oldest, err := oldestProgram(files); err != nil || oldest != 10 {
		t.Errorf("%d, %v, want 10", oldest, err)
	}
	files["migrations/00011_g.sql"] = file("-- compatible from: 99999999999999999999\n")
	if _, err := oldestProgram(files); err == nil {
		t.Error("a version that is too large")
	}
	delete(files, "migrations/00011_g.sql")
	files["migrations/e.sql"] = file("")
	if _, err := oldestProgram(files); err == nil {
		t.Error("a migration without a number")
	}
	delete(files, "migrations/e.sql")
	files["migrations/00012_h.sql/x"] = file("")
	if _, err := oldestProgram(files); err == nil {
		t.Error("a migration that cannot be read")
	}
	if _, err := oldestProgram(fstest.MapFS{}); err == nil {
		t.Error("no migrations")
	}
}

func TestAStoreThatIsNotConnectedIsNotMigrated(t *testing.T) {
	for _, engine := range []Engine{SQLite, Postgres} {
		if err := (&Store{Reader: Reader{nil, engine}}).migrate(t.Context()); err == nil {
			t.Errorf("%s: no error", engine)
		}
	}
}

func TestMigrationsAreAFileSystem(t *testing.T) {
	for _, engine := range []Engine{SQLite, Postgres} {
		if err := fstest.TestFS(migrationFiles{engine}, "00001_foundation.sql"); err != nil {
			t.Error(err)
		}
	}
}
