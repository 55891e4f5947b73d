package testenv

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// start starts a program, and returns a channel that is closed when the program has ended. It keeps the thread that
// forked, because Pdeathsig is sent when that thread ends.
func start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(done)
	}()
	return done, <-started
}

// Start starts a program that ends with the test, or with the test process if that comes first. end ends it earlier.
func Start(t testing.TB, cmd *exec.Cmd) (end func()) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	ended, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM) // so that it ends its own children
		patience := time.NewTimer(10 * time.Second)
		defer patience.Stop()
		select {
		case <-ended:
		case <-patience.C:
			cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(end)
	return end
}

// Check ends the test if there is an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
