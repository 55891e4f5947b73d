package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnotherReplicaWaitsForALock(t *testing.T) {
	url := migrated.Postgres(t)
	one, err := Open(t.Context(), url)
	must(t, err)
	defer one.Close()
	other, err := Open(t.Context(), url)
	must(t, err)
	defer other.Close()
	tenant, _ := acme(t, one, "acme", now)
	must(t, write(t, one, func(ctx context.Context, tx *Tx) error {
		for _, id := range []string{"x", "y"} {
			a := tenancy.Arrangement{ID: id, TenantID: tenant.ID, Name: id}
			if _, err := tenanttest.Arrangement(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	}))
	type step = func(ctx context.Context, tx *Tx) error
	parked := func(tenantID string) step {
		return func(ctx context.Context, tx *Tx) error { _, err := tx.LockParked(ctx, tenantID); return err }
	}
	arrangement := func(id string) step {
		return func(ctx context.Context, tx *Tx) error { _, err := tx.LockArrangement(ctx, id); return err }
	}
	names := func(ctx context.Context, tx *Tx) error { return tx.LockNames(ctx) }
	impatient := func(lock step) error { // it fails if it would have to wait
		return write(t, other, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "SET LOCAL lock_timeout = '100ms'"); err != nil {
				return err
			}
			return lock(ctx, tx)
		})
	}
	for name, c := range map[string]struct{ lock, another step }{
		"the parked messages of a tenant": {parked("a"), parked("b")}, "an arrangement": {arrangement("x"), arrangement("y")},
		"kept names": {names, parked("a")},
	} {
		must(t, write(t, one, func(ctx context.Context, tx *Tx) error {
			if err := c.lock(ctx, tx); err != nil {
				return err
			}
			var waits *pgconn.PgError
			if err := impatient(c.lock); !errors.As(err, &waits) || waits.Code != "55P03" { // lock_not_available
				t.Errorf("%s: another replica does not wait: %v", name, err)
			}
			if err := impatient(c.another); err != nil {
				t.Errorf("%s: a replica waits for another lock: %v", name, err)
			}
			return nil
		}))
		if err := impatient(c.lock); err != nil {
			t.Errorf("%s: the lock outlives its transaction: %v", name, err)
		}
	}
}

// openFiles lists the files below a folder that this process has open.
func openFiles(t *testing.T, dir string) (open []string) {
	t.Helper()
	const all = "/proc/self/fd"
	entries, err := os.ReadDir(all)
	must(t, err)
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(all, e.Name())); err == nil && strings.HasPrefix(target, dir+"/") {
			open = append(open, target)
		}
	}
	return open
}

func TestADatabaseThatIsRefusedOrClosedLeavesNoFileOpen(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	path := filepath.Join(dir, "p.db")
	closed := func(what string) {
		t.Helper()
		if open := openFiles(t, dir); len(open) != 0 {
			t.Errorf("%s: %q are open", what, open)
		}
	}
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	if len(openFiles(t, dir)) == 0 {
		t.Fatal("no file is found although a database is open")
	}
	held := openFiles(t, dir)
	if other, err := OpenExclusive(t.Context(), "sqlite:"+path); err == nil || other != nil {
		t.Fatal("two services open it")
	}
	if after := openFiles(t, dir); len(after) != len(held) {
		t.Errorf("after a second service was refused, %q are open, and %q before", after, held)
	}
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		return errors.Join(err, tx.SetSetting(ctx, oldestProgramSetting, "9999"))
	}))
	must(t, s.Backup(t.Context(), filepath.Join(dir, "backup.db")))
	must(t, s.Close())
	closed("a database that was closed")
	for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
		if s, err := open(t.Context(), "sqlite:"+path); err == nil || s != nil {
			t.Errorf("a newer schema is opened")
		}
		closed("a newer schema")
	}
	must(t, os.WriteFile(path, []byte("not a database, but a text that is long enough to look like one"), 0o600))
	if s, err := Open(t.Context(), "sqlite:"+path); err == nil || s != nil {
		t.Errorf("a text is opened")
	}
	closed("a text")
}

