package follow

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxCommandOutput = 4 << 10         // bytes of a command's output that are kept
	commandPatience  = 2 * time.Second // for what a command has left in the background
)

// AddressVariable is the environment variable with the address of a feed.
const AddressVariable = "PERENNIAL_FEED"

// Shell is a [Runner]: it runs a command line with /bin/sh. At the end of ctx it kills the command and its children.
func Shell(ctx context.Context, command string) (output string, err error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	out := &beginning{left: maxCommandOutput}
	cmd.Stdout, cmd.Stderr = out, out
	// A server that the command starts would keep the address of the feed, which is a secret.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, AddressVariable+"=") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A reload may start a server that keeps the output open.
	cmd.WaitDelay = commandPatience
	if err = cmd.Run(); errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil
	}
	return out.String(), err
}

// beginning keeps the first bytes of what is written to it.
type beginning struct {
	text []byte
	left int
}

func (b *beginning) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.text, b.left = append(b.text, p[:n]...), b.left-n
	return len(p), nil
}

func (b *beginning) String() string { return string(b.text) }
