package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool returns the path of a program of the tools module, and builds it if needed.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return built(t, "tools", name, "go", "tool", "-n", name)
}

// Peer returns the path of a certificate authority of the module tools/peers, and builds it if needed. That takes some
// minutes on a machine that has not built it before.
func Peer(t testing.TB, name string) string {
	t.Helper()
	NeedsServers(t)
	return built(t, "tools/peers", name, "./path", name)
}

func built(t testing.TB, module, name string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = filepath.Join(root(t), filepath.FromSlash(module))
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			said = string(failed.Stderr)
		}
		t.Fatalf("the tool %s could not be built from %s/go.mod: %v\n%s", name, module, err, said)
	}
	return strings.TrimSpace(string(out))
}

// root returns the folder of the module whose test this is. A test runs in the folder of its package.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	Check(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal("no folder above the test has a go.mod")
		}
		dir = above
	}
}
