package follow

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/perennial-pki/perennial/internal/filelock"
)

// The modes of new files. Certificates are public, and the product may run as another user.
const (
	fileMode  fs.FileMode = 0o644
	stateMode fs.FileMode = 0o600
)

// files replaces files as a whole.
type files struct {
	sync func(*os.File) error // makes a file durable; replaced by tests
}

func syncFile(f *os.File) error { return f.Sync() }

// beside returns the path of a helper file of an output. It begins with a dot, so that a configuration that includes
// all files of its folder does not read it.
func beside(path, extension string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".follow."+extension)
}

// regular returns the properties of a file that can be replaced; nil if it does not exist yet.
func regular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		to, _ := os.Readlink(path)
		return nil, fmt.Errorf("%s is a symbolic link, which would be replaced: name the file itself (%s)", path, to)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: name a file to write", path)
	}
	return info, nil
}

// same reports whether a file has a content.
func same(path string, data []byte) bool {
	old, err := os.ReadFile(path)
	return err == nil && bytes.Equal(old, data)
}

// replace writes a new file beside the old one and renames it, so that a reader sees one of them as a whole. The new
// file has the mode and the owner of the old one, or a mode if there is no old one. If it fails, the old file is
// unchanged.
func (w files) replace(path string, data []byte, mode fs.FileMode) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w: it is unchanged", path, withoutPath(err))
		}
	}()
	old, err := regular(path)
	if err != nil {
		return err
	}
	next := beside(path, "new")
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that was killed
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("create a file in its folder: %w", err)
	}
	defer os.Remove(next) // fails after the rename
	_, err = f.Write(data)
	if err == nil {
		err = like(f, old, mode)
	}
	if err == nil {
		err = w.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return w.syncFolder(filepath.Dir(path))
}

// like gives a file the owner and the mode of an old one, or a mode if there is no old one.
func like(f *os.File, old fs.FileInfo, mode fs.FileMode) error {
	if old == nil {
		return f.Chmod(mode)
	}
	if of, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(of.Uid), int(of.Gid)); err != nil {
			return fmt.Errorf("keep its owner, user %d of group %d: %w: run this as that user or as root", of.Uid, of.Gid, err)
		}
	}
	return f.Chmod(old.Mode().Perm())
}

// syncFolder makes a rename durable.
func (w files) syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return w.sync(dir)
}

// withoutPath removes the path of a helper file from an error. The path of the output is in the text around it.
func withoutPath(err error) error {
	if at := (*fs.PathError)(nil); errors.As(err, &at) && strings.HasSuffix(at.Path, ".follow.new") {
		return errors.New(strings.ReplaceAll(err.Error(), at.Path, "the new file"))
	}
	return err
}

// locks are the locks of the files of a follower, by the paths of these files.
type locks map[string]*filelock.Lock

// lock makes sure that no other follower writes the same files. The kernel releases the locks however the process ends.
func (f *Follower) lock() (held locks, err error) {
	held = locks{}
	for _, path := range f.locked() {
		if _, err = regular(path); err == nil {
			held[path], err = lockFile(beside(path, "lock"), path)
		}
		if err != nil {
			delete(held, path)
			held.release()
			return nil, err
		}
	}
	return held, nil
}

func (l locks) release() {
	for _, held := range l {
		held.Close()
	}
}

// keep takes the locks again that were deleted.
func (l locks) keep() error {
	for path, held := range l {
		if err := held.Keep(); err != nil {
			return notLocked(path, err)
		}
	}
	return nil
}

// locked returns the files to lock. The default state file belongs to the first output and needs no lock of its own.
func (f *Follower) locked() []string {
	paths := f.paths()
	if len(paths) > 0 && f.state == beside(paths[0], "json") {
		return paths
	}
	return append(paths, f.state)
}

func lockFile(lock, path string) (*filelock.Lock, error) {
	l, err := filelock.Take(lock)
	if err != nil {
		return nil, notLocked(path, err)
	}
	return l, nil
}

func notLocked(path string, err error) error {
	if held := (*filelock.HeldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("another follower%s writes %s: stop one of the two", held.By(), path)
	}
	return fmt.Errorf("lock %s: %w: it is unchanged", path, err)
}