// A command does not question the files of a database that a service holds: its log changes at any time.
func TestADatabaseThatAServiceHoldsIsOpenedAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	pending := path + restoredSuffix + restoredAt.Format(restoreTime)
	must(t, os.WriteFile(pending, nil, 0o600))
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		other, err := Open(t.Context(), "sqlite:"+name)
		must(t, err)
		must(t, other.Close())
	}
	must(t, s.Close())
	for _, name := range []string{path, link} { // without the service, the restore must be completed first
		if s, err := Open(t.Context(), "sqlite:"+name); err == nil || s != nil || !strings.Contains(err.Error(),
			"a restore was interrupted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stored fails unless the database at a path has these tenants.
func stored(t *testing.T, path string, names ...string) {
	t.Helper()
	s, err := Open(t.Context(), "sqlite:"+path)
	must(t, err)
	defer s.Close()
	for _, name := range names {
		if _, err := s.Tenant(t.Context(), name); err != nil {
			t.Errorf("%s: tenant %s: %v", path, name, err)
		}
	}
	_, err = s.VerifyEvents(t.Context())
	must(t, err)
}

func TestADeletedLockComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	must(t, os.Remove(path+".lock"))
	must(t, s.KeepFile())
	if other, err := OpenExclusive(t.Context(), "sqlite:"+path); err == nil {
		other.Close()
		t.Error("a second service opens it")
	}
	must(t, os.Remove(path+".lock"))
	other, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	var gone *GoneError
	if err := s.KeepFile(); !errors.As(err, &gone) || !strings.Contains(err.Error(), "another perennial (process ") {
		t.Errorf("a second service has it: %v", err)
	}
	must(t, s.Close())
	must(t, other.KeepFile())
	must(t, other.Close())
}

// isGone fails unless the store must stop using its file for a reason.
func isGone(t *testing.T, s *Store, lost bool, why string) {
	t.Helper()
	var gone *GoneError
	if err := s.KeepFile(); !errors.As(err, &gone) || gone.Lost != lost || !strings.Contains(err.Error(), why) {
		t.Errorf("%v", err)
	}
	// A new connection would open what is there now, with the log of the other database.
	for _, p := range s.opened {
		if c, err := p.Connect(t.Context()); !errors.As(err, &gone) {
			t.Errorf("another connection: %v", err)
			c.Close()
		}
	}
}

// What SQLite writes to a deleted file ends with the process.
func TestADatabaseThatWasDeletedIsWrittenAgainAtTheEnd(t *testing.T) {
	for name, ends := range map[string][]string{"the file alone": {""}, "with its log": {"", "-wal", "-shm"},
		"with its lock": {"", "-wal", "-shm", ".lock"}, "its log alone": {"-wal", "-shm"}, "the index alone": {"-shm"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, link := filepath.Join(dir, "p.db"), filepath.Join(t.TempDir(), "link.db")
			must(t, os.Symlink(path, link))
			s, err := OpenExclusive(t.Context(), "sqlite:"+link)
			must(t, err)
			acme(t, s, "before", now)
			must(t, s.KeepFile())
			for _, end := range ends {
				must(t, os.Remove(path+end))
			}
			isGone(t, s, ends[0] == "", "was deleted while the service uses it")
			acme(t, s, "after", now)
			if ends[0] == "" {
				copied, err := s.SaveCopy()
				must(t, err)
				stored(t, copied, "before", "after")
				acme(t, s, "later", now)
			}
			must(t, s.Close())
			stored(t, path, "before", "after")
			if ends[0] == "" {
				stored(t, path, "later")
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("the file: %v, %v", info, err)
			}
			if left, _ := filepath.Glob(path + ".saved*"); len(left) > 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

func TestADatabaseThatWasReplacedIsSavedBesideTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	for n := range 2 {
		s, err := OpenExclusive(t.Context(), "sqlite:"+path)
		must(t, err)
		acme(t, s, "ours", now)
		backup := path + ".backup"
		os.Remove(backup)
		must(t, s.Backup(t.Context(), backup))
		acme(t, s, "later", now)
		must(t, os.Rename(backup, path))
		isGone(t, s, true, "was replaced by another one")
		saved := path + []string{".saved", ".saved-2"}[n]
		if err := s.Close(); err == nil || !strings.HasSuffix(err.Error(), "what the service has stored is in "+saved) {
			t.Errorf("%v", err)
		}
		stored(t, saved, "ours", "later")
		// The next start finds the other database, and no log that belongs to ours.
		s, err = OpenExclusive(t.Context(), "sqlite:"+path)
		must(t, err)
		must(t, s.Close())
		stored(t, path, "ours")
		removeDatabase(path)
	}
}

// The end of a service interrupts the statements that run, and no other connection to a deleted file can be opened.
func TestADeletedDatabaseIsSavedAfterItsStatementsWereInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	acme(t, s, "before", now)
	must(t, os.Remove(path))
	for _, pool := range []*sql.DB{s.writer, s.reader} {
		pool.SetMaxOpenConns(1)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var n int
		const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
		if err := pool.QueryRowContext(ctx, endless).Scan(&n); err == nil {
			t.Error("an endless statement ended by itself")
		}
	}
	must(t, s.Close())
	stored(t, path, "before")
}

// The copy that was made before stays.
func TestADatabaseThatCannotBeSavedAgainKeepsItsEarlierCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	acme(t, s, "before", now)
	must(t, os.Remove(path))
	_, err = s.SaveCopy()
	must(t, err)
	must(t, os.WriteFile(path+".saved-2-journal", nil, 0o400)) // in the way of the next copy
	must(t, os.Mkdir(path+".saved-2-wal", 0o500))
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "an earlier copy is used") {
		t.Errorf("%v", err)
	}
	stored(t, path, "before")
}

