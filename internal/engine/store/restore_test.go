package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crashed returns the path of a database as kill -9 leaves it: its files are copied while it is open. fill writes to
// it.
func crashed(t *testing.T, fill func(path string, s *Store)) string {
	t.Helper()
	running, path := filepath.Join(t.TempDir(), "running.db"), filepath.Join(t.TempDir(), "perennial.db")
	migrated.Write(t, running)
	s, err := OpenExclusive(t.Context(), "sqlite:"+running)
	must(t, err)
	defer s.Close()
	fill(running, s)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		copyOver(t, running+suffix, path+suffix)
	}
	return path
}

// copyOver copies a file as cp does: what is at the target keeps its name.
func copyOver(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o600))
}

func setting(t *testing.T, s *Store, value string) {
	t.Helper()
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, "test", value) }))
}

// grow writes enough that SQLite begins the log again.
func grow(t *testing.T, s *Store) {
	t.Helper()
	must(t, s.Checkpoint(t.Context()))
	setting(t, s, "grown")
}

func settingOf(t *testing.T, url string) string {
	t.Helper()
	s, err := OpenExclusive(t.Context(), url)
	must(t, err)
	defer s.Close()
	must(t, s.checkIntegrity(t.Context()))
	value, err := s.Setting(t.Context(), "test")
	must(t, err)
	return value
}

func TestADatabaseThatCrashedIsOpenedWithItsLog(t *testing.T) {
	for name, fill := range map[string]func(string, *Store){
		"at once":                   func(string, *Store) {},
		"after a transaction":       func(_ string, s *Store) { setting(t, s, "latest") },
		"after the log began again": func(_ string, s *Store) { grow(t, s); grow(t, s); setting(t, s, "latest") },
		"between a checkpoint and the next transaction": func(_ string, s *Store) {
			setting(t, s, "latest")
			must(t, s.Checkpoint(t.Context()))
		},
		"with a transaction of another process": func(path string, s *Store) {
			other, err := Open(t.Context(), "sqlite:"+path)
			must(t, err)
			defer other.Close()
			must(t, s.Checkpoint(t.Context()))
			setting(t, other, "other")
			setting(t, s, "latest")
		},
	} {
		path := crashed(t, fill)
		want := "latest"
		if name == "at once" {
			want = ""
		}
		if got := settingOf(t, "sqlite:"+path); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestALogOfAnotherFileIsRefused(t *testing.T) {
	for name, replace := range map[string]func(path, copied string, s *Store){
		"a backup": func(path, copied string, s *Store) {
			must(t, s.Backup(t.Context(), copied))
			setting(t, s, "latest")
		},
		"a backup of a moment ago": func(path, copied string, s *Store) {
			setting(t, s, "latest")
			must(t, s.Backup(t.Context(), copied))
		},
		"a copy of the file from before the log began again": func(path, copied string, s *Store) {
			copyOver(t, path, copied)
			setting(t, s, "latest")
			grow(t, s)
			grow(t, s)
		},
		"another database": func(path, copied string, s *Store) {
			other, err := OpenExclusive(t.Context(), "sqlite:"+copied)
			must(t, err)
			must(t, other.Close())
			setting(t, s, "latest")
		},
	} {
		copied := filepath.Join(t.TempDir(), "copy.db")
		path := crashed(t, func(path string, s *Store) { replace(path, copied, s) })
		before, err := os.ReadFile(path + "-wal")
		must(t, err)
		copyOver(t, copied, path)
		for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
			s, err := open(t.Context(), "sqlite:"+path)
			if err == nil {
				s.Close()
				t.Fatalf("%s: the database was opened with the log of another file", name)
			}
			if !strings.Contains(err.Error(), "belongs to another file") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after, err := os.ReadFile(path + "-wal"); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the log was changed: %v", name, err)
		}
		must(t, os.Remove(path+"-wal")) // what the error advises
		must(t, os.Remove(path+"-shm"))
		settingOf(t, "sqlite:"+path)
	}
}

// A backup that is copied over the database twice has the mark of its first copy, whose log was begun by the service.
func TestABackupThatIsCopiedOverADatabaseTwiceIsNotUndone(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "copy.db")
	path := crashed(t, func(_ string, s *Store) {
		setting(t, s, "backed up")
		must(t, s.Backup(t.Context(), copied))
	})
	must(t, os.Remove(path+"-wal"))
	copyOver(t, copied, path)
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	setting(t, s, "after")
	data, err := os.ReadFile(path + "-wal")
	must(t, err)
	must(t, s.Close())
	must(t, os.WriteFile(path+"-wal", data, 0o600))
	copyOver(t, copied, path)
	if _, err := OpenExclusive(t.Context(), "sqlite:"+path); err == nil ||
		!strings.Contains(err.Error(), "belongs to another file") {
		t.Errorf("the second copy was opened with the log of the first: %v", err)
	}
}

