package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// An exclusive is the use of a SQLite file by one service.
type exclusive struct {
	lock  *filelock.Lock
	path  string // of the file, without symbolic links
	files []openFile
	saved string // the latest copy, see [Store.SaveCopy]; empty if there is none
}

// An openFile is a file of a database, and what was at its path when it was opened.
type openFile struct {
	path  string
	found os.FileInfo
}

// fileEnds are the ends of the names of the files of a database: the file itself, its write-ahead log, and the index of
// the log.
var fileEnds = []string{"", "-wal", "-shm"}

// newExclusive returns the use of a file that has just been opened.
func newExclusive(lock *filelock.Lock, path string) (*exclusive, error) {
	o := &exclusive{lock: lock, path: filelock.RealPath(path)}
	for _, end := range fileEnds {
		found, err := os.Stat(o.path + end)
		if err != nil {
			return nil, err
		}
		o.files = append(o.files, openFile{o.path + end, found})
	}
	return o, nil
}

// lockDatabase acquires the lock that marks a SQLite file as in use, by whatever path.
func lockDatabase(path string) (*filelock.Lock, error) {
	lock, err := filelock.Take(filelock.RealPath(path) + ".lock")
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		err = fmt.Errorf("another perennial%s has it open: stop it first, or use PostgreSQL for more than one "+
			"service", held.By())
	}
	return lock, err
}

// inUse reports whether a process holds the lock of a SQLite file.
func inUse(path string) bool {
	held, err := filelock.Held(filelock.RealPath(path) + ".lock")
	return held && err == nil
}

// A GoneError is returned by [Store.KeepFile] if the service must stop using its file.
type GoneError struct {
	reason string
	// Lost is set if what the service has stored ends with its process, unless it is saved.
	Lost bool
}

func (e *GoneError) Error() string { return e.reason }

// KeepFile makes sure that the files of a store of [OpenExclusive] are still those at its path, and creates its lock
// again if it was deleted. The error is a [*GoneError] if a file was deleted or replaced, or if another process has
// the lock: commands and other services do not see then what this one stores. Other errors say nothing about the files.
// KeepFile must not be called at the same time as [Store.Close].
func (s *Store) KeepFile() error {
	if s.own == nil {
		return nil
	}
	err := s.own.lock.Keep()
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		return &GoneError{reason: fmt.Sprintf("another perennial%s uses %s, because its lock was deleted", held.By(),
			s.own.path)}
	}
	return errors.Join(err, s.own.gone())
}

// gone returns a [*GoneError] if a file was deleted or replaced. A connection that SQLite opens then would apply the
// log of one database to another one, so each connection is preceded by this check.
func (o *exclusive) gone() error {
	for i, f := range o.files {
		found, err := os.Stat(f.path)
		lost := i == 0 // without its log, SQLite completes the file when it closes it
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &GoneError{fmt.Sprintf("the database file %s was deleted while the service uses it", f.path), lost}
		case err != nil:
			return err
		case !os.SameFile(found, f.found):
			return &GoneError{fmt.Sprintf("the database file %s was replaced by another one while the service uses it",
				f.path), lost}
		}
	}
	return nil
}

// SaveCopy copies a database whose file was deleted or replaced to a new file beside it, and returns the path of the
// copy. The service calls it before it stops. [Store.Close] copies it again, with what was stored since then.
func (s *Store) SaveCopy() (path string, err error) {
	copied := ""
	for n := 1; ; n++ {
		copied = s.own.path + ".saved"
		if n > 1 {
			copied = fmt.Sprintf("%s-%d", copied, n)
		}
		if _, err := os.Lstat(copied); err != nil { // the copy fails if its folder cannot be read
			break
		}
	}
	if err := s.backup(context.Background(), copied); err != nil { // without advice that assumes that the file exists
		return "", fmt.Errorf("save the database %s beside it: %w", s.own.path, err)
	}
	if s.own.saved != "" {
		err = os.Rename(copied, s.own.saved)
		copied = s.own.saved
	}
	s.own.saved = copied
	return copied, err
}

// rescue saves a database whose file was deleted or replaced. The function that it returns is called when the database
// is closed: it puts the copy in the place of a deleted file. Beside one that replaced it, the copy keeps its name.
func (s *Store) rescue() (after func() error, err error) {
	after = func() error { return nil }
	if gone := (*GoneError)(nil); !errors.As(s.own.gone(), &gone) || !gone.Lost {
		return after, nil
	}
	if _, err = s.SaveCopy(); err != nil && s.own.saved != "" {
		err = fmt.Errorf("%w: an earlier copy is used", err)
	}
	if s.own.saved == "" {
		return after, err
	}
	return s.own.putBack, err
}

// putBack ends the use of a file that was deleted or replaced, when a copy has been saved and the database is closed.
func (o *exclusive) putBack() error {
	for _, log := range o.files[1:] { // these logs belong neither to the copy nor to the other file
		if found, err := os.Stat(log.path); err == nil && os.SameFile(found, log.found) {
			os.Remove(log.path)
		}
	}
	if err := os.Link(o.saved, o.path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the database %s was replaced: what the service has stored is in %s", o.path, o.saved)
	} else if err != nil {
		return fmt.Errorf("write the deleted database %s again: %w: it is in %s", o.path, err, o.saved)
	}
	return os.Remove(o.saved)
}
