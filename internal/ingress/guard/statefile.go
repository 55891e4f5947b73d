package guard

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/filelock"
)

// stateOptions are those of a file that is written. SQLite does not create the file: it would create an empty one, with
// other permissions, in the place of one that was deleted. Reading the version makes it create the write-ahead log.
const stateOptions = "&mode=rw&_pragma=journal_mode(WAL)&_pragma=user_version&_txlock=immediate"

// A handle is an open file of a state.
type handle struct {
	db          *sql.DB
	connections *recorder
}

// openHandle opens a file, with one connection at a time.
func openHandle(path, options string) (*handle, error) {
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	c, err := sqlite.NewConnector(name + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(ON)" + options)
	if err != nil {
		return nil, err
	}
	h := &handle{connections: &recorder{Connector: c, path: path}}
	h.db = sql.OpenDB(h.connections)
	h.db.SetMaxOpenConns(1)
	return h, nil
}

// A recorder records the last connection. After some errors, database/sql opens another one. SQLite may then create
// another write-ahead log, which must not be taken for that of another process.
type recorder struct {
	driver.Connector
	path string // of the database
	last atomic.Pointer[connection]
}

// logEnds are the ends of the names of the write-ahead log and of its index, with which processes see what others have
// written.
var logEnds = [...]string{"-wal", "-shm"}

// A connection to the file, with the log and the index that it uses; nil if there was none.
type connection [len(logEnds)]os.FileInfo

// Connect opens a connection.
func (r *recorder) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{}
	for i, end := range logEnds {
		if found, err := os.Stat(r.path + end); err == nil {
			c[i] = found
		}
	}
	r.last.Store(c)
	return opened, nil
}

// complete reports whether the log and its index are those that the last connection uses.
func (r *recorder) complete() (bool, error) {
	last := r.last.Load()
	for i, end := range logEnds {
		found, err := os.Stat(r.path + end)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil || last == nil || !os.SameFile(last[i], found) {
			return false, err
		}
	}
	return true, nil
}

// lockState lets one guard use a file at a time: two would accept two successors in one window.
func lockState(path string) (*filelock.Lock, error) {
	lock, err := filelock.Take(filelock.RealPath(path) + ".lock")
	if err != nil {
		return nil, notLocked(path, err)
	}
	return lock, nil
}

func notLocked(path string, err error) error {
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("another guard%s uses %s: give each one its own state", held.By(), path)
	}
	return fmt.Errorf("open the state of the guard: %w", err)
}

// checkFile returns an error if the file must not be opened.
func checkFile(path string) error {
	switch err := filelock.CheckDatabase(path); {
	case errors.Is(err, filelock.ErrEmpty):
		return fmt.Errorf("the state of the guard, %[1]s: %[2]w. Put a backup in its place. Without one, remove %[1]s and "+
			"%[1]s-wal: decisions of people are lost then", path, err)
	case err != nil:
		return fmt.Errorf("the state of the guard, %s: %w", path, err)
	}
	return nil
}

// checkComplete returns an error if a guard uses a file that was deleted, or whose write-ahead log or its index was
// deleted. The guard does not see what another process would store now.
func checkComplete(path string) error {
	for _, file := range []string{path, path + logEnds[0], path + logEnds[1]} {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		running, err := filelock.Held(path + ".lock")
		if err != nil {
			return fmt.Errorf("open the state of the guard: %w", err)
		} else if !running {
			return nil
		}
		return fmt.Errorf("%s is missing while the guard runs: the guard writes it within a second. Repeat the command "+
			"then. If it is still missing, the log of the guard states why", file)
	}
	return nil
}

// errReplaced is returned if another file is in the place of the one that is open. SQLite must not open it beside the
// other one, whose write-ahead log has the same name.
var errReplaced = errors.New("it was replaced while the guard runs: restart the guard")

// errEmptied is returned if another program has emptied the file, and it cannot be written again from its log.
var errEmptied = errors.New("another program has emptied it, and it cannot be written again from its log")

// errIncomplete is returned if the log of an emptied file does not have all of its content.
var errIncomplete = errors.New("the log is incomplete")

// emptied explains why a file that another program has emptied was not written again.
func emptied(err error) error {
	var of *sqlite.Error
	if errors.Is(err, errIncomplete) || errors.As(err, &of) && (of.Code()&0xff == sqlitelib.SQLITE_CORRUPT ||
		of.Code()&0xff == sqlitelib.SQLITE_NOTADB) {
		return fmt.Errorf("%w, which has at most a part of it: stop the guard, put a backup in its place, and start the "+
			"guard. Without a backup, remove the file: decisions of people are lost then", errEmptied)
	}
	return fmt.Errorf("%w: %w", errEmptied, err)
}

