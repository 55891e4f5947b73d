package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// ErrNoKeyFile is returned if the key file does not exist.
var ErrNoKeyFile = errors.New("there is no key file")

// Create generates a keyset and writes it in cleartext to a new file with mode 0600. The error is [fs.ErrExist] if
// there is a file of this name, which stays as it is: it may be the only key to a database. The keyring needs the
// remotes if the keyset is wrapped later.
func Create(path string, remotes Remotes) (*Keyring, error) {
	k, err := Ephemeral()
	if err != nil {
		return nil, err
	}
	k.path, k.remotes = path, remotes
	if k.loaded.source, err = export(k.loaded.handle); err != nil {
		return nil, err
	}
	return k, k.write(k.loaded.source, os.Link)
}

// Open reads the keyset from a file that only its owner can read. The error is [ErrNoKeyFile] if the file does not
// exist. It is an [Away] if the keyset is wrapped and the service that wraps it does not answer.
func Open(ctx context.Context, path string, remotes Remotes) (*Keyring, error) {
	k := &Keyring{path: path, remotes: remotes}
	data, err := k.read()
	if err != nil {
		return nil, err
	}
	k.loaded, err = k.decode(ctx, data)
	return k, err
}

// read returns the content of the key file.
func (k *Keyring) read() ([]byte, error) {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNoKeyFile, k.path)
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key file %s is readable by other users (mode %04o): run chmod 600 on it", k.path, mode)
	}
	return os.ReadFile(k.path)
}

func (k *Keyring) decode(ctx context.Context, data []byte) (loaded, error) {
	l, err := decode(ctx, data, k.remotes)
	if err != nil {
		err = fmt.Errorf("key file %s: %w", k.path, err)
	}
	return l, err
}

// A failure is an attempt to read a changed key file that did not succeed.
type failure struct {
	source []byte
	until  time.Time // when the next attempt may be made
	err    error
}

// refreshPause is the time between two attempts to read the same content of a key file. An unavailable service must not
// be called for every secret that cannot be opened.
const refreshPause = 10 * time.Second

// Refresh reads the key file again if its content has changed, and reports whether it did. A keyset that cannot open
// what the current one seals is refused. A keyring without a file has nothing to refresh.
func (k *Keyring) Refresh(ctx context.Context) (changed bool, err error) {
	if k.path == "" {
		return false, nil
	}
	k.reading.Lock()
	defer k.reading.Unlock()
	return k.refreshLocked(ctx)
}

// refresh is [Keyring.Refresh] for secrets that do not open. changed reports that another attempt to open may succeed.
func (k *Keyring) refresh() (changed bool, err error) {
	before := k.current().handle
	_, err = k.Refresh(context.Background())
	return k.current().handle != before, err
}

func (k *Keyring) refreshLocked(ctx context.Context) (changed bool, err error) {
	data, err := k.read()
	if err != nil {
		return false, err
	}
	old := k.current()
	if bytes.Equal(data, old.source) {
		k.failed = failure{}
		return false, nil
	}
	now := time.Now()
	if bytes.Equal(data, k.failed.source) && now.Before(k.failed.until) {
		return false, k.failed.err
	}
	l, err := k.decode(ctx, data)
	if err == nil {
		err = k.succeeds(l, old)
	}
	if err != nil {
		k.failed = failure{data, now.Add(refreshPause), err}
		return false, err
	}
	k.failed = failure{}
	k.use(l)
	return true, nil
}

// succeeds returns an error if a keyset lacks the key that seals now.
func (k *Keyring) succeeds(l, old loaded) error {
	sealed, err := old.aead.Encrypt(nil, nil)
	if err == nil {
		_, err = l.aead.Decrypt(sealed, nil)
	}
	if err != nil {
		return fmt.Errorf("key file %s lacks the key that currently seals, so it is not used: restore the right file", k.path)
	}
	return nil
}

// Rotate adds a key-encryption key that seals from now on, and writes the file before it returns. Older keys remain for
// opening. A wrapped keyset is wrapped again.
func (k *Keyring) Rotate(ctx context.Context) error {
	if k.path == "" {
		return errors.New("the key comes from the environment and cannot be rotated in place: write it to a file, rotate " +
			"it there, and update the variable")
	}
	return k.change(ctx, func(handle *keyset.Handle, uri string) (*keyset.Handle, string, error) {
		manager := keyset.NewManagerFromHandle(handle)
		id, err := manager.Add(aead.AES256GCMKeyTemplate())
		if err == nil {
			err = manager.SetPrimary(id)
		}
		if err != nil {
			return nil, "", fmt.Errorf("add a key: %w", err)
		}
		handle, err = manager.Handle()
		return handle, uri, err
	})
}

// Move wraps the keyset with the key of another URI, and writes the file before it returns; an empty URI stands for
// cleartext. The keys stay the same, so everything that is sealed still opens. The file stays as it is if there is an
// error.
func (k *Keyring) Move(ctx context.Context, uri string) error {
	if k.path == "" {
		return errors.New("the key comes from the environment and cannot be moved in place: write it to a file, move it " +
			"there, and update the variable")
	}
	return k.change(ctx, func(handle *keyset.Handle, _ string) (*keyset.Handle, string, error) {
		return handle, uri, nil
	})
}

// change replaces the keyset in the file by what edit returns. It begins with the content of the file and keeps other
// processes out: a key that one of them added at the same time must not be lost.
func (k *Keyring) change(ctx context.Context,
	edit func(*keyset.Handle, string) (*keyset.Handle, string, error)) error {
	k.reading.Lock()
	defer k.reading.Unlock()
	unlock, err := lockFile(ctx, k.path)
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	defer unlock()
	if _, err := k.refreshLocked(ctx); err != nil {
		return err
	}
	old := k.current()
	handle, uri, err := edit(old.handle, old.uri)
	if err != nil {
		return err
	}
	fresh, err := load(handle)
	if err != nil {
		return err
	}
	fresh.uri = uri
	if fresh.source, err = encode(ctx, handle, uri, k.remotes); err != nil {
		return err
	}
	if err := k.write(fresh.source, replace); err != nil { // before it seals: a key that is not in the file would be lost
		return err
	}
	k.use(fresh)
	return nil
}

// lockPoll is the time between two attempts to lock a file.
const lockPoll = 50 * time.Millisecond

// lockFile waits until no other process has the lock of a file, and takes it. The lock belongs to the file that is at
// the path now. If the file was replaced while it waited, it releases the old one.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // NFS needs a file that can be written
		if errors.Is(err, fs.ErrPermission) {
			f, err = os.Open(path)
		}
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			var locked, now fs.FileInfo
			if locked, err = f.Stat(); err == nil {
				now, err = os.Stat(path)
			}
			if err == nil && os.SameFile(locked, now) {
				return func() { f.Close() }, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process is changing %s: %w", path, ctx.Err())
		case <-time.After(lockPoll):
		}
	}
}

// write stores the content of the file: with [os.Link] in a new one, with [replace] in place of the old one. It is
// atomic: after a crash, the file is either the old or the new one.
func (k *Keyring) write(data []byte, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(k.path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	if err := put(f.Name(), k.path); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// replace renames a file to another one, whose owner and mode it keeps. An administrator may change the key file as
// root, and the service must still be able to read it.
func replace(from, to string) error {
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	if old, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(from, int(old.Uid), int(old.Gid)); err != nil {
			return fmt.Errorf("keep the file's owner, user %d of group %d: %w: run this as that user or as root", old.Uid,
				old.Gid, err)
		}
	}
	if err := os.Chmod(from, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(from, to)
}
