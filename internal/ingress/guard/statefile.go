package guard

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// errReplaced is returned if another file is in the place of the one that is open. SQLite must not open it beside the
// other one, whose write-ahead log has the same name.
var errReplaced = errors.New("it was replaced while the guard runs: restart the guard")

// restore writes the file again if it was deleted, from the one that is still open, and opens it. Otherwise, what the
// guard learns would end with the process, and what people decide would go to another file. The same holds for its
// write-ahead log, because "rm" deletes one after the other. restored is true if a file was deleted. The caller makes
// sure that nothing is stored meanwhile. A mail that is recorded as sent at this moment can be sent again.
func (s *State) restore(ctx context.Context) (restored bool, err error) {
	found, err := os.Stat(s.path)
	exists := err == nil
	switch {
	case exists && os.SameFile(found, s.opened):
		if _, err := os.Stat(s.path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	case exists:
		return false, errReplaced
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	copied, err := os.CreateTemp(filepath.Dir(s.path), ".guard-*")
	if err != nil {
		return true, err
	}
	defer os.Remove(copied.Name())
	if err := copied.Close(); err != nil {
		return true, err
	}
	if _, err := s.db().ExecContext(ctx, "VACUUM INTO ?", copied.Name()); err != nil {
		return true, err
	}
	if exists { // without its log, it lacks what was written last
		if err := os.Remove(s.path); err != nil {
			return true, err
		}
	}
	if err := os.Link(copied.Name(), s.path); err != nil { // it does not replace a file
		return true, err
	}
	if s.opened, err = os.Stat(s.path); err != nil {
		return true, err
	}
	// The old write-ahead log is not that of the new file. Closing removes it, if it was not deleted too.
	err = s.Close()
	for _, end := range []string{"-wal", "-shm"} {
		if gone := os.Remove(s.path + end); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	again, connecting := connectState(s.path, stateOptions)
	if connecting != nil {
		return true, errors.Join(err, connecting)
	}
	s.handle.Store(again.db())
	return true, errors.Join(err, again.db().PingContext(ctx)) // a connection holds the file, even if it is deleted again
}

// keepState restores the file of the state if it was deleted.
func (s *Service) keepState(ctx context.Context) {
	s.storing.Lock()
	defer s.storing.Unlock()
	s.reloading.Lock()
	defer s.reloading.Unlock()
	restored, err := s.state.restore(ctx)
	s.behind = s.behind || restored // the versions of two connections cannot be compared
	s.metrics.failed("state", err)
	switch {
	case err != nil:
		s.warn("state file", "the file of the state is not the one that is open", "file", s.state.path, "error", err)
	case restored:
		s.log.Warn("the file of the state was deleted: it was written again", "file", s.state.path)
	}
}
