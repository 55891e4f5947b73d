package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// lockDatabase acquires the lock that marks a SQLite file as in use.
func lockDatabase(path string) (*os.File, error) {
	lock, err := filelock.Take(path + ".lock")
	var held *filelock.HeldError
	if errors.As(err, &held) {
		err = fmt.Errorf("another perennial (process %s) has it open: stop it first, or use PostgreSQL for more than one "+
			"service", held.Process)
	}
	return lock, err
}

// inUse reports whether a process holds the lock of a SQLite file.
func inUse(path string) bool {
	held, err := filelock.Held(path + ".lock")
	return held && err == nil
}
