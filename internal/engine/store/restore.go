package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/filelock"
)

const (
	copyingSuffix  = ".restoring" // a backup that is being copied and checked
	restoredSuffix = ".restored." // a checked backup, followed by the time, that is about to replace the database
	replacedSuffix = ".replaced." // the database that was replaced, followed by the time
	restoreTime    = "20060102T150405Z"
)

// Restore replaces the database at path with a copy of a backup, atomically, however the process ends. It refuses a
// database that a service uses. It brings the copy's schema up to date and verifies its integrity, and then calls
// check, which may refuse the copy and may write to it. The old database is kept with its log as replaced, which is
// empty if there was none.
//
// The copy is complete and on the disk before the old database is touched. From then on a file marks that the
// replacement must be completed, and the next Restore or [OpenExclusive] completes it.
func Restore(ctx context.Context, backup, path string, now time.Time, check func(*Store) error) (replaced string,
	err error) {
	path = filelock.RealPath(path) // a service locks the same file by whatever path
	held, err := lockDatabase(path)
	if err != nil {
		return "", fmt.Errorf("database %s: %w", path, err)
	}
	defer held.Close()
	if _, err := completeRestore(path); err != nil {
		return "", err
	}
	if _, err := os.Stat(path + replacedSuffix + now.UTC().Format(restoreTime)); !errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("a database was replaced in the same second and is kept: try again")
	}
	copied := path + copyingSuffix
	defer removeDatabase(copied)
	if err := prepareRestore(ctx, backup, copied, check); err != nil {
		return "", fmt.Errorf("backup %s: %w", backup, err)
	}
	if err := keepOwner(path, copied); err != nil {
		return "", err
	}
	if err := os.Rename(copied, path+restoredSuffix+now.UTC().Format(restoreTime)); err != nil {
		return "", err
	}
	if err := syncFile(filepath.Dir(path)); err != nil {
		return "", err
	}
	return completeRestore(path)
}

// prepareRestore makes a checked copy of a backup.
func prepareRestore(ctx context.Context, backup, copied string, check func(*Store) error) error {
	removeDatabase(copied) // of a restore that was interrupted
	if err := copyFile(backup, copied); err != nil {
		return err
	}
	// A copy of the files of a crashed service is a backup as well: its log has the latest transactions.
	if err := copyFile(backup+"-wal", copied+"-wal"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := isDatabase(copied); err != nil {
		return err
	}
	s, err := Open(ctx, "sqlite:"+copied)
	if err != nil {
		return err
	}
	err = s.checkIntegrity(ctx)
	if err == nil {
		err = check(s)
	}
	if err == nil {
		err = s.mark(ctx)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	return syncFile(copied)
}

// sqliteMagic begins a database (https://sqlite.org/fileformat.html, section 1.3.1).
const sqliteMagic = "SQLite format 3\x00"

// isDatabase returns an error if a file does not begin like a database. That of SQLite names the copy.
func isDatabase(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	begins := make([]byte, len(sqliteMagic))
	switch n, err := io.ReadFull(f, begins); {
	case n == 0 && errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case string(begins) != sqliteMagic:
		return errors.New("it is not a SQLite database: use a copy made by perennial backup")
	}
	return nil
}

// checkIntegrity returns an error if SQLite finds damage.
func (s *Store) checkIntegrity(ctx context.Context) error {
	var result string
	if err := s.reader.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&result); err != nil {
		return s.explain(err)
	}
	if result != "ok" {
		return fmt.Errorf("it is damaged: %s", result)
	}
	return nil
}

// completeRestore moves a checked backup to path, and the old database with its log beside it. It returns the path of
// the old database, or "" if there is nothing to complete. The caller holds the lock.
func completeRestore(path string) (replaced string, err error) {
	pending, err := pendingRestore(path)
	if err != nil || pending == "" {
		return "", err
	}
	for _, step := range replacement(path, pending) {
		if err := step(); err != nil {
			return "", fmt.Errorf("complete the restore of %s: %w", path, err)
		}
	}
	replaced = path + replacedSuffix + strings.TrimPrefix(pending, path+restoredSuffix)
	if _, err := os.Stat(replaced); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return replaced, nil
}

// replacement returns the steps that move a checked backup to path. Each may be repeated, in this order: until the last
// rename, path is the old database or nothing.
func replacement(path, pending string) []func() error {
	replaced := path + replacedSuffix + strings.TrimPrefix(pending, path+restoredSuffix)
	move := func(from, to string) func() error {
		return func() error {
			if err := os.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
	}
	return []func() error{
		move(path+"-wal", replaced+"-wal"),
		func() error {
			if err := os.Remove(path + "-shm"); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
		move(path, replaced),
		func() error { return syncFile(filepath.Dir(path)) },
		func() error { return os.Rename(pending, path) },
		func() error { return syncFile(filepath.Dir(path)) },
	}
}

// keepOwner gives the copy the owner of the database that it replaces, or of its folder, so that the service can open
// what root has restored.
func keepOwner(path, copied string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil // files of others cannot be replaced
	}
	owner := info.Sys().(*syscall.Stat_t)
	return errors.Join(os.Chown(copied, int(owner.Uid), int(owner.Gid)),
		os.Chown(path+".lock", int(owner.Uid), int(owner.Gid)))
}

// pendingRestore returns the checked backup that is about to replace a database, or "".
func pendingRestore(path string) (string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	for _, e := range entries {
		at, ours := strings.CutPrefix(e.Name(), filepath.Base(path)+restoredSuffix)
		if !ours {
			continue
		}
		if _, err := time.Parse(restoreTime, at); err == nil { // and not a file that a person has named like it
			return path + restoredSuffix + at, nil
		}
	}
	return "", nil
}

// copyFile copies a file to a new one, readable only by its owner, and waits until it is on the disk.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = target.Sync()
	}
	return errors.Join(err, target.Close())
}

// syncFile waits until a file or a directory is on the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeDatabase removes a database with the files that SQLite keeps beside it.
func removeDatabase(path string) {
	for _, suffix := range []string{"-wal", "-shm", "-journal", ""} {
		os.Remove(path + suffix)
	}
}
