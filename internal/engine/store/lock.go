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
	lock *filelock.Lock
	path string      // of the file, without symbolic links
	file os.FileInfo // of the file that is open
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
type AwayError struct{ reason string }

func (e *AwayError) Error() string { return e.reason }

// KeepFile makes sure that the file of a store of [OpenExclusive] is still the one at its path, and creates its lock
// again if it was deleted. The error is an [*AwayError] if the file was deleted or replaced, or if another process has
// the lock: commands and other services do not see then what this one stores. [Store.Close] saves it. Other errors say
// nothing about the file. KeepFile must not be called at the same time as Close.
func (s *Store) KeepFile() error {
	if s.own == nil {
		return nil
	}
	err := s.own.lock.Keep()
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		return &AwayError{fmt.Sprintf("another perennial%s uses %s, because its lock was deleted", held.By(), s.own.path)}
	}
	return errors.Join(err, s.own.away())
}

// away returns an [*AwayError] if the file was deleted or replaced.
func (o *exclusive) away() error {
	found, err := os.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &AwayError{fmt.Sprintf("the database %s was deleted while the service uses it", o.path)}
	case err == nil && !os.SameFile(found, o.file):
		return &AwayError{fmt.Sprintf("the database %s was replaced by another file while the service uses it", o.path)}
	}
	return err
}

// save copies the database if its file was deleted or replaced, because it would end with the process. A deleted file
// is written again by the function that it returns, which the caller calls when the database is closed. Beside one that
// replaced it, the copy stays under a name of its own.
func (s *Store) save() (after func() error, err error) {
	after = func() error { return nil }
	if lost := (*AwayError)(nil); !errors.As(s.own.away(), &lost) {
		return after, nil
	}
	copied := s.own.path + ".saved"
	for n := 2; ; n++ {
		if _, err := os.Lstat(copied); errors.Is(err, fs.ErrNotExist) {
			break
		}
		copied = fmt.Sprintf("%s.saved-%d", s.own.path, n)
	}
	if err := s.Backup(context.Background(), copied); err != nil {
		return after, fmt.Errorf("save the database %s, which was deleted or replaced: %w", s.own.path, err)
	}
	return func() error {
		if _, err := os.Lstat(s.own.path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the database %s was replaced: what the service has stored is in %s", s.own.path, copied)
		}
		removeDatabase(s.own.path) // logs of the deleted file, which do not belong to the copy
		if err := os.Link(copied, s.own.path); err != nil {
			return fmt.Errorf("write the deleted database %s again: %w: it is in %s", s.own.path, err, copied)
		}
		return os.Remove(copied)
	}, nil
}