// damage are changes of the content of a database file that another program has made.
var damage = map[string]func(t *testing.T, path, backup string){
	"was emptied": func(t *testing.T, path, _ string) { must(t, os.Truncate(path, 0)) },
	"was overwritten": func(t *testing.T, path, backup string) { // as cp does
		data, err := os.ReadFile(backup)
		must(t, err)
		must(t, os.WriteFile(path, data, 0o600))
	},
}

// SQLite would write its log into what is in the file now, or remove it.
func TestADatabaseThatAnotherProgramHasOverwrittenIsNotTouched(t *testing.T) {
	for how, change := range damage {
		t.Run(how, func(t *testing.T) {
			path, backup := filepath.Join(t.TempDir(), "p.db"), filepath.Join(t.TempDir(), "backup.db")
			s, err := OpenExclusive(t.Context(), "sqlite:"+path)
			must(t, err)
			must(t, s.Backup(t.Context(), backup))
			acme(t, s, "later", now)
			change(t, path, backup)
			before, err := os.ReadFile(path)
			must(t, err)
			var gone *GoneError
			if err := s.KeepFile(); !errors.As(err, &gone) || !gone.Damaged || gone.Lost ||
				!strings.Contains(err.Error(), how+" by another program while the service uses it") {
				t.Errorf("%v", err)
			}
			if !IsAway(gone) || !IsAway(errors.New("fetch jobs: "+gone.Error())) {
				t.Error("each failure is a line in the log")
			}
			isDamaged := func(what string, err error) {
				t.Helper()
				if !errors.As(err, &gone) || !gone.Damaged {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err = s.Tenant(t.Context(), "later")
			isDamaged("a read", err)
			isDamaged("a write", write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, "a", "b") }))
			isDamaged("a checkpoint", s.Checkpoint(t.Context()))
			isDamaged("a ping", s.Ping(t.Context()))
			isDamaged("the end", s.Close())
			after, err := os.ReadFile(path)
			must(t, err)
			if info, err := os.Stat(path + "-wal"); !bytes.Equal(before, after) || err != nil || info.Size() == 0 {
				t.Errorf("%d bytes became %d, and the log: %v", len(before), len(after), err)
			}
			for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
				if s, err := open(t.Context(), "sqlite:"+path); s != nil || err == nil ||
					!strings.Contains(err.Error(), "To restore a backup, run perennial restore") {
					t.Errorf("the next start: %v", err)
				}
			}
			_, err = Restore(t.Context(), backup, path, now, func(*Store) error { return nil })
			must(t, err)
		})
	}
}

// logChanges are changes of the log of a database that another program has made.
var logChanges = map[string]func(t *testing.T, log, other string){
	"was emptied": func(t *testing.T, log, _ string) { must(t, os.Truncate(log, 0)) },
	"was truncated": func(t *testing.T, log, _ string) {
		must(t, os.Truncate(log, 32+24+4096-1)) // in its first frame
	},
	"was overwritten": func(t *testing.T, log, other string) {
		data, err := os.ReadFile(other)
		must(t, err)
		must(t, os.WriteFile(log, data, 0o600))
	},
}

// SQLite would continue the log after frames that do not exist, and write their zeros into the file.
func TestADatabaseWhoseLogAnotherProgramHasChangedIsNotTouched(t *testing.T) {
	another, err := OpenExclusive(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "another.db"))
	must(t, err)
	defer another.Close()
	acme(t, another, "another", now)
	for how, change := range logChanges {
		for _, noticed := range []string{"by the next check", "by the next transaction", "at the end"} {
			t.Run(how+" and noticed "+noticed, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "p.db")
				s, err := OpenExclusive(t.Context(), "sqlite:"+path)
				must(t, err)
				acme(t, s, "before", now)
				must(t, s.Checkpoint(t.Context()))
				acme(t, s, "later", now)
				change(t, path+"-wal", another.own.path+"-wal")
				before, err := os.ReadFile(path)
				must(t, err)
				log, err := os.ReadFile(path + "-wal")
				must(t, err)
				isDamaged := func(what string, err error) {
					t.Helper()
					var gone *GoneError
					if !errors.As(err, &gone) || !gone.Damaged || gone.Lost || !IsAway(gone) || !strings.Contains(err.Error(),
						path+"-wal "+how+" by another program while the service uses it: the changes of about the last minute") {
						t.Errorf("%s: %v", what, err)
					}
				}
				switch noticed {
				case "by the next check":
					isDamaged("the check", s.KeepFile())
					isDamaged("a checkpoint", s.Checkpoint(t.Context()))
				case "by the next transaction":
					isDamaged("a write", write(t, s, func(ctx context.Context, tx *Tx) error {
						return tx.SetSetting(ctx, "a", "b")
					}))
				}
				isDamaged("the end", s.Close())
				for name, before := range map[string][]byte{path: before, path + "-wal": log} {
					if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
						t.Errorf("%s: %d bytes became %d, %v", name, len(before), len(after), err)
					}
				}
				// This process has the files open, so that only another one could start with the file at its path.
				alone := filepath.Join(t.TempDir(), "p.db")
				must(t, os.WriteFile(alone, before, 0o600))
				stored(t, alone, "before")
			})
		}
	}
}