// restore writes the file again if it was deleted or emptied, from the one that is still open, and opens it. Otherwise,
// what the guard learns would end with the process, and what people decide would go to another file. The same holds for
// its write-ahead log: "rm" deletes one after the other, and another process creates another log. restored is true if
// that was necessary. The caller makes sure that nothing is stored meanwhile. A mail that is recorded as sent at this
// moment can be sent again.
func (s *State) restore(ctx context.Context) (restored bool, err error) {
	old := s.handle.Load()
	found, err := os.Stat(s.path)
	exists := err == nil
	empty := exists && found.Size() == 0
	switch {
	case exists && !os.SameFile(found, s.opened):
		return false, errReplaced
	case !exists && !errors.Is(err, fs.ErrNotExist):
		return false, err
	case !empty: // another connection to an empty file would remove its log
		if err := old.db.PingContext(ctx); err != nil { // so that there is a connection, with its log
			return false, err
		}
	}
	if exists && !empty {
		if complete, err := old.connections.complete(); err != nil || complete {
			return false, err
		}
	}
	if err := s.rewrite(ctx, exists); err != nil {
		if empty {
			err = emptied(err)
		}
		return true, err
	}
	again, err := openHandle(s.path, stateOptions)
	if err != nil {
		return true, err
	}
	// A connection holds the file, even if it is deleted again. Until there is one, the old file is the only safe one.
	if err := again.db.PingContext(ctx); err != nil {
		return true, errors.Join(err, again.db.Close())
	}
	s.handle.Store(again)
	return true, old.db.Close() // SQLite leaves the logs in this place alone, because its file is not there any more
}

// saveCopy copies what is open to a file beside the state, for one that was replaced. Later calls replace the copy.
func (s *State) saveCopy(ctx context.Context) error {
	copied := filelock.Unused(s.path + ".saved")
	f, err := os.OpenFile(copied, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if _, err := s.db().ExecContext(ctx, "VACUUM INTO ?", copied); err != nil {
		os.Remove(copied)
		return err
	}
	if s.saved != "" {
		return os.Rename(copied, s.saved)
	}
	s.saved = copied
	return nil
}

// Close closes the file. If another file is in its place, SQLite leaves the log there, and it is removed: the next
// guard would apply it to the other file. A file that another program has emptied stays as it is, with its log: SQLite
// would write a part of the log into it, so the end of the process closes it.
func (s *State) Close() error {
	h := s.handle.Load()
	found, missing := os.Stat(s.path)
	if missing == nil && found.Size() == 0 {
		return fmt.Errorf("the state of the guard, %s: %w", s.path, errEmptied)
	}
	err := h.db.Close()
	last := h.connections.last.Load()
	if missing != nil || s.opened == nil || os.SameFile(found, s.opened) || last == nil {
		return err
	}
	for i, end := range logEnds {
		if found, missing := os.Stat(s.path + end); missing == nil && os.SameFile(found, last[i]) {
			err = errors.Join(err, os.Remove(s.path+end))
		}
	}
	return err
}

// rewrite puts a copy of what is open in the place of the file. exists is true if the file itself was not deleted.
func (s *State) rewrite(ctx context.Context, exists bool) error {
	copied, err := os.CreateTemp(filepath.Dir(s.path), ".guard-*")
	if err != nil {
		return err
	}
	defer os.Remove(copied.Name())
	info, err := copied.Stat()
	if err := errors.Join(err, copied.Close()); err != nil {
		return err
	}
	if _, err := s.db().ExecContext(ctx, "VACUUM INTO ?", copied.Name()); err != nil {
		return err
	}
	if !isWhole(ctx, copied.Name()) {
		return errIncomplete
	}
	// SQLite would apply the log in this place, which is that of another file, to the copy.
	for _, end := range logEnds {
		if err := os.Remove(s.path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	place := os.Link // it does not replace a file
	if exists {
		place = os.Rename // there is a file at every instant
	}
	if err := place(copied.Name(), s.path); err != nil {
		return err
	}
	s.opened = info
	return nil
}

// isWhole reports whether a copy is a state. One of an emptied file without a log is an empty database, and one with a
// part of its log may lack pages.
func isWhole(ctx context.Context, path string) bool {
	h, err := openHandle(path, "&mode=ro")
	if err != nil {
		return false
	}
	defer h.db.Close()
	var found, sightings string
	err = errors.Join(h.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found),
		h.db.QueryRowContext(ctx, "SELECT count(*) FROM sightings").Scan(&sightings))
	return err == nil && found == "ok"
}

// keepState restores the file of the state, or its lock, if it was deleted.
func (s *Service) keepState(ctx context.Context) {
	s.storing.Lock()
	defer s.storing.Unlock()
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.lock.Keep(); err != nil {
		s.metrics.failed("state", err)
		s.warn("state lock", "the lock of the state was deleted, and cannot be created again",
			"error", notLocked(s.state.path, err))
		return
	}
	restored, err := s.state.restore(ctx)
	s.metrics.failed("state", err)
	if errors.Is(err, errReplaced) && s.state.saved == "" {
		s.saveState(ctx)
	}
	switch {
	case err != nil:
		s.warn("state file", "cannot restore the file of the state", "file", s.state.path, "error", err)
	case restored:
		s.log.Warn("the file of the state or its write-ahead log was deleted or emptied: it was written again. Repeat "+
			"decisions of the last seconds that \"perennial guard status\" does not show", "file", s.state.path)
	}
}

// saveState saves what the guard knows beside a file of the state that was replaced.
func (s *Service) saveState(ctx context.Context) {
	if err := s.state.saveCopy(ctx); err != nil {
		s.warn("state copy", "the file of the state was replaced, and what the guard knows cannot be saved beside it", "file",
			s.state.path, "error", err)
		return
	}
	s.log.Error("the file of the state was replaced: what the guard knows is saved beside it", "file", s.state.path,
		"copy", s.state.saved)
}

// closeState closes the state, after it has restored or saved what is not in the file.
func (s *Service) closeState() error {
	ctx, cancel := context.WithTimeout(context.Background(), serve.ShutdownTime)
	defer cancel()
	saved := s.state.saved
	s.keepState(ctx)
	if saved != "" { // what was stored since then
		s.saveState(ctx)
	}
	return s.state.Close()
}
