package testenv

import (
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
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
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..", "..", filepath.FromSlash(module))
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
