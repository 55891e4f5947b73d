package testenv

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Tool returns the path of a program of the tools module, and builds it if needed.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return built(t, "tools", name)
}

// Peer returns the path of a certificate authority of the module tools/peers, and builds it if needed. That takes some
// minutes on a machine that has not built it before.
func Peer(t testing.TB, name string) string {
	t.Helper()
	needsServers(t)
	// The signers of cloud providers are left out, which take most of the time.
	return built(t, "tools/peers", name, "CGO_ENABLED=0",
		"GOFLAGS=-tags=noawskms,nocloudkms,noazurekms,nosshagentkms,nocapi,notpmkms")
}

func built(t testing.TB, module, name string, environment ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "tool", "-n", name)
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..", "..", filepath.FromSlash(module))
	cmd.Env = append(os.Environ(), environment...)
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
