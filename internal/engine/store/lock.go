package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// lockDatabase acquires the lock that marks a SQLite file as in use, by whatever path.
func lockDatabase(path string) (*os.File, error) {
	lock, err := filelock.Take(realPath(path) + ".lock")
	var held *filelock.HeldError
	if errors.As(err, &held) {
		err = fmt.Errorf("another perennial%s has it open: stop it first, or use PostgreSQL for more than one "+
			"service", held.By())
	}
	return lock, err
}

// inUse reports whether a process holds the lock of a SQLite file.
func inUse(path string) bool {
	held, err := filelock.Held(realPath(path) + ".lock")
	return held && err == nil
}