func TestTheFileAloneHasWhatWasWrittenBeforeACheckpoint(t *testing.T) {
	path := crashed(t, func(_ string, s *Store) {
		setting(t, s, "latest")
		must(t, s.Checkpoint(t.Context()))
	})
	must(t, os.Remove(path+"-wal"))
	must(t, os.Remove(path+"-shm"))
	if got := settingOf(t, "sqlite:"+path); got != "latest" {
		t.Errorf("%q", got)
	}
}

var restoredAt = time.Date(2026, 11, 28, 15, 4, 5, 0, time.UTC)

// restorable returns a crashed database, whose log has the latest transaction, and a backup of it from before.
func restorable(t *testing.T) (path, backup string) {
	t.Helper()
	backup = filepath.Join(t.TempDir(), "copy.db")
	return crashed(t, func(_ string, s *Store) {
		setting(t, s, "backed up")
		must(t, s.Backup(t.Context(), backup))
		setting(t, s, "latest")
	}), backup
}

func accept(*Store) error { return nil }

func TestRestoreReplacesADatabaseThatCrashedAndKeepsIt(t *testing.T) {
	path, backup := restorable(t)
	before, err := os.ReadFile(backup)
	must(t, err)
	replaced, err := Restore(t.Context(), backup, path, restoredAt, accept)
	must(t, err)
	if replaced != path+".replaced.20261128T150405Z" {
		t.Errorf("the old database is at %s", replaced)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the log of the old database stayed: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := settingOf(t, "sqlite:"+path); got != "backed up" {
		t.Errorf("restored: %q", got)
	}
	if got := settingOf(t, "sqlite:"+replaced); got != "latest" {
		t.Errorf("the old database: %q", got)
	}
	if after, err := os.ReadFile(backup); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the backup was changed: %v", err)
	}
}

func TestRestoreTakesTheFilesOfACrashedServiceAsABackup(t *testing.T) {
	from, _ := restorable(t)
	path := filepath.Join(t.TempDir(), "perennial.db")
	replaced, err := Restore(t.Context(), from, path, restoredAt, accept)
	must(t, err)
	if got := settingOf(t, "sqlite:"+path); got != "latest" || replaced != "" {
		t.Errorf("%q, replaced %q", got, replaced)
	}
}

func TestRestoreChangesNothingIfItRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		return filepath.Join(dir, name)
	}
	path, backup := restorable(t)
	whole, err := os.ReadFile(backup)
	must(t, err)
	damaged := bytes.Clone(whole)
	clear(damaged[len(damaged)/2 : len(damaged)/2+40_000])
	foreign := file("foreign.db", whole)
	copyOver(t, path+"-wal", foreign+"-wal")
	refuse := func(*Store) error { return errors.New("not this one") }
	newer := file("newer.db", whole)
	future, err := Open(t.Context(), "sqlite:"+newer)
	must(t, err)
	for _, query := range []string{"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)",
		"UPDATE settings SET value = '9999' WHERE name = 'schema/oldest-program'"} {
		_, err = future.writer.ExecContext(t.Context(), query)
		must(t, err)
	}
	must(t, future.Close())
	for name, tt := range map[string]struct {
		backup string
		check  func(*Store) error
		want   string
	}{
		"no file":       {filepath.Join(dir, "none.db"), accept, "open " + filepath.Join(dir, "none.db")},
		"an empty file": {file("empty.db", nil), accept, "it is empty"},
		"another format": {file("text.db", []byte(strings.Repeat("text\n", 4000))), accept,
			"text.db: it is not a SQLite database"},
		"cut off":        {file("short.db", whole[:len(whole)/2]), accept, "malformed"},
		"damaged":        {file("damaged.db", damaged), accept, "damaged"},
		"a foreign log":  {foreign, accept, "belongs to another file"},
		"a newer schema": {newer, accept, "newer perennial"},
		"refused":        {backup, refuse, "not this one"},
	} {
		replaced, err := Restore(t.Context(), tt.backup, path, restoredAt, tt.check)
		if err == nil || replaced != "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: replaced %q, error %v", name, replaced, err)
		}
	}
	if left, err := filepath.Glob(path + ".re*"); err != nil || len(left) != 0 {
		t.Errorf("files were left: %v, %v", left, err)
	}
	if got := settingOf(t, "sqlite:"+path); got != "latest" {
		t.Errorf("the database: %q", got)
	}
}

func TestRestoreRefusesADatabaseThatAServiceUses(t *testing.T) {
	path, backup := restorable(t)
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	defer s.Close()
	if _, err := Restore(t.Context(), backup, path, restoredAt, accept); err == nil ||
		!strings.Contains(err.Error(), "stop it first") {
		t.Errorf("%v", err)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(path, link))
	if _, err := Restore(t.Context(), backup, link, restoredAt, accept); err == nil ||
		!strings.Contains(err.Error(), "stop it first") {
		t.Errorf("by another path: %v", err)
	}
}

func TestAFileThatIsNamedLikeARestoreIsNotOne(t *testing.T) {
	path, _ := restorable(t)
	notes := []string{path + ".restored.note.txt", // and one without the name of the database
		filepath.Join(filepath.Dir(path), restoredAt.Format(restoreTime))}
	for _, note := range notes {
		must(t, os.WriteFile(note, []byte("not a database"), 0o600))
	}
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	must(t, s.Close())
	for _, note := range notes {
		if _, err := os.Stat(note); err != nil {
			t.Error(err)
		}
	}
}

func TestARestoreThatWasKilledIsCompletedOrNeverHappened(t *testing.T) {
	path, _ := restorable(t)
	steps := len(replacement(path, path+restoredSuffix))
	for done := range steps {
		for _, complete := range []string{"serve", "restore"} {
			t.Run(fmt.Sprintf("%s after %d steps", complete, done), func(t *testing.T) {
				path, backup := restorable(t)
				must(t, os.WriteFile(path+copyingSuffix, []byte("cut off"), 0o600)) // of one killed earlier
				pending := path + restoredSuffix + restoredAt.Format(restoreTime)
				copyOver(t, backup, pending)
				for _, step := range replacement(path, pending)[:done] {
					must(t, step())
				}
				if _, err := os.Stat(pending); err == nil { // a command does not create an empty database
					if _, err := Open(t.Context(), "sqlite:"+path); err == nil || !strings.Contains(err.Error(), "interrupted") {
						t.Errorf("%v", err)
					}
				}
				if complete == "restore" {
					_, err := Restore(t.Context(), backup, path, restoredAt.Add(time.Hour), accept)
					must(t, err)
				}
				if got := settingOf(t, "sqlite:"+path); got != "backed up" {
					t.Errorf("restored: %q", got)
				}
				if got := settingOf(t, "sqlite:"+path+replacedSuffix+restoredAt.Format(restoreTime)); got != "latest" {
					t.Errorf("the old database: %q", got)
				}
				if left, err := filepath.Glob(path + ".resto*"); err != nil || len(left) != 0 {
					t.Errorf("files were left: %v, %v", left, err)
				}
			})
		}
	}
}

