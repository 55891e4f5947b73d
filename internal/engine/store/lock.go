package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// An exclusive is the use of a SQLite file by one service.
type exclusive struct {
	lock    *filelock.Lock
	path    string // of the file, without symbolic links
	files   []openFile
	content *contentWatch
	saved   string // the latest copy, see [Store.SaveCopy]; empty if there is none
	// damaged is set when the content of a file was found to be that of another program. No statement is executed then.
	damaged atomic.Pointer[GoneError]
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
	var err error
	if o.content, err = watchContent(o.path); err != nil {
		return nil, err
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

// checkFile returns an error if a SQLite file must not be opened.
func checkFile(path string) error {
	switch err := filelock.CheckDatabase(path); {
	case errors.Is(err, filelock.ErrEmpty):
		return fmt.Errorf("database %[1]s: %[2]w. To restore a backup, run perennial restore with it (docs/operations.md, "+
			"Backup and restore). To begin a new installation, remove %[1]s and %[1]s-wal first", path, err)
	case err != nil:
		return fmt.Errorf("database %s: %w", path, err)
	}
	return nil
}

// A GoneError is returned by [Store.KeepFile] if the service must stop using its file.
type GoneError struct {
	reason string
	// Lost is set if what the service has stored ends with its process, unless it is saved.
	Lost bool
	// Damaged is set if another program has emptied or overwritten the file or its log, so that only a person can help.
	Damaged bool
}

func (e *GoneError) Error() string { return e.reason }

// KeepFile makes sure that the files of a store of [OpenExclusive] are still those at its path, and creates its lock
// again if it was deleted. The error is a [*GoneError] if a file was deleted, replaced or overwritten, or if another
// process has the lock: commands and other services do not see then what this one stores. If the file was overwritten,
// the store executes no more statements. Other errors say nothing about the files.
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
	return errors.Join(err, s.own.check())
}

// check returns a [*GoneError] if a file was deleted, replaced or overwritten.
func (o *exclusive) check() error {
	if err := o.gone(); err != nil {
		return err
	}
	return o.checkContent()
}

// byAnother marks the text of an error about a damaged file.
const byAnother = " by another program while the service uses it"

// checkContent returns a [*GoneError] if another program has emptied or overwritten the file or its log, which are at
// their paths.
func (o *exclusive) checkContent() error {
	if err := o.checkLog(); err != nil { // first, because the marks of another log are not those of the file
		return err
	}
	how, err := o.content.fileDamage()
	if err != nil || how == "" {
		return err
	}
	return o.giveUp("the database file %s was %s%s: stop the service, run perennial restore with the latest backup, "+
		"and start the service", o.path, how)
}

// checkLog returns a [*GoneError] if another program has emptied or overwritten the log.
func (o *exclusive) checkLog() error {
	if o == nil {
		return nil
	}
	how, err := o.content.logDamage()
	if err != nil || how == "" {
		return err
	}
	return o.giveUp("the database file %s-wal was %s%s: the changes of about the last minute are lost. Stop the "+
		"service, move this file and %[1]s-shm away, and start the service with what %[1]s has", o.path, how)
}

// giveUp ends the use of a damaged database. It returns the [*GoneError] that all statements return from now on.
func (o *exclusive) giveUp(format, path, how string) error {
	damaged := &GoneError{Damaged: true, reason: fmt.Sprintf(format, path, how, byAnother)}
	o.damaged.Store(damaged)
	return damaged
}

// usable returns a [*GoneError] if the file was found to be damaged, because no statement is executed then.
func (o *exclusive) usable() error {
	if o == nil {
		return nil
	}
	if damaged := o.damaged.Load(); damaged != nil {
		return damaged
	}
	return nil
}

// isLost reports whether the file was deleted or replaced, so that only this process has what is stored.
func (o *exclusive) isLost() bool {
	if o == nil {
		return false
	}
	gone := (*GoneError)(nil)
	return errors.As(o.gone(), &gone) && gone.Lost
}

// gone returns a [*GoneError] if a file was deleted or replaced. A connection that SQLite opens then would apply the
// log of one database to another one, so each connection is preceded by this check.
func (o *exclusive) gone() error {
	if err := o.usable(); err != nil {
		return err
	}
	for i, f := range o.files {
		found, err := os.Stat(f.path)
		lost := i == 0 // without its log, SQLite completes the file when it closes it
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &GoneError{reason: fmt.Sprintf("the database file %s was deleted while the service uses it", f.path),
				Lost: lost}
		case err != nil:
			return err
		case !os.SameFile(found, f.found):
			return &GoneError{reason: fmt.Sprintf("the database file %s was replaced by another one while the service uses "+
				"it", f.path), Lost: lost}
		case i == 0 && found.Size() == 0: // SQLite would remove its log
			return o.checkContent()
		}
	}
	return nil
}

// SaveCopy copies a database whose file was deleted or replaced to a new file beside it, and returns the path of the
// copy. The service calls it before it stops. [Store.Close] copies it again, with what was stored since then.
func (s *Store) SaveCopy() (path string, err error) {
	copied := filelock.Unused(s.own.path + ".saved")
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
	if !s.own.isLost() {
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