// A service that writes much, and a person who compacts the file, change it as SQLite does.
func TestWhatSQLiteWritesIsNotTakenForAnotherProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	defer s.Close()
	other, err := Open(t.Context(), "sqlite:"+path)
	must(t, err)
	defer other.Close()
	done := make(chan struct{})
	var kept sync.WaitGroup
	kept.Go(func() { // the file grows, shrinks and is written in the middle of a check
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := s.KeepFile(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 60 {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.SetSetting(ctx, fmt.Sprint("a", n%2), strings.Repeat("x", n%3*1_000_000))
		}))
		if n%3 == 0 {
			must(t, s.Checkpoint(t.Context()))
		}
		if n%20 == 0 {
			_, err := other.DB().ExecContext(t.Context(), "VACUUM")
			must(t, err)
		}
	}
	close(done)
	kept.Wait()
	must(t, s.KeepFile())
}

// A full disk or a crash ends a checkpoint before the file is as long as its header states.
func TestALogCompletesAFileWhoseCheckpointWasInterrupted(t *testing.T) {
	path, other := filepath.Join(t.TempDir(), "p.db"), filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	small, err := os.Stat(path)
	must(t, err)
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		return tx.SetSetting(ctx, "large", strings.Repeat("x", 1_000_000))
	}))
	log, err := os.ReadFile(path + "-wal")
	must(t, err)
	must(t, s.Checkpoint(t.Context()))
	file, err := os.ReadFile(path)
	must(t, err)
	must(t, s.Close())
	must(t, os.WriteFile(other, file[:small.Size()+4096], 0o600))
	must(t, os.WriteFile(other+"-wal", log, 0o600))
	again, err := OpenExclusive(t.Context(), "sqlite:"+other)
	must(t, err)
	defer again.Close()
	if large, err := again.Setting(t.Context(), "large"); len(large) != 1_000_000 {
		t.Errorf("%d bytes, %v", len(large), err)
	}
}

// A file is empty for an instant before SQLite writes it for the first time.
func TestACommandBesideTheFirstStartWaits(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "p.db")
		must(t, os.WriteFile(path, nil, 0o600)) // as a process that begins a database does
		opened := make(chan error)
		go func() {
			s, err := Open(t.Context(), "sqlite:"+path)
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
		begun, err := connect(t.Context(), "sqlite:"+path)
		must(t, err)
		must(t, <-opened)
		must(t, begun.Close())
	}
}

// SQLite would begin a new database in the file, and remove its log.
func TestAnEmptyDatabaseFileIsRefused(t *testing.T) {
	for _, log := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "p.db")
		must(t, os.WriteFile(path, nil, 0o600))
		if log {
			must(t, os.WriteFile(path+"-wal", []byte("a log"), 0o600))
		}
		for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
			if s, err := open(t.Context(), "sqlite:"+path); s != nil || err == nil ||
				!strings.Contains(err.Error(), "the file is empty") {
				t.Errorf("with a log %v: %v", log, err)
			}
		}
		if data, err := os.ReadFile(path + "-wal"); log && (err != nil || string(data) != "a log") {
			t.Errorf("the log: %q, %v", data, err)
		}
	}
}

// Each name has a log and a lock of its own.
func TestADatabaseFileWithTwoNamesIsRefused(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "p.db"), filepath.Join(dir, "link.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	must(t, os.Link(path, link))
	refused := func(path string) {
		t.Helper()
		for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
			if s, err := open(t.Context(), "sqlite:"+path); s != nil || err == nil ||
				!strings.Contains(err.Error(), "the file has 2 names (hard links)") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	refused(link)
	must(t, s.KeepFile())
	must(t, s.Close())
	refused(path)
	must(t, os.Remove(link))
	stored(t, path)
}

func TestOnlyAServiceKeepsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := Open(t.Context(), "sqlite:"+path)
	must(t, err)
	removeDatabase(path)
	must(t, s.KeepFile())
	must(t, s.Close())
	if _, err := os.Stat(path); err == nil {
		t.Error("a command writes a file that was deleted")
	}
}