// A copy whose file is missing must not look as if it were on the disk.
func TestAFileThatDoesNotExistIsNotSynced(t *testing.T) {
	dir := t.TempDir()
	if err := syncFile(dir); err != nil {
		t.Errorf("a folder: %v", err)
	}
	if err := syncFile(filepath.Join(dir, "missing")); err == nil {
		t.Error("a file that does not exist is synced")
	}
}

// What cannot be copied, moved or looked at ends a restore, and the database stays as it was.
func TestARestoreReportsEachFileThatFails(t *testing.T) {
	at := restoredAt.Format(restoreTime)
	folder := func(path string) { must(t, os.MkdirAll(filepath.Join(path, "x"), 0o700)) }
	for name, c := range map[string]struct {
		prepare func(path, backup string)
		check   func(path string) // while the copy is checked
		want    string
	}{
		"a database was replaced in the same second": {prepare: func(path, _ string) { folder(path + replacedSuffix + at) },
			want: "in the same second"},
		"the log of the backup cannot be read": {prepare: func(_, backup string) { folder(backup + "-wal") },
			want: "is a directory"},
		"the copy cannot be renamed": {check: func(path string) { folder(path + restoredSuffix + at) }, want: "file exists"},
		"the log of the old database cannot be kept": {prepare: func(path, _ string) {
			folder(path + replacedSuffix + at + "-wal")
		}, want: "complete the restore"},
		"an earlier restore cannot be completed": {prepare: func(path, backup string) {
			copyOver(t, backup, path+restoredSuffix+at)
			must(t, os.Remove(path+"-shm"))
			folder(path + "-shm")
		}, want: "complete the restore"},
	} {
		path, backup := restorable(t)
		if c.prepare != nil {
			c.prepare(path, backup)
		}
		replaced, err := Restore(t.Context(), backup, path, restoredAt, func(*Store) error {
			if c.check != nil {
				c.check(path)
			}
			return nil
		})
		if err == nil || replaced != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: replaced %q, %v", name, replaced, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	loop := filepath.Join(t.TempDir(), "loop.db")
	must(t, os.Symlink(loop, loop))
	if err := keepOwner(loop, filepath.Join(t.TempDir(), "copy.db")); err == nil {
		t.Error("the owner of a link to itself is kept")
	}
	path, backup := restorable(t)
	if err := copyFile(backup, path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a copy over a file: %v", err)
	}
	if err := isDatabase(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if err := markCopy(t.Context(), filepath.Join(t.TempDir(), "no", "copy.db")); err == nil {
		t.Error("a copy in no folder is marked")
	}
	s := lite(t)
	must(t, s.Close())
	if s.checkIntegrity(t.Context()) == nil || s.mark(t.Context()) == nil {
		t.Error("a closed database is intact")
	}
}

// A service does not start on a database whose restore cannot be completed, and does not keep its lock.
func TestAServiceReportsARestoreThatItCannotComplete(t *testing.T) {
	path, backup := restorable(t)
	copyOver(t, backup, path+restoredSuffix+restoredAt.Format(restoreTime))
	must(t, os.Remove(path+"-shm"))
	must(t, os.MkdirAll(filepath.Join(path+"-shm", "x"), 0o700))
	for range 2 {
		if s, err := OpenExclusive(t.Context(), "sqlite:"+path); err == nil || s != nil ||
			!strings.Contains(err.Error(), "complete the restore") {
			t.Errorf("got %v", err)
		}
	}
	must(t, os.RemoveAll(path+"-shm"))
	if got := settingOf(t, "sqlite:"+path); got != "backed up" {
		t.Errorf("%q", got)
	}
}
