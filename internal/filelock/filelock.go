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

// HeldError is returned by [Take] if another process holds the lock.
type HeldError struct {
	Process string // its ID; empty if the file does not state it
}

func (e *HeldError) Error() string { return "process " + e.Process + " holds the lock" }

// [Held] of another process holds a lock for an instant.
const (
	tries = 10
	pause = 10 * time.Millisecond
)

// Take acquires the lock at a path. It creates the file, and does not follow a symbolic link. Closing the file releases
// the lock. The error is a [*HeldError] if another process holds it.
func Take(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := take(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func take(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for n := 1; errors.Is(err, syscall.EWOULDBLOCK) && n < tries; n++ {
		time.Sleep(pause)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		process, _ := io.ReadAll(io.LimitReader(f, 20)) // the number only helps a person
		return &HeldError{strings.TrimSpace(string(process))}
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	return err
}

// Held reports whether a process holds the lock at a path. A file that does not exist is not locked.
func Held(path string) (bool, error) {
	f, err := os.Open(path)
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
