package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestALockIsHeldUntilItIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.lock")
	if held, err := Held(path); held || err != nil {
		t.Errorf("before: %v, %v", held, err)
	}
	lock, err := Take(path)
	check(t, err)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("a new lock: %v, %v", info.Mode(), err)
	}
	if held, err := Held(path); !held || err != nil {
		t.Errorf("meanwhile: %v, %v", held, err)
	}
	var other *HeldError
	if second, err := Take(path); second != nil || !errors.As(err, &other) || other.Process != fmt.Sprint(os.Getpid()) {
		t.Errorf("a second one: %v, %v", second, err)
	}
	check(t, lock.Close())
	if held, err := Held(path); held || err != nil {
		t.Errorf("afterwards: %v, %v", held, err)
	}
	lock, err = Take(path)
	check(t, err)
	check(t, lock.Close())
}

func TestALockThatWasDeletedIsTakenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.lock")
	lock, err := Take(path)
	check(t, err)
	for _, remove := range []func() error{func() error { return nil }, func() error { return os.Remove(path) },
		func() error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) }} {
		check(t, remove())
		check(t, lock.Keep())
		var other *HeldError
		if second, err := Take(path); second != nil || !errors.As(err, &other) {
			t.Errorf("a second one: %v, %v", second, err)
		}
	}
	check(t, os.Remove(path))
	faster, err := Take(path)
	check(t, err)
	var other *HeldError
	if err := lock.Keep(); !errors.As(err, &other) || other.Process != fmt.Sprint(os.Getpid()) {
		t.Errorf("another one was faster: %v", err)
	}
	check(t, faster.Close())
	check(t, lock.Keep())
	check(t, lock.Close())
	if held, err := Held(path); held || err != nil {
		t.Errorf("afterwards: %v, %v", held, err)
	}
}

// The device stands for a full disk.
func TestALockIsHeldAlthoughItsProcessCannotBeWritten(t *testing.T) {
	lock, err := Take("/dev/full")
	check(t, err)
	if held, err := Held("/dev/full"); !held || err != nil {
		t.Errorf("%v, %v", held, err)
	}
	check(t, lock.Close())
}

func TestTheRealPathIsThatOfTheTarget(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	file := filepath.Join(dir, "data", "p.db")
	check(t, os.Mkdir(filepath.Dir(file), 0o700))
	link, folder := filepath.Join(dir, "link.db"), filepath.Join(dir, "folder")
	check(t, os.Symlink(filepath.Join("data", "p.db"), link))
	check(t, os.Symlink("data", folder))
	for _, exists := range []bool{false, true} {
		if exists {
			check(t, os.WriteFile(file, nil, 0o600))
		}
		for _, path := range []string{file, link, filepath.Join(folder, "p.db")} {
			if got := RealPath(path); got != file {
				t.Errorf("exists %v: %s is %s", exists, path, got)
			}
		}
	}
	if missing := filepath.Join(dir, "no", "p.db"); RealPath(missing) != missing {
		t.Errorf("without a folder: %s", RealPath(missing))
	}
}

func TestTheErrorNamesTheProcessIfTheLockDoes(t *testing.T) {
	for process, want := range map[string]string{"": "the lock is held", "7": "the lock is held (process 7)"} {
		if got := (&HeldError{process}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestALockThatCannotBeTakenIsNotLeftOpen(t *testing.T) {
	link := filepath.Join(t.TempDir(), "p.lock")
	check(t, os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link))
	if held, err := Held(link); held || err == nil {
		t.Errorf("a symbolic link: %v, %v", held, err)
	}
	before, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	for _, path := range []string{t.TempDir(), link} {
		var held *HeldError
		if lock, err := Take(path); lock != nil || err == nil || errors.As(err, &held) {
			t.Errorf("%s is locked: %v", path, err)
		}
	}
	after, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	if len(after) != len(before) {
		t.Errorf("%d files are open, and before %d", len(after), len(before))
	}
}

func TestAnUnusedPathHasTheNextNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saved")
	for _, want := range []string{path, path + "-2", path + "-3"} {
		if got := Unused(path); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		check(t, os.WriteFile(want, nil, 0o600))
	}
}
