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
	files map[string]os.FileInfo
	saved string // the latest copy, see [Store.SaveCopy]; empty if there is none
}

// fileEnds are the ends of the names of the files of a database: the file itself, its write-ahead log, and the index of
// the log.
var fileEnds = []string{"", "-wal", "-shm"}

// newExclusive returns the use of a file that has just been opened.
func newExclusive(lock *filelock.Lock, path string) (*exclusive, error) {
	o := &exclusive{lock: lock, path: filelock.RealPath(path), files: map[string]os.FileInfo{}}
	for _, end := range fileEnds {
		var err error
		if o.files[end], err = os.Stat(o.path + end); err != nil {
			return nil, err
		}
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

// An AwayError is returned by [Store.KeepFile] if the service must stop using its file.
type AwayError struct {
	reason string
	// Lost is set if what the service has stored ends with its process, unless it is saved.
	Lost bool
}

func (e *AwayError) Error() string { return e.reason }

// KeepFile makes sure that the files of a store of [OpenExclusive] are still those at its path, and creates its lock
// again if it was deleted. The error is an [*AwayError] if a file was deleted or replaced, or if another process has
// the lock: commands and other services do not see then what this one stores. Other errors say nothing about the files.
// KeepFile must not be called at the same time as [Store.Close].
func (s *Store) KeepFile() error {
	if s.own == nil {
		return nil
	}
	err := s.own.lock.Keep()
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		return &AwayError{reason: fmt.Sprintf("another perennial%s uses %s, because its lock was deleted", held.By(),
			s.own.path)}
	}
	return errors.Join(err, s.own.away())
}

// away returns an [*AwayError] if a file was deleted or replaced. A connection that SQLite opens then would apply the
// log of one database to another one, so each connection is preceded by this check.
func (o *exclusive) away() error {
	for _, end := range fileEnds {
		found, err := os.Stat(o.path + end)
		lost := end == "" // without its log, SQLite completes the file when it closes it
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &AwayError{fmt.Sprintf("the database file %s was deleted while the service uses it", o.path+end), lost}
		case err != nil:
			return err
		case !os.SameFile(found, o.files[end]):
			return &AwayError{fmt.Sprintf("the database file %s was replaced by another one while the service uses it",
				o.path+end), lost}
		}
	}
	return nil
}

// SaveCopy copies a database whose file was deleted or replaced, under a name of its own beside it, and returns the
// name. The service calls it before it stops. [Store.Close] copies what was stored since then.
func (s *Store) SaveCopy() (path string, err error) {
	copied := ""
	for n := 1; ; n++ {
		copied = s.own.path + ".saved"
		if n > 1 {
			copied = fmt.Sprintf("%s-%d", copied, n)
		}
		if _, err := os.Lstat(copied); errors.Is(err, fs.ErrNotExist) {
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

// leave saves a database whose file was deleted or replaced. The function that it returns is called when the database
// is closed: it puts the copy in the place of a deleted file. Beside one that replaced it, the copy keeps its name.
func (s *Store) leave() (after func() error, err error) {
	after = func() error { return nil }
	if away := (*AwayError)(nil); !errors.As(s.own.away(), &away) || !away.Lost {
		return after, nil
	}
	if _, err = s.SaveCopy(); err != nil && s.own.saved != "" {
		err = fmt.Errorf("%w: an earlier copy is used", err)
	}
	if s.own.saved == "" {
		return after, err
	}
	return s.own.settle, err
}

// settle ends the use of a file that was deleted or replaced, when a copy has been saved and the database is closed.
func (o *exclusive) settle() error {
	for _, end := range fileEnds[1:] { // these logs belong neither to the copy nor to the other file
		if found, err := os.Stat(o.path + end); err == nil && os.SameFile(found, o.files[end]) {
			os.Remove(o.path + end)
		}
	}
	if err := os.Link(o.saved, o.path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the database %s was replaced: what the service has stored is in %s", o.path, o.saved)
	} else if err != nil {
		return fmt.Errorf("write the deleted database %s again: %w: it is in %s", o.path, err, o.saved)
	}
	return os.Remove(o.saved)
}
