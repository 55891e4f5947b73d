// Package filelock lets one process at a time use a file.
//
// A lock is a file of its own, which is never deleted: the kernel releases the lock however its process ends. It holds
// between processes of one machine, and on NFS only if the server supports locks.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// HeldError is returned by [Take] if the lock is held.
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

// Take tries again for about 100 ms, because [Held] takes a shared lock for an instant.
const (
	tries = 10
	pause = 10 * time.Millisecond
)

// Take acquires the lock at a path. It creates the file, and refuses a symbolic link. Closing the file releases the
// lock. The error is a [*HeldError] if the lock is held. The file contains the ID of the process for people: if it
// cannot be written, as on a full disk, the lock is held all the same.
func Take(path string) (*os.File, error) {
	f, err := open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := take(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
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
