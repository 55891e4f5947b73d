// Package filelock lets one process at a time use a file, and finds SQLite files that must not be opened.
//
// A lock is a file of its own: the kernel releases the lock however its process ends. This package never deletes it. If
// others do, another process can take the lock until [Lock.Keep] is called. It holds between processes of one machine,
// and on NFS only if the server supports locks.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// HeldError is returned by [Take] and [Lock.Keep] if another process holds the lock.
type HeldError struct {
	Process string // the ID of the process that holds it; empty if the file does not contain it
}

func (e *HeldError) Error() string { return "the lock is held" + e.By() }

// By returns the process in parentheses after a space; empty if it is unknown.
func (e *HeldError) By() string {
	if e.Process == "" {
		return ""
	}
	return " (process " + e.Process + ")"
}

// RealPath returns the path of a file without symbolic links. Its lock belongs beside it, so that it is the same by
// whatever path a process opens the file. The file need not exist, but its folder must: otherwise, RealPath returns the
// path itself.
func RealPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if target, err := os.Readlink(path); err == nil { // of a file that does not exist yet
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// ErrEmpty is returned by [CheckDatabase].
var ErrEmpty = errors.New("the file is empty: another program has emptied it, or its first use was interrupted")

// CheckDatabase waits this long for another process that has just created the file.
const (
	looks     = 20
	lookPause = 50 * time.Millisecond
)

// CheckDatabase returns an error if a SQLite file exists and must not be opened: SQLite would begin a new database in
// an empty file, and remove the log beside it; and a file with two names has two logs, and two locks.
func CheckDatabase(path string) error {
	found, err := os.Stat(path)
	for n := 0; n < looks && err == nil && found.Size() == 0; n++ {
		time.Sleep(lookPause)
		found, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Size() == 0:
		return ErrEmpty
	}
	if names := found.Sys().(*syscall.Stat_t).Nlink; found.Mode().IsRegular() && names > 1 {
		return fmt.Errorf("the file has %[2]d names (hard links), and programs that open it by different names destroy it: "+
			"remove the other names. \"find / -xdev -samefile %[1]s\" lists all of them", path, names)
	}
	return nil
}

// Unused returns path if there is no file at it, and otherwise the first of path-2, path-3 and so on that is free.
func Unused(path string) string {
	free := path
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); err != nil { // if its folder cannot be read, the caller cannot write the file
			return free
		}
		free = fmt.Sprintf("%s-%d", path, n)
	}
}

// Take tries again for about 100 ms, because [Held] takes a shared lock for an instant.
const (
	tries = 10
	pause = 10 * time.Millisecond
)

// A Lock is held until it is closed. Its methods must not be called at the same time.
type Lock struct {
	path string
	file *os.File
}

// Take acquires the lock at a path. It creates the file, and refuses a symbolic link. The error is a [*HeldError] if
// the lock is held. The file contains the ID of the process for people: if it cannot be written, as on a full disk, the
// lock is held all the same.
func Take(path string) (*Lock, error) {
	for {
		l := &Lock{path: path}
		var err error
		if l.file, err = open(path, os.O_RDWR|os.O_CREATE); err != nil {
			return nil, err
		}
		err = take(l.file)
		if err == nil {
			var there bool
			if there, err = l.there(); there {
				return l, nil
			}
		}
		l.Close()
		if err != nil {
			return nil, err
		}
	}
}

// Close releases the lock.
func (l *Lock) Close() error { return l.file.Close() }

// there reports whether the file at the path is the one that is locked.
func (l *Lock) there() (bool, error) {
	locked, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	found, err := os.Lstat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(locked, found), err
}

// Keep creates the file again, and locks it, if it was deleted or replaced. The error is a [*HeldError] if another
// process has acquired the lock since then.
func (l *Lock) Keep() error {
	if there, err := l.there(); there || err != nil {
		return err
	}
	again, err := Take(l.path)
	if err != nil {
		return err
	}
	old := l.file
	l.file = again.file
	return old.Close()
}

func open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("the lock %s is a symbolic link: remove it", path)
	}
	return f, err
}

func take(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for n := 1; errors.Is(err, syscall.EWOULDBLOCK) && n < tries; n++ {
		time.Sleep(pause)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := io.ReadAll(io.LimitReader(f, 20))
		process, _, _ := strings.Cut(string(text), "\n")
		return &HeldError{process}
	}
	if err != nil {
		return err
	}
	n, err := f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0) // first, so that a reader finds one ID or the other
	if err != nil {
		n = 0 // a person could end the wrong process
	}
	f.Truncate(int64(n)) // a device has no length
	return nil
}

// Held reports whether a process holds the lock at a path. A file that does not exist is not locked.
func Held(path string) (bool, error) {
	f, err := open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
